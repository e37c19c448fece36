//! The lock order, as a table. This is the only file that may declare a lock.
//!
//! | rank | locks | guards |
//! |---|---|---|
//! | -1 nets | [`LOCKED_NETS`] | the nets of the reference design |
//! | 0 links | [`LOCKED_LINKS`] | the links of the reference design |
//! | 1 writer | [`RETIRED`], [`SESSION`] | the retired versions that the writer of a cell leaves, when it is dropped; the data and the connection of a session |
//! | 2 auxiliary | [`MAILBOX_RECEIVER`], [`MAILBOX_SENDERS`], [`TICKET`], [`VERSION_WAITERS`], [`OUTBOX`], [`TICKER`], [`TICKER_THREAD`], [`SHADOW`], [`SHADOW_PAIR`], [`SHADOW_RING`], [`SHADOW_WORKERS`], [`SHADOW_TURN`], [`DRIVER_STORE`], [`CLAIM_WAITERS`], [`CLAIM_QUEUE`], [`SESSION_ORPHANS`], [`SAVER`], [`MEMORY_STORE`], `SQLITE`, [`CLEANUP_QUEUE`], [`CLEANUP_SLOT`], [`CLEANUP_LIMITS`], [`CLEANUP_RECENT`], [`CLEANUP_EVENTS`], [`CLEANUP_PAUSE`] | parking, and handing over one result or effect |
//! | 3 metrics | [`METRICS`], [`SHADOW_LATENCY`] | the publication of the next metrics report; the latencies of a shadow |
//!
//! A thread acquires locks in strictly increasing rank: while it holds a lock of rank 2 it may only take one
//! of rank 3. Two locks of one rank are never held together, so every auxiliary lock is a leaf among its
//! kind. Under a lock there is no user code (wakers, callbacks, `Drop` of user values), no allocation that
//! the protocol does not need, no I/O and no wait other than on the condition variable of that lock. There are
//! three exceptions. The outbox merges effects by their addresses, so `Clone`, `Eq`, `Hash` and `Drop` of an
//! address run under [`OUTBOX`]; [`Addr`](crate::Addr) requires them to be cheap and not to block. `Eq` of the keys
//! of sessions runs under [`SAVER`], for keys whose hashes are equal; [`MEMORY_STORE`], which is for tests, runs all
//! their methods. `Clone`, `Eq`, `Hash` and `Drop` of an app and a group run under `CLEANUP_EVENTS`.
//!
//! Under the checkers and in tests there are more: the stand-ins for the cell, rank 2, below [`RETIRED`] and
//! [`SESSION`], and for the map of the sessions, rank 1, and the locks of this file's tests.
//!
//! The two locks of the reference design ([`LockedLinks`](crate::shadow::LockedLinks)) exist for comparison:
//! readers and writers of that store share them, and it allocates under them, as the design that it
//! represents does. Its callbacks nevertheless run without them.
//!
//! Debug builds check the order on every acquisition and panic on an inversion; release builds do not check.

#[cfg(debug_assertions)]
use std::cell::RefCell;

/// The order in which a thread may acquire locks: strictly upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    #[cfg(feature = "shadow")]
    Nets = -1,
    #[cfg(feature = "shadow")]
    Links = 0,
    Writer = 1,
    Auxiliary = 2,
    #[cfg_attr(not(any(feature = "manager", test)), allow(dead_code))]
    Metrics = 3,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Lock {
    #[cfg_attr(not(debug_assertions), allow(dead_code))] // Checked in debug builds only.
    rank: Rank,
    name: &'static str,
}

impl Lock {
    const fn new(rank: Rank, name: &'static str) -> Self {
        Self { rank, name }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

/// The retired version headers that the writer of a cell leaves.
pub(crate) static RETIRED: Lock = Lock::new(Rank::Writer, "table: retired versions");
/// The parked receiver of a mailbox.
pub(crate) static MAILBOX_RECEIVER: Lock = Lock::new(Rank::Auxiliary, "mailbox: parked receiver");
/// The senders that wait for room in a lane.
pub(crate) static MAILBOX_SENDERS: Lock = Lock::new(Rank::Auxiliary, "mailbox: parked senders");
/// The one result that a ticket waits for.
pub(crate) static TICKET: Lock = Lock::new(Rank::Auxiliary, "ticket: result");
/// The threads and tasks that wait for a version to be published.
pub(crate) static VERSION_WAITERS: Lock = Lock::new(Rank::Auxiliary, "table: waiting for a version");
/// The request to shut a manager down.
#[cfg(feature = "manager")]
pub(crate) static SHUTDOWN_REQUEST: Lock = Lock::new(Rank::Auxiliary, "manager: shutdown request");
/// The effects that wait for the transport.
#[cfg(feature = "manager")]
pub(crate) static OUTBOX: Lock = Lock::new(Rank::Auxiliary, "manager: outbox");
/// The nets of [`LockedLinks`](crate::shadow::LockedLinks): taken before its links.
#[cfg(feature = "shadow")]
pub(crate) static LOCKED_NETS: Lock = Lock::new(Rank::Nets, "locked links: nets");
/// The links of [`LockedLinks`](crate::shadow::LockedLinks).
#[cfg(feature = "shadow")]
pub(crate) static LOCKED_LINKS: Lock = Lock::new(Rank::Links, "locked links: links");
/// The queues of a shadow, and the side that serves.
#[cfg(feature = "shadow")]
pub(crate) static SHADOW: Lock = Lock::new(Rank::Auxiliary, "shadow: queues");
/// The two answers to one operation.
#[cfg(feature = "shadow")]
pub(crate) static SHADOW_PAIR: Lock = Lock::new(Rank::Auxiliary, "shadow: answers");
/// The latest mismatches.
#[cfg(feature = "shadow")]
pub(crate) static SHADOW_RING: Lock = Lock::new(Rank::Auxiliary, "shadow: mismatches");
/// The threads of a shadow, until one call joins them.
#[cfg(feature = "shadow")]
pub(crate) static SHADOW_WORKERS: Lock = Lock::new(Rank::Auxiliary, "shadow: threads");
/// The turn of a shadow without threads.
#[cfg(feature = "shadow")]
pub(crate) static SHADOW_TURN: Lock = Lock::new(Rank::Auxiliary, "shadow: turn");
/// The driver of a store, while no thread uses it.
#[cfg(feature = "shadow")]
pub(crate) static DRIVER_STORE: Lock = Lock::new(Rank::Auxiliary, "shadow: driver of a store");
/// The latencies of one side of a shadow.
#[cfg(feature = "shadow")]
pub(crate) static SHADOW_LATENCY: Lock = Lock::new(Rank::Metrics, "shadow: latencies");

/// The threads and tasks that wait for the place of a run.
#[cfg(feature = "sessions")]
pub(crate) static CLAIM_WAITERS: Lock = Lock::new(Rank::Auxiliary, "claim: waiting for a change");
/// The threads and tasks that wait for the place of a run, in order.
#[cfg(feature = "sessions")]
pub(crate) static CLAIM_QUEUE: Lock = Lock::new(Rank::Auxiliary, "claim: waiting to claim");
/// The data and the connection of a session.
#[cfg(feature = "sessions")]
pub(crate) static SESSION: Lock = Lock::new(Rank::Writer, "sessions: contents of a session");
/// The sessions whose runs may be resumed by a connection.
#[cfg(feature = "sessions")]
pub(crate) static SESSION_ORPHANS: Lock = Lock::new(Rank::Auxiliary, "sessions: runs to be resumed");
/// The changes of sessions that are not stored yet, and the loads in progress. Keys are compared under it.
#[cfg(feature = "sessions")]
pub(crate) static SAVER: Lock = Lock::new(Rank::Auxiliary, "sessions: saver");
/// The contents of a store in memory: its keys are compared, hashed and dropped under it.
#[cfg(feature = "sessions")]
pub(crate) static MEMORY_STORE: Lock = Lock::new(Rank::Auxiliary, "sessions: store in memory");
/// The idle connections of an SQLite store.
#[cfg(feature = "sqlite")]
pub(crate) static SQLITE: Lock = Lock::new(Rank::Auxiliary, "sessions: idle connections of a database");
/// The stand-in for the map of the sessions, only under the checkers.
#[cfg(all(feature = "sessions", switchboard_model))]
pub(crate) static SESSION_MAP: Lock = Lock::new(Rank::Writer, "checkers: stand-in for the map of sessions");

/// The tasks that wait for one worker of a cleanup pipeline.
#[cfg(feature = "cleanup")]
pub(crate) static CLEANUP_QUEUE: Lock = Lock::new(Rank::Auxiliary, "cleanup: queue of a worker");
/// The events of a cleanup pipeline.
#[cfg(feature = "cleanup")]
pub(crate) static CLEANUP_EVENTS: Lock = Lock::new(Rank::Auxiliary, "cleanup: events");
/// The pause of the thread that sweeps.
#[cfg(feature = "cleanup")]
pub(crate) static CLEANUP_PAUSE: Lock = Lock::new(Rank::Auxiliary, "cleanup: pause between sweeps");
/// The resources of one connection.
#[cfg(feature = "cleanup")]
pub(crate) static CLEANUP_SLOT: Lock = Lock::new(Rank::Auxiliary, "cleanup: resources of a connection");
/// The connections that were removed last.
#[cfg(feature = "cleanup")]
pub(crate) static CLEANUP_RECENT: Lock = Lock::new(Rank::Auxiliary, "cleanup: removed connections");
/// The limits and their settings, and the buckets of one kind of source; each on its own.
#[cfg(feature = "cleanup")]
pub(crate) static CLEANUP_LIMITS: Lock = Lock::new(Rank::Auxiliary, "cleanup: limits of sources");

/// The requests to the thread of a metrics collector.
#[cfg(feature = "manager")]
pub(crate) static TICKER: Lock = Lock::new(Rank::Auxiliary, "metrics: parked collector");
/// The thread of a metrics collector, until a call joins it.
#[cfg(feature = "manager")]
pub(crate) static TICKER_THREAD: Lock = Lock::new(Rank::Auxiliary, "metrics: collector's thread");
/// The newest report.
#[cfg(feature = "manager")]
pub(crate) static METRICS: Lock = Lock::new(Rank::Metrics, "metrics: report");

/// The stand-in for the atomic pointer of a cell, only under the checkers; a leaf below [`RETIRED`].
#[cfg(switchboard_model)]
pub(crate) static TWIN: Lock = Lock::new(Rank::Auxiliary, "checkers: stand-in for the cell");

#[cfg(test)]
pub(crate) static TEST_AUXILIARY: Lock = Lock::new(Rank::Auxiliary, "test: auxiliary");
#[cfg(all(test, not(switchboard_model)))]
static TEST_METRICS: Lock = Lock::new(Rank::Metrics, "test: metrics");

#[cfg(debug_assertions)]
super::thread_local! {
    #[allow(clippy::missing_const_for_thread_local)] // The checkers' macro has no const form.
    static HELD: RefCell<Vec<&'static Lock>> = RefCell::new(Vec::new());
}

/// Evidence that the current thread is recorded as a holder; removes the record when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    #[cfg(debug_assertions)]
    lock: &'static Lock,
}

/// Adds `lock` to the record of the current thread.
///
/// # Panics
/// In debug builds, if the thread already holds a lock of the same or a higher rank.
#[cfg_attr(not(debug_assertions), allow(unused_variables))]
pub(crate) fn acquire(lock: &'static Lock) -> Held {
    #[cfg(debug_assertions)]
    {
        // A thread that is being torn down no longer has a record: then nothing is checked.
        let conflict = HELD
            .try_with(|held| {
                let mut held = held.borrow_mut();
                let conflict = held.iter().find(|other| other.rank >= lock.rank).copied();
                if conflict.is_none() {
                    held.push(lock);
                }
                conflict
            })
            .unwrap_or(None);
        if let Some(other) = conflict {
            panic!(
                "lock order inversion: `{}` ({:?}) acquired while `{}` ({:?}) is held; see sync/lock_order.rs",
                lock.name, lock.rank, other.name, other.rank
            );
        }
        Held { lock }
    }
    #[cfg(not(debug_assertions))]
    Held {}
}

#[cfg(debug_assertions)]
impl Drop for Held {
    fn drop(&mut self) {
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some(index) = held.iter().rposition(|other| std::ptr::eq(*other, self.lock)) {
                held.remove(index);
            }
        });
    }
}

#[cfg(all(test, debug_assertions, not(switchboard_model)))]
mod tests {
    use super::*;
    use crate::sync::Mutex;

    fn panics(body: impl FnOnce()) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err()
    }

    #[test]
    fn rising_ranks_are_accepted() {
        let (writer, auxiliary, metrics) =
            (Mutex::new(&RETIRED, ()), Mutex::new(&TEST_AUXILIARY, ()), Mutex::new(&TEST_METRICS, ()));
        let guards = (writer.lock(), auxiliary.lock(), metrics.lock());
        drop(guards);
        drop(metrics.lock());
        drop(writer.lock());
    }

    #[test]
    fn an_inversion_panics_and_leaves_the_record_intact() {
        let (auxiliary, metrics) = (Mutex::new(&TEST_AUXILIARY, ()), Mutex::new(&TEST_METRICS, ()));
        let held = metrics.lock();
        assert!(panics(|| drop(auxiliary.lock())));
        drop(held);
        drop(auxiliary.lock());
    }

    #[test]
    fn two_locks_of_one_rank_panic() {
        let (one, two) = (Mutex::new(&TEST_AUXILIARY, ()), Mutex::new(&TICKET, ()));
        let held = one.lock();
        assert!(panics(|| drop(two.lock())));
        drop(held);
    }

    #[test]
    fn guards_may_go_in_any_order() {
        let (auxiliary, metrics) = (Mutex::new(&TEST_AUXILIARY, ()), Mutex::new(&TEST_METRICS, ()));
        let first = auxiliary.lock();
        let second = metrics.lock();
        drop(first);
        drop(second);
        drop(auxiliary.lock());
    }
}
