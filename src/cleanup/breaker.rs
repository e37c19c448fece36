//! The admission breaker of a queue: while the queue refuses, it is not asked.
//!
//! A disconnect first asks the breaker, and tries the queue only with a [`Pass`]. An open breaker never refuses a
//! cleanup: the disconnect then takes the path that an overflow takes, at once.
//!
//! ```text
//!            `failures` within `window`              `open` has passed, and someone asks
//!   Closed ------------------------------> Open -----------------------------------------> HalfOpen
//!      ^                                    ^                                                |  |
//!      |                                    +--------------- a probe has failed -------------+  |
//!      +------------------------------------------------ a probe has succeeded ----------------+
//! ```
//!
//! The phase, the number of probes in flight and a time are one word, so each transition is one exchange. The time is
//! the end of the pause (Open, HalfOpen) or the moment of closing (Closed). It also numbers the periods: a pass
//! remembers the period in which it was given, and what it reports after that period is ignored.
//!
//! Failures are counted in a sliding window, and a success does not reset them: a queue that refuses every second task
//! is not in order.

#[cfg(all(test, not(switchboard_model)))]
mod tests;

use std::time::Duration;

use super::moment::Moment;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The settings of a breaker. All are at least 1, or longer than zero; checked by the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Failures within the window that open the breaker.
    pub(crate) failures: u32,
    pub(crate) window: Duration,
    /// The pause until the first probe.
    pub(crate) open: Duration,
    /// The part of the pause by which it is lengthened at random.
    pub(crate) jitter_percent: u8,
    /// Probes in flight at the same time.
    pub(crate) probes: u8,
}

/// The phase of a breaker, which stops trying a queue that refuses. In the order of their gravity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Phase {
    /// The queue is tried.
    #[default]
    Closed,
    /// Single disconnects try the queue.
    HalfOpen,
    /// The queue is not tried: disconnects take the way of an overflow.
    Open,
}

impl Phase {
    /// Returns the name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// One word: the time in microseconds in the upper 54 bits, then the probes in flight, then the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

const PROBES_SHIFT: u32 = 2;
const TIME_SHIFT: u32 = 10;
const TIME_MAX: u64 = u64::MAX >> TIME_SHIFT;

impl Word {
    fn new(phase: Phase, probes: u8, micros: u64) -> Self {
        let phase = match phase {
            Phase::Closed => 0,
            Phase::Open => 1,
            Phase::HalfOpen => 2,
        };
        Self(micros.min(TIME_MAX) << TIME_SHIFT | u64::from(probes) << PROBES_SHIFT | phase)
    }

    fn phase(self) -> Phase {
        match self.0 & 0b11 {
            0 => Phase::Closed,
            1 => Phase::Open,
            _ => Phase::HalfOpen,
        }
    }

    fn probes(self) -> u8 {
        (self.0 >> PROBES_SHIFT) as u8
    }

    fn micros(self) -> u64 {
        self.0 >> TIME_SHIFT
    }

    /// Whether this is the half-open period that begins at `micros`.
    fn is_probing(self, micros: u64) -> bool {
        self.phase() == Phase::HalfOpen && self.micros() == micros
    }
}

/// Shared by all threads that end connections. No operation waits; each is one exchange, repeated only if another
/// thread has changed the word in between.
#[derive(Debug)]
pub(crate) struct Breaker {
    word: AtomicU64,
    /// The times of the last failures, one less than are needed to open, plus one microsecond; zero if there is none.
    failures: Box<[AtomicU64]>,
    next: AtomicUsize,
    terms: Terms,
    opens: AtomicU64,
    probes: AtomicU64,
    refused: AtomicU64,
}

/// The permission to try a queue. Dropped without a report, it says nothing; a probe is then free for the next one.
#[derive(Debug)]
#[must_use = "a pass is dropped at once, and reports nothing"]
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Given while closed, since this time.
    Plain(u64),
    /// One of the probes of the half-open period of this time.
    Probe(u64),
    Reported,
}

impl Breaker {
    pub(crate) fn new(terms: Terms) -> Self {
        let ring = terms.failures.saturating_sub(1);
        Self {
            word: AtomicU64::new(Word::new(Phase::Closed, 0, 0).0),
            failures: (0..ring).map(|_| AtomicU64::new(0)).collect(),
            next: AtomicUsize::new(0),
            terms,
            opens: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Returns a pass, unless the breaker is open or all probes are in flight.
    pub(crate) fn enter(&self, now: Moment) -> Option<Pass<'_>> {
        let entered = self.change(|word| match word.phase() {
            Phase::Closed => Some(word),
            Phase::Open if now.as_micros() < word.micros() => None,
            Phase::Open => Some(Word::new(Phase::HalfOpen, 1, word.micros())),
            Phase::HalfOpen if word.probes() >= self.terms.probes => None,
            Phase::HalfOpen => Some(Word::new(Phase::HalfOpen, word.probes() + 1, word.micros())),
        });
        let Some(word) = entered else {
            // Relaxed: a statistic.
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let kind = if word.phase() == Phase::Closed { Kind::Plain(word.micros()) } else { self.probe(word) };
        Some(Pass { breaker: self, kind })
    }

    pub(crate) fn phase(&self) -> Phase {
        // Relaxed: a statistic.
        Word(self.word.load(Ordering::Relaxed)).phase()
    }

    /// Returns the number of times that the breaker was opened.
    pub(crate) fn opens(&self) -> u64 {
        // Relaxed: a statistic.
        self.opens.load(Ordering::Relaxed)
    }

    /// Returns the number of probes that were let through.
    pub(crate) fn probes(&self) -> u64 {
        // Relaxed: a statistic.
        self.probes.load(Ordering::Relaxed)
    }

    /// Returns the number of calls of [`enter`](Self::enter) that returned no pass.
    pub(crate) fn refused(&self) -> u64 {
        // Relaxed: a statistic.
        self.refused.load(Ordering::Relaxed)
    }

    fn probe(&self, word: Word) -> Kind {
        // Relaxed: a statistic.
        self.probes.fetch_add(1, Ordering::Relaxed);
        Kind::Probe(word.micros())
    }

    /// Counts a failure in the closed period since `since`, and opens the breaker if there were enough.
    fn count_failure(&self, since: u64, now: Moment, random: u64) {
        let closed = Word::new(Phase::Closed, 0, since);
        if self.is_due(since, now.as_micros()) {
            self.reopen(|word| word == closed, now, random);
        }
    }

    /// Records a failure; returns whether it is the last of enough failures within the window.
    fn is_due(&self, since: u64, micros: u64) -> bool {
        if self.failures.is_empty() {
            return true;
        }
        // Relaxed: distributes the places of the ring; what is found there is checked.
        let place = self.next.fetch_add(1, Ordering::Relaxed) % self.failures.len();
        // Relaxed: the times decide, and they are in the values.
        let first = self.failures[place].swap(micros + 1, Ordering::Relaxed);
        let Some(first) = first.checked_sub(1) else { return false };
        let window = u64::try_from(self.terms.window.as_micros()).unwrap_or(u64::MAX);
        first >= since && micros.saturating_sub(first) <= window
    }

    fn reopen(&self, applies: impl Fn(Word) -> bool, now: Moment, random: u64) {
        let pause = self.pause_micros(random);
        let opened = self.change(|word| {
            // Later than the period before, so that no pass of that one is mistaken for one of this.
            let until = now.as_micros().max(word.micros()).saturating_add(pause);
            applies(word).then(|| Word::new(Phase::Open, 0, until))
        });
        if opened.is_some() {
            // Relaxed: a statistic.
            self.opens.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn pause_micros(&self, random: u64) -> u64 {
        let open = self.terms.open.as_micros();
        let most = open * u128::from(self.terms.jitter_percent) / 100;
        let jitter = most.saturating_mul(u128::from(random)) >> u64::BITS;
        u64::try_from(open + jitter).unwrap_or(u64::MAX).max(1)
    }

    /// Replaces the word by the one that `transition` returns, which is also returned. `None` changes nothing.
    fn change(&self, transition: impl Fn(Word) -> Option<Word>) -> Option<Word> {
        // Relaxed, here and below: the word is all there is; it orders no other memory.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let next = transition(Word(word))?;
            if next.0 == word {
                return Some(next);
            }
            // Relaxed: as above. On failure, the newer word is all that is used.
            match self.word.compare_exchange(word, next.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(next),
                Err(newer) => word = newer,
            }
        }
    }
}

impl Pass<'_> {
    /// Whether this is a probe of a half-open breaker.
    pub(crate) fn is_probe(&self) -> bool {
        matches!(self.kind, Kind::Probe(_))
    }

    /// Reports that the queue took the task. The first probe that succeeds closes the breaker.
    pub(crate) fn succeed(mut self, now: Moment) {
        if let Kind::Probe(period) = self.take() {
            self.breaker.change(|word| {
                let since = now.as_micros().max(period);
                word.is_probing(period).then(|| Word::new(Phase::Closed, 0, since))
            });
        }
    }

    /// Reports that the queue was full or closed. A probe that fails opens the breaker again, for a full pause;
    /// `random` lengthens it.
    pub(crate) fn fail(mut self, now: Moment, random: u64) {
        match self.take() {
            Kind::Plain(since) => self.breaker.count_failure(since, now, random),
            Kind::Probe(period) => self.breaker.reopen(|word| word.is_probing(period), now, random),
            Kind::Reported => {}
        }
    }

    fn take(&mut self) -> Kind {
        std::mem::replace(&mut self.kind, Kind::Reported)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Kind::Probe(period) = self.take() {
            self.breaker.change(|word| {
                let rest = word.probes().saturating_sub(1);
                word.is_probing(period).then(|| Word::new(Phase::HalfOpen, rest, period))
            });
        }
    }
}
