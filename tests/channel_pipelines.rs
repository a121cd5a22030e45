//! Programs made of many small tasks that talk over channels without a buffer: a message that is lost, doubled or out of
//! order anywhere makes their results wrong. By tasks, by OS threads, and by both in one pipeline.

mod support;

use std::collections::VecDeque;
use std::ops::{Add, Mul, Neg};
use std::sync::Mutex;

use fibra::channel::{Receiver, Sender, bounded, never, select, unbounded};
use fibra::{Builder, spawn};
use support::within_patience;

/// What runs the parts of a pipeline: each third one is an OS thread if `mixed`.
struct Network {
    mixed: bool,
    parts: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl Network {
    fn new(mixed: bool) -> Self {
        Self { mixed, parts: Mutex::default() }
    }

    fn start(&self, part: impl FnOnce() + Send + 'static) {
        let mut parts = self.parts.lock().unwrap();
        let join: Box<dyn FnOnce() + Send> = if self.mixed && parts.len() % 3 == 2 {
            let thread = std::thread::spawn(part);
            // Not from the worker itself: other parts may live there that the thread waits for.
            Box::new(|| fibra::blocking(|| thread.join().unwrap()))
        } else {
            let task = spawn(part);
            Box::new(|| task.join().unwrap())
        };
        parts.push(join);
    }

    /// Waits until every part has found that nobody listens any more.
    fn join(self) {
        self.parts.into_inner().unwrap().into_iter().for_each(|join| join());
    }
}

fn on_any_workers(program: fn(&Network)) {
    within_patience(move || {
        for workers in [1, 2, 8] {
            for mixed in [false, true] {
                let run = move || {
                    let network = Network::new(mixed);
                    program(&network);
                    network.join();
                };
                Builder::new().workers(workers).run(run).unwrap();
            }
        }
    });
}

#[test]
fn messages_arrive_in_order_through_channels_of_every_capacity() {
    const COUNT: usize = 2_000;
    on_any_workers(|network| {
        for capacity in [Some(0), Some(1), Some(7), None] {
            let make = || capacity.map_or_else(unbounded, bounded);
            let (tx, mut rx) = make();
            network.start(move || (0..COUNT).for_each(|i| tx.send(i).unwrap()));
            // Those in between forward by every kind of call.
            for kind in 0..4 {
                let (tx, from) = make();
                let from = std::mem::replace(&mut rx, from);
                network.start(move || forward(kind, &from, &tx));
            }
            assert!(rx.iter().eq(0..COUNT));
        }
    });
}

fn forward(kind: usize, from: &Receiver<usize>, to: &Sender<usize>) {
    match kind {
        0 => from.iter().for_each(|i| to.send(i).unwrap()),
        1 => {
            while let Ok(i) = select! { recv(from) -> i => i, recv(never::<()>()) -> _ => unreachable!() } {
                select! { send(to, i) -> res => res.unwrap(), recv(never::<()>()) -> _ => unreachable!() }
            }
        }
        2 => {
            let long = std::time::Duration::from_secs(1000);
            while let Ok(i) = from.recv_timeout(long) {
                to.send_timeout(i, long).unwrap();
            }
        }
        _ => {
            // Holds back a few, and does both in one select.
            let mut held = VecDeque::new();
            let mut open = true;
            while open || !held.is_empty() {
                let source = if open && held.len() < 5 { from.clone() } else { never() };
                match held.front() {
                    None => select! { recv(source) -> i => match i {
                        Ok(i) => held.push_back(i),
                        Err(_) => open = false,
                    } },
                    Some(&first) => select! {
                        recv(source) -> i => match i {
                            Ok(i) => held.push_back(i),
                            Err(_) => open = false,
                        },
                        send(to, first) -> res => { res.unwrap(); held.pop_front(); }
                    },
                }
            }
        }
    }
}

#[test]
fn prime_sieve() {
    on_any_workers(|network| {
        let (tx, mut rx) = bounded(0);
        network.start(move || {
            let _ = (2..).try_for_each(|i: u32| tx.send(i));
        });
        let mut primes = vec![];
        for _ in 0..60 {
            let prime = rx.recv().unwrap();
            primes.push(prime);
            let (tx, next) = bounded(0);
            let numbers = std::mem::replace(&mut rx, next);
            network.start(move || {
                let _ = numbers.iter().filter(|i| i % prime != 0).try_for_each(|i| tx.send(i));
            });
        }
        let is_prime = |n: u32| (2..n).all(|divisor| !n.is_multiple_of(divisor));
        assert_eq!(primes, (2..=281).filter(|&n| is_prime(n)).collect::<Vec<_>>());
    });
}

/// A fraction in lowest terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ratio(i128, i128);

fn ratio(numerator: i128, denominator: i128) -> Ratio {
    let (mut a, mut b) = (numerator.abs(), denominator.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let divisor = a.max(1) * denominator.signum();
    Ratio(numerator / divisor, denominator / divisor)
}

impl Add for Ratio {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        ratio(self.0 * other.1 + other.0 * self.1, self.1 * other.1)
    }
}

impl Mul for Ratio {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        ratio(self.0 * other.0, self.1 * other.1)
    }
}

impl Ratio {
    fn over(self, by: i128) -> Self {
        ratio(self.0, self.1 * by)
    }
}

impl Neg for Ratio {
    type Output = Self;
    fn neg(self) -> Self {
        Ratio(-self.0, self.1)
    }
}

/// The coefficients of a power series, each when it is asked for.
type Series = Receiver<Ratio>;

/// The two series that `split` makes of `from`. The second may feed what makes `from`.
fn split(network: &Network, from: Series) -> (Series, Series) {
    let ((tx_a, a), (tx_b, b)) = (bounded(0), bounded(0));
    network.start(move || {
        let _ = split_to(&from, &tx_a, &tx_b);
    });
    (a, b)
}

/// Ends when one of the two listeners or the source has.
fn split_to(from: &Series, a: &Sender<Ratio>, b: &Sender<Ratio>) -> Option<()> {
    // Neither may be far ahead: a series that feeds itself would never end.
    let (mut for_a, mut for_b) = (VecDeque::new(), VecDeque::new());
    loop {
        match (for_a.front().copied(), for_b.front().copied()) {
            (Some(x), Some(y)) => select! {
                send(a, x) -> res => { res.ok()?; for_a.pop_front(); }
                send(b, y) -> res => { res.ok()?; for_b.pop_front(); }
            },
            (x, y) => {
                let wants_more = for_a.len() + for_b.len() < 3;
                let more = if wants_more { from.clone() } else { never() };
                select! {
                    recv(more) -> msg => {
                        let coefficient = msg.ok()?;
                        for_a.push_back(coefficient);
                        for_b.push_back(coefficient);
                    }
                    send(if x.is_some() { a.clone() } else { nobody() }, x?) -> res => { res.ok()?; for_a.pop_front(); }
                    send(if y.is_some() { b.clone() } else { nobody() }, y?) -> res => { res.ok()?; for_b.pop_front(); }
                }
            }
        }
    }
}

/// A sender whose arm is never ready.
fn nobody() -> Sender<Ratio> {
    let (tx, rx) = bounded(0);
    std::mem::forget(rx);
    tx
}

fn product(network: &Network, a: Series, b: Series) -> Series {
    let (tx, out) = bounded(0);
    network.start(move || {
        let (mut all_a, mut all_b) = (vec![], vec![]);
        // The two of a pair come in any order.
        while let Some((x, y)) = both(&a, &b) {
            all_a.push(x);
            all_b.push(y);
            let terms = all_a.iter().zip(all_b.iter().rev()).map(|(&x, &y)| x * y);
            if tx.send(terms.fold(ratio(0, 1), Ratio::add)).is_err() {
                return;
            }
        }
    });
    out
}

fn both(a: &Series, b: &Series) -> Option<(Ratio, Ratio)> {
    select! {
        recv(a) -> x => Some((x.ok()?, b.recv().ok()?)),
        recv(b) -> y => { let y = y.ok()?; Some((a.recv().ok()?, y)) }
    }
}

fn sum(network: &Network, a: Series, b: Series) -> Series {
    let (tx, out) = bounded(0);
    network.start(move || {
        let pairs = std::iter::from_fn(|| both(&a, &b));
        let _ = { pairs }.try_for_each(|(x, y)| tx.send(x + y));
    });
    out
}

/// `constant` plus the integral from 0.
fn integral(network: &Network, constant: Ratio, from: Series, negate: bool) -> Series {
    let (tx, out) = bounded(0);
    network.start(move || {
        let rest = (1..).zip(from.iter()).map(|(n, x)| if negate { (-x).over(n) } else { x.over(n) });
        let _ = std::iter::once(constant).chain(rest).try_for_each(|x| tx.send(x));
    });
    out
}

/// What comes out of `rx`, for a series that is defined by itself.
fn feed(network: &Network, from: Series, to: Sender<Ratio>) {
    network.start(move || {
        let _ = from.iter().try_for_each(|x| to.send(x));
    });
}

#[test]
fn power_series_that_feed_themselves() {
    on_any_workers(|network| {
        // exp = 1 + ∫ exp
        let (tx, own) = bounded(0);
        let (exp, back) = split(network, integral(network, ratio(1, 1), own, false));
        feed(network, back, tx);
        let mut factorial = 1;
        for n in 0..15 {
            factorial *= i128::max(n, 1);
            assert_eq!(exp.recv(), Ok(ratio(1, factorial)));
        }

        // tan = ∫ (1 + tan²)
        let (tx, own) = bounded(0);
        let (left, right) = split(network, own);
        let (one_tx, one) = bounded(0);
        network.start(move || {
            let _ = (0..).try_for_each(|n| one_tx.send(ratio(i128::from(n == 0), 1)));
        });
        let slope = sum(network, one, product(network, left, right));
        let (tan, back) = split(network, integral(network, ratio(0, 1), slope, false));
        feed(network, back, tx);
        let expected =
            [(0, 1), (1, 1), (0, 1), (1, 3), (0, 1), (2, 15), (0, 1), (17, 315), (0, 1), (62, 2835)];
        for (numerator, denominator) in expected {
            assert_eq!(tan.recv(), Ok(ratio(numerator, denominator)));
        }

        // sin = ∫ cos, cos = 1 - ∫ sin; and their squares make 1.
        let (tx, own) = bounded(0);
        let (sin, back) = split(network, integral(network, ratio(0, 1), own, false));
        let (cos, forth) = split(network, integral(network, ratio(1, 1), back, true));
        feed(network, forth, tx);
        let squares = [sin, cos].map(|series| {
            let (a, b) = split(network, series);
            product(network, a, b)
        });
        let [a, b] = squares;
        let ones = sum(network, a, b);
        for n in 0..12 {
            assert_eq!(ones.recv(), Ok(ratio(i128::from(n == 0), 1)));
        }
    });
}
