//! Links: two actors that end together.

use super::handle::Handle;
use super::own;

/// Links the running actor with another: when one of them ends, the other gets an exit signal, and so ends as well.
///
/// A signal of the reason [`Normal`](super::ExitReason::Normal) ends nobody. An actor that
/// [traps exits](super::Mailbox::trap_exits) gets a message instead, whatever the reason. To be told, and not to be ended,
/// see [`Mailbox::monitor`](super::Mailbox::monitor).
///
/// Two actors are linked once, however often this is called, and an actor is not linked with itself. If the other one has
/// ended already, its signal comes at once. Links may form cycles: the end goes around once. Never parks.
///
/// # Panics
///
/// If no actor runs here.
///
/// # Examples
///
/// ```
/// use fibra::actor::{self, ExitReason, Mailbox};
///
/// let worker = actor::spawn_body(|mailbox: &Mailbox<()>| {
///     mailbox.recv()?;
///     Err(ExitReason::failed("no more work"))
/// });
/// let partner = actor::spawn_body({
///     let worker = worker.clone();
///     move |mailbox: &Mailbox<()>| {
///         actor::link(&worker);
///         worker.send(()).unwrap();
///         mailbox.recv()
///     }
/// });
/// # let partner_address = &partner;
/// assert_eq!(partner.pid().wait(), ExitReason::failed("no more work"));
/// ```
pub fn link(other: &impl Handle) {
    let linked = own::with(|own| own.pid.link(&other.pid()));
    linked.expect("`actor::link` links the running actor, and here runs none");
}

/// Takes back what [`link`] has done; does nothing if the two are not linked. An exit signal that came before has had its
/// effect, or is a message in the mailbox. That of an actor which has ended at this very moment may be on its way, and
/// still come.
///
/// # Panics
///
/// If no actor runs here.
pub fn unlink(other: &impl Handle) {
    let unlinked = own::with(|own| own.pid.unlink(&other.pid()));
    unlinked.expect("`actor::unlink` unlinks the running actor, and here runs none");
}
