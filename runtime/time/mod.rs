//! Timers: who waits until when. Owns no thread; the worker asks what is due.

mod heap;

pub(crate) use heap::TimerHeap;
