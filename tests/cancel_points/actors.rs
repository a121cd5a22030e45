//! Calls to an actor that lives elsewhere: in the global runtime, which nobody interrupts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fibra::actor::{Builder, ExitReason, ReplyTo};

use super::support::{Counted, Drops};
use super::{Play, dither};

/// Callers are interrupted while they wait for room in the mailbox, or for their answer. The actor serves the others, and
/// ends when all have gone; no call is served twice or left behind.
pub fn calls() -> Play {
    let (drops, made, answered) =
        (Drops::new(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let serve = |served: &mut usize, (counted, reply_to): (Counted, ReplyTo<usize>)| {
        drop(counted);
        *served += 1;
        dither(*served % 3);
        reply_to.send(*served);
    };
    let actor = Builder::new().capacity(1).spawn(|_| 0, serve).expect("an actor can be spawned");
    let calling = |turns: usize| {
        let (actor, drops, made, answered) = (actor.clone(), drops.clone(), made.clone(), answered.clone());
        move || {
            for _ in 0..4 {
                made.fetch_add(1, Ordering::SeqCst);
                let counted = drops.counted();
                actor.call(|reply_to| (counted, reply_to)).expect("the actor lives");
                answered.fetch_add(1, Ordering::SeqCst);
                dither(turns);
            }
        }
    };
    let play = [("first", 0), ("second", 1), ("third", 2)];
    let callers = play.map(|(name, turns)| (name, calling(turns)));
    let judge = move || {
        let served = actor.call(|reply_to| (drops.counted(), reply_to)).expect("the actor lives") - 1;
        let (made, answered) = (made.load(Ordering::SeqCst), answered.load(Ordering::SeqCst));
        assert!(answered <= served && served <= made, "{made} calls, {served} served, {answered} answered");
        let pid = actor.pid();
        drop(actor);
        assert_eq!(pid.wait(), ExitReason::Normal);
        assert_eq!(drops.get(), made + 1);
    };
    callers.into_iter().fold(Play::new(judge), |play, (name, act)| play.role(name, act))
}
