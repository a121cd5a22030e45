//! `io::copy` between everything that the kernel knows, and what it doesn't.

mod support;

use std::io::{BufReader, Cursor, ErrorKind, Read, Seek, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use fibra::fs::File;
use fibra::io::{PipeReader, PipeWriter, copy, pipe};
use fibra::net::{TcpListener, TcpStream, UnixStream};
use fibra::process::{Command, Stdio};
use socket2::SockRef;
use support::{fd_count, in_child};

/// More than any socket or pipe holds.
const LEN: usize = 5 << 20;

fn data() -> Vec<u8> {
    (0..LEN).map(|i| (i * 7 % 253) as u8).collect()
}

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// A file without a name that holds `content` and stands at its beginning.
fn file(content: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("fibra-copy-{}-{content:p}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    file.into()
}

/// Feeds `writer`, copies from `from` to `to`, and checks what `reader` gets.
fn check<W, F, T, R>(mut writer: W, mut from: F, mut to: T, mut reader: R, end: fn(&W), finish: fn(T))
where
    W: Write + Send + 'static,
    F: Read + Send + 'static,
    T: Write + Send + 'static,
    R: Read,
{
    let feeder = fibra::spawn(move || {
        writer.write_all(&data()).unwrap();
        end(&writer);
    });
    let copier = fibra::spawn(move || {
        let copied = copy(&mut from, &mut to).unwrap();
        finish(to);
        copied
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).unwrap();
    assert!(received == data());
    assert_eq!(copier.join().unwrap(), LEN as u64);
    feeder.join().unwrap();
}

fn shut_tcp(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

fn both(body: fn()) {
    fibra::Builder::new().workers(1).build().unwrap().run(body);
    fibra::run(body);
    body();
}

#[test]
fn from_tcp_to_tcp() {
    both(|| {
        let ((a, b), (c, d)) = (tcp(), tcp());
        check(a, b, c, d, shut_tcp, drop);
    });
}

#[test]
fn from_tcp_to_unix_through_references() {
    both(|| {
        let ((a, b), (c, d)) = (tcp(), UnixStream::pair().unwrap());
        let feeder = fibra::spawn(move || (&a).write_all(&data()).unwrap());
        let copier = fibra::spawn(move || copy(&mut &b, &mut &c).unwrap());
        let mut received = Vec::new();
        (&d).read_to_end(&mut received).unwrap();
        assert!(received == data());
        assert_eq!(copier.join().unwrap(), LEN as u64);
        feeder.join().unwrap();
    });
}

#[test]
fn from_pipe_to_tcp_and_from_tcp_to_pipe() {
    both(|| {
        let ((a, b), (c, d)) = (pipe().map(|(r, w)| (w, r)).unwrap(), tcp());
        check(a, b, c, d, |_| {}, drop);
        let ((a, b), (d, c)) = (tcp(), pipe().unwrap());
        check(a, b, c, d, shut_tcp, drop);
    });
}

#[test]
fn from_pipe_to_pipe() {
    both(|| {
        let ((b, a), (d, c)): ((PipeReader, PipeWriter), _) = (pipe().unwrap(), pipe().unwrap());
        check(a, b, c, d, |_| {}, drop);
    });
}

#[test]
fn from_file_to_tcp_and_pipe() {
    both(|| {
        let (a, mut b) = tcp();
        let copier = fibra::spawn(move || copy(&mut file(&data()), &mut &a).unwrap());
        let mut received = Vec::new();
        b.read_to_end(&mut received).unwrap();
        assert!(received == data());
        assert_eq!(copier.join().unwrap(), LEN as u64);

        let (mut reader, mut writer) = pipe().unwrap();
        let copier = fibra::spawn(move || copy(&mut file(&data()), &mut writer).unwrap());
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        assert!(received == data());
        assert_eq!(copier.join().unwrap(), LEN as u64);
    });
}

#[test]
fn from_file_to_file_from_where_they_stand() {
    both(|| {
        let (mut from, mut to) = (file(&data()), file(b"begin "));
        from.seek(std::io::SeekFrom::Start(10)).unwrap();
        to.seek(std::io::SeekFrom::End(0)).unwrap();
        assert_eq!(copy(&mut from, &mut to).unwrap(), LEN as u64 - 10);
        to.rewind().unwrap();
        let mut received = Vec::new();
        to.read_to_end(&mut received).unwrap();
        assert!(received.starts_with(b"begin ") && received[6..] == data()[10..]);
        assert_eq!(copy(&mut from, &mut to).unwrap(), 0, "at the end there is nothing");
    });
}

#[test]
fn a_file_that_seems_empty_to_the_kernel_is_read() {
    both(|| {
        let mut from = File::open("/proc/self/status").unwrap();
        let mut to = file(b"");
        assert!(copy(&mut from, &mut to).unwrap() > 100);
    });
}

#[test]
fn buffered_and_foreign_ends_lose_nothing() {
    both(|| {
        let (a, b) = tcp();
        let feeder = fibra::spawn(move || (&a).write_all(&data()).unwrap());
        let mut buffered = BufReader::with_capacity(1000, b);
        let mut first = [0; 10];
        buffered.read_exact(&mut first).unwrap();
        let mut rest = Cursor::new(Vec::new());
        assert_eq!(copy(&mut buffered, &mut rest).unwrap(), LEN as u64 - 10);
        assert!(rest.into_inner() == data()[10..]);
        feeder.join().unwrap();
        let reader: &mut dyn Read = &mut &b"text"[..];
        assert_eq!(copy(reader, &mut std::io::sink()).unwrap(), 4);
    });
}

#[test]
fn a_broken_writer_ends_the_copy_with_its_error() {
    fibra::run(|| {
        let ((a, b), (reader, mut writer)) = (tcp(), pipe().unwrap());
        drop(reader);
        (&a).write_all(b"x").unwrap();
        let error = copy(&mut &b, &mut writer).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

/// A byte that is sent out of band stands in the way of `splice`, which finds nothing, or even an end, where
/// there is more.
#[test]
fn an_urgent_byte_is_passed_over_as_by_a_read() {
    fn check<W: Write + Send + 'static>(mut to: W, mut reader: impl Read) {
        let (a, b) = tcp();
        let feeder = fibra::spawn(move || {
            (&a).write_all(&data()).unwrap();
            assert_eq!(SockRef::from(&a).send_out_of_band(b"!").unwrap(), 1);
            (&a).write_all(&data()).unwrap();
        });
        let copier = fibra::spawn(move || copy(&mut &b, &mut to).unwrap());
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        assert!(received == [data(), data()].concat(), "{} bytes", received.len());
        assert_eq!(copier.join().unwrap(), 2 * LEN as u64);
        feeder.join().unwrap();
    }
    both(|| {
        let (c, d) = tcp();
        check(c, d);
        let (reader, writer) = pipe().unwrap();
        check(writer, reader);
    });
}

#[test]
fn a_deadline_ends_a_copy_that_never_waits() {
    fibra::run(|| {
        let ((a, b), (c, d)) = (tcp(), tcp());
        b.set_read_deadline(Some(Instant::now() + Duration::from_millis(30)));
        fibra::scope(|s| {
            let feeder = s.spawn(|| while (&a).write_all(&[1; 1 << 16]).is_ok() {});
            let sink = s.spawn(|| while (&d).read(&mut [0; 1 << 16]).is_ok_and(|n| n > 0) {});
            let error = copy(&mut &b, &mut &c).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            // Closing `b` would not do: while its buffer is full, nothing arrives there that it could refuse.
            a.close();
            c.close();
            feeder.join().unwrap();
            sink.join().unwrap();
        });
    });
}

/// What is in a pipe or socket must be bytes, not pages of a file that others write to.
#[test]
fn what_is_written_to_a_file_after_its_copy_does_not_show() {
    both(|| {
        let (mut from, mut to) = (file(&[b'a'; 8 << 10]), pipe().unwrap());
        assert_eq!(copy(&mut from, &mut to.1).unwrap(), 8 << 10);
        from.write_all_at(&[b'b'; 8 << 10], 0).unwrap();
        drop(to.1);
        let mut received = Vec::new();
        to.0.read_to_end(&mut received).unwrap();
        assert!(received.iter().all(|&byte| byte == b'a') && received.len() == 8 << 10);
    });
}

#[test]
fn an_appending_file_is_copied_to_though_the_kernel_refuses() {
    both(|| {
        let path = std::env::temp_dir().join(format!("fibra-copy-append-{}", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        let to = options.append(true).read(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        let mut to = File::from(to);
        to.write_all(b"begin ").unwrap();
        assert_eq!(copy(&mut file(&data()), &mut to).unwrap(), LEN as u64);
        to.rewind().unwrap();
        let mut received = Vec::new();
        to.read_to_end(&mut received).unwrap();
        assert!(received.starts_with(b"begin ") && received[6..] == data());
    });
}

#[test]
fn an_error_between_files_names_the_file() {
    fibra::run(|| {
        let mut from = file(b"text");
        let mut to = File::open("/proc/self/status").unwrap();
        let error = copy(&mut from, &mut to).unwrap_err();
        assert!(error.to_string().contains("/proc/self/status"), "{error}");
    });
}

#[test]
fn halves_and_children_are_ends_too() {
    both(|| {
        let ((a, b), (c, d)) = (tcp(), UnixStream::pair().unwrap());
        let (mut from, _other_direction) = b.into_split();
        let (_other_direction, mut to) = c.into_split();
        let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut stdin, mut stdout) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
        let feeder = fibra::spawn(move || {
            (&a).write_all(&data()).unwrap();
            a.shutdown(Shutdown::Write).unwrap();
        });
        let copiers = [
            fibra::spawn(move || copy(&mut from, &mut stdin).unwrap()),
            fibra::spawn(move || copy(&mut stdout, &mut to).unwrap()),
        ];
        let mut received = Vec::new();
        (&d).read_to_end(&mut received).unwrap();
        assert!(received == data());
        copiers.into_iter().for_each(|copier| assert_eq!(copier.join().unwrap(), LEN as u64));
        feeder.join().unwrap();
        assert!(cat.wait().unwrap().success());
    });
}

#[test]
fn small_messages_pass_at_once_and_cost_no_descriptor() {
    let output = in_child("small_messages_pass_at_once_and_cost_no_descriptor", &[], || {
        fibra::run(|| {
            let ((a, b), (c, d)) = (tcp(), tcp());
            let before = fd_count();
            let copier = fibra::spawn(move || copy(&mut &b, &mut &c).unwrap());
            for i in 0..100 {
                (&a).write_all(&[i; 100]).unwrap();
                let mut received = [0; 100];
                (&d).read_exact(&mut received).unwrap();
                assert_eq!(received, [i; 100]);
            }
            assert_eq!(fd_count(), before);
            drop(a);
            assert_eq!(copier.join().unwrap(), 10_000);
        });
    });
    assert!(output.status.success(), "{}", support::stderr(&output));
}

/// In a program that is not Rust's own, `SIGPIPE` may have its default action. Sends of ours don't raise it.
#[test]
fn a_copy_to_a_closed_socket_raises_no_signal() {
    let output = in_child("a_copy_to_a_closed_socket_raises_no_signal", &[], || {
        // SAFETY: the default action is one that every program begins with.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        fibra::run(|| {
            let ((mut reader, mut writer), (c, d)) = (pipe().unwrap(), UnixStream::pair().unwrap());
            writer.write_all(&[1; 1000]).unwrap();
            drop(d);
            assert_eq!(copy(&mut reader, &mut &c).unwrap_err().kind(), ErrorKind::BrokenPipe);
        });
    });
    assert!(output.status.success(), "{}", support::stderr(&output));
}

/// The mode belongs to all duplicates of a socket; one of std's sets it back.
#[test]
fn a_socket_in_blocking_mode_does_not_block_the_worker() {
    fibra::Builder::new().workers(1).build().unwrap().run(|| {
        let ((reader, mut writer), (c, d)) = (pipe().unwrap(), UnixStream::pair().unwrap());
        SockRef::from(&c).set_nonblocking(false).unwrap();
        SockRef::from(&d).set_nonblocking(false).unwrap();
        let tasks = [
            fibra::spawn(move || copy(&mut &reader, &mut &c).unwrap()),
            fibra::spawn(move || copy(&mut &d, &mut std::io::sink()).unwrap()),
        ];
        // All of them are tasks of the only worker.
        writer.write_all(&data()).unwrap();
        drop(writer);
        tasks.into_iter().for_each(|task| assert_eq!(task.join().unwrap(), LEN as u64));
    });
}

#[test]
fn a_cancelled_copy_leaves_the_streams_usable() {
    fibra::run(|| {
        let ((a, b), (c, d)) = (tcp(), tcp());
        fibra::scope(|s| {
            let copier = s.spawn(|| copy(&mut &b, &mut &c).map(drop));
            (&a).write_all(b"one").unwrap();
            (&d).read_exact(&mut [0; 3]).unwrap();
            copier.cancel();
            assert!(copier.join().is_err());
            (&a).write_all(b"two").unwrap();
            a.shutdown(Shutdown::Write).unwrap();
            assert_eq!(copy(&mut &b, &mut &c).unwrap(), 3);
        });
    });
}
