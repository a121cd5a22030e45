//! An actor owns its state, and nobody else can touch it: Elixir's counter process.
//!
//! The count is a variable of the actor alone. Whoever wants to change or to see it sends a message with an address for
//! the answer, `{:increment, caller}` or `{:get, caller}`, and the actor deals with one after the other. So a thousand
//! callers at once need no lock, and lose nothing; whatever the number of workers, the actor is *concurrent* with all of
//! them and *parallel* to none of its own messages. For comparison, the same additions by one caller alone, and by
//! callers that do not wait for an answer.
//!
//! ```text
//! $ cargo run --release --example counter                 # or with another number of callers: -- 100000
//! iex> send(counter, {:increment, self()}): the count is 1
//! iex> send(counter, {:get, self()}): the count is 1
//! 1000 callers at once, 10 increments each, with an answer:  409 ns each
//! one caller, with an answer:                                291 ns each
//! one caller, without:                                        17 ns each
//! 1000 callers at once: the count is 30001, and 30001 were sent
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::time::Instant;

use fibra::actor::{self, Address, ReplyTo};

/// The increments of each caller.
const EACH: u64 = 10;

enum Message {
    Increment(ReplyTo<u64>),
    Bump,
    Get(ReplyTo<u64>),
}

fn counter() -> Address<Message> {
    actor::spawn(
        |_| 0,
        |count: &mut u64, message| match message {
            Message::Increment(caller) => {
                *count += 1;
                caller.send(*count);
            }
            Message::Bump => *count += 1,
            Message::Get(caller) => caller.send(*count),
        },
    )
}

fn main() {
    let callers = argument::number("number of callers", 1..=1_000_000, 1_000);
    fibra::run(|| {
        let counter = counter();
        let count = counter.call(Message::Increment).expect("the counter answers");
        println!("iex> send(counter, {{:increment, self()}}): the count is {count}");
        let count = counter.call(Message::Get).expect("the counter answers");
        println!("iex> send(counter, {{:get, self()}}): the count is {count}");

        let all = callers * EACH;
        let increment = || _ = counter.call(Message::Increment).expect("the counter answers");
        measure(&format!("{callers} callers at once, {EACH} increments each, with an answer:"), all, || {
            fibra::scope(|scope| {
                for _ in 0..callers {
                    scope.spawn(|| (0..EACH).for_each(|_| increment()));
                }
            });
        });
        measure("one caller, with an answer:", all, || (0..all).for_each(|_| increment()));
        measure("one caller, without:", all, || {
            (0..all).for_each(|_| counter.send(Message::Bump).expect("the counter lives"));
        });
        let (count, sent) = (counter.call(Message::Get).expect("the counter answers"), 3 * all + 1);
        println!("{callers} callers at once: the count is {count}, and {sent} were sent");
        assert_eq!(count, sent, "an increment was lost");
    });
}

/// Prints what one of `times` increments costs.
fn measure(what: &str, times: u64, increment: impl FnOnce()) {
    let start = Instant::now();
    increment();
    println!("{what:<57} {:>4.0} ns each", start.elapsed().as_nanos() as f64 / times as f64);
}
