//! The stacks that tasks run on.
//!
//! A *slot* is a piece of address space for one stack. Slots of one [`Class`] lie side by side in *arenas*, which the
//! whole process shares and never gives back; only the pages that were touched cost memory.
//!
//! ```text
//! limit                                                          base
//! | guard 32 KiB |   untouched, no memory yet   |  frames  | colour |
//!                                                ◀── grows down
//! ```
//!
//! The *guard* faults at every access, so an overflow ends in [`overflow`]'s report and not in a neighbour's frames.
//! The *colour*, different for neighbouring slots and less than 1 KiB, keeps the hot ends of many stacks from sharing
//! the same few cache sets. For the address translation caches, which hold pages, slots are an odd number of pages
//! apart. Writing to five cache lines of each stack in turn took, in ns a stack, on an EPYC:
//!
//! ```text
//! stacks                                     100   1,000   2,000   4,000
//! a power of two apart, without colours      8.0     7.2       -     8.0
//! a power of two apart                       4.6     5.4     7.0     8.3
//! an odd number of pages apart (here)        3.1     3.4     3.8    10.8
//! ```
//!
//! A slot is in one of these states, each change under its class's lock in the [`depot`]:
//!
//! ```text
//! raw ────▶ lent ◀────▶ dirty ────▶ clean ────▶ raw
//!            ▲                        │
//!            └────────────────────────┘
//! state   guard   memory   becomes the next one when
//! raw     no      no       `Arena::guard` has succeeded
//! lent    yes     yes      its owner gives it back (worker caches count as owners)
//! dirty   yes     yes      it is lent again, or `trim` takes its memory
//! clean   yes     no       it is lent again, or `trim` takes its guard, to free page tables
//! ```

mod alt_stack;
mod arena;
mod cache;
mod class;
mod depot;
mod error;
mod guard;
pub(crate) mod overflow;
mod slot;
mod slot_set;
#[cfg(test)]
mod testing;
mod trim;

pub(crate) use alt_stack::AltStack;
pub(crate) use cache::{Cache, give_back, lend};
pub(crate) use class::Class;
pub(crate) use error::StackError;
pub(crate) use slot::Stack;
pub(crate) use trim::trim;
