//! An actor with messages of one type: its control block and its mailbox, in one allocation that all share.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};

use super::control::Control;
use super::pid::{Exit, Pid, Process};
use super::quiet::quietly;
use crate::channel::{Channel, Mail};

/// Makes a message of an exit signal.
pub(super) type Trap<M> = fn(Exit) -> M;

/// See the head of this file.
pub(super) struct Inner<M> {
    control: Control<Pid>,
    /// Senders are the addresses; the one receiver belongs to the actor's root.
    pub(super) channel: Channel<M, Mail<M>>,
    /// Set while the actor traps exits.
    trap: Mutex<Option<Trap<M>>>,
}

impl<M> Inner<M> {
    /// An actor that has not started, with one address.
    pub(super) fn new(id: NonZeroU64, name: Option<Box<str>>, capacity: Option<usize>) -> Self {
        Self {
            control: Control::new(id, name),
            channel: Channel::new(Mail::new(capacity), capacity),
            trap: Mutex::new(None),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.control.id()
    }

    /// True: it trapped exits before.
    pub(super) fn set_trap(&self, trap: Option<Trap<M>>) -> bool {
        let mut place = self.trap.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, trap).is_some()
    }
}

impl<M: Send> Process for Inner<M> {
    fn control(&self) -> &Control<Pid> {
        &self.control
    }

    fn trap(&self, exit: Exit) -> Result<(), Exit> {
        let trap = *self.trap.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(trap) = trap else { return Err(exit) };
        // Foreign code on the stack of who sends the signal: a supervisor above all, which it does not concern. And an actor
        // that has ended needs no message.
        quietly(|| _ = self.channel.force_send(trap(exit)));
        Ok(())
    }
}
