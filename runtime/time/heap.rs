//! A worker's timers: a heap with four children a node, in which every entry knows its place.
//!
//! ```text
//! entries:   [ 0 | 1 2 3 4 | 5 … 8 | 9 … ]     children of i: 4i+1 … 4i+4, parent of i: (i-1)/4
//! task.timer = index of its entry, so that a wake before the deadline removes it in O(log n) without a search
//! ```
//!
//! Four children halve the depth of a binary heap and keep siblings in one cache line: 100,000 sleepers are eight or
//! nine levels. A timing wheel would insert in constant time, but it either ticks, which costs wake-ups and lateness,
//! or has to search for its next deadline.
//!
//! Invariants: a parent is due no later than its children; `entries[task.timer].task == task` for each entry, and
//! `task.timer == NO_TIMER` for every task without one.

use std::time::{Duration, Instant};

use crate::task::header::{NO_TIMER, TaskPtr};

const CHILDREN: usize = 4;

/// A heap shrinks its memory when it holds a quarter of what it has room for, but never below this.
const MIN_CAPACITY: usize = 256;

struct Entry {
    /// Nanoseconds since the heap's `base`: half the size of an `Instant`, and one comparison.
    due: u64,
    task: TaskPtr,
}

/// See the head of this file.
pub(crate) struct TimerHeap {
    base: Instant,
    entries: Vec<Entry>,
}

impl TimerHeap {
    pub(crate) fn new() -> Self {
        Self { base: Instant::now(), entries: Vec::new() }
    }

    fn offset(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.base);
        // 64 bits of nanoseconds are 584 years; what lies beyond is as good as never.
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Adds the one timer of a parked task.
    pub(crate) fn insert(&mut self, task: TaskPtr, deadline: Instant) {
        debug_assert_eq!(task.timer.get(), NO_TIMER, "a task has one timer at a time");
        let due = self.offset(deadline);
        assert!(self.entries.len() < NO_TIMER as usize, "more than four billion timers on one worker");
        self.entries.push(Entry { due, task });
        self.sift_up(self.entries.len() - 1);
    }

    /// Takes a task's timer out, if it still has one.
    pub(crate) fn remove(&mut self, task: TaskPtr) {
        let index = task.timer.get();
        if index == NO_TIMER {
            return;
        }
        debug_assert!(self.entries[index as usize].task == task);
        self.remove_at(index as usize);
    }

    /// When the next timer is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.entries.first().map(|entry| self.base + Duration::from_nanos(entry.due))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes out a task that is due at `now`, the earliest first.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<TaskPtr> {
        let first = self.entries.first()?;
        if first.due > self.offset(now) {
            return None;
        }
        let task = first.task;
        self.remove_at(0);
        Some(task)
    }

    fn remove_at(&mut self, index: usize) {
        let removed = self.entries.swap_remove(index);
        removed.task.timer.set(NO_TIMER);
        if index < self.entries.len() {
            // The entry that took the place may belong further down or, coming from another branch, further up.
            let index = self.sift_down(index);
            self.sift_up(index);
        }
        if self.entries.capacity() > MIN_CAPACITY && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.capacity() / 2);
        }
    }

    fn sift_up(&mut self, mut index: usize) {
        while index > 0 {
            let parent = (index - 1) / CHILDREN;
            if self.entries[parent].due <= self.entries[index].due {
                break;
            }
            self.entries.swap(parent, index);
            self.note_place(index);
            index = parent;
        }
        self.note_place(index);
    }

    /// Returns where the entry ended.
    fn sift_down(&mut self, mut index: usize) -> usize {
        loop {
            let first = index * CHILDREN + 1;
            let children = first..(first + CHILDREN).min(self.entries.len());
            let Some(earliest) = children.min_by_key(|&child| self.entries[child].due) else { break };
            if self.entries[index].due <= self.entries[earliest].due {
                break;
            }
            self.entries.swap(index, earliest);
            self.note_place(index);
            index = earliest;
        }
        self.note_place(index);
        index
    }

    /// Tells the task at `index` where its entry is.
    fn note_place(&self, index: usize) {
        self.entries[index].task.timer.set(index as u32);
    }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;
    use crate::stack::Class;
    use crate::task::cell::{Spec, allocate};
    use crate::task::core::ThreadCore;
    use crate::task::header::Header;
    use proptest::prelude::*;
    use std::ptr::NonNull;

    /// Tasks that never run; the tests use only their timer slots.
    fn tasks(n: usize) -> Vec<TaskPtr> {
        unsafe fn never(_: NonNull<ThreadCore>) {
            unreachable!("no test schedules a task")
        }
        let spec = || Spec { name: None, id: None, class: Class::DEFAULT, detached: true, schedule: never };
        // SAFETY: the closures are `Send`, `'static` and never run.
        (0..n).map(|_| unsafe { allocate(spec(), || ()) }).collect()
    }

    fn free(tasks: Vec<TaskPtr>) {
        for task in tasks {
            let header: NonNull<Header> = task.as_non_null();
            // SAFETY: the test owns the one reference.
            unsafe { ThreadCore::release(header.cast()) };
        }
    }

    proptest! {
        #[test]
        fn pops_in_order_and_forgets_what_was_removed(
            delays in prop::collection::vec(1u64..1000, 1..200),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..50),
        ) {
            let mut heap = TimerHeap::new();
            let tasks = tasks(delays.len());
            let base = heap.base;
            for (&task, &delay) in tasks.iter().zip(&delays) {
                heap.insert(task, base + Duration::from_millis(delay));
            }
            let mut expected = delays.clone();
            for index in removed {
                let index = index.index(tasks.len());
                if tasks[index].timer.get() != NO_TIMER {
                    heap.remove(tasks[index]);
                    let at = expected.iter().position(|d| *d == delays[index]).unwrap();
                    expected.swap_remove(at);
                }
            }
            expected.sort_unstable();
            let mut popped = Vec::new();
            while let Some(next) = heap.next_deadline() {
                prop_assert!(heap.pop_due(next - Duration::from_nanos(1)).is_none());
                let task = heap.pop_due(next).unwrap();
                let index = tasks.iter().position(|t| *t == task).unwrap();
                prop_assert_eq!(base + Duration::from_millis(delays[index]), next);
                popped.push(delays[index]);
            }
            prop_assert_eq!(popped, expected);
            prop_assert!(tasks.iter().all(|t| t.timer.get() == NO_TIMER));
            free(tasks);
        }
    }
}
