//! Where sent messages lie until they are received, by kind of channel.

use super::ring::Ring;
use super::segments::{Segment, Segments};
use crate::util::abort;

/// Where sent messages lie until they are received.
pub(crate) trait Buffer<T>: Default {
    /// Whether it takes any number of messages, so that no sender ever waits.
    const ENDLESS: bool;

    fn len(&self) -> usize;
    /// Whether a push needs a pop or an [`add`](Self::add) first.
    fn is_full(&self) -> bool;
    /// Whether there is room for one more message than `reserved`. An endless buffer is never reserved in.
    fn has_room_besides(&self, reserved: usize) -> bool;
    fn push(&mut self, message: T);
    fn pop(&mut self) -> Option<T>;
    /// What [`add`](Self::add) takes.
    type Room;
    /// Makes room without an allocation, where that is possible.
    fn reuse(&mut self) -> bool;
    /// How much room would help a full buffer; `None` if only a pop helps.
    fn growth(&self) -> Option<usize>;
    /// Allocates so much, so call it without the lock.
    fn more_room(places: usize) -> Self::Room;
    /// What comes back is to be freed without the lock.
    fn add(&mut self, room: Self::Room) -> Option<Self::Room>;
    /// Makes room for a message of a sender who waits, and so is called with the lock: after a pop, if that has not.
    fn make_room(&mut self) -> bool;
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
        fn reuse(&mut self) -> bool {
            false
        }

        #[inline]
        fn growth(&self) -> Option<usize> {
            None
        }

        fn more_room(_places: usize) {}

        fn add(&mut self, (): ()) -> Option<()> {
            abort("a bounded channel does not grow");
        }

        #[inline]
        fn make_room(&mut self) -> bool {
            false
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

    fn has_room_besides(&self, reserved: usize) -> bool {
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
    fn has_room_besides(&self, reserved: usize) -> bool {
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
    fn has_room_besides(&self, reserved: usize) -> bool {
        debug_assert_eq!(reserved, 0);
        !Segments::is_full(self)
    }

    #[inline]
    fn push(&mut self, message: T) {
        Segments::push(self, message);
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        Segments::pop(self)
    }

    type Room = Segment<T>;

    fn reuse(&mut self) -> bool {
        Segments::reuse(self)
    }

    #[inline]
    fn growth(&self) -> Option<usize> {
        Some(Segments::growth(self))
    }

    fn more_room(places: usize) -> Segment<T> {
        Segments::segment(places)
    }

    fn add(&mut self, room: Segment<T>) -> Option<Segment<T>> {
        Segments::add(self, room)
    }

    /// Nobody waits.
    #[inline]
    fn make_room(&mut self) -> bool {
        false
    }
}
