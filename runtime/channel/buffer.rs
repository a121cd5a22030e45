//! Where sent messages lie until they are received, by kind of channel.

use super::ring::Ring;
use super::segments::{Growth, Room, Segments};
use crate::util::abort;

/// Where sent messages lie until they are received.
pub(crate) trait Buffer<T>: Default {
    /// Whether it takes any number of messages, so that no sender ever waits.
    const ENDLESS: bool;

    fn len(&self) -> usize;
    /// Whether a push needs something first: a pop, [`make_place`](Self::make_place) or [`add`](Self::add).
    fn is_full(&self) -> bool;
    /// Whether one more message than `reserved` may be pushed, as soon as there is a place for it. An endless buffer is
    /// never reserved in.
    fn takes_besides(&self, reserved: usize) -> bool;
    fn push(&mut self, message: T);
    fn pop(&mut self) -> Option<T>;
    /// What [`add`](Self::add) takes.
    type Room;
    /// Whether there is a place for a message that may be pushed, or one could be made without an allocation.
    fn make_place(&mut self) -> bool;
    /// What a full buffer without a place needs; `None` if only a pop helps.
    fn growth(&self) -> Option<Growth>;
    /// Allocates, so call it without the lock.
    fn more_room(growth: Growth) -> Self::Room;
    /// For a full buffer. What comes back is to be freed without the lock; then look again.
    fn add(&mut self, room: Self::Room) -> Option<Self::Room>;
    /// Pushes a waiting sender's message, of whom nobody can ask to make room before. The buffer takes one.
    fn admit(&mut self, message: T);
}

/// The whole buffer of a channel for one message.
pub(crate) struct Single<T>(Option<T>);

impl<T> Default for Single<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// What a buffer of fixed size answers.
macro_rules! does_not_grow {
    () => {
        const ENDLESS: bool = false;
        type Room = ();

        #[inline]
        fn make_place(&mut self) -> bool {
            true
        }

        #[inline]
        fn growth(&self) -> Option<Growth> {
            None
        }

        fn more_room(_: Growth) {}

        fn add(&mut self, (): ()) -> Option<()> {
            abort("a bounded channel does not grow");
        }

        #[inline]
        fn admit(&mut self, message: T) {
            self.push(message);
        }
    };
}

impl<T> Buffer<T> for Single<T> {
    does_not_grow!();

    fn len(&self) -> usize {
        usize::from(self.0.is_some())
    }

    fn is_full(&self) -> bool {
        self.0.is_some()
    }

    fn takes_besides(&self, reserved: usize) -> bool {
        self.len() + reserved == 0
    }

    fn push(&mut self, message: T) {
        debug_assert!(self.0.is_none());
        self.0 = Some(message);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T> Buffer<T> for Ring<T> {
    does_not_grow!();

    #[inline]
    fn len(&self) -> usize {
        Ring::len(self)
    }

    #[inline]
    fn is_full(&self) -> bool {
        Ring::is_full(self)
    }

    #[inline]
    fn takes_besides(&self, reserved: usize) -> bool {
        self.capacity() - Ring::len(self) > reserved
    }

    #[inline]
    fn push(&mut self, message: T) {
        Ring::push(self, message);
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        Ring::pop(self)
    }
}

impl<T> Buffer<T> for Segments<T> {
    const ENDLESS: bool = true;

    #[inline]
    fn len(&self) -> usize {
        Segments::len(self)
    }

    #[inline]
    fn is_full(&self) -> bool {
        Segments::is_full(self)
    }

    #[inline]
    fn takes_besides(&self, reserved: usize) -> bool {
        debug_assert_eq!(reserved, 0);
        true
    }

    #[inline]
    fn push(&mut self, message: T) {
        Segments::push(self, message);
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        Segments::pop(self)
    }

    type Room = Room<T>;

    #[inline]
    fn make_place(&mut self) -> bool {
        !Segments::is_full(self) || self.reuse()
    }

    fn growth(&self) -> Option<Growth> {
        Some(Segments::growth(self))
    }

    fn more_room(growth: Growth) -> Room<T> {
        Room::new(growth)
    }

    fn add(&mut self, room: Room<T>) -> Option<Room<T>> {
        Segments::add(self, room)
    }

    fn admit(&mut self, _message: T) {
        abort("a sender waited at an unbounded channel");
    }
}
