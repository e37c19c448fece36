//! Numbers of owners of one kind, such as registries or pipelines, by name, as the page shows them.

use std::fmt;

use super::figures::Shape;

/// A number of an owner, whose figures are `S`.
pub(super) struct Figure<S, N = u64> {
    name: &'static str,
    help: &'static str,
    shape: Shape,
    of: fn(&S) -> N,
}

pub(super) const fn gauge<S, N>(name: &'static str, help: &'static str, of: fn(&S) -> N) -> Figure<S, N> {
    Figure { name, help, shape: Shape::Gauge, of }
}

pub(super) const fn counter<S, N>(name: &'static str, help: &'static str, of: fn(&S) -> N) -> Figure<S, N> {
    Figure { name, help, shape: Shape::Counter, of }
}

/// Writes the numbers of each owner; `write_label` writes the label of one.
pub(super) fn write_figures<S, N: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    figures: &[Figure<S, N>],
    owners: &[(String, S)],
    write_label: impl Fn(&mut fmt::Formatter<'_>, &str) -> fmt::Result,
) -> fmt::Result {
    for Figure { name, help, shape, of } in figures {
        let (suffix, shape) = match shape {
            Shape::Counter => ("_total", "counter"),
            Shape::Gauge => ("", "gauge"),
        };
        writeln!(f, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {shape}")?;
        for (owner, stats) in owners {
            write!(f, "{name}{suffix}")?;
            write_label(f, owner)?;
            writeln!(f, " {}", of(stats))?;
        }
    }
    Ok(())
}
