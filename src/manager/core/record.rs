//! Records of links: how they come and go, and what keeps them.

use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::cluster::{By, ClusterId};
use crate::link::net::NetId;
use crate::link::record::Link;
use crate::link::stream::Direction;
use crate::link::{DialState, Stream};
use crate::manager::model::command::{Applying, CommandError, Outcome};
use crate::manager::model::effect::Effect;
use crate::sync::StdArc;
use crate::util::time::later;

impl<A: Addr> Core<A> {
    /// A copy of the record of `addr` as [`checkout`](Self::checkout) makes it, or a new record, which counts
    /// as created.
    pub(super) fn checkout_or_new(&mut self, addr: A, now: Instant) -> Result<Link<A>, CommandError> {
        if let Some(link) = self.checkout(&addr) {
            return Ok(link);
        }
        self.check_room()?;
        self.tally.links_created += 1;
        let mut link = Link::new(addr, now);
        link.drops = self.drops.get(&link.addr);
        Ok(link)
    }

    /// Stores a changed record, or ends it when nothing keeps it any more. What it makes due happens when the
    /// core is next advanced.
    pub(super) fn settle(&mut self, mut link: Link<A>) {
        if link.has_reason() {
            if link.dialable
                && link.nets.is_empty()
                && !link.is_active()
                && !self.rules().has_enabled_static(&link)
            {
                // A static peer of disabled clusters: the record stays, the connection goes.
                self.reset_dialer(&mut link);
                link.follow_primary();
            }
            self.commit(link);
        } else if link.streams.iter().any(|stream| stream.direction == Direction::Downlink) {
            // Nothing asks to dial the node any more. The streams that it opened are its own to close.
            self.effects.push(Effect::CloseDialer { addr: link.addr.clone() });
            link.demote();
            self.commit(link);
        } else {
            self.forget(link);
        }
    }

    /// Removes the record and closes everything that belongs to it.
    pub(super) fn forget(&mut self, link: Link<A>) {
        self.remove_record(&link.addr);
        self.tally.links_deleted += 1;
        let dialer = link.dialable;
        if dialer {
            self.effects.push(Effect::CloseDialer { addr: link.addr.clone() });
        }
        // The dialer closes the streams that it made.
        let others = link.streams.iter().filter(|stream| !dialer || stream.direction == Direction::Downlink);
        let streams: Vec<_> = others.map(|stream| stream.id).collect();
        if !streams.is_empty() {
            self.effects.push(Effect::CloseStreams { addr: link.addr, streams });
        }
    }

    /// Sends the dialer back to the beginning: an abandoned dial, or one whose connection was replaced. With
    /// the dial go the streams that it made.
    pub(super) fn reset_dialer(&mut self, link: &mut Link<A>) {
        link.state = DialState::Disconnected;
        link.resolving = None;
        if let Some(dial) = link.dial.take() {
            self.effects.push(Effect::CancelDial { addr: link.addr.clone(), dial: dial.id });
            link.streams.retain(|stream| stream.direction == Direction::Downlink);
        }
    }

    /// The first remaining stream is the primary one now. When the peer's stream takes over from ours, the
    /// dialer starts anew; memberships stay. What was announced on the old one may have died with it.
    pub(super) fn follow(&mut self, link: &mut Link<A>, before: Option<Stream>) {
        let dialed = link.direction == Direction::Uplink;
        link.turn_to_primary(before);
        if dialed && link.direction == Direction::Downlink {
            self.reset_dialer(link);
        }
    }

    /// Tells the host that a net loses this link, and takes the association away unless the peer is
    /// permanent.
    pub(super) fn disconnect_from(&mut self, link: &mut Link<A>, net: NetId) {
        // The record that counts is the staged one: a membership that ends with this command still counts
        // there.
        let mut members = self.counts(net).total();
        if self.writer.get(&link.addr).is_some_and(|staged| staged.is_member(net)) && !link.is_member(net) {
            members -= 1;
        }
        self.effects.push(Effect::Released { addr: link.addr.clone(), net, members });
        if !self.is_permanent(&link.addr, net) {
            link.dissociate(net);
        }
    }

    /// Puts the address on the ignore list of the net: candidates leave it out for the ignore period.
    pub(super) fn ignore(&mut self, addr: &A, net: NetId, now: Instant) {
        let until = later(now, self.settings().ignore_period);
        let limit = self.settings().max_ignored;
        if let Some(status) = self.directory_mut().net_mut(net) {
            status.expire_ignored(now);
            status.ignore(addr, until, limit);
        }
    }

    /// A link with a stream joins the enabled clusters of which it is a static peer.
    pub(super) fn join_static(&self, link: &mut Link<A>) {
        if link.primary().is_none() {
            return;
        }
        for index in 0..link.designations.len() {
            let cluster = link.designations[index].cluster;
            if self.directory().is_cluster_enabled(cluster) {
                link.join_cluster(cluster);
            }
        }
    }

    /// As [`join_static`](Self::join_static), for the clusters of one net.
    pub(super) fn join_static_of(&self, link: &mut Link<A>, net: NetId) {
        if link.primary().is_none() {
            return;
        }
        for index in 0..link.designations.len() {
            let cluster = link.designations[index].cluster;
            if self.directory().cluster(cluster).is_some_and(|found| found.is_enabled() && found.net() == net)
            {
                link.join_cluster(cluster);
            }
        }
    }

    /// Leaves the main cluster of a net and all others of it.
    pub(super) fn leave_net(&self, link: &mut Link<A>, net: NetId) {
        let directory = self.directory();
        link.leave(net);
        link.clusters.retain(|cluster| directory.cluster(*cluster).is_some_and(|found| found.net() != net));
    }

    /// A link no longer serves a net. A static peer stays one, and stays in its clusters.
    pub(super) fn let_go(&mut self, addr: &A, net: NetId) {
        let Some(mut link) = self.checkout(addr) else { return };
        self.leave_net(&mut link, net);
        self.join_static_of(&mut link, net);
        link.dissociate(net);
        self.settle(link);
    }

    /// What stays of a link that is deleted: that it is a static peer, and a permanent one of active nets.
    pub(super) fn lasting(&self, link: &Link<A>, now: Instant) -> Option<Link<A>> {
        let directory = self.directory();
        let mut rest = Link::new(link.addr.clone(), now);
        rest.designations.clone_from(&link.designations);
        let wanted = link.nets.iter().copied();
        let kept = |net: &NetId| {
            directory.net(*net).is_some_and(|net| net.is_active() && net.is_permanent(&link.addr))
        };
        rest.nets = wanted.filter(kept).collect();
        rest.drops = link.drops;
        rest.dialable = true;
        rest.has_reason().then_some(rest)
    }

    pub(super) fn designate(&mut self, addr: A, cluster: ClusterId, by: By, now: Instant) -> Applying {
        if self.writer.get(&addr).is_some_and(|link| link.is_designated(cluster, by)) {
            return Ok(Outcome::Unchanged);
        }
        let mut link = self.checkout_or_new(addr, now)?;
        link.designate(cluster, by);
        link.dialable = true;
        if self.directory().is_cluster_enabled(cluster) && link.primary().is_some() {
            link.join_cluster(cluster);
        }
        self.settle(link);
        Ok(Outcome::Done)
    }

    pub(super) fn undesignate(&mut self, addr: &A, cluster: ClusterId, by: By) -> Outcome {
        let designated = |link: &&StdArc<Link<A>>| link.is_designated(cluster, by);
        let Some(link) = self.writer.get(addr).filter(designated) else { return Outcome::Unchanged };
        let mut link = (**link).clone();
        link.undesignate(cluster, by);
        self.settle(link);
        Outcome::Done
    }

    /// The net wants the link from now on: `Associated`, or `AlreadyAssociated` when it did before.
    pub(super) fn associate(&mut self, addr: A, net: NetId, now: Instant) -> Applying {
        if self.writer.get(&addr).is_some_and(|link| link.nets.contains(&net)) {
            return Ok(Outcome::AlreadyAssociated);
        }
        let mut link = self.checkout_or_new(addr, now)?;
        link.dialable = true;
        link.nets.push(net);
        // An announcement of another net does not hold this one back.
        link.announce_not_before = None;
        self.settle(link);
        Ok(Outcome::Associated)
    }
}
