//! Starting a supervisor.

use super::contact::Contact;
use super::message::Message;
use super::run::{Plan, supervise};
use crate::actor::builder::Builder;
use crate::actor::mailbox::Mailbox;
use crate::actor::reply::ReplyTo;
use crate::actor::start_error::StartError;
use crate::cancel::Token;
use crate::sched::WhenStopping;

/// How a supervisor's actor is made.
#[derive(Clone, Debug, Default)]
pub(super) struct Setup {
    pub(super) name: Option<String>,
    pub(super) link: bool,
}

/// Starts a supervisor, and waits until it has started its children.
///
/// Whoever does not wait to the end has it end again.
pub(super) fn start(setup: Setup, plan: Plan) -> Result<Contact, StartError> {
    let Setup { name, link } = setup;
    let builder = name.map_or_else(Builder::new, |name| Builder::new().name(name));
    let builder = if link { builder.link() } else { builder };
    let parent = builder.parent();
    let (starter, outcome) = ReplyTo::new();
    let starts = Token::new();
    let body = {
        let starts = starts.clone();
        move |mailbox: &Mailbox<Message>| supervise(mailbox, plan, starts, parent, starter)
    };
    let address = builder.spawn_or(WhenStopping::Fail, body)?;
    let mut abandoned = Abandoned(Some(Contact { address, starts }));
    let outcome = outcome.recv();
    let Some(contact) = abandoned.0.take() else { unreachable!("nobody else takes it") };
    match outcome {
        Ok(Ok(())) => Ok(contact),
        Ok(Err(error)) => {
            contact.address.pid().wait();
            Err(error)
        }
        Err(_) => Err(StartError::Init(contact.address.pid().wait())),
    }
}

/// Has the supervisor end that it is left with.
struct Abandoned(Option<Contact>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(contact) = &self.0 {
            contact.starts.cancel();
            contact.tell_to_stop();
        }
    }
}
