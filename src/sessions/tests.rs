#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

mod begins;
mod clears;
mod connections;
mod data;
mod edges;
mod eviction;
mod looks;
mod removal;

use super::*;
use crate::clock::ManualClock;
use crate::sync::StdArc;
use crate::sync::model::spawn;

/// Long enough never to pass unless a test is stuck.
const LONG: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;

type Registry = Sessions<u32, Vec<u32>, &'static str>;

/// Appends `value` to the data.
fn push(run: &mut Run<u32, Vec<u32>, &'static str>, value: u32) -> Result<(), Stale> {
    run.update(|data| data.iter().copied().chain([value]).collect()).map(drop)
}

/// Counts its wake-ups, and runs a closure in each.
struct Wakes<F>(AtomicUsize, F);

impl<F: Fn() + Send + Sync> Wake for Wakes<F> {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        (self.1)();
    }
}

fn wakes<F: Fn() + Send + Sync + 'static>(also: F) -> (StdArc<Wakes<F>>, Waker) {
    let wakes = StdArc::new(Wakes(AtomicUsize::new(0), also));
    (wakes.clone(), Waker::from(wakes))
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn panics<R>(body: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(body)).is_err()
}
