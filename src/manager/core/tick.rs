//! Everything that happens on time: ticks, retries, announcements, time-outs.
//!
//! Immediate timing acts on the timer of each link and net as soon as it is due. Ticked timing acts on ticks
//! only, which alternate between asking for candidates and waking links up. Both go through the same rules
//! and the same methods; only the question "is it time?" differs.

use std::time::Instant;

use super::staged::Core;
use super::timers::Phase;
use crate::link::NetStatus;
use crate::link::addr::Addr;
use crate::link::record::Link;
use crate::manager::model::command::Outcome;
use crate::manager::model::config::Timing;
use crate::manager::model::effect::Effect;
use crate::util::time::later;

/// Links woken up per turn at most with immediate timing; the rest follow in the next turn, after the
/// commands that have arrived in between. A switch that makes a million links due does not delay commands by
/// a million dials.
const WAKE_BUDGET: usize = 1_024;

impl<A: Addr> Core<A> {
    /// Does everything that is due at `now`.
    pub(crate) fn advance(&mut self, now: Instant) {
        if now >= self.schedule.next_tick {
            self.tick(now);
        }
        let timing = self.config.timing;
        if timing == Timing::Immediate {
            self.wake_due(now);
            self.request(now, |net| net.request_not_before.is_none_or(|at| timing.is_past(at, now)));
        }
    }

    /// Runs the phase of the tick that is due.
    pub(super) fn tick(&mut self, now: Instant) {
        let (tick, due) = (self.settings().tick, self.schedule.next_tick);
        // Ticks that were missed are skipped, not made up for.
        let next = due.checked_add(tick).filter(|next| *next > now);
        self.schedule.next_tick = next.unwrap_or_else(|| later(now, tick));
        // As in the reference, a manager that is off does not alternate: it resumes with the phase it would
        // have run.
        if !self.directory().active {
            return;
        }
        match self.schedule.phase {
            Phase::Request => {
                self.schedule.phase = Phase::WakeUp;
                // In prompt mode each net has its own time to ask, once a tick: see `advance`.
                if self.config.timing == Timing::Ticked {
                    self.request_links(now);
                }
            }
            Phase::WakeUp => {
                self.schedule.phase = Phase::Request;
                self.wake_links(now);
            }
        }
    }

    /// Runs the request phase: every active net that is short of links asks for candidates.
    pub(super) fn request_links(&mut self, now: Instant) -> Outcome {
        self.request(now, |_| true);
        Outcome::Done
    }

    /// Runs the wake-up phase: every link whose time has come is announced or dialled.
    pub(super) fn wake_links(&mut self, now: Instant) -> Outcome {
        self.journal_timers();
        self.wake_due(now);
        Outcome::Done
    }

    /// Looks at the links whose time has come. The reference looks at all of them in one phase.
    fn wake_due(&mut self, now: Instant) {
        let timing = self.config.timing;
        let limit = if timing == Timing::Immediate { WAKE_BUDGET } else { usize::MAX };
        for addr in self.timers.take(|due| timing.is_past(due, now), limit) {
            self.wake(&addr, now);
        }
    }

    /// Asks for candidates for each net that is due and short of links: at most once per tick and net,
    /// however often the number changes in between.
    pub(super) fn request(&mut self, now: Instant, is_due: impl Fn(&NetStatus<A>) -> bool) {
        let reference = self.config.timing == Timing::Ticked;
        let (directory, rules) = (self.directory(), self.rules());
        if !directory.active {
            return;
        }
        let wanted =
            |net: &&NetStatus<A>| net.is_active() && (reference || rules.needed(net) > 0) && is_due(net);
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

    /// Looks at one link whose timer has run out: a time-out first, then the announcement, then the dial.
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
            // The timer was taken: if nothing was due after all, it has to be planned again.
            self.commit(link);
            self.plan(addr);
        }
    }

    /// Counts an answer that is overdue as a failure. The reference waits without limit; a lost report would
    /// then keep the link from being dialled until the process ends.
    pub(super) fn time_out(&mut self, mut link: Link<A>, now: Instant) {
        if link.resolving.is_some() {
            self.end_resolve(link, now);
            return;
        }
        if let Some(dial) = link.dial.take() {
            self.effects.push(Effect::CancelDial { addr: link.addr.clone(), dial: dial.id });
        }
        self.lose_connection(link, true, now);
    }
}
