//! Commands about clusters, static peers and permanent peers.

use super::{Handle, Submitted};
use crate::link::ClusterKind;
use crate::link::addr::Addr;
use crate::link::cluster::ClusterId;
use crate::link::net::NetId;
use crate::manager::model::command::Command;

impl<A: Addr> Handle<A> {
    /// Associates a cluster with a net, in addition to the main cluster that every net has. The cluster is
    /// enabled at once if the net is on; otherwise it is disabled until the net is switched on. A cluster
    /// belongs to one net.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with
    /// `UnknownNet`, `ClusterExists`, `MainCluster` or `LimitReached`.
    pub fn associate_cluster(&self, net: NetId, cluster: ClusterId, kind: ClusterKind) -> Submitted<A> {
        self.submit(Command::AssociateCluster { net, cluster, kind })
    }

    /// Dissociates a cluster from its net and removes it: its memberships and the designations of its static
    /// peers end, and links that only this cluster kept are closed. O(its members and static peers).
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with
    /// `UnknownCluster` or `MainCluster`.
    pub fn dissociate_cluster(&self, cluster: ClusterId) -> Submitted<A> {
        self.submit(Command::DissociateCluster { cluster })
    }

    /// Makes a connected node a member of an enabled cluster: `Done`, or `Unchanged` if it is already one.
    /// The membership ends when the node's last stream closes, when the net is switched off, when the node is
    /// refused in the net, or with [`leave_cluster`](Self::leave_cluster).
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with
    /// `UnknownCluster`, `MainCluster`, `ClusterDisabled`, `UnknownLink` or `NotConnected`.
    pub fn join_cluster(&self, cluster: ClusterId, addr: A) -> Submitted<A> {
        self.submit(Command::JoinCluster { cluster, addr })
    }

    /// Ends a membership: `Done`, or `Unchanged` if there is none. A link that nothing else keeps is closed.
    /// A static peer joins again with its next stream.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with
    /// `UnknownCluster`, `MainCluster` or `UnknownLink`.
    pub fn leave_cluster(&self, cluster: ClusterId, addr: A) -> Submitted<A> {
        self.submit(Command::LeaveCluster { cluster, addr })
    }

    /// Makes a node a static peer of a cluster: `Done`, or `Unchanged` if this command has already made it
    /// one.
    ///
    /// From then on the link has a record, whether or not any net wants it. While the cluster is enabled, the
    /// node is dialled, and dialled again after every failure. It joins the cluster with its first stream,
    /// without an announcement, or at once if it already has a stream.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with
    /// `BlankAddr`, `OwnAddr`, `UnknownCluster`, `MainCluster` or `LimitReached`.
    pub fn add_static_peer(&self, cluster: ClusterId, addr: A) -> Submitted<A> {
        self.submit(Command::AddStaticPeer { cluster, addr })
    }

    /// Withdraws [`add_static_peer`](Self::add_static_peer): `Done`, or `Unchanged` if there is nothing to
    /// withdraw. A node that is a static peer by its role stays one. A membership stays until the last stream
    /// closes; a link that nothing keeps any more is closed.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with
    /// `UnknownCluster` or `MainCluster`.
    pub fn remove_static_peer(&self, cluster: ClusterId, addr: A) -> Submitted<A> {
        self.submit(Command::RemoveStaticPeer { cluster, addr })
    }

    /// Sets whether a node has a role in an autonomic cluster: `Done`, or `Unchanged` if that already held.
    ///
    /// While this node has a role, every other role member is a static peer of the cluster, whether it got
    /// its role earlier or later. When this node loses its role, they stop being static peers, except those
    /// added by [`add_static_peer`](Self::add_static_peer). O(role members) for this node; O(1) expected, and
    /// one copy of the set of role members per version, for other nodes.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with
    /// `BlankAddr`, `UnknownCluster`, `MainCluster`, `NotAutonomic` or `LimitReached`.
    pub fn set_role_member(&self, cluster: ClusterId, addr: A, member: bool) -> Submitted<A> {
        self.submit(Command::SetRoleMember { cluster, addr, member })
    }

    /// Makes a node a permanent peer of a net: `Done`, or `Unchanged` if it is already one.
    ///
    /// While the net is on, it wants the link, without `create_link` and without an entry in its ignore list.
    /// After the last failure of a dial, and after a refusal, the host is notified
    /// ([`Effect::Released`](crate::Effect::Released)), but the net still wants the link: the next dial or
    /// announcement follows after the retry delay.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with
    /// `BlankAddr`, `OwnAddr`, `UnknownNet` or `LimitReached`.
    pub fn add_permanent_peer(&self, net: NetId, addr: A) -> Submitted<A> {
        self.submit(Command::AddPermanentPeer { net, addr })
    }

    /// Makes a permanent peer an ordinary one: `Done`, or `Unchanged` if it is not a permanent peer. The net
    /// wants the link until it fails; a net that is reserved for its permanent peers lets it go at once.
    ///
    /// # Errors
    /// [`SubmitError`](crate::manager::command::SubmitError) hands the command back. The ticket fails with
    /// `UnknownNet`.
    pub fn remove_permanent_peer(&self, net: NetId, addr: A) -> Submitted<A> {
        self.submit(Command::RemovePermanentPeer { net, addr })
    }
}
