//! The way of events: from the transactions, in the order of the writer, through the grace, to the delivery.

use std::hash::Hash;
use std::time::Duration;

use super::delivery::{self, Delivery};
use super::entry::{Event, Subject};
use super::grace::{Delay, Grace};
use super::moment::Moment;
use super::sequence::Sequence;
use super::sink::DeadLetter;
use super::stats::EventCounters;
use super::transitions::Change;

/// A change of a group, and the time that it waits if the group was vacated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dated<A, G> {
    pub(crate) subject: Subject<A, G>,
    pub(crate) change: Change,
    pub(crate) delay: Delay,
}

/// Dead letters are returned, for the caller to report with no lock held.
pub(crate) type DeadLetters<A, G> = Vec<DeadLetter<A, Event<G>>>;

#[derive(Debug)]
pub(crate) struct Events<A, G> {
    sequence: Sequence<Vec<Dated<A, G>>>,
    grace: Grace<Subject<A, G>>,
    pub(crate) delivery: Delivery<A, Event<G>>,
    counts: Counts,
    /// Dead letters that the sink is yet to be told of.
    letters: DeadLetters<A, G>,
    is_closed: bool,
}

/// Number of dead letters that wait for the thread that tells the sink of them. Beyond that they are only counted.
const LETTERS: usize = 4096;

/// Changes that were due for the sink.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    occupied: u64,
    vacated: u64,
}

impl<A: Hash + Eq + Clone, G: Hash + Eq + Clone> Events<A, G> {
    pub(crate) fn new(pending: usize, terms: delivery::Terms) -> Self {
        Self {
            sequence: Sequence::new(0),
            grace: Grace::new(pending),
            delivery: Delivery::new(terms),
            counts: Counts::default(),
            letters: Vec::new(),
            is_closed: false,
        }
    }

    /// Takes the changes of the transaction of that number; `None` if it was taken back.
    pub(crate) fn settle(
        &mut self,
        number: u64,
        changes: Option<Vec<Dated<A, G>>>,
        now: Moment,
    ) -> DeadLetters<A, G> {
        let mut dead = Vec::new();
        for Dated { subject, change, delay } in self.sequence.complete(number, changes).into_iter().flatten()
        {
            // Nothing fires any more.
            let delay = if self.is_closed { delay.min(Delay::After(Duration::ZERO)) } else { delay };
            if let Some((subject, change)) = self.grace.change(subject, change, delay, now) {
                dead.extend(self.pass(subject, change, now));
            }
        }
        dead
    }

    /// Keeps dead letters until [`take_letters`](Self::take_letters), or returns them if no one is going to call that.
    pub(crate) fn keep_letters(&mut self, dead: DeadLetters<A, G>) -> DeadLetters<A, G> {
        if self.is_closed {
            return dead;
        }
        let room = LETTERS.saturating_sub(self.letters.len());
        self.letters.extend(dead.into_iter().take(room));
        Vec::new()
    }

    pub(crate) fn take_letters(&mut self) -> DeadLetters<A, G> {
        std::mem::take(&mut self.letters)
    }

    /// Returns whether the grace of an event is over.
    pub(crate) fn has_fired(&self, now: Moment) -> bool {
        self.grace.next_deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Passes on up to `max` events whose grace is over.
    pub(crate) fn fire(
        &mut self,
        now: Moment,
        max: usize,
        is_vacant: impl Fn(&G) -> bool,
    ) -> DeadLetters<A, G> {
        let due = self.grace.due(now, max, |subject| is_vacant(&subject.group));
        due.into_iter().filter_map(|subject| self.pass(subject, Change::Vacated, now)).collect()
    }

    /// Ends all graces: their events are due.
    pub(crate) fn fire_all(&mut self, now: Moment) -> DeadLetters<A, G> {
        let due = self.grace.flush();
        due.into_iter().filter_map(|subject| self.pass(subject, Change::Vacated, now)).collect()
    }

    /// Copies the figures, which are behind a lock, to where they are read without it.
    pub(crate) fn publish(&self, stats: &EventCounters) {
        let (grace, delivery) = (self.grace.figures(), self.delivery.figures());
        let figures = [
            (&stats.occupied, self.counts.occupied),
            (&stats.vacated, self.counts.vacated),
            (&stats.cancelled, grace.cancelled),
            (&stats.suppressed, grace.suppressed),
            (&stats.overflowed, grace.overflowed),
            (&stats.delivered, delivery.delivered),
            (&stats.retries, delivery.retries),
            (&stats.pending, self.pending() as u64),
            (&stats.waiting, self.delivery.len() as u64),
        ];
        figures.into_iter().for_each(|(counter, figure)| counter.set(figure));
    }

    /// Passes on an event that is due.
    fn pass(
        &mut self,
        subject: Subject<A, G>,
        change: Change,
        now: Moment,
    ) -> Option<DeadLetter<A, Event<G>>> {
        match change {
            Change::Occupied => self.counts.occupied += 1,
            Change::Vacated => self.counts.vacated += 1,
        }
        let (app, event) = subject.event(change);
        self.delivery.push(app, event, now).err()
    }

    /// Drops the events whose grace has not ended. Returns their number.
    pub(crate) fn drop_pending(&mut self) -> u64 {
        self.grace.suppress_all()
    }

    /// Whether no event waits, neither for the end of its grace nor for the sink.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending() == 0 && self.delivery.len() == 0
    }

    /// Gives up all events: those whose grace has not ended, and those that wait for the sink. Later ones, too.
    pub(crate) fn close(&mut self, now: Moment) -> DeadLetters<A, G> {
        self.is_closed = true;
        let mut dead = self.delivery.close();
        dead.extend(self.fire_all(now));
        dead
    }

    /// Returns the moment at which there is something to fire or to deliver.
    pub(crate) fn next_due(&self, now: Moment) -> Option<Moment> {
        let letters = (!self.letters.is_empty()).then_some(now);
        let deadlines = [letters, self.grace.next_deadline(), self.delivery.next_due(now)];
        deadlines.into_iter().flatten().min()
    }

    /// Returns the number of events that wait for the end of their grace.
    pub(crate) fn pending(&self) -> usize {
        self.grace.len()
    }
}
