//! Programs of everything that waits, each interrupted at its first, second, … last park, in every way there is; after
//! each run nothing is lost and nobody waits.
//!
//! A [`Play`] is a program: some *roles*, each a task, and a *judge* that counts when they have gone. The [`stage`] puts it on
//! again and again, with another park of another role interrupted each time, until none is left. So that the play comes
//! to its end without the one that is missing, each role knows what to do when others go.
//!
//! `FIBRA_STRESS_SECONDS=600 cargo test --release --lib cancel_points` plays at random for longer, with new seeds; each is
//! printed.

mod actors;
mod channels;
mod groups;
mod ledger;
mod locks;
mod shot;
mod signals;
mod sockets;
mod stage;
mod tasks;

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use ledger::Ledger;
use stage::{Play, Title, interrupt_at_random, interrupt_everywhere};

/// Longer than a test runs. Who waits so long has found a hang.
const LONG: Duration = Duration::from_secs(1000);

/// A turn or two for the others.
fn dither(turns: usize) {
    (0..turns).for_each(|_| fibra::yield_now());
}

/// All plays, by the name of their test.
const PLAYS: &[Title] = &[
    ("rendezvous", channels::rendezvous),
    ("bounded", channels::bounded),
    ("unbounded", channels::unbounded),
    ("timed_channel_calls", channels::timed_calls),
    ("select", channels::select),
    ("select_list", channels::select_list),
    ("clocks", channels::clocks),
    ("oneshot", channels::oneshot),
    ("watch", channels::watch),
    ("broadcast", channels::broadcast),
    ("mutex", locks::mutex),
    ("rwlock", locks::rwlock),
    ("condvar", locks::condvar),
    ("semaphore", locks::semaphore),
    ("semaphore_of_many", locks::semaphore_of_many),
    ("barrier", signals::barrier),
    ("notify", signals::notify),
    ("wait_group", signals::wait_group),
    ("once", signals::once),
    ("park", signals::park),
    ("scope", tasks::scope),
    ("join", tasks::join),
    ("blocking", tasks::blocking),
    ("sleep", tasks::sleep),
    ("destructors", tasks::destructors),
    ("group", groups::group),
    ("map", groups::map),
    ("token", groups::token),
    ("tcp", sockets::tcp),
    ("unix", sockets::unix),
    ("pipe", sockets::pipe),
    ("datagrams", sockets::datagrams),
    ("accept", sockets::accept),
    ("calls", actors::calls),
];

macro_rules! tests {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let (_, play) = PLAYS.iter().find(|(name, _)| *name == stringify!($name)).expect("it is listed");
            interrupt_everywhere(stringify!($name), *play);
        }
    )*};
}

tests! {
    rendezvous bounded unbounded timed_channel_calls select select_list clocks oneshot watch broadcast
    mutex rwlock condvar semaphore semaphore_of_many
    barrier notify wait_group once park
    scope join blocking sleep destructors
    group map token
    tcp unix pipe datagrams accept
    calls
}

#[test]
fn several_at_once_at_random() {
    interrupt_at_random(PLAYS);
}

#[test]
fn all_descriptors_are_closed_again() {
    let name = concat!(module_path!(), "::all_descriptors_are_closed_again");
    let name = name.split_once("::").expect("the crate's name comes first").1;
    let output = support::in_child(name, &[], || {
        let plays = [sockets::tcp, sockets::unix, sockets::pipe, sockets::datagrams, sockets::accept];
        // What is made once for all is there before the count.
        plays.iter().for_each(|play| interrupt_everywhere("the first time", *play));
        let before = support::fd_count();
        plays.iter().for_each(|play| interrupt_everywhere("the second time", *play));
        assert_eq!(support::fd_count(), before);
    });
    assert!(output.status.success(), "{}", support::stderr(&output));
}
