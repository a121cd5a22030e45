//! Contexts: the tree, its deadlines, causes and values.

#[path = "support/net.rs"]
mod net;
mod support;

use std::time::{Duration, Instant};

use fibra::cancel::{Context, ContextError, Elapsed};
use fibra::{channel, select, thread, timeout};
use net::{LONG, SHORT, everywhere};
use support::within_patience;

#[test]
fn the_background_is_never_over() {
    let ctx = Context::background();
    assert_eq!((ctx.err(), ctx.deadline()), (None, None));
    assert!(ctx.cause().is_none());
    assert!(ctx.done().try_recv().unwrap_err().is_empty());
    assert_eq!(ctx.run(|| 7), Ok(7));
}

#[test]
fn derived_contexts_are_cancelled_and_parents_are_not() {
    let root = Context::background();
    let request = root.with_cancel();
    let (query, other) = (request.with_timeout(LONG), root.with_value(1_u8));
    request.cancel_with("the client has gone");
    request.cancel_with("too late");
    assert_eq!((root.err(), other.err()), (None, None));
    for ctx in [&request, &query, &query.with_cancel()] {
        assert_eq!(ctx.err(), Some(ContextError::Cancelled));
        assert_eq!(ctx.cause().unwrap().to_string(), "the client has gone");
        assert_eq!(ctx.done().recv(), Err(channel::RecvError));
    }
    root.cancel();
    assert_eq!(other.cause().unwrap().downcast_ref(), Some(&ContextError::Cancelled));
}

#[test]
fn the_earlier_deadline_counts() {
    let (soon, late) = (Instant::now() + LONG, Instant::now() + 2 * LONG);
    let ctx = Context::background().with_deadline(soon);
    assert_eq!(ctx.with_deadline(late).deadline(), Some(soon));
    assert_eq!(ctx.with_value(()).with_cancel().deadline(), Some(soon));
    assert_eq!(Context::background().with_deadline(late).with_deadline(soon).deadline(), Some(soon));
    assert_eq!(ctx.with_timeout(Duration::MAX).deadline(), Some(soon));
    assert_eq!(Context::background().with_timeout(Duration::MAX).deadline(), None);
}

#[test]
fn a_deadline_that_has_passed_is_the_error_and_the_cause() {
    let ctx = Context::background().with_deadline(Instant::now());
    let child = ctx.with_cancel();
    child.cancel_with("too late, the deadline was first");
    for ctx in [&child, &ctx] {
        assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
        assert_eq!(ctx.cause().unwrap().downcast_ref(), Some(&ContextError::DeadlineExceeded));
        assert_eq!(ctx.run(|| unreachable!("it is over")), Err::<(), _>(ContextError::DeadlineExceeded));
    }
}

#[test]
fn blocking_code_ends_with_its_context() {
    everywhere(|| {
        let ctx = Context::background().with_timeout(SHORT);
        assert_eq!(ctx.run(thread::park), Err(ContextError::DeadlineExceeded));

        let ctx = Context::background().with_timeout(LONG);
        let (parks, parked) = channel::bounded(0);
        let task = fibra::spawn({
            let ctx = ctx.with_value(1);
            move || {
                ctx.run(|| {
                    parks.send(()).unwrap();
                    thread::park();
                })
            }
        });
        parked.recv().unwrap();
        ctx.cancel();
        assert_eq!(task.join().unwrap(), Err(ContextError::Cancelled));
    });
}

#[test]
fn done_is_disconnected_at_the_deadline() {
    everywhere(|| {
        let ctx = Context::background().with_timeout(SHORT);
        let (_sender, receiver) = channel::bounded::<()>(0);
        let (done, again) = (ctx.done(), ctx.done());
        select! {
            recv(receiver) -> _ => unreachable!("nobody sends"),
            recv(done) -> _ => (),
        }
        assert_eq!(again.recv(), Err(channel::RecvError));
        assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    });
}

#[test]
fn what_waits_for_the_deadline_ends_with_the_context() {
    within_patience(|| {
        fibra::run(|| {
            for _ in 0..100 {
                let ctx = Context::background().with_timeout(LONG);
                let _ = ctx.done();
                let cancelled = Context::background().with_timeout(LONG);
                let done = cancelled.done();
                cancelled.cancel();
                assert_eq!(done.recv(), Err(channel::RecvError));
            }
        });
        // `run` has ended: the tasks were cancelled, if nothing else. On the global runtime they have to end by themselves.
        let ctx = Context::background().with_timeout(LONG);
        let done = ctx.done();
        drop(ctx);
        assert_eq!(done.recv(), Err(channel::RecvError), "the watcher keeps nothing alive");
    });
}

#[test]
fn done_of_a_context_that_is_gone_is_disconnected_at_the_deadline_it_shares() {
    everywhere(|| {
        let ctx = Context::background().with_timeout(SHORT);
        let done = ctx.with_value(1_u8).with_value(2_u8).done();
        assert_eq!(done.recv(), Err(channel::RecvError));
        assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    });
}

#[test]
fn done_is_watched_again_after_the_runtime_of_the_first_watcher_has_ended() {
    within_patience(|| {
        let ctx = Context::background().with_timeout(SHORT);
        fibra::run(|| drop(ctx.done()));
        assert_eq!(ctx.done().recv(), Err(channel::RecvError));
    });
}

#[test]
fn values_are_found_by_their_type_the_innermost_first() {
    #[derive(Debug, PartialEq)]
    struct User(&'static str);
    #[derive(Debug, PartialEq)]
    struct Trace(u64);

    let root = Context::background().with_value(User("root")).with_value(Trace(1));
    let ctx = root.with_cancel().with_value(User("guest")).with_timeout(LONG);
    assert_eq!((ctx.value(), ctx.value()), (Some(&User("guest")), Some(&Trace(1))));
    assert_eq!(root.value(), Some(&User("root")));
    assert_eq!(ctx.value::<String>(), None);
}

#[test]
fn a_context_without_cancel_keeps_the_values_alone() {
    let ctx = Context::background().with_value(7).with_timeout(Duration::ZERO);
    let detached = ctx.without_cancel();
    ctx.cancel();
    assert_eq!((detached.err(), detached.deadline(), detached.value()), (None, None, Some(&7)));
}

#[test]
fn the_tree_can_be_cancelled_from_all_sides_at_once() {
    within_patience(|| {
        for _ in 0..50 {
            let root = Context::background().with_cancel();
            std::thread::scope(|s| {
                for n in 0..4_u64 {
                    let ctx = root.with_timeout(Duration::from_micros(50 * n));
                    let root = &root;
                    s.spawn(move || {
                        let inner = ctx.with_cancel();
                        let ended = inner.run(|| {
                            if n == 3 {
                                root.cancel();
                            }
                            thread::park();
                        });
                        assert!(ended.is_err() && ctx.with_value(n).err().is_some());
                    });
                }
            });
        }
    });
}

#[test]
fn an_outer_timeout_is_not_taken_for_the_contexts() {
    everywhere(|| {
        let ctx = Context::background().with_timeout(LONG);
        assert_eq!(timeout(SHORT, || ctx.run(thread::park)), Err(Elapsed));
        assert_eq!(ctx.err(), None);
    });
}
