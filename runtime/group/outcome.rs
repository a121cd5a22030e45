//! Waiting for a whole group, and what is made of its results.

use std::any::Any;
use std::panic::resume_unwind;
use std::thread;

use super::Group;
use super::core::Indexed;
use crate::Cancelled;
use crate::task::checkpoint;

/// All results of a group whose tasks have ended.
struct Settled<T> {
    /// In the order in which the tasks ended.
    results: Vec<Indexed<T>>,
    /// The task that cancelled the others.
    decisive: Option<usize>,
    cancelled: bool,
}

/// Keeps the first of what it is offered, but gives precedence to the decisive task's.
struct First<V> {
    decisive: Option<usize>,
    kept: Option<V>,
}

impl<V> First<V> {
    fn new(decisive: Option<usize>) -> Self {
        Self { decisive, kept: None }
    }

    fn offer(&mut self, index: usize, value: V) {
        if self.kept.is_none() || self.decisive == Some(index) {
            self.kept = Some(value);
        }
    }
}

type Payload = Box<dyn Any + Send>;

/// How the group as a whole came out.
enum Failure<E> {
    Error(E),
    Panic(Payload),
}

impl<T> Group<'_, T> {
    /// Parks until all tasks have ended, and returns how, in the order of spawning; results that have been taken are not
    /// among them.
    ///
    /// A panic cancels the other tasks, unless the group is [`independent`](Self::independent). If the caller is
    /// cancelled, so are the tasks, and they end before the unwinding goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::task::Group;
    ///
    /// let group = Group::new().independent();
    /// group.spawn(|| 1);
    /// group.spawn(|| panic!("oh no"));
    /// group.spawn(|| 3);
    /// let ends = group.join_all();
    /// assert_eq!((ends[0].as_ref().unwrap(), ends[2].as_ref().unwrap()), (&1, &3));
    /// assert_eq!(ends[1].as_ref().unwrap_err().downcast_ref(), Some(&"oh no"));
    /// ```
    pub fn join_all(self) -> Vec<thread::Result<T>> {
        in_order_of_spawning(self.settle(None).results)
    }

    /// Parks until all tasks have ended, and returns their values in the order of spawning; those that have been taken are
    /// not among them. Tasks that [`cancel`](Self::cancel) cut short leave no value.
    ///
    /// The first panic cancels the other tasks, unless the group is [`independent`](Self::independent). If the caller is
    /// cancelled, so are the tasks, and they end before the unwinding goes on.
    ///
    /// # Panics
    ///
    /// With the payload of the first task that panicked; and if a task was cancelled by the end of its runtime.
    pub fn values(self) -> Vec<T> {
        let Settled { results, decisive, cancelled } = self.settle(None);
        let mut failure = First::new(decisive);
        let mut values = Vec::with_capacity(results.len());
        let mut cut_short = false;
        for (index, result) in results {
            match result {
                Ok(value) => values.push((index, value)),
                Err(payload) if payload.is::<Cancelled>() => cut_short = true,
                Err(payload) => failure.offer(index, payload),
            }
        }
        match failure.kept {
            Some(payload) => resume_unwind(payload),
            None if cut_short && !cancelled => refuse_to_return_less(),
            None => in_order_of_spawning(values),
        }
    }

    /// Waits for all. The first of whom `watch` accepts the value cancels the others, as if it had panicked.
    fn settle(self, watch: Option<fn(&T) -> bool>) -> Settled<T> {
        checkpoint();
        let core = &self.core;
        let mut results = Vec::new();
        let found = core.watch(watch.filter(|_| !core.settings.independent), &mut results);
        if found.is_some() && !core.is_cancelled() {
            core.cancel();
        }
        core.wait_for_end(0);
        results.extend(std::iter::from_fn(|| core.try_take()));
        Settled { results, decisive: found.or_else(|| core.decisive()), cancelled: core.is_cancelled() }
    }
}

impl<T, E> Group<'_, Result<T, E>> {
    /// Parks until all tasks have ended, and returns their values in the order of spawning, or the first error: Go's
    /// `errgroup.Wait`. What has been taken is not among the values. Tasks that [`cancel`](Self::cancel) cut short leave
    /// none.
    ///
    /// The first `Err` or panic cancels the other tasks, unless the group is [`independent`](Self::independent). If one
    /// is to do so before this is called, while tasks are still being spawned, make the group with
    /// [`cancel_if(Result::is_err)`](Self::cancel_if). If the caller is cancelled, so are the tasks, and they end before
    /// the unwinding goes on.
    ///
    /// # Errors
    ///
    /// The `Err` of the task that failed first.
    ///
    /// # Panics
    ///
    /// With the payload of the task that failed first, if it panicked; and if a task was cancelled by the end of its
    /// runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::task::Group;
    ///
    /// fibra::run(|| {
    ///     let group = Group::new();
    ///     group.spawn(|| Ok(fibra::thread::park())); // is cancelled
    ///     group.spawn(|| "seven".parse::<i32>().map(drop));
    ///     assert_eq!(group.wait().unwrap_err().to_string(), "invalid digit found in string");
    /// });
    /// ```
    pub fn wait(self) -> Result<Vec<T>, E> {
        let Settled { results, decisive, cancelled } = self.settle(Some(Result::is_err));
        let mut failure = First::new(decisive);
        let mut values = Vec::with_capacity(results.len());
        let mut cut_short = false;
        for (index, result) in results {
            match result {
                Ok(Ok(value)) => values.push((index, value)),
                Ok(Err(error)) => failure.offer(index, Failure::Error(error)),
                Err(payload) if payload.is::<Cancelled>() => cut_short = true,
                Err(payload) => failure.offer(index, Failure::Panic(payload)),
            }
        }
        match failure.kept {
            Some(Failure::Error(error)) => Err(error),
            Some(Failure::Panic(payload)) => resume_unwind(payload),
            None if cut_short && !cancelled => refuse_to_return_less(),
            None => Ok(in_order_of_spawning(values)),
        }
    }

    /// Waits for the first `Ok`, cancels the other tasks, parks until all have ended, and returns it: a race, Java's
    /// `invokeAny`.
    ///
    /// A panic also ends the race, unless the group is [`independent`](Self::independent). In a group made with
    /// [`cancel_if(Result::is_ok)`](Self::cancel_if) the first `Ok` cancels the others even while they are being spawned.
    /// If the caller is cancelled, so are the tasks, and they end before the unwinding goes on.
    ///
    /// # Errors
    ///
    /// All errors, in the order in which the tasks ended, if none succeeded. There are none in an empty group.
    ///
    /// # Panics
    ///
    /// With the payload of the task that panicked before anybody had succeeded.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::task::Group;
    ///
    /// fibra::run(|| {
    ///     let group = Group::new();
    ///     group.spawn(|| Err("unreachable"));
    ///     group.spawn(|| Ok("from the mirror"));
    ///     group.spawn(|| {
    ///         fibra::thread::park(); // is cancelled
    ///         Ok("never")
    ///     });
    ///     assert_eq!(group.first_ok(), Ok("from the mirror"));
    /// });
    /// ```
    pub fn first_ok(self) -> Result<T, Vec<E>> {
        let independent = self.core.settings.independent;
        let Settled { results, decisive, .. } = self.settle(Some(Result::is_ok));
        let mut winner = First::new(decisive);
        let mut panic = First::new(decisive);
        let mut errors = Vec::new();
        for (index, result) in results {
            match result {
                Ok(Ok(value)) => winner.offer(index, value),
                Ok(Err(error)) => errors.push(error),
                Err(payload) if payload.is::<Cancelled>() => {}
                Err(payload) => panic.offer(index, (index, payload)),
            }
        }
        match (winner.kept, panic.kept) {
            (_, Some((index, payload))) if decisive == Some(index) && !independent => resume_unwind(payload),
            (Some(value), _) => Ok(value),
            (None, Some((_, payload))) => resume_unwind(payload),
            (None, None) => Err(errors),
        }
    }
}

fn in_order_of_spawning<V>(mut indexed: Vec<(usize, V)>) -> Vec<V> {
    indexed.sort_unstable_by_key(|&(index, _)| index);
    indexed.into_iter().map(|(_, value)| value).collect()
}

#[cold]
fn refuse_to_return_less() -> ! {
    panic!("a task of the group was cancelled by the end of its runtime")
}
