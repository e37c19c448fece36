//! The result of a storm.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::check::Check;

/// Times from the first packet of a connection to the frame that establishes it.
#[derive(Debug, Serialize)]
pub(super) struct Latencies {
    pub(super) connected: usize,
    /// Connections that were refused or lost.
    pub(super) failures: usize,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) max_ms: f64,
}

impl Latencies {
    pub(super) fn new(mut took: Vec<Duration>, failures: usize) -> Self {
        took.sort();
        let at = |part: f64| {
            let index = ((took.len() as f64 * part).ceil() as usize).clamp(1, took.len().max(1)) - 1;
            took.get(index).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
        };
        Self { connected: took.len(), failures, p50_ms: at(0.5), p95_ms: at(0.95), max_ms: at(1.0) }
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connected, failures, p50_ms, p95_ms, max_ms } = self;
        write!(
            f,
            "{connected} connects, {failures} failures, p50 {p50_ms:.2} ms, p95 {p95_ms:.2} ms, max {max_ms:.1} ms"
        )
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) clients: usize,
    pub(super) cut: usize,
    pub(super) connected_in_s: f64,
    pub(super) idle: Latencies,
    pub(super) storm: Latencies,
    /// The 95th percentile in the storm, divided by that before it.
    pub(super) ratio: f64,
    /// Memory of the server before the cut, and at its highest.
    pub(super) memory_mb: f64,
    pub(super) memory_peak_mb: f64,
    pub(super) memory_per_connection_kb: f64,
    /// Processor time of the server, from its start to the end of the storm.
    pub(super) processor_s: f64,
    pub(super) check: Check,
}

impl Report {
    pub(super) fn problems(&self, is_strict: bool) -> Vec<String> {
        let mut problems = self.check.wrong.clone();
        let Check { missing, surplus, forged, vacated_max, .. } = self.check;
        let counts = [
            (self.idle.failures + self.storm.failures, "connections were refused or lost"),
            (missing, "webhook events are missing"),
            (surplus, "webhook events are surplus"),
            (forged, "webhooks have a wrong signature or body"),
            (vacated_max.saturating_sub(1), "events channel_vacated too many for one channel"),
        ];
        problems.extend(
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")),
        );
        if is_strict && (self.ratio.is_nan() || self.ratio >= 1.5) {
            problems.push(format!("connecting took {:.2} times as long in the storm", self.ratio));
        }
        problems
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Check { expected, received, missing, surplus, vacated_max, .. } = &self.check;
        writeln!(f, "storm: {} clients, {} of them cut at once", self.clients, self.cut)?;
        writeln!(f, "  idle      {}", self.idle)?;
        writeln!(f, "  storm     {}", self.storm)?;
        writeln!(f, "  ratio     {:.2} (p95)", self.ratio)?;
        let (full, each) = (self.memory_mb, self.memory_per_connection_kb);
        writeln!(
            f,
            "  memory    {full:.0} MB, {each:.1} kB per connection, {:.0} MB at most",
            self.memory_peak_mb
        )?;
        writeln!(f, "  processor {:.2} s", self.processor_s)?;
        write!(
            f,
            "  webhooks  {received} events, {expected} expected, {missing} missing, {surplus} surplus, "
        )?;
        write!(f, "at most {vacated_max} channel_vacated per channel")?;
        self.check.wrong.iter().try_for_each(|wrong| write!(f, "\n  wrong     {wrong}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let latencies = Latencies::new((1..=100).rev().map(Duration::from_millis).collect(), 2);
        assert_eq!((latencies.p50_ms, latencies.p95_ms, latencies.max_ms), (50.0, 95.0, 100.0));
        assert_eq!((latencies.connected, latencies.failures), (100, 2));
        assert!(Latencies::new(Vec::new(), 0).p95_ms.is_nan());
    }
}
