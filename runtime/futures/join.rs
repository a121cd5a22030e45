//! A task's handle as a future.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::JoinHandle;
use crate::thread::Result;

/// Waits for the task without parking: the output is what [`join`](JoinHandle::join) returns. With the feature `futures`.
///
/// Dropping the future detaches the task, as dropping the handle does; [`cancel`](JoinHandle::cancel) it before to end it.
///
/// # Panics
///
/// If it is polled or joined after it has given the result.
///
/// # Examples
///
/// ```
/// fibra::run(|| {
///     let tasks = (1..=3).map(|n| fibra::spawn(move || n * 10));
///     let results = fibra::block_on(futures_util::future::join_all(tasks));
///     assert_eq!(results.into_iter().map(Result::unwrap).sum::<i32>(), 60);
/// });
/// ```
impl<T> Future for JoinHandle<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.get_mut().poll_join(cx.waker())
    }
}
