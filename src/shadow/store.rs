//! What an embedder does with a link manager, as a trait that two different managers can implement.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use super::operation::{LinkView, Listing};
use crate::link::addr::Addr;
use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialId, ResolveId};
use crate::manager::MemberFilter;
use crate::manager::model::command::{CommandError, Outcome};
use crate::table::version::Version;

/// A link manager as its embedder sees it: synchronous, with plain data for answers.
///
/// Implement it for the manager that is to be replaced, and [`Shadow`](super::Shadow) compares it with the
/// new one, which [`ManagerStore`](super::ManagerStore) puts behind the same trait.
/// [`from_fn`](super::from_fn) makes a store of one function, for adapters.
///
/// # What two stores must have in common to be compared
/// * *When a call returns, its change is made*, and every later call on any thread finds it.
/// * *Refusals are answers.* An operation that is refused changes nothing and says
///   [`StoreError::Refused`]; one that names a stream, a dial or a link that is gone is no error: its
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
/// Every method: [`StoreError`].
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

/// What a store says to an operation.
pub type Reply<T> = Result<Answer<T>, StoreError>;

/// The answer of a store.
///
/// Two answers are equal when their values are: a version says something about one store only.
#[derive(Clone, Copy, Debug)]
pub struct Answer<T> {
    /// What was asked for, or how the change ended.
    pub value: T,
    /// A version of the store that contains the change, or that the value was read from. `None`: the store
    /// has no versions.
    pub version: Option<Version>,
}

impl<T> Answer<T> {
    /// An answer of a store without versions.
    pub fn new(value: T) -> Self {
        Self { value, version: None }
    }

    /// An answer that belongs to a version.
    pub fn at(value: T, version: Version) -> Self {
        Self { value, version: Some(version) }
    }

    pub(super) fn map<U>(self, with: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: with(self.value), version: self.version }
    }
}

impl<T: PartialEq> PartialEq for Answer<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Answer<T> {}

/// Why a store has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The store refused the operation. Nothing changed.
    Refused(CommandError),
    /// The store refused the operation with a code of its own: translate it where the codes are known.
    Code(i64),
    /// There is no room for the operation: it was not applied. Try again later, or ask for less.
    Full,
    /// The store has ended: the operation was not applied.
    Closed,
    /// No answer came in time. Whether the operation was, or will be, applied is unknown: ask.
    TimedOut,
    /// The store panicked. Whether the operation was applied is unknown: ask.
    Panicked,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::Code(code) => write!(f, "refused with code {code}: translate it where the codes are known"),
            Self::Full => f.write_str("no room for the operation: try again later"),
            Self::Closed => f.write_str("the store has ended: start it, or use the other one"),
            Self::TimedOut => f.write_str("no answer in time: ask whether the operation was applied"),
            Self::Panicked => f.write_str("the store panicked: ask whether the operation was applied"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(error) => Some(error),
            _ => None,
        }
    }
}

impl From<CommandError> for StoreError {
    /// `Closed` stays what it is; everything else is a refusal.
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Closed => Self::Closed,
            CommandError::Panicked => Self::Panicked,
            CommandError::Shed => Self::Full,
            error => Self::Refused(error),
        }
    }
}
