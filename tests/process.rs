//! Child processes: what std promises, and that only the task waits.

mod support;

use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use fibra::process::{Command, Stdio};
use support::{PATIENCE, fd_count, in_child, wait_until};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script);
    command
}

/// Runs `body` in a task and on a plain thread.
fn both(body: fn()) {
    fibra::run(body);
    body();
}

#[test]
fn output_takes_both_streams_however_long() {
    both(|| {
        let script = "yes out | head -c 300000; yes err | head -c 400000 >&2; exit 3";
        let output = shell(script).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 400_000));
        assert!(output.stdout.starts_with(b"out\nout\n") && output.stderr.starts_with(b"err\nerr\n"));
    });
}

#[test]
fn output_of_one_stream_and_an_empty_standard_input() {
    both(|| {
        let output = shell("cat; echo done; echo lost >&2").stderr(Stdio::null()).output().unwrap();
        assert!(output.status.success());
        assert_eq!((&*output.stdout, &*output.stderr), (&b"done\n"[..], &b""[..]));
    });
}

#[test]
fn a_command_can_be_spawned_after_its_output_was_taken() {
    fibra::run(|| {
        let mut command = shell("exit 4");
        assert_eq!(command.output().unwrap().status.code(), Some(4));
        let mut child = command.spawn().unwrap();
        assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
        assert_eq!(child.wait().unwrap().code(), Some(4));
    });
}

#[test]
fn what_goes_into_cat_comes_out() {
    both(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut lines = BufReader::new(stdout).lines();
        for i in 0..100 {
            writeln!(stdin, "line {i}").unwrap();
            assert_eq!(lines.next().unwrap().unwrap(), format!("line {i}"));
        }
        drop(stdin);
        assert!(lines.next().is_none());
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn a_wait_parks_the_task_and_not_its_worker() {
    let runtime = fibra::Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let waiter = fibra::spawn(move || child.wait().unwrap());
        // The child ends when this task, on the same worker, lets go of its input.
        fibra::yield_now();
        drop(stdin);
        assert!(waiter.join().unwrap().success());
    });
}

#[test]
fn killed_by_a_signal_and_waited_for_twice() {
    both(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        assert_eq!(child.wait_timeout(Duration::from_millis(5)).unwrap(), None);
        assert_eq!(child.wait_deadline(std::time::Instant::now()).unwrap(), None);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (None, Some(libc::SIGKILL)));
        assert_eq!(child.wait().unwrap(), status);
        assert_eq!(child.try_wait().unwrap(), Some(status));
        assert_eq!(child.wait_timeout(PATIENCE).unwrap(), Some(status));
        child.kill().unwrap();
    });
}

#[test]
fn environment_directory_and_arguments_arrive() {
    fibra::run(|| {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $A $B $1; pwd", "sh", "third"]);
        command.env_clear().env("A", "first").envs([("B", "second"), ("C", "x")]).env_remove("C");
        command.current_dir("/");
        assert_eq!(command.get_program(), "sh");
        assert_eq!(command.get_args().count(), 4);
        assert_eq!(command.get_current_dir().unwrap(), std::path::Path::new("/"));
        assert_eq!(command.output().unwrap().stdout, b"first second third\n/\n");
    });
}

#[test]
fn a_program_that_is_not_there_is_named() {
    both(|| {
        for error in [
            Command::new("no-such-program").spawn().unwrap_err(),
            Command::new("no-such-program").output().unwrap_err(),
            Command::new("no-such-program").status().unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains("no-such-program"), "{error}");
            assert!(error.source().is_some());
        }
    });
}

#[test]
fn fifty_at_once_leave_nothing_behind() {
    // The count of descriptors belongs to the process: one of its own.
    let output = in_child("fifty_at_once_leave_nothing_behind", &[], || {
        fibra::run(|| {
            let before = fd_count();
            let tasks: Vec<_> = (0..50)
                .map(|i| fibra::spawn(move || shell(&format!("exit {i}")).output().unwrap().status.code()))
                .collect();
            for (i, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.join().unwrap(), Some(i as i32));
            }
            assert_eq!(fd_count(), before);
            // SAFETY: no pointers that are not null.
            let zombie = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
            assert_eq!(zombie, -1, "every child has been waited for");
        });
    });
    assert!(output.status.success(), "{}", support::stderr(&output));
}

#[test]
fn a_cancelled_wait_leaves_the_child_to_be_waited_for() {
    fibra::run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let child = std::sync::Arc::new(fibra::sync::Mutex::new(child));
        let waiter = fibra::spawn({
            let child = child.clone();
            move || child.lock().wait()
        });
        wait_until("the task holds the child", || child.try_lock().is_none());
        waiter.cancel();
        assert!(waiter.join().unwrap_err().is::<fibra::Cancelled>());
        drop(stdin);
        assert!(child.lock().wait().unwrap().success());
    });
}

/// Whether we have children that run, or have ended and were not waited for.
fn has_children() -> bool {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
    let look_only = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the structure may be written to.
    unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), look_only) == 0 }
}

#[test]
fn the_child_of_a_cancelled_output_does_not_stay_a_zombie() {
    // The children belong to the process: one of its own.
    let output = in_child("the_child_of_a_cancelled_output_does_not_stay_a_zombie", &[], || {
        fibra::run(|| {
            let (input, end_of_input) = fibra::io::pipe().unwrap();
            let (reports, report) = fibra::io::pipe().unwrap();
            let waits: [fn(&mut Command) -> bool; 2] = [|c| c.output().is_ok(), |c| c.status().is_ok()];
            let tasks = waits.map(|wait| {
                let mut command = shell("echo runs >&2; cat");
                command.stdin(input.try_clone().unwrap()).stderr(report.try_clone().unwrap());
                fibra::spawn(move || wait(&mut command))
            });
            (&reports).read_exact(&mut [0; 2 * 5]).unwrap();
            for task in tasks {
                task.cancel();
                assert!(task.join().unwrap_err().is::<fibra::Cancelled>());
            }
            assert!(has_children());
            drop(end_of_input);
            wait_until("both have ended and are gone", || {
                assert!(Command::new("true").status().unwrap().success());
                !has_children()
            });
        });
    });
    assert!(output.status.success(), "{}", support::stderr(&output));
}

#[test]
fn writing_to_a_child_that_is_gone_is_a_broken_pipe() {
    both(|| {
        let mut child = shell("exit 0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
        child.wait().unwrap();
        assert_eq!(stdin.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn one_child_writes_into_another() {
    fibra::run(|| {
        let mut one = shell("seq 1000").stdout(Stdio::piped()).spawn().unwrap();
        let between = one.stdout.take().unwrap();
        let output = Command::new("wc").arg("-l").stdin(between).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "1000");
        assert!(one.wait().unwrap().success());
    });
}
