//! The process's free slots: for each class a *shelf*, under a lock of its own.
//!
//! ```text
//! worker caches ──32 at a time──▶ dirty ──trim──▶ clean ──trim──▶ raw
//!       ◀───────32 at a time─────── 1st            2nd    8 ──── 3rd, then a new arena
//! ```
//!
//! Slots are lent from the lowest address up and trimmed from the highest down. So what stays in use after a burst
//! gathers at the low end, and the high end becomes whole stretches of idle slots, which one call can free.
//!
//! The lock is held for a few dozen bit operations (a few hundred while trimming), and never across a system call.

use super::arena::{self, Arena};
use super::class::Class;
use super::error::StackError;
use super::slot::{Place, Stack};
use super::slot_set::SlotSet;
use crate::util::spin::SpinLock;

/// The free states of a slot; see the head of this layer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Dirty,
    Clean,
    Raw,
}

/// An arena, and which of its slots are free.
// A slot is in at most one of the sets; in none while it is lent or being trimmed.
pub(super) struct Rack {
    pub(super) arena: &'static Arena,
    sets: [SlotSet; 3],
}

impl Rack {
    /// All of a new arena's slots are raw.
    fn new(arena: &'static Arena) -> Box<Self> {
        let mut rack = Box::new(Self { arena, sets: [const { SlotSet::new() }; 3] });
        (0..arena.slots()).for_each(|slot| rack.sets[State::Raw as usize].insert(slot));
        rack
    }

    pub(super) fn set(&self, state: State) -> &SlotSet {
        &self.sets[state as usize]
    }
}

/// The slots of one class in one state.
#[derive(Clone, Copy)]
struct Pool {
    count: usize,
    /// The least that `count` was since the last [`Shelf::end_interval`].
    least: usize,
    /// No rack before this one has any.
    first: usize,
}

/// The free slots of one class.
// A pool's `count` is the sum over the racks of that state's set.
pub(super) struct Shelf {
    // Boxed, so that the list grows under the lock without moving 1.6 KB for each of them.
    #[allow(clippy::vec_box)]
    racks: Vec<Box<Rack>>,
    pools: [Pool; 3],
}

impl Shelf {
    const fn new() -> Self {
        Self { racks: Vec::new(), pools: [Pool { count: 0, least: 0, first: 0 }; 3] }
    }

    pub(super) fn racks(&self) -> &[Box<Rack>] {
        &self.racks
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.pools[state as usize].count
    }

    /// Moves up to `most` slots in `state` to `out`, from the lowest address up.
    fn take_lowest(&mut self, class: Class, state: State, most: usize, out: &mut Vec<Stack>) {
        let pool = &mut self.pools[state as usize];
        let most = most.min(pool.count);
        for _ in 0..most {
            let (rack, slot) = loop {
                match self.racks[pool.first].sets[state as usize].take_lowest() {
                    Some(slot) => break (pool.first, slot),
                    None => pool.first += 1,
                }
            };
            let end = self.racks[rack].arena.slot_start(slot) + class.slot_size();
            out.push(Stack::new(end, Place::new(class, rack as u16, slot)));
        }
        self.shrunk(state, most);
    }

    /// How many slots in `state` nobody has needed since the last [`end_interval`](Self::end_interval).
    pub(super) fn idle(&self, state: State) -> usize {
        self.pools[state as usize].least
    }

    /// Moves up to `most` idle slots in `state` to `out`, from the highest address down, all of one rack; returns which.
    pub(super) fn take_highest(&mut self, state: State, most: usize, out: &mut Vec<u16>) -> Option<usize> {
        let most = most.min(self.idle(state));
        if most == 0 {
            return None;
        }
        let rack = self.racks.iter().rposition(|rack| !rack.set(state).is_empty())?;
        let set = &mut self.racks[rack].sets[state as usize];
        out.extend(std::iter::from_fn(|| set.take_highest()).take(most));
        self.shrunk(state, out.len());
        Some(rack)
    }

    pub(super) fn put(&mut self, state: State, rack: usize, slot: u16) {
        self.racks[rack].sets[state as usize].insert(slot);
        self.grown(state, rack, 1);
    }

    /// Takes those of the 64 slots from `64 * word` on that are in `state`; returns how many.
    pub(super) fn take_word(&mut self, state: State, rack: usize, word: usize) -> usize {
        let taken = self.racks[rack].sets[state as usize].take_word(word);
        self.shrunk(state, taken);
        taken
    }

    /// Puts the slots from `64 * word` on in whose bits are set.
    pub(super) fn put_word(&mut self, state: State, rack: usize, word: usize, bits: u64) {
        self.racks[rack].sets[state as usize].insert_word(word, bits);
        self.grown(state, rack, bits.count_ones() as usize);
    }

    fn shrunk(&mut self, state: State, by: usize) {
        let pool = &mut self.pools[state as usize];
        pool.count -= by;
        pool.least = pool.least.min(pool.count);
    }

    fn grown(&mut self, state: State, rack: usize, by: usize) {
        let pool = &mut self.pools[state as usize];
        pool.count += by;
        pool.first = pool.first.min(rack);
    }

    /// Begins an interval; returns how many slots in `state` nobody has needed in the one before.
    pub(super) fn end_interval(&mut self, state: State) -> usize {
        let pool = &mut self.pools[state as usize];
        std::mem::replace(&mut pool.least, pool.count)
    }
}

static SHELVES: [SpinLock<Shelf>; Class::COUNT] = [const { SpinLock::new(Shelf::new()) }; Class::COUNT];

pub(super) fn shelf(class: Class) -> &'static SpinLock<Shelf> {
    &SHELVES[class.index()]
}

/// Returns a stack, and puts a few more into `spare`, which is empty.
#[cold]
pub(super) fn refill(class: Class, spare: &mut Vec<Stack>) -> Result<Stack, StackError> {
    debug_assert!(spare.is_empty());
    loop {
        let (raw, racks) = take_batch(class, spare);
        if raw {
            guard_all(class, spare)?;
        }
        if let Some(stack) = spare.pop() {
            return Ok(stack);
        }
        grow(class, racks)?;
    }
}

/// Moves a batch of the best slots that there are to `out`: whether they are raw, and how many racks there are.
fn take_batch(class: Class, out: &mut Vec<Stack>) -> (bool, usize) {
    let mut shelf = shelf(class).lock();
    for (state, most) in [
        (State::Dirty, class.cached().div_ceil(2)),
        (State::Clean, class.cached().div_ceil(2)),
        (State::Raw, class.fresh_batch()),
    ] {
        shelf.take_lowest(class, state, most, out);
        if !out.is_empty() {
            return (state == State::Raw, shelf.racks.len());
        }
    }
    (false, shelf.racks.len())
}

/// Guards raw slots. If one can't be, it and those after it go back; if that leaves none, it is an error.
fn guard_all(class: Class, stacks: &mut Vec<Stack>) -> Result<(), StackError> {
    let mut failed = None;
    let guarded = stacks.iter().take_while(|stack| {
        // SAFETY: the slot was taken from its shelf, so it is ours alone.
        let result = unsafe { arena_of(stack).guard(stack.limit().get()) };
        failed = result.err();
        failed.is_none()
    });
    let guarded = guarded.count();
    let mut shelf = shelf(class).lock();
    for stack in stacks.drain(guarded..) {
        shelf.put(State::Raw, usize::from(stack.place.rack()), stack.place.slot());
    }
    drop(shelf);
    // The last in line is lent first: let it be the lowest.
    stacks.reverse();
    match failed {
        Some(error) if stacks.is_empty() => {
            Err(StackError::Guard { size: class.usable(), errno: error.raw_os_error().unwrap_or(0) })
        }
        _ => Ok(()),
    }
}

fn arena_of(stack: &Stack) -> &'static Arena {
    shelf(stack.class()).lock().racks[usize::from(stack.place.rack())].arena
}

/// Adds an arena, unless somebody else has done so since the caller counted the racks.
#[cold]
fn grow(class: Class, counted: usize) -> Result<(), StackError> {
    let unchanged = || shelf(class).lock().racks.len() == counted;
    arena::add(class, counted, unchanged, |arena| {
        let rack = Rack::new(arena);
        let mut shelf = shelf(class).lock();
        shelf.racks.push(rack);
        shelf.grown(State::Raw, counted, usize::from(arena.slots()));
    })
}

/// Takes stacks back that nobody uses any more.
pub(super) fn put_back(class: Class, stacks: impl Iterator<Item = Stack>) {
    let mut shelf = shelf(class).lock();
    for stack in stacks {
        debug_assert_eq!(stack.class(), class);
        shelf.put(State::Dirty, usize::from(stack.place.rack()), stack.place.slot());
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{in_child, is_child};
    use super::*;

    /// A class that no other test uses.
    fn class() -> Class {
        Class::for_size(40 << 20).unwrap()
    }

    #[test]
    fn free_slots_are_lent_dirty_first_then_clean_then_raw_and_lowest_first() {
        if !is_child() {
            let name =
                "stack::depot::tests::free_slots_are_lent_dirty_first_then_clean_then_raw_and_lowest_first";
            assert!(in_child(name, |_| {}).status.success());
            return;
        }
        let class = Class::DEFAULT;
        let mut lent: Vec<_> = (0..200).map(|_| refill_one(class)).collect();
        let mut limits: Vec<_> = lent.iter().map(|s| s.limit()).collect();
        assert!(limits.is_sorted(), "raw slots in the order of their addresses");
        put_back(class, lent.drain(..));
        let mut rest = Vec::new();
        let first = refill(class, &mut rest).unwrap();
        assert_eq!(first.limit(), limits[31], "the batch's last, once the caller has the others");
        assert_eq!(rest.len(), 31);
        rest.push(first);
        put_back(class, rest.drain(..));

        while super::super::trim() && shelf(class).lock().count(State::Clean) == 0 {
            std::thread::yield_now();
        }
        let clean = shelf(class).lock().count(State::Clean);
        assert_eq!(clean, 200);
        let stack = refill_one(class);
        put_back(class, std::iter::once(stack));
        assert_eq!(shelf(class).lock().count(State::Dirty), 1);
        let again = refill_one(class);
        assert_eq!(again.limit(), limits.remove(0), "the dirty one, though there are clean ones");
        put_back(class, std::iter::once(again));
    }

    /// One stack; the spare ones go back as they came.
    fn refill_one(class: Class) -> Stack {
        let mut shelf = shelf(class).lock();
        let mut out = Vec::new();
        for state in [State::Dirty, State::Clean, State::Raw] {
            shelf.take_lowest(class, state, 1, &mut out);
            if let Some(stack) = out.pop() {
                return stack;
            }
        }
        let racks = shelf.racks.len();
        drop(shelf);
        grow(class, racks).unwrap();
        refill_one(class)
    }

    #[test]
    fn two_that_run_short_at_once_add_one_arena() {
        grow(class(), 0).unwrap();
        grow(class(), 0).unwrap();
        assert_eq!(shelf(class()).lock().racks.len(), 1);
    }
}
