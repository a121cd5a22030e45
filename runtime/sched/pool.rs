//! The blocking pool: the queue of calls that block, and the account of the threads that serve it.
//!
//! ```text
//! task: park in the queue ──▶ thread: claim the task, run its call ──▶ unpark it
//!          │ cancelled                     (it can't be cancelled any more)
//!          ▼
//!     leave the queue, unwind: the call never ran
//! ```
//!
//! A call is a record on the parked stack of the task that makes it, and the claim of that park is what begins the
//! call. So a task that waits in the queue can be cancelled as in any queue. One whose call runs has been claimed, so a
//! canceller comes too late, as it does to any claimed wait. And the record belongs to the thread until it unparks the
//! task, which is the last that it does with it.
//!
//! | a thread is | from | until |
//! | --- | --- | --- |
//! | free: about to look into the queue | it is hired; its call ends; it is woken; its rest is over | it looks |
//! | at work | it finds a call | the call ends |
//! | resting, a node in `resting` | it finds none | a call wakes it, `keep_alive` is over, or the pool ends |
//! | gone | it finds none after its rest or when the pool ends | |
//!
//! Threads change their own state, except that whoever wakes one makes it free. All changes happen under the one lock,
//! and while nobody holds it this is true: there are at least as many free threads as queued calls; or no thread rests,
//! and the limit is reached or the system has refused another one. Every free thread looks, and a thread looks before it
//! rests or goes, under the same lock; so no call is left lying.
//!
//! Rejected: handing a call to the thread that is woken for it. It would wait for that thread's wake-up, some 50 µs,
//! while another one ends its call and could take it at once.

use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};
use std::{io, mem};

use crate::task::waiter::{Claimed, End, Selected, WaitQueue, Waiter, Wake, wait_in};
use crate::task::{Reason, Wait, park};
use crate::util::spin::{SpinGuard, SpinLock};

/// See the head of this file.
pub(crate) struct Pool {
    account: SpinLock<Account>,
    limit: usize,
    keep_alive: Duration,
}

struct Account {
    queue: WaitQueue<Call>,
    /// Calls in the queue. One whose task has been cancelled counts until that task runs again.
    queued: usize,
    /// Last in, first out: what is not needed rests long enough to go.
    resting: WaitQueue<()>,
    /// How many threads rest.
    idle: usize,
    free: usize,
    /// All threads: free, at work, resting, or being hired.
    threads: usize,
    ending: bool,
}

/// A call as the pool sees it: what to do with the record that begins at this address.
pub(crate) struct Call(NonNull<Head>);

/// The beginning of a call's record.
pub(crate) struct Head {
    /// Runs the call and keeps its result, or, with an error, keeps that instead.
    pub(crate) end: unsafe fn(NonNull<Head>, io::Result<()>),
}

// SAFETY: whoever has claimed the call alone touches its record, which the contract of `Pool::call` allows on any thread.
unsafe impl Send for Call {}

impl Call {
    /// # Safety
    ///
    /// The call has been claimed and not been ended.
    unsafe fn end(&self, how: io::Result<()>) {
        // SAFETY: a claimed call's task is parked, so the record is alive, and it is ours.
        unsafe { (self.0.as_ref().end)(self.0, how) }
    }
}

/// What a pool is doing, as [`Handle::blocking_stats`](crate::Handle::blocking_stats) tells.
///
/// The figures belong to one moment, which has passed when they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockingStats {
    /// Threads of the pool, those that are just being started included.
    pub threads: usize,
    /// Threads that wait for work.
    pub idle: usize,
    /// The depth of the queue: calls that no thread has begun.
    pub queued: usize,
    /// The greatest number of threads: [`Builder::max_blocking_threads`](crate::Builder::max_blocking_threads).
    pub limit: usize,
}

/// What a new call needs.
enum Staff {
    Enough,
    /// A resting thread, which has been claimed and counts as free.
    Rested(Wake),
    /// A new thread, which has been counted as free.
    Hire,
}

impl Pool {
    pub(crate) fn new(limit: usize, keep_alive: Duration) -> Self {
        let account = Account {
            queue: WaitQueue::new(),
            queued: 0,
            resting: WaitQueue::new(),
            idle: 0,
            free: 0,
            threads: 0,
            ending: false,
        };
        Self { account: SpinLock::new(account), limit, keep_alive }
    }

    pub(crate) fn stats(&self) -> BlockingStats {
        let Account { threads, idle, queued, .. } = *self.account.lock();
        BlockingStats { threads, idle, queued, limit: self.limit }
    }

    /// Parks the running task until a thread has ended the call, by its [`Head::end`], on whichever thread that is.
    /// Unwinds if the task is cancelled before a thread has begun with it.
    ///
    /// `hire` starts a thread that runs [`next_call`](Self::next_call) until that returns `None`.
    ///
    /// # Errors
    ///
    /// That of `hire`, if the pool has no thread; the call has not been ended then.
    ///
    /// # Safety
    ///
    /// - `call` begins a record of the type that its `end` expects, and stays alive and in its place until this returns
    ///   or unwinds.
    /// - The record may be used on another thread meanwhile.
    pub(crate) unsafe fn call(
        &self,
        call: NonNull<Head>,
        mut hire: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut refused = false;
        loop {
            let mut account = self.account.lock();
            match account.staff(self.limit, refused) {
                Staff::Enough => self.wait(account, WakeOnDrop(None), call),
                Staff::Rested(thread) => self.wait(account, WakeOnDrop(Some(thread)), call),
                Staff::Hire => {
                    drop(account);
                    if let Err(error) = hire() {
                        if self.dismiss_unhired(&error) {
                            return Err(error);
                        }
                        refused = true;
                    }
                    continue;
                }
            }
            return Ok(());
        }
    }

    fn wait(&self, mut account: SpinGuard<'_, Account>, wake: WakeOnDrop, call: NonNull<Head>) {
        let node = Waiter::new(Call(call));
        let leave = Leave { pool: self, node: &node };
        account.queued += 1;
        // SAFETY: the node is new. It can't move while it is borrowed, and `leave` takes it out on every way out of here
        // but the one where a thread has claimed it. `park` begins the wait before it runs the closure below, which
        // releases the lock; where it drops the closure unrun no wait has begun, so a thread that meets the node fails to
        // claim us, and we don't wait for anything else before `leave` has taken the node out.
        unsafe { account.queue.push_back(&node) };
        let publish = Publish { _account: account, _wake: wake };
        let wait = Wait { reason: Reason::Blocking, object: ptr::from_ref(self).cast(), deadline: None };
        park(wait, move || {
            drop(publish);
            true
        });
        // Without a deadline only a claim ends the wait, and the claimer has popped the node and counted it.
        mem::forget(leave);
    }

    /// The thread that was to be hired is none. True: the pool has no other; what was queued for it is refused.
    #[cold]
    fn dismiss_unhired(&self, error: &io::Error) -> bool {
        let mut account = self.account.lock();
        account.free -= 1;
        account.threads -= 1;
        while account.threads == 0 {
            let Some(claimed) = account.take() else { return true };
            drop(account);
            let refusal = io::Error::new(error.kind(), error.to_string());
            // SAFETY: claimed by `take`, and ended once.
            unsafe { claimed.packet().end(Err(refusal)) };
            claimed.select(Selected::Closed).unpark();
            account = self.account.lock();
        }
        false
    }

    /// For a thread of the pool: the next call, after a rest if need be. `None`: the thread is not counted any more and
    /// shall end.
    pub(crate) fn next_call(&self) -> Option<ClaimedCall> {
        let mut rested = false;
        loop {
            let deadline = Instant::now().checked_add(self.keep_alive);
            let mut account = self.account.lock();
            account.free -= 1;
            if let Some(claimed) = account.take() {
                return Some(ClaimedCall(claimed));
            }
            if rested || account.ending {
                account.threads -= 1;
                return None;
            }
            account.idle += 1;
            let node = Waiter::new(());
            let wait = Wait { reason: Reason::Park, object: ptr::null(), deadline };
            // SAFETY: the guard is of this lock, the queue is always the same, and the node is in none.
            let woken = unsafe { wait_in(&self.account, account, Account::resting, &node, End::Front, wait) };
            if woken == Selected::Nothing {
                let mut account = self.account.lock();
                account.idle -= 1;
                account.free += 1;
                rested = true;
            }
        }
    }

    /// For a thread of the pool: gives the result of a call to its task, and counts the thread as free.
    pub(crate) fn finish(&self, call: ClaimedCall) {
        // Before the task can run: if it makes the next call at once, this thread is at hand.
        self.account.lock().free += 1;
        call.0.select(Selected::Served).unpark();
    }

    /// Lets the threads go: the resting ones now, others when there is nothing to do.
    pub(crate) fn end(&self) {
        loop {
            let mut account = self.account.lock();
            account.ending = true;
            let Some(thread) = account.wake_one() else { return };
            drop(account);
            thread.unpark();
        }
    }
}

impl Account {
    /// Finds a thread for one more call.
    fn staff(&mut self, limit: usize, refused: bool) -> Staff {
        if self.queued < self.free {
            return Staff::Enough;
        }
        if let Some(thread) = self.wake_one() {
            return Staff::Rested(thread);
        }
        if self.threads >= limit || (refused && self.threads > 0) {
            return Staff::Enough;
        }
        self.threads += 1;
        self.free += 1;
        Staff::Hire
    }

    fn resting(&mut self) -> &mut WaitQueue<()> {
        &mut self.resting
    }

    /// Claims a resting thread and makes it free.
    fn wake_one(&mut self) -> Option<Wake> {
        let thread = self.resting.claim_first()?;
        self.idle -= 1;
        self.free += 1;
        Some(thread.select(Selected::Retry))
    }

    /// Claims the oldest call: from here on its task can't be cancelled.
    fn take(&mut self) -> Option<Claimed<Call>> {
        let claimed = self.queue.claim_first()?;
        self.queued -= 1;
        Some(claimed)
    }
}

/// A call that a thread has begun with; its task stays parked until [`Pool::finish`].
#[must_use = "the task of a call that is not finished sleeps for ever"]
pub(crate) struct ClaimedCall(Claimed<Call>);

impl ClaimedCall {
    /// Runs the call. A panic of it is part of its result.
    pub(crate) fn run(&self) {
        // SAFETY: claimed; and ended once, since a thread of the pool runs what it claims once.
        unsafe { self.0.packet().end(Ok(())) }
    }
}

/// Takes a call out of the queue that no thread has begun with.
struct Leave<'a> {
    pool: &'a Pool,
    node: &'a Waiter<Call>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut account = self.pool.account.lock();
        account.queued -= 1;
        // SAFETY: the node is in this queue or has been popped from it.
        unsafe { account.queue.remove(self.node) }
    }
}

/// What a park commits, whether it runs or is dropped: first the lock is released, then the thread woken.
struct Publish<'a> {
    _account: SpinGuard<'a, Account>,
    _wake: WakeOnDrop,
}

struct WakeOnDrop(Option<Wake>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        if let Some(wake) = self.0.take() {
            wake.unpark();
        }
    }
}
