//! Warm code paths allocate nothing, as counted by a global allocator.
#![allow(clippy::unwrap_used)] // A panic fails the test.

use std::num::NonZeroUsize;

use switchboard::mailbox::{self, Priority, mailbox};
use switchboard::ticket::{Completion, Pool, ticket};

/// Shows that the counter works: the other tests would pass with a counter that counts nothing.
#[test]
fn a_ticket_without_a_pool_allocates_once() {
    let round = || {
        let (completion, ticket) = ticket();
        completion.complete(1);
        assert_eq!(ticket.wait(), Ok(1));
    };
    // Debug builds allocate a record of locks for each thread.
    round();
    assert_eq!(allocation_counter::measure(round).count_total, 1);
}

#[test]
fn a_warm_pool_allocates_nothing() {
    let pool: Pool<u64> = Pool::new(NonZeroUsize::new(8).unwrap());
    let round = |pool: &Pool<u64>| {
        let ends = std::array::from_fn::<_, 8, _>(|_| pool.ticket());
        for (number, (completion, ticket)) in (0..).zip(ends) {
            completion.complete(number);
            assert_eq!(ticket.wait(), Ok(number));
        }
    };
    round(&pool);
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| round(&pool)));
    assert_eq!(counted.count_total, 0);
    assert_eq!((pool.stats().allocated, pool.stats().reused), (8, 800));
}

#[test]
fn commands_with_pooled_tickets_allocate_nothing() {
    const BATCH: usize = 16;
    let (sender, mut receiver) = mailbox::<(u64, Completion<u64>)>(mailbox::Config::new());
    let pool = Pool::new(NonZeroUsize::new(2 * BATCH).unwrap());
    let mut tickets = Vec::with_capacity(BATCH);
    let mut batch = Vec::with_capacity(BATCH);
    let mut round = || {
        for number in 0..BATCH as u64 {
            let (completion, ticket) = pool.ticket();
            let priority = Priority::ALL[number as usize % 4];
            assert!(sender.try_send(priority, (number, completion)).is_ok());
            tickets.push((number, ticket));
        }
        assert_eq!(receiver.try_recv_batch(&mut batch, BATCH), Ok(BATCH));
        for (_, (number, completion)) in batch.drain(..) {
            completion.complete(number * 2);
        }
        for (number, ticket) in tickets.drain(..) {
            assert_eq!(ticket.wait(), Ok(number * 2));
        }
    };
    (0..4).for_each(|_| round());
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| round()));
    assert_eq!(counted.count_total, 0);
}

#[cfg(feature = "manager")]
mod manager {
    use std::net::SocketAddr;
    use std::time::Duration;

    use switchboard::clock::{Clock, ManualClock};
    use switchboard::link::{ClusterKind, DialId, EndpointError, ResolveId};
    use switchboard::manager::config::Settings;
    use switchboard::{
        ClusterId, Command, CommandError, CommandKind, Config, Direction, Driver, Effect, Handle,
        LinkManager, Metrics, NetConfig, NetId, NodeAddr, Outcome, StreamId,
    };

    const NET: NetId = NetId(1);
    const CLUSTER: ClusterId = ClusterId::new(NET, 7);
    const ROUNDS: u64 = 100;

    /// The commands of one round, with their expected results.
    type Round = Vec<(Command<NodeAddr>, Result<Outcome, CommandError>)>;

    struct Node {
        driver: Driver<NodeAddr>,
        handle: Handle<NodeAddr>,
        clock: ManualClock,
    }

    impl Node {
        /// Creates a node with eight members, which are connected by a stream of the peer and have every role
        /// that a peer can have; eight links with an endpoint that only an inactive net wants, so that
        /// nothing is dialled; and a pure downlink.
        fn new() -> Self {
            let clock = ManualClock::new();
            let config = Config::default().with_settings(settings());
            let driver = LinkManager::builder(config).clock(clock.clone()).build().unwrap();
            let handle = driver.handle();
            let mut node = Self { driver, handle, clock };
            for net in [NET, NetId(2)] {
                node.done(Command::AddNet { net, config: NetConfig::new().min_links(0) });
            }
            node.done(Command::SetNetActive { net: NET, active: true });
            let (net, cluster, kind) = (NET, CLUSTER, ClusterKind::Autonomic);
            node.done(Command::AssociateCluster { net, cluster, kind });
            let direction = Direction::Downlink;
            for addr in (1..=8).map(NodeAddr) {
                let stream = StreamId(addr.0);
                node.done(Command::AddStream { addr, stream, direction });
                node.done(Command::AccountLink { net, addr, stream, accepted: true });
                node.done(Command::JoinCluster { cluster, addr });
                node.done(Command::AddStaticPeer { cluster, addr });
                node.done(Command::SetRoleMember { cluster, addr, member: true });
                node.done(Command::AddPermanentPeer { net, addr });
            }
            for addr in (11..=18).map(NodeAddr) {
                assert_eq!(node.run(Command::CreateLink { addr, net: NetId(2) }), Ok(Outcome::Created));
                node.done(Command::SetEndpoint { addr, endpoint: endpoint(1) });
            }
            node.done(Command::AddStream { addr: NodeAddr(21), stream: StreamId(21), direction });
            node
        }

        /// Sends a command, takes a turn, and drops the effects.
        fn run(&mut self, command: Command<NodeAddr>) -> Result<Outcome, CommandError> {
            let ticket = self.handle.submit(command).unwrap();
            let _ = self.driver.run_once(self.clock.now());
            self.driver.effects().for_each(drop);
            ticket.wait().map(|applied| applied.outcome)
        }

        fn done(&mut self, command: Command<NodeAddr>) {
            assert_eq!(self.run(command), Ok(Outcome::Done));
        }

        /// Returns the allocations per command after a warm-up.
        fn allocations(&mut self, mut next: impl FnMut(u64) -> Round) -> f64 {
            // The commands are created before counting starts.
            let mut rounds: Vec<_> = (0..4 * ROUNDS).map(&mut next).collect();
            let counted = rounds.split_off(3 * ROUNDS as usize);
            let commands: usize = counted.iter().map(Vec::len).sum();
            let mut all = |rounds: &mut dyn Iterator<Item = <Round as IntoIterator>::Item>| {
                for (command, result) in rounds {
                    assert_eq!(self.run(command), result);
                }
            };
            all(&mut rounds.into_iter().flatten());
            let mut counted = counted.into_iter().flatten();
            let measured = allocation_counter::measure(|| all(&mut counted));
            assert!(commands > 0);
            measured.count_total as f64 / commands as f64
        }
    }

    fn settings() -> Settings {
        Settings::default().ignore_period(Duration::ZERO)
    }

    fn endpoint(host: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], 7))
    }

    /// Commands that change nothing, with their results.
    fn idle_commands(round: u64) -> Round {
        let (addr, wanted) = (NodeAddr(round % 8 + 1), NodeAddr(round % 8 + 11));
        let (net, cluster, dead) = (NET, CLUSTER, StreamId(99));
        let (stream, direction, dial) = (StreamId(addr.0), Direction::Downlink, DialId(99));
        let config = NetConfig::new().min_links(0);
        let account = |stream| Command::AccountLink { net, addr, stream, accepted: true };
        let update = |addr, port| Command::SetEndpoint { addr, endpoint: ([192, 0, 2, 1], port).into() };
        let settings = Box::new(settings());
        let unusable = Err(CommandError::Endpoint(EndpointError::PortZero));
        let (unchanged, stale) = (Ok(Outcome::Unchanged), Ok(Outcome::Stale));
        let (unknown, nobody) = (Err(CommandError::UnknownLink), NodeAddr(99));
        vec![
            (update(wanted, 7), unchanged.clone()),
            (update(wanted, 0), unusable),
            (update(NodeAddr(21), 7), Err(CommandError::NotDialable)),
            (update(nobody, 7), unknown.clone()),
            (account(stream), unchanged.clone()),
            (account(dead), stale.clone()),
            (Command::AddStream { addr, stream, direction }, unchanged.clone()),
            (Command::ReplaceStream { addr, old: dead, new: stream, direction }, unchanged.clone()),
            (Command::DeleteStream { addr, stream: dead }, stale.clone()),
            (Command::DialConnected { addr, dial }, stale.clone()),
            (Command::DialFailed { addr, dial, last: true }, stale.clone()),
            (Command::ResolveFailed { addr, resolve: ResolveId(99) }, stale),
            (Command::JoinCluster { cluster, addr }, unchanged.clone()),
            (Command::JoinCluster { cluster, addr: wanted }, Err(CommandError::NotConnected)),
            (Command::LeaveCluster { cluster, addr: wanted }, unchanged.clone()),
            (Command::AddStaticPeer { cluster, addr }, unchanged.clone()),
            (Command::RemoveStaticPeer { cluster, addr: wanted }, unchanged.clone()),
            (Command::SetRoleMember { cluster, addr, member: true }, unchanged.clone()),
            (Command::AddPermanentPeer { net, addr }, unchanged.clone()),
            (Command::RemovePermanentPeer { net, addr: wanted }, unchanged.clone()),
            (Command::SetUserData { addr, data: None }, unchanged.clone()),
            (Command::DeleteLink { addr: nobody }, unknown),
            (Command::SetNetActive { net, active: true }, unchanged.clone()),
            (Command::SetActive { active: true }, unchanged.clone()),
            (Command::ConfigureNet { net, config }, unchanged.clone()),
            (Command::Reconfigure { settings }, unchanged),
            (Command::AddNet { net, config }, Err(CommandError::NetExists(net))),
        ]
    }

    /// Covers the pool, the mailbox, the turn, the publish, the ticket and the effects.
    #[test]
    fn commands_that_change_nothing_allocate_nothing() {
        let mut node = Node::new();
        for case in 0..idle_commands(0).len() {
            let (command, _) = idle_commands(0).swap_remove(case);
            let allocations = node.allocations(|round| vec![idle_commands(round).swap_remove(case)]);
            assert!(allocations == 0.0, "{command:?}: {allocations} per command");
        }
    }

    /// A change allocates the parts of the new record: the shared record itself, and each of its lists that
    /// is not empty (nets, memberships, streams).
    #[test]
    fn commands_that_change_a_link_allocate_its_record() {
        let mut node = Node::new();
        let endpoints = node.allocations(|round| {
            let endpoint = endpoint(2 - (round % 2) as u8);
            let command = Command::SetEndpoint { addr: NodeAddr(11), endpoint };
            vec![(command, Ok(Outcome::Done))]
        });
        // The record and its list of nets.
        assert!(endpoints <= 2.0, "a changed endpoint: {endpoints}");
        let streams = node.allocations(|round| {
            let (addr, stream) = (NodeAddr(100), StreamId(1_000 + round));
            vec![
                (Command::AddStream { addr, stream, direction: Direction::Downlink }, Ok(Outcome::Done)),
                (Command::DeleteStream { addr, stream }, Ok(Outcome::Done)),
            ]
        });
        // Adding: the record, its counters and its list of streams. Deleting: a list without the dead stream.
        assert!(streams <= 2.0, "a stream that is added and deleted: {streams}");
        let links = node.allocations(|_| {
            let (addr, net) = (NodeAddr(100), NetId(2));
            vec![
                (Command::CreateLink { addr, net }, Ok(Outcome::Created)),
                (Command::DeleteLink { addr }, Ok(Outcome::Done)),
            ]
        });
        // Creating: the record, its counters and its list of nets. The address is also added to the ignore
        // list of its net: that list and the list of nets are copied, with two allocations each, because
        // readers hold the old ones. The group of the index allocates for its first key. Deleting: a copy of
        // the record's list of nets.
        assert!(links <= 4.5, "a link that is created and deleted: {links}");
    }

    /// The links of a burst, with their timers, flaps and effects.
    #[test]
    fn what_a_burst_of_links_allocated_is_freed_when_the_manager_is_idle() {
        const LINKS: u64 = 20_000;
        let mut node = Node::new();
        node.done(Command::SetNetActive { net: NetId(2), active: true });
        let kept = node.driver.links().snapshot().len();
        let direction = Direction::Downlink;
        let burst = |node: &mut Node| {
            let nodes = || (1_000..1_000 + LINKS).map(NodeAddr);
            for addr in nodes() {
                assert_eq!(node.run(Command::CreateLink { addr, net: NetId(2) }), Ok(Outcome::Created));
                node.done(Command::AddStream { addr, stream: StreamId(addr.0), direction });
            }
            for addr in nodes() {
                // The connection broke soon after it was made: a flap.
                node.done(Command::DeleteStream { addr, stream: StreamId(addr.0) });
                node.done(Command::DeleteLink { addr });
            }
            assert_eq!(node.driver.links().snapshot().len(), kept);
        };
        let idle = |node: &mut Node| {
            for _ in 0..4_000 {
                node.clock.advance(Duration::from_secs(60));
                let _ = node.driver.run_once(node.clock.now());
                node.driver.effects().for_each(drop);
            }
        };
        let counted = allocation_counter::measure(|| {
            burst(&mut node);
            idle(&mut node);
        });
        assert!(counted.bytes_max > 8 * 1_024 * 1_024, "the burst is too small: {counted:?}");
        assert!(counted.bytes_current < 512 * 1_024, "{counted:?}");
    }

    #[test]
    fn collecting_and_reading_metrics_allocates_nothing() {
        let mut node = Node::new();
        let metrics = Metrics::for_driver(&node.driver);
        let links = node.driver.links();
        let round = |node: &mut Node| {
            let again = Command::SetEndpoint { addr: NodeAddr(11), endpoint: endpoint(1) };
            assert_eq!(node.run(again), Ok(Outcome::Unchanged));
        };
        round(&mut node);
        let counted = allocation_counter::measure(|| {
            for _ in 0..ROUNDS {
                let report = metrics.collect();
                assert_eq!(report, metrics.report());
                assert_eq!(metrics.collect_from(&links.snapshot()).links(), 17);
                round(&mut node);
            }
        });
        assert_eq!(counted.count_total, 0);
        let report = metrics.collect();
        assert!(report.operations(CommandKind::SetEndpoint) > ROUNDS);
        assert!(report.tickets().reused > ROUNDS && report.tickets().allocated <= 4);
    }

    /// A host that sends commands by the hundred holds as many tickets at once.
    #[test]
    fn as_many_tickets_as_the_pool_has_allocate_nothing() {
        let mut node = Node::new();
        let mut tickets = Vec::with_capacity(512);
        let mut round = |node: &mut Node| {
            for number in 0..512 {
                let addr = NodeAddr(number % 8 + 11);
                tickets.push(node.handle.set_endpoint(addr, endpoint(1)).unwrap());
            }
            while node.driver.run_once(node.clock.now()).is_some_and(|next| next <= node.clock.now()) {}
            assert!(tickets.drain(..).all(|ticket| ticket.wait().is_ok()));
        };
        (0..4).for_each(|_| round(&mut node));
        let counted = allocation_counter::measure(|| (0..10).for_each(|_| round(&mut node)));
        assert_eq!(counted.count_total, 0);
        node.driver.effects().for_each(|effect: Effect<NodeAddr>| drop(effect));
    }
}
