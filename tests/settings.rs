//! Settings of runtimes and tasks: bad ones give errors that name the setting, the value and what is allowed.

mod support;

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};

use fibra::{Builder, thread};
use support::{in_child, message, threads};

#[track_caller]
fn check<T: std::fmt::Debug>(result: io::Result<T>, kind: ErrorKind, words: &[&str]) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for word in words {
        assert!(text.contains(word), "\"{word}\" is missing in: {text}");
    }
}

#[test]
fn a_number_of_workers_out_of_range_is_an_error() {
    for workers in [0, 1025, 100_000, usize::MAX] {
        let value = workers.to_string();
        check(
            Builder::new().workers(workers).build(),
            ErrorKind::InvalidInput,
            &["workers", &value, "1 to 1024"],
        );
    }
    check(Builder::new().workers(0).run(|| ()), ErrorKind::InvalidInput, &["workers", "0"]);
    for workers in [1, 2, 16] {
        let runtime = Builder::new().workers(workers).build().unwrap();
        assert_eq!(runtime.handle().workers(), workers);
    }
}

#[test]
fn a_stack_size_out_of_range_is_an_error_of_build_and_of_spawn() {
    for bytes in [0, 3, 1 << 40, usize::MAX] {
        let value = bytes.to_string();
        let words = ["stack_size", &value, "16384", "34359738368"];
        check(Builder::new().stack_size(bytes).build(), ErrorKind::InvalidInput, &words);
        fibra::run(|| {
            let builder = thread::Builder::new().stack_size(bytes);
            check(builder.spawn(|| ()), ErrorKind::InvalidInput, &words);
            let builder = thread::Builder::new().stack_size(bytes);
            check(builder.spawn_local(|| ()), ErrorKind::InvalidInput, &words);
        });
    }
}

#[test]
fn stacks_of_many_sizes_work() {
    fn fill(bytes: usize) -> usize {
        const FRAME: usize = 1024;
        let frame = std::hint::black_box([1_u8; FRAME]);
        let below = if bytes > 4 * FRAME { fill(bytes - 2 * FRAME) } else { 0 };
        below + usize::from(frame[bytes % FRAME])
    }
    fibra::run(|| {
        for bytes in [16 << 10, 100_000, 224 << 10, 1 << 20, 16 << 20] {
            let task = thread::Builder::new().stack_size(bytes).spawn(move || fill(bytes / 4)).unwrap();
            assert!(task.join().unwrap() > 0);
        }
    });
    let small = Builder::new().stack_size(16 << 10).build().unwrap();
    assert_eq!(small.spawn(|| 7).join().unwrap(), 7);
    // A main task has its 8 MiB all the same.
    assert!(small.run(|| fill(2 << 20)) > 0);
}

#[test]
fn max_tasks_limits_the_unfinished_tasks_and_gives_room_again() {
    check(Builder::new().max_tasks(0).build(), ErrorKind::InvalidInput, &["max_tasks", "0", "from 1"]);
    let runtime = Builder::new().max_tasks(3).build().unwrap();
    for _ in 0..100 {
        runtime.run(|| {
            let first = fibra::try_spawn(thread::park).unwrap();
            let second = fibra::spawn(thread::park);
            check(fibra::try_spawn(|| ()), ErrorKind::QuotaExceeded, &["limit", "3", "max_tasks"]);
            check(fibra::Handle::current().try_spawn(|| ()), ErrorKind::QuotaExceeded, &["3"]);
            let builder = thread::Builder::new().stack_size(1 << 20).name("refused".into());
            check(builder.spawn(|| ()), ErrorKind::QuotaExceeded, &["3"]);
            let panic = catch_unwind(|| fibra::spawn(|| ())).unwrap_err();
            assert!(message(&*panic).contains("limit of 3"));
            let panic = catch_unwind(|| fibra::scope(|s| drop(s.spawn(|| ())))).unwrap_err();
            assert!(message(&*panic).contains("limit of 3"));
            first.cancel();
            first.join().unwrap_err();
            assert_eq!(fibra::try_spawn(|| 7).expect("one has ended").join().unwrap(), 7);
            second.thread().unpark();
            second.join().unwrap();
            // One at a time needs room for one.
            let third = fibra::spawn(thread::park);
            (0..100).for_each(|i| assert_eq!(fibra::spawn(move || i).join().unwrap(), i));
            third.thread().unpark();
            third.join().unwrap();
        });
        let tasks: Vec<_> = (0..3).map(|_| runtime.spawn(thread::park)).collect();
        let panic = catch_unwind(AssertUnwindSafe(|| runtime.run(|| ()))).unwrap_err();
        assert!(message(&*panic).contains("limit of 3"));
        tasks.iter().for_each(|task| task.thread().unpark());
        tasks.into_iter().for_each(|task| task.join().unwrap());
    }
}

#[test]
fn a_task_that_a_limit_refuses_drops_its_closure() {
    let drops = support::Drops::new();
    let runtime = Builder::new().max_tasks(1).build().unwrap();
    runtime.run(|| {
        for _ in 0..10 {
            let guard = drops.counted();
            fibra::try_spawn(move || drop(guard)).unwrap_err();
        }
    });
    assert_eq!(drops.get(), 10);
}

#[test]
fn workers_bear_the_name_that_was_set() {
    let runtime = Builder::new().workers(2).thread_name("engine").build().unwrap();
    let named = |name: &str| threads().iter().filter(|(thread, _)| thread == name).count();
    support::wait_until("the threads have their names", || named("engine-0") == 1 && named("engine-1") == 1);
    let inside = runtime.spawn(|| std::thread::current().name().unwrap().to_owned()).join().unwrap();
    assert!(inside == "engine-0" || inside == "engine-1", "{inside}");
    let words = ["thread_name", "a\\0b", "zero"];
    check(Builder::new().thread_name("a\0b").build(), ErrorKind::InvalidInput, &words);
}

#[test]
fn a_worker_that_is_not_there_is_an_error() {
    Builder::new()
        .workers(2)
        .run(|| {
            for index in [2, usize::MAX] {
                let value = index.to_string();
                let task = thread::Builder::new().worker(index).spawn(|| ());
                check(task, ErrorKind::InvalidInput, &["worker", &value, "2 workers"]);
            }
            for index in [0, 1] {
                let id = || std::thread::current().name().unwrap().to_owned();
                let task = thread::Builder::new().worker(index).spawn(id).unwrap();
                assert!(task.join().unwrap().ends_with(&format!("-{index}")));
            }
        })
        .unwrap();
}

#[test]
fn spawn_local_needs_a_task_and_stays_on_its_worker() {
    check(
        thread::Builder::new().spawn_local(|| ()),
        ErrorKind::Unsupported,
        &["spawn_local", "plain thread"],
    );
    assert!(message(&*catch_unwind(|| fibra::spawn_local(|| ())).unwrap_err()).contains("spawn_local"));
    Builder::new()
        .workers(2)
        .run(|| {
            let here = std::thread::current().id();
            for _ in 0..100 {
                let there = fibra::spawn_local(move || std::thread::current().id()).join().unwrap();
                assert_eq!(here, there);
            }
            let mine: usize =
                std::thread::current().name().unwrap().rsplit('-').next().unwrap().parse().unwrap();
            let other = thread::Builder::new().worker(1 - mine).spawn_local(|| ());
            check(other, ErrorKind::InvalidInput, &["spawn_local", "worker"]);
            thread::Builder::new().worker(mine).spawn_local(|| ()).unwrap().join().unwrap();
        })
        .unwrap();
}

#[test]
fn fibra_workers_sets_the_number_of_workers_or_is_refused_with_what_is_allowed() {
    let name = "fibra_workers_sets_the_number_of_workers_or_is_refused_with_what_is_allowed";
    for value in ["many", "0", "100000", "-1", "1.5", ""] {
        let output = in_child(name, &[("FIBRA_WORKERS", value)], || {
            let words = ["FIBRA_WORKERS", value, "1 to 1024"];
            let value = std::env::var("FIBRA_WORKERS").unwrap();
            if let Ok(expected @ 1..1024) = value.trim().parse() {
                assert_eq!(Builder::new().build().unwrap().handle().workers(), expected);
                assert_eq!(fibra::Handle::current().workers(), expected);
                // What the program sets comes first.
                assert_eq!(Builder::new().workers(2).build().unwrap().handle().workers(), 2);
                return;
            }
            check(Builder::new().build(), ErrorKind::InvalidInput, &[words[0], &value, words[2]]);
            check(fibra::try_spawn(|| ()), ErrorKind::InvalidInput, &[words[0], &value, words[2]]);
            let panics: [Box<dyn FnOnce()>; 2] =
                [Box::new(|| drop(fibra::spawn(|| ()))), Box::new(|| fibra::run(|| ()))];
            for panic in panics {
                let payload = catch_unwind(AssertUnwindSafe(panic)).unwrap_err();
                assert!(message(&*payload).contains("FIBRA_WORKERS"), "{}", message(&*payload));
            }
            // The program is not lost by it.
            assert_eq!(Builder::new().workers(1).run(|| 7).unwrap(), 7);
        });
        assert!(output.status.success(), "{value}: {}", support::stderr(&output));
    }
    for value in ["3", " 5 "] {
        let output =
            in_child(name, &[("FIBRA_WORKERS", value)], || unreachable!("the child runs the first body"));
        assert!(output.status.success(), "{value}: {}", support::stderr(&output));
    }
}
