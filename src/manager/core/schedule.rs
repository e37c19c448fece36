//! What is due when: ticks, retries, announcements, time-outs.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::Core;
use crate::link::{Addr, Link, NetStatus, later};
use crate::manager::command::Outcome;
use crate::manager::config::Timing;
use crate::manager::effect::Effect;

/// Links woken up per turn at most in prompt mode; the rest follow in the next turn.
const WAKE_BUDGET: usize = 1_024;

/// One timer per link at most: setting it again replaces it. O(log n) each.
#[derive(Debug)]
pub(crate) struct Timers<A> {
    due: BTreeMap<(Instant, u64), A>,
    places: HashMap<A, (Instant, u64)>,
    next: u64,
}

impl<A: Addr> Timers<A> {
    pub(crate) fn new() -> Self {
        Self { due: BTreeMap::new(), places: HashMap::new(), next: 0 }
    }

    pub(crate) fn set(&mut self, addr: &A, at: Option<Instant>) {
        if self.places.get(addr).map(|(due, _)| *due) == at {
            return;
        }
        if let Some(place) = self.places.remove(addr) {
            self.due.remove(&place);
        }
        if let Some(at) = at {
            let place = (at, self.next);
            // What may panic first, so that the two never disagree.
            let owner = addr.clone();
            self.places.insert(addr.clone(), place);
            self.next += 1;
            self.due.insert(place, owner);
        }
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the timers that are due, the oldest first, `limit` at most. If an address panics, those that
    /// were taken are lost.
    pub(super) fn take(&mut self, is_due: impl Fn(Instant) -> bool, limit: usize) -> Vec<A> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            match self.due.first_key_value() {
                // What may panic first, so that the two never disagree.
                Some(((at, _), addr)) if is_due(*at) => self.places.remove(addr),
                _ => break,
            };
            taken.extend(self.due.pop_first().map(|(_, addr)| addr));
        }
        taken
    }
}

/// The two halves of the tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Request,
    WakeUp,
}

/// The tick and its alternation.
#[derive(Debug)]
pub(crate) struct Schedule {
    next_tick: Instant,
    phase: Phase,
}

impl Schedule {
    pub(crate) fn new(now: Instant, tick: Duration) -> Self {
        Self { next_tick: later(now, tick), phase: Phase::Request }
    }
}

impl<A: Addr> Core<A> {
    /// Does everything that is due at `now`.
    pub(crate) fn advance(&mut self, now: Instant) {
        if now >= self.schedule.next_tick {
            self.tick(now);
        }
        let timing = self.config.timing;
        if timing == Timing::Prompt {
            self.wake_due(now);
            self.request(now, |net| net.request_not_before.is_none_or(|at| timing.is_past(at, now)));
        }
    }

    /// When [`advance`](Self::advance) has something to do next.
    pub(crate) fn next_deadline(&self) -> Instant {
        let tick = self.schedule.next_tick;
        if self.config.timing == Timing::Reference {
            return tick;
        }
        let rules = self.rules();
        let request = self.directory().nets().iter().filter_map(|net| rules.request_due(net)).min();
        [self.timers.first(), request].into_iter().flatten().fold(tick, Instant::min)
    }

    fn tick(&mut self, now: Instant) {
        let (tick, due) = (self.settings().tick, self.schedule.next_tick);
        // Ticks that were missed are skipped, not made up for.
        let next = due.checked_add(tick).filter(|next| *next > now);
        self.schedule.next_tick = next.unwrap_or_else(|| later(now, tick));
        if !self.directory().active {
            return;
        }
        match self.schedule.phase {
            Phase::Request => {
                self.schedule.phase = Phase::WakeUp;
                // In prompt mode each net has its own time to ask, once a tick: see `advance`.
                if self.config.timing == Timing::Reference {
                    self.request_links(now);
                }
            }
            Phase::WakeUp => {
                self.schedule.phase = Phase::Request;
                self.wake_links(now);
            }
        }
    }

    /// The request phase: every active net that is short of links asks for candidates.
    pub(super) fn request_links(&mut self, now: Instant) -> Outcome {
        self.request(now, |_| true);
        Outcome::Done
    }

    /// The wake-up phase: every link whose time has come is announced or dialled.
    pub(super) fn wake_links(&mut self, now: Instant) -> Outcome {
        self.journal_timers();
        self.wake_due(now);
        Outcome::Done
    }

    /// Looks at the links whose time has come. The reference looks at all of them in one phase.
    fn wake_due(&mut self, now: Instant) {
        let timing = self.config.timing;
        let limit = if timing == Timing::Prompt { WAKE_BUDGET } else { usize::MAX };
        for addr in self.timers.take(|due| timing.is_past(due, now), limit) {
            self.wake(&addr, now);
        }
    }

    fn request(&mut self, now: Instant, is_due: impl Fn(&NetStatus<A>) -> bool) {
        let reference = self.config.timing == Timing::Reference;
        let (directory, rules) = (self.directory(), self.rules());
        if !directory.active {
            return;
        }
        let wanted =
            |net: &&NetStatus<A>| net.is_active() && (reference || rules.shortage(net) > 0) && is_due(net);
        let ids: Vec<_> = directory.nets().iter().filter(wanted).map(NetStatus::id).collect();
        for id in ids {
            let Some(net) = self.directory().net(id) else { continue };
            let rules = self.rules();
            let (needed, counted) = (rules.shortage(net), rules.counted(net));
            let again = later(now, self.settings().tick);
            if let Some(net) = self.directory_mut().net_mut(id) {
                net.counted = counted;
                net.request_not_before = Some(again);
            }
            if needed > 0 {
                self.tally.requests += 1;
                self.effects.push(Effect::RequestLinks { net: id, needed });
            }
        }
    }

    /// Looks at one link whose timer has run out.
    fn wake(&mut self, addr: &A, now: Instant) {
        let Some(mut link) = self.checkout(addr) else { return };
        let rules = self.rules();
        if rules.time_limit(&link).is_some_and(|at| rules.is_past(at, now)) {
            self.tally.dial_timeouts += 1;
            self.dirty = true;
            self.time_out(link, now);
            return;
        }
        if rules.announce_due(&link).is_some_and(|at| rules.is_past(at, now)) {
            self.announce(&mut link, now);
        }
        let rules = self.rules();
        if rules.dial_due(&link).is_some_and(|at| rules.is_past(at, now)) {
            self.begin(link, now);
        } else {
            self.commit(link);
            self.plan(addr);
        }
    }

    /// An answer is overdue: it counts as a failure.
    fn time_out(&mut self, mut link: Link<A>, now: Instant) {
        if link.resolving.is_some() {
            self.end_resolve(link, now);
            return;
        }
        if let Some(dial) = link.dial.take() {
            self.effects.push(Effect::CancelDial { addr: link.addr.clone(), dial: dial.id });
        }
        self.lose_connection(link, true, now);
    }

    /// Sets the timer of a link anew, after something beside the link changed.
    pub(super) fn plan(&mut self, addr: &A) {
        let due = self.writer.get(addr).and_then(|link| self.rules().due(link));
        self.timers.set(addr, due);
    }
}
