//! The progress display. All of it is written to standard error.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use switchboard::NodeAddr;
use switchboard::manager::Stats;

use crate::options::Options;

/// Number of nodes that the live table shows, so that it fits on a terminal.
const ROWS_MAX: u16 = 24;

/// Pause between two plain lines.
const LINE_PAUSE: Duration = Duration::from_secs(2);

/// The state of one node at one moment.
pub(crate) struct Row {
    pub(crate) addr: NodeAddr,
    /// Members per net, and the manager's counters; `None` for a dead node.
    pub(crate) links: Option<(Vec<usize>, Stats)>,
}

/// A bar and a live table on a terminal, a line every few seconds elsewhere.
pub(crate) enum Progress {
    Terminal { all: MultiProgress, bar: ProgressBar, rows: Vec<ProgressBar> },
    Lines { seconds: u32, next: Instant },
}

impl Progress {
    pub(crate) fn new(options: &Options) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { seconds: options.seconds, next: Instant::now() };
        }
        let all = MultiProgress::new();
        let plain = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = all.add(ProgressBar::new(u64::from(options.seconds) * 1000));
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {msg}") {
            bar.set_style(style);
        }
        let row = || all.add(ProgressBar::new_spinner().with_style(plain.clone()));
        let rows = (0..options.nodes.min(ROWS_MAX)).map(|_| row()).collect();
        Self::Terminal { all, bar, rows }
    }

    /// Shows the state of the run.
    pub(crate) fn show(&mut self, phase: &str, elapsed: Duration, nodes: &[Row], kills: u64, cuts: u64) {
        let seconds = elapsed.as_secs_f64();
        match self {
            Self::Terminal { bar, rows, .. } => {
                bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
                bar.set_message(format!("{phase}, {seconds:.1} s, {kills} kills, {cuts} cuts"));
                for (row, node) in rows.iter().zip(nodes) {
                    row.set_message(describe(node));
                }
            }
            Self::Lines { seconds: length, next } => {
                if Instant::now() < *next {
                    return;
                }
                *next = Instant::now() + LINE_PAUSE;
                let alive = nodes.iter().filter(|node| node.links.is_some()).count();
                let members = nodes.iter().filter_map(|node| node.links.as_ref());
                let members: usize = members.map(|(counts, _)| counts.iter().sum::<usize>()).sum();
                let of = nodes.len();
                eprintln!(
                    "{seconds:5.1} of {length} s, {phase}: {alive} of {of} nodes alive, \
                     {members} memberships, {kills} kills, {cuts} cuts"
                );
            }
        }
    }

    /// Clears the display.
    pub(crate) fn finish(&mut self) {
        if let Self::Terminal { all, bar, rows } = self {
            rows.iter().for_each(ProgressBar::finish_and_clear);
            bar.finish_and_clear();
            // An error means that the terminal is closed: there is nothing to clear.
            let _ = all.clear();
        }
    }
}

fn describe(Row { addr, links }: &Row) -> String {
    let Some((counts, stats)) = links else { return format!("{addr}  dead") };
    let mut text = format!("{addr}  links");
    for count in counts.iter().take(8) {
        let _ = write!(text, " {count:2}");
    }
    let _ = write!(
        text,
        "   dials {:4}   commands {:6}   versions {:6}",
        stats.dials(),
        stats.commands(),
        stats.publishes()
    );
    text
}
