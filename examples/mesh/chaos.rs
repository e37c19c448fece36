//! The schedule of the strikes against nodes and connections.

use std::mem::discriminant;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::options::Options;
use crate::stream::Order;

/// One strike against the mesh.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Strike {
    /// A connection breaks: `Order::Reset` or `Order::Freeze`.
    Cut(Order),
    /// All connections of a node with its permanent peer break.
    Flap,
    /// A node deletes one of its links, for no reason that the peer could know.
    Forget,
    /// A node is killed, and restarted shortly after.
    Kill,
}

/// The first cut and the first kill, as fractions of the run: even a run with few strikes has both.
const FIRST_CUT: f64 = 0.15;
const FIRST_KILL: f64 = 0.3;

/// The first series of flaps, as a fraction of the run, and the interval between two series.
const FIRST_FLAPS: f64 = 0.4;
const FLAPS_PERIOD: Duration = Duration::from_secs(10);

/// Length of a series: connections that break again as soon as they are restored, and the interval between
/// two breaks.
const FLAPS: u32 = 12;
const FLAP_PAUSE: Duration = Duration::from_millis(200);

/// Pause after which a strike without a target is repeated.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);

/// The strikes of one run: a Poisson process of the given rate, and some strikes at fixed times.
pub(crate) struct Schedule {
    rng: Rng,
    rate: f64,
    next: Option<Instant>,
    owed: Vec<(Instant, Strike)>,
}

impl Schedule {
    pub(crate) fn new(options: &Options, start: Instant, rng: Rng) -> Self {
        let length = f64::from(options.seconds);
        let at = |part: f64| start + Duration::from_secs_f64(length * part);
        let mut schedule = Self { rng, rate: options.churn, next: None, owed: Vec::new() };
        if !options.is_quiet() {
            schedule.owed.push((at(FIRST_CUT), Strike::Cut(Order::Reset)));
            schedule.owed.push((at(FIRST_KILL), Strike::Kill));
            let (mut flaps, end) = (at(FIRST_FLAPS), at(1.0));
            while flaps < end {
                schedule.owed.extend((0..FLAPS).map(|nth| (flaps + nth * FLAP_PAUSE, Strike::Flap)));
                flaps += FLAPS_PERIOD;
            }
            schedule.next = schedule.after(start);
        }
        schedule
    }

    /// Returns the time of the next strike.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.owed.iter().map(|(at, _)| *at).chain(self.next).min()
    }

    /// Returns a strike that is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Strike> {
        if let Some(place) = self.owed.iter().position(|(at, _)| *at <= now) {
            return Some(self.owed.swap_remove(place).1);
        }
        let at = self.next.filter(|at| *at <= now)?;
        self.next = self.after(at);
        Some(match self.rng.u8(..20) {
            0..6 => Strike::Kill,
            6..8 => Strike::Forget,
            8..11 => Strike::Cut(Order::Freeze),
            _ => Strike::Cut(Order::Reset),
        })
    }

    /// Reschedules a strike that found no target.
    pub(crate) fn owe(&mut self, strike: Strike, now: Instant) {
        // At most one of each kind: strikes without a target do not pile up.
        let is_owed = self.owed.iter().any(|(_, owed)| discriminant(owed) == discriminant(&strike));
        if !is_owed {
            self.owed.push((now + REPEAT_PAUSE, strike));
        }
    }

    /// The times between strikes are exponentially distributed.
    fn after(&mut self, at: Instant) -> Option<Instant> {
        let seconds = -(1.0 - self.rng.f64()).ln() / self.rate;
        at.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }
}
