//! Random operations, most of which name existing objects.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fastrand::Rng;
use switchboard::clock::ManualClock;
use switchboard::link::{DialId, ResolveId};
use switchboard::manager::MemberFilter;
use switchboard::shadow::{LinkStore, LinkView, LockedLinks, Operation};
use switchboard::{
    Config, Direction, Driver, LinkManager, NetConfig, NetId, NodeAddr, RetryPolicy, StreamId,
};

pub(crate) const OWN: NodeAddr = NodeAddr(0xFFFF);

/// Limits that random operations reach.
pub(crate) fn config() -> Config {
    Config::default()
        .max_links(10)
        .max_nets(3)
        .max_streams(3)
        .max_attempts(2)
        .retry(RetryPolicy::Fixed(Duration::from_secs(20)))
}

pub(crate) fn locked(clock: &ManualClock) -> LockedLinks {
    LockedLinks::new(config(), Some(OWN), clock.clone()).unwrap()
}

pub(crate) fn driver(clock: &ManualClock) -> Driver {
    LinkManager::builder(config()).own_addr(OWN).clock(clock.clone()).build().unwrap()
}

pub(crate) struct World {
    rng: Rng,
    next_stream: u64,
    /// Whether reports may name a dial that never existed.
    pub(crate) stale_dials: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), next_stream: 1, stale_dials: false }
    }

    /// Returns the time by which the clock advances before the next operation; mostly `None`.
    pub(crate) fn pause(&mut self) -> Option<Duration> {
        (self.rng.u8(..) < 16).then(|| Duration::from_millis(self.rng.u64(1..25_000)))
    }

    fn addr(&mut self) -> NodeAddr {
        match self.rng.u8(..) {
            0 => NodeAddr::BLANK,
            1 => OWN,
            _ => NodeAddr(self.rng.u64(1..=12)),
        }
    }

    fn net(&mut self) -> NetId {
        if self.rng.u8(..) < 2 { NetId(0) } else { NetId(self.rng.u64(1..=4)) }
    }

    fn direction(&mut self) -> Direction {
        if self.rng.bool() { Direction::Uplink } else { Direction::Downlink }
    }

    fn fresh(&mut self) -> StreamId {
        self.next_stream += 1;
        StreamId(self.next_stream)
    }

    /// Returns a stream, mostly one of the link's.
    fn stream_of(&mut self, link: Option<&LinkView<NodeAddr>>) -> StreamId {
        let listed = link.map_or(&[][..], |link| &link.streams);
        match self.rng.choice(listed) {
            Some(stream) if self.rng.u8(..) < 220 => stream.id,
            _ => StreamId(u64::MAX - self.rng.u64(0..4)),
        }
    }

    /// Returns `None` for the current dial, or a dial that never existed.
    fn dial(&mut self) -> Option<DialId> {
        (self.stale_dials && self.rng.u8(..) < 20).then_some(DialId(u64::MAX))
    }

    /// Returns `None` for the current resolution, or one that never existed.
    fn resolve(&mut self) -> Option<ResolveId> {
        (self.stale_dials && self.rng.u8(..) < 20).then_some(ResolveId(u64::MAX))
    }

    pub(crate) fn operation(
        &mut self,
        now: Instant,
        store: &impl LinkStore<Addr = NodeAddr>,
    ) -> Operation<NodeAddr> {
        let (addr, net) = (self.addr(), self.net());
        let link = store.get(&addr).unwrap().value;
        let link = link.as_ref();
        match self.rng.u8(0..40) {
            0..5 => Operation::CreateLink { addr, net },
            5..9 => {
                let ip = if self.rng.u8(..) < 230 { [192, 0, 2, 1] } else { [127, 0, 0, 1] };
                Operation::SetEndpoint { addr, endpoint: SocketAddr::from((ip, self.rng.u16(0..4))) }
            }
            9 => Operation::ResolveFailed { addr, resolve: self.resolve() },
            10..16 => {
                let stream = if self.rng.u8(..) < 20 { self.stream_of(link) } else { self.fresh() };
                Operation::AddStream { addr, stream, direction: self.direction() }
            }
            16..19 => Operation::DeleteStream { addr, stream: self.stream_of(link) },
            19..22 => {
                let (old, direction) = (self.stream_of(link), self.direction());
                let new = if self.rng.u8(..) < 60 { self.stream_of(link) } else { self.fresh() };
                Operation::ReplaceStream { addr, old, new, direction }
            }
            22..26 => {
                let (stream, accepted) = (self.stream_of(link), self.rng.u8(..) < 200);
                Operation::AccountLink { net, addr, stream, accepted }
            }
            26..30 => Operation::DialConnected { addr, dial: self.dial() },
            30..32 => Operation::DialFailed { addr, dial: self.dial(), last: self.rng.bool() },
            32 => Operation::SetNetActive { net, active: self.rng.u8(..) < 190 },
            33 => match self.rng.u8(0..4) {
                0 => Operation::RemoveNet { net },
                1 => Operation::DeleteLink { addr },
                _ => {
                    let config = NetConfig::new().min_links(self.rng.u32(0..4));
                    Operation::AddNet { net, config: config.count_downlinks(self.rng.bool()) }
                }
            },
            34 => Operation::Tick { now },
            35 => Operation::Count { net },
            36 => Operation::Needed { net },
            37 => match self.rng.bool() {
                true => Operation::IsActive { net },
                false => Operation::Contains { addr, net },
            },
            38 => Operation::Get { addr },
            _ => {
                let filter = if self.rng.bool() { MemberFilter::All } else { MemberFilter::Established };
                Operation::Addrs { net, filter }
            }
        }
    }
}
