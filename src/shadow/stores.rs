//! The new link manager as a store, either through its handle or driven by the caller.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::answer::{Answer, Reply, StoreError};
use super::answer::{LinkView, Listing};
use super::baton::Baton;
use super::store::LinkStore;
use crate::clock::Clock;
use crate::link::addr::{Addr, NodeAddr};
use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialId, ResolveId};
use crate::manager::MemberFilter;
use crate::manager::model::command::{Applied, Command, CommandError};
use crate::manager::model::command::{Outcome, SubmitError};
use crate::manager::model::effect::Effect;
use crate::manager::read::snapshot::{Links, LinksSnapshot};
use crate::manager::run::driver::Driver;
use crate::manager::run::handle::Handle;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{StdArc, deadline_after, lock_order};
use crate::table::version::Version;
use crate::ticket::Ticket;

/// Identities of a dial and a resolution that never exist: the manager counts from 1.
const NO_DIAL: DialId = DialId(0);
const NO_RESOLVE: ResolveId = ResolveId(0);

/// A [`LinkManager`](crate::LinkManager) as a [`LinkStore`].
///
/// Each change is submitted through the handle and waited for, up to a timeout. Each query reads a snapshot
/// of at least the newest version that a ticket of this store has named.
///
/// [`tick`](LinkStore::tick) makes the manager perform the actions that are due on *its* clock.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use switchboard::shadow::{LinkStore, ManagerStore};
/// use switchboard::{Config, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr};
///
/// let manager =
///     LinkManager::builder(Config::default()).transport(|_: Effect<NodeAddr>, _: &Handle| {}).spawn()?;
/// let store = ManagerStore::new(manager.handle(), manager.links(), Duration::from_secs(1));
/// store.add_net(NetId(1), NetConfig::new().min_links(2))?;
/// assert_eq!(store.needed(NetId(1))?.value, 2);
/// manager.shutdown(Duration::from_secs(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ManagerStore<A: Addr = NodeAddr> {
    handle: Handle<A>,
    links: Links<A>,
    timeout: Duration,
    /// The newest version that a ticket has named.
    seen: AtomicU64,
}

impl<A: Addr> ManagerStore<A> {
    /// Creates a store that waits up to `timeout` for each change.
    ///
    /// `handle` and `links` must belong to the same manager, which must have its own thread: with a
    /// [`Driver`] that no other thread runs, every change would time out.
    #[must_use]
    pub fn new(handle: Handle<A>, links: Links<A>, timeout: Duration) -> Self {
        Self { handle, links, timeout, seen: AtomicU64::new(0) }
    }

    fn change(&self, command: Command<A>) -> Reply<Outcome> {
        let ticket = self.handle.submit(command).map_err(|error| refused(&error))?;
        match ticket.wait_timeout(self.timeout) {
            Ok(Ok(Applied { outcome, version })) => {
                // Relaxed: the ticket orders the version before this; only its number is kept here.
                self.seen.fetch_max(version.as_u64(), Ordering::Relaxed);
                Ok(Answer::at(outcome, version))
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(StoreError::TimedOut),
        }
    }

    fn read<T>(&self, query: impl FnOnce(&LinksSnapshot<A>) -> T) -> Reply<T> {
        // Relaxed: a thread that waited for a ticket and wants its change to be seen here must synchronize with
        // this one by other means.
        let version = Version::from_u64(self.seen.load(Ordering::Relaxed));
        let snapshot = match self.links.wait_for(version, self.timeout) {
            Ok(snapshot) => snapshot,
            // The version was published before the ticket completed, so only a closed manager is behind it.
            Err(_) => self.links.snapshot(),
        };
        Ok(Answer::at(query(&snapshot), snapshot.version()))
    }

    fn dial_of(&self, addr: &A, dial: Option<DialId>) -> DialId {
        dial.or_else(|| self.links.snapshot().get(addr)?.dial_id()).unwrap_or(NO_DIAL)
    }
}

fn refused<A>(error: &SubmitError<A>) -> StoreError {
    if error.is_closed() { StoreError::Closed } else { StoreError::Full }
}

fn listing<A: Addr>(snapshot: &LinksSnapshot<A>, net: NetId, filter: MemberFilter) -> Listing<A> {
    let uplink = |addr: &A| snapshot.get(addr).is_some_and(|link| link.direction() == Direction::Uplink);
    let (uplinks, downlinks) = snapshot.addrs(net, filter).cloned().partition(uplink);
    Listing { uplinks, downlinks }
}

/// Implements [`LinkStore`] for a type whose changes are commands and whose queries read a snapshot.
macro_rules! store_of_commands {
    ($type:ty) => {
        impl<A: Addr> LinkStore for $type {
            type Addr = A;

            fn add_net(&self, net: NetId, config: NetConfig) -> Reply<Outcome> {
                self.change(Command::AddNet { net, config })
            }

            fn remove_net(&self, net: NetId) -> Reply<Outcome> {
                self.change(Command::RemoveNet { net })
            }

            fn set_net_active(&self, net: NetId, active: bool) -> Reply<Outcome> {
                self.change(Command::SetNetActive { net, active })
            }

            fn create_link(&self, addr: &A, net: NetId) -> Reply<Outcome> {
                self.change(Command::CreateLink { addr: addr.clone(), net })
            }

            fn set_endpoint(&self, addr: &A, endpoint: SocketAddr) -> Reply<Outcome> {
                self.change(Command::SetEndpoint { addr: addr.clone(), endpoint })
            }

            fn delete_link(&self, addr: &A) -> Reply<Outcome> {
                self.change(Command::DeleteLink { addr: addr.clone() })
            }

            fn resolve_failed(&self, addr: &A, resolve: Option<ResolveId>) -> Reply<Outcome> {
                let present = || self.links.snapshot().get(addr)?.resolve_id();
                let resolve = resolve.or_else(present).unwrap_or(NO_RESOLVE);
                self.change(Command::ResolveFailed { addr: addr.clone(), resolve })
            }

            fn add_stream(&self, addr: &A, stream: StreamId, direction: Direction) -> Reply<Outcome> {
                self.change(Command::AddStream { addr: addr.clone(), stream, direction })
            }

            fn replace_stream(
                &self,
                addr: &A,
                old: StreamId,
                new: StreamId,
                direction: Direction,
            ) -> Reply<Outcome> {
                self.change(Command::ReplaceStream { addr: addr.clone(), old, new, direction })
            }

            fn delete_stream(&self, addr: &A, stream: StreamId) -> Reply<Outcome> {
                self.change(Command::DeleteStream { addr: addr.clone(), stream })
            }

            fn admit(&self, net: NetId, addr: &A, stream: StreamId) -> Reply<Outcome> {
                self.change(Command::AccountLink { net, addr: addr.clone(), stream, accepted: true })
            }

            fn refuse(&self, net: NetId, addr: &A, stream: StreamId) -> Reply<Outcome> {
                self.change(Command::AccountLink { net, addr: addr.clone(), stream, accepted: false })
            }

            fn dial_connected(&self, addr: &A, dial: Option<DialId>) -> Reply<Outcome> {
                let dial = self.dial_of(addr, dial);
                self.change(Command::DialConnected { addr: addr.clone(), dial })
            }

            fn dial_failed(&self, addr: &A, dial: Option<DialId>, last: bool) -> Reply<Outcome> {
                let dial = self.dial_of(addr, dial);
                self.change(Command::DialFailed { addr: addr.clone(), dial, last })
            }

            fn tick(&self, now: Instant) -> Reply<Outcome> {
                self.turn(now)
            }

            fn count(&self, net: NetId) -> Reply<usize> {
                self.read(|snapshot| snapshot.count(net))
            }

            fn needed(&self, net: NetId) -> Reply<usize> {
                self.read(|snapshot| snapshot.needed(net))
            }

            fn is_active(&self, net: NetId) -> Reply<bool> {
                self.read(|snapshot| snapshot.is_active(net))
            }

            fn contains(&self, addr: &A, net: NetId) -> Reply<bool> {
                self.read(|snapshot| snapshot.contains(addr, net))
            }

            fn get(&self, addr: &A) -> Reply<Option<LinkView<A>>> {
                self.read(|snapshot| snapshot.get(addr).map(LinkView::from))
            }

            fn addrs(&self, net: NetId, filter: MemberFilter) -> Reply<Listing<A>> {
                self.read(|snapshot| listing(snapshot, net, filter))
            }
        }
    };
}

store_of_commands!(ManagerStore<A>);
store_of_commands!(DriverStore<A>);

impl<A: Addr> ManagerStore<A> {
    /// Wakes the manager for the actions that are due on its own clock.
    fn turn(&self, _: Instant) -> Reply<Outcome> {
        self.change(Command::WakeUp)
    }
}

impl<A: Addr> fmt::Debug for ManagerStore<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerStore").field("handle", &self.handle).field("links", &self.links).finish()
    }
}

/// A [`Driver`] as a [`LinkStore`], which runs each change on the caller's thread.
///
/// The store is deterministic: the same calls at the same times give the same answers, versions and effects.
/// One caller at a time has the driver; other callers wait up to the timeout, as does a callback of a turn
/// that calls the store again.
pub struct DriverStore<A: Addr = NodeAddr> {
    driver: Baton<Driver<A>>,
    handle: Handle<A>,
    links: Links<A>,
    clock: StdArc<dyn Clock>,
    timeout: Duration,
}

impl<A: Addr> DriverStore<A> {
    /// Creates a store that runs `driver` at the times of `clock`.
    #[must_use]
    pub fn new(driver: Driver<A>, clock: impl Clock, timeout: Duration) -> Self {
        let (handle, links) = (driver.handle(), driver.links());
        let driver = Baton::new(&lock_order::DRIVER_STORE, driver);
        Self { driver, handle, links, clock: StdArc::new(clock), timeout }
    }

    /// Takes the pending effects, in order. Returns none if another thread has the driver for longer than the
    /// timeout.
    #[must_use]
    pub fn take_effects(&self) -> Vec<Effect<A>> {
        let driver = self.driver.take(deadline_after(self.timeout));
        driver.map_or_else(Vec::new, |mut driver| driver.effects().collect())
    }

    fn change(&self, command: Command<A>) -> Reply<Outcome> {
        let Some(mut driver) = self.driver.take(deadline_after(self.timeout)) else {
            return Err(StoreError::TimedOut);
        };
        let mut ticket = self.handle.submit(command).map_err(|error| refused(&error))?;
        match run(&mut driver, self.clock.now(), &mut ticket) {
            Some(Ok(Applied { outcome, version })) => Ok(Answer::at(outcome, version)),
            Some(Err(error)) => Err(error.into()),
            None => Err(StoreError::TimedOut),
        }
    }

    fn turn(&self, now: Instant) -> Reply<Outcome> {
        let Some(mut driver) = self.driver.take(deadline_after(self.timeout)) else {
            return Err(StoreError::TimedOut);
        };
        while driver.run_once(now).is_some_and(|next| next <= now) {}
        Ok(Answer::at(Outcome::Done, self.links.version()))
    }

    fn read<T>(&self, query: impl FnOnce(&LinksSnapshot<A>) -> T) -> Reply<T> {
        let snapshot = self.links.snapshot();
        Ok(Answer::at(query(&snapshot), snapshot.version()))
    }

    fn dial_of(&self, addr: &A, dial: Option<DialId>) -> DialId {
        dial.or_else(|| self.links.snapshot().get(addr)?.dial_id()).unwrap_or(NO_DIAL)
    }
}

/// Runs turns until nothing more is due, and returns the result of the ticket. This may take several turns if
/// other handles fill the mailbox as well.
fn run<A: Addr>(
    driver: &mut Driver<A>,
    now: Instant,
    ticket: &mut Ticket<Applied, CommandError>,
) -> Option<Result<Applied, CommandError>> {
    let mut result = None;
    loop {
        let next = driver.run_once(now);
        result = result.or_else(|| ticket.try_take());
        if next.is_none_or(|next| next > now) {
            return result;
        }
    }
}

impl<A: Addr> fmt::Debug for DriverStore<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverStore").field("links", &self.links).finish_non_exhaustive()
    }
}
