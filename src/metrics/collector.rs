//! A thread that collects reports.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use super::ticker::Ticker;
use crate::link::addr::Addr;
use crate::metrics::handle::Metrics;
use crate::metrics::report::MetricsReport;
use crate::unwind::contain;

/// A named thread that [collects](Metrics::collect) a report periodically and passes it to a sink.
///
/// It is optional: any thread can collect a report.
///
/// # Shutdown
/// [`stop`](Self::stop) ends the thread and waits for it. Dropping the collector tells the thread to end,
/// without waiting.
///
/// # Examples
/// ```
/// use std::sync::mpsc;
/// use std::time::Duration;
/// use switchboard::{MetricsCollector, Config, Effect, Handle, LinkManager, Metrics, NodeAddr};
///
/// let manager = LinkManager::<NodeAddr>::builder(Config::default())
///     .transport(|_: Effect<NodeAddr>, _: &Handle| {})
///     .spawn()?;
/// let metrics = Metrics::new(&manager);
/// let (sender, reports) = mpsc::channel();
/// let sink = move |report: &_| _ = sender.send(*report);
/// let collector = MetricsCollector::start("metrics", metrics.clone(), Duration::from_secs(5), sink)?;
/// collector.collect_now();
/// assert_eq!(reports.recv()?.links(), 0);
/// collector.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MetricsCollector {
    ticker: Ticker,
}

impl MetricsCollector {
    /// Starts a thread named `name` that collects every `period` and passes each report to `sink`. With a
    /// period that the clock cannot represent, such as [`Duration::MAX`], it collects only when [asked
    /// to](Self::collect_now). With a period of zero it collects continuously and occupies a processor.
    ///
    /// No lock is held while `sink` runs: it may use the metrics, the manager and the collector itself. A
    /// panic in it is contained, and collecting continues with the next report; the panic hook reports it.
    ///
    /// # Errors
    /// The error of the operating system if it cannot create the thread.
    pub fn start<A: Addr>(
        name: impl Into<String>,
        metrics: Metrics<A>,
        period: Duration,
        mut sink: impl FnMut(&MetricsReport) + Send + 'static,
    ) -> std::io::Result<Self> {
        let body = move || {
            let report = metrics.collect();
            // Unwind safety: only the sink itself can observe state that it left half updated.
            let _ = contain(AssertUnwindSafe(|| sink(&report)));
        };
        Ok(Self { ticker: Ticker::start(name.into(), period, body)? })
    }

    /// Makes the thread collect immediately. Requests are merged until one is handled.
    pub fn collect_now(&self) {
        self.ticker.tick();
    }

    /// Ends the thread once the report in progress, if any, is done. Idempotent; may be called from any
    /// thread at any time. Of several concurrent calls, one waits for the thread to end; a call from the sink
    /// does not wait.
    pub fn stop(&self) {
        self.ticker.stop();
    }
}
