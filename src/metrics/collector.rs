//! A thread that collects.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use super::ticker::Ticker;
use crate::link::addr::Addr;
use crate::metrics::handle::Metrics;
use crate::metrics::report::MetricsReport;
use crate::unwind::contain;

/// A named thread that [collects](Metrics::collect) every so often and passes each report on.
///
/// Nobody needs one: whoever wants a report can collect it.
///
/// # Ending
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
    /// Starts a thread called `name` that collects every `period` and passes each report to `sink`. A period
    /// too long for the clock, as [`Duration::MAX`], is none: then it collects when it is
    /// [asked to](Self::collect_now). A period of zero collects without pause, and takes a processor for itself.
    ///
    /// Nothing is held while `sink` runs: it may use the metrics, the manager and the collector itself. A
    /// panic in it is contained, once per report; the panic hook reports it.
    ///
    /// # Errors
    /// The system refused the thread.
    pub fn start<A: Addr>(
        name: impl Into<String>,
        metrics: Metrics<A>,
        period: Duration,
        mut sink: impl FnMut(&MetricsReport) + Send + 'static,
    ) -> std::io::Result<Self> {
        let body = move || {
            let report = metrics.collect();
            // Unwind safety: what the sink leaves half done is its own.
            let _ = contain(AssertUnwindSafe(|| sink(&report)));
        };
        Ok(Self { ticker: Ticker::start(name.into(), period, body)? })
    }

    /// Has it collect at once. Requests are merged until one is heeded.
    pub fn collect_now(&self) {
        self.ticker.tick();
    }

    /// Ends the thread, within the tick that is under way. Idempotent, from any thread and at any time; of
    /// several calls at once, one waits for the thread to end, and a call from the sink does not.
    pub fn stop(&self) {
        self.ticker.stop();
    }
}
