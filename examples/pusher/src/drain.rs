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
}

impl Report {
    pub fn is_complete(&self) -> bool {
        self.cleanup.is_complete
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DrainReport { closed, deferred, failed, lost, delivered, dead_letters, elapsed, .. } =
            self.cleanup;
        write!(
            f,
            "drained in {:.1} s: {closed} connections closed, {} left, ",
            elapsed.as_secs_f64(),
            deferred + lost
        )?;
        write!(f, "{failed} failed, {} cut, {delivered} webhook events delivered, ", self.cut)?;
        write!(f, "{dead_letters} given up")
    }
}

/// Closes all connections with the code 4200, at the rate of the settings, and waits until they have left the table, their
/// webhooks are delivered and their clients were told, but no longer than a drain may take.
pub async fn drain(hub: &Arc<Hub>, on_progress: impl FnMut(&DrainProgress) + Send + 'static) -> Report {
    hub.stop();
    let drain = hub.pipeline.cleanup.drain().rate(NonZeroU32::new(hub.settings.drain_rate));
    let cleanup = drain.on_progress(on_progress).run_async(sleep).await;
    // The tasks still say goodbye to their clients.
    let deadline = Instant::now() + FAREWELL + FAREWELL;
    while hub.tasks.get() > 0 && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
    Report { cleanup, cut: hub.tasks.get() }
}
