//! The figures by name, as exporters show them, in one table.

use crate::link::addr::Addr;
use crate::mailbox::Priority;
use crate::manager::model::command::kind::CommandKind;
use crate::manager::read::snapshot::LinksSnapshot;
use crate::util::histogram::Histogram;

use crate::metrics::report::{LaneReport, MetricsReport};

/// All figures of one manager in one scrape, from one snapshot.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) report: MetricsReport,
    nets: Vec<NetAnswer>,
    pub(super) queue_wait: Histogram,
    pub(super) processing: Histogram,
}

#[derive(Clone, Debug)]
struct NetAnswer {
    name: String,
    active: bool,
    min_links: u64,
    needed: u64,
    uplinks: u64,
    downlinks: u64,
}

impl Answer {
    pub(super) fn new<A: Addr>(
        snapshot: &LinksSnapshot<A>,
        report: MetricsReport,
        queue_wait: Histogram,
        processing: Histogram,
    ) -> Self {
        let nets = snapshot.nets().iter().map(|net| {
            let (uplinks, downlinks) = snapshot.members_by_direction(net.id());
            NetAnswer {
                name: net.id().0.to_string(),
                active: net.is_active(),
                min_links: u64::from(net.min_links()),
                needed: snapshot.needed(net.id()) as u64,
                uplinks: uplinks as u64,
                downlinks: downlinks as u64,
            }
        });
        Self { report, nets: nets.collect(), queue_wait, processing }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Never decreases; shown with the suffix `_total`.
    Counter,
    Gauge,
}

/// Writes one sample: its labels and its value.
type Write<'a> = &'a mut dyn FnMut(&[(&'static str, &str)], u64);

/// The samples of one name.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) shape: Shape,
    pub(super) samples: fn(&Answer, Write<'_>),
}

const fn gauge(name: &'static str, help: &'static str, samples: fn(&Answer, Write<'_>)) -> Family {
    Family { name, help, shape: Shape::Gauge, samples }
}

const fn counter(name: &'static str, help: &'static str, samples: fn(&Answer, Write<'_>)) -> Family {
    Family { name, help, shape: Shape::Counter, samples }
}

fn by_lane(answer: &Answer, write: Write<'_>, figure: fn(LaneReport) -> u64) {
    for priority in Priority::ALL {
        let name = ["critical", "high", "normal", "low"][priority as usize];
        write(&[("lane", name)], figure(answer.report.lane(priority)));
    }
}

fn by_net(answer: &Answer, write: Write<'_>, figure: fn(&NetAnswer) -> u64) {
    answer.nets.iter().for_each(|net| write(&[("net", &net.name)], figure(net)));
}

/// The families in the order in which they are shown. [`docs::metrics`](crate::docs::metrics) lists them.
pub(super) const FAMILIES: &[Family] = &[
    gauge("switchboard_version", "Version that the gauges of links and nets belong to.", |answer, write| {
        write(&[], answer.report.version().as_u64());
    }),
    gauge("switchboard_active", "Whether the manager is active.", |answer, write| {
        write(&[], u64::from(answer.report.is_manager_active()));
    }),
    gauge("switchboard_links", "Number of links, including pure downlinks.", |answer, write| {
        write(&[], answer.report.links());
    }),
    gauge("switchboard_nets", "Number of nets.", |answer, write| write(&[], answer.report.nets())),
    gauge("switchboard_net_active", "Whether the net is active.", |answer, write| {
        by_net(answer, write, |net| u64::from(net.active));
    }),
    gauge("switchboard_net_min_links", "Minimum number of links of the net.", |answer, write| {
        by_net(answer, write, |net| net.min_links);
    }),
    gauge(
        "switchboard_net_needed",
        "Number of links that the net needs to reach its minimum.",
        |answer, write| {
            by_net(answer, write, |net| net.needed);
        },
    ),
    gauge(
        "switchboard_net_members",
        "Members of the net, by direction of the primary stream.",
        |answer, write| {
            for net in &answer.nets {
                write(&[("net", &net.name), ("direction", "uplink")], net.uplinks);
                write(&[("net", &net.name), ("direction", "downlink")], net.downlinks);
            }
        },
    ),
    gauge("switchboard_lane_queued", "Commands waiting in the lane.", |answer, write| {
        by_lane(answer, write, |lane| lane.queued);
    }),
    gauge(
        "switchboard_lane_queued_peak",
        "Peak number of commands and permits in the lane.",
        |answer, write| {
            by_lane(answer, write, |lane| lane.queued_peak);
        },
    ),
    gauge("switchboard_lane_capacity", "Capacity of the lane, in rooms.", |answer, write| {
        by_lane(answer, write, |lane| lane.capacity);
    }),
    counter("switchboard_lane_processed", "Commands taken by the writer.", |answer, write| {
        by_lane(answer, write, |lane| lane.processed);
    }),
    counter("switchboard_lane_refused", "Commands refused because the lane was full.", |answer, write| {
        by_lane(answer, write, |lane| lane.refused);
    }),
    counter("switchboard_lane_shed", "Commands shed for a more important one.", |answer, write| {
        by_lane(answer, write, |lane| lane.shed);
    }),
    counter("switchboard_lane_timed_out", "Sends that timed out waiting for room.", |answer, write| {
        by_lane(answer, write, |lane| lane.timed_out);
    }),
    counter("switchboard_commands", "Commands taken by the writer, by kind.", |answer, write| {
        for kind in CommandKind::ALL {
            write(&[("kind", kind.as_str())], answer.report.operations(*kind));
        }
    }),
    counter("switchboard_command_errors", "Accepted commands that failed, by error.", |answer, write| {
        answer.report.errors().for_each(|(code, count)| write(&[("code", code)], count));
    }),
    counter(
        "switchboard_stale_answers",
        "Commands that named a stream, dial or resolution that no longer exists.",
        |answer, write| {
            write(&[], answer.report.stats().stale_answers());
        },
    ),
    counter(
        "switchboard_refused_answers",
        "Answers to effects that ended with an error.",
        |answer, write| {
            write(&[], answer.report.stats().refused_answers());
        },
    ),
    gauge("switchboard_tickets_kept", "Tickets in the pool, in use or free.", |answer, write| {
        write(&[], answer.report.tickets().kept as u64);
    }),
    counter("switchboard_tickets_reused", "Tickets created without an allocation.", |answer, write| {
        write(&[], answer.report.tickets().reused);
    }),
    counter("switchboard_tickets_allocated", "Tickets allocated.", |answer, write| {
        write(&[], answer.report.tickets().allocated);
    }),
    counter("switchboard_publishes", "Versions published.", |answer, write| {
        write(&[], answer.report.stats().publishes());
    }),
    counter("switchboard_dials", "Dials started.", |answer, write| write(&[], answer.report.stats().dials())),
    counter("switchboard_dial_timeouts", "Dials and resolutions that timed out.", |answer, write| {
        write(&[], answer.report.stats().dial_timeouts());
    }),
    counter("switchboard_established", "Dials that reached their node.", |answer, write| {
        write(&[], answer.report.stats().established());
    }),
    counter("switchboard_reconnects", "Dials that reconnected to a node.", |answer, write| {
        write(&[], answer.report.stats().reconnects());
    }),
    counter("switchboard_requests", "Requests for candidates by nets.", |answer, write| {
        write(&[], answer.report.stats().requests());
    }),
    counter("switchboard_links_created", "Links created.", |answer, write| {
        write(&[], answer.report.stats().links_created());
    }),
    counter("switchboard_links_deleted", "Links removed.", |answer, write| {
        write(&[], answer.report.stats().links_deleted());
    }),
    counter("switchboard_panics", "Panics contained by the writer.", |answer, write| {
        write(&[], answer.report.stats().panics());
    }),
    counter(
        "switchboard_transport_panics",
        "Panics of the transport that were contained.",
        |answer, write| {
            write(&[], answer.report.stats().transport_panics());
        },
    ),
    counter("switchboard_effects_coalesced", "Effects merged with a waiting effect.", |answer, write| {
        write(&[], answer.report.stats().effects_coalesced());
    }),
    counter("switchboard_unclosed_streams", "Refused streams that no effect closes.", |answer, write| {
        write(&[], answer.report.stats().unclosed_streams());
    }),
    counter(
        "switchboard_retry_faults",
        "Faults of the retry policy or the source of randomness.",
        |answer, write| {
            write(&[], answer.report.stats().retry_faults());
        },
    ),
];

/// A histogram and its name.
pub(super) struct Durations {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) of: fn(&Answer) -> &Histogram,
}

pub(super) const DURATIONS: &[Durations] = &[
    Durations {
        name: "switchboard_queue_wait_seconds",
        help: "Time from the submission of a command to the turn that takes it.",
        of: |answer| &answer.queue_wait,
    },
    Durations {
        name: "switchboard_processing_seconds",
        help: "Time from the turn that takes a command until its version is published.",
        of: |answer| &answer.processing,
    },
];

/// The upper bounds of the buckets shown, in nanoseconds; each is one below a power of two.
pub(super) const BOUNDS_NS: [u64; 12] = [
    (1 << 9) - 1,
    (1 << 11) - 1,
    (1 << 13) - 1,
    (1 << 15) - 1,
    (1 << 17) - 1,
    (1 << 19) - 1,
    (1 << 21) - 1,
    (1 << 23) - 1,
    (1 << 25) - 1,
    (1 << 27) - 1,
    (1 << 30) - 1,
    (1 << 33) - 1,
];
