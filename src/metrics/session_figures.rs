//! The figures of a registry of sessions by name, as the page shows them.

use std::fmt;

use super::numbers::{Figure, counter, gauge, write_figures};
use crate::sessions::{Stats, Timing};

/// The total of a kind of measured time.
struct Times {
    name: &'static str,
    help: &'static str,
    of: fn(&Stats) -> Timing,
}

const FIGURES: &[Figure<Stats>] = &[
    gauge("switchboard_sessions", "Sessions in the registry.", |stats| stats.sessions as u64),
    counter("switchboard_session_refused", "Begins refused because the session was busy.", |stats| {
        stats.refused
    }),
    counter("switchboard_session_contended", "Begins that had to wait.", |stats| stats.contended),
    counter("switchboard_session_full", "Waits refused because too many waited.", |stats| stats.full),
    counter("switchboard_session_dropped", "Waits ended by a clear.", |stats| stats.dropped),
    counter("switchboard_session_timeouts", "Waits ended by their timeouts.", |stats| stats.timeouts),
    counter("switchboard_session_cancelled", "Runs asked to stop.", |stats| stats.cancelled),
    counter("switchboard_session_cleared", "Clears that took effect.", |stats| stats.cleared),
    counter("switchboard_session_detached", "Runs detached by clears.", |stats| stats.detached),
    counter("switchboard_session_stale_releases", "Runs that ended after they were detached.", |stats| {
        stats.stale_releases
    }),
    counter("switchboard_session_displaced", "Connections displaced by newer ones.", |stats| stats.displaced),
    counter("switchboard_session_expired", "Runs that no connection resumed in time.", |stats| stats.expired),
    counter("switchboard_session_removed", "Sessions removed.", |stats| stats.removed),
    counter("switchboard_session_evicted", "Sessions removed by the registry itself.", |stats| stats.evicted),
];

const TIMES: &[Times] = &[
    Times {
        name: "switchboard_session_cancel_latency_seconds",
        help: "Time from a request to stop to the end of the run.",
        of: |stats| stats.cancel_latency,
    },
    Times {
        name: "switchboard_session_hold_time_seconds",
        help: "Time for which runs held their sessions while others waited.",
        of: |stats| stats.hold_time,
    },
];

/// Writes the figures of the registries; `write_label` writes the label of one.
pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    registries: &[(String, Stats)],
    write_label: impl Fn(&mut fmt::Formatter<'_>, &str) -> fmt::Result,
) -> fmt::Result {
    let sample = |f: &mut fmt::Formatter<'_>, name: &str, suffix: &str, registry: &str, value: f64| {
        write!(f, "{name}{suffix}")?;
        write_label(f, registry)?;
        writeln!(f, " {value}")
    };
    if registries.is_empty() {
        return Ok(());
    }
    write_figures(f, FIGURES, registries, &write_label)?;
    for Times { name, help, of } in TIMES {
        writeln!(f, "# HELP {name} {help}\n# TYPE {name} summary")?;
        for (registry, stats) in registries {
            let times = of(stats);
            sample(f, name, "_sum", registry, times.sum.as_secs_f64())?;
            sample(f, name, "_count", registry, times.count as f64)?;
        }
        writeln!(f, "# HELP {name}_max The longest: {help}\n# TYPE {name}_max gauge")?;
        for (registry, stats) in registries {
            sample(f, name, "_max", registry, of(stats).max.as_secs_f64())?;
        }
    }
    Ok(())
}
