//! Runs an old link manager and a new one side by side and compares their answers to the same operations.
//!
//! * [`LinkStore`] is the interface between an embedder and a link manager. Implement it for the old manager;
//!   [`ManagerStore`] implements it for the new one, and [`DriverStore`] for a new one without threads.
//! * [`Shadow`] is a store that sends each operation to two others, returns the answer of one of them, and
//!   counts, keeps and reports every [`Mismatch`].
//! * [`LockedLinks`] is a careful implementation of the reference design, behind two locks, as a baseline.
//!
//! [`docs::migration`](crate::docs::migration) describes the whole migration.
//!
//! # Examples
//! ```
//! use switchboard::shadow::{DriverStore, LinkStore, LockedLinks, Shadow, Side};
//! use switchboard::{Config, Direction, LinkManager, NetConfig, NetId, NodeAddr, StreamId};
//! use switchboard::clock::ManualClock;
//! use std::time::Duration;
//!
//! let clock = ManualClock::new();
//! let old = LockedLinks::<NodeAddr>::new(Config::default(), None, clock.clone())?;
//! let driver = LinkManager::builder(Config::default()).clock(clock.clone()).build()?;
//! let new = DriverStore::new(driver, clock, Duration::from_secs(1));
//!
//! let shadow = Shadow::builder(old, new).spawn()?;
//! shadow.add_net(NetId(1), NetConfig::new())?;
//! shadow.set_net_active(NetId(1), true)?;
//! shadow.add_stream(&NodeAddr(7), StreamId(1), Direction::Downlink)?;
//! shadow.admit(NetId(1), &NodeAddr(7), StreamId(1))?;
//! assert_eq!(shadow.count(NetId(1))?.value, 1); // the old one's answer
//!
//! shadow.serve(Side::B);
//! assert_eq!(shadow.count(NetId(1))?.value, 1); // the new one's
//!
//! let report = shadow.stop(Duration::from_secs(5));
//! assert!(report.is_clean());
//! assert_eq!((report.stats.compared, report.stats.mismatches), (6, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialId, ResolveId};
use crate::manager::MemberFilter;
use crate::manager::model::command::Outcome;
use crate::sync::thread::JoinHandle;
use crate::sync::{self, Mutex, StdArc};
use crate::ticket::Ticket;

mod answer;
mod baton;
mod builder;
mod by_operation;
mod engine;
mod lane;
mod locked;
mod mismatch;
#[cfg(test)]
mod models;
mod operation;
mod pair;
mod record;
mod settings;
mod side;
mod store;
mod stores;

pub use answer::{Answer, Reply, StoreError};
pub use answer::{LinkView, Listing};
pub use builder::Builder;
pub use by_operation::{FnStore, from_fn};
use by_operation::{link_store_by_operation, of_kind};
use engine::Engine;
pub use engine::ResyncError;
pub use locked::LockedLinks;
pub use mismatch::Mismatch;
pub use operation::{Operation, Value};
pub use record::{CallLatency, SideStats, Stats};
pub use side::Side;
pub use store::LinkStore;
pub use stores::{DriverStore, ManagerStore};

/// A store that forwards each operation to two stores and compares their answers.
///
/// A shadow is itself a [`LinkStore`], so it replaces the old store in the embedder. Put it in an `Arc` if
/// several threads use it.
///
/// # One order
/// Accepting an operation assigns it the next number in a single order and appends it to the queues of both
/// sides in the same step. Each side performs its queue one operation at a time, queries included. Both sides
/// therefore answer operation *n* after exactly the operations before *n*, regardless of the calling thread
/// and of the progress of the other side. The two answers are compared as soon as both exist.
///
/// # The serving side
/// The caller waits for the answer of the side that [`serve`](Self::serve) names when the operation is
/// accepted. The serving side may be changed at any time. The answer returned to the caller is compared like
/// every other.
///
/// # The driving side
/// A shadow forwards data, not effects. The transport may carry out the effects of only *one* of the two
/// stores: [`Builder::driven_by`] names it (by default the old one), and the transport of the other store
/// ignores its effects. The serving side and the driving side are separate settings because they are switched
/// separately: first the answers and, once those have proved right, the transport, with a new shadow. A
/// report about a dial carries the identity that the driving side assigned. It is forwarded to the other side
/// without that identity, and there it refers to the dial that the link has at that point of the order.
///
/// # A side that panics, hangs or lies
/// Each side has its own worker thread, so none of its code runs on the thread of a caller or of the other
/// side.
/// * *Panics* are contained and counted. The answer is [`StoreError::Panicked`], which differs from any
///   other.
/// * *Hangs.* A caller waits up to the [deadline](Builder::deadline), then gets the answer of the other
///   side, or `TimedOut` if that side has not answered either. The stuck side is marked as *lagging*, and
///   callers no longer wait for it until it has emptied its queue. The operations in its queue are still
///   performed and compared, late.
/// * *A full queue.* If the queue of a lagging side, or of the side that does not serve, is full, operations
///   for it are *skipped*: counted, and never performed. A side that skips a change has *diverged*: it gets
///   no further operations, since every later answer would differ. [`resync_a`](Self::resync_a) and
///   [`resync_b`](Self::resync_b) restore it. If the queue of the serving side is full, the caller waits for
///   room, up to the deadline.
/// * *Lies* are found by the comparison.
///
/// # Progress
/// Blocking: a caller waits for a worker, up to the deadline. An operation costs a hand-over between threads
/// more than a call of the store. Queries on a hot path that need no comparison can call the store directly,
/// through [`a`](Self::a) or [`b`](Self::b).
///
/// # Ending
/// [`stop`](Self::stop) drains the queues and joins the workers. Dropping the shadow without `stop` refuses
/// the queued operations and does not wait for the workers.
pub struct Shadow<A, B>
where
    A: LinkStore,
    B: LinkStore<Addr = A::Addr>,
{
    a: StdArc<A>,
    b: StdArc<B>,
    engine: StdArc<Engine<A::Addr>>,
    /// Emptied by the call that joins them.
    workers: Mutex<Vec<Worker>>,
}

struct Worker {
    thread: JoinHandle<()>,
    ended: Ticket<()>,
}

impl<A, B> Shadow<A, B>
where
    A: LinkStore,
    B: LinkStore<Addr = A::Addr>,
{
    /// Performs one operation on both sides and returns the answer of the serving side.
    ///
    /// # Errors
    /// The error of the serving side, or of the shadow: `Full` (no side has room), `TimedOut` (no side
    /// answered before the deadline), `Closed` (the shadow is stopped).
    pub fn perform(&self, operation: Operation<A::Addr>) -> Reply<Value<A::Addr>> {
        self.engine.perform(operation)
    }

    /// Makes `side` the serving side, whose answers callers get. Returns the previous one.
    ///
    /// An operation that was accepted earlier still gets the answer of the side that served at that time.
    pub fn serve(&self, side: Side) -> Side {
        self.engine.serve(side)
    }

    /// Returns the side whose answers callers get.
    #[must_use]
    pub fn serving(&self) -> Side {
        self.engine.serving()
    }

    /// Returns the first store, bypassing the shadow. A change made through it is made on one side only, and
    /// will show as a mismatch.
    #[must_use]
    pub fn a(&self) -> &A {
        &self.a
    }

    /// Returns the second store, bypassing the shadow, as [`a`](Self::a) returns the first.
    #[must_use]
    pub fn b(&self) -> &B {
        &self.b
    }

    /// Returns the counters of the shadow so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Takes the most recent mismatches, oldest first. Mismatches that were discarded to make room are
    /// [counted](Stats::mismatches_dropped).
    #[must_use]
    pub fn take_mismatches(&self) -> Vec<Mismatch<A::Addr>> {
        self.engine.recorder().take_mismatches()
    }

    /// Waits until both sides have performed every accepted operation and the answers are compared. Returns
    /// `false` if that takes longer than `timeout`. A side that has diverged has nothing to perform.
    #[must_use]
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        self.engine.wait_idle(sync::deadline_after(timeout))
    }

    /// Brings side A to the state of side B and resumes comparing from there.
    ///
    /// B's worker runs `export` at one point of the order, and A's worker runs `import` on the exported state
    /// at the same point. Operations accepted in the meantime wait behind it in A's queue; nothing else
    /// waits. `import` must leave the store in the exported state, regardless of its state before.
    ///
    /// # Errors
    /// [`ResyncError`]: no room, nothing to copy from, or stopped. If a closure panics, the side has diverged
    /// (again), as [`SideStats::diverged`] shows.
    pub fn resync_a<S: Send + 'static>(
        &self,
        export: impl FnOnce(&B) -> S + Send + 'static,
        import: impl FnOnce(&A, S) + Send + 'static,
    ) -> Result<(), ResyncError> {
        let (a, b) = (self.a.clone(), self.b.clone());
        self.engine.resync(Side::A, move || export(&b), move |state| import(&a, state))
    }

    /// Brings side B to the state of side A, as [`resync_a`](Self::resync_a) with the sides exchanged.
    ///
    /// # Errors
    /// As [`resync_a`](Self::resync_a).
    pub fn resync_b<S: Send + 'static>(
        &self,
        export: impl FnOnce(&A) -> S + Send + 'static,
        import: impl FnOnce(&B, S) + Send + 'static,
    ) -> Result<(), ResyncError> {
        let (a, b) = (self.a.clone(), self.b.clone());
        self.engine.resync(Side::B, move || export(&a), move |state| import(&b, state))
    }

    /// Stops the shadow.
    ///
    /// 1. New operations are refused with `Closed`.
    /// 2. Both sides perform their queued operations. Those still queued after `timeout` are skipped, and
    ///    their callers get `Closed`.
    /// 3. The workers are joined. A worker that is still stuck in its store is left behind, together with the
    ///    store, and counted in the report.
    ///
    /// A second call reports the same counters and joins no worker.
    #[allow(clippy::must_use_candidate)] // Stopping is the purpose; a caller may not need the report.
    pub fn stop(&self, timeout: Duration) -> ShadowReport {
        let deadline = sync::deadline_after(timeout);
        self.engine.close();
        let workers = std::mem::take(&mut *self.workers.lock());
        let mut left_behind = 0;
        let mut waiting = Vec::new();
        for worker in workers {
            let left = deadline.map_or(timeout, sync::time_left);
            match worker.ended.wait_timeout(left) {
                Ok(_) => left_behind += usize::from(worker.thread.join().is_err()),
                Err(late) => waiting.push((worker.thread, late.into_ticket())),
            }
        }
        self.engine.abandon();
        // A worker that was waiting for the other one, or was between two operations, ends now.
        for (thread, ended) in waiting {
            match ended.is_complete() {
                true => left_behind += usize::from(thread.join().is_err()),
                false => left_behind += 1,
            }
        }
        ShadowReport { stats: self.stats(), left_behind }
    }
}

impl<A, B> Drop for Shadow<A, B>
where
    A: LinkStore,
    B: LinkStore<Addr = A::Addr>,
{
    fn drop(&mut self) {
        self.engine.close();
        self.engine.abandon();
    }
}

link_store_by_operation!([A: LinkStore, B: LinkStore<Addr = A::Addr>] Shadow<A, B>, A::Addr, Self::perform);

impl<A, B> fmt::Debug for Shadow<A, B>
where
    A: LinkStore,
    B: LinkStore<Addr = A::Addr>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow").field("serving", &self.serving()).finish_non_exhaustive()
    }
}

/// The result of [`Shadow::stop`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ShadowReport {
    /// The counters at the end.
    pub stats: Stats,
    /// Number of workers that were stuck in their store and left behind.
    pub left_behind: usize,
}

impl ShadowReport {
    /// Returns whether both sides performed every operation, neither panicked, and no thread was left behind.
    /// Mismatches are not considered.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let sides = [&self.stats.a, &self.stats.b];
        self.left_behind == 0 && sides.iter().all(|side| side.skipped == 0 && side.panics == 0)
    }
}
