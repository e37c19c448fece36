//! Where the newest report is: many threads publish, one at a time, and any number read without waiting.
//!
//! A report is a fixed number of words. There are several copies of them: report number `n` is written into
//! copy `n % COPIES` while readers read the copies of the reports before, and then becomes the newest.
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
//! of them, then P1 synchronizes with R3, and R4 sees that. So what passes R4 is report `n` and nothing else.
//! A publisher that stands still between P1 and P3 makes nobody look again: `newest` does not move.
//!
//! With a report goes its *mark*, a number that stands for everything that the report was made of. Who finds that
//! the mark of the present is that of the newest report need not make another one.
//!
//! Not the cell of the table: that would take another lock under the report's, to keep its retired headers.

use crossbeam_utils::CachePadded;

use crate::sync::atomic::{AtomicU64, Ordering, fence};
use crate::sync::{Mutex, lock_order};

#[cfg(not(switchboard_model))]
const COPIES: usize = 4;
#[cfg(switchboard_model)]
const COPIES: usize = 2;

/// The newest report of `W` words. All zero, as version 0, until there is one.
pub(super) struct Board<const W: usize> {
    newest: CachePadded<AtomicU64>,
    /// The mark of the newest report, or of the one before.
    mark: CachePadded<AtomicU64>,
    copies: [CachePadded<[AtomicU64; W]>; COPIES],
    /// The lock of the report: who holds it publishes. Valid after a panic: it changes by one assignment,
    /// and what a publisher left in a copy is overwritten before that copy becomes the newest.
    last: Mutex<Last>,
}

/// What was published last.
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

    /// Publishes `words` as the report of `version`, after `complete` has added what must not be older than
    /// in the report before, and returned the mark: of what there was before it read anything. False, and
    /// nothing is published, when a later version was.
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
        // Release: pairs with the fence in `read`; the head comment says what for.
        fence(Ordering::Release);
        for (place, word) in self.copy(number).iter().zip(words.iter()) {
            // Relaxed: ordered by the fence before and the store below.
            place.store(*word, Ordering::Relaxed);
        }
        // Release: pairs with the acquire load in `read`.
        self.newest.store(number, Ordering::Release);
        // Release: pairs with the acquire load in `is_of`. After the store above, so that whoever sees the mark
        // finds the report.
        self.mark.store(mark, Ordering::Release);
        *last = Last { number, version };
        true
    }

    /// Whether the newest report, or the one before, has the mark that `now` computes. A thread that reads after
    /// that finds it or a later one.
    ///
    /// Means nothing before the first report.
    pub(super) fn is_of(&self, now: impl FnOnce() -> u64) -> bool {
        // Acquire: pairs with the release store of the mark in `publish`. Before the mark of the present: each
        // counter in it is read as it was for that report or later, so that equal sums are sums of equals.
        let mark = self.mark.load(Ordering::Acquire);
        mark == now()
    }

    /// The newest report. Lock-free; waits for nobody: see the head of this file.
    pub(super) fn read(&self) -> [u64; W] {
        self.read_first().1
    }

    /// The number of the newest report: one atomic load. Whoever has read the report of this number, with
    /// [`read_first`](Self::read_first), has the newest one.
    pub(super) fn number(&self) -> u64 {
        // Acquire: pairs with the release store in `publish`, so that what this thread reads next is no older.
        self.newest.load(Ordering::Acquire)
    }

    /// The number of the newest report, zero if there is none yet, and its first words.
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
