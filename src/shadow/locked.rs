//! The reference design done well: one lock for the nets, one for the links, and no callbacks under either.
//!
//! * `tables`: the data behind the locks. `work`: one operation with both locks held.
//! * `links`, `streams`, `dialling`: the operations.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use super::answer::{Answer, Reply};
use super::answer::{LinkView, Listing};
use super::operation::Operation;
use super::store::LinkStore;
use crate::clock::Clock;
use crate::link::addr::{Addr, NodeAddr};
use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialId, DialState, ResolveId};
use crate::manager::MemberFilter;
use crate::manager::model::command::{CommandError, Outcome};
use crate::manager::model::config::problem::ConfigError;
use crate::manager::model::config::{Config, Timing};
use crate::manager::model::effect::Effect;
use crate::sync::rw_lock::RwLock;
use crate::sync::{StdArc, lock_order};

mod dialling;
mod links;
mod nets;
mod streams;
mod tables;
mod work;

use tables::{Net, Nets, Records};
use work::{Rules, Work};

/// A link manager behind two read-write locks: the design that this crate replaces, done well.
///
/// It manages the same links, nets, streams and dials as the [`LinkManager`](crate::LinkManager) with
/// [`Timing::Immediate`], in a second implementation that shares only plain data types with it. It is the
/// oracle of the tests, the baseline of the benchmarks, and a stand-in for an old manager.
///
/// * The nets have one lock and the links another, always acquired in this order. Every change takes both for
///   writing; [`count`](LinkStore::count), [`needed`](LinkStore::needed) and
///   [`is_active`](LinkStore::is_active) read the nets, [`get`](LinkStore::get) and
///   [`contains`](LinkStore::contains) the links, [`addrs`](LinkStore::addrs) both.
/// * No callback runs under a lock: instructions to the transport are returned as a list of [`Effect`]s.
/// * There is no thread. Timed actions happen in [`tick`](LinkStore::tick), which examines every link.
///
/// # Limitations
/// No ticked timing, no ignore list, no statistics, no versions. A panic in the `Hash` or `Eq` of an address
/// leaves the operation half done: a lock cannot roll it back.
///
/// # Progress
/// Blocking. A change takes expected O(1) time in the number of links, except for switching a net (O(its
/// links)) and `tick` (O(links)). It blocks every other call in the meantime.
///
/// # Examples
/// ```
/// use switchboard::shadow::{LinkStore, LockedLinks};
/// use switchboard::{Config, Direction, NetConfig, NetId, NodeAddr, StreamId};
/// use switchboard::clock::MonotonicClock;
///
/// let links = LockedLinks::new(Config::default(), Some(NodeAddr(1)), MonotonicClock)?;
/// links.add_net(NetId(1), NetConfig::new().min_links(1))?;
/// links.set_net_active(NetId(1), true)?;
/// links.add_stream(&NodeAddr(2), StreamId(1), Direction::Downlink)?;
/// links.admit(NetId(1), &NodeAddr(2), StreamId(1))?;
/// assert_eq!(links.count(NetId(1))?.value, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LockedLinks<A: Addr = NodeAddr> {
    rules: Rules<A>,
    clock: StdArc<dyn Clock>,
    on_effects: Option<OnEffects<A>>,
    nets: RwLock<Nets<A>>,
    links: RwLock<Records<A>>,
}

type OnEffects<A> = Box<dyn Fn(Vec<Effect<A>>) + Send + Sync>;

impl<A: Addr> LockedLinks<A> {
    /// Creates a manager without nets and links. It uses the limits, the policies and the tick of `config`.
    ///
    /// # Errors
    /// [`ConfigError`] lists the invalid settings.
    pub fn new(config: Config, own: Option<A>, clock: impl Clock) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            rules: Rules { config: config.timing(Timing::Immediate), own },
            clock: StdArc::new(clock),
            on_effects: None,
            nets: RwLock::new(&lock_order::LOCKED_NETS, Nets::new()),
            links: RwLock::new(&lock_order::LOCKED_LINKS, Records::new()),
        })
    }

    /// Sets a callback that is called with the effects of each change that has any, on the thread that made
    /// the change, after both locks are released. The callback may use the store; effects of two threads may
    /// overtake each other.
    ///
    /// Without a callback, the methods of [`LinkStore`] drop the effects.
    #[must_use]
    pub fn on_effects(mut self, callback: impl Fn(Vec<Effect<A>>) + Send + Sync + 'static) -> Self {
        self.on_effects = Some(Box::new(callback));
        self
    }

    /// Makes a change and returns its effects, in order. A query changes nothing.
    ///
    /// # Errors
    /// The reason why the change is refused. There may be effects nevertheless: a refused stream is closed.
    pub fn change(&self, operation: &Operation<A>) -> (Result<Outcome, CommandError>, Vec<Effect<A>>) {
        let now = match operation {
            Operation::Tick { now } => *now,
            _ => self.clock.now(),
        };
        let mut nets = self.nets.write();
        let mut links = self.links.write();
        let mut work = Work::new(&self.rules, &mut nets, &mut links, now);
        let result = work.apply(operation);
        (result, work.finish())
    }

    fn outcome(&self, operation: &Operation<A>) -> Reply<Outcome> {
        let (result, effects) = self.change(operation);
        if let Some(on_effects) = self.on_effects.as_ref().filter(|_| !effects.is_empty()) {
            on_effects(effects);
        }
        Ok(Answer::new(result?))
    }
}

impl<A: Addr> LinkStore for LockedLinks<A> {
    type Addr = A;

    fn add_net(&self, net: NetId, config: NetConfig) -> Reply<Outcome> {
        self.outcome(&Operation::AddNet { net, config })
    }

    fn remove_net(&self, net: NetId) -> Reply<Outcome> {
        self.outcome(&Operation::RemoveNet { net })
    }

    fn set_net_active(&self, net: NetId, active: bool) -> Reply<Outcome> {
        self.outcome(&Operation::SetNetActive { net, active })
    }

    fn create_link(&self, addr: &A, net: NetId) -> Reply<Outcome> {
        self.outcome(&Operation::CreateLink { addr: addr.clone(), net })
    }

    fn set_endpoint(&self, addr: &A, endpoint: SocketAddr) -> Reply<Outcome> {
        self.outcome(&Operation::SetEndpoint { addr: addr.clone(), endpoint })
    }

    fn delete_link(&self, addr: &A) -> Reply<Outcome> {
        self.outcome(&Operation::DeleteLink { addr: addr.clone() })
    }

    fn resolve_failed(&self, addr: &A, resolve: Option<ResolveId>) -> Reply<Outcome> {
        self.outcome(&Operation::ResolveFailed { addr: addr.clone(), resolve })
    }

    fn add_stream(&self, addr: &A, stream: StreamId, direction: Direction) -> Reply<Outcome> {
        self.outcome(&Operation::AddStream { addr: addr.clone(), stream, direction })
    }

    fn replace_stream(&self, addr: &A, old: StreamId, new: StreamId, direction: Direction) -> Reply<Outcome> {
        self.outcome(&Operation::ReplaceStream { addr: addr.clone(), old, new, direction })
    }

    fn delete_stream(&self, addr: &A, stream: StreamId) -> Reply<Outcome> {
        self.outcome(&Operation::DeleteStream { addr: addr.clone(), stream })
    }

    fn admit(&self, net: NetId, addr: &A, stream: StreamId) -> Reply<Outcome> {
        self.outcome(&Operation::AccountLink { net, addr: addr.clone(), stream, accepted: true })
    }

    fn refuse(&self, net: NetId, addr: &A, stream: StreamId) -> Reply<Outcome> {
        self.outcome(&Operation::AccountLink { net, addr: addr.clone(), stream, accepted: false })
    }

    fn dial_connected(&self, addr: &A, dial: Option<DialId>) -> Reply<Outcome> {
        self.outcome(&Operation::DialConnected { addr: addr.clone(), dial })
    }

    fn dial_failed(&self, addr: &A, dial: Option<DialId>, last: bool) -> Reply<Outcome> {
        self.outcome(&Operation::DialFailed { addr: addr.clone(), dial, last })
    }

    fn tick(&self, now: Instant) -> Reply<Outcome> {
        self.outcome(&Operation::Tick { now })
    }

    fn count(&self, net: NetId) -> Reply<usize> {
        Ok(Answer::new(self.nets.read().get(net).map_or(0, Net::members)))
    }

    fn needed(&self, net: NetId) -> Reply<usize> {
        Ok(Answer::new(self.nets.read().get(net).map_or(0, Net::needed)))
    }

    fn is_active(&self, net: NetId) -> Reply<bool> {
        Ok(Answer::new(self.nets.read().is_active(net)))
    }

    fn contains(&self, addr: &A, net: NetId) -> Reply<bool> {
        Ok(Answer::new(self.links.read().get(addr).is_some_and(|record| record.nets.contains(&net))))
    }

    fn get(&self, addr: &A) -> Reply<Option<LinkView<A>>> {
        Ok(Answer::new(self.links.read().get(addr).map(|record| record.view(addr))))
    }

    fn addrs(&self, net: NetId, filter: MemberFilter) -> Reply<Listing<A>> {
        let nets = self.nets.read();
        let links = self.links.read();
        let Some(net) = nets.get(net) else { return Ok(Answer::new(Listing::default())) };
        let established =
            |addr: &&A| links.get(addr).is_some_and(|record| record.state == DialState::Established);
        let listed = |addr: &&A| filter == MemberFilter::All || established(addr);
        Ok(Answer::new(Listing {
            uplinks: net.uplinks.iter().filter(listed).cloned().collect(),
            downlinks: net.downlinks.iter().cloned().collect(),
        }))
    }
}

impl<A: Addr> fmt::Debug for LockedLinks<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedLinks").field("rules", &self.rules).finish_non_exhaustive()
    }
}
