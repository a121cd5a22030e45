//! Runtimes: what `run` gives back, several at once and nested, handles that outlive them, and the global one.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fibra::{Builder, Cancelled, Handle, channel, thread};
use support::{Drops, in_child, message, stderr, wait_until, within_patience};

#[test]
fn run_borrows_from_its_caller_and_returns_the_value() {
    let words = ["a".to_owned(), "b".to_owned()];
    let mut seen = 0;
    let joined = fibra::run(|| {
        seen += words.len();
        words.concat()
    });
    assert_eq!((joined.as_str(), seen), ("ab", 2));
    let runtime = Builder::new().workers(2).build().unwrap();
    for i in 0..100 {
        assert_eq!(runtime.run(|| i + words.len()), i + 2);
    }
}

#[test]
fn several_runtimes_live_at_once_and_talk_to_each_other() {
    let (sender, receiver) = channel::bounded(0);
    let runtimes: Vec<_> = (0..4).map(|_| Builder::new().workers(2).build().unwrap()).collect();
    let tasks: Vec<_> = runtimes
        .iter()
        .enumerate()
        .map(|(r, runtime)| {
            let sender = sender.clone();
            runtime.spawn(move || {
                let parts: Vec<_> = (0..25)
                    .map(|i| {
                        let sender = sender.clone();
                        fibra::spawn(move || sender.send(r * 25 + i).unwrap())
                    })
                    .collect();
                parts.into_iter().for_each(|part| part.join().unwrap());
                Handle::current().workers()
            })
        })
        .collect();
    drop(sender);
    let other = Builder::new().workers(1).build().unwrap();
    assert_eq!(other.run(|| receiver.iter().sum::<usize>()), (0..100).sum());
    tasks.into_iter().for_each(|task| assert_eq!(task.join().unwrap(), 2));
}

#[test]
fn a_runtime_may_be_built_run_and_dropped_inside_a_task_of_another() {
    within_patience(|| {
        let outer = Builder::new().workers(1).build().unwrap();
        let others_ran = AtomicUsize::new(0);
        let value = outer.run(|| {
            fibra::scope(|s| {
                s.spawn(|| {
                    for _ in 0..10 {
                        others_ran.fetch_add(1, Ordering::SeqCst);
                        fibra::yield_now();
                    }
                });
                let inner = Builder::new().workers(2).build().unwrap();
                let here = inner.run(|| {
                    assert_eq!(Handle::current().workers(), 2);
                    let deepest = Builder::new().workers(1).run(|| Handle::current().workers()).unwrap();
                    fibra::spawn(thread::park);
                    10 * fibra::spawn(move || deepest).join().unwrap()
                });
                assert_eq!(Handle::current().workers(), 1);
                let there = inner.spawn(|| 5).join().unwrap();
                drop(inner);
                here + there
            })
        });
        assert_eq!((value, others_ran.into_inner()), (15, 10));
    });
}

#[test]
fn a_runtime_may_run_another_main_task_inside_one_of_its_own() {
    let runtime = Arc::new(Builder::new().workers(1).build().unwrap());
    let inner = runtime.clone();
    assert_eq!(runtime.run(move || inner.run(|| 7)), 7);
}

#[test]
fn dropping_a_runtime_inside_its_own_task_panics_with_advice_and_it_lives_on() {
    let runtime = Builder::new().workers(2).build().unwrap();
    let handle = runtime.handle();
    let payload = handle.spawn(move || drop(runtime)).join().unwrap_err();
    let text = message(&*payload);
    assert!(text.contains("inside one of its own tasks") && text.contains("`Handle`"), "{text}");
    assert_eq!(handle.spawn(|| 7).join().unwrap(), 7);
}

#[test]
fn a_handle_that_outlives_its_runtime_refuses_tasks_and_drops_their_closures() {
    let runtime = Builder::new().workers(2).build().unwrap();
    let handle = runtime.handle();
    let finished = runtime.spawn(|| "kept");
    wait_until("it has ended", || finished.is_finished());
    let parked = runtime.spawn(thread::park);
    let target = parked.thread().clone();
    drop(runtime);
    let drops = Drops::new();
    let check = |handle: &Handle| {
        let guard = drops.counted();
        let error = handle.try_spawn(move || drop(guard)).unwrap_err();
        assert!(error.to_string().contains("shutting down"), "{error}");
        let guard = drops.counted();
        let task = handle.spawn(move || drop(guard));
        assert!(task.is_finished());
        task.cancel();
        task.thread().unpark();
        assert!(task.join().unwrap_err().is::<Cancelled>());
    };
    check(&handle);
    fibra::run(|| check(&handle));
    assert_eq!(drops.get(), 4);
    // What is left of the tasks is harmless.
    target.unpark();
    parked.cancel();
    assert!(parked.join().unwrap_err().is::<Cancelled>());
    assert_eq!(finished.join().unwrap(), "kept");
    assert_eq!(handle.workers(), 2);
}

#[test]
fn main_runs_on_a_stack_of_8_mib() {
    fn deep(n: usize) -> usize {
        let frame = std::hint::black_box([n; 1024]);
        if n == 0 { 0 } else { deep(n - 1) + frame[n % 1024] / n }
    }
    assert_eq!(fibra::run(|| deep(500)), 500);
}

#[test]
fn the_global_runtime_has_the_settings_of_build_global_and_is_built_once() {
    let output =
        in_child("the_global_runtime_has_the_settings_of_build_global_and_is_built_once", &[], || {
            // A failure leaves the way free.
            assert_eq!(
                Builder::new().workers(0).build_global().unwrap_err().kind(),
                std::io::ErrorKind::InvalidInput
            );
            Builder::new().workers(3).thread_name("global").build_global().unwrap();
            let name = || std::thread::current().name().unwrap().to_owned();
            assert!(fibra::spawn(name).join().unwrap().starts_with("global-"));
            assert_eq!(Handle::current().workers(), 3);
            let error = Builder::new().build_global().unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
            assert!(error.to_string().contains("build_global"), "{error}");
            // In a task of another runtime `spawn` stays there.
            let inside =
                Builder::new().workers(1).thread_name("own").run(|| fibra::spawn(name).join().unwrap());
            assert_eq!(inside.unwrap(), "own-0");
        });
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn the_first_spawn_on_a_plain_thread_starts_the_global_runtime() {
    let output = in_child("the_first_spawn_on_a_plain_thread_starts_the_global_runtime", &[], || {
        let spawners: Vec<_> =
            (0..8).map(|i| std::thread::spawn(move || fibra::spawn(move || i).join().unwrap())).collect();
        let sum: i32 = spawners.into_iter().map(|spawner| spawner.join().unwrap()).sum();
        assert_eq!(sum, 28);
        let watchers = support::threads().iter().filter(|(name, _)| name == "fibra-watch").count();
        assert_eq!(watchers, 1, "eight threads started one runtime");
        let error = Builder::new().workers(1).build_global().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    });
    assert!(output.status.success(), "{}", stderr(&output));
}
