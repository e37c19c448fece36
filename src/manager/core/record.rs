//! Records of links: how they come and go, and what keeps them.
//!
//! A record goes only through [`Core::settle`] and [`Core::forget`]. `settle` asks a single question: does
//! the record still have a reason? The reference asks it in six places, each a little differently, and so
//! closes links that another net still uses, and keeps others that nothing can dial.

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
    /// as created; and whether it is new.
    pub(super) fn checkout_or_new(&mut self, addr: A, now: Instant) -> Result<Link<A>, CommandError> {
        if let Some(link) = self.checkout(&addr) {
            return Ok(link);
        }
        self.check_room()?;
        self.tally.links_created += 1;
        let mut link = Link::new(addr, now);
        // Flaps outlive the record: otherwise forgetting a link would clear its history.
        link.drops = self.drops.get(&link.addr);
        Ok(link)
    }

    /// Stores a changed record, or removes it if it has lost its last reason. Never dials: what has become
    /// due happens when the core is next advanced.
    ///
    /// Every command that takes something away from a record ends here. The peer's own streams survive the
    /// loss of all reasons of this node: they are the peer's to close, and a node that is still connected
    /// must stay visible.
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
            // From here on the record is a pure downlink.
            link.demote();
            self.commit(link);
        } else {
            self.forget(link);
        }
    }

    /// Removes the record and closes everything that belongs to it.
    ///
    /// Streams are closed by identity, one by one. An order to close "the streams of this address" could be
    /// carried out late and hit one that was opened afterwards.
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

    /// Sends the dialer back to idle: a dial that is abandoned, or whose connection was replaced. The dial is
    /// cancelled by its identity, and the streams that it made go with it; their reports may still be under
    /// way and find nothing.
    pub(super) fn reset_dialer(&mut self, link: &mut Link<A>) {
        link.state = DialState::Disconnected;
        link.resolving = None;
        if let Some(dial) = link.dial.take() {
            self.effects.push(Effect::CancelDial { addr: link.addr.clone(), dial: dial.id });
            link.streams.retain(|stream| stream.direction == Direction::Downlink);
        }
    }

    /// Makes the first remaining stream the primary one. If a stream of the peer takes over from one of this
    /// node, the dialer starts again from idle; memberships stay, because the nodes are still connected.
    /// Announcements made on the old stream may have died with it and are repeated.
    pub(super) fn follow(&mut self, link: &mut Link<A>, before: Option<Stream>) {
        let dialed = link.direction == Direction::Uplink;
        link.turn_to_primary(before);
        if dialed && link.direction == Direction::Downlink {
            self.reset_dialer(link);
        }
    }

    /// Tells the host that a net loses this link, and ends the association unless the peer is permanent.
    ///
    /// In the reference the answer of a callback decides whether the association stays. Here it is data, the
    /// set of permanent peers: the core never waits for the host.
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

    /// Puts the address on the ignore list of the net: candidates leave it out for the ignore period. Only
    /// accepted creates come here; the reference also lists addresses that it has just refused.
    pub(super) fn ignore(&mut self, addr: &A, net: NetId, now: Instant) {
        let until = later(now, self.settings().ignore_period);
        let limit = self.settings().max_ignored;
        if let Some(status) = self.directory_mut().net_mut(net) {
            // Expired entries first: they do not count against the limit.
            status.expire_ignored(now);
            status.ignore(addr, until, limit);
        }
    }

    /// Joins a connected link to the enabled clusters of which it is a static peer. No announcement: both
    /// sides have been configured.
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

    /// Like [`join_static`](Self::join_static), for the clusters of one net: used when the net comes on or
    /// accepts the link, so that clusters of other nets are not touched.
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

    /// Leaves the main cluster and all associated clusters of a net. A node that a net has refused is a
    /// member of nothing in that net.
    pub(super) fn leave_net(&self, link: &mut Link<A>, net: NetId) {
        let directory = self.directory();
        link.leave(net);
        link.clusters.retain(|cluster| directory.cluster(*cluster).is_some_and(|found| found.net() != net));
    }

    /// Ends the service of a link for a net that no longer admits it. A static peer remains one, and stays in
    /// its clusters: the designation was made by another command and is independent of admission.
    pub(super) fn let_go(&mut self, addr: &A, net: NetId) {
        let Some(mut link) = self.checkout(addr) else { return };
        self.leave_net(&mut link, net);
        self.join_static_of(&mut link, net);
        link.dissociate(net);
        self.settle(link);
    }

    /// The lasting part of a link that is being deleted: its designations, and its associations with active
    /// nets of which it is a permanent peer. `None` if nothing lasts.
    ///
    /// Deleting closes the link, but does not revoke what other commands established. Otherwise the next
    /// command about the cluster or net would find a static or permanent peer without a record.
    pub(super) fn lasting(&self, link: &Link<A>, now: Instant) -> Option<Link<A>> {
        let directory = self.directory();
        let mut rest = Link::new(link.addr.clone(), now);
        rest.designations.clone_from(&link.designations);
        let wanted = link.nets.iter().copied();
        let kept = |net: &NetId| {
            directory.net(*net).is_some_and(|net| net.is_active() && net.is_permanent(&link.addr))
        };
        rest.nets = wanted.filter(kept).collect();
        // A deletion is no way out of a rest.
        rest.drops = link.drops;
        rest.dialable = true;
        rest.has_reason().then_some(rest)
    }

    /// Makes the node a static peer of a cluster and gives it a record. Designations by the host and by role
    /// are noted separately, and each is a set: revoking one does not revoke the other, and a repeated
    /// designation is not counted twice. In the reference, replaying the roles adds each peer twice, and one
    /// removal then no longer releases it.
    pub(super) fn designate(&mut self, addr: A, cluster: ClusterId, by: By, now: Instant) -> Applying {
        if self.writer.get(&addr).is_some_and(|link| link.is_designated(cluster, by)) {
            return Ok(Outcome::Unchanged);
        }
        let mut link = self.checkout_or_new(addr, now)?;
        link.designate(cluster, by);
        // A pure downlink becomes dialable and joins with the stream it has; the reference leaves it as it
        // is, with a record that can never be dialled.
        link.dialable = true;
        if self.directory().is_cluster_enabled(cluster) && link.primary().is_some() {
            link.join_cluster(cluster);
        }
        self.settle(link);
        Ok(Outcome::Done)
    }

    /// Takes one designation back. A membership stays until the stream ends.
    pub(super) fn undesignate(&mut self, addr: &A, cluster: ClusterId, by: By) -> Outcome {
        let designated = |link: &&StdArc<Link<A>>| link.is_designated(cluster, by);
        let Some(link) = self.writer.get(addr).filter(designated) else { return Outcome::Unchanged };
        let mut link = (**link).clone();
        link.undesignate(cluster, by);
        self.settle(link);
        Outcome::Done
    }

    /// Makes a net want a link: `Associated`, or `AlreadyAssociated` if it did before.
    ///
    /// Shared by hosts that create links and by permanent peers. The ignore list is not involved: it is for
    /// addresses that a host offered, and a permanent peer must never be ignored.
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
