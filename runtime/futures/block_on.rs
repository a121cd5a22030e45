//! Running a future on the stack of a task or thread.

use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::task::waiter::{End, Selected, WaitQueue, Waiter, wait_in};
use crate::task::{Reason, Wait, cancel, checkpoint};
use crate::thread::yield_now;
use crate::util::spin::SpinLock;

/// What the wakers of one `block_on` share with it. They may outlive it.
struct Signal(SpinLock<State>);

struct State {
    // Not both: while somebody waits, a wake claims it.
    woken: bool,
    waiting: WaitQueue<()>,
}

impl State {
    fn waiting(&mut self) -> &mut WaitQueue<()> {
        &mut self.waiting
    }
}

/// Runs a future to its end on the caller's own stack, and returns its output.
///
/// Parks the task (on a plain thread: blocks) whenever the future has nothing to do, until that calls its waker. While it
/// is polled the future may call whatever parks, too. It may call `block_on` again; the two don't mix up their wakers. The
/// tokens of [`thread::park`](crate::thread::park) and [`unpark`](crate::thread::Thread::unpark) are left alone.
///
/// A future that needs the reactor or the timers of a runtime of its own does not work here, or only where that runtime says
/// so: tokio's do inside of its `Handle::enter`.
///
/// **Cost**: an allocation; a park and an unpark for each wait. A future that wakes itself gives the other tasks a turn.
///
/// # Cancellation
///
/// A task that is cancelled while it is parked here unwinds, and so drops the future. [`timeout`](crate::timeout) around it
/// does the same.
///
/// # Panics
///
/// With the future's panic; and, with advice, where nothing can park and the future is not ready.
///
/// # Examples
///
/// ```
/// use fibra::channel::oneshot;
///
/// fibra::run(|| {
///     let (answer, question) = oneshot::channel();
///     fibra::go!(answer.send(42).unwrap());
///     assert_eq!(fibra::block_on(async { question.await.unwrap() + 1 }), 43);
/// });
/// ```
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    checkpoint();
    let state = State { woken: false, waiting: WaitQueue::new() };
    let signal = Arc::new(Signal(SpinLock::new(state)));
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future.into_future());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        signal.wait();
    }
}

impl Signal {
    /// Parks until somebody has called a waker since the last time.
    fn wait(&self) {
        let mut state = self.0.lock();
        if state.woken {
            state.woken = false;
            drop(state);
            // As by a park: a future that wakes itself all the time must neither starve others nor escape a cancellation.
            yield_now();
            if cancel::is_due() {
                cancel::deliver();
            }
            return;
        }
        let node = Waiter::new(());
        let wait = Wait { reason: Reason::Future, object: ptr::from_ref(self).cast(), deadline: None };
        // SAFETY: the guard is this lock's, the function returns its one queue, and the node is new.
        let selected = unsafe { wait_in(&self.0, state, State::waiting, &node, End::Back, wait) };
        debug_assert_eq!(selected, Selected::Served);
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.0.lock();
        let wake = match state.waiting.claim_first() {
            Some(waiting) => waiting.select(Selected::Served),
            // It runs, or its wait has ended by a cancellation.
            None => {
                state.woken = true;
                return;
            }
        };
        drop(state);
        wake.unpark();
    }
}
