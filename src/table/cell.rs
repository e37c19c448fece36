//! `SnapshotCell`: one writer publishes versions, any number of readers load them. The only file that names
//! `arc_swap`.
//!
//! # Why the headers are type-stable
//!
//! A reader of arc-swap announces what it is about to use by writing the *address* of the `Arc` into a slot
//! (a debt) of a process-wide list. A writer that takes an `Arc` out of a cell walks that list and increments
//! the reference count of the `Arc` once for every debt on its address. A debt does not name the cell it was
//! made for. A reader of one cell can therefore be paid by the writer of another, if the address was freed
//! and allocated again in between, and then returns the other cell's object (arc-swap issue 210;
//! `tests/adversary.rs` shows it happening).
//!
//! This file follows a discipline that takes the address out of circulation:
//!
//! * **D1.** Every [`Header`] that a cell ever publishes is held by `current`, or by one of the lists in
//!   [`Retired`], from its first publication until the cell itself is dropped. The lists belong to the
//!   [`Publisher`], which keeps the cell alive, and which leaves them to the cell when it is dropped.
//! * **D2.** A header is changed only through `Arc::get_mut`, only by the writer, only while it is in
//!   [`Retired`].
//! * **D3.** A header is published again only by the cell that published it before.
//! * **D4.** Readers use `load_full` only, and never access the `Arc` other than through a counted reference.
//!
//! # The argument
//!
//! Let a reader be inside `load_full` of cell C. It holds C, so C is not dropped.
//!
//! 1. *An address that the reader took from C belongs to a header of C until `load_full` returns.* The
//!    address was in `current`, so by D1 its header is not freed before C is. Distinct live `Arc`s of a type
//!    that is not zero-sized have distinct addresses, so no other cell of the process, ours or not, can hold
//!    that address. (Relies on: D1, and on the allocator.)
//! 2. *A debt that the reader makes is paid, if at all, by the writer of C, on a header of C.*
//!    `Debt::pay_all` is called with an address that has just been taken out of a cell, by `swap` or by the
//!    drop of the cell; by 1 that cell is C. (Relies on: 1, and on arc-swap calling `pay_all` nowhere else.)
//! 3. *The header that the reader returns was current during the call.* Fast path, confirmed: the address was
//!    in `current` when it was read again. Fast path, paid: the payment followed a `swap` that took this
//!    header out after the debt was made; the version that the header carried then was current at the first
//!    read or was published after it. Slow path: either the candidate is confirmed under a generation that no
//!    writer interfered with, or it is replaced by what the writer of C loaded during the call. In every case
//!    it is a header of C by 1 and 2. (Relies on: arc-swap's own argument for one cell, which reuse of an
//!    address by *the same* cell does not break: the incremented count is that of the returned object.)
//! 4. *`get_mut` is accurate.* When `swap` has returned, each reader that will return the header from that
//!    publication has been counted: by itself, before it withdrew its debt, or by `pay_all`. A reader whose
//!    debt `pay_all` did not see made it after the swap, in the total order of the sequentially consistent
//!    operations; its second read then sees the swap, and it withdraws the debt and retries. This depends on
//!    the *failure* ordering of `Debt::pay`, which has to be sequentially consistent for headers that are
//!    published again: with a weaker ordering, `pay_all` may read a slot as it was before the debt, miss it,
//!    and leave a count of one; if it is relaxed, `pay_all` may also miss the increment by a reader that has
//!    withdrawn its debt, and a reader that finds its debt paid may read what the header carried before
//!    (`reuse.rs` shows all three). The failure ordering is sequentially consistent in `arc_swap` 1.9.3,
//!    which is why the dependency is limited to `>=1.9.3, <1.10`. A count of one therefore means that only
//!    [`Retired`] has the header, and no thread can obtain it before the next publication. The acquire load
//!    in `get_mut` reads the last decrement and thereby pairs with the release of every one before it:
//!    everything that readers did with the header happens before the writer changes it. (Relies on: D4, and
//!    on the orderings of arc-swap and of `Arc`.)
//! 5. *A stale debt on a retired header is harmless.* The reader that made it has not dereferenced anything.
//!    It confirms (the header was published again: the reader gets the new version), withdraws the debt, or
//!    has been paid for a later publication of the same header (3).
//! 6. *A reader never drops the last reference.* By D1 there is another one as long as the cell lives.
//!
//! Limits of this: a plain `ArcSwap` elsewhere in the process is as exposed as before, and could even return
//! a header of ours under its own type. Nothing that a table does can cause that.
//!
//! # The version counter
//!
//! A [`Reader`](crate::Reader) must not pay for `load_full` when nothing has changed, so the cell has a
//! counter beside the pointer. The writer stores it *after* the swap: a thread that sees the count finds that
//! version, or a newer one, in `current`. As a consequence, the pointer is briefly ahead of the counter. A
//! thread that loads during that time and tells another thread about the version must not be contradicted by
//! the other thread's `Reader`, so a thread that loads a version ahead of the counter **advances the counter
//! itself** before it returns.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::task::{Poll, Waker};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use super::tasks::Place;
use super::waiters::{WaitError, Waiters, WriterClosed};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, lock_order};
use crate::table::version::Version;

#[cfg(not(switchboard_model))]
type Current<T> = arc_swap::ArcSwap<Header<T>>;
#[cfg(switchboard_model)]
type Current<T> = crate::sync::twin::ArcCell<Header<T>>;

/// Retired versions that one publish checks for remaining holders.
///
/// Each publish retires one version, so any number above one lets the list shrink.
#[cfg(not(switchboard_model))]
const SWEEP: usize = 4;
#[cfg(switchboard_model)]
const SWEEP: usize = 2;

/// Retired versions that are checked without releasing the lock.
const SWEEP_ROUND: usize = 64;

/// Retired versions that are kept for recycling.
///
/// With one, a version can be recycled only if every reader has left it by the time the next batch begins;
/// the second one gives them one more batch.
const RECENT: usize = 2;

/// Number of consecutive batches that must find the second copy unneeded before its memory is freed.
#[cfg(not(switchboard_model))]
const SHRINK_AFTER: u32 = 64;
#[cfg(switchboard_model)]
const SHRINK_AFTER: u32 = 2;

/// A state and its version, as a cell publishes them. Never freed while its cell lives.
pub(crate) struct Header<T> {
    version: Version,
    // `None` only in a header that only the cell holds.
    state: Option<T>,
}

impl<T> Header<T> {
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    #[inline]
    pub(crate) fn state(&self) -> &T {
        match &self.state {
            Some(state) => state,
            None => unreachable!("a header that is held has a state"),
        }
    }
}

/// The headers that are not current.
///
/// Valid after a panic: no code that can panic runs between two statements that move a header.
struct Retired<T> {
    /// The versions whose states may be recycled, oldest first. Readers may hold them.
    recent: VecDeque<Arc<Header<T>>>,
    /// The versions that only wait for their last holder, in no particular order.
    held: VecDeque<Arc<Header<T>>>,
    /// Headers without a state, ready to be published. Only the cell holds them.
    spare: Vec<Arc<Header<T>>>,
    /// Number of headers of this cell, including the current one.
    headers: usize,
    /// Number of consecutive times that the newest recent version would have sufficed.
    needless: u32,
}

impl<T> Retired<T> {
    /// Creates empty lists of a cell with `headers` headers, without allocating.
    fn new(headers: usize) -> Self {
        let (recent, held, spare) = (VecDeque::new(), VecDeque::new(), Vec::new());
        Self { recent, held, spare, headers, needless: 0 }
    }

    /// Returns a header with this version and state that only the caller holds.
    fn take_spare(&mut self, version: Version, state: T) -> Arc<Header<T>> {
        while let Some(mut header) = self.spare.pop() {
            if let Some(unshared) = Arc::get_mut(&mut header) {
                *unshared = Header { version, state: Some(state) };
                return header;
            }
            // Excluded by step 4 of the argument. If that were wrong, the header would only be reused later.
            self.held.push_back(header);
        }
        self.headers += 1;
        // Ensures that no later publish has to grow a list.
        self.recent.reserve(self.headers - self.recent.len());
        self.held.reserve(self.headers - self.held.len());
        self.spare.reserve(self.headers - self.spare.len());
        Arc::new(Header { version, state: Some(state) })
    }

    /// Retires `header`. Recent versions that are older than `replayable`, or beyond the limit, are no longer
    /// kept for recycling.
    fn retire(&mut self, header: Arc<Header<T>>, replayable: Version) {
        self.recent.push_back(header);
        while self.recent.len() > RECENT
            || self.recent.front().is_some_and(|oldest| oldest.version < replayable)
        {
            self.held.extend(self.recent.pop_front());
        }
    }

    /// Empties up to `limit` retired headers that no one holds any longer; their states go to `garbage`.
    fn sweep(&mut self, limit: usize, garbage: &mut Vec<T>) {
        for _ in 0..limit.min(self.held.len()) {
            let Some(mut header) = self.held.pop_front() else { return };
            match Arc::get_mut(&mut header) {
                Some(unshared) => {
                    garbage.extend(unshared.state.take());
                    self.spare.push(header);
                }
                None => self.held.push_back(header),
            }
        }
    }

    /// Takes the oldest recent version that no one holds.
    fn recycle(&mut self) -> Option<Recycled<T>> {
        // Only counted: `take_recent` gets hold of one. No thread can obtain a header that is free here.
        let is_needless =
            self.recent.iter().filter(|header| Arc::strong_count(header) == 1).count() == RECENT;
        self.needless = if is_needless { self.needless + 1 } else { 0 };
        if self.needless >= SHRINK_AFTER {
            self.needless = 0;
            self.held.extend(self.recent.pop_front());
        }
        self.take_recent(|_| true)
    }

    /// Takes the oldest recent version that no one holds, of those that `wanted` accepts.
    fn take_recent(&mut self, wanted: impl Fn(Version) -> bool) -> Option<Recycled<T>> {
        for index in 0..self.recent.len() {
            let unshared = self.recent.get_mut(index).and_then(Arc::get_mut);
            if let Some(Header { version, state }) = unshared
                && wanted(*version)
            {
                let recycled = state.take().map(|state| (*version, state));
                self.spare.extend(self.recent.remove(index));
                return recycled.map(|(version, state)| Recycled { version, state });
            }
        }
        None
    }
}

/// A state without readers, to be changed in place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recycled<T> {
    /// The version of the state.
    pub(crate) version: Version,
    pub(crate) state: T,
}

/// The two words that readers access and every publish writes.
struct Hot<T> {
    current: Current<T>,
    /// Never ahead of `current`.
    version: AtomicU64,
}

/// A cell in which one writer publishes versions of a `T`.
///
/// Shared by the writer and all readers; the head of this file explains how it works.
pub(crate) struct SnapshotCell<T> {
    // Padded: the reference count of the `Arc` around the cell and the waiters' word change at other times.
    hot: CachePadded<Hot<T>>,
    /// What the publisher leaves: dropping the writer must not free a header while readers live (D1).
    ///
    /// Valid after a panic: it is set in one step, once, and never read.
    left: Mutex<Option<Retired<T>>>,
    waiters: Waiters,
    /// Number of subscribers. Beside the waiters, because every publish reads both, and a subscriber rarely
    /// comes or goes.
    followers: AtomicUsize,
    /// Number of readers that hold a version. Changes when one is created, dropped or released, not when it
    /// moves on to a newer version.
    // Padded: threads that release their readers before each wait change it all the time.
    readers: CachePadded<AtomicUsize>,
}

impl<T> SnapshotCell<T> {
    /// Returns the newest version. Wait-free as `arc_swap` words it; never drops a state.
    pub(crate) fn load(&self) -> Arc<Header<T>> {
        let header = self.hot.current.load_full();
        let version = header.version.as_u64();
        // Relaxed: a value that is too small costs a needless `fetch_max`; one that is large enough stays
        // large enough, by coherence, for every thread that learns of `header` from this one.
        if self.hot.version.load(Ordering::Relaxed) < version {
            // Release: pairs with the acquire load in `version`; passes on the edge from the swap, which the
            // load above acquired.
            self.hot.version.fetch_max(version, Ordering::Release);
        }
        header
    }

    /// Returns the number of the newest version: one atomic load. A later `load` returns this version or a
    /// newer one.
    #[inline]
    pub(crate) fn version(&self) -> Version {
        // Acquire: pairs with the release store in `Publisher::publish` and the release in `load`.
        Version::from_u64(self.hot.version.load(Ordering::Acquire))
    }

    /// Blocks until `version` is published, the writer is dropped, or the timeout expires.
    pub(crate) fn wait_for(&self, version: Version, timeout: Duration) -> Result<Version, WaitError> {
        self.waiters.wait(version, timeout, || self.version())
    }

    /// Returns the newest version once it is `wanted` or later, or the end of the writer; otherwise wakes
    /// `waker` when one of them happens. `place` is to be given up with [`leave`](Self::leave).
    pub(super) fn poll_reached(
        &self,
        wanted: Version,
        place: &mut Option<Place>,
        waker: &Waker,
    ) -> Poll<Result<Version, WriterClosed>> {
        self.waiters.poll(wanted, place, waker, || self.version())
    }

    /// Forgets the waker of a task that polled and does not wait any longer.
    pub(super) fn leave(&self, place: &mut Option<Place>) {
        self.waiters.leave(place);
    }

    /// Returns the number of waiting tasks, and the first version whose publish takes the lock of the waiters.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> (usize, Option<Version>) {
        self.waiters.waiting()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.waiters.is_closed()
    }

    pub(crate) fn followers(&self) -> usize {
        // Relaxed: only a count. A publish that misses the newest follower makes a version without a history,
        // which the follower detects from the version itself.
        self.followers.load(Ordering::Relaxed)
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.followers() > 0
    }

    pub(crate) fn follow(&self) {
        // Relaxed: as in `followers`.
        self.followers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unfollow(&self) {
        // Relaxed: as in `followers`.
        self.followers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the number of readers that hold a version.
    pub(crate) fn readers(&self) -> usize {
        // Relaxed: only a count, for statistics.
        self.readers.load(Ordering::Relaxed)
    }

    /// Counts a reader that begins to hold a version.
    pub(crate) fn enter(&self) {
        // Relaxed: as in `readers`.
        self.readers.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a reader that holds no version any longer.
    pub(crate) fn exit(&self) {
        // Relaxed: as in `readers`.
        self.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> fmt::Debug for SnapshotCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotCell")
            .field("version", &self.version())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The right to publish in one cell: unique, and not `Clone`.
pub(crate) struct Publisher<T> {
    cell: Arc<SnapshotCell<T>>,
    /// The newest version.
    version: Version,
    /// Left to the cell by `drop`.
    retired: Retired<T>,
    /// States that are no longer needed, until they are dropped by [`tidy`](Self::tidy).
    garbage: Vec<T>,
}

impl<T> Publisher<T> {
    /// Creates a cell whose version zero is `first`.
    pub(crate) fn new(first: T) -> Self {
        let version = Version::ZERO;
        let header = Arc::new(Header { version, state: Some(first) });
        let cell = SnapshotCell {
            hot: CachePadded::new(Hot {
                current: Current::new(header),
                version: AtomicU64::new(version.as_u64()),
            }),
            left: Mutex::new(&lock_order::RETIRED, None),
            waiters: Waiters::new(),
            followers: AtomicUsize::new(0),
            readers: CachePadded::new(AtomicUsize::new(0)),
        };
        let retired = Retired::new(1);
        Self { cell: Arc::new(cell), version, retired, garbage: Vec::with_capacity(SWEEP) }
    }

    pub(crate) fn cell(&self) -> &Arc<SnapshotCell<T>> {
        &self.cell
    }

    /// Makes `state` the newest version and stores it in `newest`, which is the caller's reference to the
    /// previous version and does not count as holding it.
    ///
    /// Retires the previous version. Versions older than `replayable` are no longer returned by
    /// [`recycle`](Self::recycle). The only user code in here are the wakers of waiting tasks, which run last
    /// and whose panics are contained; call [`tidy`](Self::tidy) afterwards.
    pub(crate) fn publish(&mut self, state: T, replayable: Version, newest: &mut Arc<Header<T>>) {
        let version = self.version.next();
        // Nothing here can panic: between the lists and `current`, a header is in no place that keeps it alive
        // (D1).
        let header = self.retired.take_spare(version, state);
        let published = header.clone();
        let old = self.cell.hot.current.swap(header);
        // Not the last reference: `old` is another one.
        *newest = published;
        // Release: pairs with the acquire load in `SnapshotCell::version`. After the swap, so that a thread
        // that sees the number finds the version.
        self.cell.hot.version.store(version.as_u64(), Ordering::Release);
        self.retired.retire(old, replayable);
        self.retired.sweep(SWEEP, &mut self.garbage);
        self.version = version;
        self.cell.waiters.notify(version);
    }

    /// Returns the state of the oldest recent version that no one holds, and the oldest version that remains.
    pub(crate) fn recycle(&mut self) -> (Option<Recycled<T>>, Option<Version>) {
        let recycled = self.retired.recycle();
        (recycled, self.oldest_recent())
    }

    fn oldest_recent(&self) -> Option<Version> {
        self.retired.recent.front().map(|oldest| oldest.version)
    }

    /// Drops the states that [`publish`](Self::publish) found to be no longer needed: user code, outside of
    /// any lock. `dismantle` takes one of them apart and returns whether it is done; if not, the rest is left
    /// for later.
    pub(crate) fn tidy(&mut self, mut dismantle: impl FnMut(&mut T) -> bool) {
        while self.garbage.last_mut().is_some_and(&mut dismantle) {
            drop(self.garbage.pop());
        }
    }

    /// Leaves a state that was never published to [`tidy`](Self::tidy), unless it is
    /// [taken back](Self::take_back).
    pub(crate) fn discard(&mut self, state: T) -> &mut T {
        self.garbage.push(state);
        let Some(discarded) = self.garbage.last_mut() else { unreachable!("it was pushed") };
        discarded
    }

    /// Returns the state that was discarded last.
    pub(crate) fn take_back(&mut self) -> Option<T> {
        self.garbage.pop()
    }

    /// Like [`recycle`](Self::recycle), among versions older than the newest: the state is to be brought up
    /// to date and returned with [`keep`](Self::keep).
    pub(crate) fn recycle_older(&mut self) -> (Option<Recycled<T>>, Option<Version>) {
        let newest = self.version;
        let recycled = self.retired.take_recent(|version| version < newest);
        (recycled, self.oldest_recent())
    }

    /// Keeps a state that is equal to the newest one for [`recycle`](Self::recycle).
    pub(crate) fn keep(&mut self, state: T) {
        let header = self.retired.take_spare(self.version, state);
        self.retired.recent.push_back(header);
    }

    /// Checks up to `limit` retired versions that are not kept for recycling, and leaves those that no one
    /// holds to [`tidy`](Self::tidy).
    pub(crate) fn sweep(&mut self, limit: usize) {
        self.garbage.reserve(limit.min(SWEEP_ROUND));
        self.retired.sweep(limit.min(SWEEP_ROUND), &mut self.garbage);
    }

    /// Returns the number of retired versions that are not kept for recycling and have not been found free.
    pub(crate) fn held_len(&self) -> usize {
        self.retired.held.len()
    }

    /// Whether older versions may be held: one that is kept for recycling is, or others have not been found
    /// free. O(1).
    pub(crate) fn has_held(&self) -> bool {
        let Retired { recent, held, .. } = &self.retired;
        !held.is_empty() || recent.iter().any(|header| Arc::strong_count(header) > 1)
    }

    /// Checks every retired version once, not only the bounded number that a publish checks. Returns the
    /// number of versions still held.
    pub(crate) fn sweep_all(&mut self) -> usize {
        self.tidy(|_| true);
        let mut left = self.retired.held.len();
        while left > 0 {
            self.sweep(left);
            left = left.saturating_sub(SWEEP_ROUND);
            self.tidy(|_| true);
        }
        self.garbage.shrink_to(SWEEP_ROUND);
        let mut held = 0;
        self.each_retired(|_, is_held| held += usize::from(is_held));
        held
    }

    /// Whether fewer than `limit` retired versions are held. If it has to check them, those that no one holds
    /// and that are not kept for recycling are left to [`tidy`](Self::tidy).
    ///
    /// A retired version that is found free stays free, so no more than `limit` are held after the next
    /// publish.
    pub(crate) fn has_fewer_held(&mut self, limit: usize) -> bool {
        let retired = &mut self.retired;
        if retired.recent.len() + retired.held.len() < limit {
            return true;
        }
        let all = retired.held.len();
        retired.sweep(all, &mut self.garbage);
        let recent =
            retired.recent.iter_mut().filter_map(|header| Arc::get_mut(header).is_none().then_some(()));
        let recent = recent.count();
        retired.held.len() + recent < limit
    }

    /// Calls `look` with every retired version, and whether it is held.
    pub(crate) fn each_retired(&self, mut look: impl FnMut(&Arc<Header<T>>, bool)) {
        for header in self.retired.recent.iter().chain(&self.retired.held) {
            // Only reported: another reference is that of a reader, which may be letting go of it.
            let is_held = Arc::strong_count(header) > 1;
            look(header, is_held);
        }
    }

    /// Iterates over the states that wait for [`tidy`](Self::tidy).
    pub(crate) fn garbage(&self) -> impl Iterator<Item = &T> {
        self.garbage.iter()
    }

    /// Calls [`publish`](Self::publish) and returns the new version, for tests.
    #[cfg(test)]
    pub(crate) fn publish_next(&mut self, state: T, replayable: Version) -> Arc<Header<T>> {
        let mut newest = self.cell.load();
        self.publish(state, replayable, &mut newest);
        newest
    }

    /// Returns the number of headers of the cell: those in use, and those that wait to be reused.
    pub(crate) fn headers(&self) -> usize {
        self.retired.headers
    }

    /// Returns the heap memory of the headers, and of the lists that have room for all of them.
    pub(crate) fn header_bytes(&self) -> usize {
        /// The two reference counts in front of the value in an `Arc`.
        const COUNTERS: usize = 2 * size_of::<usize>();
        let retired = &self.retired;
        let places = retired.recent.capacity() + retired.held.capacity() + retired.spare.capacity();
        retired.headers * (COUNTERS + size_of::<Header<T>>()) + places * size_of::<Arc<Header<T>>>()
    }
}

impl<T> Drop for Publisher<T> {
    fn drop(&mut self) {
        let retired = mem::replace(&mut self.retired, Retired::new(0));
        // The first and only time: nothing is dropped under the lock.
        *self.cell.left.lock() = Some(retired);
        self.cell.waiters.close();
    }
}

impl<T> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("cell", &self.cell).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod adversary;
#[cfg(test)]
mod models;
#[cfg(test)]
mod reuse;
#[cfg(feature = "sessions")]
pub(crate) mod slim;
#[cfg(all(test, not(switchboard_model)))]
mod tests;
