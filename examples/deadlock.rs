//! Two locks in opposite order: a deadlock, which a timeout breaks.
//!
//! Alice moves money from A to B and Bob from B to A, so each locks one account and waits for the other one for ever.
//! `transfer` is plain blocking code and knows nothing of timeouts. The one around Alice's unwinds it where it waits:
//! a destructor tells who waits for what, account A is unlocked on the way, Bob goes on, and Alice tries again.
//!
//! ```text
//! $ cargo run --release --example deadlock                # or with Alice's patience in milliseconds: -- 1000
//! alice has A after 0 ms
//! bob has B after 0 ms
//! alice gives up after 100 ms:
//!   alice waits for B, which bob holds
//!   bob waits for A, which alice holds
//! bob has A after 100 ms
//! alice has A after 100 ms
//! alice has B after 100 ms
//! both transfers are done: A has 80 and B has 120
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::thread::panicking;
use std::time::{Duration, Instant};

use fibra::cancel::shield;
use fibra::sync::{Barrier, LazyLock, Mutex, MutexGuard, Once};

struct Account {
    name: char,
    balance: Mutex<i64>,
    /// Who has locked the balance, or had it last.
    holder: Mutex<&'static str>,
}

static A: Account = Account::new('A');
static B: Account = Account::new('B');
/// Who waits for which account now.
static WAITS: Mutex<Vec<(&str, &Account)>> = Mutex::new(Vec::new());
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Account {
    const fn new(name: char) -> Self {
        Self { name, balance: Mutex::new(100), holder: Mutex::new("nobody") }
    }

    fn lock(&'static self, who: &'static str) -> MutexGuard<'static, i64> {
        let wait = Wait::begin(who, self);
        let balance = self.balance.lock();
        drop(wait);
        *self.holder.lock() = who;
        println!("{who} has {} after {} ms", self.name, START.elapsed().as_millis());
        balance
    }
}

/// Somebody's entry in `WAITS`.
struct Wait(&'static str);

impl Wait {
    fn begin(who: &'static str, account: &'static Account) -> Self {
        WAITS.lock().push((who, account));
        Self(who)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waits = WAITS.lock();
        // A wait that is cut short unwinds as a panic does.
        if panicking() {
            println!("{} gives up after {} ms:", self.0, START.elapsed().as_millis());
            for (who, account) in waits.iter() {
                println!("  {who} waits for {}, which {} holds", account.name, account.holder.lock());
            }
        }
        waits.retain(|(who, _)| *who != self.0);
    }
}

/// Moves the amount, and calls `between` when the first account is locked.
fn transfer(
    who: &'static str,
    from: &'static Account,
    to: &'static Account,
    amount: i64,
    between: impl Fn(),
) {
    let mut source = from.lock(who);
    between();
    let mut target = to.lock(who);
    *source -= amount;
    *target += amount;
}

fn main() {
    let patience = Duration::from_millis(argument::number("number of milliseconds", 1..=60_000, 100));
    // Both hold one account before either goes for the other, however late a task may be: the deadlock is certain.
    let barrier = Barrier::new(2);
    let meet = || _ = barrier.wait();
    LazyLock::force(&START);
    fibra::scope(|s| {
        s.spawn(|| transfer("bob", &B, &A, 30, meet));
        s.spawn(|| {
            let met = Once::new();
            let meet_once = || met.call_once(|| shield(meet));
            while fibra::timeout(patience, || transfer("alice", &A, &B, 50, meet_once)).is_err() {}
        });
    });
    println!("both transfers are done: A has {} and B has {}", A.balance.lock(), B.balance.lock());
}
