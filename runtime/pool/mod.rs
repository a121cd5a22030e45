//! Computing on all workers at once: Python's `multiprocessing.Pool.map`, without processes.
//!
//! [`map`] calls a function with each item and returns the results in the items' order; [`ParMap`] gives iterators the
//! same as a method. Function and items may borrow from the caller.
//!
//! ```
//! use fibra::pool::{self, ParMap};
//!
//! let words = ["green", "threads", "compute", "in", "parallel"];
//! let lengths = pool::map(&words, |word| word.len());
//! assert_eq!(lengths, [5, 7, 7, 2, 8]);
//!
//! let squares: Vec<u64> = (0..1000).par_map(|n| n * n);
//! assert_eq!(squares[999], 998_001);
//! ```
//!
//! # How the work is shared out
//!
//! The caller takes part, and so does one helper task on each other worker. All items are the caller's at first. A helper
//! takes half of what another one has left, and whoever has none left takes from others again, down to the last item: so
//! it does not matter if some items take a thousand times longer than others, and there is no chunk size to choose.
//! Helpers call each other up, and only while there is work left. A helper whose worker is busy with something else
//! comes later or not at all, and nobody waits for it.
//!
//! Other tasks are not starved meanwhile: between two items a task that has run for long gives its turn back.
//!
//! # What it is for
//!
//! For computing. At most one call per worker runs at a time, so of items that *wait* (for a socket, a lock, a child)
//! few would wait at once: spawn a task for each of those, in a [`scope`](crate::scope()).

mod crew;
mod ranges;
mod slots;

use crew::run;
use slots::Slots;

/// Calls `f` with each item, on all workers of the runtime, and returns the results in the items' order.
///
/// In a task it uses the workers of the task's runtime; on a plain thread those of the global one, beside that thread
/// itself. It may be called inside of `f` again.
///
/// The items are collected before the first call of `f`, by the caller alone: an iterator need not be `Send`, may park
/// and may panic, but must have an end.
///
/// Parks (on a plain thread: blocks) until all calls of `f` are over, on every way out: so `f` and the items may borrow.
///
/// **Cost**: a few nanoseconds an item, a few allocations in all, and the wake-up of the workers that sleep, which
/// lasts some 50 µs: for less work than that a loop is faster.
///
/// # Panics
///
/// With the payload of the first call of `f` that panics. Calls that have begun are waited for, and no other one begins.
/// What is left of items and results is dropped by the caller. And, with advice, inside
/// [`on_thread_stack`](crate::on_thread_stack), where nothing can park.
///
/// # Cancellation
///
/// If the caller is cancelled, or a [`timeout`](crate::timeout) around it passes, which it notices between two items and
/// wherever `f` parks, no further call begins, and the others' calls are cancelled: they unwind at their next park. When
/// they have ended the caller unwinds. What is left of items and results is dropped. Inside of a
/// [`shield`](crate::cancel::shield) all calls are shielded.
///
/// # Examples
///
/// ```
/// fibra::run(|| {
///     let text = String::from("to be or not to be");
///     let shouted = fibra::pool::map(text.split(' '), str::to_uppercase);
///     assert_eq!(shouted.join(" "), "TO BE OR NOT TO BE");
/// });
/// ```
pub fn map<I, F, R>(items: I, f: F) -> Vec<R>
where
    I: IntoIterator,
    I::Item: Send,
    F: Fn(I::Item) -> R + Sync,
    R: Send,
{
    let slots = Slots::collect(items);
    // SAFETY: `run` calls this at most once for each index below the length.
    run(slots.len(), &|index| unsafe { slots.fill(index, &f) });
    slots.into_results()
}

/// Adds [`par_map`](Self::par_map) to all iterators.
pub trait ParMap: Iterator + Sized {
    /// Calls `f` with each item, on all workers of the runtime, and returns the results in order; see [`map`].
    ///
    /// # Panics
    ///
    /// As [`map`].
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::pool::ParMap;
    ///
    /// fn is_prime(n: &u32) -> bool {
    ///     (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0)
    /// }
    ///
    /// let numbers = [101, 102, 103];
    /// assert_eq!(numbers.iter().par_map(is_prime), [true, false, true]);
    /// ```
    fn par_map<F, R>(self, f: F) -> Vec<R>
    where
        Self::Item: Send,
        F: Fn(Self::Item) -> R + Sync,
        R: Send,
    {
        map(self, f)
    }
}

impl<I: Iterator> ParMap for I {}
