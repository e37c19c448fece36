//! The figures of a run, and their report as Markdown.

use std::fmt::Write;

/// The name of this crate in every table.
pub const OURS: &str = "switchboard";
/// The name of its second instance, whose figures must be about the same.
pub const CONTROL: &str = "switchboard (A/A control)";

/// Figures of several sides in several cases.
#[derive(Debug)]
pub struct Section {
    pub title: String,
    /// The question, the method of measurement, and the unit.
    pub question: String,
    pub cases: Vec<String>,
    /// The name of each side, and its figure in each case; `None` if not measured.
    pub sides: Vec<(String, Vec<Option<f64>>)>,
    /// Whether to print ratios to this crate, which requires that smaller figures are better.
    pub compared: bool,
}

impl Section {
    pub fn new(title: impl Into<String>, question: impl Into<String>) -> Self {
        let (title, question) = (title.into(), question.into());
        Self { title, question, cases: Vec::new(), sides: Vec::new(), compared: true }
    }

    /// Adds a case with the figure of each side.
    pub fn case<'a>(&mut self, case: impl Into<String>, figures: impl IntoIterator<Item = (&'a str, f64)>) {
        let index = self.cases.len();
        self.cases.push(case.into());
        for (side, figure) in figures {
            let known = self.sides.iter().position(|(name, _)| name == side);
            let at = known.unwrap_or_else(|| {
                self.sides.push((side.to_owned(), Vec::new()));
                self.sides.len() - 1
            });
            let row = &mut self.sides[at].1;
            row.resize(index, None);
            row.push(Some(figure));
        }
    }

    pub fn figure(&self, side: &str, case: usize) -> Option<f64> {
        let (_, figures) = self.sides.iter().find(|(name, _)| name == side)?;
        figures.get(case).copied().flatten()
    }

    /// Returns the best of these sides in one case.
    pub fn best<'a>(&self, sides: &[&'a str], case: usize) -> Option<(&'a str, f64)> {
        let figures = sides.iter().filter_map(|side| Some((*side, self.figure(side, case)?)));
        figures.min_by(|left, right| left.1.total_cmp(&right.1))
    }

    fn print(&self, out: &mut String) {
        let _ = writeln!(out, "\n## {}\n\n{}\n", self.title, self.question);
        let _ = writeln!(out, "| | {} |", self.cases.join(" | "));
        let _ = writeln!(out, "|---|{}", "---|".repeat(self.cases.len()));
        for (side, _) in &self.sides {
            let cells: Vec<_> = (0..self.cases.len()).map(|case| self.cell(side, case)).collect();
            let name = if side == OURS { format!("**{side}**") } else { side.clone() };
            let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
        }
    }

    fn cell(&self, side: &str, case: usize) -> String {
        let Some(figure) = self.figure(side, case) else { return String::from("–") };
        let text = number(figure);
        match self.figure(OURS, case) {
            Some(ours) if self.compared && side != OURS => format!("{text} ({})", number(ours / figure)),
            _ => text,
        }
    }
}

/// A ratio to reach.
#[derive(Debug)]
pub struct Goal {
    pub what: String,
    pub against: String,
    pub ours: f64,
    pub theirs: f64,
    /// The upper limit of `ours / theirs`.
    pub limit: f64,
    pub unit: &'static str,
}

/// The results of one run.
#[derive(Debug, Default)]
pub struct Report {
    pub sections: Vec<Section>,
    pub goals: Vec<Goal>,
}

impl Report {
    pub fn goal(
        &mut self,
        what: impl Into<String>,
        against: impl Into<String>,
        (ours, theirs): (f64, f64),
        limit: f64,
        unit: &'static str,
    ) {
        self.goals.push(Goal { what: what.into(), against: against.into(), ours, theirs, limit, unit });
    }

    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = String::new();
        for section in &self.sections {
            section.print(&mut out);
        }
        self.print_goals(&mut out);
        self.print_losses(&mut out);
        out
    }

    fn print_goals(&self, out: &mut String) {
        let _ = writeln!(out, "\n## Goals\n\nThe ratio is ours / theirs; below 1 this crate is better.\n");
        let _ = writeln!(out, "| what | against | ours | theirs | ratio | goal | |");
        let _ = writeln!(out, "|---|---|---|---|---|---|---|");
        for Goal { what, against, ours, theirs, limit, unit } in &self.goals {
            let ratio = ours / theirs;
            let verdict = if ratio <= *limit { "met" } else { "**missed**" };
            let (ours, theirs) = (number(*ours), number(*theirs));
            let (ratio, limit) = (number(ratio), number(*limit));
            let _ = writeln!(
                out,
                "| {what} | {against} | {ours} {unit} | {theirs} {unit} | {ratio} | ≤ {limit} | {verdict} |"
            );
        }
    }

    fn print_losses(&self, out: &mut String) {
        let _ = writeln!(out, "\n## Where this crate loses\n");
        let mut losses: Vec<_> = self.sections.iter().filter_map(Section::losses).collect();
        if losses.is_empty() {
            let _ = writeln!(out, "Nowhere in this run.");
            return;
        }
        losses.sort_by(|left, right| right.0.total_cmp(&left.0));
        let _ = writeln!(
            out,
            "The figures above that are better than this crate's by more than a twentieth: ours / theirs,"
        );
        let _ = writeln!(out, "worst first.\n");
        let _ = writeln!(out, "| what | worst | against |");
        let _ = writeln!(out, "|---|---|---|");
        for (worst, title, against) in losses {
            let _ = writeln!(out, "| {title} | {} | {against} |", number(worst));
        }
    }
}

impl Section {
    /// Returns the worst ratio, and the sides that are better with their cases.
    fn losses(&self) -> Option<(f64, &str, String)> {
        if !self.compared {
            return None;
        }
        let mut rows = Vec::new();
        for (side, _) in self.sides.iter().filter(|(side, _)| !side.starts_with(OURS)) {
            let ratios = (0..self.cases.len()).filter_map(|case| {
                let ratio = self.figure(OURS, case)? / self.figure(side, case)?;
                // A difference within a twentieth does not count.
                (ratio > 1.05).then_some((ratio, self.cases[case].as_str()))
            });
            let ratios: Vec<_> = ratios.collect();
            let Some(worst) = ratios.iter().map(|(ratio, _)| *ratio).max_by(f64::total_cmp) else { continue };
            let cases: Vec<_> =
                ratios.iter().map(|(ratio, case)| format!("{} at {case}", number(*ratio))).collect();
            rows.push((worst, format!("{side}: {}", cases.join(", "))));
        }
        rows.sort_by(|left, right| right.0.total_cmp(&left.0));
        let worst = rows.first()?.0;
        let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
        Some((worst, &self.title, rows.join("; ")))
    }
}

/// Formats a number with about three significant digits.
pub fn number(value: f64) -> String {
    match value.abs() {
        value if !value.is_finite() => String::from("–"),
        size if size >= 100.0 => group(value),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

fn group(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of entries: `1k`, `10k`, `1M`.
#[must_use]
pub fn size(len: usize) -> String {
    match len {
        len if len >= 1_000_000 && len % 1_000_000 == 0 => format!("{}M", len / 1_000_000),
        len if len >= 1_000 && len % 1_000 == 0 => format!("{}k", len / 1_000),
        len => len.to_string(),
    }
}
