//! Stores that consist of one function from operations to answers.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Instant;

use super::answer::Reply;
use super::answer::{LinkView, Listing};
use super::operation::{Kind, Operation, Value};
use super::store::LinkStore;
use crate::link::addr::Addr;
use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialId, ResolveId};
use crate::manager::MemberFilter;
use crate::manager::model::command::Outcome;
use crate::sync::StdArc;

/// Converts a reply to the kind that the operation calls for.
pub(super) fn of_kind<A: Addr, T: Kind<A>>(reply: Reply<Value<A>>) -> Reply<T> {
    reply.map(|answer| {
        answer.map(|value| match T::from_value(value) {
            Some(value) => value,
            None => panic!("a store answered an operation with a value of another kind"),
        })
    })
}

/// Implements [`LinkStore`] for a type through a function `(&Self, Operation<Addr>) -> Reply<Value<Addr>>`.
macro_rules! link_store_by_operation {
    ([$($generics:tt)*] $type:ty, $addr:ty, $perform:expr) => {
        impl<$($generics)*> LinkStore for $type {
            type Addr = $addr;

            fn add_net(&self, net: NetId, config: NetConfig) -> Reply<Outcome> {
                of_kind($perform(self, Operation::AddNet { net, config }))
            }

            fn remove_net(&self, net: NetId) -> Reply<Outcome> {
                of_kind($perform(self, Operation::RemoveNet { net }))
            }

            fn set_net_active(&self, net: NetId, active: bool) -> Reply<Outcome> {
                of_kind($perform(self, Operation::SetNetActive { net, active }))
            }

            fn create_link(&self, addr: &Self::Addr, net: NetId) -> Reply<Outcome> {
                of_kind($perform(self, Operation::CreateLink { addr: addr.clone(), net }))
            }

            fn set_endpoint(&self, addr: &Self::Addr, endpoint: SocketAddr) -> Reply<Outcome> {
                of_kind($perform(self, Operation::SetEndpoint { addr: addr.clone(), endpoint }))
            }

            fn delete_link(&self, addr: &Self::Addr) -> Reply<Outcome> {
                of_kind($perform(self, Operation::DeleteLink { addr: addr.clone() }))
            }

            fn resolve_failed(&self, addr: &Self::Addr, resolve: Option<ResolveId>) -> Reply<Outcome> {
                of_kind($perform(self, Operation::ResolveFailed { addr: addr.clone(), resolve }))
            }

            fn add_stream(
                &self,
                addr: &Self::Addr,
                stream: StreamId,
                direction: Direction,
            ) -> Reply<Outcome> {
                of_kind($perform(self, Operation::AddStream { addr: addr.clone(), stream, direction }))
            }

            fn replace_stream(
                &self,
                addr: &Self::Addr,
                old: StreamId,
                new: StreamId,
                direction: Direction,
            ) -> Reply<Outcome> {
                of_kind($perform(self, Operation::ReplaceStream { addr: addr.clone(), old, new, direction }))
            }

            fn delete_stream(&self, addr: &Self::Addr, stream: StreamId) -> Reply<Outcome> {
                of_kind($perform(self, Operation::DeleteStream { addr: addr.clone(), stream }))
            }

            fn admit(&self, net: NetId, addr: &Self::Addr, stream: StreamId) -> Reply<Outcome> {
                let (addr, accepted) = (addr.clone(), true);
                of_kind($perform(self, Operation::AccountLink { net, addr, stream, accepted }))
            }

            fn refuse(&self, net: NetId, addr: &Self::Addr, stream: StreamId) -> Reply<Outcome> {
                let (addr, accepted) = (addr.clone(), false);
                of_kind($perform(self, Operation::AccountLink { net, addr, stream, accepted }))
            }

            fn dial_connected(&self, addr: &Self::Addr, dial: Option<DialId>) -> Reply<Outcome> {
                of_kind($perform(self, Operation::DialConnected { addr: addr.clone(), dial }))
            }

            fn dial_failed(&self, addr: &Self::Addr, dial: Option<DialId>, last: bool) -> Reply<Outcome> {
                of_kind($perform(self, Operation::DialFailed { addr: addr.clone(), dial, last }))
            }

            fn tick(&self, now: Instant) -> Reply<Outcome> {
                of_kind($perform(self, Operation::Tick { now }))
            }

            fn count(&self, net: NetId) -> Reply<usize> {
                of_kind($perform(self, Operation::Count { net }))
            }

            fn needed(&self, net: NetId) -> Reply<usize> {
                of_kind($perform(self, Operation::Needed { net }))
            }

            fn is_active(&self, net: NetId) -> Reply<bool> {
                of_kind($perform(self, Operation::IsActive { net }))
            }

            fn contains(&self, addr: &Self::Addr, net: NetId) -> Reply<bool> {
                of_kind($perform(self, Operation::Contains { addr: addr.clone(), net }))
            }

            fn get(&self, addr: &Self::Addr) -> Reply<Option<LinkView<Self::Addr>>> {
                of_kind($perform(self, Operation::Get { addr: addr.clone() }))
            }

            fn addrs(&self, net: NetId, filter: MemberFilter) -> Reply<Listing<Self::Addr>> {
                of_kind($perform(self, Operation::Addrs { net, filter }))
            }
        }
    };
}

pub(super) use link_store_by_operation;

/// A store that consists of one function; see [`from_fn`].
pub struct FnStore<A, F> {
    function: F,
    addr: PhantomData<fn(A)>,
}

/// Creates a store from one function.
///
/// This suits an adapter that treats most operations alike, such as one in front of another store that
/// translates codes or omits some data.
///
/// The function must answer each operation with a value of the kind that the corresponding method of
/// [`LinkStore`] returns; the call panics otherwise.
///
/// # Examples
/// ```
/// use switchboard::shadow::{LinkStore, LockedLinks, Operation, from_fn};
/// use switchboard::{Config, NetConfig, NetId, NodeAddr};
/// use switchboard::clock::MonotonicClock;
///
/// let links = LockedLinks::<NodeAddr>::new(Config::default(), None, MonotonicClock)?;
/// let logged = from_fn(move |operation: Operation<NodeAddr>| {
///     println!("{operation:?}");
///     operation.perform_on(&links)
/// });
/// logged.add_net(NetId(1), NetConfig::new())?;
/// assert_eq!(logged.needed(NetId(1))?.value, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_fn<A, F>(function: F) -> FnStore<A, F>
where
    A: Addr,
    F: Fn(Operation<A>) -> Reply<Value<A>> + Send + Sync + 'static,
{
    FnStore { function, addr: PhantomData }
}

link_store_by_operation!(
    [A: Addr, F: Fn(Operation<A>) -> Reply<Value<A>> + Send + Sync + 'static] FnStore<A, F>, A,
    |store: &Self, operation| (store.function)(operation)
);

// For a store that is also used directly, bypassing the shadow.
link_store_by_operation!(
    [S: LinkStore + ?Sized] StdArc<S>, S::Addr,
    |store: &Self, operation: Operation<S::Addr>| operation.perform_on(&**store)
);

impl<A, F> fmt::Debug for FnStore<A, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnStore").finish_non_exhaustive()
    }
}
