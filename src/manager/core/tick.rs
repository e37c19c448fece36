//! Everything that happens on time: ticks, retries, announcements, time-outs.
//!
//! Immediate timing acts on the timer of each link and net as soon as it is due. Ticked timing acts on ticks
//! only, which alternate between asking for candidates and waking links up. Both use the same methods; they
//! differ in the rules that [`Rules`](crate::manager::model::rules::Rules) derives from the timing, and in
//! the comparison of an instant with `now`.

use std::time::Instant;

use super::staged::Core;
use super::timers::Phase;
use crate::link::NetStatus;
use crate::link::addr::Addr;
use crate::link::failure::LinkFailure;
use crate::link::record::Link;
use crate::manager::model::command::Outcome;
use crate::manager::model::config::Timing;
use crate::manager::model::effect::Effect;
use crate::util::time::later;

/// The maximum number of links woken up at a time with immediate timing. The others follow in the next turn,
/// after the commands that have arrived in between: a switch that makes a million links due does not delay
/// commands by a million dials.
const WAKE_BUDGET: usize = 1_024;

impl<A: Addr> Core<A> {
    /// Does everything that is due at `now`, up to the budget of a turn. If more is due,
    /// [`next_deadline`](Self::next_deadline) is not later than `now`, so the driver starts another turn at
    /// once.
    pub(crate) fn advance(&mut self, now: Instant) {
        if now >= self.schedule.next_tick {
            self.tick(now);
        }
        let timing = self.config.timing;
        if timing == Timing::Immediate {
            self.wake_due(now);
            if self.request_due().is_some_and(|at| timing.is_past(at, now)) {
                self.request(now, |net| net.request_not_before.is_none_or(|at| timing.is_past(at, now)));
            }
        }
    }

    /// Runs the phase of the tick that is due, and sets the next tick.
    pub(super) fn tick(&mut self, now: Instant) {
        let (tick, due) = (self.settings().tick, self.schedule.next_tick);
        // Counted from the instant at which the tick was due, so that a late turn does not shift all later
        // ones. Ticks that were missed are skipped, not made up for.
        let next = due.checked_add(tick).filter(|next| *next > now);
        self.schedule.next_tick = next.unwrap_or_else(|| later(now, tick));
        // As in the reference, a manager that is off does not alternate: it resumes with the phase that it
        // would have run.
        if !self.directory().active {
            return;
        }
        match self.schedule.phase {
            Phase::Request => {
                self.schedule.phase = Phase::WakeUp;
                // With immediate timing each net asks at its own time, at most once per tick: see `advance`.
                if self.config.timing == Timing::Ticked {
                    self.check_nets(now);
                }
            }
            Phase::WakeUp => {
                self.schedule.phase = Phase::Request;
                self.wake_links(now);
            }
        }
    }

    /// Runs the request phase: every active net that is short of links asks for candidates. A request by
    /// command is not held back by the last one.
    pub(super) fn check_nets(&mut self, now: Instant) -> Outcome {
        self.request(now, |_| true);
        Outcome::Done
    }

    /// Runs the wake-up phase: every link whose time has come is announced or dialled.
    pub(super) fn wake_links(&mut self, now: Instant) -> Outcome {
        // If an address panics in the middle of the phase, the rollback restores the timers taken so far, and
        // the ignore lists on which failures were noted.
        self.journal_timers();
        self.journal_directory();
        self.wake_due(now);
        Outcome::Done
    }

    /// Wakes up the links whose timer is due: all of them with ticked timing, as the reference does, and at
    /// most [`WAKE_BUDGET`] with immediate timing.
    fn wake_due(&mut self, now: Instant) {
        let timing = self.config.timing;
        let limit = if timing == Timing::Immediate { WAKE_BUDGET } else { usize::MAX };
        for addr in self.timers.take(|due| timing.is_past(due, now), limit) {
            self.wake(&addr, now);
        }
    }

    /// Asks for candidates for each net that is due and short of links: one effect per net, regardless of how
    /// many links are missing and how often their number has changed since the last request.
    pub(super) fn request(&mut self, now: Instant, is_due: impl Fn(&NetStatus<A>) -> bool) {
        let ticked = self.config.timing == Timing::Ticked;
        let (directory, rules) = (self.directory(), self.rules());
        if !directory.active {
            return;
        }
        // With ticked timing also the nets that have enough links: the phase takes their count all the same.
        let wanted =
            |net: &&NetStatus<A>| net.is_active() && is_due(net) && (ticked || rules.needed(net) > 0);
        let ids: Vec<_> = directory.nets().iter().filter(wanted).map(NetStatus::id).collect();
        for id in ids {
            let Some(net) = self.directory().net(id) else { continue };
            let rules = self.rules();
            let (needed, counted) = (rules.needed(net), rules.counted(net));
            let again = later(now, self.settings().tick);
            if let Some(net) = self.directory_mut().net_mut(id) {
                // With ticked timing, `needed` shows the count of the last request phase.
                net.counted = counted;
                net.request_not_before = Some(again);
            }
            if needed > 0 {
                self.tally.requests += 1;
                self.effects.push(Effect::RequestLinks { net: id, needed });
            }
        }
    }

    /// Handles one link whose timer has expired: a time-out first, then the announcement, then the dial.
    pub(super) fn wake(&mut self, addr: &A, now: Instant) {
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
            // The timer was taken: it has to be set again even if the record has not changed.
            self.commit(link);
            self.plan(addr);
        }
    }

    /// Treats an overdue answer as a failure. The reference waits without limit, so a lost report keeps the
    /// link from being dialled until the process ends.
    pub(super) fn time_out(&mut self, mut link: Link<A>, now: Instant) {
        if link.resolving.is_some() {
            self.end_resolve(link, LinkFailure::ResolveTimedOut, now);
            return;
        }
        // The dial is taken here, so a connection without a stream is not counted as a flap: no stream was
        // lost.
        if let Some(dial) = link.dial.take() {
            self.effects.push(Effect::CancelDial { addr: link.addr.clone(), dial: dial.id });
        }
        self.lose_connection(link, true, LinkFailure::DialTimedOut, now);
    }
}
