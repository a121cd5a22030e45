//! Calls that need more stack than the task has.

use crate::task::current;
use crate::task::header::{Header, Parking};

/// Runs `f` on the stack of the OS thread under this task, which has at least 1 MiB to spare; on a plain thread calls it.
///
/// For calls that are hungry for stack, such as a C library that recurses. Other tasks of the worker wait meanwhile.
///
/// # Panics
///
/// With the payload of `f`, if `f` panics. A call inside of `f` that would park panics with advice: the frames of `f`
/// lie on a stack that the other tasks of the worker need.
///
/// # Examples
///
/// ```
/// fn hungry() -> u8 {
///     let scratch = [1u8; 512 * 1024]; // more than a task's whole stack
///     std::hint::black_box(&scratch)[100]
/// }
/// fibra::run(|| {
///     let task = fibra::spawn(|| fibra::on_thread_stack(hungry));
///     assert_eq!(task.join().unwrap(), 1);
/// });
/// ```
pub fn on_thread_stack<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    struct Leave<'a>(&'a Header);

    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            self.0.parking.set(Parking::Allowed);
        }
    }

    match current::task() {
        Some(task) if task.parking.get() == Parking::Allowed => {
            let suspension = task.suspension.get().expect("a running task has been entered");
            task.parking.set(Parking::OnThreadStack);
            let _leave = Leave(task);
            // SAFETY: this is the running task's stack; the mark keeps `f` from suspending it.
            unsafe { suspension.on_thread_stack(f) }
        }
        _ => f(),
    }
}
