//! An idle runtime makes no system calls. Alone in its process, so that nothing else runs.

mod support;

use std::fs;
use std::time::Duration;

use fibra::{Builder, channel, thread};
use support::{threads, wait_until};

/// How often the runtime's threads have gone to sleep: each wake-up adds one.
fn sleeps() -> Vec<(String, u64)> {
    let ours = threads().into_iter().filter(|(name, _)| name.starts_with("sleepy-"));
    ours.map(|(name, path)| {
        let status = fs::read_to_string(path.join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        (name, line.split_whitespace().nth(1).unwrap().parse().unwrap())
    })
    .collect()
}

/// Waits for two seconds without a wake-up. Settling takes a while: the stacks' memory is given back in steps.
fn check_idle(what: &str) {
    wait_until(what, || {
        let before = sleeps();
        let all_there = before.len() == 5; // Four workers and a watchdog: a thread takes its name when it first runs.
        std::thread::sleep(Duration::from_secs(2));
        all_there && sleeps() == before
    });
}

#[test]
fn an_idle_runtime_makes_no_wake_ups_and_still_wakes_when_it_is_needed() {
    let runtime = Builder::new().workers(4).thread_name("sleepy").build().unwrap();
    check_idle("nothing has run yet");

    let work = || {
        let tasks: Vec<_> = (0..1000)
            .map(|i| {
                fibra::spawn(move || {
                    fibra::sleep(Duration::from_micros(i));
                    i
                })
            })
            .collect();
        tasks.into_iter().map(|task| task.join().unwrap()).sum::<u64>()
    };
    assert_eq!(runtime.run(work), 499_500);
    check_idle("all has ended");

    let (sender, receiver) = channel::bounded(0);
    let parked = runtime.spawn(thread::park);
    let far = runtime.spawn(|| fibra::sleep(Duration::from_secs(100_000)));
    let waiting = runtime.spawn(move || receiver.recv().unwrap());
    let joiner = runtime.spawn(|| fibra::spawn(thread::park).join());
    check_idle("tasks are parked, one with a timer far away");

    parked.thread().unpark();
    parked.join().unwrap();
    sender.send(7).unwrap();
    assert_eq!(waiting.join().unwrap(), 7);
    far.cancel();
    far.join().unwrap_err();
    joiner.cancel();
    joiner.join().unwrap_err();
    assert_eq!(runtime.run(work), 499_500);
    check_idle("all has ended again");
}
