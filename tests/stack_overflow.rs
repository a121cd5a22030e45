//! What a program sees when a task runs out of stack, and that other faults are none of ours.

mod support;

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use fibra::thread::Builder;
use support::{count, in_child, stderr};

/// Uses some 100 bytes of stack a call, without end.
#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 8]);
    black_box(recurse(frame[3] + 1)) + frame[7]
}

/// Needs `bytes` of stack, and comes back.
fn descend(bytes: usize) -> u64 {
    let frame = black_box([1_u8; 4096]);
    let below = if bytes > frame.len() { descend(bytes - frame.len()) } else { 0 };
    below + u64::from(black_box(frame)[17])
}

/// The report's size of the stack, after checking all else about it.
fn reported_size(output: &Output, who: &str) -> usize {
    let text = stderr(output);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    assert_eq!(count(&text, "has overflowed its stack"), 1, "{text}");
    let line = text.lines().find(|line| line.contains("has overflowed its stack")).unwrap();
    let (task, size) = line.split_once(" has overflowed its stack of ").unwrap();
    let id = task.strip_prefix("task ").and_then(|rest| rest.strip_suffix(who)).unwrap_or("");
    assert!(id.trim().parse::<u64>().is_ok(), "no id before {who}: {line}");
    for remedy in
        ["fibra::thread::Builder::stack_size", "fibra::Builder::stack_size", "fibra::on_thread_stack"]
    {
        assert!(text.contains(remedy), "{remedy} is not named: {text}");
    }
    size.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn an_overflow_names_the_task_its_id_its_size_and_what_to_do() {
    let output = in_child("an_overflow_names_the_task_its_id_its_size_and_what_to_do", &[], || {
        fibra::run(|| {
            let neighbours: Vec<_> = (0..100).map(|_| fibra::spawn(fibra::thread::park)).collect();
            fibra::yield_now();
            let deep = Builder::new().name("deep".into()).spawn(|| recurse(0)).unwrap();
            drop((deep.join(), neighbours));
        });
    });
    let size = reported_size(&output, "'deep'");
    assert!((200 << 10..256 << 10).contains(&size), "{size}");
}

#[test]
fn an_unnamed_task_is_known_by_its_id() {
    let output = in_child("an_unnamed_task_is_known_by_its_id", &[], || {
        fibra::run(|| drop(fibra::spawn(|| recurse(0)).join()));
    });
    reported_size(&output, "'<unnamed>'");
}

#[test]
fn the_size_of_the_builder_counts() {
    let output = in_child("the_size_of_the_builder_counts", &[], || {
        fibra::run(|| {
            let builder = || Builder::new().name("large".into()).stack_size(3 << 20);
            builder().spawn(|| descend(3 << 19)).unwrap().join().unwrap();
            drop(builder().spawn(|| recurse(0)).unwrap().join());
        });
    });
    assert!(reported_size(&output, "'large'") >= 3 << 20);
}

#[test]
fn the_size_of_the_runtime_counts() {
    let output = in_child("the_size_of_the_runtime_counts", &[], || {
        let runtime = fibra::Builder::new().workers(1).stack_size(1 << 20).build().unwrap();
        runtime.spawn(|| descend(1 << 19)).join().unwrap();
        drop(runtime.spawn(|| recurse(0)).join());
    });
    assert!(reported_size(&output, "'<unnamed>'") >= 1 << 20);
}

#[test]
fn the_main_task_has_room_for_a_thread_s_worth_of_frames() {
    let output = in_child("the_main_task_has_room_for_a_thread_s_worth_of_frames", &[], || {
        fibra::run(|| {
            descend(5 << 20);
            recurse(0)
        });
    });
    let text = stderr(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    assert!(text.contains("has overflowed its stack of ") && text.contains("fibra::Builder"), "{text}");
}

#[test]
fn mprotected_guards_report_as_well() {
    let variables = [("FIBRA_STACK_GUARD", "mprotect")];
    let output = in_child("mprotected_guards_report_as_well", &variables, || {
        fibra::run(|| drop(Builder::new().name("deep".into()).spawn(|| recurse(0)).unwrap().join()));
    });
    reported_size(&output, "'deep'");
}

/// Goes down the stack as C code does that probes nothing: frames of 30 KiB, of which it touches the lowest byte.
#[cfg(target_arch = "x86_64")]
fn stride() {
    // SAFETY: it runs into the guard and does not come back, so what it does to the stack pointer does not matter.
    unsafe { std::arch::asm!("2:", "sub rsp, 30720", "mov byte ptr [rsp], 1", "jmp 2b", options(noreturn)) }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn large_frames_without_probes_do_not_step_over_the_guard() {
    let output = in_child("large_frames_without_probes_do_not_step_over_the_guard", &[], || {
        fibra::Builder::new().workers(1).build().unwrap().run(|| {
            // On both sides of the task there are slots in use.
            let spawn_parked = || (0..50).map(|_| fibra::spawn(fibra::thread::park)).collect::<Vec<_>>();
            let before = spawn_parked();
            fibra::yield_now();
            let deep = Builder::new().name("c".into()).spawn(stride).unwrap();
            drop((spawn_parked(), deep.join(), before));
        });
    });
    reported_size(&output, "'c'");
}

#[test]
fn an_overflow_of_a_thread_is_reported_by_std_alone() {
    let output = in_child("an_overflow_of_a_thread_is_reported_by_std_alone", &[], || {
        fibra::run(|| {
            let plain = std::thread::Builder::new().name("plain".into());
            drop(plain.spawn(|| recurse(0)).unwrap().join());
        });
    });
    let text = stderr(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    assert!(text.contains("thread 'plain'") && text.contains("has overflowed its stack"), "{text}");
    assert!(!text.contains("fibra::"), "{text}");
}

#[test]
fn an_overflow_of_the_worker_s_own_stack_is_reported_by_std() {
    let output = in_child("an_overflow_of_the_worker_s_own_stack_is_reported_by_std", &[], || {
        fibra::run(|| fibra::on_thread_stack(|| recurse(0)));
    });
    let text = stderr(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    assert!(text.contains("thread '") && !text.contains("fibra::"), "{text}");
}

#[test]
fn a_null_pointer_in_a_task_kills_by_sigsegv_as_in_a_thread() {
    let output = in_child("a_null_pointer_in_a_task_kills_by_sigsegv_as_in_a_thread", &[], || {
        fibra::run(|| {
            // SAFETY: none; that it faults is the test.
            drop(
                fibra::spawn(|| unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) })
                    .join(),
            );
        });
    });
    let text = stderr(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{text}");
    assert!(!text.contains("overflowed"), "{text}");
}

#[test]
fn a_program_s_own_handler_gets_its_faults_in_tasks() {
    extern "C" fn handler(_: libc::c_int) {
        // SAFETY: async-signal-safe, and runs nothing of ours.
        unsafe { libc::_exit(41) }
    }
    let output = in_child("a_program_s_own_handler_gets_its_faults_in_tasks", &[], || {
        // SAFETY: the handler copes with a signal at any time.
        unsafe { libc::signal(libc::SIGSEGV, handler as *const () as libc::sighandler_t) };
        fibra::run(|| {
            // SAFETY: none; that it faults is the test.
            drop(
                fibra::spawn(|| unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) })
                    .join(),
            );
        });
    });
    assert_eq!(output.status.code(), Some(41), "{}", stderr(&output));
}
