//! The interface of a link manager for its embedder, as a trait that two different managers can implement.
use std::net::SocketAddr;
use std::time::Instant;

use super::answer::{Answer, Reply};
use super::answer::{LinkView, Listing};
use crate::link::addr::Addr;
use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialId, ResolveId};
use crate::manager::MemberFilter;
use crate::manager::model::command::Outcome;
/// A link manager as its embedder uses it: synchronous, with plain data as answers.
///
/// Implement it for the manager to be replaced. [`Shadow`](super::Shadow) then compares it with the new
/// manager, for which [`ManagerStore`](super::ManagerStore) implements the same trait.
/// [`from_fn`](super::from_fn) creates a store from one function, for adapters.
///
/// # Requirements for a comparison
/// Two stores can be compared if both follow these rules:
/// * *A change takes effect before its call returns*, and every later call on any thread observes it.
/// * *Refusals are answers.* A refused operation changes nothing and returns
///   [`StoreError::Refused`](crate::shadow::StoreError::Refused). A report that names a stream, a dial or a
///   link that no longer exists is not an error: its outcome is [`Outcome::Stale`].
/// * *Order matters only where it is meaningful.* A [`Listing`] separates uplinks from downlinks, and neither
///   part is ordered; a [`LinkView`] has the nets in ascending order and the primary stream first.
/// * *The transport assigns the identities of streams*, which are the same for both stores. *Each store
///   assigns the identities of its dials and resolutions*: a report carries the identity for the store that
///   started the dial or resolution, and `None` for any other store, where it refers to the current one of
///   the link.
/// * *Time advances through [`tick`](Self::tick).* A store with its own clock and thread also acts between
///   two calls, and two such stores do not act at the same moment: share the clock, or expect mismatches
///   around retries and timeouts.
///
/// # Errors
/// Every method: [`StoreError`](crate::shadow::StoreError).
#[allow(clippy::missing_errors_doc)] // One section for all, above.
pub trait LinkStore: Send + Sync + 'static {
    /// The address of a remote node.
    type Addr: Addr;

    /// Adds a net, which starts switched off: `Done`; refused with `InvalidNet`, `NetExists`, `LimitReached`.
    fn add_net(&self, net: NetId, config: NetConfig) -> Reply<Outcome>;

    /// Switches a net off and removes it: `Done`; refused with `UnknownNet`.
    fn remove_net(&self, net: NetId) -> Reply<Outcome>;

    /// Switches a net on or off: `Done`, `Unchanged`; refused with `UnknownNet`.
    fn set_net_active(&self, net: NetId, active: bool) -> Reply<Outcome>;

    /// Creates a link for a net, or associates an existing link with it: `Created`, `Associated`,
    /// `AlreadyAssociated`; refused with `BlankAddr`, `OwnAddr`, `UnknownNet`, `LimitReached`.
    fn create_link(&self, addr: &Self::Addr, net: NetId) -> Reply<Outcome>;

    /// Sets the endpoint at which a node listens: `Done`, `Unchanged`; refused with `UnknownLink`,
    /// `NotDialable`, `LinkBusy`, `Endpoint`.
    fn set_endpoint(&self, addr: &Self::Addr, endpoint: SocketAddr) -> Reply<Outcome>;

    /// Closes and removes a link: `Done`; refused with `UnknownLink`.
    fn delete_link(&self, addr: &Self::Addr) -> Reply<Outcome>;

    /// Reports that a resolution found no endpoint: `Done`, `Stale`. `None` is the current resolution.
    fn resolve_failed(&self, addr: &Self::Addr, resolve: Option<ResolveId>) -> Reply<Outcome>;

    /// Reports a new stream: `Done`, `Spare`, `Unchanged`, `Stale`; refused with `BlankAddr`, `OwnAddr`,
    /// `Inactive`, `UnknownLink`, `LimitReached`.
    fn add_stream(&self, addr: &Self::Addr, stream: StreamId, direction: Direction) -> Reply<Outcome>;

    /// Reports that a stream died and another one replaces it: `Done`, `Unchanged`, `Stale`.
    fn replace_stream(
        &self,
        addr: &Self::Addr,
        old: StreamId,
        new: StreamId,
        direction: Direction,
    ) -> Reply<Outcome>;

    /// Reports that a stream died: `Done`, `Stale`.
    fn delete_stream(&self, addr: &Self::Addr, stream: StreamId) -> Reply<Outcome>;

    /// Reports that both ends agreed on a net announced on a stream: `Done`, `Unchanged`, `Stale`; refused
    /// with `UnknownNet`, `NetInactive`.
    fn admit(&self, net: NetId, addr: &Self::Addr, stream: StreamId) -> Reply<Outcome>;

    /// Reports that one end declined a net announced on a stream; answers as [`admit`](Self::admit).
    fn refuse(&self, net: NetId, addr: &Self::Addr, stream: StreamId) -> Reply<Outcome>;

    /// Reports that a dial reached the node: `Done`, `Unchanged`, `Stale`. `None` is the current dial of the
    /// link.
    fn dial_connected(&self, addr: &Self::Addr, dial: Option<DialId>) -> Reply<Outcome>;

    /// Reports that a dial failed or that its connection broke; with `last`, the dialer has given up: `Done`,
    /// `Stale`. `None` is the current dial of the link.
    fn dial_failed(&self, addr: &Self::Addr, dial: Option<DialId>, last: bool) -> Reply<Outcome>;

    /// Performs the actions due at `now`, which must not decrease between calls: `Done`. A store that keeps
    /// its own time does nothing.
    fn tick(&self, now: Instant) -> Reply<Outcome> {
        let _ = now;
        Ok(Answer::new(Outcome::Done))
    }

    /// Returns the number of members of the net; 0 for an unknown net.
    fn count(&self, net: NetId) -> Reply<usize>;

    /// Returns the number of links by which the net falls short of its minimum; 0 for an unknown net.
    fn needed(&self, net: NetId) -> Reply<usize>;

    /// Returns whether the net is switched on; `false` for an unknown net.
    fn is_active(&self, net: NetId) -> Reply<bool>;

    /// Returns whether a link to the node exists that the net wants.
    fn contains(&self, addr: &Self::Addr, net: NetId) -> Reply<bool>;

    /// Returns the link of an address.
    fn get(&self, addr: &Self::Addr) -> Reply<Option<LinkView<Self::Addr>>>;

    /// Returns the members of the net; none for an unknown net.
    fn addrs(&self, net: NetId, filter: MemberFilter) -> Reply<Listing<Self::Addr>>;
}
