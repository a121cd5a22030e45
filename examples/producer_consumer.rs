//! Go's program: one producer of 100 numbers, three consumers that range over the channel, a wait group, a clean end.
//!
//! The channel has no buffer: a send waits for a receiver. When the producer is done its sender is dropped, and the
//! consumers' loops end. Who gets which number varies; every number is processed once.
//!
//! ```text
//! $ cargo run --release --example producer_consumer
//! worker 2 processed 0
//! worker 0 processed 1
//!    …
//! 100 numbers processed, their sum is 4950, in 0.8 ms
//! ```

#[path = "shared/argument.rs"]
mod argument;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use fibra::{channel, sync::WaitGroup};

static PROCESSED: AtomicU64 = AtomicU64::new(0);
static SUM: AtomicU64 = AtomicU64::new(0);

fn main() {
    let count = argument::number("count", 1..=1_000_000, 100);
    let start = Instant::now();
    fibra::run(|| {
        let wg = WaitGroup::new();
        let (tx, rx) = channel::bounded(0);
        wg.go(move || (0..count).for_each(|n| tx.send(n).expect("the consumers stay to the end")));
        for id in 0..3 {
            let rx = rx.clone();
            wg.go(move || {
                for n in rx.iter() {
                    println!("worker {id} processed {n}");
                    PROCESSED.fetch_add(1, Relaxed);
                    SUM.fetch_add(n, Relaxed);
                }
            });
        }
        wg.wait();
    });
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let (processed, sum) = (PROCESSED.load(Relaxed), SUM.load(Relaxed));
    println!("{processed} numbers processed, their sum is {sum}, in {ms:.1} ms");
}
