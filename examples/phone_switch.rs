//! Erlang's telephone exchange: lines that crash are restarted by their supervisor, and no other call notices.
//!
//! Each line is an actor whose software panics at random, and has no code for that: "let it crash". Its supervisor starts
//! it again; the call that was on it fails at once, and so does one that waits behind it; their callers dial again. A call
//! on another line never fails.
//!
//! ```text
//! $ cargo run --release --example phone_switch            # or with another number of calls: -- 100000
//! line 5 is up again after 26 us: panicked: a bug in line 5
//! line 5 is up again after 11 us: panicked: a bug in line 5
//!  …
//! 2000 calls were connected, 0 lost; 14 crashes, 14 restarts
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fibra::actor::{Address, Builder, CallError, ChildSpec, ExitReason, ReplyTo, Strategy};
use fibra::actor::{Supervisor, SupervisorRef};

const LINES: u64 = 8;

/// A call that is to be connected: its number, and who waits.
struct Call(u64, ReplyTo<u64>);

static CONNECTED: AtomicU64 = AtomicU64::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);
static CRASHES: AtomicU64 = AtomicU64::new(0);

/// Starts a line. One call in 128 meets the bug, each line's own ones.
fn line(line: u64) -> Address<Call> {
    let handle = move |dice: &mut u64, Call(number, caller): Call| {
        *dice = dice.wrapping_add(number + line).wrapping_mul(6_364_136_223_846_793_005);
        if *dice >> 57 == 0 {
            CRASHES.fetch_add(1, Relaxed);
            panic!("a bug in line {line}");
        }
        caller.send(number);
    };
    Builder::new().name(format!("line {line}")).spawn(|_| 1, handle).expect("there is memory for a line")
}

fn main() {
    let calls = argument::number("number of calls", 1..=1_000_000, 2_000);
    fibra::run(|| {
        std::panic::set_hook(Box::new(|_| ())); // a crash is told below
        let specs = (0..LINES).map(|n| ChildSpec::new(format!("line {n}"), move || line(n)));
        let supervisor = Supervisor::new(Strategy::OneForOne).intensity(100_000, Duration::from_secs(1));
        let switch = specs.fold(supervisor, Supervisor::child).start().expect("all lines come up");
        fibra::scope(|scope| {
            for caller in 0..2 * LINES {
                let switch = &switch;
                scope.spawn(move || (caller..calls).step_by(16).for_each(|number| dial(switch, number)));
            }
        });
        let restarts = switch.count().expect("the supervisor lives").restarts;
        assert_eq!(switch.stop(), ExitReason::Shutdown);
        let [connected, lost, crashes] = [&CONNECTED, &LOST, &CRASHES].map(|count| count.load(Relaxed));
        println!("{connected} calls were connected, {lost} lost; {crashes} crashes, {restarts} restarts");
    });
}

/// Has a call connected, on a line that is found by its number, whatever that line's crashes.
fn dial(switch: &SupervisorRef, number: u64) {
    let id = format!("line {}", number % LINES);
    let find = || switch.child::<Address<Call>>(&id).expect("a line comes up again");
    let mut line = find();
    let outcome = loop {
        match line.call(|caller| Call(number, caller)) {
            Ok(_) => break &CONNECTED,
            Err(CallError::Exited { reason: reason @ ExitReason::Panic(_), .. }) => {
                let noticed = Instant::now();
                line = find();
                println!("{id} is up again after {} us: {reason}", noticed.elapsed().as_micros());
            }
            Err(_) => break &LOST,
        }
    };
    outcome.fetch_add(1, Relaxed);
}
