//! `io::Source` over every kind of descriptor that the kernel can watch, and over one that it can't.

mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, ptr};

use fibra::io::Source;

fn owned(fd: RawFd) -> OwnedFd {
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: callers pass what a system call has just returned, which nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Reads at most 16 bytes, as a pollable descriptor's own calls would.
fn read(fd: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut buf = [0_u8; 16];
    // SAFETY: the buffer is as long as it says.
    let n = unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(buf[..n as usize].to_vec()) }
}

fn write(fd: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the buffer is as long as it says.
    let n = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// In a task, and on a plain thread.
fn in_both(test: fn()) {
    test();
    fibra::run(test);
}

#[test]
fn an_eventfd_counts() {
    in_both(|| {
        // SAFETY: no pointers.
        let source = Source::new(owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })).unwrap();
        fibra::scope(|s| {
            let reads = s.spawn(|| {
                let mut sum = 0;
                while sum < 1000 {
                    let count = source.read_with(read).unwrap();
                    sum += u64::from_ne_bytes(count.try_into().unwrap());
                }
                sum
            });
            for _ in 0..500 {
                source.write_with(|fd| write(fd, &2_u64.to_ne_bytes())).unwrap();
                fibra::yield_now();
            }
            assert_eq!(reads.join().unwrap(), 1000);
        });
    });
}

#[test]
fn a_full_eventfd_makes_its_writer_wait() {
    in_both(|| {
        // SAFETY: no pointers.
        let source = Source::new(owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })).unwrap();
        let most = (u64::MAX - 1).to_ne_bytes();
        source.write_with(|fd| write(fd, &most)).unwrap();
        let written = AtomicUsize::new(0);
        fibra::scope(|s| {
            let writer = s.spawn(|| {
                source.write_with(|fd| write(fd, &1_u64.to_ne_bytes())).unwrap();
                written.fetch_add(1, Ordering::SeqCst);
            });
            assert_eq!(
                source.writable_timeout(Duration::from_millis(10)).unwrap_err().kind(),
                ErrorKind::TimedOut
            );
            assert_eq!(written.load(Ordering::SeqCst), 0);
            assert_eq!(source.read_with(read).unwrap(), most);
            writer.join().unwrap();
            assert_eq!(source.read_with(read).unwrap(), 1_u64.to_ne_bytes());
        });
    });
}

fn pipe() -> (Source<OwnedFd>, Source<OwnedFd>) {
    let (reader, writer) = io::pipe().unwrap();
    (Source::new(reader.into()).unwrap(), Source::new(writer.into()).unwrap())
}

#[test]
fn a_pipe_carries_more_than_it_holds() {
    const LEN: usize = 1 << 20;
    in_both(|| {
        let (reader, writer) = pipe();
        fibra::scope(|s| {
            s.spawn(|| {
                let bytes: Vec<_> = (0..LEN).map(|i| (i % 251) as u8).collect();
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    rest = &rest[writer.write_with(|fd| write(fd, rest)).unwrap()..];
                }
                drop(writer);
            });
            let mut at = 0;
            loop {
                let part = reader.read_with(read).unwrap();
                if part.is_empty() {
                    break;
                }
                assert!(part.iter().zip(at..).all(|(byte, i)| usize::from(*byte) == i % 251), "at {at}");
                at += part.len();
            }
            assert_eq!(at, LEN);
        });
    });
}

#[test]
fn a_pipe_whose_reader_goes_tells_the_waiting_writer() {
    in_both(|| {
        let (reader, writer) = pipe();
        fibra::scope(|s| {
            let writer = s.spawn(move || {
                loop {
                    if let Err(error) = writer.write_with(|fd| write(fd, &[0; 4096])) {
                        // Rust programs ignore SIGPIPE.
                        return error.kind();
                    }
                }
            });
            // It is full when nobody can write to it any more.
            reader.readable().unwrap();
            drop(reader);
            assert_eq!(writer.join().unwrap(), ErrorKind::BrokenPipe);
        });
    });
}

#[test]
fn a_pidfd_becomes_readable_when_its_process_ends() {
    in_both(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        // SAFETY: no pointers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
        let source = Source::without_nonblocking(owned(fd as RawFd)).unwrap();
        assert_eq!(
            source.readable_timeout(Duration::from_millis(10)).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        fibra::scope(|s| {
            let waiters: Vec<_> = (0..3).map(|_| s.spawn(|| source.readable())).collect();
            drop(child.stdin.take());
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap().unwrap());
        });
        // Not reaped by that.
        assert!(child.wait().unwrap().success());
        source.readable().unwrap();
    });
}

#[test]
fn a_timerfd_ticks() {
    in_both(|| {
        let flags = libc::TFD_CLOEXEC;
        // SAFETY: no pointers.
        let source =
            Source::new(owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })).unwrap();
        let period = libc::timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        let spec = libc::itimerspec { it_interval: period, it_value: period };
        let start = Instant::now();
        let timer = source.get_ref().as_raw_fd();
        // SAFETY: `spec` lives through the call; the old setting is not asked for.
        assert_eq!(unsafe { libc::timerfd_settime(timer, 0, &spec, ptr::null_mut()) }, 0);
        let mut ticks = 0;
        while ticks < 10 {
            ticks += u64::from_ne_bytes(source.read_with(read).unwrap().try_into().unwrap());
        }
        assert!(start.elapsed() >= Duration::from_millis(20));
    });
}

#[test]
fn an_inotify_tells_of_a_new_file() {
    in_both(|| {
        let folder = std::env::temp_dir().join(format!("fibra-inotify-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let _remove = support::OnDrop::new(|| fs::remove_dir_all(&folder).unwrap());
        // SAFETY: no pointers.
        let source = Source::new(owned(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) })).unwrap();
        let path = std::ffi::CString::new(folder.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with a zero byte.
        let watch =
            unsafe { libc::inotify_add_watch(source.get_ref().as_raw_fd(), path.as_ptr(), libc::IN_CREATE) };
        assert!(watch >= 0);
        fibra::scope(|s| {
            let waiter = s.spawn(|| source.readable().unwrap());
            fs::write(folder.join("new"), "").unwrap();
            waiter.join().unwrap();
        });
    });
}

#[test]
fn an_epoll_instance_can_be_watched_in_turn() {
    in_both(|| {
        // SAFETY: no pointers.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 5 };
        // SAFETY: `event` lives through the call.
        let added =
            unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, ours.as_raw_fd(), &mut event) };
        assert_eq!(added, 0);
        let source = Source::without_nonblocking(epoll).unwrap();
        fibra::scope(|s| {
            let waiter = s.spawn(|| source.readable().unwrap());
            theirs.write_all(b"x").unwrap();
            waiter.join().unwrap();
        });
        (&ours).read_exact(&mut [0]).unwrap();
        assert!(source.readable_timeout(Duration::from_millis(1)).is_err());
    });
}

#[test]
fn files_and_directories_are_ready_but_cannot_be_waited_for() {
    in_both(|| {
        for path in ["/proc/self/exe", "/tmp"] {
            let source = Source::new(OwnedFd::from(fs::File::open(path).unwrap())).unwrap();
            source.readable().unwrap();
            source.writable_timeout(Duration::from_secs(1)).unwrap();
        }
    });
    fibra::run(|| {
        let source = Source::new(OwnedFd::from(fs::File::open("/tmp").unwrap())).unwrap();
        for _ in 0..3 {
            let error =
                source.read_with(|_| io::Result::<()>::Err(ErrorKind::WouldBlock.into())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("fibra::fs"), "{error}");
        }
    });
}

#[test]
fn what_needs_no_waiting_is_not_watched() {
    fibra::run(|| {
        let (reader, writer) = pipe();
        for _ in 0..100 {
            writer.write_with(|fd| write(fd, b"x")).unwrap();
            assert_eq!(reader.read_with(read).unwrap(), b"x");
        }
        assert_eq!(support::watchers(reader.get_ref().as_raw_fd()).len(), 0);
        assert!(reader.readable_timeout(Duration::from_millis(1)).is_err());
        assert_eq!(support::watchers(reader.get_ref().as_raw_fd()).len(), 1);
        let reader = reader.into_inner();
        assert_eq!(support::watchers(reader.as_raw_fd()).len(), 0);
    });
}

#[test]
fn a_second_source_over_the_same_descriptor_is_refused_with_advice() {
    fibra::Builder::new()
        .workers(1)
        .run(|| {
            let (reader, _writer) = pipe();
            let borrowed =
                std::mem::ManuallyDrop::new(Source::new(owned(reader.get_ref().as_raw_fd())).unwrap());
            assert_eq!(
                reader.readable_timeout(Duration::from_millis(1)).unwrap_err().kind(),
                ErrorKind::TimedOut
            );
            let error = borrowed.readable_timeout(Duration::from_millis(1)).unwrap_err();
            assert!(error.to_string().contains("share that one"), "{error}");
        })
        .unwrap();
}
