//! Explanations, sampled during the run and checked against the snapshots that they explain.

use std::collections::HashSet;
use std::time::Instant;

use switchboard::link::DialState;
use switchboard::manager::explain::{DialBlocker, KeepReason, LinkExplanation};
use switchboard::{Link, LinksSnapshot, NetId, NodeAddr};

/// The explanations checked so far.
#[derive(Default)]
pub(crate) struct Audit {
    /// Number of explanations checked.
    pub(crate) samples: u64,
    /// Number of connected members among them, which must be kept.
    pub(crate) kept: u64,
    /// Number of links in a delay among them.
    pub(crate) delays: u64,
    /// Rests of flapping links: the node, its peer, and the end of the rest.
    pub(crate) rests: HashSet<(NodeAddr, NodeAddr, Instant)>,
}

impl Audit {
    /// Checks how `links`, a version of the node `me`, explains `addr`. An error is a contradiction.
    pub(crate) fn sample(
        &mut self,
        me: NodeAddr,
        links: &LinksSnapshot,
        addr: NodeAddr,
        now: Instant,
    ) -> Result<(), String> {
        let explanation = links.explain(&addr, now);
        self.samples += 1;
        check_ignored(links, addr, &explanation, now)?;
        let Some(link) = links.get(&addr) else {
            return ensure(
                !explanation.is_known() && explanation.reasons.is_empty(),
                "an explanation of a link that does not exist",
            );
        };
        ensure(explanation.is_known(), "no explanation of a link that exists")?;
        check_reasons(links, link, &explanation)?;
        if !link.memberships().is_empty() && link.state() == DialState::Established {
            self.kept += 1;
            let is_kept = explanation.blockers.contains(&DialBlocker::Connected)
                && explanation.blockers.contains(&DialBlocker::Busy(DialState::Established));
            ensure(is_kept, "an established member is not reported as connected")?;
        }
        ensure(explanation.next.is_none_or(|next| next.at >= now), "the next action lies in the past")?;
        self.check_delay(me, link, &explanation, now)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.kept += other.kept;
        self.delays += other.delays;
        self.rests.extend(other.rests);
    }

    /// Checks that a waiting link is blocked until the instant in its record.
    fn check_delay(
        &mut self,
        me: NodeAddr,
        link: &Link<NodeAddr>,
        explanation: &LinkExplanation,
        now: Instant,
    ) -> Result<(), String> {
        let waits = explanation.blockers.iter().find_map(|hold| match hold {
            DialBlocker::Delay { until } => Some((*until, false)),
            DialBlocker::Flapping { until } => Some((*until, true)),
            _ => None,
        });
        let planned = link.not_before().filter(|at| *at > now);
        ensure(waits.map(|(until, _)| until) == planned, "a delay that differs from the record")?;
        match waits {
            Some((until, true)) => drop(self.rests.insert((me, *link.addr(), until))),
            Some((_, false)) => self.delays += 1,
            None => {}
        }
        Ok(())
    }
}

/// Checks that the reasons are exactly those that the record and the nets give for keeping the link.
fn check_reasons(
    links: &LinksSnapshot,
    link: &Link<NodeAddr>,
    explanation: &LinkExplanation,
) -> Result<(), String> {
    let permanent =
        |net: &NetId| links.net(*net).is_some_and(|net| net.is_active() && net.is_permanent(link.addr()));
    let nets = link.nets().iter().copied();
    let downlinks =
        link.streams().iter().filter(|stream| stream.direction == switchboard::Direction::Downlink);
    let expected: HashSet<KeepReason> = nets
        .clone()
        .map(KeepReason::WantedBy)
        .chain(nets.filter(permanent).map(KeepReason::PermanentPeerOf))
        .chain(link.memberships().iter().copied().map(KeepReason::MemberOf))
        .chain(link.static_clusters().map(KeepReason::StaticPeerOf))
        .chain(link.clusters().iter().copied().map(KeepReason::MemberOfCluster))
        .chain(downlinks.map(|stream| KeepReason::Downlink(stream.id)))
        .collect();
    let given: HashSet<KeepReason> = explanation.reasons.iter().copied().collect();
    ensure(!given.is_empty(), "a link without a reason to be kept")?;
    ensure(given == expected, "reasons that differ from the snapshot")
}

/// Checks that an address is ignored for exactly those nets that list it as ignored.
fn check_ignored(
    links: &LinksSnapshot,
    addr: NodeAddr,
    explanation: &LinkExplanation,
    now: Instant,
) -> Result<(), String> {
    let is_same = links.nets().iter().all(|net| {
        let listed = links.ignored(net.id(), now).any(|ignored| *ignored == addr);
        listed == explanation.ignored.iter().any(|ignored| ignored.net == net.id())
    });
    ensure(is_same, "ignored nets that differ from the snapshot")
}

fn ensure(so: bool, otherwise: &str) -> Result<(), String> {
    if so { Ok(()) } else { Err(String::from(otherwise)) }
}
