//! Traffic counters, which change too often to be part of a version.

use std::fmt;
use std::time::{Duration, Instant};

use crate::sync::StdArc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The traffic counters of a link. The code that moves the traffic updates them, from any thread.
///
/// The counters are not part of a version: an update publishes nothing, and all snapshots that contain the
/// link share the same counters. A value read is therefore **newer than the version** through which it was
/// found. The counters begin with the record: a link that is removed and created again starts at zero.
///
/// Clone the counters when a stream begins, and keep the clone: it stays valid after the link is removed.
/// Clones share the counters, and two instances are equal if they share the same counters. All methods are
/// wait-free. Each counter is exact; two counters read one after the other need not be consistent with each
/// other.
///
/// # Examples
/// ```
/// # use switchboard::{Config, Direction, LinkManager, NodeAddr, StreamId};
/// # use switchboard::clock::{Clock, ManualClock};
/// # let clock = ManualClock::new();
/// # let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build()?;
/// # let addr = NodeAddr(7);
/// driver.handle().add_stream(addr, StreamId(1), Direction::Downlink)?;
/// let _ = driver.run_once(clock.now());
/// let snapshot = driver.links().snapshot();
/// let link = snapshot.get(&addr).ok_or("no link")?;
///
/// let counters = link.counters().clone();
/// let io = std::thread::spawn(move || counters.add_sent(1500));
/// io.join().map_err(|_| "the thread panicked")?;
/// assert_eq!(link.counters().sent(), 1500);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Counters(StdArc<Cells>);

struct Cells {
    since: Instant,
    sent: AtomicU64,
    received: AtomicU64,
    /// 0 before the first measurement.
    round_trip_ns: AtomicU64,
    /// Nanoseconds from `since` to the last sign of life, plus 1; 0 before the first one.
    seen_ns: AtomicU64,
}

impl Counters {
    /// Heap memory of the counters of one record.
    pub(crate) const BYTES: usize = size_of::<Cells>() + 2 * size_of::<usize>();

    pub(crate) fn new(since: Instant) -> Self {
        let zero = || AtomicU64::new(0);
        let cells = Cells { since, sent: zero(), received: zero(), round_trip_ns: zero(), seen_ns: zero() };
        Self(StdArc::new(cells))
    }

    /// Adds to the number of bytes sent. Wraps around at 2^64.
    pub fn add_sent(&self, bytes: u64) {
        // Relaxed: a plain counter.
        self.0.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds to the number of bytes received. Wraps around at 2^64.
    pub fn add_received(&self, bytes: u64) {
        // Relaxed: a plain counter.
        self.0.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Sets the last measured round-trip time.
    pub fn set_round_trip(&self, time: Duration) {
        let ns = saturated_ns(time).max(1);
        // Relaxed: an independent value.
        self.0.round_trip_ns.store(ns, Ordering::Relaxed);
    }

    /// Notes a sign of life. One that is older than the last is ignored, and one from before the creation of
    /// the record counts as simultaneous with it.
    pub fn seen(&self, now: Instant) {
        let ns = saturated_ns(now.saturating_duration_since(self.0.since)).saturating_add(1);
        // Relaxed: an independent value.
        self.0.seen_ns.fetch_max(ns, Ordering::Relaxed);
    }

    /// The number of bytes sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        // Relaxed: a plain counter.
        self.0.sent.load(Ordering::Relaxed)
    }

    /// The number of bytes received.
    #[must_use]
    pub fn received(&self) -> u64 {
        // Relaxed: a plain counter.
        self.0.received.load(Ordering::Relaxed)
    }

    /// The last measured round-trip time, to the nanosecond; `None` before the first measurement.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        // Relaxed: an independent value.
        let ns = self.0.round_trip_ns.load(Ordering::Relaxed);
        (ns != 0).then(|| Duration::from_nanos(ns))
    }

    /// The instant of the last sign of life; `None` before the first one.
    #[must_use]
    pub fn last_seen(&self) -> Option<Instant> {
        // Relaxed: an independent value.
        let ns = self.0.seen_ns.load(Ordering::Relaxed);
        self.0.since.checked_add(Duration::from_nanos(ns.checked_sub(1)?))
    }
}

fn saturated_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl PartialEq for Counters {
    fn eq(&self, other: &Self) -> bool {
        StdArc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Counters {}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters")
            .field("sent", &self.sent())
            .field("received", &self.received())
            .field("round_trip", &self.round_trip())
            .field("last_seen", &self.last_seen())
            .finish()
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};

    #[test]
    fn counters_start_at_nothing_and_add_up() {
        let now = ManualClock::new().now();
        let counters = Counters::new(now);
        assert_eq!((counters.sent(), counters.received()), (0, 0));
        assert_eq!((counters.round_trip(), counters.last_seen()), (None, None));
        let clone = counters.clone();
        clone.add_sent(3);
        clone.add_sent(4);
        clone.add_received(5);
        clone.set_round_trip(Duration::from_nanos(77));
        assert_eq!((counters.sent(), counters.received()), (7, 5));
        assert_eq!(counters.round_trip(), Some(Duration::from_nanos(77)));
        clone.set_round_trip(Duration::ZERO);
        assert_eq!(counters.round_trip(), Some(Duration::from_nanos(1)), "zero counts as measured");
        assert_eq!(clone, counters);
        assert_ne!(Counters::new(now), counters);
    }

    #[test]
    fn the_last_sign_of_life_never_goes_back() {
        let clock = ManualClock::new();
        let early = clock.now();
        clock.advance(Duration::from_secs(1));
        let since = clock.now();
        let counters = Counters::new(since);
        counters.seen(early);
        assert_eq!(counters.last_seen(), Some(since), "not before the record");
        let late = since + Duration::from_nanos(5);
        counters.seen(late);
        counters.seen(since);
        assert_eq!(counters.last_seen(), Some(late));
    }
}
