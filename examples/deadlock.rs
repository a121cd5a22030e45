//! Two locks in opposite order are a deadlock; a timeout breaks it, and says who waited for what.
//!
//! Alice moves money from A to B and Bob from B to A: each locks one account and waits for the other one for ever.
//! `transfer` is plain blocking code. The timeout around Alice's unwinds it where it waits: a destructor tells who waits
//! for what, account A is unlocked on the way, Bob goes on, and Alice tries again.
//!
//! ```text
//! $ cargo run --release --example deadlock                # or with Alice's patience in milliseconds: -- 1000
//! bob has B
//! alice has A
//! alice gives up:
//!   alice waits for B, which bob holds
//!   bob waits for A, which alice holds
//!    …
//! both transfers are done after 103 ms: A has 80 and B has 120
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::time::{Duration, Instant};

use fibra::cancel::shield;
use fibra::sync::{Barrier, Mutex, MutexGuard, Once};

struct Account {
    name: &'static str,
    balance: Mutex<i64>,
    /// Who has locked the balance, or had it last.
    holder: Mutex<&'static str>,
}

static A: Account = Account { name: "A", balance: Mutex::new(100), holder: Mutex::new("nobody") };
static B: Account = Account { name: "B", balance: Mutex::new(100), holder: Mutex::new("nobody") };
/// Who waits for which account now.
static WAITS: Mutex<Vec<(&str, &Account)>> = Mutex::new(Vec::new());

/// Ends somebody's entry in `WAITS`. A wait that is cut short unwinds as a panic does, and tells all entries first.
struct Wait(&'static str);

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waits = WAITS.lock();
        if std::thread::panicking() {
            println!("{} gives up:", self.0);
            for (who, account) in waits.iter() {
                println!("  {who} waits for {}, which {} holds", account.name, account.holder.lock());
            }
        }
        waits.retain(|(who, _)| *who != self.0);
    }
}

fn lock(account: &'static Account, who: &'static str) -> MutexGuard<'static, i64> {
    WAITS.lock().push((who, account));
    let wait = Wait(who);
    let balance = account.balance.lock();
    drop(wait);
    *account.holder.lock() = who;
    println!("{who} has {}", account.name);
    balance
}

/// Moves the amount, and calls `meet` when the first account is locked.
fn transfer(who: &'static str, from: &'static Account, to: &'static Account, amount: i64, meet: impl Fn()) {
    let mut source = lock(from, who);
    meet();
    *lock(to, who) += amount;
    *source -= amount;
}

fn main() {
    let patience = Duration::from_millis(argument::number("number of milliseconds", 1..=60_000, 100));
    // Both hold one account before either goes for the other, however late a task may be: the deadlock is certain.
    let (start, barrier, met) = (Instant::now(), Barrier::new(2), Once::new());
    let meet = || shield(|| _ = barrier.wait());
    let alice = || transfer("alice", &A, &B, 50, || met.call_once(meet));
    fibra::scope(|s| {
        s.spawn(|| transfer("bob", &B, &A, 30, meet));
        s.spawn(|| while fibra::timeout(patience, alice).is_err() {});
    });
    let (took, a, b) = (start.elapsed().as_millis(), *A.balance.lock(), *B.balance.lock());
    println!("both transfers are done after {took} ms: A has {a} and B has {b}");
}
