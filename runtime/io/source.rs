//! A file descriptor on which tasks wait.
//!
//! A call is tried first, and parks only when it has found nothing; see [`poll`](crate::poll) for how no event is lost in
//! between. On a plain thread the wait is `poll(2)`, so nothing here needs a runtime.

use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limit::Limit;
use crate::os;
use crate::poll::{Direction, Registration, Seen, Selector};
use crate::sched::current_selector;
use crate::task::cancel;
use crate::task::{Outcome, Reason, Wait, checkpoint};

/// A pollable file descriptor of the user's own, with which tasks can wait.
///
/// It is for whatever `epoll` can watch and this crate has no type for: an `inotify`, a `timerfd`, a CAN socket, a library's
/// connection. It owns the value, and works like this: [`read_with`](Self::read_with) and
/// [`write_with`](Self::write_with) try a call, park the task while it answers `WouldBlock`, and try again.
/// [`readable`](Self::readable) and [`writable`](Self::writable) only wait. On a plain OS thread they all block the thread.
///
/// Several tasks may wait for one source; an event wakes all that wait in its direction, and who finds nothing
/// waits on. A descriptor is watched by at most one `Source`.
///
/// # Cancellation
///
/// A wait unwinds if its task is cancelled. The call is not made then, so nothing that it would have read is lost.
///
/// # Cost
///
/// The first wait makes one system call (`epoll_ctl`), and so does the drop after it; the waits in between make none of
/// their own. A value takes 128 bytes beside itself.
///
/// # Examples
///
/// ```
/// use fibra::io::Source;
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// fibra::run(|| {
///     let (ours, mut theirs) = UnixStream::pair()?;
///     let ours = Source::new(ours)?;
///     let task = fibra::spawn(move || {
///         let mut buf = [0; 16];
///         ours.read_with(|mut stream| stream.read(&mut buf)).map(|n| buf[..n].to_vec())
///     });
///     theirs.write_all(b"hello")?;
///     assert_eq!(task.join().unwrap()?, b"hello");
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Source<T: AsFd> {
    /// Taken out by `into_inner` and the drop alone.
    registration: ManuallyDrop<Registration>,
    io: ManuallyDrop<T>,
}

/// How a call waits.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) direction: Direction,
    pub(crate) reason: Reason,
    pub(crate) limit: &'a Limit,
}

impl<'a> Call<'a> {
    #[inline]
    pub(crate) fn read(limit: &'a Limit) -> Self {
        Self { direction: Direction::Read, reason: Reason::Read, limit }
    }

    #[inline]
    pub(crate) fn write(limit: &'a Limit) -> Self {
        Self { direction: Direction::Write, reason: Reason::Write, limit }
    }
}

/// For calls that wait as long as it takes.
static FOR_EVER: Limit = Limit::new();

impl<T: AsFd> Source<T> {
    /// Takes a descriptor, and makes it non-blocking.
    ///
    /// That flag belongs to the open file, and with it to all duplicates of the descriptor, in other processes too; see
    /// [`without_nonblocking`](Self::without_nonblocking).
    ///
    /// # Errors
    ///
    /// Those of `fcntl`; and if four million sources exist. Whether the kernel can watch the descriptor shows at the first
    /// wait: for a file or directory, it can't.
    pub fn new(io: T) -> io::Result<Self> {
        os::fd::set_nonblocking(io.as_fd(), true)?;
        Self::without_nonblocking(io)
    }

    /// Takes a descriptor as it is. A call that is tried on a blocking one may block the worker: ask first whether it is
    /// ready, or wait with [`readable`](Self::readable) and be its only reader.
    ///
    /// # Errors
    ///
    /// If four million sources exist.
    pub fn without_nonblocking(io: T) -> io::Result<Self> {
        let registration = Registration::new()?;
        Ok(Self { registration: ManuallyDrop::new(registration), io: ManuallyDrop::new(io) })
    }

    /// What this source owns. Don't close its descriptor, and don't wait for it by other means that take its events.
    #[inline]
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Gives the value back. It stays non-blocking.
    pub fn into_inner(self) -> T {
        let mut this = ManuallyDrop::new(self);
        this.end_registration();
        // SAFETY: taken once, since `this` is not dropped.
        unsafe { ManuallyDrop::take(&mut this.io) }
    }

    fn end_registration(&mut self) {
        // SAFETY: called once, by the drop or by `into_inner`, which prevents the drop.
        let registration = unsafe { ManuallyDrop::take(&mut self.registration) };
        registration.release(self.io.as_fd());
    }

    /// Waits until the descriptor is readable: a read finds data, the end, or an error. Returns at once if it is.
    ///
    /// # Errors
    ///
    /// `NotConnected` after [`close`](Self::close); `PermissionDenied` if the kernel can't watch such a descriptor.
    pub fn readable(&self) -> io::Result<()> {
        self.ready(Call::read(&FOR_EVER))
    }

    /// Waits until the descriptor is writable, as [`readable`](Self::readable).
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    pub fn writable(&self) -> io::Result<()> {
        self.ready(Call::write(&FOR_EVER))
    }

    /// Waits until the descriptor is readable, or `deadline` has come.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable), and `TimedOut`.
    pub fn readable_deadline(&self, deadline: Instant) -> io::Result<()> {
        self.ready(Call::read(&Limit::until(deadline)))
    }

    /// Waits until the descriptor is writable, or `deadline` has come.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable), and `TimedOut`.
    pub fn writable_deadline(&self, deadline: Instant) -> io::Result<()> {
        self.ready(Call::write(&Limit::until(deadline)))
    }

    /// Waits until the descriptor is readable, at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable), and `TimedOut`.
    pub fn readable_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.ready(Call::read(&Limit::within(timeout)))
    }

    /// Waits until the descriptor is writable, at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable), and `TimedOut`.
    pub fn writable_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.ready(Call::write(&Limit::within(timeout)))
    }

    /// Calls `op` until it answers anything but `WouldBlock` or `Interrupted`, and waits for readability in between.
    ///
    /// # Errors
    ///
    /// Those of `op`, and as [`readable`](Self::readable).
    pub fn read_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.run(Call::read(&FOR_EVER), op)
    }

    /// Calls `op` until it answers anything but `WouldBlock` or `Interrupted`, and waits for writability in between.
    ///
    /// # Errors
    ///
    /// Those of `op`, and as [`readable`](Self::readable).
    pub fn write_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.run(Call::write(&FOR_EVER), op)
    }

    /// Wakes all tasks that wait here. Their calls, and all later ones, fail with `NotConnected`.
    ///
    /// The descriptor itself is closed when the source is dropped, so that its number can't be taken by another file while
    /// somebody still uses it. A plain thread that waits is not woken, unless the descriptor reports something.
    pub fn close(&self) {
        self.registration.close();
    }

    /// [`read_with`](Self::read_with) and [`write_with`](Self::write_with), with a limit; `TimedOut` when that is
    /// reached. `op` is then tried once more, since data and deadline may have come together.
    #[inline]
    pub(crate) fn run<R>(&self, call: Call<'_>, mut op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        checkpoint();
        let seen = self.registration.look(call.direction);
        if !seen.is_drained() && !seen.is_closed() && !call.limit.is_over() {
            match op(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.registration.drain(call.direction, seen);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
        self.run_slow(call, &mut op)
    }

    /// [`run`](Self::run) for byte streams. `op` moves at most `len` bytes; fewer, but not none, mean that there is no
    /// more to be had, so that the next call waits at once.
    #[inline]
    pub(crate) fn run_stream(
        &self,
        call: Call<'_>,
        len: usize,
        mut op: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.run(call, |io| {
            // Looked at once more for every try: the count is about what was there after this.
            let seen = self.registration.look(call.direction);
            let n = op(io)?;
            if 0 < n && n < len && !seen.is_hung_up() {
                self.registration.drain(call.direction, seen);
            }
            Ok(n)
        })
    }

    /// [`run`](Self::run) for a call of a byte stream that has no bytes to move, and so nothing to wait for: 0 where others
    /// would wait.
    #[cold]
    pub(crate) fn run_empty(
        &self,
        call: Call<'_>,
        mut op: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        checkpoint();
        if self.registration.look(call.direction).is_closed() {
            return Err(closed());
        }
        if call.limit.is_over() {
            return Err(timed_out());
        }
        loop {
            match op(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                done => return done,
            }
        }
    }

    /// For futures.
    #[cfg(feature = "futures")]
    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Lets calls that wait in `direction` look at their limit again.
    pub(crate) fn wake(&self, direction: Direction) {
        self.registration.nudge(direction);
    }

    /// The same loop from its beginning, with everything that the first try doesn't need.
    #[inline(never)]
    fn run_slow<R>(&self, call: Call<'_>, op: &mut dyn FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        let mut began = None;
        loop {
            let seen = self.registration.look(call.direction);
            if seen.is_closed() {
                return Err(closed());
            }
            if call.limit.is_over() {
                return Err(timed_out());
            }
            if !seen.is_drained() {
                match op(&self.io) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.registration.drain(call.direction, seen);
                    }
                    done => return done,
                }
            }
            if self.wait(call, seen, &mut began)? == Outcome::TimedOut {
                if self.registration.look(call.direction).is_closed() {
                    return Err(closed());
                }
                return match op(&self.io) {
                    Err(error) if is_transient(&error) => Err(timed_out()),
                    done => {
                        // No event told of it (a socket reports room only when a third is free): the next call has to try.
                        self.registration.note_event(call.direction);
                        done
                    }
                };
            }
        }
    }

    /// Waits for readiness without a call.
    pub(crate) fn ready(&self, call: Call<'_>) -> io::Result<()> {
        checkpoint();
        let mut began = None;
        loop {
            let seen = self.registration.look(call.direction);
            if seen.is_closed() {
                return Err(closed());
            }
            if !seen.is_drained() {
                if self.poll(call.direction, Some(Duration::ZERO))? {
                    return Ok(());
                }
                self.registration.drain(call.direction, seen);
            }
            // After a wake-up the kernel is asked again: it may have been an old event, or a changed limit.
            if self.wait(call, seen, &mut began)? == Outcome::TimedOut {
                // The event may have come too late to be delivered, or nobody had the time to.
                let is_ready = self.poll(call.direction, Some(Duration::ZERO))?;
                return if is_ready { Ok(()) } else { Err(timed_out()) };
            }
        }
    }

    /// Waits once: until there is reason to look again, or for as long as the call may.
    fn wait(&self, call: Call<'_>, seen: Seen, began: &mut Option<Instant>) -> io::Result<Outcome> {
        let deadline = call.limit.end_of_call(began);
        match current_selector() {
            Some(selector) => self.park(call, selector, seen, deadline),
            None => self.block(call.direction, deadline),
        }
    }

    fn park(
        &self,
        call: Call<'_>,
        selector: &Arc<Selector>,
        seen: Seen,
        deadline: Option<Instant>,
    ) -> io::Result<Outcome> {
        let fd = self.io.as_fd();
        let object = ptr::without_provenance(fd.as_raw_fd() as usize);
        let wait = Wait { reason: call.reason, object, deadline };
        self.registration.wait(fd, call.direction, selector, seen, wait)
    }

    /// What a plain thread does.
    fn block(&self, direction: Direction, deadline: Option<Instant>) -> io::Result<Outcome> {
        loop {
            cancel::deliver();
            if deadline.is_some_and(|at| at <= Instant::now()) {
                // The caller tries once more.
                return Ok(Outcome::TimedOut);
            }
            let until = [deadline, cancel::until()].into_iter().flatten().min();
            let left = until.map(|at| at.saturating_duration_since(Instant::now()));
            if self.poll(direction, left)? {
                // Nobody watches, so nobody else says that there is news.
                self.registration.note_event(direction);
                return Ok(Outcome::Woken);
            }
        }
    }

    /// Asks the kernel, or waits there. A system call.
    fn poll(&self, direction: Direction, timeout: Option<Duration>) -> io::Result<bool> {
        let events = match direction {
            Direction::Read => libc::POLLIN,
            Direction::Write => libc::POLLOUT,
        };
        os::poll::poll(self.io.as_fd(), events, timeout).map(|reported| reported != 0)
    }
}

impl<T: AsFd> Drop for Source<T> {
    fn drop(&mut self) {
        self.end_registration();
        // SAFETY: the value is dropped once, here, after the watch on its descriptor has ended.
        unsafe { ManuallyDrop::drop(&mut self.io) }
    }
}

impl<T: AsFd> AsFd for Source<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&*self.io).finish()
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cold]
fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "it was closed by this program while it was still in use")
}

#[cold]
fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the time limit of this call was reached")
}
