//! The end of a connection: one exchange, and a task for a worker.

use std::panic::AssertUnwindSafe;

use super::{Cleanup, Shared};
use crate::claim::CloseRefused;
use crate::cleanup::breaker::Pass;
use crate::cleanup::config::Overflow;
use crate::cleanup::entry::{Entry, Resources};
use crate::cleanup::fair::Queued;
use crate::cleanup::gate::GatePermit;
use crate::cleanup::moment::Moment;
use crate::cleanup::queue::{Admission, Refused, admit};
use crate::cleanup::route::Route;
use crate::cleanup::slots::{Cause, ConnectionId, End, Source};
use crate::sync::StdArc;
use crate::sync::atomic::Ordering;
use crate::unwind::contain;

/// The result of closing a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Closed {
    /// A worker will clean it.
    Queued,
    /// The caller has handed its removal to the writer.
    RanInline,
    /// A sweep will clean it.
    Deferred,
    /// It was closed before, and is not cleaned yet.
    AlreadyClosing,
    /// It is not open, and was perhaps never opened.
    NotFound,
    /// Nothing has changed: the queue is full.
    Full,
    /// Nothing has changed: there are no workers.
    NoWorkers,
    /// Nothing has changed: the breaker is open.
    BreakerOpen,
}

impl Closed {
    /// Returns whether the connection was not open.
    #[must_use]
    pub fn is_lost(self) -> bool {
        matches!(self, Self::AlreadyClosing | Self::NotFound)
    }

    /// Returns whether nothing has changed, because no queue took the connection.
    #[must_use]
    pub fn is_refused(self) -> bool {
        matches!(self, Self::Full | Self::NoWorkers | Self::BreakerOpen)
    }
}

impl<V: Entry, R: Resources> Cleanup<V, R> {
    /// Closes a connection. Of any number of calls, one takes effect; it releases what must not
    /// wait, and leaves the rest to a worker, or takes the way of the [overflow
    /// policy](crate::cleanup::Config::overflow). Never waits.
    #[allow(clippy::must_use_candidate)] // The connection is closed, whatever the result.
    pub fn close(&self, id: ConnectionId, cause: Cause) -> Closed {
        Shared::close(&self.shared, id, cause, self.shared.config.overflow)
    }

    /// As [`close`](Self::close), but if no queue takes the connection, nothing changes: it stays open.
    #[must_use = "the connection may still be open"]
    pub fn try_close(&self, id: ConnectionId, cause: Cause) -> Closed {
        Shared::close(&self.shared, id, cause, Overflow::Reject)
    }
}

impl<V: Entry, R: Resources> Shared<V, R> {
    /// Closes a connection with the configured way of an overflow.
    pub(in crate::cleanup) fn close_by_policy(
        shared: &StdArc<Self>,
        id: ConnectionId,
        cause: Cause,
    ) -> Closed {
        Self::close(shared, id, cause, shared.config.overflow)
    }

    pub(super) fn close(shared: &StdArc<Self>, id: ConnectionId, cause: Cause, overflow: Overflow) -> Closed {
        let source = match shared.slots.source(id) {
            Ok(source) => source,
            Err(lost) => return shared.count_lost(id, lost),
        };
        let now = shared.now();
        let (room, pass) = shared.ask(source.app, now);
        let mut permit: Option<GatePermit> = None;
        let admission = admit(room.map(|_| ()), overflow, || {
            permit = shared.gate.enter();
            permit.is_some()
        });
        if let Admission::Reject(reason) = admission {
            return shared.count_rejected(reason);
        }
        if let Err(lost) = shared.slots.close(id) {
            if let Ok(room) = room {
                shared.sender.workers()[room.worker].unreserve();
            }
            return shared.count_lost(id, lost);
        }
        if let Some(pass) = pass {
            pass.succeed(now);
        }
        shared.end(id, End { cause, at: now, is_parked: admission == Admission::Defer });
        match (admission, room, permit) {
            (Admission::Queue, Ok(room), _) => {
                shared.push(room, id, source, End { cause, at: now, is_parked: false })
            }
            (Admission::Inline, _, Some(permit)) => Self::clean_inline(shared, id, permit),
            _ => Closed::Deferred,
        }
    }

    /// Counts a connection that this thread has closed, and releases what must not wait.
    pub(super) fn end(&self, id: ConnectionId, end: End) {
        self.counters.submitted();
        if end.is_parked {
            self.counters.parked();
        }
        self.slots.end(id, end, |resources| {
            // Unwind safety: the resources are the user's, and are only dropped after that.
            let _ = contain(AssertUnwindSafe(|| resources.closed(end.cause)));
        });
    }

    /// Asks the breaker of a queue, and then the queue for room.
    fn ask(&self, app: u64, now: Moment) -> (Result<Route, Refused>, Option<Pass<'_>>) {
        if !self.config.async_enabled {
            return (Err(Refused::Closed), None);
        }
        let room = self.sender.route(app);
        let Some(pass) = self.breakers[room.worker].enter(now) else { return (Err(Refused::Breaker), None) };
        match self.sender.workers()[room.worker].reserve(app) {
            Ok(()) => (Ok(room), Some(pass)),
            // It says nothing about the queue, which may have room for others.
            Err(Refused::Share) => (Err(Refused::Share), None),
            Err(refused) => {
                pass.fail(now, self.random());
                (Err(refused), None)
            }
        }
    }

    fn push(&self, room: Route, id: ConnectionId, source: Source, end: End) -> Closed {
        let lane = self.lane(source, end);
        let task = Queued { task: id, app: source.app, lane, at: end.at, cost: source.cost };
        self.counters.rerouted.add(u64::from(room.is_rerouted));
        let crossing = self.sender.workers()[room.worker].push(task);
        self.cross(room.worker, crossing);
        Closed::Queued
    }

    fn clean_inline(shared: &StdArc<Self>, id: ConnectionId, permit: GatePermit) -> Closed {
        let Some(cleaning) = shared.begin(id) else { return Closed::RanInline };
        match shared.writer.try_reserve() {
            Ok(room) => {
                shared.counters.ran_inline.add(1);
                Self::send_inline(shared, cleaning, room, permit);
                Closed::RanInline
            }
            Err(_) => {
                shared.park(cleaning);
                Closed::Deferred
            }
        }
    }

    fn count_lost(&self, id: ConnectionId, lost: CloseRefused) -> Closed {
        if lost == CloseRefused::Already {
            self.counters.already_closing.add(1);
            Closed::AlreadyClosing
        } else if self.slots.was_removed(id) {
            self.counters.stale.add(1);
            Closed::NotFound
        } else {
            self.counters.not_found.add(1);
            Closed::NotFound
        }
    }

    fn count_rejected(&self, reason: Refused) -> Closed {
        let (counter, result) = match reason {
            Refused::Full | Refused::Share => (&self.counters.rejected_full, Closed::Full),
            Refused::Closed => (&self.counters.rejected_closed, Closed::NoWorkers),
            Refused::Breaker => (&self.counters.rejected_breaker, Closed::BreakerOpen),
        };
        counter.add(1);
        result
    }

    /// SplitMix64, as in `Random`, for any number of threads.
    pub(super) fn random(&self) -> u64 {
        // Relaxed: each call draws its own number.
        let state = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
