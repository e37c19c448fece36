//! The figures of a report and their sources.
//!
//! A report is an array of words, so it can be published as a whole: see `board`. The first words are
//! computed from a snapshot and belong to its version; the others are read from the counters.

use std::fmt;
use std::time::Duration;

use crate::link::addr::Addr;
use crate::mailbox::Priority;
use crate::manager::Stats;
use crate::manager::model::command::CommandError;
use crate::manager::model::command::kind::CommandKind;
use crate::manager::read::snapshot::LinksSnapshot;
use crate::manager::run::handle::Handle;
use crate::table::version::Version;
use crate::ticket::PoolStats;

const VERSION: usize = 0;
const ACTIVE: usize = 1;
const LINKS: usize = 2;
const NETS: usize = 3;
const NETS_ACTIVE: usize = 4;
const UPLINKS: usize = 5;
const DOWNLINKS: usize = 6;
const STATS: usize = 7;
/// Number of words from the snapshot. The others follow.
const HEAD: usize = STATS + Stats::WORDS;
const LANES: usize = HEAD;
const LANE_WORDS: usize = 7;
const QUEUE_WAIT: usize = LANES + LANE_WORDS * Priority::ALL.len();
const PROCESSING: usize = QUEUE_WAIT + LATENCY_WORDS;
const LATENCY_WORDS: usize = 3;
const TICKETS: usize = PROCESSING + LATENCY_WORDS;
const KINDS: usize = TICKETS + 4;
const ERRORS: usize = KINDS + CommandKind::COUNT;
pub(super) const WORDS: usize = ERRORS + CommandError::CODES.len();

type Words = [u64; WORDS];

/// The state and the activity of a link manager at one moment; made by [`Metrics`](crate::Metrics).
///
/// A plain value (about 0.8 KB) that does not change.
///
/// * The figures of links, nets and members, and [`stats`](Self::stats), belong to one
///   [version](Self::version) and equal those of any snapshot of that version.
/// * The figures of lanes, waiting times, tickets, operations and errors were counted up to the moment of the
///   report, each on its own. Of two reports of a manager, in the order in which they were published, the
///   later one has no smaller version and no smaller counter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MetricsReport {
    words: Words,
}

/// The figures of one lane of the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneReport {
    /// Number of commands that the writer has taken.
    pub processed: u64,
    /// Number of commands waiting now.
    pub queued: u64,
    /// The most rooms that were ever taken at once.
    pub queued_peak: u64,
    /// Number of rooms of the lane.
    pub capacity: u64,
    /// Number of commands that were refused because the lane was full.
    pub refused: u64,
    /// Number of commands that were shed for a more important one.
    pub shed: u64,
    /// Number of sends that timed out waiting for room.
    pub timed_out: u64,
}

/// The total of one kind of measured duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// Number of measurements.
    pub count: u64,
    /// Sum of the durations.
    pub sum: Duration,
    /// The longest duration.
    pub max: Duration,
}

impl Latency {
    /// Returns the mean; zero if nothing was measured.
    #[must_use]
    pub fn mean(&self) -> Duration {
        match u32::try_from(self.count) {
            Ok(count) => self.sum.checked_div(count).unwrap_or(Duration::ZERO),
            Err(_) => self.sum.div_f64(self.count as f64),
        }
    }
}

impl MetricsReport {
    /// Computes the part that belongs to a version. O(nets).
    pub(super) fn of<A: Addr>(snapshot: &LinksSnapshot<A>) -> Self {
        let mut words = [0; WORDS];
        words[VERSION] = snapshot.version().as_u64();
        words[ACTIVE] = u64::from(snapshot.is_manager_active());
        words[LINKS] = snapshot.len() as u64;
        words[NETS] = snapshot.nets().len() as u64;
        for net in snapshot.nets() {
            let (uplinks, downlinks) = snapshot.members_by_direction(net.id());
            words[NETS_ACTIVE] += u64::from(net.is_active());
            words[UPLINKS] += uplinks as u64;
            words[DOWNLINKS] += downlinks as u64;
        }
        words[STATS..HEAD].copy_from_slice(&snapshot.stats().to_words());
        Self { words }
    }

    /// Takes the same part from an earlier report of that version.
    pub(super) fn of_head(head: [u64; HEAD]) -> Self {
        let mut words = [0; WORDS];
        words[..HEAD].copy_from_slice(&head);
        Self { words }
    }

    pub(super) fn from_words(words: Words) -> Self {
        Self { words }
    }

    pub(super) fn words_mut(&mut self) -> &mut Words {
        &mut self.words
    }

    /// Returns the version that the figures of links and nets belong to.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::from_u64(self.words[VERSION])
    }

    /// Returns whether the manager is active.
    #[must_use]
    pub fn is_manager_active(&self) -> bool {
        self.words[ACTIVE] != 0
    }

    /// Returns the number of links of all kinds.
    #[must_use]
    pub fn links(&self) -> u64 {
        self.words[LINKS]
    }

    /// Returns the number of nets.
    #[must_use]
    pub fn nets(&self) -> u64 {
        self.words[NETS]
    }

    /// Returns the number of active nets.
    #[must_use]
    pub fn nets_active(&self) -> u64 {
        self.words[NETS_ACTIVE]
    }

    /// Returns the number of memberships whose primary stream this node opened, over all nets.
    #[must_use]
    pub fn uplinks(&self) -> u64 {
        self.words[UPLINKS]
    }

    /// Returns the number of memberships whose primary stream the peer opened, over all nets.
    #[must_use]
    pub fn downlinks(&self) -> u64 {
        self.words[DOWNLINKS]
    }

    /// Returns the counters of the manager up to the version.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::from_words(std::array::from_fn(|index| self.words[STATS + index]))
    }

    /// Returns the figures of one lane of the mailbox.
    #[must_use]
    pub fn lane(&self, lane: Priority) -> LaneReport {
        let word = |index| self.words[LANES + LANE_WORDS * lane as usize + index];
        LaneReport {
            processed: word(0),
            queued: word(1),
            queued_peak: word(2),
            capacity: word(3),
            refused: word(4),
            shed: word(5),
            timed_out: word(6),
        }
    }

    /// Returns the number of commands that the writer has taken, from all lanes.
    #[must_use]
    pub fn processed(&self) -> u64 {
        Priority::ALL.into_iter().map(|lane| self.lane(lane).processed).sum()
    }

    /// Returns the time from the submission of a command to the beginning of the turn that takes it.
    #[must_use]
    pub fn queue_wait(&self) -> Latency {
        self.latency(QUEUE_WAIT)
    }

    /// Returns the time from the beginning of that turn until the version with the change is published.
    #[must_use]
    pub fn processing(&self) -> Latency {
        self.latency(PROCESSING)
    }

    /// Returns the statistics of the ticket pool.
    #[must_use]
    pub fn tickets(&self) -> PoolStats {
        let word = |index| self.words[TICKETS + index];
        PoolStats {
            reused: word(0),
            allocated: word(1),
            kept: usize::try_from(word(2)).unwrap_or(usize::MAX),
            capacity: usize::try_from(word(3)).unwrap_or(usize::MAX),
        }
    }

    /// Returns the number of commands of one kind that the writer has taken.
    #[must_use]
    pub fn operations(&self, kind: CommandKind) -> u64 {
        self.words[KINDS + kind.index()]
    }

    /// Returns the number of accepted commands that ended with each error, by its [code](CommandError::code).
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CommandError::CODES.iter().copied().zip(self.words[ERRORS..].iter().copied())
    }

    /// Returns the number of accepted commands that ended with the error of this [code](CommandError::code);
    /// 0 for an unknown one.
    #[must_use]
    pub fn error_count(&self, code: &str) -> u64 {
        self.errors().find(|(other, _)| *other == code).map_or(0, |(_, count)| count)
    }

    fn latency(&self, at: usize) -> Latency {
        Latency {
            count: self.words[at],
            sum: Duration::from_nanos(self.words[at + 1]),
            max: Duration::from_nanos(self.words[at + 2]),
        }
    }
}

/// Returns a number that stands for a version and everything that [`count`] reads: a sum of counters that
/// never decrease, at least one of which increases with every change, with one exception: a measurement of
/// the memory that waits in its lane shows only with the next change.
pub(super) fn mark<A: Addr>(version: Version, handle: &Handle<A>) -> u64 {
    version.as_u64().wrapping_add(handle.activity())
}

/// Reads the counters into the other words. Allocates nothing, calls no user code, takes no lock.
pub(super) fn count<A: Addr>(words: &mut Words, handle: &Handle<A>) {
    let (meters, lanes, tickets) = (handle.meters(), handle.mailbox_stats(), handle.ticket_stats());
    let mut shed = 0;
    for priority in Priority::ALL {
        let lane = lanes.lane(priority);
        shed += lane.shed;
        let figures: [u64; LANE_WORDS] = [
            meters.processed(priority),
            lane.len as u64,
            lane.rooms_peak as u64,
            lane.capacity as u64,
            lane.refused,
            lane.shed,
            lane.timed_out,
        ];
        let at = LANES + LANE_WORDS * priority as usize;
        words[at..at + LANE_WORDS].copy_from_slice(&figures);
    }
    for (at, recorder) in [(QUEUE_WAIT, &meters.queue_wait), (PROCESSING, &meters.processing)] {
        words[at..at + LATENCY_WORDS].copy_from_slice(&[
            recorder.count(),
            recorder.sum_ns(),
            recorder.max_ns(),
        ]);
    }
    let pool = [tickets.reused, tickets.allocated, tickets.kept as u64, tickets.capacity as u64];
    words[TICKETS..KINDS].copy_from_slice(&pool);
    for kind in CommandKind::ALL {
        words[KINDS + kind.index()] = meters.operations(*kind);
    }
    words[ERRORS..].copy_from_slice(&meters.errors());
    // These commands are ended by the sender of the more important command, not by the writer.
    words[ERRORS + CommandError::Shed.code_index()] = shed;
}

impl fmt::Debug for MetricsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsReport")
            .field("version", &self.version())
            .field("links", &self.links())
            .field("nets", &self.nets())
            .field("processed", &self.processed())
            .field("queue_wait", &self.queue_wait())
            .field("processing", &self.processing())
            .finish_non_exhaustive()
    }
}
