//! How a `recv` arm of the select macros finds the receiver in what it is given.
//!
//! ```text
//! Given<R> ── R is a channel's receiver, or not known yet
//!   │ deref
//! Kind<R> ── R is another kind of receiver, or a reference to any
//!   │ deref
//! Behind<R> ── R derefs to one of these: a `Box`, a user's own type
//!   │ deref
//! Behind2<R>, Behind3<R> ── in two and three steps
//! ```
//!
//! The macros call `arm` on a [`Given`], and method lookup takes the first of these types that has it. So a receiver whose
//! type is not known where the macro stands, as a closure's parameter, is taken for a channel's: as `crossbeam-channel`
//! does, which has no other kind.
//!
//! Rejected: to call a method on the receiver itself, which needs its type. Rejected: a reference that is coerced to
//! `&Receiver<_>`, which other kinds are not.

use std::ops::Deref;

use super::macro_arm::{ArmOf, Receive};
use super::receiver::Receiver;

/// See the head of this file.
pub struct Given<'a, R: ?Sized>(Kind<'a, R>);
pub struct Kind<'a, R: ?Sized>(Behind<'a, R>);
pub struct Behind<'a, R: ?Sized>(Behind2<'a, R>);
pub struct Behind2<'a, R: ?Sized>(Behind3<'a, R>);
pub struct Behind3<'a, R: ?Sized>(&'a R);

impl<'a, R: ?Sized> Given<'a, R> {
    /// From a reference to what the arm was given.
    #[inline(always)]
    pub fn new(receiver: &'a R) -> Self {
        Self(Kind(Behind(Behind2(Behind3(receiver)))))
    }
}

impl<'a, T> Given<'a, Receiver<T>> {
    /// The arm.
    #[inline(always)]
    pub fn arm(&self) -> ArmOf<'a, Receiver<T>> {
        self.0.arm()
    }
}

impl<'a, R: Receive + ?Sized> Kind<'a, R> {
    /// The arm.
    #[inline(always)]
    pub fn arm(&self) -> ArmOf<'a, R> {
        self.0.0.0.0.recv_arm()
    }
}

impl<'a, R: Deref<Target: Receive> + ?Sized> Behind<'a, R> {
    /// The arm.
    #[inline(always)]
    pub fn arm(&self) -> ArmOf<'a, R::Target> {
        self.0.0.0.deref().recv_arm()
    }
}

impl<'a, R: Deref<Target: Deref<Target: Receive>> + ?Sized> Behind2<'a, R> {
    /// The arm.
    #[inline(always)]
    pub fn arm(&self) -> ArmOf<'a, <R::Target as Deref>::Target> {
        self.0.0.deref().deref().recv_arm()
    }
}

impl<'a, R: Deref<Target: Deref<Target: Deref<Target: Receive>>> + ?Sized> Behind3<'a, R> {
    /// The arm.
    #[inline(always)]
    pub fn arm(&self) -> ArmOf<'a, <<R::Target as Deref>::Target as Deref>::Target> {
        self.0.deref().deref().deref().recv_arm()
    }
}

macro_rules! deref_to_next {
    ($($this:ident => $next:ident),*) => {$(
        impl<'a, R: ?Sized> Deref for $this<'a, R> {
            type Target = $next<'a, R>;

            #[inline(always)]
            fn deref(&self) -> &$next<'a, R> {
                &self.0
            }
        }
    )*};
}

deref_to_next!(Given => Kind, Kind => Behind, Behind => Behind2, Behind2 => Behind3);
