//! What the generic ends of a copy are, if they are something that the kernel can reach.
//!
//! Stable Rust has no specialisation, so their types are compared with those that we know.

use std::any::TypeId;
use std::ptr;

use super::streams::{Readable, Writable};
use crate::fs::File;
use crate::io::{PipeReader, PipeWriter};
use crate::net::{OwnedReadHalf, OwnedWriteHalf, TcpStream, UnixStream};
use crate::process::{ChildStderr, ChildStdin, ChildStdout};

/// An end that the kernel can reach; `S` is what can be done with a stream.
pub(super) enum End<'a, S: ?Sized> {
    Stream(&'a S),
    File(&'a File),
}

/// The first of the types that the end has, as what it is good for.
macro_rules! first_known {
    ($end:ident, $($type:ty: $known:ident => $as:expr;)*) => {$(
        if let Some($known) = known::<_, $type>($end) {
            return Some(End::Stream($as));
        }
    )*};
}

pub(super) fn reading<T: ?Sized>(end: &T) -> Option<End<'_, dyn Readable>> {
    first_known! { end,
        TcpStream: stream => stream;
        UnixStream: stream => stream;
        PipeReader: pipe => pipe;
        OwnedReadHalf<TcpStream>: half => half.as_ref();
        OwnedReadHalf<UnixStream>: half => half.as_ref();
        ChildStdout: child => child.pipe();
        ChildStderr: child => child.pipe();
    }
    known(end).map(End::File)
}

pub(super) fn writing<T: ?Sized>(end: &T) -> Option<End<'_, dyn Writable>> {
    first_known! { end,
        TcpStream: stream => stream;
        UnixStream: stream => stream;
        PipeWriter: pipe => pipe;
        OwnedWriteHalf<TcpStream>: half => half.as_ref();
        OwnedWriteHalf<UnixStream>: half => half.as_ref();
        ChildStdin: child => child.pipe();
    }
    known(end).map(End::File)
}

/// `value` as what it is, if it is a `U` or a reference to one.
fn known<T: ?Sized, U: 'static>(value: &T) -> Option<&U> {
    let id = typeid::of::<T>();
    let address = ptr::from_ref(value);
    if id == TypeId::of::<U>() {
        // SAFETY: `T` is `U`: the types have one identity, and `U`, without lifetimes, is the only one that
        // has it.
        Some(unsafe { &*address.cast::<U>() })
    } else if id == TypeId::of::<&'static U>() || id == TypeId::of::<&'static mut U>() {
        // SAFETY: `T` is a reference to a `U`, with some lifetime that the reborrow here can't outlast: it is
        // behind the reference to `value`.
        Some(unsafe { &**address.cast::<*const U>() })
    } else {
        None
    }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_known_by_value_and_by_reference_and_no_other_is() {
        let (mut number, text) = (7_u32, "7");
        assert_eq!(known::<_, u32>(&number), Some(&7));
        assert_eq!(known::<_, u32>(&&number), Some(&7));
        assert_eq!(known::<_, u32>(&&mut number), Some(&7));
        assert_eq!(known::<_, u32>(&&&number), None);
        assert_eq!(known::<_, u32>(&Box::new(number)), None);
        assert_eq!(known::<str, u32>(text), None);
        let number: &dyn std::fmt::Debug = &number;
        assert_eq!(known::<_, u32>(number), None);
    }
}
