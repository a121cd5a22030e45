//! Puts plays on, and interrupts them.

use std::any::Any;
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::time::{Duration, Instant};

use fibra::{Builder, Cancelled, JoinHandle, Runtime, thread};

use super::support::{Drops, PATIENCE};
use crate::task::core::CoreRef;
use crate::task::park::current_core;
use crate::task::probe::{Moment, watch};

/// See the head of the module.
pub struct Play {
    roles: Vec<Role>,
    judge: Box<dyn FnOnce()>,
}

/// The name of a play, and how it is made.
pub type Title = (&'static str, fn() -> Play);

struct Role {
    name: &'static str,
    when: When,
    act: Act,
}

type Act = Box<dyn FnOnce() + Send>;

/// With whom a role may be interrupted, so that the others come to their end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Any,
    Alone,
    Never,
}

impl Play {
    /// A play that `judge` judges when all have gone.
    pub fn new(judge: impl FnOnce() + 'static) -> Self {
        Self { roles: Vec::new(), judge: Box::new(judge) }
    }

    fn with(mut self, name: &'static str, when: When, act: impl FnOnce() + Send + 'static) -> Self {
        self.roles.push(Role { name, when, act: Box::new(act) });
        self
    }

    /// A role that may be interrupted, alone or with others.
    pub fn role(self, name: &'static str, act: impl FnOnce() + Send + 'static) -> Self {
        self.with(name, When::Any, act)
    }

    /// A role that the others need if they are interrupted: the last one that receives, for instance.
    pub fn steady(self, name: &'static str, act: impl FnOnce() + Send + 'static) -> Self {
        self.with(name, When::Alone, act)
    }

    /// A role that the others can't do without. A shutdown interrupts it all the same.
    pub fn stagehand(self, name: &'static str, act: impl FnOnce() + Send + 'static) -> Self {
        self.with(name, When::Never, act)
    }
}

/// How a park is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// `JoinHandle::cancel` has come before the wait begins.
    CancelAhead,
    /// It comes when the wait is published and its task has hardly left the worker.
    CancelParked,
    /// It comes from another task, some time after that.
    CancelByTask,
    /// It comes from an OS thread.
    CancelByThread,
    /// The runtime ends.
    Shutdown,
}

impl How {
    const ALL: [Self; 5] =
        [Self::CancelAhead, Self::CancelParked, Self::CancelByTask, Self::CancelByThread, Self::Shutdown];

    fn moment(self) -> Moment {
        if self == Self::CancelAhead { Moment::About } else { Moment::Parked }
    }
}

/// The interruption of one role.
struct Shot {
    how: How,
    /// The number of the park, from 1.
    at: usize,
    parks: AtomicUsize,
    fired: AtomicBool,
}

impl Shot {
    fn new(how: How, at: usize) -> Arc<Self> {
        Arc::new(Self { how, at, parks: AtomicUsize::new(0), fired: AtomicBool::new(false) })
    }

    fn has_fired(&self) -> bool {
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
}

/// Who cancels others when asked to, at any time and place: asking never parks.
struct Canceller {
    thread: thread::Thread,
    jobs: Arc<Jobs>,
}

#[derive(Default)]
struct Jobs {
    victims: Mutex<Vec<CoreRef>>,
    over: AtomicBool,
}

impl Jobs {
    /// What a canceller does, as a task or a thread.
    fn work(&self) {
        while !self.over.load(Ordering::SeqCst) {
            let victims = std::mem::take(&mut *self.victims.lock().unwrap());
            if victims.is_empty() {
                thread::park();
            }
            victims.iter().for_each(CoreRef::cancel);
        }
    }
}

impl Canceller {
    fn ask(&self, victim: CoreRef) {
        self.jobs.victims.lock().unwrap().push(victim);
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
            Canceller { thread: told.recv().unwrap(), jobs }
        });
        &THREAD
    }
}

/// A runtime that plays take place in.
struct Stage {
    runtime: Runtime,
    canceller: Arc<Canceller>,
    task: JoinHandle<()>,
}

impl Stage {
    fn new(workers: usize) -> Self {
        let builder = Builder::new().workers(workers).shutdown_timeout(PATIENCE);
        let runtime = builder.build().expect("a runtime can be built");
        let jobs = Arc::new(Jobs::default());
        let theirs = jobs.clone();
        let task = runtime.spawn(move || theirs.work());
        let canceller = Arc::new(Canceller { thread: task.thread().clone(), jobs });
        Self { runtime, canceller, task }
    }

    fn end(self) {
        self.canceller.jobs.over.store(true, Ordering::SeqCst);
        self.canceller.thread.unpark();
        self.task.join().unwrap();
    }
}

/// One role as a task: `shot` interrupts it.
fn perform(shot: Option<Arc<Shot>>, canceller: Arc<Canceller>, fired: mpsc::Sender<()>, act: Act) {
    let Some(shot) = shot else { return act() };
    // SAFETY: the running task is alive.
    let this = unsafe { CoreRef::from_borrowed(current_core()) };
    let fire = move |moment| {
        if !shot.count(moment) {
            return;
        }
        match shot.how {
            How::CancelAhead | How::CancelParked => this.cancel(),
            How::CancelByTask => canceller.ask(this.clone()),
            How::CancelByThread => Canceller::thread().ask(this.clone()),
            // Whoever waits for it ends the runtime; nobody does if all have ended.
            How::Shutdown => drop(fired.send(())),
        }
    };
    watch(current_core(), fire, act);
}

/// Puts a play on once. `shots` are for its roles, in their order.
fn put_on(stage: Stage, play: Play, shots: &[Option<Arc<Shot>>]) -> Option<Stage> {
    let drops = Drops::new();
    let count = play.roles.len();
    let (fired, firing) = mpsc::channel();
    let mut acts = Vec::new();
    for (role, shot) in play.roles.into_iter().zip(shots) {
        let (shot, canceller, fired, guard) =
            (shot.clone(), stage.canceller.clone(), fired.clone(), drops.counted());
        acts.push(move || {
            let _guard = guard;
            perform(shot, canceller, fired, role.act);
        });
    }
    drop(fired);
    // From within, so that with one worker none begins before all are there.
    let tasks: Vec<JoinHandle<()>> = stage.runtime.run(move || acts.into_iter().map(fibra::spawn).collect());
    let shuts_down = shots.iter().flatten().any(|shot| shot.how == How::Shutdown);
    let stage = if shuts_down {
        // An error says that all have ended.
        let _ = firing.recv();
        drop(stage.runtime);
        let _ = stage.task.join();
        None
    } else {
        Some(stage)
    };
    for task in tasks {
        match task.join() {
            Ok(()) => {}
            Err(payload) if payload.is::<Cancelled>() => {
                assert!(shots.iter().flatten().any(|shot| shot.has_fired()), "nobody cancelled it");
            }
            Err(payload) => resume_unwind(payload),
        }
    }
    assert_eq!(drops.get(), count, "roles that have ended");
    (play.judge)();
    stage
}

/// What goes on right now, for the report of a hang.
struct Progress {
    runs: AtomicUsize,
    now: Mutex<String>,
}

impl Progress {
    fn begin(&self, describe: String) {
        self.runs.fetch_add(1, Ordering::SeqCst);
        *self.now.lock().unwrap() = describe;
    }
}

/// Runs `f` and fails if it makes no progress for long, or panics: with what it was doing.
fn with_patience(f: impl FnOnce(&Progress) + Send + 'static) {
    let progress = Arc::new(Progress { runs: AtomicUsize::new(0), now: Mutex::default() });
    let theirs = progress.clone();
    let (end, ended) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let _end = end;
        f(&theirs);
    });
    loop {
        let before = progress.runs.load(Ordering::SeqCst);
        match ended.recv_timeout(PATIENCE / 2) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let stands_still = before == progress.runs.load(Ordering::SeqCst);
                assert!(!stands_still, "this hangs: {}", progress.now.lock().unwrap());
            }
            _ => break,
        }
    }
    if let Err(payload) = thread.join() {
        fail(&progress.now.lock().unwrap(), payload);
    }
}

fn fail(what: &str, payload: Box<dyn Any + Send>) -> ! {
    eprintln!("this failed: {what}");
    resume_unwind(payload)
}

/// No role parks so often.
const MANY: usize = 200;

/// Interrupts each role at each of its parks in each way, on one worker and on several.
pub fn interrupt_everywhere(name: &'static str, make: fn() -> Play) {
    with_patience(move |progress| {
        for workers in [1, 2, 8] {
            // Without an interruption first. A play is not made to be thrown away: its roles may wait in destructors.
            progress.begin(format!("{name}, {workers} workers"));
            let play = make();
            let cast: Vec<_> = play.roles.iter().map(|role| (role.name, role.when)).collect();
            let mut stage = put_on(Stage::new(workers), play, &vec![None; cast.len()]);
            for how in How::ALL {
                // Eight workers take long to start and to end.
                if how == How::Shutdown && workers > 2 {
                    continue;
                }
                for (victim, (role, _)) in
                    cast.iter().enumerate().filter(|(_, (_, when))| *when != When::Never)
                {
                    for at in 1.. {
                        progress.begin(format!("{name}: {role} at park {at} by {how:?}, {workers} workers"));
                        assert!(at < MANY, "it never ends");
                        let mut shots = vec![None; cast.len()];
                        let shot = Shot::new(how, at);
                        shots[victim] = Some(shot.clone());
                        let here = stage.take().unwrap_or_else(|| Stage::new(workers));
                        stage = put_on(here, make(), &shots);
                        if !shot.has_fired() {
                            break;
                        }
                    }
                }
            }
            stage.into_iter().for_each(Stage::end);
        }
    });
}

/// A small generator of random numbers (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Interrupts any number of roles of any play at any park.
pub fn interrupt_at_random(plays: &'static [Title]) {
    let seconds = std::env::var("FIBRA_STRESS_SECONDS").ok();
    let limit = seconds
        .map(|seconds| Duration::from_secs(seconds.parse().expect("FIBRA_STRESS_SECONDS is a number")));
    with_patience(move |progress| {
        let start = Instant::now();
        let mut stages: HashMap<usize, Stage> = HashMap::new();
        for seed in 0.. {
            if !limit.map_or(seed < 3_000, |limit| start.elapsed() < limit) {
                break;
            }
            let mut random = Random(seed);
            let workers = [1, 2, 8][random.below(3)];
            let (name, make) = plays[random.below(plays.len())];
            let play = make();
            let shots: Vec<_> = play
                .roles
                .iter()
                .map(|role| {
                    // A shutdown takes long.
                    let kinds = if random.below(50) == 0 { How::ALL.len() } else { How::ALL.len() - 1 };
                    let how = How::ALL[random.below(kinds)];
                    let shot = Shot::new(how, 1 + random.below(12));
                    (role.when == When::Any && random.below(3) != 0).then_some(shot)
                })
                .collect();
            progress.begin(format!("{name} with seed {seed}, {workers} workers"));
            let stage = stages.remove(&workers).unwrap_or_else(|| Stage::new(workers));
            if let Some(stage) = put_on(stage, play, &shots) {
                stages.insert(workers, stage);
            }
        }
        stages.into_values().for_each(Stage::end);
    });
}
