//! Operations and their answers as values, which are sent to the sides of a shadow and shown in a mismatch.
use std::net::SocketAddr;
use std::time::Instant;

use super::answer::Reply;
use super::answer::{LinkView, Listing};
use super::store::LinkStore;
use crate::link::addr::Addr;
use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialId, ResolveId};
use crate::manager::MemberFilter;
use crate::manager::model::command::Outcome;

/// One call of a [`LinkStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation<A> {
    /// [`LinkStore::add_net`].
    AddNet {
        /// The net.
        net: NetId,
        /// The requirements of the net.
        config: NetConfig,
    },
    /// [`LinkStore::remove_net`].
    RemoveNet {
        /// The net.
        net: NetId,
    },
    /// [`LinkStore::set_net_active`].
    SetNetActive {
        /// The net.
        net: NetId,
        /// Whether to switch it on.
        active: bool,
    },
    /// [`LinkStore::create_link`].
    CreateLink {
        /// The remote node.
        addr: A,
        /// The net.
        net: NetId,
    },
    /// [`LinkStore::set_endpoint`].
    SetEndpoint {
        /// The remote node.
        addr: A,
        /// The endpoint at which the node listens.
        endpoint: SocketAddr,
    },
    /// [`LinkStore::delete_link`].
    DeleteLink {
        /// The remote node.
        addr: A,
    },
    /// [`LinkStore::resolve_failed`].
    ResolveFailed {
        /// The remote node.
        addr: A,
        /// The resolution; `None` is the current one.
        resolve: Option<ResolveId>,
    },
    /// [`LinkStore::add_stream`].
    AddStream {
        /// The remote node.
        addr: A,
        /// The stream.
        stream: StreamId,
        /// The direction of the stream.
        direction: Direction,
    },
    /// [`LinkStore::replace_stream`].
    ReplaceStream {
        /// The remote node.
        addr: A,
        /// The stream that died.
        old: StreamId,
        /// The stream that takes over.
        new: StreamId,
        /// The direction of the new stream.
        direction: Direction,
    },
    /// [`LinkStore::delete_stream`].
    DeleteStream {
        /// The remote node.
        addr: A,
        /// The stream.
        stream: StreamId,
    },
    /// [`LinkStore::admit`] or [`LinkStore::refuse`].
    AccountLink {
        /// The net.
        net: NetId,
        /// The remote node.
        addr: A,
        /// The stream on which the net was announced.
        stream: StreamId,
        /// Whether both sides agree.
        accepted: bool,
    },
    /// [`LinkStore::dial_connected`].
    DialConnected {
        /// The remote node.
        addr: A,
        /// The dial; `None` is the current one.
        dial: Option<DialId>,
    },
    /// [`LinkStore::dial_failed`].
    DialFailed {
        /// The remote node.
        addr: A,
        /// The dial; `None` is the current one.
        dial: Option<DialId>,
        /// Whether the dialer has given up.
        last: bool,
    },
    /// [`LinkStore::tick`].
    Tick {
        /// The current time.
        now: Instant,
    },
    /// [`LinkStore::count`].
    Count {
        /// The net.
        net: NetId,
    },
    /// [`LinkStore::needed`].
    Needed {
        /// The net.
        net: NetId,
    },
    /// [`LinkStore::is_active`].
    IsActive {
        /// The net.
        net: NetId,
    },
    /// [`LinkStore::contains`].
    Contains {
        /// The remote node.
        addr: A,
        /// The net.
        net: NetId,
    },
    /// [`LinkStore::get`].
    Get {
        /// The remote node.
        addr: A,
    },
    /// [`LinkStore::addrs`].
    Addrs {
        /// The net.
        net: NetId,
        /// The members to list.
        filter: MemberFilter,
    },
}

impl<A: Addr> Operation<A> {
    /// Calls the method of `store` that corresponds to this operation.
    ///
    /// # Errors
    /// The error of the store.
    pub fn perform_on<S: LinkStore<Addr = A> + ?Sized>(&self, store: &S) -> Reply<Value<A>> {
        let outcome = match self {
            Self::AddNet { net, config } => store.add_net(*net, *config),
            Self::RemoveNet { net } => store.remove_net(*net),
            Self::SetNetActive { net, active } => store.set_net_active(*net, *active),
            Self::CreateLink { addr, net } => store.create_link(addr, *net),
            Self::SetEndpoint { addr, endpoint } => store.set_endpoint(addr, *endpoint),
            Self::DeleteLink { addr } => store.delete_link(addr),
            Self::ResolveFailed { addr, resolve } => store.resolve_failed(addr, *resolve),
            Self::AddStream { addr, stream, direction } => store.add_stream(addr, *stream, *direction),
            Self::ReplaceStream { addr, old, new, direction } => {
                store.replace_stream(addr, *old, *new, *direction)
            }
            Self::DeleteStream { addr, stream } => store.delete_stream(addr, *stream),
            Self::AccountLink { net, addr, stream, accepted: true } => store.admit(*net, addr, *stream),
            Self::AccountLink { net, addr, stream, accepted: false } => store.refuse(*net, addr, *stream),
            Self::DialConnected { addr, dial } => store.dial_connected(addr, *dial),
            Self::DialFailed { addr, dial, last } => store.dial_failed(addr, *dial, *last),
            Self::Tick { now } => store.tick(*now),
            Self::Count { net } => return answer(store.count(*net), Value::Count),
            Self::Needed { net } => return answer(store.needed(*net), Value::Count),
            Self::IsActive { net } => return answer(store.is_active(*net), Value::Flag),
            Self::Contains { addr, net } => return answer(store.contains(addr, *net), Value::Flag),
            Self::Get { addr } => {
                return answer(store.get(addr), |link| Value::Link(link.map(Box::new)));
            }
            Self::Addrs { net, filter } => return answer(store.addrs(*net, *filter), Value::Listing),
        };
        answer(outcome, Value::Outcome)
    }
}

fn answer<T, A: Addr>(reply: Reply<T>, value: impl FnOnce(T) -> Value<A>) -> Reply<Value<A>> {
    reply.map(|answer| answer.map(value))
}

impl<A> Operation<A> {
    /// Returns whether this operation may change a store, as opposed to a query.
    #[must_use]
    pub fn is_change(&self) -> bool {
        !matches!(
            self,
            Self::Count { .. }
                | Self::Needed { .. }
                | Self::IsActive { .. }
                | Self::Contains { .. }
                | Self::Get { .. }
                | Self::Addrs { .. }
        )
    }

    /// Removes the identity of a dial or a resolution, which is meaningless to the other store: there the
    /// report refers to the current one.
    pub(super) fn without_identity(self) -> Self {
        match self {
            Self::ResolveFailed { addr, .. } => Self::ResolveFailed { addr, resolve: None },
            Self::DialConnected { addr, .. } => Self::DialConnected { addr, dial: None },
            Self::DialFailed { addr, last, .. } => Self::DialFailed { addr, dial: None, last },
            other => other,
        }
    }

    /// Returns whether this names a dial or a resolution of one of the stores.
    pub(super) fn has_identity(&self) -> bool {
        matches!(
            self,
            Self::ResolveFailed { resolve: Some(_), .. }
                | Self::DialConnected { dial: Some(_), .. }
                | Self::DialFailed { dial: Some(_), .. }
        )
    }
}

/// The value of an answer to an [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value<A: Addr> {
    /// The outcome of a change.
    Outcome(Outcome),
    /// A count.
    Count(usize),
    /// The answer to a yes-or-no query.
    Flag(bool),
    /// A link, or none.
    Link(Option<Box<LinkView<A>>>),
    /// The members of a net.
    Listing(Listing<A>),
}

/// A kind of answer. The operation determines the kind, so a conversion back never fails.
pub(super) trait Kind<A: Addr>: Sized {
    fn from_value(value: Value<A>) -> Option<Self>;
}

macro_rules! kind {
    ($type:ty, $pattern:pat => $value:expr) => {
        impl<A: Addr> Kind<A> for $type {
            fn from_value(value: Value<A>) -> Option<Self> {
                match value {
                    $pattern => Some($value),
                    _ => None,
                }
            }
        }
    };
}

kind!(Outcome, Value::Outcome(outcome) => outcome);
kind!(usize, Value::Count(count) => count);
kind!(bool, Value::Flag(flag) => flag);
kind!(Option<LinkView<A>>, Value::Link(link) => link.map(|link| *link));
kind!(Listing<A>, Value::Listing(listing) => listing);

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;
    use crate::link::Stream;
    use crate::link::addr::NodeAddr;

    fn listing(uplinks: &[u64], downlinks: &[u64]) -> Listing<NodeAddr> {
        let addrs = |all: &[u64]| all.iter().copied().map(NodeAddr).collect();
        Listing { uplinks: addrs(uplinks), downlinks: addrs(downlinks) }
    }

    #[test]
    fn listings_are_compared_without_order_but_with_parts_and_repetitions() {
        assert_eq!(listing(&[1, 2], &[3]), listing(&[2, 1], &[3]));
        assert_ne!(listing(&[1, 2], &[3]), listing(&[1], &[3, 2]));
        assert_ne!(listing(&[1, 1], &[]), listing(&[1, 2], &[]));
        assert_ne!(listing(&[1, 1, 2], &[]), listing(&[1, 2, 2], &[]));
    }

    #[test]
    fn views_are_compared_without_the_order_of_nets_and_of_spare_streams() {
        let stream = |id| Stream { id: StreamId(id), direction: Direction::Downlink };
        let view = |nets: &[u64], streams: &[u64]| {
            let mut view = LinkView::new(NodeAddr(1));
            view.nets = nets.iter().copied().map(NetId).collect();
            view.streams = streams.iter().copied().map(stream).collect();
            view.in_order()
        };
        assert_eq!(view(&[1, 2], &[3, 1, 2]), view(&[2, 1], &[3, 2, 1]));
        assert_ne!(view(&[1], &[1, 2]), view(&[1], &[2, 1]), "the primary stream counts");
    }
}
