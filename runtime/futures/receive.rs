//! Receivers as futures and streams.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::channel::{Polled, Receive, Receiver, RecvError, broadcast, oneshot, watch};

/// What messages can be received from, one after another: the receivers of all channels but `oneshot`, and references to
/// them.
pub trait Streams: sealed::Streams {}

impl<R: sealed::Streams> Streams for R {}

mod sealed {
    use crate::channel::Receive;

    pub trait Streams: Receive {
        type Item;

        /// None at the end.
        fn item(received: Result<Self::Message, Self::Error>) -> Option<Self::Item>;
    }

    impl<R: Streams> Streams for &R {
        type Item = R::Item;

        fn item(received: Result<R::Message, R::Error>) -> Option<R::Item> {
            R::item(received)
        }
    }
}

/// A future that receives one message, from [`recv_async`](Receiver::recv_async).
///
/// It may be polled again after that, and then receives another one. Polling does not park, with one exception: if the sender
/// is an arm of a `select!` on a channel of capacity 0, the poll waits until that has made its message.
///
/// Futures get in line when they are polled, behind those who wait in [`recv`](Receiver::recv). A message that comes wakes
/// all futures that wait at its channel, and the first to be polled gets it: with many, prefer tasks.
///
/// **Cancellation**: dropped before its end, it has received nothing.
#[must_use = "a future does nothing until it is polled"]
pub struct Recv<R: Receive> {
    receiver: R,
    polled: Polled,
}

/// A stream of messages, from [`stream`](Receiver::stream) or [`into_stream`](Receiver::into_stream). Polls as [`Recv`].
#[must_use = "a stream does nothing until it is polled"]
pub struct RecvStream<R: Receive> {
    recv: Recv<R>,
    ended: bool,
}

impl<R: Receive> Recv<R> {
    fn new(receiver: R) -> Self {
        Self { receiver, polled: Polled::default() }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<R::Message, R::Error>> {
        self.receiver.recv_arm().poll(&mut self.polled, cx.waker())
    }
}

impl<R: Receive> RecvStream<R> {
    fn new(receiver: R) -> Self {
        Self { recv: Recv::new(receiver), ended: false }
    }
}

// Nothing is pinned: what stands in queues lies on the heap.
impl<R: Receive> Unpin for Recv<R> {}
impl<R: Receive> Unpin for RecvStream<R> {}

impl<R: Receive> Future for Recv<R> {
    type Output = Result<R::Message, R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R::Message, R::Error>> {
        self.get_mut().poll_recv(cx)
    }
}

impl<R: Streams> Stream for RecvStream<R> {
    type Item = R::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<R::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        this.recv.poll_recv(cx).map(|received| {
            let item = R::item(received);
            this.ended = item.is_none();
            item
        })
    }
}

impl<R: Streams> FusedStream for RecvStream<R> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<R: Receive> Drop for Recv<R> {
    fn drop(&mut self) {
        self.receiver.recv_arm().leave(&mut self.polled);
    }
}

impl<R: Receive> fmt::Debug for Recv<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Recv { .. }")
    }
}

impl<R: Receive> fmt::Debug for RecvStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("RecvStream { .. }")
    }
}

/// The methods that make a receiver a future.
macro_rules! future {
    ($($receiver:ident)::+, $($bounds:tt)*) => {
        impl<T: $($bounds)*> $($receiver)::+<T> {
            /// `recv` as a future: see [`Recv`]. With the feature `futures`.
            ///
            /// # Errors
            ///
            /// Those of `recv`.
            pub fn recv_async(&self) -> Recv<&Self> {
                Recv::new(self)
            }
        }
    };
}

/// The same, and those that make it a stream.
macro_rules! stream {
    ($($receiver:ident)::+, [$($bounds:tt)*], $item:ty, $to_item:expr) => {
        future!($($receiver)::+, $($bounds)*);

        impl<T: $($bounds)*> sealed::Streams for $($receiver)::+<T> {
            type Item = $item;

            fn item(received: Result<Self::Message, Self::Error>) -> Option<$item> {
                ($to_item)(received)
            }
        }

        impl<T: $($bounds)*> $($receiver)::+<T> {
            /// The messages as a stream, which ends when all senders are gone. With the feature `futures`.
            pub fn stream(&self) -> RecvStream<&Self> {
                RecvStream::new(self)
            }

            /// As [`stream`](Self::stream), and owns the receiver.
            pub fn into_stream(self) -> RecvStream<Self> {
                RecvStream::new(self)
            }
        }
    };
}

future!(oneshot::Receiver,);
stream!(Receiver, [], T, Result::ok);
stream!(watch::Receiver, [], Arc<T>, Result::ok);
stream!(broadcast::Receiver, [Clone], Result<T, broadcast::RecvError>, |received| match received {
    Err(broadcast::RecvError::Closed) => None,
    received => Some(received),
});

/// `receiver.await` receives the message.
impl<T> IntoFuture for oneshot::Receiver<T> {
    type Output = Result<T, RecvError>;
    type IntoFuture = Recv<Self>;

    fn into_future(self) -> Recv<Self> {
        Recv::new(self)
    }
}
