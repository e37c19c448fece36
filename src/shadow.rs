//! An old link manager and a new one side by side: the same operations to both, the answers compared.
//!
//! * [`LinkStore`] is what an embedder does with a link manager, as a trait: implement it for the old one.
//!   [`ManagerStore`] implements it for the new one, [`DriverStore`] for one without threads.
//! * [`Shadow`] is a store that sends each operation to two others, says what the one of them answers, and
//!   counts, keeps and reports every [`Mismatch`].
//! * [`LockedLinks`] is the reference design done well, behind two locks: to compare with.
//!
//! [`docs::migration`](crate::docs::migration) shows the whole move.
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

/// Two stores in the place of one: each operation goes to both, and the answers are compared.
///
/// Itself a [`LinkStore`]: it takes the place of the old one in the embedder, behind an `Arc` where several
/// threads use it.
///
/// # One order
/// Accepting an operation gives it the next place in one order, and puts it into the queues of both sides in
/// the same step. Each side performs its queue one by one, queries included. The answers number *n* of both
/// sides are therefore given after exactly the operations before *n*, whoever called and however far the
/// other side has come: that is the point at which they are compared, once both are there.
///
/// # Whose answer
/// The caller waits for the answer of the side that [`serve`](Self::serve) names when the operation is
/// accepted. The flag may be changed at any time. The answer that the caller got is compared like every
/// other.
///
/// # Whose effects
/// A shadow moves data, not effects. Only *one* of the two stores may have its effects carried out by the
/// transport: [`Builder::driven_by`] says which one (by default the old one), and the transport of the
/// other one does nothing with them. The two flags are apart because they change apart: first the answers,
/// and when those have proved right the transport, with a new shadow. A report about a dial carries the
/// identity that the driving side gave it, and is passed on to the other side without: there it is about the
/// dial that the link has at that point of the order.
///
/// # A side that panics, hangs or lies
/// Each side has a worker thread of its own, so nothing that it does happens on a thread of the caller or of
/// the other side.
/// * *Panics* are contained and counted; the answer is [`StoreError::Panicked`], which differs from any
///   other.
/// * *Hangs.* A caller waits up to the [deadline](Builder::deadline), then gets the answer of the other
///   side (or `TimedOut` where there is none either). The stuck side is marked as *lagging*: from then on
///   nobody waits for it. It stops lagging when it has emptied its queue. What is in its queue is still
///   performed and compared, late.
/// * *A full queue.* Operations for a lagging side, or for the side that does not serve, are *skipped* when
///   its queue is full: counted, and never performed. When one that changes something is skipped, the side
///   has *diverged*: it gets nothing more, since every later answer would differ.
///   [`resync_a`](Self::resync_a) and [`resync_b`](Self::resync_b) bring it back. A full queue of the serving
///   side makes the caller wait for room, up to the deadline.
/// * *Lies* are what the comparison finds.
///
/// # Progress
/// Blocking: a caller waits for a worker, up to the deadline. That is a hand-over between threads more than a
/// call of the store costs. Queries on a hot path that need no comparison go to the store itself:
/// [`a`](Self::a), [`b`](Self::b).
///
/// # Ending
/// [`stop`](Self::stop) drains and joins. Dropping the shadow in its place refuses what is queued and waits
/// for nobody.
pub struct Shadow<A, B>
where
    A: LinkStore,
    B: LinkStore<Addr = A::Addr>,
{
    a: StdArc<A>,
    b: StdArc<B>,
    engine: StdArc<Engine<A::Addr>>,
    /// Taken by the call that joins them.
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
    /// Performs one operation on both sides and returns what the serving side says.
    ///
    /// # Errors
    /// The error of the serving side, or of the shadow: `Full` (no side has room), `TimedOut` (no side has
    /// answered before the deadline), `Closed` (the shadow is stopped).
    pub fn perform(&self, operation: Operation<A::Addr>) -> Reply<Value<A::Addr>> {
        self.engine.perform(operation)
    }

    /// From now on callers get the answers of `side`. Returns which side it was before.
    ///
    /// An operation that was accepted before gets the answer of the side that served then.
    pub fn serve(&self, side: Side) -> Side {
        self.engine.serve(side)
    }

    /// Whose answers the callers get.
    #[must_use]
    pub fn serving(&self) -> Side {
        self.engine.serving()
    }

    /// The first store itself, around the shadow. A change made here is made on one side only, and will show
    /// as a mismatch.
    #[must_use]
    pub fn a(&self) -> &A {
        &self.a
    }

    /// The second store itself, around the shadow.
    #[must_use]
    pub fn b(&self) -> &B {
        &self.b
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Takes the mismatches found last, the oldest first. Those that had to make room are
    /// [counted](Stats::mismatches_dropped).
    #[must_use]
    pub fn take_mismatches(&self) -> Vec<Mismatch<A::Addr>> {
        self.engine.recorder().take_mismatches()
    }

    /// Waits until both sides have performed everything that was accepted, and it is compared; `false` when
    /// that is not so after `timeout`. A side that has diverged has nothing to do.
    #[must_use]
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        self.engine.wait_idle(sync::deadline_after(timeout))
    }

    /// Brings side A to the state of side B, and compares again from there.
    ///
    /// `export` is run by B's worker at one point of the order, `import` by A's worker at the same point,
    /// with what was exported. Operations accepted meanwhile wait in A's queue behind it; nobody else waits.
    /// `import` must leave the store in the state that was exported, whatever it was in before.
    ///
    /// # Errors
    /// [`ResyncError`]: no room, nothing to copy from, or stopped. If a closure panics, the side has diverged
    /// (again), which [`SideStats::diverged`] shows.
    pub fn resync_a<S: Send + 'static>(
        &self,
        export: impl FnOnce(&B) -> S + Send + 'static,
        import: impl FnOnce(&A, S) + Send + 'static,
    ) -> Result<(), ResyncError> {
        let (a, b) = (self.a.clone(), self.b.clone());
        self.engine.resync(Side::A, move || export(&b), move |state| import(&a, state))
    }

    /// Brings side B to the state of side A: as [`resync_a`](Self::resync_a) with the sides exchanged.
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

    /// Ends the shadow.
    ///
    /// 1. New operations are refused with `Closed`.
    /// 2. Both sides perform what is queued; what is left when `timeout` has passed is skipped, and its
    ///    callers get `Closed`.
    /// 3. The workers are joined. One that is stuck in its store by then is left behind, with the store; the
    ///    report says so.
    ///
    /// A second call reports the same counters and joins nobody.
    #[allow(clippy::must_use_candidate)] // The report may be of no interest; the end is the point.
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
        // One that was waiting for the other, or between two operations, ends now.
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

/// What [`Shadow::stop`] did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ShadowReport {
    /// The counters at the end.
    pub stats: Stats,
    /// Workers that were stuck in their store and were left behind.
    pub left_behind: usize,
}

impl ShadowReport {
    /// Whether both sides performed every operation, none panicked, and no thread was left behind. Says
    /// nothing about mismatches.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let sides = [&self.stats.a, &self.stats.b];
        self.left_behind == 0 && sides.iter().all(|side| side.skipped == 0 && side.panics == 0)
    }
}
