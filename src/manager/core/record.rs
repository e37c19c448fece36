//! Records of links: how they are created and removed, and what keeps them.
//!
//! Commands remove a record only through [`Core::settle`] and [`Core::forget`]. `settle` asks a single
//! question: does the record still have a reason? The reference asks it in six places, each a little
//! differently. It therefore closes links that another net still uses, and keeps others that can never be
//! dialled.

use std::time::Instant;

use super::staged::Core;
use crate::link::addr::Addr;
use crate::link::cluster::{By, ClusterId};
use crate::link::failure::LinkFailure;
use crate::link::net::NetId;
use crate::link::record::Link;
use crate::link::stream::Direction;
use crate::link::{DialState, Stream};
use crate::manager::model::command::{Applying, CommandError, Outcome};
use crate::manager::model::effect::Effect;
use crate::sync::StdArc;
use crate::util::time::later;

impl<A: Addr> Core<A> {
    /// A copy of the record of `addr`, as from [`checkout`](Self::checkout), or a new record, which is
    /// counted as created.
    ///
    /// # Errors
    /// Fails if there is no room for a new record.
    pub(super) fn checkout_or_new(&mut self, addr: A, now: Instant) -> Result<Link<A>, CommandError> {
        if let Some(link) = self.checkout(&addr) {
            return Ok(link);
        }
        self.check_room()?;
        self.tally.links_created += 1;
        let mut link = Link::new(addr, now);
        // Flaps outlive the record: otherwise removing a link would clear its history.
        link.flaps = self.flaps.get(&link.addr);
        Ok(link)
    }

    /// Stores a changed record, or removes it if it has lost its last reason. Never dials: a dial that has
    /// become due starts when the core is next advanced.
    ///
    /// Every command that removes something from a record ends here. The peer's own streams survive the loss
    /// of all reasons of this node: they are the peer's to close, and a node that is still connected must
    /// stay visible.
    pub(super) fn settle(&mut self, mut link: Link<A>) {
        if link.has_reason() {
            if link.dialable
                && link.nets.is_empty()
                && !link.is_active()
                && !self.rules().has_enabled_static(&link)
            {
                // A static peer whose clusters are all disabled: the record stays, the connection is closed.
                self.reset_dialer(&mut link);
                link.follow_primary();
            }
            self.commit(link);
        } else if link.streams.iter().any(|stream| stream.direction == Direction::Downlink) {
            // No net or cluster asks for a dial any more. The streams that the peer opened are the peer's to
            // close.
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
    /// Streams are closed by identity, one by one. An effect that closes "the streams of this address" could
    /// be carried out late and close one that was opened afterwards.
    pub(super) fn forget(&mut self, link: Link<A>) {
        self.remove_record(&link.addr);
        self.tally.links_deleted += 1;
        let dialer = link.dialable;
        if dialer {
            self.effects.push(Effect::CloseDialer { addr: link.addr.clone() });
        }
        // `CloseDialer` already closes the streams that this node opened.
        let others = link.streams.iter().filter(|stream| !dialer || stream.direction == Direction::Downlink);
        let streams: Vec<_> = others.map(|stream| stream.id).collect();
        if !streams.is_empty() {
            self.effects.push(Effect::CloseStreams { addr: link.addr, streams });
        }
    }

    /// Returns the dialer to idle, because its dial was abandoned or its connection replaced. The dial is
    /// cancelled by its identity, and the streams that it made are unlisted with it: reports about them that
    /// are still on their way end `Stale`.
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
    /// Announcements made on the old stream may have been lost with it and are repeated.
    pub(super) fn follow(&mut self, link: &mut Link<A>, before: Option<Stream>) {
        let dialed = link.direction == Direction::Uplink;
        link.turn_to_primary(before);
        if dialed && link.direction == Direction::Downlink {
            self.reset_dialer(link);
        }
    }

    /// Tells the host that a net loses this link, and ends the association unless the peer is permanent.
    ///
    /// In the reference, the return value of a callback decides whether the association stays. Here it is
    /// data, the set of permanent peers, so the core never waits for the host.
    pub(super) fn disconnect_from(&mut self, link: &mut Link<A>, net: NetId, cause: LinkFailure) {
        // The index counts the staged record, which still contains a membership that this command ends: the
        // effect must report the members without it.
        let mut members = self.counts(net).total();
        if self.writer.get(&link.addr).is_some_and(|staged| staged.is_member(net)) && !link.is_member(net) {
            members -= 1;
        }
        self.effects.push(Effect::Released { addr: link.addr.clone(), net, members, cause });
        if !self.is_permanent(&link.addr, net) {
            link.dissociate(net);
        }
    }

    /// Puts the address on the ignore list of the net for the ignore period. Called only for commands that
    /// were accepted, and for flapping links; the reference also lists addresses that it has just refused.
    pub(super) fn ignore(&mut self, addr: &A, net: NetId, failure: Option<LinkFailure>, now: Instant) {
        let until = later(now, self.settings().ignore_period);
        let limit = self.settings().max_ignored;
        if let Some(status) = self.directory_mut().net_mut(net) {
            // Expired entries first, so that they do not use up the limit.
            status.expire_ignored(now);
            status.ignore(addr, until, failure, limit);
        }
    }

    /// Notes on the ignore lists of these nets why they lost the link, where the address is listed. The entry
    /// outlives the record: a link that is released after its only attempt would otherwise leave no trace in
    /// a version.
    ///
    /// To be called last in a command that journals the directory only here: for one net that is not needed,
    /// and it would copy the list of the net.
    pub(super) fn note_failure(&mut self, addr: &A, nets: &[NetId], cause: LinkFailure) {
        if nets.len() > 1 {
            self.journal_directory();
        }
        for net in nets {
            let listed = self.directory().net(*net).and_then(|status| status.ignored_index(addr));
            let status = listed.and_then(|index| Some((index, self.directory_mut().net_mut(*net)?)));
            if let Some((index, status)) = status {
                status.note_failure(index, cause);
            }
        }
    }

    /// Joins a connected link to the enabled clusters of which it is a static peer. No announcement is
    /// needed: both sides have been configured.
    pub(super) fn join_static(&self, link: &mut Link<A>) {
        if link.primary().is_none() {
            return;
        }
        // By index, because joining changes the link.
        for index in 0..link.designations.len() {
            let cluster = link.designations[index].cluster;
            if self.directory().is_cluster_enabled(cluster) {
                link.join_cluster(cluster);
            }
        }
    }

    /// Like [`join_static`](Self::join_static), for the clusters of one net: used when the net is switched on
    /// or accepts the link. A cluster of another net that the host has made the node leave is not joined
    /// again.
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

    /// Leaves the main cluster and all associated clusters of a net. After a refusal the node is a member of
    /// no cluster of that net.
    pub(super) fn leave_net(&self, link: &mut Link<A>, net: NetId) {
        let directory = self.directory();
        link.leave(net);
        link.clusters.retain(|cluster| directory.cluster(*cluster).is_some_and(|found| found.net() != net));
    }

    /// Removes a link from a net that no longer admits it. A static peer remains one, and stays in its
    /// clusters: the designation was made by another command and is independent of admission.
    pub(super) fn let_go(&mut self, addr: &A, net: NetId) {
        let Some(mut link) = self.checkout(addr) else { return };
        self.leave_net(&mut link, net);
        self.join_static_of(&mut link, net);
        link.dissociate(net);
        self.settle(link);
    }

    /// The lasting part of a link that is being deleted: its designations, and its associations with active
    /// nets of which it is a permanent peer. `None` if there is neither.
    ///
    /// A deletion closes the link, but does not revoke what other commands established. Otherwise the next
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
        // The count of flaps stays: the next flap may make the link flapping, deleted or not.
        rest.flaps = link.flaps;
        rest.dialable = true;
        rest.has_reason().then_some(rest)
    }

    /// Makes the node a static peer of a cluster and gives it a record.
    ///
    /// Designations by the host and by role are noted separately, and each is a flag: revoking one does not
    /// revoke the other, and a repeated designation is not counted twice. In the reference, replaying the
    /// roles adds each peer twice, and one removal then no longer releases it.
    pub(super) fn designate(&mut self, addr: A, cluster: ClusterId, by: By, now: Instant) -> Applying {
        if self.writer.get(&addr).is_some_and(|link| link.is_designated(cluster, by)) {
            return Ok(Outcome::Unchanged);
        }
        let mut link = self.checkout_or_new(addr, now)?;
        link.designate(cluster, by);
        // A pure downlink becomes dialable and joins with its present stream. The reference leaves it as it
        // is, with a record that can never be dialled.
        link.dialable = true;
        if self.directory().is_cluster_enabled(cluster) && link.primary().is_some() {
            link.join_cluster(cluster);
        }
        self.settle(link);
        Ok(Outcome::Done)
    }

    /// Revokes one designation. A membership stays until the last stream ends.
    pub(super) fn undesignate(&mut self, addr: &A, cluster: ClusterId, by: By) -> Outcome {
        let designated = |link: &&StdArc<Link<A>>| link.is_designated(cluster, by);
        let Some(link) = self.writer.get(addr).filter(designated) else { return Outcome::Unchanged };
        let mut link = (**link).clone();
        link.undesignate(cluster, by);
        self.settle(link);
        Outcome::Done
    }

    /// Makes a net want a link, and creates the record if there is none. The ignore list is not involved: a
    /// permanent peer is not a candidate that the host has tried.
    pub(super) fn associate(&mut self, addr: A, net: NetId, now: Instant) -> Applying {
        if self.writer.get(&addr).is_some_and(|link| link.nets.contains(&net)) {
            return Ok(Outcome::AlreadyAssociated);
        }
        let mut link = self.checkout_or_new(addr, now)?;
        link.dialable = true;
        link.nets.push(net);
        // A recent announcement of another net must not delay that of this net.
        link.announce_not_before = None;
        self.settle(link);
        Ok(Outcome::Associated)
    }
}
