//! The store of the newest report: many threads publish, one at a time, and any number of threads read
//! without waiting.
//!
//! A report is a fixed number of words. There are several copies of them: report number `n` is written into
//! copy `n % COPIES` while readers read the copies of the previous reports, and then becomes the newest.
//!
//! ```text
//! publisher (holds the lock)             reader
//! P1  fence(Release)                     R1  n = newest (Acquire)
//! P2  store the words of copy k          R2  load the words of copy n
//! P3  newest = k (Release)               R3  fence(Acquire)
//!                                        R4  newest - n < COPIES - 1, or again
//! ```
//!
//! R1 reads from P3 of report `n`, so R2 reads its words or later ones. Later ones are those of report `n +
//! COPIES`, whose P2 comes after the report before it, `n + COPIES - 1`, became the newest. If R2 reads any
//! of them, then P1 synchronizes with R3, and R4 detects it. A copy that passes R4 is therefore exactly
//! report `n`. A publisher that stalls between P1 and P3 makes no reader retry: `newest` does not change.
//!
//! Each report has a *mark*, a number that stands for everything that the report was computed from. If the
//! current mark equals that of the newest report, no new report is needed.
//!
//! This is not the cell of the table: the cell would take another lock under the report's, to keep its
//! retired headers.

use crossbeam_utils::CachePadded;

use crate::sync::atomic::{AtomicU64, Ordering, fence};
use crate::sync::{Mutex, lock_order};

#[cfg(not(switchboard_model))]
const COPIES: usize = 4;
#[cfg(switchboard_model)]
const COPIES: usize = 2;

/// The newest report of `W` words. Before the first report, all words are zero, and the version is 0.
pub(super) struct Board<const W: usize> {
    newest: CachePadded<AtomicU64>,
    /// The mark of the newest report, or of the previous one.
    mark: CachePadded<AtomicU64>,
    copies: [CachePadded<[AtomicU64; W]>; COPIES],
    /// The lock of the report, held to publish. Valid after a panic: it changes by one assignment, and
    /// whatever a publisher left in a copy is overwritten before that copy becomes the newest.
    last: Mutex<Last>,
}

/// The number and the version of the last published report.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    number: u64,
    version: u64,
}

impl<const W: usize> Board<W> {
    pub(super) fn new() -> Self {
        let copy = || CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Self {
            newest: CachePadded::new(AtomicU64::new(0)),
            mark: CachePadded::new(AtomicU64::new(0)),
            copies: std::array::from_fn(|_| copy()),
            last: Mutex::new(&lock_order::METRICS, Last::default()),
        }
    }

    /// Publishes `words` as the report of `version`, after calling `complete`, which adds the figures that
    /// must not be older than in the previous report and returns the mark, computed before it reads anything.
    /// Returns false, and publishes nothing, if a report of a later version was published.
    ///
    /// `complete` runs under the lock: it may read counters.
    pub(super) fn publish(
        &self,
        version: u64,
        words: &mut [u64; W],
        complete: impl FnOnce(&mut [u64; W]) -> u64,
    ) -> bool {
        let mut last = self.last.lock();
        if version < last.version {
            return false;
        }
        let mark = complete(words);
        let number = last.number + 1;
        // Release: pairs with the fence in `read_first`; the head comment explains why.
        fence(Ordering::Release);
        for (place, word) in self.copy(number).iter().zip(words.iter()) {
            // Relaxed: ordered by the fence before and the store below.
            place.store(*word, Ordering::Relaxed);
        }
        // Release: pairs with the acquire loads in `read_first` and `number`.
        self.newest.store(number, Ordering::Release);
        // Release: pairs with the acquire load in `is_of`. After the store above, so a thread that sees the
        // mark finds the report.
        self.mark.store(mark, Ordering::Release);
        *last = Last { number, version };
        true
    }

    /// Returns whether the newest report, or the previous one, has the mark that `now` computes. A thread
    /// that reads after that finds that report or a later one.
    ///
    /// The result is meaningless before the first report.
    pub(super) fn is_of(&self, now: impl FnOnce() -> u64) -> bool {
        // Acquire: pairs with the release store of the mark in `publish`. Loaded before the current mark is
        // computed: each counter in that mark is read as it was for the report or later, so equal sums have
        // equal terms.
        let mark = self.mark.load(Ordering::Acquire);
        mark == now()
    }

    /// Returns the newest report. Lock-free; waits for no other thread: see the head of this file.
    pub(super) fn read(&self) -> [u64; W] {
        self.read_first().1
    }

    /// Returns the number of the newest report with one atomic load. A thread that has read the report of
    /// this number, with [`read_first`](Self::read_first), has the newest one.
    pub(super) fn number(&self) -> u64 {
        // Acquire: pairs with the release store in `publish`, so later reads of this thread are no older.
        self.newest.load(Ordering::Acquire)
    }

    /// Returns the number of the newest report, zero if there is none yet, and its first words.
    pub(super) fn read_first<const N: usize>(&self) -> (u64, [u64; N]) {
        const { assert!(N <= W, "a report has that many words") };
        loop {
            // Acquire: pairs with the release store in `publish`.
            let number = self.newest.load(Ordering::Acquire);
            let copy = self.copy(number);
            // Relaxed: ordered by the load before and the fence below.
            let words = std::array::from_fn(|index| copy[index].load(Ordering::Relaxed));
            // Acquire: pairs with the fence in `publish`.
            fence(Ordering::Acquire);
            // Relaxed: ordered by the fence.
            if self.newest.load(Ordering::Relaxed).wrapping_sub(number) < COPIES as u64 - 1 {
                return (number, words);
            }
        }
    }

    fn copy(&self, number: u64) -> &[AtomicU64; W] {
        &self.copies[(number % COPIES as u64) as usize]
    }
}
