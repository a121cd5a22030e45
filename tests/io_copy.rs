//! `io::copy` between everything that the kernel knows, and what it doesn't.

mod support;

use std::io::{BufReader, Cursor, Read, Seek, Write};
use std::net::Shutdown;

use fibra::fs::File;
use fibra::io::{PipeReader, PipeWriter, copy, pipe};
use fibra::net::{TcpListener, TcpStream, UnixStream};

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
