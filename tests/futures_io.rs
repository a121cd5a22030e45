//! `Async`: sockets and pipes under `futures_io`'s traits.
#![cfg(feature = "futures")]

#[path = "support/futures.rs"]
mod futures;
mod support;

use std::io::{self, Read, Write};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use fibra::futures::Async;
use fibra::io::{Source, pipe};
use fibra::net::{TcpListener, TcpStream, UnixStream};
use fibra::{Builder, Cancelled, block_on};
use futures::{Calls, on_workers};
use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use support::{wait_until, within_patience};

fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    calls: &Arc<Calls>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    let waker = Waker::from(calls.clone());
    Pin::new(stream).poll_read(&mut Context::from_waker(&waker), buf)
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

/// Sends `len` bytes there and back, both ends polled.
async fn echo<A, B>(mut ours: A, mut theirs: B, len: usize)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let sent: Vec<u8> = (0..len).map(|n| (n * 7 % 251) as u8).collect();
    let server = async {
        let mut buf = vec![0; 100_000];
        loop {
            let n = theirs.read(&mut buf).await.unwrap();
            if n == 0 {
                return theirs.close().await.unwrap();
            }
            theirs.write_all(&buf[..n]).await.unwrap();
        }
    };
    let client = async {
        let (mut reading, mut writing) = AsyncReadExt::split(&mut ours);
        let write = async {
            writing.write_all(&sent).await.unwrap();
            writing.close().await.unwrap();
        };
        let read = async {
            let mut received = Vec::new();
            reading.read_to_end(&mut received).await.unwrap();
            assert!(received == sent);
        };
        futures_util::join!(write, read);
    };
    futures_util::join!(server, client);
}

#[test]
fn megabytes_go_there_and_back_through_full_buffers() {
    const LEN: usize = 5 << 20;
    // In a task, on a plain thread, in a foreign executor.
    fn all(run: fn(Pin<&mut dyn Future<Output = ()>>)) {
        let (ours, theirs) = tcp_pair();
        run(pin!(echo(Async::new(ours), Async::new(theirs), LEN)));
        let (ours, theirs) = UnixStream::pair().unwrap();
        run(pin!(echo(Async::new(ours), Async::new(theirs), LEN)));
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let (ours, theirs) = (Source::new(ours).unwrap(), Source::new(theirs).unwrap());
        let both = async {
            // Closing a `Source` is its drop.
            let (mut ours, mut theirs) = (Async::new(ours), Async::new(theirs));
            let write = async { theirs.write_all(&[1; LEN]).await.unwrap() };
            let read = async { ours.read_exact(&mut vec![0; LEN]).await.unwrap() };
            futures_util::join!(write, read);
        };
        run(pin!(both));
    }

    on_workers(1, || all(|future| block_on(future)));
    on_workers(2, || all(|future| block_on(future)));
    within_patience(|| all(|future| block_on(future)));
    within_patience(|| all(|future| futures_lite::future::block_on(future)));
}

#[test]
fn one_end_is_polled_and_the_other_parks() {
    on_workers(2, || {
        let (ours, mut theirs) = tcp_pair();
        let server = fibra::spawn(move || {
            let mut buf = [0; 5];
            for _ in 0..1000 {
                theirs.read_exact(&mut buf).unwrap();
                theirs.write_all(&buf).unwrap();
            }
            assert_eq!(theirs.read(&mut buf).unwrap(), 0);
        });
        block_on(async move {
            let mut ours = Async::new(ours);
            let mut buf = [0; 5];
            for _ in 0..1000 {
                ours.write_all(b"hello").await.unwrap();
                ours.read_exact(&mut buf).await.unwrap();
                assert_eq!(&buf, b"hello");
            }
        });
        server.join().unwrap();
    });
}

#[test]
fn halves_and_references_are_polled_by_different_tasks() {
    on_workers(2, || {
        let (ours, theirs) = tcp_pair();
        let (reading, writing) = ours.into_split();
        let writer = fibra::spawn(move || {
            block_on(async {
                let mut writing = Async::new(writing);
                writing.write_all(&[7; 1 << 20]).await.unwrap();
            }) // dropping the half ends the stream
        });
        let echo = fibra::spawn(move || {
            fibra::scope(|s| {
                let (sender, receiver) = fibra::channel::bounded::<Vec<u8>>(1);
                let theirs = &theirs;
                s.spawn(move || {
                    block_on(async {
                        let mut theirs = Async::new(theirs);
                        let mut buf = [0; 10_000];
                        loop {
                            match theirs.read(&mut buf).await.unwrap() {
                                0 => return,
                                n => sender.send(buf[..n].to_vec()).unwrap(),
                            }
                        }
                    })
                });
                block_on(async {
                    let mut theirs = Async::new(theirs);
                    while let Ok(bytes) = receiver.recv_async().await {
                        theirs.write_all(&bytes).await.unwrap();
                    }
                    theirs.close().await.unwrap();
                });
            });
        });
        let mut received = Vec::new();
        block_on(Async::new(reading).read_to_end(&mut received)).unwrap();
        assert_eq!(received, [7; 1 << 20]);
        writer.join().unwrap();
        echo.join().unwrap();
    });
}

#[test]
fn pipes_pass_bytes_and_their_end() {
    on_workers(2, || {
        let (reader, writer) = pipe().unwrap();
        let task = fibra::spawn(move || {
            block_on(async move {
                let mut writer = Async::new(writer);
                writer.write_all(&[5; 1 << 20]).await.unwrap();
                writer.close().await.unwrap();
            });
        });
        let mut received = Vec::new();
        block_on(Async::new(reader).read_to_end(&mut received)).unwrap();
        assert_eq!(received, [5; 1 << 20]);
        task.join().unwrap();
    });
}

#[test]
fn data_wakes_the_last_waker_once() {
    on_workers(1, || {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut ours = Async::new(ours);
        let (first, second) = (Arc::new(Calls::default()), Arc::new(Calls::default()));
        let mut buf = [0; 8];
        assert!(poll_read(&mut ours, &first, &mut buf).is_pending());
        assert!(poll_read(&mut ours, &second, &mut buf).is_pending());
        assert_eq!(Arc::strong_count(&first), 1);
        theirs.write_all(b"abc").unwrap();
        wait_until("it is woken", || second.get() == 1);
        assert!(matches!(poll_read(&mut ours, &second, &mut buf), Poll::Ready(Ok(3))));
        assert!(poll_read(&mut ours, &second, &mut buf).is_pending());
        drop(theirs);
        wait_until("it is woken", || second.get() == 2);
        assert!(matches!(poll_read(&mut ours, &second, &mut buf), Poll::Ready(Ok(0))));
        assert_eq!(first.get(), 0);
        drop(ours);
        assert_eq!(Arc::strong_count(&second), 1);
    });
}

#[test]
fn a_dropped_read_leaves_its_bytes_in_the_socket() {
    on_workers(1, || {
        let (ours, mut theirs) = tcp_pair();
        let calls = Arc::new(Calls::default());
        let mut ours = Async::new(ours);
        assert!(poll_read(&mut ours, &calls, &mut [0; 8]).is_pending());
        theirs.write_all(b"abc").unwrap();
        wait_until("it is woken", || calls.get() == 1);
        let mut ours = ours.into_inner();
        let mut buf = [0; 8];
        assert_eq!(ours.read(&mut buf).unwrap(), 3);
        assert_eq!(&buf[..3], b"abc");
    });
}

#[test]
fn an_empty_read_is_ready_at_once() {
    on_workers(1, || {
        let (ours, _theirs) = tcp_pair();
        let calls = Arc::new(Calls::default());
        assert!(matches!(poll_read(&mut Async::new(ours), &calls, &mut []), Poll::Ready(Ok(0))));
    });
}

#[test]
fn closing_the_socket_ends_waits_with_an_error() {
    on_workers(1, || {
        let (ours, _theirs) = tcp_pair();
        let clone = ours.try_clone().unwrap();
        let task = fibra::spawn(move || block_on(async move { Async::new(ours).read(&mut [0; 8]).await }));
        fibra::yield_now();
        clone.close();
        assert_eq!(task.join().unwrap().unwrap_err().kind(), io::ErrorKind::NotConnected);
    });
}

#[test]
fn an_error_of_the_kernel_comes_through() {
    on_workers(1, || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let error = block_on(async move { Async::new(ours).write_all(b"x").await }).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let file = Async::new(Source::without_nonblocking(file).unwrap());
        drop(file);
    });
}

#[test]
fn a_cancelled_task_leaves_no_waker_in_the_socket() {
    on_workers(1, || {
        let (ours, mut theirs) = tcp_pair();
        let ours = Arc::new(ours);
        let inside = ours.clone();
        let task = fibra::spawn(move || {
            block_on(async move { Async::new(&*inside).read(&mut [0; 8]).await.unwrap() })
        });
        fibra::yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
        theirs.write_all(b"abc").unwrap();
        let mut buf = [0; 8];
        assert_eq!((&*ours).read(&mut buf).unwrap(), 3);
    });
}

#[test]
fn a_forgotten_wrapper_does_no_harm_to_the_socket_nor_to_the_next_one() {
    on_workers(1, || {
        for _ in 0..100 {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let calls = Arc::new(Calls::default());
            let mut forgotten = Async::new(&ours);
            assert!(poll_read(&mut forgotten, &calls, &mut [0; 8]).is_pending());
            std::mem::forget(forgotten);
            theirs.write_all(b"abc").unwrap();
            let mut buf = [0; 8];
            assert_eq!((&ours).read(&mut buf).unwrap(), 3);
            let mut forgotten = Async::new(&ours);
            assert!(poll_read(&mut forgotten, &calls, &mut buf).is_pending());
            std::mem::forget(forgotten);
            drop(ours);
            assert!(calls.get() >= 1);
            assert_eq!(
                Arc::strong_count(&calls),
                1,
                "who is left in the queue of a socket that is dropped is woken"
            );
        }
    });
}

#[test]
fn a_socket_is_polled_in_one_runtime_and_then_in_another() {
    within_patience(|| {
        for byte in 0..5 {
            let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let mut ours = Async::new(UnixStream::from(ours));
            let calls = Arc::new(Calls::default());
            let inside = calls.clone();
            // Waits in a runtime that ends.
            ours = Builder::new()
                .workers(1)
                .run(move || {
                    assert!(poll_read(&mut ours, &inside, &mut [0; 8]).is_pending());
                    ours
                })
                .unwrap();
            wait_until("the end of the runtime is told", || calls.get() == 1);
            theirs.write_all(&[byte]).unwrap();
            let mut read = move || {
                let mut buf = [9];
                block_on(ours.read_exact(&mut buf)).unwrap();
                buf[0]
            };
            // On a plain thread, or in another runtime.
            let read = if byte % 2 == 0 { read() } else { Builder::new().workers(1).run(read).unwrap() };
            assert_eq!(read, byte);
        }
    });
}

#[test]
fn a_hundred_connections_in_one_future() {
    on_workers(2, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = fibra::spawn(move || {
            for _ in 0..100 {
                let (mut stream, _) = listener.accept().unwrap();
                fibra::spawn(move || {
                    let mut buf = [0; 4];
                    while stream.read_exact(&mut buf).is_ok() {
                        stream.write_all(&buf).unwrap();
                    }
                });
            }
        });
        let streams: Vec<_> = (0..100).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let clients = streams.into_iter().map(|stream| async move {
            let mut stream = Async::new(stream);
            for n in 0..50_u32 {
                stream.write_all(&n.to_le_bytes()).await.unwrap();
                let mut buf = [0; 4];
                stream.read_exact(&mut buf).await.unwrap();
                assert_eq!(u32::from_le_bytes(buf), n);
            }
        });
        block_on(futures_util::future::join_all(clients));
        server.join().unwrap();
    });
}
