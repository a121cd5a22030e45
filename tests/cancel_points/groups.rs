//! Groups, maps on all workers, and tokens that others cancel.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::cancel::Token;
use fibra::group::Group;
use fibra::{channel, pool, select, thread};

use super::support::OnDrop;
use super::tasks::Balance;
use super::{LONG, Play, dither};

const SHORT: Duration = Duration::from_micros(20);

/// Spawns more than may run at once, takes results as they come, and waits for the rest. All have ended before the group.
pub fn group() -> Play {
    let balance = Balance::default();
    let judge = {
        let balance = balance.clone();
        move || assert!(balance.is_even(), "a task outlives its group")
    };
    let grouping = |turns: usize| {
        let balance = balance.clone();
        move || {
            for turn in 0..3 {
                let local = Balance::default();
                let inner = &local;
                let _after = OnDrop::new(|| assert!(inner.is_even(), "a task outlives its group"));
                thread::scope(|s| {
                    let group = Group::in_scope(s).limit(2);
                    for member in 0..4 {
                        let (here, there) = (inner.begin(), balance.begin());
                        group.spawn(move || {
                            let _both = (here, there);
                            dither(member);
                            fibra::sleep(SHORT);
                            // In the last turn one fails, and the others are cancelled.
                            if turn == 2 && member == 1 { Err(member) } else { Ok(member) }
                        });
                    }
                    dither(turns);
                    if turn == 1 {
                        group.next();
                        group.cancel();
                    }
                    group.join_all();
                });
            }
        }
    };
    Play::new(judge).role("first", grouping(0)).role("second", grouping(1))
}

/// What is borrowed by a map's function is there until all calls have ended.
pub fn map() -> Play {
    let balance = Balance::default();
    let judge = {
        let balance = balance.clone();
        move || assert!(balance.is_even(), "a call outlives its map")
    };
    let mapping = |turns: usize| {
        let balance = balance.clone();
        move || {
            let local = Balance::default();
            let (outer, inner) = (&balance, &local);
            let _after = OnDrop::new(|| assert!(inner.is_even(), "a call outlives its map"));
            let doubled = pool::map(0..6, |number| {
                let _both = (inner.begin(), outer.begin());
                fibra::sleep(SHORT);
                dither(turns);
                (2 * number, inner.begin())
            });
            assert!(doubled.iter().map(|(number, _)| *number).eq((0..6).map(|number| 2 * number)));
        }
    };
    // A shutdown cancels some of the calls alone, which is a panic of the map.
    Play::new(judge).role("first", mapping(0)).role("second", mapping(1))
}

/// A tree of tokens whose branches are cancelled while others listen, run under them, and leave.
pub fn token() -> Play {
    let root = Token::new();
    let ended = Arc::new(AtomicUsize::new(0));
    let judge = {
        let root = root.clone();
        move || {
            assert!(root.is_cancelled());
            assert!(root.child().run(|| ()).is_err());
        }
    };
    let guard = root.clone().drop_guard();
    let cancelling = move || {
        let root = guard;
        fibra::sleep(2 * SHORT);
        dither(3);
        drop(root);
    };
    let listening = {
        let root = root.clone();
        move || {
            let (cancelled, never) = (root.child().cancelled(), channel::never::<Infallible>());
            select! {
                recv(cancelled) -> end => assert!(end.is_err()),
                recv(never) -> _ => unreachable!("it never comes"),
            }
        }
    };
    let running = |turns: usize| {
        let (root, ended) = (root.clone(), ended.clone());
        move || {
            // Until the end, under one token after the other.
            while !root.is_cancelled() {
                let branch = root.child();
                let ended = ended.clone();
                let _ = branch.run(|| {
                    let _end = OnDrop::new(|| {
                        ended.fetch_add(1, Ordering::SeqCst);
                    });
                    dither(turns);
                    let _ = fibra::timeout(LONG, || fibra::sleep(SHORT));
                    thread::park_timeout(SHORT);
                });
            }
        }
    };
    Play::new(judge)
        .role("canceller", cancelling)
        .role("listener", listening)
        .role("runner", running(0))
        .role("other runner", running(1))
}
