//! Clusters, static and permanent peers.

use super::{Handle, Submitted};
use crate::link::ClusterKind;
use crate::link::addr::Addr;
use crate::link::cluster::ClusterId;
use crate::link::net::NetId;
use crate::manager::model::command::Command;

impl<A: Addr> Handle<A> {
    /// Associates a cluster with a net, beside the main cluster that every net has. It is enabled at once
    /// when the net is on; otherwise it is disabled until the net goes on. A cluster belongs to one net.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with `UnknownNet`,
    /// `ClusterExists`, `MainCluster` or `LimitReached`.
    pub fn associate_cluster(&self, net: NetId, cluster: ClusterId, kind: ClusterKind) -> Submitted<A> {
        self.submit(Command::AssociateCluster { net, cluster, kind })
    }

    /// Forgets a cluster: its memberships end, its static peers are none any more, and links that only this
    /// cluster kept are closed. O(its members and static peers).
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with `UnknownCluster` or
    /// `MainCluster`.
    pub fn dissociate_cluster(&self, cluster: ClusterId) -> Submitted<A> {
        self.submit(Command::DissociateCluster { cluster })
    }

    /// Makes a connected node a member of an enabled cluster: `Done`, or `Unchanged` when it is one. The
    /// membership ends with its last stream, with its net, with a refusal in its net, or with
    /// [`leave_cluster`](Self::leave_cluster).
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with `UnknownCluster`,
    /// `MainCluster`, `ClusterDisabled`, `UnknownLink` or `NotConnected`.
    pub fn join_cluster(&self, cluster: ClusterId, addr: A) -> Submitted<A> {
        self.submit(Command::JoinCluster { cluster, addr })
    }

    /// Ends a membership: `Done`, or `Unchanged` when there is none. A link that nothing else kept is closed.
    /// A static peer joins again with its next stream.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with `UnknownCluster`,
    /// `MainCluster` or `UnknownLink`.
    pub fn leave_cluster(&self, cluster: ClusterId, addr: A) -> Submitted<A> {
        self.submit(Command::LeaveCluster { cluster, addr })
    }

    /// Makes a node a static peer of a cluster: `Done`, or `Unchanged` when it is one by this command.
    ///
    /// The link has a record from now on, whether or not any net wants it. While the cluster is enabled the
    /// node is dialled, and dialled again whenever it fails; with its first stream it joins the cluster,
    /// without an announcement. Where it has a stream already, it joins at once.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with `BlankAddr`, `OwnAddr`,
    /// `UnknownCluster`, `MainCluster` or `LimitReached`.
    pub fn add_static_peer(&self, cluster: ClusterId, addr: A) -> Submitted<A> {
        self.submit(Command::AddStaticPeer { cluster, addr })
    }

    /// Takes back [`add_static_peer`](Self::add_static_peer): `Done`, or `Unchanged` when there is nothing to
    /// take back. A node that is a static peer by its role stays one. A membership stays until the stream
    /// ends; a link that nothing keeps is closed.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with `UnknownCluster` or
    /// `MainCluster`.
    pub fn remove_static_peer(&self, cluster: ClusterId, addr: A) -> Submitted<A> {
        self.submit(Command::RemoveStaticPeer { cluster, addr })
    }

    /// Says whether a node has a role in an autonomic cluster: `Done`, or `Unchanged` when that was so
    /// before.
    ///
    /// While this node has a role, every other one that has is a static peer of the cluster: those that had
    /// one before, and those that get one later. When this node loses its role, they are so no more, except
    /// by [`add_static_peer`](Self::add_static_peer). O(role members) for this node, O(1) expected and a copy
    /// of the set of role members per version for the others.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with `BlankAddr`,
    /// `UnknownCluster`, `MainCluster`, `NotAutonomic` or `LimitReached`.
    pub fn set_role_member(&self, cluster: ClusterId, addr: A, member: bool) -> Submitted<A> {
        self.submit(Command::SetRoleMember { cluster, addr, member })
    }

    /// Makes a node a permanent peer of a net: `Done`, or `Unchanged` when it is one.
    ///
    /// The net wants the link whenever it is on, without `create_link` and without a place on its ignore list.
    /// After the last failure of a dial, and after a refusal, the host is told
    /// ([`Effect::Released`](crate::Effect::Released)) and the net goes on wanting it: the
    /// next dial or announcement follows after the retry delay.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with `BlankAddr`, `OwnAddr`,
    /// `UnknownNet` or `LimitReached`.
    pub fn add_permanent_peer(&self, net: NetId, addr: A) -> Submitted<A> {
        self.submit(Command::AddPermanentPeer { net, addr })
    }

    /// Makes a permanent peer an ordinary one: `Done`, or `Unchanged` when it is none. The net goes on
    /// wanting the link until it fails; a net that is reserved to its permanent peers lets it go at once.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with `UnknownNet`.
    pub fn remove_permanent_peer(&self, net: NetId, addr: A) -> Submitted<A> {
        self.submit(Command::RemovePermanentPeer { net, addr })
    }
}
