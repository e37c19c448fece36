//! The state machine of saving: which session is saved next, and when a change is saved. No I/O, no clock, no lock.
//!
//! Every entry is *dirty*: the store is not known to have its newest change. It is in one of three states:
//!
//! * waiting: it has a place in `due`, and [`Core::begin`] takes it from there when the time has come;
//! * held: the session is being loaded, and [`Core::release`] lets it wait;
//! * in flight: one job with its newest change of that time was handed out. [`Core::end`] removes the entry if the
//!   store has that change and no newer one was noted meanwhile; otherwise it waits again.
//!
//! So there is one job per key at a time, and an entry never leaves with a change that is not stored.
//!
//! User code that runs here: `Eq` of the keys, at the beginning of an operation, when nothing has changed yet.
//! Everything that is to be dropped is returned as [`Garbage`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

use super::super::mark::Mark;
use super::backoff::Backoff;

/// A hundred years.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// One change of a session: its data, or `None` if it was deleted.
pub(super) struct Change<K, P> {
    pub(super) mark: Mark<K>,
    pub(super) number: u64,
    pub(super) payload: Option<P>,
}

/// A change that is to be stored now, by the caller, who then reports to [`Core::end`].
pub(super) struct Job<K, P> {
    pub(super) change: Change<K, P>,
    /// The mark by which the entry is known.
    mark: Mark<K>,
    id: u64,
}

/// The result of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored,
    /// The store has a newer version.
    Discarded,
    Failed,
}

/// The result of [`Core::begin`].
pub(super) enum Begin<K, P> {
    Job(Job<K, P>),
    /// Nothing is due before this time; `None` if nothing waits.
    Idle(Option<Instant>),
}

/// The result of [`Core::begin_now`].
pub(super) enum BeginNow<K, P> {
    Job(Job<K, P>),
    /// The change was stored, or replaced by a newer one that was.
    Reached,
    /// Another thread stores a change of the session.
    InFlight,
}

/// Values to be dropped without the lock.
pub(super) struct Garbage<K, P> {
    _mark: Option<Mark<K>>,
    pub(super) changes: [Option<Change<K, P>>; 2],
}

/// Numbers of events.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) saves: u64,
    pub(super) deletes: u64,
    pub(super) discarded: u64,
    pub(super) failures: u64,
    pub(super) retries: u64,
    pub(super) in_flight: usize,
}

pub(super) struct Core<K, P> {
    delay: Duration,
    backoff: Backoff,
    entries: HashTable<Entry<K, P>>,
    /// The waiting entries by the time at which they are due.
    due: BTreeMap<(Instant, u64), Mark<K>>,
    /// All entries by the time since when they are dirty.
    since: BTreeSet<(Instant, u64)>,
    next: u64,
    pub(super) counts: Counts,
}

struct Entry<K, P> {
    id: u64,
    /// That of its first change.
    mark: Mark<K>,
    newest: Change<K, P>,
    /// In flight, or held.
    is_in_flight: bool,
    /// The newest change that the store has since the entry exists.
    stored: u64,
    dirty_since: Instant,
    /// The time of the first change after the job in flight.
    newer_since: Option<Instant>,
    due: Instant,
    /// Failures in a row.
    attempts: u32,
}

impl<K: Eq, P: Clone> Core<K, P> {
    pub(super) fn new(delay: Duration, backoff: Backoff) -> Self {
        Self {
            delay,
            backoff,
            entries: HashTable::new(),
            due: BTreeMap::new(),
            since: BTreeSet::new(),
            next: 0,
            counts: Counts::default(),
        }
    }

    /// Notes a change, unless a newer one of the session was noted before.
    ///
    /// The changes of one session object may come in any order. Its deletion comes before the first change of the next
    /// object with the key. While the session is being loaded, nothing of it is saved.
    pub(super) fn note(&mut self, change: Change<K, P>, is_loading: bool, now: Instant) -> Garbage<K, P> {
        if !change.mark.is_new(change.number) {
            // The same change may be told twice.
            self.counts.discarded += u64::from(change.mark.is_older(change.number));
            return Garbage::of(None, Some(change));
        }
        let mark = change.mark.clone();
        // The only user code; the hashes are known.
        match self.entries.entry(mark.hash(), |entry| entry.mark.is(&mark), |entry| entry.mark.hash()) {
            Place::Occupied(mut place) => {
                mark.accept(change.number);
                let entry = place.get_mut();
                if change.number <= entry.newest.number {
                    self.counts.discarded += 1;
                    return Garbage::of(Some(mark), Some(change));
                }
                let old = std::mem::replace(&mut entry.newest, change);
                if entry.is_in_flight {
                    entry.newer_since.get_or_insert(now);
                }
                Garbage::of(Some(mark), Some(old))
            }
            Place::Vacant(place) => {
                mark.accept(change.number);
                let (id, due) = (self.next, after(now, self.delay));
                self.next += 1;
                if !is_loading {
                    self.due.insert((due, id), mark.clone());
                }
                self.since.insert((now, id));
                place.insert(Entry {
                    id,
                    mark,
                    newest: change,
                    is_in_flight: is_loading,
                    stored: 0,
                    dirty_since: now,
                    newer_since: None,
                    due,
                    attempts: 0,
                });
                Garbage::of(None, None)
            }
        }
    }

    /// Takes the change that is due for the longest time.
    pub(super) fn begin(&mut self, now: Instant) -> Begin<K, P> {
        match self.next_due() {
            Some(due) if due <= now => {}
            later => return Begin::Idle(later),
        }
        let Some(((_, id), mark)) = self.due.pop_first() else { return Begin::Idle(None) };
        match self.entries.find_mut(mark.hash(), |entry| entry.id == id) {
            Some(entry) => Begin::Job(entry.begin(mark, &mut self.counts)),
            None => unreachable!("a waiting entry is in the table"),
        }
    }

    /// Takes the change of this session, whether or not it is due, if the store does not have `number` yet.
    pub(super) fn begin_now(&mut self, mark: &Mark<K>, number: u64) -> BeginNow<K, P> {
        let Some(entry) = self.entries.find_mut(mark.hash(), |entry| entry.mark.is(mark)) else {
            return BeginNow::Reached;
        };
        if entry.stored >= number {
            return BeginNow::Reached;
        }
        if entry.is_in_flight {
            return BeginNow::InFlight;
        }
        match self.due.remove(&(entry.due, entry.id)) {
            Some(mark) => BeginNow::Job(entry.begin(mark, &mut self.counts)),
            None => unreachable!("an entry that is not in flight waits"),
        }
    }

    /// Ends a job. `random` spreads the retries.
    pub(super) fn end(
        &mut self,
        job: &Job<K, P>,
        outcome: Outcome,
        now: Instant,
        random: u64,
    ) -> Garbage<K, P> {
        let Ok(mut place) = self.entries.find_entry(job.mark.hash(), |entry| entry.id == job.id) else {
            unreachable!("an entry in flight is in the table");
        };
        self.counts.in_flight -= 1;
        self.counts.add(outcome, job.change.payload.is_none());
        let entry = place.get_mut();
        entry.is_in_flight = false;
        let newer_since = entry.newer_since.take();
        if outcome == Outcome::Failed {
            entry.attempts = entry.attempts.saturating_add(1);
            entry.due = after(now, self.backoff.delay(entry.attempts, random));
        } else {
            job.change.mark.set_saved(job.change.number);
            entry.stored = job.change.number;
            self.since.remove(&(entry.dirty_since, entry.id));
            if entry.newest.number == job.change.number {
                let (entry, _) = place.remove();
                return Garbage::of(Some(entry.mark), Some(entry.newest));
            }
            entry.attempts = 0;
            entry.dirty_since = newer_since.unwrap_or(now);
            entry.due = after(entry.dirty_since, self.delay);
            self.since.insert((entry.dirty_since, entry.id));
        }
        self.due.insert((entry.due, entry.id), entry.mark.clone());
        Garbage::of(None, None)
    }

    /// The session is not being loaded any more: what was noted meanwhile waits. `mark` is that of the first such change.
    pub(super) fn release(&mut self, mark: &Mark<K>) {
        if let Some(entry) = self.entries.find_mut(mark.hash(), |entry| entry.mark.is_same(mark)) {
            entry.is_in_flight = false;
            self.due.insert((entry.due, entry.id), entry.mark.clone());
        }
    }

    /// Returns the newest change of the session that the store is not known to have.
    pub(super) fn dirty(&self, mark: &Mark<K>) -> Option<Change<K, P>> {
        self.entries.find(mark.hash(), |entry| entry.mark.is(mark)).map(|entry| entry.newest.clone())
    }

    /// Returns all sessions with changes that the store is not known to have, and the numbers of these. O(n).
    pub(super) fn all_dirty(&self) -> Vec<(Mark<K>, u64)> {
        self.entries.iter().map(|entry| (entry.mark.clone(), entry.newest.number)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }

    pub(super) fn dirty_since(&self) -> Option<Instant> {
        self.since.first().map(|(since, _)| *since)
    }
}

impl<K, P: Clone> Entry<K, P> {
    fn begin(&mut self, mark: Mark<K>, counts: &mut Counts) -> Job<K, P> {
        self.is_in_flight = true;
        // What came while the entry was held is part of this job.
        self.newer_since = None;
        counts.in_flight += 1;
        counts.retries += u64::from(self.attempts > 0);
        Job { change: self.newest.clone(), mark, id: self.id }
    }
}

impl<K, P: Clone> Clone for Change<K, P> {
    fn clone(&self) -> Self {
        Self { number: self.number, payload: self.payload.clone(), mark: self.mark.clone() }
    }
}

impl Counts {
    fn add(&mut self, outcome: Outcome, is_delete: bool) {
        match outcome {
            Outcome::Stored if is_delete => self.deletes += 1,
            Outcome::Stored => self.saves += 1,
            Outcome::Discarded => self.discarded += 1,
            Outcome::Failed => self.failures += 1,
        }
    }
}

impl<K, P> Garbage<K, P> {
    fn of(mark: Option<Mark<K>>, change: Option<Change<K, P>>) -> Self {
        Self { _mark: mark, changes: [change, None] }
    }

    pub(super) fn and(self, other: Option<Change<K, P>>) -> Self {
        let [change, _] = self.changes;
        Self { _mark: self._mark, changes: [change, other] }
    }
}

/// Returns the time after `delay`. One that cannot be represented is far.
fn after(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}
