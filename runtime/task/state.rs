//! The state word of a task or OS thread: is it waiting, and who may end the wait.
//!
//! A wait ends by exactly one *claim*. Waker, timer and canceller race for it with a compare-and-swap on this word;
//! the one that clears [`WAITING`] has won, and only it may make the waiter run again. A loser does nothing.
//!
//! | bit | set | cleared | by whom |
//! | --- | --- | --- | --- |
//! | `WAITING` | `begin_wait` | the claim | owner sets, the claimer clears |
//! | `FOR_TOKEN` | `begin_wait(Token)`: an `unpark` may claim | with `WAITING` | the same |
//! | `SHIELDED` | `begin_wait` under a shield: a canceller may not claim | with `WAITING` | the same |
//! | `TOKEN` | `unpark` outside of a token wait | `begin_wait(Token)` or `take_token` consumes it | anybody sets, owner clears |
//! | `CANCELLED` | `cancel` | never: it is sticky | anybody |
//!
//! | transition | from | to | returns |
//! | --- | --- | --- | --- |
//! | `begin_wait` | running, no `CANCELLED` or shielded | `WAITING` and the kind's bits | `Begun` |
//! | `begin_wait` | `CANCELLED`, not shielded | unchanged | `Cancelled` |
//! | `begin_wait(Token)` | `TOKEN` | `TOKEN` cleared | `HadToken` |
//! | `claim` | `WAITING` | running | true, else false |
//! | `unpark` | `WAITING` and `FOR_TOKEN` | running | true: the caller has the claim |
//! | `unpark` | anything else | `TOKEN` set | false |
//! | `cancel` | `WAITING`, not `SHIELDED` | running, `CANCELLED` | true: the caller has the claim |
//! | `cancel` | anything else | `CANCELLED` set | false |
//!
//! After its end a task never waits again, so a late `unpark` or `cancel` sets a bit that nobody reads.
//!
//! `WAITING` is set *before* the wait is published, so whoever finds a published waiter can claim it. It may be
//! claimed, and its task queued, before the task has switched away: that is harmless, because only its home worker can
//! resume it, and that worker is still busy running it. (A task that may migrate will need one more state here.)

use crate::util::atomic::{AtomicU32, Ordering};

const WAITING: u32 = 1 << 0;
const FOR_TOKEN: u32 = 1 << 1;
const SHIELDED: u32 = 1 << 2;
const WAIT_BITS: u32 = WAITING | FOR_TOKEN | SHIELDED;
const TOKEN: u32 = 1 << 3;
const CANCELLED: u32 = 1 << 4;

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

    /// Owner only: enters a wait, unless there is a reason not to.
    #[inline]
    pub(crate) fn begin_wait(&self, kind: Kind, shielded: bool) -> Begin {
        let mut bits = WAITING;
        if kind == Kind::Token {
            bits |= FOR_TOKEN;
        }
        if shielded {
            bits |= SHIELDED;
        }
        // The common case is a first guess of "nothing set": one compare-and-swap and no load before it.
        let mut current = 0;
        loop {
            let (next, begin) = if current & CANCELLED != 0 && !shielded {
                (current, Begin::Cancelled)
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
            let claims = current & WAITING != 0 && current & SHIELDED == 0;
            let next = (if claims { current & !WAIT_BITS } else { current }) | CANCELLED;
            // Ordering: as in `claim`.
            match self.0.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return claims,
                Err(actual) => current = actual,
            }
        }
    }

    /// Owner only: whether a cancellation has been asked for.
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
        assert_eq!(state.begin_wait(Kind::Token, false), Begin::HadToken);
        assert_eq!(state.begin_wait(Kind::Token, false), Begin::Begun);
        assert!(state.unpark());
        assert!(!state.claim());
    }

    #[test]
    fn an_internal_wait_does_not_consume_the_token() {
        let state = State::new();
        state.unpark();
        assert_eq!(state.begin_wait(Kind::Node, false), Begin::Begun);
        assert!(!state.unpark());
        assert!(state.claim());
        assert_eq!(state.begin_wait(Kind::Token, false), Begin::HadToken);
    }

    #[test]
    fn a_claim_by_another_leaves_nothing_for_unpark_to_claim() {
        let state = State::new();
        assert_eq!(state.begin_wait(Kind::Token, false), Begin::Begun);
        assert!(state.claim());
        assert!(!state.unpark(), "the wait is over: this is a token for the next one");
        assert_eq!(state.begin_wait(Kind::Token, false), Begin::HadToken);
    }

    #[test]
    fn cancellation_is_sticky_and_respects_the_shield() {
        let state = State::new();
        assert_eq!(state.begin_wait(Kind::Node, true), Begin::Begun);
        assert!(!state.cancel());
        assert!(state.claim());
        for _ in 0..2 {
            assert_eq!(state.begin_wait(Kind::Node, false), Begin::Cancelled);
        }
        assert_eq!(state.begin_wait(Kind::Node, true), Begin::Begun);
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
            assert_eq!(shared.0.begin_wait(Kind::Node, false), Begin::Begun);
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
            let begin = fields.state.begin_wait(Kind::Node, false);
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
            let begin = state.begin_wait(Kind::Node, false);
            let claimed = canceller.join().unwrap();
            match begin {
                Begin::Begun => assert!(claimed, "the wait was there, or the flag was"),
                other => assert_eq!(other, Begin::Cancelled),
            }
            assert_eq!(state.begin_wait(Kind::Node, false), Begin::Cancelled);
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
            let begin = shared.0.begin_wait(Kind::Token, false);
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
