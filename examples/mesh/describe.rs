//! Explanations as text, for the report on links that are missing.

use std::time::Instant;

use switchboard::manager::explain::{DialBlocker, PlannedAction, RequestBlocker};
use switchboard::{LinksSnapshot, NetId, NodeAddr};

/// Describes why a link is kept or not dialled, as of `now`.
pub(crate) fn link(links: &LinksSnapshot, addr: NodeAddr, now: Instant) -> String {
    let explanation = links.explain(&addr, now);
    let blockers: Vec<String> =
        explanation.blockers.iter().map(|blocker| describe_blocker(blocker, now)).collect();
    let ignored: Vec<NetId> = explanation.ignored.iter().map(|ignored| ignored.net).collect();
    let next = explanation.next.map_or_else(
        || String::from("nothing"),
        |PlannedAction { action, at }| format!("{action:?} in {}", left(at, now)),
    );
    let streams = links.get(&addr).map_or(0, |link| link.streams().len());
    let reasons = explanation.reasons;
    format!(
        "{streams} streams, kept by {reasons:?}, blocked by {blockers:?}, ignored by {ignored:?}, next {next}"
    )
}

/// Describes why a net is short of links, as of `now`.
pub(crate) fn net(links: &LinksSnapshot, net: NetId, now: Instant) -> String {
    let explanation = links.explain_net(net, now);
    let describe = |hold: &RequestBlocker| match hold {
        RequestBlocker::Delay { until } => format!("delay of {}", left(*until, now)),
        other => format!("{other:?}"),
    };
    let blockers: Vec<String> = explanation.blockers.iter().map(describe).collect();
    let next = explanation.next_request.map_or_else(|| String::from("none planned"), |at| left(at, now));
    format!("short of {}, blocked by {blockers:?}, time to the next request: {next}", explanation.needed)
}

fn describe_blocker(blocker: &DialBlocker, now: Instant) -> String {
    match blocker {
        DialBlocker::Delay { until } => format!("delay of {}", left(*until, now)),
        DialBlocker::Flapping { until } => format!("rest of {}", left(*until, now)),
        other => format!("{other:?}"),
    }
}

fn left(at: Instant, now: Instant) -> String {
    format!("{} ms", at.saturating_duration_since(now).as_millis())
}
