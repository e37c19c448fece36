//! The planned end: no further connections, the others closed at a rate, and a report.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use switchboard::cleanup::{DrainProgress, DrainReport};
use tokio::time::{Instant, sleep};

use crate::connection::FAREWELL;
use crate::hub::Hub;

/// Time between two looks at what is left.
const PAUSE: Duration = Duration::from_millis(10);

/// The result of a drain.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    cleanup: DrainReport,
    /// Sockets that were cut because their client did not answer the end.
    cut: usize,
    /// Connections that are still in the pipeline.
    left: usize,
}

impl Report {
    /// Whether all connections are closed. Webhooks that a receiver did not take are counted and logged, and no failure
    /// of this server.
    pub fn is_complete(&self) -> bool {
        self.left == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DrainReport { closed, failed, delivered, dead_letters, elapsed, .. } = self.cleanup;
        write!(
            f,
            "drained in {:.1} s: {closed} connections closed, {} left, ",
            elapsed.as_secs_f64(),
            self.left
        )?;
        write!(f, "{failed} failed, {} cut, {delivered} webhook events delivered, ", self.cut)?;
        write!(f, "{dead_letters} given up")
    }
}

/// Closes all connections with the code 4200, at the rate of the settings, and waits until they have left the table, their
/// webhooks are delivered and their clients were told, but not much longer than closing them takes at this rate.
pub async fn drain(hub: &Arc<Hub>, on_progress: impl FnMut(&DrainProgress) + Send + 'static) -> Report {
    hub.stop();
    let cleanup = &hub.pipeline.cleanup;
    let time = time(cleanup.connections(), hub.settings.drain_rate, hub.settings.cleanup.drain_timeout);
    let drain = cleanup.drain().rate(NonZeroU32::new(hub.settings.drain_rate)).deadline(time);
    let cleanup = drain.on_progress(on_progress).run_async(sleep).await;
    // The tasks still say goodbye to their clients.
    let deadline = Instant::now() + FAREWELL + FAREWELL;
    while hub.tasks.get() > 0 && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
    Report { cleanup, cut: hub.tasks.get(), left: hub.pipeline.cleanup.connections() }
}

/// Returns the time of a drain: what the rate takes for so many connections, and `more` for everything else.
fn time(connections: usize, rate: u32, more: Duration) -> Duration {
    let closing = (connections as u64).div_ceil(u64::from(rate.max(1)));
    more.saturating_add(Duration::from_secs(closing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{App, Settings};

    #[test]
    fn a_full_server_has_the_time_that_its_rate_takes() {
        let settings = Settings::new(vec![App::for_trials()]);
        let more = settings.cleanup.drain_timeout;
        let all = time(settings.connections as usize, settings.drain_rate, more);
        assert_eq!(all, more + Duration::from_secs(10));
        assert_eq!(time(0, 100, more), more);
        assert_eq!(time(101, 100, more), more + Duration::from_secs(2));
    }
}
