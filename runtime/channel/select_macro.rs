//! `select!` and `select_biased!`.
//!
//! ```text
//! @arms    takes one arm's head off the tokens  ┐ for each arm in turn; an arm takes its number with it
//! @body    takes its body off                   ┘
//! @expand  one `match` that keeps the arms, one call that chooses, one `match` with all bodies
//! ```
//!
//! The bodies stand in the caller's code, not in closures, so that `break`, `return` and `?` work in them. Nothing that has
//! a destructor is borrowed there, except what the channel expressions themselves made.

/// Waits for one of several operations on channels, does it, and evaluates its arm's body.
///
/// The arms:
///
/// | arm | when it is chosen |
/// | --- | --- |
/// | `recv(receiver) -> result => body` | `result` is a pattern for what `receiver.recv()` returns |
/// | `send(sender, message) -> result => body` | `result` is a pattern for what `sender.send(message)` returns |
/// | `default => body` | no other arm is ready now |
/// | `default(timeout) => body` | no other arm became ready within this [`Duration`](std::time::Duration) |
///
/// An operation is *ready* if it needs no waiting; also if that is because it returns an error, as the other side is gone.
/// If several are ready, one of them is chosen at random, each as likely as the others. If none is, the macro parks
/// until one is; with a `default` arm, not at all or for that long.
///
/// The receiver of a `recv` arm may also be a [`oneshot`]($crate::channel::oneshot), [`watch`]($crate::channel::watch) or
/// [`broadcast`]($crate::channel::broadcast) receiver. Channels can be given by value or reference, by any expression; all are
/// evaluated once, from top to bottom, before anything else. A message is evaluated only when its arm has been chosen; a
/// receiver may wait for it meanwhile. If that evaluation leaves the macro, nothing is sent. A body ends with a comma, or
/// is a block. There may be up to 32 arms, and one `default`; for lists of unknown length there is
/// [`Select`]($crate::channel::Select).
///
/// **Cancellation**: if the task is cancelled while it is parked, no message has been sent or received.
///
/// **Cost**: one lock for each channel that is looked at; a wait, a queue node for each on the stack. No allocation.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use fibra::channel::{bounded, select, tick, unbounded};
///
/// fibra::run(|| {
///     let (jobs, todo) = unbounded();
///     let (done, results) = bounded(0);
///     fibra::go!(for job in 0..3 { jobs.send(job).unwrap() });
///     fibra::go!(loop {
///         select! {
///             recv(todo) -> job => match job {
///                 Ok(job) => done.send(job * 10).unwrap(),
///                 Err(_) => break, // nobody has more
///             },
///             recv(tick(Duration::from_secs(1))) -> _ => println!("still waiting"),
///         }
///     });
///     assert_eq!(results.iter().collect::<Vec<_>>(), [0, 10, 20]);
///
///     let (tx, _rx) = bounded(1);
///     let sent = select! {
///         send(tx, "hello") -> result => result.is_ok(),
///         default => false,
///     };
///     assert!(sent);
/// });
/// ```
#[macro_export]
macro_rules! select {
    ($($arms:tt)*) => {
        $crate::__fibra_select!(start false $($arms)*)
    };
}

/// [`select!`], but if several arms are ready, the first of them is chosen.
///
/// An arm that is always ready keeps those below it from ever being chosen.
///
/// # Examples
///
/// ```
/// use fibra::channel::{select_biased, unbounded};
///
/// let (urgent_tx, urgent) = unbounded();
/// let (tx, rx) = unbounded();
/// tx.send("normal").unwrap();
/// urgent_tx.send("urgent").unwrap();
/// let mut order = vec![];
/// for _ in 0..2 {
///     select_biased! {
///         recv(urgent) -> msg => order.push(msg.unwrap()),
///         recv(rx) -> msg => order.push(msg.unwrap()),
///     }
/// }
/// assert_eq!(order, ["urgent", "normal"]);
/// ```
#[macro_export]
macro_rules! select_biased {
    ($($arms:tt)*) => {
        $crate::__fibra_select!(start true $($arms)*)
    };
}

/// The select macros' inside; see the head of `select_macro.rs`.
#[doc(hidden)]
#[macro_export]
macro_rules! __fibra_select {
    (start $biased:tt) => {
        ::core::compile_error!("a select needs at least one arm: it would wait for ever")
    };
    (start $biased:tt $($tokens:tt)*) => {
        $crate::__fibra_select!(@arms $biased []
            [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31]
            [] $($tokens)*)
    };

    // @arms: biased, the arms so far, the numbers left, the default so far, the tokens left.
    (@arms $biased:tt [$($arms:tt)*] $numbers:tt $default:tt) => {
        $crate::__fibra_select!(@expand $biased [$($arms)*] $default)
    };
    (@arms $biased:tt $arms:tt $numbers:tt [] default => $($rest:tt)+) => {
        $crate::__fibra_select!(@body $biased $arms $numbers [] (default ()) $($rest)+)
    };
    (@arms $biased:tt $arms:tt $numbers:tt [] default() => $($rest:tt)+) => {
        $crate::__fibra_select!(@body $biased $arms $numbers [] (default ()) $($rest)+)
    };
    (@arms $biased:tt $arms:tt $numbers:tt [] default($timeout:expr $(,)?) => $($rest:tt)+) => {
        $crate::__fibra_select!(@body $biased $arms $numbers [] (default ($timeout)) $($rest)+)
    };
    (@arms $biased:tt $arms:tt $numbers:tt [$($default:tt)+] default $($rest:tt)*) => {
        ::core::compile_error!("a select can have one `default` arm only")
    };
    (@arms $biased:tt $arms:tt [] $default:tt $($rest:tt)*) => {
        ::core::compile_error!("a select can have 32 arms; use `fibra::channel::Select` for more")
    };
    (@arms $biased:tt $arms:tt $numbers:tt $default:tt
        recv($receiver:expr $(,)?) -> $result:pat => $($rest:tt)+
    ) => {
        $crate::__fibra_select!(@body $biased $arms $numbers $default (recv ($receiver) ($result)) $($rest)+)
    };
    (@arms $biased:tt $arms:tt $numbers:tt $default:tt
        send($sender:expr, $message:expr $(,)?) -> $result:pat => $($rest:tt)+
    ) => {
        $crate::__fibra_select!(@body $biased $arms $numbers $default
            (send ($sender) ($message) ($result)) $($rest)+)
    };
    (@arms $biased:tt $arms:tt $numbers:tt $default:tt $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected `recv(receiver) -> result => body`, `send(sender, message) -> result => body`, ",
            "`default => body` or `default(timeout) => body`, with a comma after a body that is no block, at: ",
            ::core::stringify!($($rest)*)
        ))
    };

    // @body: as @arms, with the head of the arm before the tokens.
    (@body $biased:tt $arms:tt $numbers:tt $default:tt $head:tt { $($body:tt)* }, $($rest:tt)*) => {
        $crate::__fibra_select!(@push $biased $arms $numbers $default $head ({ $($body)* }) $($rest)*)
    };
    (@body $biased:tt $arms:tt $numbers:tt $default:tt $head:tt $body:expr, $($rest:tt)*) => {
        $crate::__fibra_select!(@push $biased $arms $numbers $default $head ($body) $($rest)*)
    };
    (@body $biased:tt $arms:tt $numbers:tt $default:tt $head:tt $body:expr) => {
        $crate::__fibra_select!(@push $biased $arms $numbers $default $head ($body))
    };
    (@body $biased:tt $arms:tt $numbers:tt $default:tt $head:tt { $($body:tt)* } $($rest:tt)*) => {
        $crate::__fibra_select!(@push $biased $arms $numbers $default $head ({ $($body)* }) $($rest)*)
    };
    (@body $biased:tt $arms:tt $numbers:tt $default:tt $head:tt $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "a comma is missing behind the body of an arm of a select: ", ::core::stringify!($($rest)*)
        ))
    };

    // @push: as @body, with the body; the arm joins the others, or becomes the default.
    (@push $biased:tt $arms:tt $numbers:tt [] (default $timeout:tt) $body:tt $($rest:tt)*) => {
        $crate::__fibra_select!(@arms $biased $arms $numbers [$timeout $body] $($rest)*)
    };
    (@push $biased:tt [$($arms:tt)*] [$number:tt $($numbers:tt)*] $default:tt
        ($kind:ident $channel:tt $($parts:tt)*) $body:tt $($rest:tt)*
    ) => {
        $crate::__fibra_select!(@arms $biased
            [$($arms)* { $number $kind $channel ($($parts)*) $body }] [$($numbers)*] $default $($rest)*)
    };

    // @expand: three kinds of wait.
    (@expand $biased:tt [$({ $number:tt $kind:ident $channel:tt $parts:tt $body:tt })*] []) => {
        match ($($crate::__fibra_select!(@arm $kind $channel),)*) {
            arms => {
                let chosen = $crate::channel::__select::choose(&[$(arms.$number.entry()),*], $biased);
                match chosen.index() {
                    $($number => $crate::__fibra_select!(@done $kind arms $number chosen $parts $body),)*
                    _ => $crate::channel::__select::impossible(),
                }
            }
        }
    };
    (@expand $biased:tt [$({ $number:tt $kind:ident $channel:tt $parts:tt $body:tt })*]
        [($($timeout:expr)?) ($default:expr)]
    ) => {
        match ($($crate::__fibra_select!(@arm $kind $channel),)*) {
            arms => match $crate::__fibra_select!(@try $biased ($($timeout)?) [$(arms.$number.entry()),*]) {
                ::core::option::Option::Some(chosen) => match chosen.index() {
                    $($number => $crate::__fibra_select!(@done $kind arms $number chosen $parts $body),)*
                    _ => $crate::channel::__select::impossible(),
                },
                ::core::option::Option::None => $default,
            }
        }
    };

    (@try $biased:tt () $entries:tt) => {
        $crate::channel::__select::choose_now(&$entries, $biased)
    };
    (@try $biased:tt ($timeout:expr) $entries:tt) => {
        $crate::channel::__select::choose_within(&$entries, $timeout, $biased)
    };

    (@arm recv ($receiver:expr)) => {
        $crate::channel::__select::Given::new(&$receiver).arm()
    };
    (@arm send ($sender:expr)) => {
        $crate::channel::__select::send_arm(&$sender)
    };

    (@done recv $arms:ident $number:tt $chosen:ident ($result:tt) ($body:expr)) => {{
        let result = $arms.$number.complete($chosen);
        $crate::__fibra_select!(@bind result $result);
        $body
    }};
    (@done send $arms:ident $number:tt $chosen:ident (($message:expr) $result:tt) ($body:expr)) => {{
        let result = $arms.$number.permit($chosen).send($message);
        $crate::__fibra_select!(@bind result $result);
        $body
    }};
    (@bind $value:ident ($result:pat)) => {
        let $result = $value;
    };
}

pub use {select, select_biased};
