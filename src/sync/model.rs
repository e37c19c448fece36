//! The harness of the models: one body for loom, shuttle and plain threads.
//!
//! A model is in a `models` module beside the code it checks and is run by all three:
//!
//! ```text
//! cargo test --lib models
//! RUSTFLAGS="--cfg switchboard_model --cfg switchboard_loom" CARGO_TARGET_DIR=target/loom \
//!     cargo test --profile model --features shadow --lib -- models reuse
//! RUSTFLAGS="--cfg switchboard_model --cfg switchboard_shuttle" CARGO_TARGET_DIR=target/shuttle \
//!     cargo test --profile model --features shadow --lib -- models
//! ```
//!
//! loom explores the weak memory orders of small models, up to `LOOM_MAX_PREEMPTIONS` preemptions (3 unless
//! set). shuttle explores interleavings of larger ones under sequential consistency: `SWITCHBOARD_ITERATIONS`
//! random schedules (500 unless set) and as many by priorities. Plain threads also run the body that often.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::task::{Context, Poll, Wake, Waker};

use super::lock_order::TEST_AUXILIARY;
use super::{Condvar, Mutex, StdArc};

#[cfg(not(switchboard_loom))]
fn iterations() -> usize {
    std::env::var("SWITCHBOARD_ITERATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

/// Explores the interleavings of `body`.
#[cfg(switchboard_loom)]
pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    if builder.preemption_bound.is_none() {
        builder.preemption_bound = Some(3);
    }
    builder.max_branches = builder.max_branches.max(20_000);
    builder.check(body);
}

/// Explores the interleavings of `body`.
#[cfg(switchboard_shuttle)]
pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};

    let body = std::sync::Arc::new(body);
    let mut config = shuttle::Config::new();
    config.stack_size = 256 * 1024;
    config.silence_warnings = true;
    let random = body.clone();
    shuttle::Runner::new(RandomScheduler::new(iterations()), config.clone()).run(move || random());
    shuttle::Runner::new(PctScheduler::new(3, iterations()), config).run(move || body());
}

/// Runs `body` on real threads.
#[cfg(not(switchboard_model))]
pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    for _ in 0..iterations() {
        body();
    }
}

/// As [`model`], but once with each stand-in for the cell; see [`twin`](super::twin).
#[cfg(switchboard_model)]
pub(crate) fn model_each(body: impl Fn() + Send + Sync + Clone + 'static) {
    use super::twin::{Twin, choose};

    for twin in [Twin::Locked, Twin::Weak] {
        choose(twin);
        model(body.clone());
    }
    choose(Twin::Locked);
}

/// As [`model`], but on the real cell.
#[cfg(not(switchboard_model))]
pub(crate) fn model_each(body: impl Fn() + Send + Sync + Clone + 'static) {
    model(body);
}

// Not seen by the checkers, for records that a model keeps about its executions: no scheduling point, no
// edge.
pub(crate) use std::sync::Mutex as UnseenMutex;
pub(crate) use std::sync::atomic::AtomicU64 as UnseenU64;

#[cfg(switchboard_model)]
pub(crate) use super::timed::Time;

/// The clock of a model, see [`timed`](super::timed); here it is the real clock.
#[cfg(not(switchboard_model))]
pub(crate) struct Time;

#[cfg(not(switchboard_model))]
#[allow(clippy::unused_self)] // Same interface as the model's clock.
impl Time {
    pub(crate) fn stopped() -> StdArc<Self> {
        StdArc::new(Self)
    }

    /// Does nothing: real time passes by itself.
    pub(crate) fn pass(&self) {}

    /// Returns about as long as the other threads take to do what the wait is for.
    pub(crate) fn timeout(&self) -> std::time::Duration {
        std::time::Duration::from_micros(20)
    }
}

/// Starts a thread of the model that only lets time pass.
pub(crate) fn spawn_clock(time: &StdArc<Time>) -> super::thread::JoinHandle<()> {
    let time = time.clone();
    spawn(move || time.pass())
}

/// Starts a thread of the model.
pub(crate) fn spawn<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> super::thread::JoinHandle<T> {
    super::spawn(String::from("model"), body).unwrap()
}

/// A waker that a thread of the model can wait for.
pub(crate) struct Flag {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    pub(crate) fn new() -> StdArc<Self> {
        StdArc::new(Self { woken: Mutex::new(&TEST_AUXILIARY, false), changed: Condvar::new() })
    }

    /// Waits for the next wake-up.
    pub(crate) fn wait(&self) {
        let mut woken = self.woken.lock();
        while !std::mem::take(&mut *woken) {
            woken = self.changed.wait(woken);
        }
    }
}

impl Wake for Flag {
    fn wake(self: StdArc<Self>) {
        *self.woken.lock() = true;
        self.changed.notify_one();
    }
}

/// Runs a task on this thread. It is polled again only when it was woken: a lost wake-up is a deadlock.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let flag = Flag::new();
    let waker = Waker::from(flag.clone());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        flag.wait();
    }
}
