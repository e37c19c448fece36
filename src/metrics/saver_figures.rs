//! The figures of a saver of sessions by name, as the page shows them.

use std::fmt;

use super::numbers::{Figure, counter, gauge, write_figures};
use crate::sessions::saving::Stats;

const FIGURES: &[Figure<Stats>] = &[
    counter("switchboard_saver_saves", "Changes of sessions that were stored.", |stats| stats.saves),
    counter("switchboard_saver_deletes", "Removals of sessions that were stored.", |stats| stats.deletes),
    counter("switchboard_saver_discarded", "Changes discarded because a newer one was known.", |stats| {
        stats.discarded
    }),
    counter("switchboard_saver_lost", "Changes not noted because of a panic of a key.", |stats| stats.lost),
    counter("switchboard_saver_failures", "Saves and removals that failed.", |stats| stats.failures),
    counter("switchboard_saver_retries", "Saves and removals begun after a failure.", |stats| stats.retries),
    counter("switchboard_saver_kept_aside", "Stored sessions that could not be read.", |stats| {
        stats.kept_aside
    }),
    counter("switchboard_saver_loads", "Reads of the store.", |stats| stats.loads),
    counter("switchboard_saver_joined_loads", "Loads that shared the read of another thread.", |stats| {
        stats.joined_loads
    }),
    gauge("switchboard_saver_dirty", "Sessions with changes that are not stored.", |stats| {
        stats.dirty as u64
    }),
    gauge("switchboard_saver_in_flight", "Saves and removals in progress.", |stats| stats.in_flight as u64),
];

/// Writes the figures of the savers; `write_label` writes the label of one.
pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    savers: &[(String, Stats)],
    write_label: impl Fn(&mut fmt::Formatter<'_>, &str) -> fmt::Result,
) -> fmt::Result {
    if savers.is_empty() {
        return Ok(());
    }
    write_figures(f, FIGURES, savers, &write_label)?;
    let (name, help) =
        ("switchboard_saver_oldest_dirty_seconds", "Time since the oldest change that is not stored.");
    writeln!(f, "# HELP {name} {help}\n# TYPE {name} gauge")?;
    for (saver, stats) in savers {
        f.write_str(name)?;
        write_label(f, saver)?;
        writeln!(f, " {}", stats.oldest_dirty.as_secs_f64())?;
    }
    Ok(())
}
