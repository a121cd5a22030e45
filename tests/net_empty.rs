//! Calls that have no bytes to move: as in std they never wait, and take nothing.

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use fibra::net::{TcpStream, UnixStream};
use net::{SHORT, everywhere, tcp_pair};

/// All ways to read nothing.
fn read_nothing(mut stream: impl Read) -> io::Result<()> {
    assert_eq!(stream.read(&mut [])?, 0);
    assert_eq!(stream.read_vectored(&mut [])?, 0);
    assert_eq!(stream.read_vectored(&mut [IoSliceMut::new(&mut []), IoSliceMut::new(&mut [])])?, 0);
    Ok(())
}

/// All ways to write nothing.
fn write_nothing(mut stream: impl Write) -> io::Result<()> {
    assert_eq!(stream.write(&[])?, 0);
    assert_eq!(stream.write_vectored(&[])?, 0);
    assert_eq!(stream.write_vectored(&[IoSlice::new(&[]), IoSlice::new(&[])])?, 0);
    stream.write_all(&[])
}

/// Writes until a write has waited in vain, so that it is known that there is no room.
fn fill(mut stream: impl Write) {
    while stream.write(&[7; 1 << 16]).is_ok() {}
}

fn is_limit(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

macro_rules! streams {
    ($test:ident, $pair:expr, $stream:ty) => {
        #[test]
        fn $test() {
            everywhere(|| {
                let (ours, theirs): ($stream, $stream) = $pair;
                read_nothing(&ours).unwrap();
                assert_eq!(ours.peek(&mut []).unwrap(), 0);
                // Also when it is known that there is nothing.
                ours.set_read_timeout(Some(SHORT)).unwrap();
                assert!(is_limit(&(&ours).read(&mut [0]).unwrap_err()));
                ours.set_read_timeout(None).unwrap();
                read_nothing(&ours).unwrap();
                assert_eq!(ours.peek(&mut []).unwrap(), 0);

                (&theirs).write_all(b"x").unwrap();
                ours.readable().unwrap();
                read_nothing(&ours).unwrap();
                assert_eq!(ours.peek(&mut []).unwrap(), 0);
                assert_eq!((&ours).read(&mut [0; 2]).unwrap(), 1, "the byte is still there");

                ours.set_write_timeout(Some(SHORT)).unwrap();
                fill(&ours);
                ours.set_write_timeout(None).unwrap();
                write_nothing(&ours).unwrap();

                // A limit that has passed, and a socket that is no more, are told as ever.
                ours.set_read_deadline(Some(Instant::now()));
                assert_eq!((&ours).read(&mut []).unwrap_err().kind(), ErrorKind::TimedOut);
                assert_eq!(ours.peek(&mut []).unwrap_err().kind(), ErrorKind::TimedOut);
                ours.set_read_deadline(None);
                ours.shutdown(Shutdown::Write).unwrap();
                assert_eq!((&ours).write(&[]).unwrap_err().kind(), ErrorKind::BrokenPipe);
                ours.close();
                assert_eq!(read_nothing(&ours).unwrap_err().kind(), ErrorKind::NotConnected);
                assert_eq!(write_nothing(&ours).unwrap_err().kind(), ErrorKind::NotConnected);
                drop(theirs);
            });
        }
    };
}

streams!(a_tcp_stream_moves_nothing_without_waiting, tcp_pair(), TcpStream);
streams!(a_unix_stream_moves_nothing_without_waiting, UnixStream::pair().unwrap(), UnixStream);

#[test]
fn a_non_blocking_stream_answers_what_the_kernel_does() {
    everywhere(|| {
        let (ours, _theirs) = tcp_pair();
        let (theirs, _other) = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let one = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (one, listener.accept().unwrap())
        };
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let kind = |result: io::Result<usize>| result.map_err(|error| error.kind());
        assert_eq!(kind((&ours).read(&mut [])), kind((&theirs).read(&mut [])));
        assert_eq!(kind(ours.peek(&mut [])), kind(theirs.peek(&mut [])));
        assert_eq!(kind((&ours).read_vectored(&mut [])), kind((&theirs).read_vectored(&mut [])));
        assert_eq!(kind((&ours).write(&[])), kind((&theirs).write(&[])));
    });
}

#[test]
fn a_pipe_moves_nothing_without_waiting() {
    everywhere(|| {
        let (reader, writer) = fibra::io::pipe().unwrap();
        read_nothing(&reader).unwrap();
        reader.set_read_timeout(Some(SHORT)).unwrap();
        assert!(is_limit(&(&reader).read(&mut [0]).unwrap_err()));
        reader.set_read_timeout(Some(Duration::from_secs(1000))).unwrap();
        read_nothing(&reader).unwrap();
        writer.set_write_timeout(Some(SHORT)).unwrap();
        fill(&writer);
        writer.set_write_timeout(None).unwrap();
        write_nothing(&writer).unwrap();
        drop(reader);
        write_nothing(&writer).unwrap();
    });
}
