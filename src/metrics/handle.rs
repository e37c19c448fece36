//! The collection of a manager's figures into reports.

use std::fmt;

use crate::link::addr::{Addr, NodeAddr};
use crate::manager::link_manager::LinkManager;
use crate::manager::read::snapshot::{Links, LinksSnapshot};
use crate::manager::run::driver::Driver;
use crate::manager::run::handle::Handle;
use crate::metrics::board::Board;
use crate::metrics::figures::Answer;
use crate::metrics::report::{self, MetricsReport};
use crate::sync::StdArc;
use crate::util::histogram::Histogram;

/// The metrics of one link manager: collects reports, and provides the newest one.
///
/// Clones are cheap and share the newest report. There is no background work: a thread calls
/// [`collect`](Self::collect), or a [`MetricsCollector`](crate::MetricsCollector) is started. The metrics
/// stay usable after the manager has ended, and keep its mailbox in memory.
///
/// # Progress
/// [`report`](Self::report) never waits: neither for the writer nor for a thread that collects, even if that
/// thread stalls in the middle. It retries if three reports were published while it copied one.
/// [`collect`](Self::collect) takes no lock if nothing has changed since the newest report; otherwise it
/// blocks while another thread collects, for the time it takes to read some counters and to store the report
/// (well under a microsecond); nothing is allocated, dropped or called back meanwhile. Neither
/// allocates, and the manager's counters need no allocation either.
///
/// # Examples
/// ```
/// use switchboard::mailbox::Priority;
/// use switchboard::{CommandKind, Config, LinkManager, Metrics, NetConfig, NetId, NodeAddr};
/// use switchboard::clock::{Clock, ManualClock};
///
/// let clock = ManualClock::new();
/// let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build()?;
/// let metrics = Metrics::for_driver(&driver);
/// driver.handle().add_net(NetId(1), NetConfig::new())?;
/// assert_eq!(metrics.collect().lane(Priority::Normal).queued, 1);
///
/// driver.run_once(clock.now());
/// let report = metrics.collect();
/// assert_eq!((report.nets(), report.operations(CommandKind::AddNet)), (1, 1));
/// assert_eq!(report.version(), driver.links().version());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Metrics<A: Addr = NodeAddr> {
    pub(super) shared: StdArc<Shared<A>>,
}

pub(super) struct Shared<A: Addr> {
    pub(super) links: Links<A>,
    pub(super) handle: Handle<A>,
    pub(super) board: Board<{ report::WORDS }>,
}

impl<A: Addr> Metrics<A> {
    /// Creates the metrics of a manager, with a first report.
    #[must_use]
    pub fn new(manager: &LinkManager<A>) -> Self {
        Self::of(manager.links(), manager.handle())
    }

    /// Creates the metrics of a manager that the embedder drives, with a first report.
    #[must_use]
    pub fn for_driver(driver: &Driver<A>) -> Self {
        Self::of(driver.links(), driver.handle())
    }

    pub(super) fn of(links: Links<A>, handle: Handle<A>) -> Self {
        let metrics = Self { shared: StdArc::new(Shared { links, handle, board: Board::new() }) };
        // Needed even if nothing has happened yet: the lanes and the pool have their capacities.
        metrics.collect_from(&metrics.shared.links.snapshot());
        metrics
    }

    /// Makes and publishes a report of the newest version, if anything has changed since the newest report.
    /// Returns the report that is then the newest: this one, or that of a faster thread.
    ///
    /// O(nets) for a new version, O(1) otherwise.
    #[allow(clippy::must_use_candidate)] // The caller may only want it published.
    pub fn collect(&self) -> MetricsReport {
        self.refresh();
        self.report()
    }

    /// Brings the newest report up to date, as [`collect`](Self::collect) does, without returning it. Returns
    /// whether anything had changed.
    ///
    /// If nothing has changed, in the manager, in its mailbox or in its pool of tickets, this takes some 20
    /// atomic loads: no lock is taken and nothing is written. A command that is just being put into the
    /// mailbox may not be counted as waiting before the next change.
    #[allow(clippy::must_use_candidate)] // As above.
    pub fn refresh(&self) -> bool {
        let Shared { links, handle, board } = &*self.shared;
        let is_new = !board.is_of(|| report::mark(links.version(), handle));
        if is_new {
            let version = links.version();
            let mut report = MetricsReport::of_head(board.read_first().1);
            // For a version that was already reported, only the counters are new.
            if report.version() != version {
                report = MetricsReport::of(&links.snapshot());
            }
            self.publish(&mut report);
        }
        is_new
    }

    /// As [`collect`](Self::collect), for a version that the caller holds: for reports that are combined with
    /// other answers from it. If the newest report is of a later version, that report is returned.
    ///
    /// The snapshot must be of the same manager.
    #[allow(clippy::must_use_candidate)] // As above.
    pub fn collect_from(&self, snapshot: &LinksSnapshot<A>) -> MetricsReport {
        let mut report = MetricsReport::of(snapshot);
        if self.publish(&mut report) { report } else { self.report() }
    }

    /// Completes and publishes a report that was computed from a version. Returns false if a later one was
    /// published.
    pub(super) fn publish(&self, report: &mut MetricsReport) -> bool {
        let Shared { handle, board, .. } = &*self.shared;
        let version = report.version();
        board.publish(version.as_u64(), report.words_mut(), |words| {
            // Computed before anything is counted: a change in the meantime is left to the next report.
            let mark = report::mark(version, handle);
            report::count(words, handle);
            mark
        })
    }

    /// Returns the newest report.
    #[must_use]
    pub fn report(&self) -> MetricsReport {
        MetricsReport::from_words(self.shared.board.read())
    }

    /// Returns the time that commands waited in the mailbox, from their submission to the beginning of the
    /// turn that took them. Read now, regardless of the newest report.
    #[must_use]
    pub fn queue_wait(&self) -> Histogram {
        self.shared.handle.meters().queue_wait.read()
    }

    /// Returns the time from the beginning of the turn that took a command until the version with its change
    /// was published. Read now, regardless of the newest report.
    ///
    /// Commands that are taken together are published together, and count with the time of the whole batch.
    #[must_use]
    pub fn processing(&self) -> Histogram {
        self.shared.handle.meters().processing.read()
    }

    /// Returns the figures that an exporter shows, from one snapshot, which need not be that of the newest
    /// report.
    pub(super) fn answer(&self) -> Answer {
        let snapshot = self.shared.links.snapshot();
        let mut report = MetricsReport::of(&snapshot);
        report::count(report.words_mut(), &self.shared.handle);
        Answer::new(&snapshot, report, self.queue_wait(), self.processing())
    }

    /// Returns the read side of the manager.
    #[must_use]
    pub fn links(&self) -> Links<A> {
        self.shared.links.clone()
    }
}

impl<A: Addr> Clone for Metrics<A> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<A: Addr> fmt::Debug for Metrics<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("report", &self.report()).finish_non_exhaustive()
    }
}
