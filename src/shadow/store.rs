//! What an embedder does with a link manager, as a trait that two different managers can implement.
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
/// A link manager as its embedder sees it: synchronous, with plain data for answers.
///
/// Implement it for the manager that is to be replaced, and [`Shadow`](super::Shadow) compares it with the
/// new one, which [`ManagerStore`](super::ManagerStore) puts behind the same trait.
/// [`from_fn`](super::from_fn) makes a store of one function, for adapters.
///
/// # What two stores must have in common to be compared
/// * *When a call returns, its change is made*, and every later call on any thread finds it.
/// * *Refusals are answers.* An operation that is refused changes nothing and says
///   [`StoreError::Refused`](crate::shadow::StoreError::Refused); one that names a stream, a dial or a link that is gone is no error: its
///   outcome is [`Outcome::Stale`].
/// * *Order counts only where it means something.* A [`Listing`] keeps uplinks and downlinks apart and has no
///   order inside of either; a [`LinkView`] has the nets in rising order and the primary stream first.
/// * *Identities of streams are the transport's*, the same for both stores. *Identities of dials and of
///   questions for endpoints are the store's own*: a report about one names it to the store that started it,
///   and says `None` to every other store, for which it means the one that the link has at that time.
/// * *Time comes in by [`tick`](Self::tick).* A store with a clock and a thread of its own acts between two
///   calls, and two such stores do not do so in the same moment: share the clock, or expect mismatches
///   around retries and time-outs.
///
/// # Errors
/// Every method: [`StoreError`](crate::shadow::StoreError).
#[allow(clippy::missing_errors_doc)] // One section for all, above.
pub trait LinkStore: Send + Sync + 'static {
    /// What identifies a remote node.
    type Addr: Addr;

    /// Manages a net, which starts switched off: `Done`; refused with `InvalidNet`, `NetExists`,
    /// `LimitReached`.
    fn add_net(&self, net: NetId, config: NetConfig) -> Reply<Outcome>;

    /// Switches a net off and stops managing it: `Done`; refused with `UnknownNet`.
    fn remove_net(&self, net: NetId) -> Reply<Outcome>;

    /// Switches a net on or off: `Done`, `Unchanged`; refused with `UnknownNet`.
    fn set_net_active(&self, net: NetId, active: bool) -> Reply<Outcome>;

    /// A net wants a link: `Created`, `Associated`, `AlreadyAssociated`; refused with `BlankAddr`, `OwnAddr`,
    /// `UnknownNet`, `LimitReached`.
    fn create_link(&self, addr: &Self::Addr, net: NetId) -> Reply<Outcome>;

    /// Where a node listens: `Done`, `Unchanged`; refused with `UnknownLink`, `NotDialable`, `LinkBusy`, `Endpoint`.
    fn set_endpoint(&self, addr: &Self::Addr, endpoint: SocketAddr) -> Reply<Outcome>;

    /// Closes a link and forgets it: `Done`; refused with `UnknownLink`.
    fn delete_link(&self, addr: &Self::Addr) -> Reply<Outcome>;

    /// Nobody knows where the node listens: `Done`, `Stale`. `None` is the question that waits now.
    fn resolve_failed(&self, addr: &Self::Addr, resolve: Option<ResolveId>) -> Reply<Outcome>;

    /// A stream appeared: `Done`, `Spare`, `Unchanged`, `Stale`; refused with `BlankAddr`, `OwnAddr`,
    /// `Inactive`, `UnknownLink`, `LimitReached`.
    fn add_stream(&self, addr: &Self::Addr, stream: StreamId, direction: Direction) -> Reply<Outcome>;

    /// A stream died and another one takes over: `Done`, `Unchanged`, `Stale`.
    fn replace_stream(
        &self,
        addr: &Self::Addr,
        old: StreamId,
        new: StreamId,
        direction: Direction,
    ) -> Reply<Outcome>;

    /// A stream died: `Done`, `Stale`.
    fn delete_stream(&self, addr: &Self::Addr, stream: StreamId) -> Reply<Outcome>;

    /// Both sides agreed when a net was announced on a stream: `Done`, `Unchanged`, `Stale`; refused with
    /// `UnknownNet`, `NetInactive`.
    fn admit(&self, net: NetId, addr: &Self::Addr, stream: StreamId) -> Reply<Outcome>;

    /// One side declined when a net was announced on a stream: as [`admit`](Self::admit).
    fn refuse(&self, net: NetId, addr: &Self::Addr, stream: StreamId) -> Reply<Outcome>;

    /// A dial reached the node: `Done`, `Unchanged`, `Stale`. `None` is the dial that the link has now.
    fn dial_connected(&self, addr: &Self::Addr, dial: Option<DialId>) -> Reply<Outcome>;

    /// A dial failed, or its connection broke; with `last` the dialer has given up: `Done`, `Stale`. `None`
    /// is the dial that the link has now.
    fn dial_failed(&self, addr: &Self::Addr, dial: Option<DialId>, last: bool) -> Reply<Outcome>;

    /// Does what is due at `now`, which must not go backwards: `Done`. A store that keeps its own time does
    /// nothing.
    fn tick(&self, now: Instant) -> Reply<Outcome> {
        let _ = now;
        Ok(Answer::new(Outcome::Done))
    }

    /// Members of the net; 0 for an unknown one.
    fn count(&self, net: NetId) -> Reply<usize>;

    /// How many links the net is short of its minimum; 0 for an unknown one.
    fn needed(&self, net: NetId) -> Reply<usize>;

    /// Whether the net is switched on; `false` for an unknown one.
    fn is_active(&self, net: NetId) -> Reply<bool>;

    /// Whether there is a link that the net wants.
    fn contains(&self, addr: &Self::Addr, net: NetId) -> Reply<bool>;

    /// The link of an address.
    fn get(&self, addr: &Self::Addr) -> Reply<Option<LinkView<Self::Addr>>>;

    /// The members of the net; none for an unknown one.
    fn addrs(&self, net: NetId, filter: MemberFilter) -> Reply<Listing<Self::Addr>>;
}
