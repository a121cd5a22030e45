//! Panics: in tasks, in `main`, in destructors, in closures that never ran, in hooks; and how they are reported.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::{Builder, Cancelled, thread};
use support::{Drops, OnDrop, PATIENCE, count, in_child, message, stderr, wait_until};

#[test]
fn a_panic_comes_back_from_join_with_its_payload() {
    fibra::run(|| {
        let text = fibra::spawn(|| panic!("plain")).join().unwrap_err();
        assert_eq!(message(&*text), "plain");
        let formatted = fibra::spawn(|| panic!("number {}", 7)).join().unwrap_err();
        assert_eq!(message(&*formatted), "number 7");
        let any = fibra::spawn(|| panic_any(42_u64)).join().unwrap_err();
        assert_eq!(any.downcast_ref(), Some(&42_u64));
    });
}

#[test]
fn a_panic_in_main_comes_back_from_run_when_the_other_tasks_have_unwound() {
    let drops = Drops::new();
    let counted: Vec<_> = (0..100).map(|_| drops.counted()).collect();
    let payload = catch_unwind(AssertUnwindSafe(|| {
        fibra::run(|| {
            let started = Arc::new(AtomicUsize::new(0));
            for guard in counted {
                let started = started.clone();
                fibra::go!({
                    let _guard = guard;
                    started.fetch_add(1, Ordering::SeqCst);
                    thread::park();
                });
            }
            wait_until("all have started", || started.load(Ordering::SeqCst) == 100);
            panic!("main is lost");
        })
    }))
    .unwrap_err();
    assert_eq!(message(&*payload), "main is lost");
    assert_eq!(drops.get(), 100);
}

/// As on a thread: a second panic that leaves a destructor ends the process, and says so.
#[test]
fn a_panic_that_leaves_a_destructor_of_a_cancelled_task_aborts_with_a_message() {
    let output =
        in_child("a_panic_that_leaves_a_destructor_of_a_cancelled_task_aborts_with_a_message", &[], || {
            let main = || {
                let task = thread::Builder::new().name("unlucky".into()).spawn_local(|| {
                    let _guard = OnDrop::new(|| panic!("one too many"));
                    thread::park();
                });
                fibra::yield_now();
                task.unwrap().cancel();
                fibra::sleep(PATIENCE);
            };
            Builder::new().workers(1).run(main).unwrap();
        });
    let text = stderr(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    assert!(text.contains("one too many") && text.contains("'unlucky'"), "{text}");
}

/// A closure whose end panics.
struct PanicsWhenDropped(Drops);

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        drop(self.0.counted());
        panic!("dropped unrun");
    }
}

#[test]
fn a_closure_whose_drop_panics_after_a_cancellation_before_its_start_gives_the_payload_to_join() {
    Builder::new()
        .workers(1)
        .run(|| {
            let drops = Drops::new();
            let bomb = PanicsWhenDropped(drops.clone());
            let task = fibra::spawn(move || drop(bomb));
            task.cancel();
            assert_eq!(message(&*task.join().unwrap_err()), "dropped unrun");
            assert_eq!(drops.get(), 1);
            let harmless = drops.counted();
            let task = fibra::spawn(move || drop(harmless));
            task.cancel();
            assert!(task.join().unwrap_err().is::<Cancelled>());
            assert_eq!(drops.get(), 2);
        })
        .unwrap();
}

#[test]
fn closures_that_never_ran_are_dropped_at_the_end_of_the_runtime_even_if_that_panics_or_parks() {
    let drops = Drops::new();
    let runtime = Builder::new().workers(1).build().unwrap();
    let handle = runtime.handle();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (entered, has_entered) = std::sync::mpsc::channel::<()>();
    // Blocks the only worker, so that nothing else starts.
    let hog = handle.spawn(move || {
        entered.send(()).unwrap();
        released.recv().unwrap();
    });
    has_entered.recv().unwrap();
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let bomb = PanicsWhenDropped(drops.clone());
        drop(handle.spawn(move || drop(bomb)));
        let (counted, nap) = (drops.counted(), OnDrop::new(|| fibra::sleep(Duration::from_millis(1))));
        tasks.push(handle.spawn(move || drop((nap, counted))));
    }
    let ender = std::thread::spawn(move || drop(runtime));
    wait_until("the runtime refuses tasks", || handle.try_spawn(|| ()).is_err());
    release.send(()).unwrap();
    ender.join().unwrap();
    assert_eq!(drops.get(), 20);
    hog.join().unwrap();
    tasks.into_iter().for_each(|task| assert!(task.join().unwrap_err().is::<Cancelled>()));
}

#[test]
fn a_panic_in_a_detached_task_is_reported_once_with_id_and_name_and_the_runtime_goes_on() {
    let output = in_child(
        "a_panic_in_a_detached_task_is_reported_once_with_id_and_name_and_the_runtime_goes_on",
        &[],
        || {
            Builder::new()
                .workers(1)
                .run(|| {
                    let named = thread::Builder::new()
                        .name("reader".into())
                        .spawn(|| panic!("lost the file"))
                        .unwrap();
                    eprintln!("the reader's id: {:?}", named.thread().id());
                    drop(named);
                    drop(fibra::spawn(|| panic!("nameless")));
                    (0..10).for_each(|_| fibra::yield_now());
                    assert_eq!(fibra::spawn(|| 42).join().unwrap(), 42);
                    eprintln!("the runtime goes on");
                })
                .unwrap();
        },
    );
    let text = stderr(&output);
    assert!(output.status.success(), "{text}");
    let id = text.split("ThreadId(").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    assert_eq!(count(&text, &format!("task {id} 'reader' panicked")), 1, "{text}");
    assert_eq!(count(&text, "lost the file"), 1, "{text}");
    assert_eq!(count(&text, "'<unnamed>' panicked"), 1, "{text}");
    assert_eq!(count(&text, "nameless"), 1, "{text}");
    assert_eq!(count(&text, "the runtime goes on"), 1, "{text}");
}

#[test]
fn a_cancellation_runs_no_panic_hook() {
    let output = in_child("a_cancellation_runs_no_panic_hook", &[], || {
        fibra::run(|| {
            let task = fibra::spawn(thread::park);
            fibra::yield_now();
            task.cancel();
            task.join().unwrap_err();
            drop(fibra::spawn(thread::park));
        });
    });
    assert!(output.status.success());
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_hook_that_the_program_sets_is_called_and_one_that_parks_is_refused() {
    let output =
        in_child("a_hook_that_the_program_sets_is_called_and_one_that_parks_is_refused", &[], || {
            std::panic::set_hook(Box::new(|info| {
                eprintln!("own hook: {info}");
                if info.payload_as_str() == Some("park in the hook") {
                    fibra::sleep(Duration::from_millis(1));
                }
            }));
            fibra::run(|| {
                fibra::spawn(|| panic!("an ordinary one")).join().unwrap_err();
                eprintln!("after the ordinary one");
                let _ = fibra::spawn(|| panic!("park in the hook")).join();
            });
        });
    let text = stderr(&output);
    assert_eq!(count(&text, "an ordinary one"), 1, "{text}");
    assert_eq!(count(&text, "after the ordinary one"), 1, "{text}");
    assert!(text.contains("a panic hook tried to park its task"), "{text}");
    assert!(!output.status.success());
}

#[test]
fn a_panic_on_the_thread_stack_comes_back_and_parking_there_is_refused() {
    fibra::run(|| {
        let task = fibra::spawn(|| {
            let panic = catch_unwind(|| fibra::on_thread_stack(|| panic!("down there")));
            assert_eq!(message(&*panic.unwrap_err()), "down there");
            let parked = catch_unwind(|| fibra::on_thread_stack(|| fibra::sleep(Duration::from_millis(1))));
            assert!(message(&*parked.unwrap_err()).contains("can't park inside `on_thread_stack`"));
            fibra::sleep(Duration::from_millis(1));
            fibra::on_thread_stack(|| fibra::on_thread_stack(|| 7))
        });
        assert_eq!(task.join().unwrap(), 7);
    });
}
