//! The ways to interrupt a park, and when it is done.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::time::{Duration, Instant};

use fibra::cancel::{Context, Token};
use fibra::thread;

use super::LONG;
use crate::task::core::CoreRef;
use crate::task::park::current_core;
use crate::task::probe::{Moment, watch};

pub type Act = Box<dyn FnOnce() + Send>;

/// How a park is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// `JoinHandle::cancel` has come before the wait begins.
    CancelAhead,
    /// It comes when the wait is published and its task has hardly left the worker.
    CancelParked,
    /// It comes from another task, some time after that.
    CancelByTask,
    /// It comes from an OS thread.
    CancelByThread,
    /// A token that the role runs under, at these moments too.
    TokenAhead,
    TokenParked,
    TokenByTask,
    TokenByThread,
    /// The deadline of a `timeout` around the role passes while it is parked, if not before.
    Deadline,
    /// The runtime ends.
    Shutdown,
}

/// Of a [`How::Deadline`]: time for the parks before.
const UNTIL_DEADLINE: Duration = Duration::from_millis(2);

impl How {
    /// For roles that are tasks. The last one takes long.
    pub const ALL: [Self; 10] = [
        Self::CancelAhead,
        Self::CancelParked,
        Self::CancelByTask,
        Self::CancelByThread,
        Self::TokenAhead,
        Self::TokenParked,
        Self::TokenByTask,
        Self::TokenByThread,
        Self::Deadline,
        Self::Shutdown,
    ];

    /// For roles that are plain threads.
    pub const OF_THREADS: [Self; 5] =
        [Self::TokenAhead, Self::TokenParked, Self::TokenByTask, Self::TokenByThread, Self::Deadline];

    fn moment(self) -> Moment {
        if matches!(self, Self::CancelAhead | Self::TokenAhead) { Moment::About } else { Moment::Parked }
    }
}

/// The interruption of one role.
pub struct Shot {
    pub how: How,
    /// The number of the park, from 1.
    at: usize,
    parks: AtomicUsize,
    fired: AtomicBool,
}

impl Shot {
    pub fn new(how: How, at: usize) -> Arc<Self> {
        Arc::new(Self { how, at, parks: AtomicUsize::new(0), fired: AtomicBool::new(false) })
    }

    pub fn has_fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }

    /// Whether this is the moment.
    fn count(&self, moment: Moment) -> bool {
        // One task alone calls it.
        if moment == Moment::About {
            self.parks.fetch_add(1, Ordering::SeqCst);
        }
        let now = moment == self.how.moment() && self.parks.load(Ordering::SeqCst) == self.at;
        now && !self.fired.swap(true, Ordering::SeqCst)
    }

    /// Acts a role, and interrupts it. `ending` is told when the runtime shall end.
    pub fn perform(self: Arc<Self>, canceller: Arc<Canceller>, ending: mpsc::Sender<()>, act: Act) {
        // SAFETY: who runs is alive.
        let this = unsafe { CoreRef::from_borrowed(current_core()) };
        let (how, root) = (self.how, Token::new());
        let deadline = Instant::now() + UNTIL_DEADLINE;
        let (token, target) = (root.child(), root.clone());
        let watched = move || {
            let fire = move |moment| {
                if !self.count(moment) {
                    return;
                }
                let (this, target) = (this.clone(), target.clone());
                match how {
                    How::CancelAhead | How::CancelParked => this.cancel(),
                    How::CancelByTask => canceller.ask(move || this.cancel()),
                    How::CancelByThread => Canceller::thread().ask(move || this.cancel()),
                    How::TokenAhead | How::TokenParked => target.cancel(),
                    How::TokenByTask => canceller.ask(move || target.cancel()),
                    How::TokenByThread => Canceller::thread().ask(move || target.cancel()),
                    // Nobody can wake it here but others, and the timer finds that it is late.
                    How::Deadline => std::thread::sleep(deadline.saturating_duration_since(Instant::now())),
                    // Nobody listens if all have ended.
                    How::Shutdown => {
                        let _ = ending.send(());
                    }
                }
            };
            watch(current_core(), fire, act);
        };
        // Whether it was interrupted is not said: at the last moment it may have come to its end.
        let _ = match how {
            How::TokenAhead => root.run(watched).is_ok(),
            How::TokenParked => token.run(watched).is_ok(),
            How::TokenByTask => fibra::timeout(LONG, || token.run(watched)).is_ok(),
            How::TokenByThread => token.run(|| Context::background().with_timeout(LONG).run(watched)).is_ok(),
            How::Deadline => fibra::deadline(deadline, watched).is_ok(),
            _ => {
                watched();
                true
            }
        };
    }
}

/// Who interrupts others when asked to, at any time and place: asking never parks.
pub struct Canceller {
    thread: thread::Thread,
    jobs: Arc<Jobs>,
}

#[derive(Default)]
pub struct Jobs {
    left: Mutex<Vec<Act>>,
    over: AtomicBool,
}

impl Jobs {
    /// What a canceller does, as a task or a thread.
    pub fn work(&self) {
        while !self.over.load(Ordering::SeqCst) {
            let left = std::mem::take(&mut *self.left.lock().unwrap());
            if left.is_empty() {
                thread::park();
            }
            left.into_iter().for_each(|job| job());
        }
    }
}

impl Canceller {
    /// The one whose work `thread` does.
    pub fn new(thread: thread::Thread, jobs: Arc<Jobs>) -> Self {
        Self { thread, jobs }
    }

    fn ask(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.left.lock().unwrap().push(Box::new(job));
        self.thread.unpark();
    }

    /// Ends its work.
    pub fn dismiss(&self) {
        self.jobs.over.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }

    fn thread() -> &'static Self {
        static THREAD: LazyLock<Canceller> = LazyLock::new(|| {
            let jobs = Arc::new(Jobs::default());
            let (tell, told) = mpsc::channel();
            let theirs = jobs.clone();
            std::thread::spawn(move || {
                tell.send(thread::current()).unwrap();
                theirs.work();
            });
            Canceller::new(told.recv().unwrap(), jobs)
        });
        &THREAD
    }
}
