//! Events on their way to the sink: bounded, in order per app, tried again, and never lost without notice.
//!
//! Each app has a FIFO. Its first events are handed out as an [`Attempt`]; until that is finished, the app has no other
//! one, and an app in a pause holds up no other app. Every event that was accepted is delivered once or becomes a dead
//! letter once; an event that is not accepted is returned, and becomes a dead letter as well.
//!
//! ```text
//!            push            next                       finish
//!   (event) ------> waiting ------> in an attempt --+--> delivered
//!                      ^                            +--> dead letter: refused, or out of retries
//!                      +----------------------------+    retry: first in its FIFO again, after a pause
//! ```

#[cfg(all(test, not(switchboard_model)))]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use super::moment::Moment;
use super::sink::{DeadLetter, DeadReason, Outcome};

/// The limits of a delivery, and its pauses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) capacity: usize,
    /// Events of one app that can wait: at most the capacity, so that one app cannot fill it.
    pub(crate) app_capacity: usize,
    pub(crate) batch: usize,
    /// Attempts after the first one.
    pub(crate) retries: u32,
    pub(crate) backoff: Duration,
    pub(crate) backoff_max: Duration,
}

#[derive(Debug)]
pub(crate) struct Delivery<A, E> {
    apps: HashMap<A, Fifo<E>>,
    /// The apps that have an attempt to make, in the order in which they became ready.
    ready: VecDeque<A>,
    /// The apps in a pause, by its end. The number keeps apps with the same end apart.
    paused: BTreeMap<(Moment, u64), A>,
    pauses: u64,
    terms: Terms,
    is_closed: bool,
    figures: Figures,
}

/// The events of one app.
#[derive(Debug)]
struct Fifo<E> {
    waiting: VecDeque<Letter<E>>,
    /// Number of events in an attempt.
    in_flight: usize,
}

/// An event, and the number of attempts that have failed.
#[derive(Debug)]
struct Letter<E> {
    event: E,
    failures: u32,
    /// The moment at which it was due.
    at: Moment,
}

/// The events of an attempt that are to be repeated.
#[derive(Debug, Default)]
struct Retried {
    number: u64,
    /// The largest number of failures of one of them.
    failures: u32,
}

impl Retried {
    fn note(&mut self, failures: u32) {
        self.number += 1;
        self.failures = self.failures.max(failures);
    }
}

/// The first events of an app, to be passed to the sink and then to [`Delivery::finish`].
#[derive(Debug)]
#[must_use = "the events are lost unless the attempt is finished"]
pub(crate) struct Attempt<A, E> {
    pub(crate) app: A,
    pub(crate) events: Vec<E>,
    /// The number of failures of each event, and the moment at which it was due.
    notes: Vec<(u32, Moment)>,
}

/// Figures of a delivery: `accepted = delivered + dead + waiting + in_flight`. Refused events are not accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) accepted: u64,
    pub(crate) delivered: u64,
    /// Events that were accepted and became dead letters.
    pub(crate) dead: u64,
    /// Events that were not accepted.
    pub(crate) refused: u64,
    /// Attempts of single events that failed and are repeated.
    pub(crate) retries: u64,
    pub(crate) waiting: usize,
    pub(crate) in_flight: usize,
}

impl<A: Hash + Eq + Clone, E> Delivery<A, E> {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            apps: HashMap::new(),
            ready: VecDeque::new(),
            paused: BTreeMap::new(),
            pauses: 0,
            terms,
            is_closed: false,
            figures: Figures::default(),
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        self.figures
    }

    /// Returns the number of events that have neither been delivered nor become dead letters.
    pub(crate) fn len(&self) -> usize {
        self.figures.waiting + self.figures.in_flight
    }

    /// Appends an event of an app. If there is no room, it is returned as a dead letter, which the caller reports.
    pub(crate) fn push(&mut self, app: A, event: E, now: Moment) -> Result<(), DeadLetter<A, E>> {
        let of_app = self.apps.get(&app).map_or(0, Fifo::len);
        if self.is_closed {
            self.figures.refused += 1;
            return Err(DeadLetter { app, event, reason: DeadReason::Closed });
        }
        if self.len() >= self.terms.capacity || of_app >= self.terms.app_capacity {
            self.figures.refused += 1;
            return Err(DeadLetter { app, event, reason: DeadReason::Full });
        }
        if of_app == 0 {
            self.ready.push_back(app.clone());
        }
        let letter = Letter { event, failures: 0, at: now };
        self.apps.entry(app).or_insert_with(Fifo::new).waiting.push_back(letter);
        self.figures.accepted += 1;
        self.figures.waiting += 1;
        Ok(())
    }

    /// Returns the next attempt that is due. Apps take turns.
    pub(crate) fn next(&mut self, now: Moment) -> Option<Attempt<A, E>> {
        self.end_pauses(now);
        let app = self.ready.pop_front()?;
        let fifo = self.apps.get_mut(&app)?;
        let number = fifo.waiting.len().min(self.terms.batch);
        let letters = fifo.waiting.drain(..number);
        let (events, notes) = letters.map(|letter| (letter.event, (letter.failures, letter.at))).unzip();
        fifo.in_flight = number;
        self.figures.waiting -= number;
        self.figures.in_flight += number;
        Some(Attempt { app, events, notes })
    }

    /// Returns the moment at which the next attempt is due; `now` if one is due already. `None` if none is before an
    /// event is pushed or an attempt finished.
    pub(crate) fn next_due(&self, now: Moment) -> Option<Moment> {
        if !self.ready.is_empty() {
            return Some(now);
        }
        self.paused.first_key_value().map(|(&(end, _), _)| end)
    }

    /// Ends an attempt with the outcomes of its events, in order. Returns the events that are given
    /// up, and passes the time that each delivered one has waited to `delivered`.
    pub(crate) fn finish(
        &mut self,
        attempt: Attempt<A, E>,
        outcomes: &[Outcome],
        now: Moment,
        mut delivered: impl FnMut(Duration),
    ) -> Vec<DeadLetter<A, E>> {
        let Attempt { app, events, notes } = attempt;
        let number = events.len();
        let mut dead = Vec::new();
        let mut again = Vec::new();
        let mut retried = Retried::default();
        for (index, (event, (failures, at))) in events.into_iter().zip(notes).enumerate() {
            // A sink that tried nothing has failed, or else it would be asked again and again.
            let untried = if outcomes.is_empty() { Some(&Outcome::Retry) } else { None };
            let reason = match outcomes.get(index).or(untried) {
                Some(Outcome::Delivered) => {
                    delivered(now.since(at));
                    continue;
                }
                None => {
                    again.push(Letter { event, failures, at });
                    continue;
                }
                Some(Outcome::Retry) if failures < self.terms.retries => {
                    retried.note(failures + 1);
                    again.push(Letter { event, failures: failures + 1, at });
                    continue;
                }
                Some(Outcome::Retry) => DeadReason::Exhausted,
                Some(Outcome::Refused) => DeadReason::Refused,
            };
            dead.push(DeadLetter { app: app.clone(), event, reason });
        }
        self.figures.in_flight -= number;
        self.figures.waiting += again.len();
        self.figures.dead += dead.len() as u64;
        self.figures.delivered += (number - dead.len() - again.len()) as u64;
        self.figures.retries += retried.number;
        self.resume(app, again, retried.failures, now);
        dead
    }

    /// Gives up all events that wait, for a shutdown. Those in an attempt are given up when it is finished, except for
    /// those that it delivers.
    pub(crate) fn close(&mut self) -> Vec<DeadLetter<A, E>> {
        self.ready.clear();
        self.paused.clear();
        self.terms.retries = 0;
        self.is_closed = true;
        let mut dead = Vec::new();
        for (app, fifo) in &mut self.apps {
            let letters = fifo.waiting.drain(..);
            dead.extend(letters.map(|letter| DeadLetter {
                app: app.clone(),
                event: letter.event,
                reason: DeadReason::Closed,
            }));
        }
        self.apps.retain(|_, fifo| fifo.in_flight > 0);
        self.figures.dead += dead.len() as u64;
        self.figures.waiting -= dead.len();
        dead
    }

    /// Puts events back at the front of their app's FIFO. Its next attempt is due at once, or after a pause if one of
    /// them has just failed, for the time given.
    fn resume(&mut self, app: A, again: Vec<Letter<E>>, failures: u32, now: Moment) {
        let Some(fifo) = self.apps.get_mut(&app) else { return };
        fifo.in_flight = 0;
        again.into_iter().rev().for_each(|letter| fifo.waiting.push_front(letter));
        if fifo.waiting.is_empty() {
            self.apps.remove(&app);
        } else if failures == 0 {
            self.ready.push_back(app);
        } else {
            self.pauses += 1;
            self.paused.insert((now.after(self.pause(failures)), self.pauses), app);
        }
    }

    /// Returns the pause after this number of failures, which is at least 1.
    fn pause(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        self.terms.backoff.saturating_mul(factor).min(self.terms.backoff_max)
    }

    fn end_pauses(&mut self, now: Moment) {
        while let Some(first) = self.paused.first_entry().filter(|first| first.key().0 <= now) {
            self.ready.push_back(first.remove());
        }
    }
}

impl<E> Fifo<E> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), in_flight: 0 }
    }

    fn len(&self) -> usize {
        self.waiting.len() + self.in_flight
    }
}
