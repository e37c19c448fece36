//! Answers of a store, and the errors returned instead of one.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use crate::link::DialState;
use crate::link::Stream;
use crate::link::addr::Addr;
use crate::link::net::NetId;
use crate::link::record::Link;
use crate::link::stream::Direction;
use crate::manager::model::command::CommandError;
use crate::table::version::Version;

/// The reply of a store to an operation.
pub type Reply<T> = Result<Answer<T>, StoreError>;

/// The answer of a store.
///
/// Two answers are equal if their values are; a version is meaningful within one store only.
#[derive(Clone, Copy, Debug)]
pub struct Answer<T> {
    /// The queried value, or the outcome of the change.
    pub value: T,
    /// The version of the store that contains the change, or from which the value was read. `None` if the
    /// store has no versions.
    pub version: Option<Version>,
}

impl<T> Answer<T> {
    /// Creates an answer of a store without versions.
    pub fn new(value: T) -> Self {
        Self { value, version: None }
    }

    /// Creates an answer that belongs to a version.
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

/// The reason why a store has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The store refused the operation. Nothing changed.
    Refused(CommandError),
    /// The store refused the operation with a code of its own, to be translated where the codes are known.
    Code(i64),
    /// There is no room for the operation, which was not applied. Try again later, or submit less.
    Full,
    /// The store is closed; the operation was not applied.
    Closed,
    /// No answer arrived in time. Whether the operation was, or will be, applied is unknown: query the store.
    TimedOut,
    /// The store panicked. Whether the operation was applied is unknown: query the store.
    Panicked,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::Code(code) => write!(f, "refused with the store's own code {code}"),
            Self::Full => f.write_str("no room for the operation: try again later"),
            Self::Closed => f.write_str("the store is closed: start it, or use the other one"),
            Self::TimedOut => f.write_str("no answer in time: query whether the operation was applied"),
            Self::Panicked => f.write_str("the store panicked: query whether the operation was applied"),
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
    /// Maps `Closed`, `Panicked` and `Shed` to `Closed`, `Panicked` and `Full`. Any other error is a refusal.
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Closed => Self::Closed,
            CommandError::Panicked => Self::Panicked,
            CommandError::Shed => Self::Full,
            error => Self::Refused(error),
        }
    }
}

/// One link as plain data.
///
/// It omits the data that belongs to one store only: the identity of a dial, and the time of the next action.
///
/// # Examples
/// ```
/// use switchboard::NodeAddr;
/// use switchboard::shadow::LinkView;
///
/// let mut view = LinkView::new(NodeAddr(7));
/// view.dialable = true;
/// assert!(view.nets.is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkView<A> {
    /// The remote node.
    pub addr: A,
    /// The direction of the primary stream; `Downlink` if there is none.
    pub direction: Direction,
    /// The progress of the dialer.
    pub state: DialState,
    /// Whether a net asked to dial the node.
    pub dialable: bool,
    /// The last known endpoint of the node.
    pub endpoint: Option<SocketAddr>,
    /// Whether a resolution is in progress.
    pub resolving: bool,
    /// The nets that want the link, in ascending order.
    pub nets: Vec<NetId>,
    /// The nets of which the node is a member, in ascending order.
    pub memberships: Vec<NetId>,
    /// The live streams: the primary one, then the others in ascending order.
    pub streams: Vec<Stream>,
    /// Number of consecutive dial cycles that failed.
    pub attempts: u32,
}

impl<A> LinkView<A> {
    /// Creates the view of a link with only its address known.
    pub fn new(addr: A) -> Self {
        Self {
            addr,
            direction: Direction::Downlink,
            state: DialState::Disconnected,
            dialable: false,
            endpoint: None,
            resolving: false,
            nets: Vec::new(),
            memberships: Vec::new(),
            streams: Vec::new(),
            attempts: 0,
        }
    }

    /// Sorts the lists into the order in which they are compared.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.nets.sort_unstable();
        self.memberships.sort_unstable();
        if let Some((_, others)) = self.streams.split_first_mut() {
            others.sort_unstable_by_key(|stream| stream.id);
        }
        self
    }
}

impl<A: Addr> From<&Link<A>> for LinkView<A> {
    fn from(link: &Link<A>) -> Self {
        let view = Self {
            addr: link.addr().clone(),
            direction: link.direction(),
            state: link.state(),
            dialable: link.is_dialable(),
            endpoint: link.endpoint(),
            resolving: link.is_resolving(),
            nets: link.nets().to_vec(),
            memberships: link.memberships().to_vec(),
            streams: link.streams().to_vec(),
            attempts: link.attempts(),
        };
        view.in_order()
    }
}

/// The members of a net.
///
/// Two listings are equal if both parts contain the same addresses equally often, in any order.
#[derive(Clone, Debug)]
pub struct Listing<A> {
    /// Members whose primary stream this node opened.
    pub uplinks: Vec<A>,
    /// Members whose primary stream the peer opened.
    pub downlinks: Vec<A>,
}

impl<A> Listing<A> {
    /// Returns the number of members listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.uplinks.len() + self.downlinks.len()
    }

    /// Returns whether the listing is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<A> Default for Listing<A> {
    fn default() -> Self {
        Self { uplinks: Vec::new(), downlinks: Vec::new() }
    }
}

impl<A: Addr> PartialEq for Listing<A> {
    /// O(members).
    fn eq(&self, other: &Self) -> bool {
        same_addrs(&self.uplinks, &other.uplinks) && same_addrs(&self.downlinks, &other.downlinks)
    }
}

impl<A: Addr> Eq for Listing<A> {}

fn same_addrs<A: Addr>(left: &[A], right: &[A]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut times: HashMap<&A, usize> = HashMap::new();
    for addr in left {
        *times.entry(addr).or_default() += 1;
    }
    right.iter().all(|addr| match times.get_mut(addr) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    })
}
