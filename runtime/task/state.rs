//! The state word of a task or OS thread: is it waiting, and who may end the wait.
//!
//! A wait ends by exactly one *claim*. Waker, timer and canceller race for it with a compare-and-swap on this word;
//! the one that clears [`WAITING`] has won, and only it may make the waiter run again. A loser does nothing.
//!
//! | bit | set | cleared | by whom |
//! | --- | --- | --- | --- |
//! | `WAITING` | `begin_wait` | the claim | owner sets, the claimer clears |
//! | `FOR_TOKEN` | `begin_wait(Token)`: an `unpark` may claim | with `WAITING` | the same |
//! | `TOKEN` | `unpark` outside of a token wait | `begin_wait(Token)` or `take_token` consumes it | anybody sets, owner clears |
//! | `CANCELLED` | `cancel` | never: it is sticky | anybody |
//! | `INTERRUPTED` | `interrupt`: a [region](super::region) of the owner has been ended | `take_interrupt`, before the owner looks which | anybody sets, owner clears |
//! | the depth | `begin_wait`: how many shields the wait is under | with `WAITING` | as `WAITING` |
//!
//! | transition | from | to | returns |
//! | --- | --- | --- | --- |
//! | `begin_wait` | running, nothing below applies | `WAITING`, the kind's bits, the depth | `Begun` |
//! | `begin_wait` | `CANCELLED`, at depth 0 | unchanged | `Cancelled` |
//! | `begin_wait` | `INTERRUPTED`, at a depth below `UNWINDING` | unchanged | `Interrupted` |
//! | `begin_wait(Token)` | `TOKEN` | `TOKEN` cleared | `HadToken` |
//! | `claim` | `WAITING` | running | true, else false |
//! | `unpark` | `WAITING` and `FOR_TOKEN` | running | true: the caller has the claim |
//! | `unpark` | anything else | `TOKEN` set | false |
//! | `cancel` | `WAITING` at depth 0 | running, `CANCELLED` | true: the caller has the claim |
//! | `cancel` | anything else | `CANCELLED` set | false |
//! | `interrupt(depth)` | `WAITING` at that depth | running, `INTERRUPTED` | true: the caller has the claim |
//! | `interrupt(depth)` | anything else | `INTERRUPTED` set | false |
//!
//! After its end a task never waits again, so a late `unpark` or `cancel` sets a bit that nobody reads.
//!
//! A region that was entered under `n` shields ends waits at depth `n` alone: inside of a further shield the region is
//! hidden, and outside of one that it was entered in it no longer exists. So a claim by `interrupt` always has an ended
//! region to unwind to, and no wait ends for nothing: what it waited for would be lost.
//!
//! `WAITING` is set *before* the wait is published, so whoever finds a published waiter can claim it. It may be
//! claimed, and its task queued, before the task has switched away: that is harmless, because only its home worker can
//! resume it, and that worker is still busy running it. (A task that may migrate will need one more state here.)

use crate::util::atomic::{AtomicU32, Ordering};

const WAITING: u32 = 1 << 0;
const FOR_TOKEN: u32 = 1 << 1;
const TOKEN: u32 = 1 << 2;
const CANCELLED: u32 = 1 << 3;
const INTERRUPTED: u32 = 1 << 4;
/// The depth's lowest bit; it takes all bits from there on.
const DEPTH_UNIT: u32 = 1 << 8;
const DEPTH: u32 = !(DEPTH_UNIT - 1);
const WAIT_BITS: u32 = WAITING | FOR_TOKEN | DEPTH;

/// The depth of a wait that nobody may end early: its owner is unwinding already.
pub(crate) const UNWINDING: u32 = DEPTH / DEPTH_UNIT;

/// See the head of this file.
pub(crate) struct State(AtomicU32);

/// What a wait waits for, as far as the state word cares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A claim through a waiter node, a timer or a canceller.
    Node,
    /// The same, or the user's `unpark`.
    Token,
}

/// How [`State::begin_wait`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// The wait has begun; somebody must claim it.
    Begun,
    /// There was a token, it is consumed, and no wait has begun.
    HadToken,
    /// A cancellation is pending, and no wait has begun.
    Cancelled,
    /// A region may have been ended, and no wait has begun.
    Interrupted,
}

impl State {
    #[cfg(not(fibra_loom))]
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[cfg(fibra_loom)]
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Owner only: enters a wait under `depth` shields, or at [`UNWINDING`], unless there is a reason not to.
    #[inline]
    pub(crate) fn begin_wait(&self, kind: Kind, depth: u32) -> Begin {
        debug_assert!(depth <= UNWINDING);
        let mut bits = WAITING | (depth * DEPTH_UNIT);
        if kind == Kind::Token {
            bits |= FOR_TOKEN;
        }
        // The common case is a first guess of "nothing set": one compare-and-swap and no load before it.
        let mut current = 0;
        loop {
            let (next, begin) = if current & CANCELLED != 0 && depth == 0 {
                (current, Begin::Cancelled)
            } else if current & INTERRUPTED != 0 && depth < UNWINDING {
                (current, Begin::Interrupted)
            } else if kind == Kind::Token && current & TOKEN != 0 {
                (current & !TOKEN, Begin::HadToken)
            } else {
                (current | bits, Begin::Begun)
            };
            debug_assert_eq!(current & WAIT_BITS, 0, "a wait inside a wait");
            // Release: pairs with the Acquire of the claim; the claimer sees the fields of the wait.
            // Acquire: pairs with the Release in `unpark` (what was written before it is visible to the parker).
            match self.0.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return begin,
                Err(actual) => current = actual,
            }
        }
    }

    /// Owner only, outside of a wait: consumes the user's token. False: there is none.
    pub(crate) fn take_token(&self) -> bool {
        // Acquire: as in `begin_wait`.
        self.0.fetch_and(!TOKEN, Ordering::Acquire) & TOKEN != 0
    }

    /// Claims the wait, if there is one that nobody has claimed.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        // First guess: a plain wait with nothing else set.
        let mut current = WAITING;
        loop {
            // Acquire: pairs with the Release in `begin_wait`.
            // Release: a later `begin_wait` of the owner sees what the claimer did before.
            let next = current & !WAIT_BITS;
            match self.0.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(actual) if actual & WAITING == 0 => return false,
                Err(actual) => current = actual,
            }
        }
    }

    /// Hands over the user's token. True: the caller has claimed a wait for it and must end that wait.
    pub(crate) fn unpark(&self) -> bool {
        let mut current = self.0.load(Ordering::Relaxed);
        loop {
            let claims = current & FOR_TOKEN != 0;
            let next = if claims { current & !WAIT_BITS } else { current | TOKEN };
            // Release: pairs with the Acquire in `begin_wait`. Written even if the token is there already, so that
            // the parker sees what this caller wrote. Acquire: as in `claim`.
            match self.0.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return claims,
                Err(actual) => current = actual,
            }
        }
    }

    /// Asks for cancellation. True: the caller has claimed the current wait and must end it.
    pub(crate) fn cancel(&self) -> bool {
        let mut current = self.0.load(Ordering::Relaxed);
        loop {
            let claims = current & (WAITING | DEPTH) == WAITING;
            let next = (if claims { current & !WAIT_BITS } else { current }) | CANCELLED;
            // Ordering: as in `claim`.
            match self.0.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return claims,
                Err(actual) => current = actual,
            }
        }
    }

    /// Tells the owner that a region of its own, entered under `depth` shields, has been ended. True: the caller has
    /// claimed the current wait and must end it. The region still exists.
    pub(crate) fn interrupt(&self, depth: u32) -> bool {
        let mut current = self.0.load(Ordering::Relaxed);
        loop {
            let claims = current & (WAITING | DEPTH) == WAITING | (depth * DEPTH_UNIT);
            let next = (if claims { current & !WAIT_BITS } else { current }) | INTERRUPTED;
            // Release: pairs with the Acquire in `take_interrupt`; the owner sees that the region was ended. Else as in
            // `claim`.
            match self.0.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return claims,
                Err(actual) => current = actual,
            }
        }
    }

    /// Owner only, outside of a wait and before it looks at its regions: whoever ends one from now on sets the bit again.
    pub(crate) fn take_interrupt(&self) {
        // Acquire: pairs with the Release in `interrupt`.
        self.0.fetch_and(!INTERRUPTED, Ordering::Acquire);
    }

    /// Owner only: makes the next wait that can be interrupted look at the regions.
    pub(crate) fn interrupt_self(&self) {
        // Relaxed: what the owner will look for is its own, or was visible to it when it took the interrupt.
        self.0.fetch_or(INTERRUPTED, Ordering::Relaxed);
    }

    /// Owner only: whether a cancellation has been asked for.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        // Relaxed: the answer is a hint; delivery happens in `begin_wait`.
        self.0.load(Ordering::Relaxed) & CANCELLED != 0
    }
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;

    #[test]
    fn unpark_before_park_is_not_lost() {
        let state = State::new();
        assert!(!state.unpark());
        assert!(!state.unpark());
        assert_eq!(state.begin_wait(Kind::Token, 0), Begin::HadToken);
        assert_eq!(state.begin_wait(Kind::Token, 0), Begin::Begun);
        assert!(state.unpark());
        assert!(!state.claim());
    }

    #[test]
    fn an_internal_wait_does_not_consume_the_token() {
        let state = State::new();
        state.unpark();
        assert_eq!(state.begin_wait(Kind::Node, 0), Begin::Begun);
        assert!(!state.unpark());
        assert!(state.claim());
        assert_eq!(state.begin_wait(Kind::Token, 0), Begin::HadToken);
    }

    #[test]
    fn a_claim_by_another_leaves_nothing_for_unpark_to_claim() {
        let state = State::new();
        assert_eq!(state.begin_wait(Kind::Token, 0), Begin::Begun);
        assert!(state.claim());
        assert!(!state.unpark(), "the wait is over: this is a token for the next one");
        assert_eq!(state.begin_wait(Kind::Token, 0), Begin::HadToken);
    }

    #[test]
    fn cancellation_is_sticky_and_respects_the_shield() {
        let state = State::new();
        assert_eq!(state.begin_wait(Kind::Node, 1), Begin::Begun);
        assert!(!state.cancel());
        assert!(state.claim());
        for _ in 0..2 {
            assert_eq!(state.begin_wait(Kind::Node, 0), Begin::Cancelled);
        }
        assert_eq!(state.begin_wait(Kind::Node, 1), Begin::Begun);
    }

    #[test]
    fn an_interrupt_ends_waits_at_its_own_depth_alone() {
        for depth in [0, 1, 2, UNWINDING] {
            let state = State::new();
            assert_eq!(state.begin_wait(Kind::Node, depth), Begin::Begun);
            assert_eq!(state.interrupt(1), depth == 1);
            assert_eq!(state.claim(), depth != 1);
        }
    }

    #[test]
    fn an_interrupt_outside_of_a_wait_is_met_by_the_next_one_unless_the_owner_unwinds() {
        let state = State::new();
        assert!(!state.interrupt(3));
        assert_eq!(state.begin_wait(Kind::Node, UNWINDING), Begin::Begun);
        assert!(state.claim());
        assert_eq!(state.begin_wait(Kind::Node, 0), Begin::Interrupted);
        state.take_interrupt();
        assert_eq!(state.begin_wait(Kind::Node, 0), Begin::Begun);
    }
}

#[cfg(all(test, fibra_loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    #[test]
    fn loom_waker_timer_and_canceller_claim_a_wait_once() {
        loom::model(|| {
            let shared = Arc::new((State::new(), AtomicUsize::new(0)));
            assert_eq!(shared.0.begin_wait(Kind::Node, 0), Begin::Begun);
            let racers: Vec<_> = [State::claim as fn(&State) -> bool, State::claim, State::cancel]
                .into_iter()
                .map(|race| {
                    let shared = shared.clone();
                    thread::spawn(move || {
                        if race(&shared.0) {
                            shared.1.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            racers.into_iter().for_each(|r| r.join().unwrap());
            assert_eq!(shared.1.load(Ordering::Relaxed), 1);
        });
    }

    /// The plain fields around a wait, as `park_task` and `end_wait` use them: loom reports any access that races.
    struct Fields {
        state: State,
        /// What the waiter leaves for the claimer.
        wait: UnsafeCell<u32>,
        /// How the wait ended: reset by the owner before it begins, written by the claimer.
        ended: UnsafeCell<u32>,
        runnable: AtomicUsize,
    }

    impl Fields {
        fn end(&self, how: u32) {
            self.wait.with(|wait| {
                // SAFETY: loom checks it: the claim gives the field to us.
                assert_eq!(unsafe { *wait }, 7);
            });
            self.ended.with_mut(|ended| {
                // SAFETY: as above.
                unsafe { *ended = how }
            });
            // As the queues do: Release, for the home worker's Acquire.
            self.runnable.store(1, Ordering::Release);
        }
    }

    #[test]
    fn loom_the_claim_hands_the_fields_of_a_wait_to_and_fro() {
        loom::model(|| {
            let fields = Arc::new(Fields {
                state: State::new(),
                wait: UnsafeCell::new(0),
                ended: UnsafeCell::new(0),
                runnable: AtomicUsize::new(0),
            });
            let racers: Vec<_> = [(State::claim as fn(&State) -> bool, 1), (State::cancel, 2)]
                .into_iter()
                .map(|(race, how)| {
                    let fields = fields.clone();
                    thread::spawn(move || {
                        let won = race(&fields.state);
                        if won {
                            fields.end(how);
                        }
                        won
                    })
                })
                .collect();
            fields.wait.with_mut(|wait| {
                // SAFETY: loom checks it: no wait has begun.
                unsafe { *wait = 7 }
            });
            fields.ended.with_mut(|ended| {
                // SAFETY: as above.
                unsafe { *ended = 0 }
            });
            let begin = fields.state.begin_wait(Kind::Node, 0);
            let mut won = 0;
            for racer in racers {
                won += u32::from(racer.join().unwrap());
            }
            if begin == Begin::Cancelled {
                assert_eq!(won, 0);
                return;
            }
            // A waker that came before the wait finds nothing, so there may be no claim; a canceller always counts.
            assert_eq!(won, 1);
            assert_eq!(fields.runnable.load(Ordering::Acquire), 1);
            fields.ended.with(|ended| {
                // SAFETY: loom checks it: the claimer has given the field back.
                assert_ne!(unsafe { *ended }, 0, "how the wait ended is not overwritten");
            });
        });
    }

    #[test]
    fn loom_a_cancellation_is_delivered_now_or_at_the_next_wait() {
        loom::model(|| {
            let state = Arc::new(State::new());
            let canceller = {
                let state = state.clone();
                thread::spawn(move || state.cancel())
            };
            let begin = state.begin_wait(Kind::Node, 0);
            let claimed = canceller.join().unwrap();
            match begin {
                Begin::Begun => assert!(claimed, "the wait was there, or the flag was"),
                other => assert_eq!(other, Begin::Cancelled),
            }
            assert_eq!(state.begin_wait(Kind::Node, 0), Begin::Cancelled);
        });
    }

    /// The owner's part of a park with a region, as `park` in `park.rs` and `Region` do it: true if the wait began.
    fn begin_unless_ended(state: &State, ended: &AtomicUsize) -> bool {
        loop {
            match state.begin_wait(Kind::Node, 0) {
                Begin::Interrupted => {
                    state.take_interrupt();
                    if ended.load(Ordering::Relaxed) != 0 {
                        state.interrupt_self();
                        return false;
                    }
                }
                begin => {
                    assert_eq!(begin, Begin::Begun);
                    return true;
                }
            }
        }
    }

    #[test]
    fn loom_the_end_of_a_region_is_delivered_now_or_at_the_next_wait() {
        loom::model(|| {
            let shared = Arc::new((State::new(), AtomicUsize::new(0)));
            // An interrupt for another region, hidden or gone, must not hide this one's.
            let other = {
                let shared = shared.clone();
                thread::spawn(move || assert!(!shared.0.interrupt(1)))
            };
            let ender = {
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.1.store(1, Ordering::Relaxed);
                    shared.0.interrupt(0)
                })
            };
            let begun = begin_unless_ended(&shared.0, &shared.1);
            other.join().unwrap();
            let claimed = ender.join().unwrap();
            assert_eq!(begun, claimed, "the wait has an end exactly if it has begun");
            assert!(!begin_unless_ended(&shared.0, &shared.1), "it is sticky");
        });
    }

    #[test]
    fn loom_unpark_between_check_and_park_is_not_lost() {
        loom::model(|| {
            let shared = Arc::new((State::new(), AtomicUsize::new(0)));
            let waker = {
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.1.store(1, Ordering::Relaxed);
                    shared.0.unpark()
                })
            };
            let begin = shared.0.begin_wait(Kind::Token, 0);
            if begin == Begin::HadToken {
                assert_eq!(
                    shared.1.load(Ordering::Relaxed),
                    1,
                    "the token carries what was written before it"
                );
            }
            let claimed = waker.join().unwrap();
            assert_eq!(claimed, begin == Begin::Begun, "either a token or a claim, never both, never none");
        });
    }
}
