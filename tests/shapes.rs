//! Closures, results and callers of every shape: sizes, alignments, drops counted; OS threads; scopes as std's.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fibra::{Builder, Cancelled, channel, thread};
use support::{Drops, message, wait_until, within_patience};

const MIB: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(align(64))]
struct Aligned(u8);

impl Aligned {
    fn check(&self, value: u8) {
        assert_eq!(std::ptr::from_ref(self).addr() % 64, 0);
        assert_eq!(self.0, value);
    }
}

/// From a task, from the main task, and from an OS thread.
fn everywhere(f: fn()) {
    within_patience(move || {
        f();
        Builder::new().workers(2).run(f).unwrap();
        let deep = move || thread::Builder::new().stack_size(16 * MIB).spawn(f).unwrap().join().unwrap();
        Builder::new().workers(1).run(deep).unwrap();
    });
}

#[test]
fn closures_and_results_without_a_size() {
    everywhere(|| {
        fn nothing() {}
        for _ in 0..100 {
            fibra::spawn(nothing).join().unwrap();
            fibra::spawn(|| [(); 5]).join().unwrap();
        }
        let infinite: fibra::JoinHandle<std::convert::Infallible> = fibra::spawn(|| panic!("no value"));
        assert_eq!(message(&*infinite.join().unwrap_err()), "no value");
    });
}

/// Each in a function of its own: unoptimised code gives every value of a function its own place on the stack.
#[test]
fn closures_and_results_of_a_mebibyte() {
    fn a_closure() {
        let large = [7_u8; MIB];
        let task = fibra::spawn(move || large.iter().map(|byte| usize::from(*byte)).sum::<usize>());
        assert_eq!(task.join().unwrap(), 7 * MIB);
    }
    fn a_result() {
        let result = fibra::spawn(|| [9_u8; MIB]).join().unwrap();
        assert!(result.iter().all(|byte| *byte == 9));
    }
    fn both() {
        let large = [7_u8; MIB];
        let task = fibra::spawn(move || {
            let mut bytes = large;
            bytes[MIB - 1] = 1;
            thread::yield_now();
            bytes
        });
        let result = task.join().unwrap();
        assert_eq!((result[0], result[MIB - 1]), (7, 1));
    }
    fn unrun() {
        let large = [7_u8; MIB];
        let task = fibra::spawn(move || large[0]);
        task.cancel();
        assert!(task.join().map_or_else(|payload| payload.is::<Cancelled>(), |byte| byte == 7));
    }
    fn detached() {
        drop(fibra::spawn(|| [9_u8; MIB]));
    }
    fn scoped() {
        let large = [7_u8; MIB];
        fibra::scope(|s| assert_eq!(s.spawn(|| large).join().unwrap()[5], 7));
        fibra::scope(|s| assert_eq!(s.spawn(move || large[5]).join().unwrap(), 7));
    }
    everywhere(|| {
        for each in [a_closure, a_result, both, unrun, detached, scoped] {
            each();
        }
    });
}

#[test]
fn closures_and_results_with_an_alignment_of_64() {
    everywhere(|| {
        for i in 0..50 {
            let (aligned, padding) = (Aligned(i), i);
            let task = fibra::spawn(move || {
                aligned.check(padding);
                let local = Aligned(padding + 1);
                thread::yield_now();
                local.check(padding + 1);
                (padding, local)
            });
            let (number, result) = task.join().unwrap();
            result.check(number + 1);
            fibra::scope(|s| s.spawn(move || aligned.check(i)).join().unwrap());
            let (sender, receiver) = channel::bounded(0);
            let sends = fibra::spawn(move || sender.send(aligned).unwrap());
            receiver.recv().unwrap().check(i);
            sends.join().unwrap();
        }
    });
}

#[test]
fn a_result_is_dropped_once_whether_it_is_joined_or_detached_before_or_after_the_end() {
    for workers in [1, 2] {
        let drops = Drops::new();
        let counted = drops.clone();
        within_patience(move || {
            let main = || {
                for _ in 0..200 {
                    // Joined.
                    let guard = counted.counted();
                    drop(fibra::spawn(move || guard).join().unwrap());
                    // Detached before the end, and before the start.
                    let guard = counted.counted();
                    drop(fibra::spawn(move || guard));
                    // Detached while it is parked.
                    let guard = counted.counted();
                    let task = fibra::spawn(move || {
                        thread::park();
                        guard
                    });
                    fibra::yield_now();
                    let target = task.thread().clone();
                    drop(task);
                    target.unpark();
                    // Detached after the end.
                    let guard = counted.counted();
                    let task = fibra::spawn(move || guard);
                    wait_until("it has ended", || task.is_finished());
                    drop(task);
                    // A panic's payload.
                    let guard = counted.counted();
                    let task = fibra::spawn(move || std::panic::resume_unwind(Box::new(guard)));
                    drop(task.join().map(|never: ()| never).unwrap_err());
                    let guard = counted.counted();
                    drop(fibra::spawn(move || std::panic::resume_unwind(Box::new(guard))));
                }
            };
            Builder::new().workers(workers).run(main).unwrap();
        });
        assert_eq!(drops.get(), 1200);
    }
}

#[test]
fn a_result_is_dropped_once_when_its_runtime_has_ended() {
    let drops = Drops::new();
    let runtime = Builder::new().workers(2).build().unwrap();
    let mut handles = Vec::new();
    for _ in 0..20 {
        let guard = drops.counted();
        let task = runtime.spawn(move || guard);
        wait_until("it has ended", || task.is_finished());
        handles.push(task);
    }
    drop(runtime);
    assert_eq!(drops.get(), 0);
    handles.drain(10..).for_each(drop);
    assert_eq!(drops.get(), 10);
    handles.into_iter().for_each(|task| drop(task.join().unwrap()));
    assert_eq!(drops.get(), 20);
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("a result's own panic");
    }
}

#[test]
fn a_result_whose_destructor_panics_does_no_harm_to_the_worker() {
    Builder::new()
        .workers(1)
        .run(|| {
            drop(fibra::spawn(|| PanicsWhenDropped));
            fibra::yield_now();
            let task = fibra::spawn(|| PanicsWhenDropped);
            wait_until("it has ended", || task.is_finished());
            // As in std the handle that is dropped, or whoever joins, owns the panic. std aborts here; this must not hang.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(task)));
            assert_eq!(fibra::spawn(|| 7).join().unwrap(), 7);
        })
        .unwrap();
}

#[test]
fn a_detached_result_may_park_in_its_destructor() {
    struct Parks(channel::Sender<i32>);
    impl Drop for Parks {
        fn drop(&mut self) {
            fibra::sleep(Duration::from_millis(1));
            self.0.send(7).unwrap();
        }
    }
    within_patience(|| {
        let main = || {
            let (sender, receiver) = channel::bounded(0);
            drop(fibra::spawn(move || Parks(sender)));
            assert_eq!(receiver.recv(), Ok(7));
        };
        Builder::new().workers(1).run(main).unwrap();
    });
}

#[test]
fn os_threads_join_unpark_and_are_unparked_by_tasks() {
    within_patience(|| {
        let runtime = Builder::new().workers(2).build().unwrap();
        for i in 0..500 {
            let me = thread::current();
            let task = runtime.spawn(move || {
                thread::park();
                me.unpark();
                i
            });
            task.thread().unpark();
            thread::park();
            assert_eq!(task.join().unwrap(), i);
        }
        let me = thread::current();
        assert_eq!((me.id(), me.name()), (thread::current().id(), std::thread::current().name()));
        // std's tokens are another matter.
        std::thread::current().unpark();
        let target = thread::current();
        let waker = runtime.spawn(move || target.unpark());
        thread::park();
        waker.join().unwrap();
        std::thread::park();
    });
}

#[test]
fn a_thread_s_handle_may_outlive_it() {
    let task = fibra::spawn(thread::current);
    let ended = task.join().unwrap();
    let os = std::thread::spawn(thread::current).join().unwrap();
    for _ in 0..10 {
        ended.unpark();
        os.unpark();
    }
    assert_ne!(ended.id(), os.id());
}

#[test]
fn scopes_borrow_nest_and_return_from_tasks_and_from_os_threads() {
    everywhere(|| {
        let mut numbers = vec![1, 2, 3];
        let total = AtomicUsize::new(0);
        let value = fibra::scope(|outer| {
            for n in &numbers {
                let total = &total;
                outer.spawn(move || {
                    fibra::scope(|inner| {
                        for _ in 0..*n {
                            inner.spawn(|| total.fetch_add(1, Ordering::Relaxed));
                        }
                    });
                    // From a task of the scope into the scope.
                    outer.spawn(move || {
                        fibra::yield_now();
                        total.fetch_add(10, Ordering::Relaxed)
                    });
                });
            }
            outer.spawn(|| 7).join().unwrap()
        });
        assert_eq!((value, total.into_inner()), (7, 36));
        numbers.push(4);
        let slots = &mut numbers;
        fibra::scope(|s| {
            for slot in slots.iter_mut() {
                s.spawn(move || *slot *= 2);
            }
        });
        assert_eq!(numbers, [2, 4, 6, 8]);
        let named = fibra::scope(|s| {
            let builder = thread::Builder::new().name("scoped".into()).stack_size(1 << 20);
            let task = builder.spawn_scoped(s, || thread::current().name().map(str::to_owned)).unwrap();
            assert_eq!(task.thread().name(), Some("scoped"));
            task.join().unwrap()
        });
        assert_eq!(named.as_deref(), Some("scoped"));
    });
}

#[test]
fn a_panic_in_a_scope_comes_out_as_in_std() {
    everywhere(|| {
        // Not joined: the scope panics with a message of its own, when all have ended.
        let others = AtomicUsize::new(0);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            fibra::scope(|s| {
                s.spawn(|| panic!("inside"));
                s.spawn(|| {
                    (0..10).for_each(|_| fibra::yield_now());
                    others.fetch_add(1, Ordering::SeqCst)
                });
            });
        }));
        let expected = catch_unwind(AssertUnwindSafe(|| {
            std::thread::scope(|s| drop(s.spawn(|| std::panic::resume_unwind(Box::new(1)))));
        }));
        let (ours, std) = (panic.unwrap_err(), expected.unwrap_err());
        assert_eq!(message(&*std), "a scoped thread panicked");
        assert_eq!(message(&*ours), "a scoped task panicked");
        assert_eq!(others.load(Ordering::SeqCst), 1);
        // Joined: the panic has been delivered.
        fibra::scope(|s| {
            let payload = s.spawn(|| panic!("joined")).join().unwrap_err();
            assert_eq!(message(&*payload), "joined");
        });
        // The closure's own panic comes out with its payload, when all have ended.
        let panic = catch_unwind(AssertUnwindSafe(|| {
            fibra::scope(|s| {
                s.spawn(|| {
                    (0..10).for_each(|_| fibra::yield_now());
                    others.fetch_add(1, Ordering::SeqCst)
                });
                panic!("of the scope's closure");
            })
        }));
        assert_eq!(message(&*panic.map(|never: ()| never).unwrap_err()), "of the scope's closure");
        assert_eq!(others.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn is_finished_tells_when_join_returns_at_once() {
    everywhere(|| {
        let go = Arc::new(AtomicBool::new(false));
        let seen = go.clone();
        let task = fibra::spawn(move || {
            while !seen.load(Ordering::SeqCst) {
                fibra::yield_now();
            }
        });
        assert!(!task.is_finished());
        go.store(true, Ordering::SeqCst);
        wait_until("it has ended", || task.is_finished());
        task.join().unwrap();
    });
}

#[test]
fn go_takes_blocks_and_calls_and_hands_back_the_handle() {
    fn double(n: i32) -> i32 {
        2 * n
    }
    let n = 21;
    let text = String::from("moved");
    let block = fibra::go!({
        let length = text.len();
        length + 1
    });
    assert_eq!(block.join().unwrap(), 6);
    assert_eq!(fibra::go!(double(n)).join().unwrap(), 42);
    let cancelled = fibra::go!(thread::park());
    cancelled.cancel();
    assert!(cancelled.join().unwrap_err().is::<Cancelled>());
}
