//! Standard input, output and error: each test runs in a child process whose descriptors 0 to 2 are ours to
//! choose.

mod support;

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use support::{in_child, wait_until, within_patience};

const CHILD: &str = "FIBRA_TEST_CHILD";

/// As [`in_child`], with a standard input: the child runs `body`, and the parent gets its handle.
fn with_stdin(name: &str, stdin: Stdio, body: impl FnOnce()) -> Child {
    if std::env::var(CHILD).is_ok_and(|child| child == name) {
        body();
        std::process::exit(0);
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, name);
    command.env_remove("FIBRA_WORKERS").env_remove("RUST_BACKTRACE");
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// All that a child writes until it ends, which has to be well; the harness's own lines are among it.
fn rest(child: Child) -> String {
    let output = within_patience(move || child.wait_with_output().unwrap());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn nonblocking(fd: i32) -> bool {
    // SAFETY: no pointers are passed.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    assert_ne!(flags, -1);
    flags & libc::O_NONBLOCK != 0
}

fn one_worker<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    fibra::Builder::new().workers(1).run(f).unwrap()
}

#[test]
fn lines_arrive_as_they_are_written() {
    let mut child = with_stdin("lines_arrive_as_they_are_written", Stdio::piped(), || {
        fibra::run(|| {
            let mut out = fibra::io::stdout();
            writeln!(out).unwrap();
            for line in fibra::io::stdin().lines() {
                writeln!(out, "<{}>", line.unwrap()).unwrap();
            }
            // The end stays the end.
            assert_eq!(fibra::io::stdin().read_line(&mut String::new()).unwrap(), 0);
            write!(out, "end").unwrap();
        });
    });
    within_patience(move || {
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in ["one", "two", "three"] {
            writeln!(stdin, "{line}").unwrap();
            // Each comes back before the next is written.
            let answer = format!("<{line}>");
            assert!(stdout.by_ref().any(|line| line.unwrap() == answer));
        }
        drop(stdin);
        assert_eq!(stdout.next().unwrap().unwrap(), "end");
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn a_task_that_waits_for_input_lets_others_run() {
    let mut child = with_stdin("a_task_that_waits_for_input_lets_others_run", Stdio::piped(), || {
        one_worker(|| {
            static READ: AtomicBool = AtomicBool::new(false);
            let reader = fibra::spawn(|| {
                let mut line = String::new();
                fibra::io::stdin().read_line(&mut line).unwrap();
                READ.store(true, Ordering::SeqCst);
                line
            });
            for _ in 0..20 {
                fibra::sleep(std::time::Duration::from_millis(1));
            }
            assert!(!READ.load(Ordering::SeqCst));
            // The parent writes only when it has seen this.
            writeln!(fibra::io::stdout(), "\nticked").unwrap();
            assert_eq!(reader.join().unwrap(), "go\n");
            let flags: Vec<bool> = (0..3).map(nonblocking).collect();
            writeln!(fibra::io::stderr(), "checked").unwrap();
            assert_eq!(flags, [false; 3]);
        });
    });
    within_patience(move || {
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(stdout.by_ref().any(|line| line.unwrap() == "ticked"));
        stdin.write_all(b"go\n").unwrap();
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert!(child.wait().unwrap().success(), "{errors}");
        assert!(errors.contains("checked\n"), "{errors}");
    });
}

#[test]
fn a_task_that_waits_for_room_lets_others_run() {
    let mut child = with_stdin("a_task_that_waits_for_room_lets_others_run", Stdio::piped(), || {
        one_worker(|| {
            static WRITTEN: AtomicBool = AtomicBool::new(false);
            let writer = fibra::spawn(|| {
                fibra::io::stdout().write_all(&vec![b'x'; 1 << 20]).unwrap();
                fibra::io::stdout().flush().unwrap();
                WRITTEN.store(true, Ordering::SeqCst);
            });
            fibra::sleep(std::time::Duration::from_millis(50));
            assert!(!WRITTEN.load(Ordering::SeqCst));
            assert!(!nonblocking(1));
            writeln!(fibra::io::stderr(), "full").unwrap();
            writer.join().unwrap();
        });
    });
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    within_patience(move || assert!(stderr.any(|line| line.unwrap() == "full")));
    assert!(support::count(&rest(child), "x") >= 1 << 20);
}

#[test]
fn what_is_buffered_is_flushed_at_the_exit() {
    let output = in_child("what_is_buffered_is_flushed_at_the_exit", &[], || {
        fibra::run(|| write!(fibra::io::stdout(), "no end of line").unwrap());
    });
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("no end of line"));
}

#[test]
fn an_exit_from_within_a_task_flushes_too() {
    let output = in_child("an_exit_from_within_a_task_flushes_too", &[], || {
        one_worker(|| {
            write!(fibra::io::stdout(), "no end of line").unwrap();
            std::process::exit(0)
        })
    });
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("no end of line"));
}

#[test]
fn a_regular_file_is_read_to_its_end() {
    let path = std::env::temp_dir().join(format!("fibra-stdin-{}", std::process::id()));
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    (0..10_000).for_each(|i| writeln!(file, "line {i}").unwrap());
    file.rewind().unwrap();
    let child = with_stdin("a_regular_file_is_read_to_its_end", file.into(), || {
        one_worker(|| {
            let lines = fibra::io::stdin().lines().map(Result::unwrap);
            assert!(lines.eq((0..10_000).map(|i| format!("line {i}"))));
            write!(fibra::io::stdout(), "read").unwrap();
        });
    });
    assert!(rest(child).ends_with("read"));
}

#[test]
fn plain_threads_need_no_runtime() {
    let mut child = with_stdin("plain_threads_need_no_runtime", Stdio::piped(), || {
        let mut text = String::new();
        fibra::io::stdin().read_to_string(&mut text).unwrap();
        write!(fibra::io::stdout(), "{}", text.to_uppercase()).unwrap();
    });
    child.stdin.take().unwrap().write_all(b"some text").unwrap();
    assert!(rest(child).ends_with("SOME TEXT"));
}

#[test]
fn closed_descriptors_are_empty() {
    let output = in_child("closed_descriptors_are_empty", &[], || {
        // SAFETY: this process reads and writes nothing else through them.
        (0..2).for_each(|fd| assert_eq!(unsafe { libc::close(fd) }, 0));
        fibra::io::stdin().read_to_end(&mut Vec::new()).map(|n| assert_eq!(n, 0)).unwrap();
        writeln!(fibra::io::stdout(), "nobody reads this").unwrap();
        fibra::io::stdout().flush().unwrap();
    });
    assert!(output.status.success(), "{}", support::stderr(&output));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("nobody"));
}

#[test]
fn lines_of_several_tasks_stay_whole() {
    let output = in_child("lines_of_several_tasks_stay_whole", &[], || {
        fibra::run(|| {
            writeln!(fibra::io::stdout()).unwrap();
            fibra::scope(|scope| {
                for task in 0..20 {
                    scope.spawn(move || {
                        for i in 0..100 {
                            let (mut out, mut err) = (fibra::io::stdout(), fibra::io::stderr());
                            writeln!(out, "task {task} line {i} {}", "x".repeat(100)).unwrap();
                            writeln!(err, "task {task} line {i} {}", "x".repeat(100)).unwrap();
                        }
                    });
                }
            });
        });
    });
    assert!(output.status.success(), "{}", support::stderr(&output));
    for stream in [output.stdout, output.stderr] {
        let text = String::from_utf8(stream).unwrap();
        let mut found: Vec<&str> = text.lines().filter(|line| line.starts_with("task")).collect();
        let mut wanted: Vec<String> =
            (0..2000).map(|n| format!("task {} line {} {}", n / 100, n % 100, "x".repeat(100))).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
    }
}

#[test]
fn a_read_that_is_cancelled_takes_nothing() {
    let mut child = with_stdin("a_read_that_is_cancelled_takes_nothing", Stdio::piped(), || {
        one_worker(|| {
            static BEGUN: AtomicBool = AtomicBool::new(false);
            let task = fibra::spawn(|| {
                BEGUN.store(true, Ordering::SeqCst);
                fibra::io::stdin().read(&mut [0; 16]).map(drop)
            });
            wait_until("the task reads", || BEGUN.load(Ordering::SeqCst));
            task.cancel();
            assert!(task.join().is_err());
            // The lock is free again, and all of the input is there.
            writeln!(fibra::io::stdout(), "\ncancelled").unwrap();
            let mut line = String::new();
            fibra::io::stdin().read_line(&mut line).unwrap();
            write!(fibra::io::stdout(), "{line}").unwrap();
        });
    });
    let mut stdin = child.stdin.take().unwrap();
    within_patience(move || {
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(stdout.by_ref().any(|line| line.unwrap() == "cancelled"));
        stdin.write_all(b"all of it\n").unwrap();
        assert_eq!(stdout.next().unwrap().unwrap(), "all of it");
        assert!(child.wait().unwrap().success());
    });
}

/// What prints while it is printed.
struct Chatty;

impl fmt::Display for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(fibra::io::stdout(), "\nin between").map_err(|_| fmt::Error)?;
        f.write_str("at last")
    }
}

#[test]
fn who_holds_an_output_can_use_it_by_other_handles_and_others_cannot() {
    let output = in_child("who_holds_an_output_can_use_it_by_other_handles_and_others_cannot", &[], || {
        let body = || {
            let mut out = fibra::io::stdout().lock();
            let _err = fibra::io::stderr().lock();
            let other = fibra::spawn(|| writeln!(fibra::io::stdout(), "the other").unwrap());
            fibra::yield_now();
            write!(out, "{Chatty}, ").unwrap();
            writeln!(fibra::io::stdout(), "once more").unwrap();
            writeln!(fibra::io::stderr(), "and here").unwrap();
            drop(out);
            other.join().unwrap();
        };
        body();
        one_worker(body);
    });
    assert!(output.status.success(), "{}", support::stderr(&output));
    let expected = "in between\nat last, once more\nthe other\n";
    assert_eq!(support::count(&String::from_utf8(output.stdout).unwrap(), expected), 2);
}

#[test]
fn an_exit_by_the_holder_of_the_lock_flushes_too() {
    let output = in_child("an_exit_by_the_holder_of_the_lock_flushes_too", &[], || {
        one_worker(|| {
            let mut out = fibra::io::stdout().lock();
            write!(out, "no end of line").unwrap();
            std::process::exit(0)
        })
    });
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("no end of line"));
}

/// A pair of terminals, the one of a program and its other side.
fn terminal() -> (OwnedFd, File) {
    let (mut ours, mut theirs) = (-1, -1);
    let (name, mode, size) = (std::ptr::null_mut(), std::ptr::null(), std::ptr::null());
    // SAFETY: two descriptors are written; nothing else is asked for.
    assert_eq!(unsafe { libc::openpty(&mut ours, &mut theirs, name, mode, size) }, 0);
    // SAFETY: the call has opened them, for us.
    unsafe { (OwnedFd::from_raw_fd(theirs), File::from_raw_fd(ours)) }
}

#[test]
fn a_terminal_that_nobody_reads_stops_only_the_task() {
    let name = "a_terminal_that_nobody_reads_stops_only_the_task";
    if std::env::var(CHILD).is_ok_and(|child| child == name) {
        one_worker(|| {
            assert!(fibra::io::stdout().is_terminal() && !fibra::io::stderr().is_terminal());
            let writer = fibra::spawn(|| {
                for _ in 0..2000 {
                    writeln!(fibra::io::stdout(), "{}", "x".repeat(100)).unwrap();
                }
            });
            let mut line = String::new();
            fibra::io::stdin().read_line(&mut line).unwrap();
            assert_eq!(line, "from the terminal\n");
            assert!(!writer.is_finished());
            assert!(!(0..3).any(nonblocking));
            writeln!(fibra::io::stderr(), "alive").unwrap();
            writer.join().unwrap();
        });
        std::process::exit(0);
    }
    let (theirs, mut ours) = terminal();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, name);
    command.stdin(theirs.try_clone().unwrap()).stdout(theirs).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command); // and with it our copies of the program's side
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    within_patience(move || {
        ours.write_all(b"from the terminal\n").unwrap();
        assert!(stderr.by_ref().any(|line| line.unwrap() == "alive"));
        let mut text = Vec::new();
        let mut buf = [0; 4096];
        // The end is reported as an error, when nobody has the other side any more.
        while let Ok(n @ 1..) = ours.read(&mut buf) {
            text.extend_from_slice(&buf[..n]);
        }
        assert!(child.wait().unwrap().success());
        assert!(support::count(&String::from_utf8(text).unwrap(), &"x".repeat(100)) == 2000);
    });
}

/// Whether the kernel can write to a pipe without waiting, though that is in blocking mode.
fn pipes_take_nowait() -> bool {
    let (_reader, writer) = std::io::pipe().unwrap();
    let byte = std::io::IoSlice::new(b"x");
    // SAFETY: the buffer lives through the call; `IoSlice` has the layout of an `iovec`.
    unsafe { libc::pwritev2(writer.as_raw_fd(), (&raw const byte).cast(), 1, -1, libc::RWF_NOWAIT) == 1 }
}

#[test]
fn a_full_pipe_shared_with_another_program_stops_only_the_task() {
    let output = in_child("a_full_pipe_shared_with_another_program_stops_only_the_task", &[], || {
        // One worker; the pipe's only reader is a task of it, and a thread keeps filling what room there is.
        one_worker(|| {
            let (reader, writer) = std::io::pipe().unwrap();
            if !pipes_take_nowait() {
                return; // Before Linux 6.4 nothing can be promised.
            }
            let stdout = std::io::stdout().as_fd().try_clone_to_owned().unwrap();
            // SAFETY: standard output is not used by others here.
            assert_eq!(unsafe { libc::dup2(writer.as_raw_fd(), 1) }, 1);
            let rival = std::thread::spawn(move || {
                (0..200).for_each(|_| (&writer).write_all(&[b'r'; 4096]).unwrap());
            });
            let task = fibra::spawn(|| {
                (0..200).for_each(|_| writeln!(fibra::io::stdout(), "{}", "x".repeat(4095)).unwrap());
            });
            let mut reader = fibra::io::PipeReader::try_from(reader).unwrap();
            let mut received = vec![0; 400 * 4096];
            reader.read_exact(&mut received).unwrap();
            task.join().unwrap();
            rival.join().unwrap();
            assert_eq!(received.iter().filter(|&&byte| byte == b'x').count(), 200 * 4095);
            // SAFETY: as above.
            assert_eq!(unsafe { libc::dup2(stdout.as_raw_fd(), 1) }, 1);
        });
    });
    assert!(output.status.success(), "{}", support::stderr(&output));
}
