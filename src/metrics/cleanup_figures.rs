//! The figures of cleanup pipelines, as the page shows them.

use std::fmt;

use super::numbers::{Figure, counter, gauge, write_figures};
use crate::cleanup::{BreakerPhase, Histogram, Stats, WorkerStats};

/// The figures of one pipeline at one moment.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) stats: Stats,
    pub(super) workers: Vec<WorkerStats>,
    pub(super) pressure: f64,
}

/// A number of each worker.
struct WorkerFigure {
    name: &'static str,
    help: &'static str,
    of: fn(&WorkerStats) -> f64,
}

/// A histogram, and the unit of its numbers.
struct Buckets {
    name: &'static str,
    help: &'static str,
    unit: f64,
    of: fn(&Stats) -> &Histogram,
}

macro_rules! figures {
    ($($shape:ident $name:literal $help:literal $field:ident;)*) => {
        &[$($shape(concat!("switchboard_cleanup_", $name), $help, |pipeline| {
            pipeline.stats.$field as f64
        }),)*]
    };
}

const FIGURES: &[Figure<Pipeline, f64>] = figures! {
    gauge "open" "Connections that are open." open;
    gauge "queued" "Connections in a queue, or being removed." queued;
    gauge "deferred" "Connections that a sweep will remove." deferred;
    gauge "events_pending" "Events whose grace has not ended." events_pending;
    gauge "events_waiting" "Events that wait for the sink." events_waiting;
    counter "opened" "Connections opened." opened;
    counter "submitted" "Connections closed." submitted;
    counter "done" "Connections removed." done;
    counter "failed" "Connections whose removal panicked." failed;
    counter "ran_inline" "Connections removed by their callers." ran_inline;
    counter "already_closing" "Further reports of the end of a connection." already_closing;
    counter "not_found" "Reports about unknown connections." not_found;
    counter "rejected_full" "Submissions refused by a full queue." rejected_full;
    counter "rejected_closed" "Submissions refused because there was no worker." rejected_closed;
    counter "rejected_breaker" "Submissions refused by the breaker." rejected_breaker;
    counter "rerouted" "Submissions to another worker than that of their app." rerouted;
    counter "batches" "Batches published." batches;
    counter "sweeps" "Sweeps." sweeps;
    counter "swept" "Connections found by sweeps." swept;
    counter "worker_restarts" "Panics of threads." worker_restarts;
    counter "events_occupied" "Groups that were occupied, due for the sink." events_occupied;
    counter "events_vacated" "Groups that were vacated, due for the sink." events_vacated;
    counter "events_cancelled" "Events cancelled by a return." events_cancelled;
    counter "events_suppressed" "Events suppressed." events_suppressed;
    counter "events_overflowed" "Events without a grace for lack of room." events_overflowed;
    counter "events_delivered" "Events the sink has taken." events_delivered;
    counter "event_retries" "Attempts of events that were repeated." event_retries;
    counter "dead_letters" "Events that were not delivered." dead_letters;
    counter "sink_panics" "Calls of the sink that panicked." sink_panics;
    counter "breaker_opens" "Number of times the breaker was opened." breaker_opens;
    counter "breaker_probes" "Disconnects that probed a queue." breaker_probes;
    counter "breaker_refused" "Disconnects kept from trying a queue." breaker_refused;
};

const OTHERS: &[Figure<Pipeline, f64>] = &[
    gauge("switchboard_cleanup_pressure", "Pressure, from 0 to 1.", |pipeline| pipeline.pressure),
    gauge(
        "switchboard_cleanup_breaker_open",
        "State of the breaker: 0 closed, 0.5 half-open, 1 open.",
        |pipeline| match pipeline.stats.breaker {
            BreakerPhase::Closed => 0.0,
            BreakerPhase::HalfOpen => 0.5,
            BreakerPhase::Open => 1.0,
        },
    ),
];

const WORKERS: &[WorkerFigure] = &[
    WorkerFigure {
        name: "switchboard_cleanup_queue_len",
        help: "Connections in the queue of a worker.",
        of: |worker| worker.len as f64,
    },
    WorkerFigure {
        name: "switchboard_cleanup_queue_len_peak",
        help: "The largest number of connections in the queue of a worker.",
        of: |worker| worker.peak as f64,
    },
    WorkerFigure {
        name: "switchboard_cleanup_queue_age_seconds",
        help: "Age of the oldest connection in the queue of a worker.",
        of: |worker| worker.oldest.as_secs_f64(),
    },
];

const MICROSECOND: f64 = 1e-6;

const HISTOGRAMS: &[Buckets] = &[
    Buckets {
        name: "switchboard_cleanup_batch_size",
        help: "Connections per batch.",
        unit: 1.0,
        of: |stats| &stats.batch_sizes,
    },
    Buckets {
        name: "switchboard_cleanup_removal_seconds",
        help: "Time from the closing of a connection to the publication of its removal.",
        unit: MICROSECOND,
        of: |stats| &stats.removal_us,
    },
    Buckets {
        name: "switchboard_cleanup_delivery_seconds",
        help: "Time from the moment at which an event is due to its delivery.",
        unit: MICROSECOND,
        of: |stats| &stats.delivery_us,
    },
];

type Labels<'a> = &'a [(&'static str, &'a str)];

/// Writes the figures of the pipelines; `write_labels` writes the labels of one.
pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    pipelines: &[(String, Pipeline)],
    write_labels: impl Fn(&mut fmt::Formatter<'_>, &str, Labels<'_>) -> fmt::Result,
) -> fmt::Result {
    if pipelines.is_empty() {
        return Ok(());
    }
    let sample = |f: &mut fmt::Formatter<'_>,
                  name: &str,
                  suffix: &str,
                  owner: &str,
                  labels: Labels<'_>,
                  value: f64| {
        write!(f, "{name}{suffix}")?;
        write_labels(f, owner, labels)?;
        writeln!(f, " {value}")
    };
    for figures in [FIGURES, OTHERS] {
        write_figures(f, figures, pipelines, |f, owner| write_labels(f, owner, &[]))?;
    }
    for WorkerFigure { name, help, of } in WORKERS {
        writeln!(f, "# HELP {name} {help}\n# TYPE {name} gauge")?;
        for (owner, pipeline) in pipelines {
            for (number, worker) in pipeline.workers.iter().enumerate() {
                sample(f, name, "", owner, &[("worker", &number.to_string())], of(worker))?;
            }
        }
    }
    for Buckets { name, help, unit, of } in HISTOGRAMS {
        writeln!(f, "# HELP {name} {help}\n# TYPE {name} histogram")?;
        for (owner, pipeline) in pipelines {
            let histogram = of(&pipeline.stats);
            let mut below = 0;
            for (bound, count) in histogram.bounds() {
                below += count;
                let bound =
                    bound.map_or_else(|| "+Inf".to_owned(), |bound| (bound as f64 * unit).to_string());
                sample(f, name, "_bucket", owner, &[("le", &bound)], below as f64)?;
            }
            sample(f, name, "_sum", owner, &[], histogram.sum as f64 * unit)?;
            sample(f, name, "_count", owner, &[], below as f64)?;
        }
    }
    Ok(())
}
