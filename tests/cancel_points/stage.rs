//! Puts plays on, and interrupts them.

use std::any::Any;
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use fibra::{Builder, Cancelled, JoinHandle, Runtime};

use super::shot::{Act, Canceller, How, Jobs, Shot};
use super::support::{Drops, PATIENCE};

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
        let canceller = Arc::new(Canceller::new(task.thread().clone(), jobs));
        Self { runtime, canceller, task }
    }

    fn end(self) {
        self.canceller.dismiss();
        self.task.join().unwrap();
    }
}

/// Puts a play on once. `shots` are for its roles, in their order; those who have one are tasks, or `on_threads`.
fn put_on(stage: Stage, play: Play, shots: &[Option<Arc<Shot>>], on_threads: bool) -> Option<Stage> {
    let drops = Drops::new();
    let count = play.roles.len();
    let (ending, ended) = mpsc::channel();
    let (mut tasks, mut threads) = (Vec::<Act>::new(), Vec::new());
    for (role, shot) in play.roles.into_iter().zip(shots) {
        let (canceller, ending, guard) = (stage.canceller.clone(), ending.clone(), drops.counted());
        match shot.clone() {
            None => tasks.push(Box::new(move || {
                let _both = (guard, ending);
                (role.act)();
            })),
            Some(shot) => {
                let act = move || {
                    let _guard = guard;
                    shot.perform(canceller, ending, role.act);
                };
                if on_threads {
                    threads.push(std::thread::spawn(act));
                } else {
                    tasks.push(Box::new(act));
                }
            }
        }
    }
    drop(ending);
    // From within, so that with one worker none begins before all are there.
    let tasks: Vec<JoinHandle<()>> = stage.runtime.run(move || tasks.into_iter().map(fibra::spawn).collect());
    let shuts_down = shots.iter().flatten().any(|shot| shot.how == How::Shutdown);
    let stage = if shuts_down {
        // An error says that all have ended.
        let _ = ended.recv();
        drop(stage.runtime);
        let _ = stage.task.join();
        None
    } else {
        Some(stage)
    };
    let results = threads.into_iter().map(std::thread::JoinHandle::join);
    for result in results.chain(tasks.into_iter().map(JoinHandle::join)) {
        match result {
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

/// Interrupts each role at each of its parks in each way, on one worker and on several, as a task and as a thread.
pub fn interrupt_everywhere(name: &'static str, make: fn() -> Play) {
    with_patience(move |progress| {
        for (workers, on_threads) in [(1, false), (2, false), (8, false), (2, true)] {
            let place = if on_threads { "a thread beside 2" } else { "a task on one of" };
            // Without an interruption first. A play is not made to be thrown away: its roles may wait in destructors.
            progress.begin(format!("{name}: {workers} workers"));
            let play = make();
            let cast: Vec<_> = play.roles.iter().map(|role| (role.name, role.when)).collect();
            let mut stage = put_on(Stage::new(workers), play, &vec![None; cast.len()], false);
            let ways = if on_threads { &How::OF_THREADS[..] } else { &How::ALL };
            for &how in ways {
                // Eight workers take long to start and to end.
                if how == How::Shutdown && workers > 2 {
                    continue;
                }
                for (victim, (role, _)) in
                    cast.iter().enumerate().filter(|(_, (_, when))| *when != When::Never)
                {
                    for at in 1.. {
                        progress.begin(format!(
                            "{name}: {role} at park {at} by {how:?}, {place} {workers} workers"
                        ));
                        assert!(at < MANY, "it never ends");
                        let mut shots = vec![None; cast.len()];
                        let shot = Shot::new(how, at);
                        shots[victim] = Some(shot.clone());
                        let here = stage.take().unwrap_or_else(|| Stage::new(workers));
                        stage = put_on(here, make(), &shots, on_threads);
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
            let on_threads = random.below(8) == 0;
            let play = make();
            let shots: Vec<_> = play
                .roles
                .iter()
                .map(|role| {
                    let kinds = match random.below(50) {
                        _ if on_threads => &How::OF_THREADS[..],
                        0 => &How::ALL,
                        // A shutdown takes long.
                        _ => &How::ALL[..How::ALL.len() - 1],
                    };
                    let shot = Shot::new(kinds[random.below(kinds.len())], 1 + random.below(12));
                    (role.when == When::Any && random.below(3) != 0).then_some(shot)
                })
                .collect();
            progress.begin(format!("{name} with seed {seed}, {workers} workers"));
            let stage = stages.remove(&workers).unwrap_or_else(|| Stage::new(workers));
            if let Some(stage) = put_on(stage, play, &shots, on_threads) {
                stages.insert(workers, stage);
            }
        }
        stages.into_values().for_each(Stage::end);
    });
}
