//! Explanations, sampled while things go wrong and checked against the snapshot that they explain.

use std::collections::HashSet;
use std::time::Instant;

use switchboard::link::DialState;
use switchboard::manager::explain::{DialBlocker, KeepReason, LinkExplanation};
use switchboard::{Link, LinksSnapshot, NetId, NodeAddr};

/// What was explained so far.
#[derive(Default)]
pub(crate) struct Audit {
    /// Explanations that were checked.
    pub(crate) samples: u64,
    /// Of links that are members and connected: they are kept.
    pub(crate) kept: u64,
    /// Of links that wait for the end of a delay.
    pub(crate) delays: u64,
    /// Flapping links that were seen at rest: who, with whom, until when.
    pub(crate) rests: HashSet<(NodeAddr, NodeAddr, Instant)>,
}

impl Audit {
    /// Explains what `links`, a version of `me`, says about `addr`. An error is a contradiction.
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
                "a link that is not there",
            );
        };
        ensure(explanation.is_known(), "no link, where there is one")?;
        check_reasons(links, link, &explanation)?;
        if !link.memberships().is_empty() && link.state() == DialState::Established {
            self.kept += 1;
            let is_kept = explanation.blockers.contains(&DialBlocker::Connected)
                && explanation.blockers.contains(&DialBlocker::Busy(DialState::Established));
            ensure(is_kept, "an established member is not kept as one")?;
        }
        ensure(explanation.next.is_none_or(|next| next.at >= now), "the next step lies in the past")?;
        self.check_delay(me, link, &explanation, now)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.kept += other.kept;
        self.delays += other.delays;
        self.rests.extend(other.rests);
    }

    /// A link that waits is held until the same instant that its record says.
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
        ensure(waits.map(|(until, _)| until) == planned, "a delay that the record does not have")?;
        match waits {
            Some((until, true)) => drop(self.rests.insert((me, *link.addr(), until))),
            Some((_, false)) => self.delays += 1,
            None => {}
        }
        Ok(())
    }
}

/// All that the record and the nets say keeps the link is among the reasons, and nothing else.
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
    ensure(!given.is_empty(), "a link that nothing keeps")?;
    ensure(given == expected, "reasons that the snapshot does not have")
}

/// An address is ignored for a net as long as its candidates leave it out.
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
    ensure(is_same, "an address that is ignored, and is not")
}

fn ensure(so: bool, otherwise: &str) -> Result<(), String> {
    if so { Ok(()) } else { Err(String::from(otherwise)) }
}
