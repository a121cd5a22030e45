//! Running a task: giving it a stack, switching to it, and what follows when it comes back.

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::shared::Remote;
use super::worker::Worker;
use crate::stack::{Stack, StackError};
use crate::task::core::ThreadCore;
use crate::task::entry;
use crate::task::fiber::{Command, Commit, Step};
use crate::task::header::{NO_TIMER, Stage, TaskPtr};
use crate::util::report;

impl Worker {
    /// Runs `task` until it parks, yields or ends.
    #[inline]
    pub(super) fn run(&self, task: TaskPtr) {
        if task.stage.get() == Stage::Unstarted && !self.start(task) {
            return;
        }
        if task.timer.get() != NO_TIMER {
            self.timers.borrow_mut().remove(task);
        }
        // Relaxed: a hint for the report about a worker that is stuck.
        self.remote().running.store(task.core.id.get(), Ordering::Relaxed);
        while self.resume(task) {}
    }

    /// One resumption. True: the task wants to go on at once.
    #[inline]
    fn resume(&self, task: TaskPtr) -> bool {
        self.context.task.set(task.as_ptr());
        // SAFETY: a started task has a fiber until it is complete, and only its home worker, this one, touches it.
        let fiber = unsafe { (*task.fiber.get()).as_mut().unwrap_unchecked() };
        let step = fiber.resume(Command::Run);
        self.context.task.set(ptr::null());
        match step {
            Step::Yielded => {
                if self.remote().preempt.is_raised() {
                    // It ran long. Whoever has become due meanwhile comes first.
                    self.look_around(Instant::now());
                }
                self.ready.push_back(task);
                if !self.unstarted.is_empty() {
                    self.oldest_first.set(true);
                }
                false
            }
            Step::Parked(commit) => !self.commit(task, commit),
            Step::Finished => {
                self.complete(task);
                false
            }
        }
    }

    /// Publishes the wait that the task has prepared. True: it stays parked.
    #[inline]
    fn commit(&self, task: TaskPtr, commit: NonNull<Commit>) -> bool {
        // SAFETY: the commit lies on the task's suspended stack, and is called once.
        if !unsafe { (commit.as_ref().call)(commit) } {
            return false;
        }
        // The wait may have been claimed meanwhile, and the task be queued: here, where we are busy, so it is still
        // suspended. Its timer is then taken out before it runs.
        if let Some(deadline) = task.deadline.get() {
            self.timers.borrow_mut().insert(task, deadline);
        }
        true
    }

    /// Gives an unstarted task a home and a stack. False: it starts elsewhere, or can't start.
    #[inline(never)]
    fn start(&self, task: TaskPtr) -> bool {
        let stopping = self.shared().is_stopping();
        // One that was meant for another worker and stolen from it counts as unplaced.
        let placed = ptr::eq(task.home.get().cast(), self.remote());
        if !placed && !stopping && self.send_elsewhere(task) {
            return false;
        }
        debug_assert!(
            !task.bound.get() || ptr::eq(task.home.get().cast(), self.remote()),
            "a bound task reached a worker that is not its home"
        );
        Remote::release(task);
        task.home.set(ptr::from_ref(self.remote()).cast());
        let stack = match task.reserved.take() {
            Some(stack) => stack,
            None => match self.stacks.lend(task.class) {
                Ok(stack) => stack,
                Err(error) => {
                    self.fail_to_start(task, error);
                    return false;
                }
            },
        };
        self.equip(task, stack);
        if stopping {
            // Not claimable, since it does not wait: it will find the flag when it is entered.
            task.core.state.cancel();
        }
        true
    }

    fn equip(&self, task: TaskPtr, stack: Stack) {
        task.preempt.set(Some(NonNull::from(&self.remote().preempt)));
        task.stage.set(Stage::Started);
        self.started.link(task);
        self.publish_started();
        // SAFETY: the task is ours and has no stack yet; the runtime's reference keeps it alive until its end.
        unsafe { entry::equip(task, stack) };
    }

    /// Sends a task that has no home yet to the worker where it should start. False: that is this one, or the runtime ends.
    fn send_elsewhere(&self, task: TaskPtr) -> bool {
        let remotes = &self.shared().remotes;
        let Some(target) = self.placement.elsewhere(self.remote(), self.started.len(), remotes) else {
            return false;
        };
        let Some(_entrant) = self.shared().enter() else { return false };
        Remote::release(task);
        target.adopt(task);
        target.deliver(task, self.shared());
        true
    }

    fn publish_started(&self) {
        // Relaxed: see `Remote::load`.
        self.remote().started.store(self.started.len(), Ordering::Relaxed);
    }

    /// There is no stack for this task: its closure is dropped, and its joiner gets the error.
    #[cold]
    fn fail_to_start(&self, task: TaskPtr, error: StackError) {
        // Relaxed: a late reader makes one more task that can't start.
        self.shared().starved.store(true, Ordering::Relaxed);
        let detached = task.join.is_detached();
        if detached {
            let name = task.core.name.as_deref().unwrap_or("<unnamed>");
            report!("fibra: task {} '{name}' could not start and was dropped: {error}", task.core.id);
        }
        let payload = Box::new(std::io::Error::from(error));
        // SAFETY: the task never ran, so its closure is there; nobody else has the task.
        unsafe { (task.vtable.abandon)(task.as_non_null(), payload) };
        self.dismiss(task);
    }

    /// The task has ended and its frames are gone.
    fn complete(&self, task: TaskPtr) {
        // SAFETY: only its home worker touches a task's fiber, and it is there until now.
        let fiber = unsafe { (*task.fiber.get()).take().unwrap_unchecked() };
        self.stacks.give_back(fiber.into_stack());
        self.started.unlink(task);
        self.publish_started();
        self.dismiss(task);
    }

    /// Lets go of the runtime's reference to a task that has ended.
    fn dismiss(&self, task: TaskPtr) {
        self.shared().forget_name(&task.core);
        // SAFETY: the runtime's reference, counted at the spawn; no queue, list or timer has the task any more.
        unsafe { ThreadCore::release(task.as_non_null().cast()) };
    }
}
