//! A reader that keeps the newest report.

use std::fmt;

use crate::link::addr::{Addr, NodeAddr};
use crate::metrics::handle::Metrics;
use crate::metrics::report::MetricsReport;

/// A handle of one thread that keeps the newest report of a [`Metrics`].
///
/// It is the fastest way to read for a thread that reads often while reports are rare: only a new report is
/// copied.
///
/// # Progress
/// Wait-free while no report is published: one atomic load, and no write to shared memory. After a new
/// report, as [`Metrics::report`]. Allocates nothing.
///
/// # Examples
/// ```
/// use switchboard::{Config, LinkManager, Metrics, NodeAddr};
///
/// let driver = LinkManager::<NodeAddr>::builder(Config::default()).build()?;
/// let metrics = Metrics::for_driver(&driver);
/// let mut reader = metrics.reader();
/// assert_eq!(reader.report(), &metrics.report());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reader<A: Addr = NodeAddr> {
    metrics: Metrics<A>,
    number: u64,
    report: MetricsReport,
}

impl<A: Addr> Reader<A> {
    pub(super) fn new(metrics: Metrics<A>) -> Self {
        let (number, words) = metrics.shared.board.read_first();
        Self { metrics, number, report: MetricsReport::from_words(words) }
    }

    /// Returns the newest report. Neither its version nor a counter ever decreases.
    pub fn report(&mut self) -> &MetricsReport {
        if self.metrics.shared.board.number() != self.number {
            let (number, words) = self.metrics.shared.board.read_first();
            (self.number, self.report) = (number, MetricsReport::from_words(words));
        }
        &self.report
    }
}

impl<A: Addr> Clone for Reader<A> {
    /// Returns another reader of the same metrics, for another thread.
    fn clone(&self) -> Self {
        Self { metrics: self.metrics.clone(), number: self.number, report: self.report }
    }
}

impl<A: Addr> fmt::Debug for Reader<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("report", &self.report).finish_non_exhaustive()
    }
}

impl<A: Addr> Metrics<A> {
    /// Creates a reader for one thread. It keeps the newest report, and checks for a newer one with one
    /// atomic load.
    #[must_use]
    pub fn reader(&self) -> Reader<A> {
        Reader::new(self.clone())
    }
}
