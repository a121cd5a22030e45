//! Stacks as a program sees them: sizes, both kinds of guard, locked memory, and memory that comes back.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fibra::thread::Builder;
use support::{in_child, rss_kib, stderr, wait_until};

/// Spawns `n` tasks that park, and joins them; returns the greatest resident memory in KiB, above that of the start.
fn park_and_join(n: usize) -> usize {
    let start = rss_kib();
    let alive = Arc::new(AtomicUsize::new(0));
    let live = || {
        let alive = alive.clone();
        move || {
            alive.fetch_add(1, Ordering::Relaxed);
            fibra::thread::park();
        }
    };
    let tasks: Vec<_> = (0..n).map(|_| fibra::spawn(live())).collect();
    wait_until("all tasks have started", || alive.load(Ordering::Relaxed) == n);
    let peak = rss_kib();
    for task in tasks {
        task.thread().unpark();
        task.join().unwrap();
    }
    peak.saturating_sub(start)
}

#[test]
fn an_impossible_size_is_an_error_that_names_value_and_range() {
    fibra::run(|| {
        for size in [0, 3, 1 << 40, usize::MAX] {
            let error = Builder::new().stack_size(size).spawn(|| ()).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(
                text.contains(&size.to_string()) && text.contains("16384") && text.contains("34359738368"),
                "{text}"
            );
        }
    });
    for size in [3, 1 << 40] {
        let text = fibra::Builder::new().stack_size(size).build().err().unwrap().to_string();
        assert!(
            text.contains("stack") && text.contains(&size.to_string()) && text.contains("16384"),
            "{text}"
        );
    }
}

#[test]
fn every_size_from_the_least_to_a_gigabyte_works() {
    fibra::run(|| {
        for size in (14..=30).map(|shift| 1 << shift) {
            let task = Builder::new().stack_size(size).spawn(|| std::hint::black_box([7_u8; 2000])[1999]);
            assert_eq!(task.unwrap().join().unwrap(), 7, "{size}");
        }
    });
}

#[test]
fn tasks_run_with_mprotected_guards() {
    let output = in_child("tasks_run_with_mprotected_guards", &[("FIBRA_STACK_GUARD", "mprotect")], || {
        let peak = fibra::run(|| park_and_join(10_000));
        assert!(peak < 100 << 10, "10,000 tasks took {peak} KiB");
    });
    assert!(output.status.success(), "{}", stderr(&output));
}

/// With guards that take map entries the process can't have more than some 33,000 stacks by default; with a higher limit
/// this test would need more memory than it is worth, and stops without an error.
#[test]
fn running_out_of_stacks_is_an_error_of_try_spawn_and_passes() {
    const ENOUGH: usize = 40_000;
    let run = || {
        fibra::Builder::new().workers(1).run(|| {
            let (mut parked, mut refusal) = (Vec::new(), None);
            while refusal.is_none() && parked.len() < ENOUGH {
                match fibra::try_spawn(fibra::thread::park) {
                    Ok(task) => parked.push(task),
                    Err(error) => refusal = Some(error),
                }
                fibra::yield_now();
            }
            let mut unstarted = 0;
            for task in parked {
                task.thread().unpark();
                if let Err(payload) = task.join() {
                    let error = payload.downcast::<std::io::Error>().expect("the error of the stack");
                    assert!(error.to_string().contains("vm.max_map_count"), "{error}");
                    unstarted += 1;
                }
            }
            if let Some(error) = refusal {
                assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
                assert!(error.to_string().contains("vm.max_map_count"), "{error}");
                assert_ne!(unstarted, 0, "somebody had to find out");
            }
            assert_eq!(fibra::spawn(|| "there are stacks again").join().unwrap(), "there are stacks again");
        })
    };
    let test = "running_out_of_stacks_is_an_error_of_try_spawn_and_passes";
    let output = in_child(test, &[("FIBRA_STACK_GUARD", "mprotect")], || run().unwrap());
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn tasks_run_in_a_process_that_locks_its_memory() {
    let output = in_child("tasks_run_in_a_process_that_locks_its_memory", &[], || {
        // SAFETY: takes a number.
        if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) } == -1 {
            eprintln!("skipped: mlockall: {}", std::io::Error::last_os_error());
            return;
        }
        let peak = fibra::run(|| park_and_join(2_000));
        assert!(peak < 20 << 10, "2,000 tasks took {peak} KiB");
    });
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn an_unknown_kind_of_guard_is_an_error_that_names_it() {
    let output = in_child(
        "an_unknown_kind_of_guard_is_an_error_that_names_it",
        &[("FIBRA_STACK_GUARD", "wood")],
        || {
            let result =
                fibra::Builder::new().run(|| fibra::try_spawn(|| ()).map(|task| task.join().is_ok()));
            match result.and_then(|spawned| spawned) {
                Ok(ran) => eprintln!("ran: {ran}"),
                Err(error) => eprintln!("{error}"),
            }
        },
    );
    assert!(stderr(&output).contains("FIBRA_STACK_GUARD=wood"), "{}", stderr(&output));
}

#[test]
fn memory_comes_back_after_a_burst() {
    let output = in_child("memory_comes_back_after_a_burst", &[], || {
        fibra::run(|| {
            let start = rss_kib();
            let peak = park_and_join(50_000);
            assert!(peak > 150_000, "50,000 parked tasks took {peak} KiB");
            wait_until("the memory comes back", || rss_kib() < start + peak / 5);
        });
    });
    assert!(output.status.success(), "{}", stderr(&output));
}
