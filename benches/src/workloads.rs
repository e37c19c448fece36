//! The workloads, and the goals for their figures.

use crate::measure::Plan;
use crate::report::Report;

mod cleanup;
mod groups;
mod growth;
mod manager;
mod memory;
mod metrics;
mod sessions;
mod storm;
mod tables;
mod waits;

pub use tables::{tables, types};

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub plan: Plan,
    pub sizes: Vec<usize>,
    pub threads: Vec<usize>,
    /// The names of the workloads to run; all if empty.
    pub wanted: Vec<String>,
}

impl Settings {
    #[must_use]
    pub fn wants(&self, workload: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == workload)
    }
}

type Workload = (&'static str, fn(&Settings, &mut Report));

/// Runs the selected workloads.
#[must_use]
pub fn run(settings: &Settings) -> Report {
    let mut report = Report::default();
    tables(settings, &mut report);
    let others: [Workload; 10] = [
        ("types", types),
        ("growth", growth::growth),
        ("groups", groups::groups),
        ("memory", memory::memory),
        ("manager", manager::manager),
        ("metrics", metrics::metrics),
        ("waits", waits::waits),
        ("storm", storm::storm),
        ("sessions", sessions::sessions),
        ("cleanup", cleanup::cleanup),
    ];
    for (_, workload) in others.iter().filter(|(name, _)| settings.wants(name)) {
        workload(settings, &mut report);
    }
    report
}
