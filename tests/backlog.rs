//! A stuck transport: the effects that wait for it are bounded, and commands beyond the bound are refused.
#![cfg(feature = "manager")]
#![allow(clippy::unwrap_used)] // A panic fails the test.

use std::num::NonZeroUsize;
use std::time::Duration;

use switchboard::clock::{Clock, ManualClock};
use switchboard::link::ClusterKind;
use switchboard::mailbox;
use switchboard::{
    Applied, ClusterId, Command, CommandError, Config, Direction, Driver, Effect, Handle, LinkManager,
    NetConfig, NetId, NodeAddr, Outcome, StreamId,
};

const NET: NetId = NetId(1);
const A: NodeAddr = NodeAddr(1);

struct Bench {
    driver: Driver<NodeAddr>,
    handle: Handle<NodeAddr>,
    clock: ManualClock,
}

impl Bench {
    fn new(config: Config) -> Self {
        let clock = ManualClock::new();
        let config = config.mailbox(mailbox::Config::new().high(1_024).unwrap());
        let driver = LinkManager::builder(config).clock(clock.clone()).build().unwrap();
        let handle = driver.handle();
        let mut bench = Self { driver, handle, clock };
        bench.apply(Command::AddNet { net: NET, config: NetConfig::new().min_links(0) }).unwrap();
        bench.apply(Command::SetNetActive { net: NET, active: true }).unwrap();
        bench
    }

    fn turn(&mut self) {
        let _ = self.driver.run_once(self.clock.now());
    }

    /// Applies one command, even while commands of the host are held back.
    fn apply(&mut self, command: Command<NodeAddr>) -> Result<Applied, CommandError> {
        let mut ticket = self.handle.submit(command).unwrap();
        loop {
            self.turn();
            if let Some(result) = ticket.try_take() {
                return result;
            }
            self.clock.advance(Duration::from_millis(100));
        }
    }

    fn refused(&mut self, addr: NodeAddr, stream: u64) -> CommandError {
        let command = Command::AddStream { addr, stream: StreamId(stream), direction: Direction::Uplink };
        self.apply(command).unwrap_err()
    }

    fn effects(&mut self) -> Vec<Effect<NodeAddr>> {
        self.driver.effects().collect()
    }

    fn unclosed(&self) -> u64 {
        self.driver.links().snapshot().stats().unclosed_streams()
    }
}

fn few(refused: usize) -> Config {
    Config::default().refused_streams(NonZeroUsize::new(refused).unwrap())
}

/// Half of the streams belong to one node, each of the others to a node of its own.
#[test]
fn a_million_refused_streams_take_bounded_memory() {
    const STREAMS: u64 = 1_000_000;
    const LIMIT: u64 = 16_384;
    let mut bench = Bench::new(Config::default());
    let all = allocation_counter::measure(|| {
        for stream in 0..STREAMS {
            let addr = if stream % 2 == 0 { A } else { NodeAddr(stream + 2) };
            let sent = bench.handle.add_stream(addr, StreamId(stream), Direction::Uplink);
            assert!(sent.is_ok());
            // The size of a batch.
            if stream % 256 == 255 {
                bench.turn();
            }
        }
        bench.turn();
    });
    // 16,384 streams, half of them in separate effects, and the driver's own buffers.
    assert!(all.bytes_max < 8 << 20, "{all:?}");
    assert!(bench.driver.memory().outbox_bytes < 4 << 20, "{:?}", bench.driver.memory());
    assert_eq!(bench.unclosed(), STREAMS - LIMIT);
    let closed: usize = bench
        .effects()
        .iter()
        .map(|effect| if let Effect::CloseStreams { streams, .. } = effect { streams.len() } else { 0 })
        .sum();
    assert_eq!(closed as u64, LIMIT);
    assert!(bench.driver.memory().outbox_bytes < 1 << 20, "{:?}", bench.driver.memory());
}

#[test]
fn a_refused_stream_is_closed_by_an_effect_or_its_ticket_says_that_it_is_not() {
    let mut bench = Bench::new(few(2));
    assert_eq!(bench.refused(A, 1), CommandError::UnknownLink);
    assert_eq!(bench.refused(NodeAddr(2), 2), CommandError::UnknownLink);
    let error = CommandError::TooManyRefused { limit: 2 };
    assert_eq!(bench.refused(A, 3), error);
    // A stream that a link lists or may list does not count.
    let stream = |stream| Command::AddStream { addr: A, stream, direction: Direction::Downlink };
    assert_eq!(bench.apply(stream(StreamId(4))).unwrap().outcome, Outcome::Done);
    assert_eq!(bench.apply(stream(StreamId(4))).unwrap().outcome, Outcome::Unchanged);
    assert_eq!(bench.unclosed(), 1);

    let closed = |streams: &[u64]| streams.iter().copied().map(StreamId).collect::<Vec<_>>();
    let close = |addr, streams| Effect::CloseStreams { addr, streams };
    assert_eq!(bench.effects(), [close(A, closed(&[1])), close(NodeAddr(2), closed(&[2]))]);
    // The transport has caught up.
    assert_eq!(bench.refused(NodeAddr(3), 5), CommandError::UnknownLink);
    assert_eq!(bench.effects(), [close(NodeAddr(3), closed(&[5]))]);
    assert_eq!(bench.unclosed(), 1);
}

#[test]
fn a_replacement_that_is_refused_ends_the_old_stream_all_the_same() {
    let mut bench = Bench::new(few(1));
    bench.apply(Command::AddStream { addr: A, stream: StreamId(1), direction: Direction::Downlink }).unwrap();
    assert_eq!(bench.refused(NodeAddr(2), 2), CommandError::UnknownLink);
    let replace =
        Command::ReplaceStream { addr: A, old: StreamId(1), new: StreamId(3), direction: Direction::Uplink };
    assert_eq!(bench.apply(replace), Err(CommandError::TooManyRefused { limit: 1 }));
    assert!(bench.driver.links().snapshot().get(&A).is_none(), "its only stream has ended");
    assert_eq!(bench.unclosed(), 1);
}

/// Links, nets and clusters that are created and removed, each under a new identity.
#[test]
fn what_comes_and_goes_while_the_transport_is_stuck_is_bounded() {
    const LIMIT: usize = 8 + 16;
    let config = || Config::default().outbox(NonZeroUsize::new(8).unwrap()).max_links(16);
    let error = CommandError::LimitReached { of: "effects", limit: LIMIT };
    let link = |bench: &mut Bench, number: u64| {
        let addr = NodeAddr(number);
        bench.apply(Command::CreateLink { addr, net: NET })?;
        bench.apply(Command::DeleteLink { addr })
    };
    let streams = |bench: &mut Bench, number: u64| {
        let addr = A;
        bench.apply(Command::AddStream { addr, stream: StreamId(number), direction: Direction::Downlink })?;
        bench.apply(Command::DeleteLink { addr })
    };
    let net = |bench: &mut Bench, number: u64| {
        let net = NetId(number + 1);
        bench.apply(Command::AddNet { net, config: NetConfig::new().min_links(1) })?;
        bench.apply(Command::SetNetActive { net, active: true })?;
        bench.apply(Command::RemoveNet { net })
    };
    type Churn = fn(&mut Bench, u64) -> Result<Applied, CommandError>;
    let churns: [Churn; 3] = [link, streams, net];
    for churn in churns {
        let mut bench = Bench::new(config());
        let refused = (1..1_000).filter(|number| churn(&mut bench, *number).is_err()).count();
        assert!(refused > 900, "{refused}");
        assert_eq!(churn(&mut bench, 1_000), Err(error.clone()));
        let effects = bench.effects();
        assert!(effects.len() <= LIMIT + 8, "{}", effects.len());
        // The transport has caught up.
        assert!(churn(&mut bench, 2_000).is_ok());
    }
    // A new cluster is refused as well.
    let mut bench = Bench::new(config());
    (1..1_000).for_each(|number| _ = link(&mut bench, number));
    let cluster = ClusterId::new(NET, 7);
    let kind = ClusterKind::Autonomic;
    assert_eq!(bench.apply(Command::AssociateCluster { net: NET, cluster, kind }), Err(error));
}
