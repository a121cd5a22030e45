//! The stack on which a worker's signal handlers run: an overflowed one has no room left for them.
//!
//! ```text
//! | guard |            64 KiB or what this machine's registers need            |
//! ```

use std::io;
use std::marker::PhantomData;

use crate::os::mmap::{self, Access};
use crate::os::signal;

/// The least that is left for handlers, ours and the user's.
const SIZE: usize = 64 << 10;

/// What handlers need beyond the registers that the kernel saves.
const FOR_HANDLERS: usize = 16 << 10;

/// This thread's alternate signal stack, until it is dropped: then the thread gets back the one it had.
// `whole` bytes from `address` on are mapped, and the first `guard` of them fault.
pub(crate) struct AltStack {
    address: usize,
    whole: usize,
    previous: libc::stack_t,
    /// It belongs to this thread.
    not_send: PhantomData<*mut ()>,
}

impl AltStack {
    /// Gives this thread an alternate signal stack.
    pub(crate) fn enter() -> io::Result<Self> {
        let guard = mmap::page_size();
        let size = SIZE.max(signal::minimum_stack() + FOR_HANDLERS).next_multiple_of(guard);
        let whole = guard + size;
        let address = mmap::reserve(whole)?;
        // SAFETY: just reserved, and known to nobody; the lowest page stays inaccessible.
        let entered = unsafe { mmap::protect(address + guard, size, Access::ReadWrite) }.and_then(|()| {
            let stack = libc::stack_t {
                ss_sp: std::ptr::with_exposed_provenance_mut(address + guard),
                ss_flags: 0,
                ss_size: size,
            };
            // SAFETY: the memory is ours, and `drop` takes it off before it goes.
            unsafe { signal::swap_stack(&stack) }
        });
        match entered {
            Ok(previous) => Ok(Self { address, whole, previous, not_send: PhantomData }),
            Err(error) => {
                // SAFETY: the thread did not take it.
                unsafe { mmap::unmap(address, whole) };
                Err(error)
            }
        }
    }
}

impl Drop for AltStack {
    fn drop(&mut self) {
        // SAFETY: whoever gave the thread its previous stack keeps it until the thread ends or replaces it.
        let left = unsafe { signal::swap_stack(&self.previous) };
        // Else a handler runs on it right now, and ends the thread by unwinding: the memory must stay.
        if left.is_ok() {
            // SAFETY: it is no longer this thread's signal stack.
            unsafe { mmap::unmap(self.address, self.whole) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This thread's alternate signal stack: address, size, flags.
    fn current() -> (usize, usize, i32) {
        // SAFETY: a null new stack changes nothing, and all zeros is a valid answer to be overwritten.
        unsafe {
            let mut stack = std::mem::zeroed::<libc::stack_t>();
            assert_eq!(libc::sigaltstack(std::ptr::null(), &mut stack), 0);
            (stack.ss_sp.addr(), stack.ss_size, stack.ss_flags)
        }
    }

    #[test]
    fn the_previous_stack_comes_back() {
        let before = current();
        let outer = AltStack::enter().unwrap();
        let during = current();
        let inner = AltStack::enter().unwrap();
        assert_ne!(current().0, during.0);
        drop(inner);
        assert_eq!(current(), during);
        drop(outer);
        assert_eq!(current(), before);
        assert!(during.1 >= SIZE && during.1 >= signal::minimum_stack() + FOR_HANDLERS);
    }

    #[test]
    fn a_thread_without_one_gets_none_back() {
        let disabled = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: the old one is put back below.
        let previous = unsafe { signal::swap_stack(&disabled) }.unwrap();
        drop(AltStack::enter().unwrap());
        assert_eq!(current().2, libc::SS_DISABLE);
        // SAFETY: as it was before.
        unsafe { signal::swap_stack(&previous) }.unwrap();
    }
}
