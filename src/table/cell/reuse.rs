//! The reuse of headers under weak memory: a twin of the cell without a lock.
//!
//! The stand-ins of [`twin`](crate::sync::twin) leave a gap: the one that reuses headers orders all loads by
//! its lock, and the one without a lock reuses nothing. This twin does both, in safe code. Headers are slots
//! of an array, and each carries two words, stored and loaded relaxed. It follows `arc_swap` 1.9.3
//! (`HybridProtection::attempt` and `into_inner`, `Debt::pay`, `Debt::pay_all`) and `Arc` (clone, drop,
//! `get_mut`) step by step, each with the orderings of the original, and does to a header what
//! [`Publisher::publish`](super::Publisher) does. Not covered: the slow path of `arc_swap`, which readers
//! that hold many guards take.
//!
//! loom treats sequentially consistent accesses as acquiring and releasing ones. Where the argument needs
//! more, between the debt and the second read of a reader and between the swap and the writer's read of the
//! debts, there is a fence. A failed compare-exchange is written as the load that it is, which may be stale.
//!
//! Every ordering that the argument in `cell.rs` names is then weakened, one at a time, and the model must
//! fail.

#![allow(clippy::disallowed_types)] // The lock that no checker sees.

use std::collections::BTreeSet;

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use crate::sync::model::{UnseenMutex, UnseenU64, model, spawn};
use crate::sync::{Arc, StdArc};

/// With two headers, each is published again by the publish after the next.
const HEADERS: usize = 2;
/// The value of an empty debt slot.
const NONE: usize = HEADERS;

/// The orderings and checks that the argument relies on.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// Ordering of the exchange in `Debt::pay`, when a reader finds that its debt was paid.
    found_paid: Ordering,
    /// Ordering of the same exchange, when a writer finds no debt.
    found_none: Ordering,
    /// Ordering of the load of `current` that confirms a debt.
    confirm: Ordering,
    /// Ordering of the exchange that publishes a header.
    swap: Ordering,
    /// Ordering of the decrement in the drop of an `Arc`.
    decrement: Ordering,
    /// Ordering of the load of the count in `Arc::get_mut`.
    unique: Ordering,
    /// Whether a header is published again only if `Arc::get_mut` allows it.
    asks: bool,
}

const RULES: Rules = Rules {
    // Sequentially consistent in `arc_swap`, because it is the same function.
    found_paid: Ordering::Acquire,
    found_none: Ordering::SeqCst,
    // These four pair as the argument at the head of `cell.rs` says: the confirmation with the swap, and the
    // test for uniqueness with the decrement.
    confirm: Ordering::Acquire,
    swap: Ordering::AcqRel,
    decrement: Ordering::Release,
    // Pairs with `decrement`: the last read of a header happens before it is changed.
    unique: Ordering::Acquire,
    asks: true,
};

/// A violation of the promises of the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Breach {
    /// The words of one header are of two versions.
    Torn,
    /// A header changed while a reader held it.
    Changed,
    /// A load returned an older version than the one before.
    Older,
    /// A header was changed by a writer that need not have seen the end of its reads: a data race, if the
    /// contents were not atomic.
    Race,
}

type Breaches = StdArc<UnseenMutex<BTreeSet<Breach>>>;

struct Header {
    count: AtomicUsize,
    words: [AtomicU64; 2],
    /// Number of reads that have finished, relaxed: a thread that is ordered after them sees this number.
    reads: AtomicU64,
    /// The same number, hidden from the checkers: its true value.
    truth: UnseenU64,
}

struct Cell {
    headers: [Header; HEADERS],
    current: AtomicUsize,
    /// The debt of the one reader.
    debt: AtomicUsize,
    rules: Rules,
    breaches: Breaches,
}

impl Cell {
    fn new(rules: Rules, breaches: Breaches) -> Self {
        let header = |_| Header {
            // The reference of the cell, which lists each header as current or retired.
            count: AtomicUsize::new(1),
            words: [0, 0].map(AtomicU64::new),
            reads: AtomicU64::new(0),
            truth: UnseenU64::new(0),
        };
        Self {
            headers: std::array::from_fn(header),
            current: AtomicUsize::new(0),
            debt: AtomicUsize::new(NONE),
            rules,
            breaches,
        }
    }

    fn report(&self, breach: Breach) {
        self.breaches.lock().unwrap().insert(breach);
    }

    /// `Debt::pay`: returns `false` if another thread has paid, or there is no such debt.
    fn pay(&self, header: usize, failure: Ordering) -> bool {
        self.debt.load(failure) == header
            && self.debt.compare_exchange(header, NONE, Ordering::AcqRel, failure).is_ok()
    }

    /// `load_full`, by the one reader: returns a header that is counted for it.
    fn load(&self) -> usize {
        loop {
            let seen = self.current.load(Ordering::Acquire);
            // With the fence, this is the sequentially consistent swap of `arc_swap`. Pairs with the fence in
            // `pay_all`: either the writer finds the debt, or `confirm` sees the writer's header.
            self.debt.swap(seen, Ordering::AcqRel);
            fence(Ordering::SeqCst);
            let count = &self.headers[seen].count;
            if self.current.load(self.rules.confirm) == seen {
                // The reader counts itself and withdraws the debt. If the debt was paid, it has been counted
                // twice.
                count.fetch_add(1, Ordering::Relaxed);
                if !self.pay(seen, self.rules.found_paid) {
                    count.fetch_sub(1, self.rules.decrement);
                }
                return seen;
            }
            if !self.pay(seen, self.rules.found_paid) {
                // Paid, so the reader is counted. The header still carries what it carried when it was taken
                // out.
                return seen;
            }
        }
    }

    fn read(&self, header: usize) -> u64 {
        // Relaxed, both: ordered by the load of the header, or it is a breach.
        let words = [1, 0].map(|index: usize| self.headers[header].words[index].load(Ordering::Relaxed));
        if words[0] != words[1] {
            self.report(Breach::Torn);
        }
        words[0]
    }

    fn drop(&self, header: usize) {
        let header = &self.headers[header];
        // Relaxed: accesses that must come after this are ordered by the decrement, or it is a breach.
        header.reads.fetch_add(1, Ordering::Relaxed);
        header.truth.fetch_add(1, Ordering::Relaxed);
        header.count.fetch_sub(1, self.rules.decrement);
    }

    /// Runs a reader that loads `times` times.
    fn look(&self, times: usize) {
        let mut newest = 0;
        for _ in 0..times {
            let header = self.load();
            let version = self.read(header);
            if version < newest {
                self.report(Breach::Older);
            }
            newest = version;
            if self.read(header) != version {
                self.report(Breach::Changed);
            }
            self.drop(header);
        }
    }

    /// Publishes in the header that is not current; returns `false` if a reader may have it.
    fn publish(&self, version: u64) -> bool {
        // Relaxed: written by this thread only.
        let next = HEADERS - 1 - self.current.load(Ordering::Relaxed);
        let header = &self.headers[next];
        if self.rules.asks && header.count.load(self.rules.unique) != 1 {
            return false;
        }
        // Relaxed, both: a writer that is ordered after every read sees their number; `truth` is always exact.
        if header.reads.load(Ordering::Relaxed) != header.truth.load(Ordering::Relaxed) {
            self.report(Breach::Race);
        }
        for word in &header.words {
            // Relaxed: ordered by the swap.
            word.store(version, Ordering::Relaxed);
        }
        let old = self.current.swap(next, self.rules.swap);
        self.pay_all(old);
        true
    }

    fn pay_all(&self, old: usize) {
        let count = &self.headers[old].count;
        // One in advance, so that it is counted before a reader can return it.
        count.fetch_add(1, Ordering::Relaxed);
        let failure = match self.rules.found_none {
            Ordering::SeqCst => {
                // Against the fence in `load`: a debt that was made before it is found here.
                fence(Ordering::SeqCst);
                Ordering::Acquire
            }
            weaker => weaker,
        };
        if self.pay(old, failure) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        count.fetch_sub(1, Ordering::Release);
    }
}

/// Returns the breaches of one reader that loads `loads` times beside `versions` versions, in any order.
fn breaches(rules: Rules, loads: usize, versions: u64) -> Vec<Breach> {
    let breaches = Breaches::default();
    let found = breaches.clone();
    model(move || {
        let cell = Arc::new(Cell::new(rules, found.clone()));
        let [reading, writing] = [cell.clone(), cell];
        let reader = spawn(move || reading.look(loads));
        let writer = spawn(move || (1..=versions).filter(|version| writing.publish(*version)).count());
        reader.join().unwrap();
        assert!(writer.join().unwrap() > 0, "the first publish finds a header");
    });
    breaches.lock().unwrap().iter().copied().collect()
}

#[test]
fn a_reused_header_is_whole_and_never_older() {
    assert_eq!(breaches(RULES, 1, 3), []);
    assert_eq!(breaches(RULES, 2, 2), []);
}

/// Each rule is needed: without it, loom finds an order that breaks the promise.
#[cfg(switchboard_loom)]
mod weakened {
    use super::*;

    /// A second publish uses the header that the reader may have; a third takes it out again.
    #[track_caller]
    fn assert_breach(rules: Rules, versions: u64) {
        assert_ne!(breaches(rules, 1, versions), [], "{rules:?} shows no breach");
    }

    #[test]
    fn a_header_is_not_reused_without_asking() {
        assert_breach(Rules { asks: false, ..RULES }, 2);
    }

    #[test]
    fn asking_whether_a_header_is_held_acquires() {
        assert_breach(Rules { unique: Ordering::Relaxed, ..RULES }, 2);
    }

    #[test]
    fn letting_go_of_a_header_releases() {
        assert_breach(Rules { decrement: Ordering::Relaxed, ..RULES }, 2);
    }

    #[test]
    fn publishing_releases() {
        assert_breach(Rules { swap: Ordering::Acquire, ..RULES }, 1);
    }

    /// The header may have been published again since the first read.
    #[test]
    fn confirming_acquires() {
        assert_breach(Rules { confirm: Ordering::Relaxed, ..RULES }, 2);
    }

    /// The debt may have been paid for a later publication of the same header.
    #[test]
    fn finding_the_debt_paid_acquires() {
        assert_breach(Rules { found_paid: Ordering::Relaxed, ..RULES }, 3);
    }

    /// The count of a reader that has withdrawn its debt could be missed.
    #[test]
    fn finding_no_debt_acquires() {
        assert_breach(Rules { found_none: Ordering::Relaxed, ..RULES }, 2);
    }

    /// The debt of a reader that has confirmed a header just before it is taken out could be missed.
    #[test]
    fn finding_no_debt_is_sequentially_consistent() {
        assert_breach(Rules { found_none: Ordering::Acquire, ..RULES }, 2);
    }
}
