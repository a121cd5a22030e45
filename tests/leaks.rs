//! Ten thousand runtimes, one after the other, leave nothing behind. Alone in its process, which it measures.

mod support;

use fibra::{Builder, channel, thread};
use support::{Drops, fd_count, rss_kib, thread_count, wait_until};

const RUNTIMES: usize = 10_000;

/// What may differ between two looks for other reasons: the allocator's caches, and stacks kept for the next task.
const ALLOWANCE_KIB: usize = 16 << 10;

fn one_runtime(drops: &Drops, i: usize) {
    let runtime = Builder::new().workers(1 + i % 3).build().unwrap();
    let parked = drops.counted();
    runtime.spawn(move || {
        let _parked = parked;
        thread::park();
    });
    let value = runtime.run(|| {
        let (sender, receiver) = channel::bounded(1);
        let named =
            thread::Builder::new().name("sender".into()).spawn(move || sender.send(i).unwrap()).unwrap();
        drop(named);
        let guard = drops.counted();
        let task = fibra::spawn(move || {
            let _guard = guard;
            thread::park();
        });
        if i.is_multiple_of(2) {
            task.cancel();
        }
        receiver.recv().unwrap()
    });
    assert_eq!(value, i);
}

#[test]
fn ten_thousand_runtimes_leak_no_threads_no_descriptors_and_no_memory() {
    let drops = Drops::new();
    let warm_up = 200;
    (0..warm_up).for_each(|i| one_runtime(&drops, i));
    let (threads, fds, rss) = (thread_count(), fd_count(), rss_kib());
    (0..RUNTIMES).for_each(|i| one_runtime(&drops, i));
    assert_eq!(drops.get(), 2 * (warm_up + RUNTIMES));
    println!("threads: {threads}, then {}", thread_count());
    println!("descriptors: {fds}, then {}", fd_count());
    println!("resident: {rss} KiB, then {} KiB", rss_kib());
    // A thread that has been joined may still be listed for a moment.
    wait_until("the threads are gone", || thread_count() <= threads);
    assert_eq!(fd_count(), fds);
    assert!(rss_kib() < rss + ALLOWANCE_KIB, "{rss} KiB before, {} KiB after", rss_kib());
}
