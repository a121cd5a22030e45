//! Signals as messages: who gets them, how they coalesce, and what the process does when nobody listens.
//!
//! Signals belong to the whole process, so each test has kinds of its own, or a process of its own.

mod support;

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::channel::{Receiver, TryRecvError};
use fibra::signal::{ctrl_c, signal, signals};
use fibra::{Builder, signal::Signal};
use support::{count, fd_count, in_child, stderr, thread_count, threads, wait_until, within_patience};

fn real_time(n: u32) -> Signal {
    Signal::real_time(n).unwrap()
}

/// Returns when all signals that this thread has raised so far have been handed out: of two that have come, the one with
/// the lower number goes first. Nobody else may use the `n`-th real-time signal.
fn handed_out(n: u32) {
    let last = real_time(n);
    let fence = signal(last).unwrap();
    last.raise().unwrap();
    assert_eq!(fence.recv(), Ok(last));
}

fn died_by(output: &Output) -> Option<Signal> {
    output.status.signal().map(Signal::from_raw)
}

#[test]
fn every_receiver_gets_the_signal_on_plain_threads_and_in_tasks_of_several_runtimes() {
    let kind = real_time(0);
    let runtimes: Vec<_> = [1, 2, 4].map(|workers| Builder::new().workers(workers).build().unwrap()).into();
    let plain = signal(kind).unwrap();
    let receivers: Vec<_> = runtimes.iter().map(|_| signal(kind).unwrap()).collect();
    let tasks: Vec<_> = runtimes
        .iter()
        .zip(receivers)
        .map(|(runtime, receiver)| runtime.spawn(move || (receiver.recv(), receiver.try_recv())))
        .collect();
    kind.raise().unwrap();
    within_patience(move || {
        for task in tasks {
            assert_eq!(task.join().unwrap(), (Ok(kind), Err(TryRecvError::Empty)));
        }
        assert_eq!(plain.recv(), Ok(kind));
        assert_eq!(plain.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn clones_of_a_receiver_share_its_signals() {
    let kind = real_time(1);
    let first = signal(kind).unwrap();
    let second = first.clone();
    kind.raise().unwrap();
    handed_out(20);
    assert_eq!(first.len() + second.len(), 2);
    assert_eq!(second.recv(), Ok(kind));
    assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn signals_that_nobody_takes_coalesce_into_one_and_hold_nobody_up() {
    let kind = real_time(2);
    let receiver = signal(kind).unwrap();
    for _ in 0..3 {
        for _ in 0..1000 {
            kind.raise().unwrap();
        }
        handed_out(21);
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [kind]);
    }
}

#[test]
fn a_kind_that_comes_often_does_not_displace_another() {
    let [often, seldom] = [real_time(3), real_time(4)];
    let receiver = signals([seldom, often]).unwrap();
    for _ in 0..5 {
        for _ in 0..100 {
            often.raise().unwrap();
            handed_out(22);
        }
        seldom.raise().unwrap();
        handed_out(22);
        often.raise().unwrap();
        handed_out(22);
        assert_eq!(receiver.len(), 2);
        assert_eq!(receiver.recv(), Ok(often));
        // It has been taken, so it has room again, behind the other.
        often.raise().unwrap();
        handed_out(22);
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [seldom, often]);
    }
}

#[test]
fn a_signal_that_comes_after_the_last_was_taken_is_never_lost() {
    let kind = real_time(5);
    let receiver = signal(kind).unwrap();
    let runtime = Builder::new().workers(2).build().unwrap();
    runtime.run(move || {
        for round in 0..2000 {
            kind.raise().unwrap();
            if round % 2 == 0 {
                fibra::yield_now();
            }
            assert_eq!(receiver.recv(), Ok(kind));
        }
    });
}

#[test]
fn signals_from_many_threads_at_once_all_arrive() {
    let kinds = [6, 7, 8, 9].map(real_time);
    let receivers: Vec<Receiver<Signal>> = kinds.iter().map(|kind| signal(*kind).unwrap()).collect();
    std::thread::scope(|s| {
        for (kind, receiver) in kinds.into_iter().zip(&receivers) {
            s.spawn(move || {
                for _ in 0..500 {
                    kind.raise().unwrap();
                    assert_eq!(receiver.recv(), Ok(kind));
                }
            });
        }
    });
}

#[test]
fn what_no_program_can_listen_for_is_refused_with_the_reason() {
    for name in ["SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS"] {
        let kind = (1..32).map(Signal::from_raw).find(|kind| kind.to_string() == name).unwrap();
        let error = signals([Signal::SIGUSR1, kind]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let message = error.to_string();
        assert!(message.starts_with(&format!("can't listen for {name}: ")), "{message}");
    }
    for number in [-1, 0, 32, 33, 65, 1 << 20] {
        let error = signal(Signal::from_raw(number)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}");
        assert_eq!(
            error.to_string(),
            format!("can't listen for signal {number}: there is no such signal for programs")
        );
    }
    assert_eq!(Signal::from_raw(65).raise().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn one_thread_serves_all_receivers_and_they_need_no_descriptors() {
    let output = in_child("one_thread_serves_all_receivers_and_they_need_no_descriptors", &[], || {
        let before = (thread_count(), fd_count());
        for _ in 0..100 {
            for n in 0..10 {
                signal(real_time(n)).unwrap();
            }
        }
        let kept: Vec<_> = (0..100).map(|_| ctrl_c().unwrap()).collect();
        assert_eq!((thread_count(), fd_count()), (before.0 + 1, before.1));
        Signal::SIGINT.raise().unwrap();
        kept.iter().for_each(|receiver| assert_eq!(receiver.recv(), Ok(Signal::SIGINT)));
    });
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_dispatcher_sleeps_while_no_signal_comes() {
    let output = in_child("the_dispatcher_sleeps_while_no_signal_comes", &[], || {
        let _receiver = signal(real_time(10)).unwrap();
        let sleeps = || {
            let dispatcher = threads().into_iter().find(|(name, _)| name == "fibra-signal");
            let status = std::fs::read_to_string(dispatcher?.1.join("status")).unwrap();
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        wait_until("it sleeps", || {
            let before = sleeps();
            std::thread::sleep(Duration::from_millis(500));
            before.is_some() && sleeps() == before
        });
    });
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn while_a_receiver_lives_the_default_action_is_off_and_then_it_is_on_again() {
    let name = "while_a_receiver_lives_the_default_action_is_off_and_then_it_is_on_again";
    let output = in_child(name, &[], || {
        let receiver = signal(Signal::SIGTERM).unwrap();
        let never_looked_at = signal(Signal::SIGTERM).unwrap();
        for _ in 0..3 {
            Signal::SIGTERM.raise().unwrap();
            assert_eq!(receiver.recv(), Ok(Signal::SIGTERM));
        }
        drop(receiver);
        Signal::SIGTERM.raise().unwrap();
        handed_out(23);
        eprintln!("alive");
        drop(never_looked_at);
        Signal::SIGTERM.raise().unwrap();
        std::thread::park_timeout(support::PATIENCE);
    });
    assert_eq!(
        (died_by(&output), count(&stderr(&output), "alive")),
        (Some(Signal::SIGTERM), 1),
        "{output:?}"
    );
}

#[test]
fn what_is_ignored_by_default_is_ignored_again() {
    let output = in_child("what_is_ignored_by_default_is_ignored_again", &[], || {
        let ignored = [Signal::SIGPIPE, Signal::SIGCHLD, Signal::SIGWINCH, Signal::SIGURG, Signal::SIGCONT];
        for kind in ignored {
            drop(signal(kind).unwrap());
            (0..10).for_each(|_| kind.raise().unwrap());
            handed_out(24);
            let again = signal(kind).unwrap();
            kind.raise().unwrap();
            assert_eq!(again.recv(), Ok(kind));
        }
    });
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn who_begins_to_listen_while_a_signal_is_given_its_default_misses_none_that_comes_later() {
    let name = "who_begins_to_listen_while_a_signal_is_given_its_default_misses_none_that_comes_later";
    let output = in_child(name, &[], || {
        let kind = Signal::SIGURG;
        for _ in 0..5000 {
            drop(signal(kind).unwrap());
            kind.raise().unwrap(); // nobody's
            let receiver = signal(kind).unwrap();
            kind.raise().unwrap();
            assert_eq!(receiver.recv(), Ok(kind));
        }
    });
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_stop_that_nobody_listens_for_stops_the_process_and_it_listens_again_when_it_goes_on() {
    let name = "a_stop_that_nobody_listens_for_stops_the_process_and_it_listens_again_when_it_goes_on";
    let output = in_child(name, &[], || {
        let own = std::process::id();
        // In a process group without a parent in its session, as under `nohup`, stops are ignored. In one of our own
        // we have one.
        // SAFETY: no pointers are passed.
        assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
        for _ in 0..2 {
            drop(signal(Signal::SIGTSTP).unwrap());
            // A stopped process can't help itself up. The helper gives up when we are gone.
            let script = format!(
                "while kill -0 {own}; do grep -q '^State:.T' /proc/{own}/status && kill -CONT {own} && exit; sleep 0.01; done"
            );
            let mut helper = Command::new("sh").args(["-c", &script]).spawn().unwrap();
            Signal::SIGTSTP.raise().unwrap();
            assert!(helper.wait().unwrap().success());
            let again = signal(Signal::SIGTSTP).unwrap();
            Signal::SIGTSTP.raise().unwrap();
            assert_eq!(again.recv(), Ok(Signal::SIGTSTP));
        }
    });
    assert!(output.status.success(), "{output:?}");
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_call(_: libc::c_int) {
    CALLS.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn a_handler_that_was_there_before_is_called_as_well_and_alone_when_nobody_listens() {
    let kind = real_time(11);
    // SAFETY: the handler only counts.
    let before = unsafe { libc::signal(kind.as_raw(), count_call as *const () as libc::sighandler_t) };
    assert_eq!(before, libc::SIG_DFL);
    let receiver = signal(kind).unwrap();
    kind.raise().unwrap();
    assert_eq!((receiver.recv(), CALLS.load(Ordering::SeqCst)), (Ok(kind), 1));
    drop(receiver);
    kind.raise().unwrap();
    handed_out(25);
    assert_eq!(CALLS.load(Ordering::SeqCst), 2);
}

#[test]
fn a_signal_held_back_in_every_other_thread_arrives_nevertheless() {
    let name = "a_signal_held_back_in_every_other_thread_arrives_nevertheless";
    let hold_back = |how| {
        let mut set = MaybeUninit::uninit();
        // SAFETY: the first call fills in the set, which the others use.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGUSR2);
            assert_eq!(libc::pthread_sigmask(how, set.as_ptr(), ptr::null_mut()), 0);
        }
    };
    // A new process, and all of its threads, hold back what its parent's thread does.
    hold_back(libc::SIG_BLOCK);
    let output = in_child(name, &[], || {
        let receiver = signal(Signal::SIGUSR2).unwrap();
        // SAFETY: a plain system call, to this process as a whole.
        assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGUSR2) }, 0);
        assert_eq!(receiver.recv(), Ok(Signal::SIGUSR2));
    });
    hold_back(libc::SIG_UNBLOCK);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_handler_does_not_run_on_the_stack_of_the_task_that_it_interrupts() {
    let kind = real_time(12);
    /// Where the handler's frame was.
    static FRAME: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn note_frame(_: libc::c_int) {
        let local = 0u8;
        FRAME.store((&raw const local).addr(), Ordering::SeqCst);
    }
    // SAFETY: the handler only stores an address.
    unsafe { libc::signal(kind.as_raw(), note_frame as *const () as libc::sighandler_t) };
    let receiver = signal(kind).unwrap();
    let runtime = Builder::new().workers(1).build().unwrap();
    let distance = runtime.run(move || {
        let local = 0u8;
        kind.raise().unwrap();
        assert_eq!(receiver.recv(), Ok(kind));
        (&raw const local).addr().abs_diff(FRAME.load(Ordering::SeqCst))
    });
    assert!(distance > 256 << 10, "{distance} bytes from the task's frame");
}

#[test]
fn a_handler_leaves_errno_alone_and_interrupted_calls_go_on() {
    let kind = real_time(13);
    let receiver = signal(kind).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let thread = std::thread::spawn(move || {
        // SAFETY: plain calls; the buffer is one byte long.
        unsafe {
            *libc::__errno_location() = 77;
            libc::raise(kind.as_raw());
            assert_eq!(*libc::__errno_location(), 77);
            let mut byte = 0u8;
            let fd = std::os::fd::AsRawFd::as_raw_fd(&reader);
            // A read that a signal ended would return -1 with EINTR.
            assert_eq!(libc::read(fd, (&raw mut byte).cast(), 1), 1);
        }
    });
    assert_eq!(receiver.recv(), Ok(kind));
    let target = std::os::unix::thread::JoinHandleExt::as_pthread_t(&thread);
    for _ in 0..100 {
        // SAFETY: the thread has not been joined.
        assert_eq!(unsafe { libc::pthread_kill(target, kind.as_raw()) }, 0);
        assert_eq!(receiver.recv(), Ok(kind));
    }
    std::io::Write::write_all(&mut &writer, b"x").unwrap();
    thread.join().unwrap();
}

#[test]
fn a_task_that_is_cancelled_while_it_waits_takes_no_signal_with_it() {
    let kind = real_time(14);
    let receiver = signal(kind).unwrap();
    let runtime = Builder::new().workers(2).build().unwrap();
    for _ in 0..100 {
        let waiting = receiver.clone();
        let task = runtime.spawn(move || waiting.recv());
        kind.raise().unwrap();
        task.cancel();
        match task.join() {
            Ok(got) => assert_eq!(got, Ok(kind)),
            Err(_) => assert_eq!(receiver.recv(), Ok(kind)),
        }
    }
}
