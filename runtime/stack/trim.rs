//! Giving the memory of idle stacks back to the system, a little at a time.
//!
//! ```text
//! dirty ──MADV_DONTNEED──▶ clean ──MADV_GUARD_REMOVE, MADV_DONTNEED──▶ raw
//!         its pages go             64 idle neighbours: their page tables go
//! ```
//!
//! Time is cut into intervals. What lay in the depot through a whole interval, unneeded, is given back in the next one. So
//! a program that spawns its tasks in waves keeps its stacks if the waves are closer together than an interval.
//!
//! Slots are taken out of the depot, trimmed without a lock, and put back; meanwhile a spawn gets other ones. Page
//! tables are 520 bytes a stack, half a gigabyte for a million of them: worth a second step, but only for whole
//! stretches, since the kernel frees a page of page table (2 MiB of addresses) only once nothing is left in it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::class::Class;
use super::depot::{Rack, State, shelf};
use super::guard::{self, Kind};
use crate::os::mmap::{self, Advice};

/// How long a slot must lie idle.
const INTERVAL: Duration = Duration::from_millis(100);

/// A call works as long as the caller has been away, within these bounds: half the time while there is work.
const BUDGET: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// How many slots are out of the depot at once.
const STEP: usize = 512;

/// What is to be given back in this interval, by class.
struct Backlog {
    dirty: [usize; Class::COUNT],
    clean: [usize; Class::COUNT],
    /// When the last call ended, and when the interval began.
    since: Option<(Instant, Instant)>,
}

static BACKLOG: Mutex<Backlog> =
    Mutex::new(Backlog { dirty: [0; Class::COUNT], clean: [0; Class::COUNT], since: None });

/// Gives back the memory of idle stacks, for some milliseconds. Returns whether a later call may give back more; the
/// caller then calls again soon, every 5 ms or so, from a thread that runs no tasks.
pub(crate) fn trim() -> bool {
    let Ok(mut backlog) = BACKLOG.try_lock() else {
        // Another runtime's thread is at it; to come again is never wrong.
        return true;
    };
    let now = Instant::now();
    let (last, began) = backlog.since.unwrap_or((now, now));
    let began = if now - began >= INTERVAL {
        backlog.end_interval();
        now
    } else {
        began
    };
    let more = backlog.work(now + (now - last).clamp(BUDGET.0, BUDGET.1));
    backlog.since = more.then(|| (Instant::now(), began));
    more
}

impl Backlog {
    fn end_interval(&mut self) {
        for class in Class::all() {
            let mut shelf = shelf(class).lock();
            self.dirty[class.index()] = shelf.end_interval(State::Dirty);
            self.clean[class.index()] = shelf.end_interval(State::Clean);
        }
    }

    /// Returns whether anything is left, now or for a later interval.
    fn work(&mut self, deadline: Instant) -> bool {
        // No short circuit: memory of all classes first, page tables then.
        let dirty = Class::all().fold(false, |more, class| self.clean_class(class, deadline) | more);
        Class::all().fold(dirty, |more, class| self.strip_class(class, deadline) | more)
    }

    fn clean_class(&mut self, class: Class, deadline: Instant) -> bool {
        let left = &mut self.dirty[class.index()];
        while *left > 0 && Instant::now() < deadline {
            match clean_some(class, STEP.min(*left)) {
                0 => *left = 0,
                cleaned => *left -= cleaned,
            }
        }
        shelf(class).lock().count(State::Dirty) > 0
    }

    fn strip_class(&mut self, class: Class, deadline: Instant) -> bool {
        let left = &mut self.clean[class.index()];
        while *left > 0 && Instant::now() < deadline {
            match strip_some(class) {
                0 => *left = 0,
                stripped => *left = left.saturating_sub(stripped),
            }
        }
        shelf(class).lock().racks().iter().any(|rack| idle_stretch(rack).is_some())
    }
}

/// Takes the memory of up to `most` dirty slots, those with the highest addresses; returns of how many.
fn clean_some(class: Class, most: usize) -> usize {
    let mut slots = Vec::with_capacity(most);
    let taken = {
        let mut shelf = shelf(class).lock();
        shelf.take_highest(State::Dirty, most, &mut slots).map(|rack| (rack, shelf.racks()[rack].arena))
    };
    let Some((rack, arena)) = taken else { return 0 };
    // The numbers fall; a chunk is a row of neighbours.
    for row in slots.chunk_by(|above, below| above - 1 == *below) {
        let (first, end) = (arena.slot_start(row[row.len() - 1]), arena.slot_start(row[0] + 1));
        let start = first + guard::size();
        // SAFETY: the slots were taken out of the depot, so nobody uses them; the guards between them survive it.
        unsafe { arena.release(start, end - start) };
    }
    let mut shelf = shelf(class).lock();
    slots.iter().for_each(|&slot| shelf.put(State::Clean, rack, slot));
    slots.len()
}

/// Takes the guards and page tables of one stretch of clean slots; returns of how many, 0 if there is no such stretch.
fn strip_some(class: Class) -> usize {
    let mut shelf = shelf(class).lock();
    if shelf.idle(State::Clean) == 0 {
        return 0;
    }
    let found = shelf.racks().iter().enumerate().rev().find_map(|(i, rack)| Some((i, idle_stretch(rack)?)));
    let Some((rack, (low, high))) = found else { return 0 };
    let arena = shelf.racks()[rack].arena;
    let mut stripped = 0;
    for word in low..=high {
        stripped += shelf.take_word(State::Clean, rack, word);
        shelf.take_word(State::Raw, rack, word);
    }
    drop(shelf);
    let start = arena.slot_start(low as u16 * 64);
    let end = arena.slot_start((high as u16 * 64 + 64).min(arena.slots()));
    // SAFETY: all slots of the range were taken out of the depot, so nobody uses them. As raw slots they get new guards
    // before they are lent, so it does not matter if the call fails half way.
    if unsafe { mmap::advise(start, end - start, Advice::GuardRemove) }.is_ok() {
        // SAFETY: as above.
        unsafe { arena.release(start, end - start) };
    }
    let mut shelf = self::shelf(class).lock();
    (low..=high).for_each(|word| shelf.put_word(State::Raw, rack, word, all_of(arena.slots(), word)));
    stripped
}

/// The highest run of the arena's words that have only clean and raw slots, some clean: its first and last word.
fn idle_stretch(rack: &Rack) -> Option<(usize, usize)> {
    // The kernel merges and splits the mappings of mprotected guards; there is little to gain, for there are few.
    if rack.arena.guard_kind() != Kind::Marker || rack.set(State::Clean).is_empty() {
        return None;
    }
    let idle = |&word: &usize| {
        let free = rack.set(State::Clean).word(word) | rack.set(State::Raw).word(word);
        free == all_of(rack.arena.slots(), word)
    };
    let words = usize::from(rack.arena.slots()).div_ceil(64);
    let high = (0..words).rev().find(|word| idle(word) && rack.set(State::Clean).word(*word) != 0)?;
    let low = (0..=high).rev().take_while(idle).last()?;
    Some((low, high))
}

/// The bits of word `word` that stand for one of an arena's `slots`.
fn all_of(slots: u16, word: usize) -> u64 {
    u64::MAX >> (64 - (usize::from(slots) - word * 64).min(64))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{in_child, is_child, page_tables, resident, touch};
    use super::super::{Cache, Stack};
    use super::*;

    /// Trims as a watchdog would; returns the time it took, and how much of it was work.
    fn trim_all() -> (Duration, Duration) {
        let start = Instant::now();
        let mut work = Duration::ZERO;
        loop {
            let call = Instant::now();
            let more = trim();
            work += call.elapsed();
            if !more {
                return (start.elapsed(), work);
            }
            assert!(start.elapsed() < Duration::from_secs(120), "trim does not come to an end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends an interval, and does all the work that this brings.
    fn whole_interval() -> bool {
        let mut backlog = BACKLOG.lock().unwrap();
        backlog.end_interval();
        backlog.work(Instant::now() + Duration::from_secs(60))
    }

    fn burst(cache: &Cache, n: usize) -> Vec<Stack> {
        let stacks: Vec<_> = (0..n).map(|_| cache.lend(Class::DEFAULT).unwrap()).collect();
        stacks.iter().for_each(touch);
        stacks
    }

    #[test]
    fn a_burst_costs_a_page_a_stack_and_is_given_back() {
        // The child inherits it: FIBRA_TEST_STACKS=1000000 takes 4.5 GB.
        let n = std::env::var("FIBRA_TEST_STACKS").map_or(200_000, |n| n.parse().unwrap());
        if !is_child() {
            let name = "stack::trim::tests::a_burst_costs_a_page_a_stack_and_is_given_back";
            let output = in_child(name, |_| {});
            println!("{}", String::from_utf8_lossy(&output.stdout));
            assert!(output.status.success());
            return;
        }
        let cache = Cache::new();
        for round in 0..3 {
            let (start, start_tables) = (resident(), page_tables());
            let mut stacks = burst(&cache, n);
            let memory = resident() - start;
            let tables = page_tables() - start_tables;
            println!("{} B of memory, {} B of page tables a stack", memory / n, tables / n);
            assert!(memory / n < 4096 + 100 && tables / n < 600);
            // A few live on, spread over all of the burst.
            let rest: Vec<_> = (0..20).map(|i| stacks.swap_remove(i * n / 22)).collect();
            stacks.drain(..).for_each(|s| cache.give_back(s));
            drop(stacks);
            let (took, work) = trim_all();
            let (kept, kept_tables) =
                (resident().saturating_sub(start), page_tables().saturating_sub(start_tables));
            println!(
                "round {round}: {took:?} to trim, {work:?} of it work; {kept} B and {kept_tables} B of page tables stay"
            );
            assert!(kept < memory / 20, "{kept} of {memory} bytes kept");
            assert!(kept_tables < tables / 2, "{kept_tables} of {tables} bytes of page tables kept");
            rest.into_iter().for_each(|s| cache.give_back(s));
        }
    }

    #[test]
    fn the_guards_of_trimmed_stacks_still_fault() {
        use std::os::unix::process::ExitStatusExt;
        let name = "stack::trim::tests::the_guards_of_trimmed_stacks_still_fault";
        if !is_child() {
            for guard in [None, Some("mprotect")] {
                for calls in ["1", "2", "100"] {
                    let output = in_child(name, |c| {
                        c.env("CALLS", calls).envs(guard.map(|g| ("FIBRA_STACK_GUARD", g)));
                    });
                    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{guard:?}, {calls} calls");
                }
            }
            return;
        }
        let cache = Cache::new();
        let stacks = burst(&cache, 1000);
        stacks.into_iter().for_each(|s| cache.give_back(s));
        cache.flush();
        for _ in 0..std::env::var("CALLS").unwrap().parse().unwrap() {
            whole_interval();
        }
        let lent = burst(&cache, 1000);
        for stack in lent.iter().rev() {
            let guard: *mut u8 = std::ptr::with_exposed_provenance_mut(stack.limit().get() + 5000);
            // SAFETY: a lent slot is ours; its guard kills us, as intended.
            unsafe { guard.write_volatile(1) };
        }
    }

    #[test]
    fn stacks_in_use_are_not_trimmed() {
        if !is_child() {
            let name = "stack::trim::tests::stacks_in_use_are_not_trimmed";
            assert!(in_child(name, |_| {}).status.success());
            return;
        }
        let cache = Cache::new();
        let mut stacks = burst(&cache, 2000);
        let byte = |s: &Stack| -> *mut u8 { std::ptr::with_exposed_provenance_mut(s.base().get() - 1) };
        for stack in &stacks {
            // SAFETY: a lent slot is ours alone.
            unsafe { byte(stack).write(42) };
        }
        let rest = stacks.split_off(1000);
        stacks.into_iter().for_each(|s| cache.give_back(s));
        cache.flush();
        trim_all();
        for stack in &rest {
            // SAFETY: a lent slot is ours alone.
            assert_eq!(unsafe { byte(stack).read() }, 42);
        }
    }

    #[test]
    fn what_was_needed_since_the_last_trim_stays() {
        if !is_child() {
            let name = "stack::trim::tests::what_was_needed_since_the_last_trim_stays";
            assert!(in_child(name, |_| {}).status.success());
            return;
        }
        let cache = Cache::new();
        let wave = || {
            burst(&cache, 1000).into_iter().for_each(|s| cache.give_back(s));
            cache.flush();
        };
        wave();
        for _ in 0..5 {
            assert!(whole_interval());
            assert!(shelf(Class::DEFAULT).lock().count(State::Dirty) >= 1000, "the wave is still warm");
            wave();
        }
        whole_interval();
        whole_interval();
        assert_eq!(shelf(Class::DEFAULT).lock().count(State::Dirty), 0);
    }
}
