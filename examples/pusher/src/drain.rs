//! The planned end: no further connections, the others closed at a rate, and a report.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::hub::Hub;
use crate::outbox::End;

/// Time between two steps.
const STEP: Duration = Duration::from_millis(50);

/// The result of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Connections that were asked to end.
    pub closed: usize,
    /// Connections that are still in the table.
    pub left: usize,
    /// Webhook events that were not delivered.
    pub undelivered: usize,
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { closed, left, undelivered, took } = self;
        write!(f, "drained in {:.1} s: {closed} connections closed, ", took.as_secs_f64())?;
        write!(f, "{left} left, {undelivered} webhook events not delivered")
    }
}

/// Closes all connections with the code 4200, `drain_rate` per second, and waits until they have left the table and their
/// webhooks are delivered, but no longer than the drain may take.
pub async fn drain(hub: &Arc<Hub>, mut progress: impl FnMut(usize, usize)) -> Report {
    hub.stop();
    let started = Instant::now();
    let deadline = started + hub.settings.cleanup.drain_timeout;
    let per_step = (u64::from(hub.settings.drain_rate) * STEP.as_millis() as u64).div_ceil(1000) as usize;
    let mut ticks = interval(STEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut closed = 0;
    // One version names them all, but for those that are being opened: they are found by the next round.
    while hub.pipeline.cleanup.connections() > 0 && Instant::now() < deadline {
        let outboxes: Vec<_> =
            hub.pipeline.snapshot().iter().map(|(_, connection)| connection.outbox.clone()).collect();
        for some in outboxes.chunks(per_step.max(1)) {
            ticks.tick().await;
            closed += some.iter().filter(|outbox| outbox.end(End::Shutdown)).count();
            progress(closed, hub.pipeline.snapshot().len());
        }
        ticks.tick().await;
    }
    while hub.pipeline.cleanup.pending_events().1 > 0 && Instant::now() < deadline {
        sleep(STEP).await;
    }
    let (in_grace, to_deliver) = hub.pipeline.cleanup.pending_events();
    Report {
        closed,
        left: hub.pipeline.snapshot().len(),
        undelivered: in_grace + to_deliver,
        took: started.elapsed(),
    }
}
