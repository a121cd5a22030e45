//! Pipes that park.

mod support;

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use fibra::io::{PipeReader, PipeWriter, pipe};

fn is_nonblocking(fd: i32) -> bool {
    // SAFETY: no pointers are passed.
    unsafe { libc::fcntl(fd, libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

#[test]
fn ten_mebibytes_arrive_in_order() {
    let body = || {
        let (mut reader, mut writer) = pipe().unwrap();
        let sent: Vec<u8> = (0..10 << 20).map(|i: u32| (i % 251) as u8).collect();
        let expected = sent.clone();
        let task = fibra::spawn(move || writer.write_all(&sent).unwrap());
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        assert!(received == expected);
        task.join().unwrap();
    };
    body();
    fibra::Builder::new().workers(1).build().unwrap().run(body);
}

#[test]
fn a_pipe_in_packet_mode_loses_no_packet() {
    fibra::run(|| {
        let mut fds = [0; 2];
        // SAFETY: the kernel writes two descriptors to the array.
        assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC | libc::O_DIRECT) }, 0);
        // SAFETY: the call above has opened them, for us.
        let [reader, writer] = fds.map(|fd| unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) });
        let (reader, writer): (OwnedFd, OwnedFd) = (reader, writer);
        let mut reader = PipeReader::try_from(reader).unwrap();
        let mut writer = PipeWriter::try_from(writer).unwrap();
        (0..10).for_each(|_| assert_eq!(writer.write(b"one").unwrap(), 3));
        let mut buf = [0; 64];
        (0..10).for_each(|_| assert_eq!(reader.read(&mut buf).unwrap(), 3));
    });
}

#[test]
fn several_buffers_at_once() {
    fibra::run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        assert_eq!(writer.write_vectored(&[IoSlice::new(b"he"), IoSlice::new(b"llo")]).unwrap(), 5);
        let (mut a, mut b) = ([0; 3], [0; 3]);
        assert_eq!(reader.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).unwrap(), 5);
        assert_eq!((&a, &b), (b"hel", b"lo\0"));
    });
}

#[test]
fn a_writer_without_readers_breaks() {
    fibra::run(|| {
        let (reader, mut writer) = pipe().unwrap();
        let waiting = writer.try_clone().unwrap();
        let task = fibra::spawn(move || (&waiting).write_all(&[0; 1 << 20]).unwrap_err().kind());
        fibra::yield_now();
        drop(reader);
        assert_eq!(task.join().unwrap(), ErrorKind::BrokenPipe);
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn limits_end_a_wait_and_can_be_changed_meanwhile() {
    fibra::run(|| {
        let (reader, mut writer) = pipe().unwrap();
        assert_eq!(
            reader.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        reader.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        assert_eq!((&reader).read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        reader.set_read_timeout(None).unwrap();
        fibra::scope(|s| {
            let waiting = s.spawn(|| (&reader).read(&mut [0]).unwrap_err().kind());
            fibra::yield_now();
            reader.set_read_deadline(Some(Instant::now()));
            assert_eq!(waiting.join().unwrap(), ErrorKind::TimedOut);
        });
        reader.set_read_deadline(None);
        writer.write_all(b"x").unwrap();
        assert_eq!((&reader).read(&mut [0]).unwrap(), 1);
    });
}

#[test]
fn ends_that_are_given_away_block_again() {
    let (reader, writer) = pipe().unwrap();
    assert!(is_nonblocking(reader.as_raw_fd()) && is_nonblocking(writer.as_raw_fd()));
    let reader = std::io::PipeReader::from(reader);
    let writer = OwnedFd::from(writer);
    assert!(!is_nonblocking(reader.as_raw_fd()) && !is_nonblocking(writer.as_raw_fd()));
    assert!(is_nonblocking(PipeReader::try_from(reader).unwrap().as_raw_fd()));
}

#[test]
fn an_end_that_is_given_away_leaves_its_clones_as_they_are() {
    let (mut reader, mut writer) = pipe().unwrap();
    let given = std::io::PipeWriter::from(writer.try_clone().unwrap());
    assert!(!is_nonblocking(given.as_raw_fd()) && is_nonblocking(writer.as_raw_fd()));
    (&given).write_all(b"one").unwrap();
    writer.write_all(b"two").unwrap();
    drop((given, writer));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "onetwo");
}
