//! What is warm allocates nothing: counted by a global allocator.
#![allow(clippy::unwrap_used)] // A panic is how these fail.

use std::num::NonZeroUsize;

use switchboard::mailbox::{Capacities, Priority, mailbox};
use switchboard::ticket::{Completion, Pool, ticket};

/// The counter counts: a test that measures nothing cannot pass.
#[test]
fn a_ticket_without_a_pool_allocates_once() {
    let round = || {
        let (completion, ticket) = ticket();
        completion.complete(1);
        assert_eq!(ticket.wait(), Ok(1));
    };
    // Debug builds keep a record of locks per thread.
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
    let (sender, mut receiver) = mailbox::<(u64, Completion<u64>)>(Capacities::new());
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

    use switchboard::{
        Clock, Command, CommandKind, Config, Direction, Driver, Effect, Handle, LinkManager, ManualClock,
        Metrics, NetConfig, NetId, NodeAddr, Outcome, StreamId,
    };

    const NET: NetId = NetId(1);
    const ROUNDS: u64 = 100;

    /// Commands of one round, with what each must come to.
    type Round = Vec<(Command<NodeAddr>, Outcome)>;

    struct Node {
        driver: Driver<NodeAddr>,
        handle: Handle<NodeAddr>,
        clock: ManualClock,
    }

    impl Node {
        /// Eight links of each kind: members by a stream of the peer, and wanted ones with an endpoint whose
        /// net is off, so that nothing is dialled.
        fn new() -> Self {
            let clock = ManualClock::new();
            let config = Config::default().cooling(std::time::Duration::ZERO);
            let driver = LinkManager::builder(config).clock(clock.clone()).build().unwrap();
            let handle = driver.handle();
            let mut node = Self { driver, handle, clock };
            for net in [NET, NetId(2)] {
                node.run(Command::AddNet { net, config: NetConfig::new().min_links(0) });
            }
            node.run(Command::SetNetCondition { net: NET, active: true });
            for addr in (1..=8).map(NodeAddr) {
                node.run(Command::AddStream {
                    addr,
                    stream: StreamId(addr.0),
                    direction: Direction::Downlink,
                });
                node.run(Command::AccountLink { net: NET, addr, stream: StreamId(addr.0), accepted: true });
            }
            for addr in (11..=18).map(NodeAddr) {
                node.run(Command::CreateLink { addr, net: NetId(2) });
                node.run(Command::UpdateLink { addr, endpoint: endpoint(1) });
            }
            node
        }

        /// Sends a command, takes a turn, and carries the effects away.
        fn run(&mut self, command: Command<NodeAddr>) -> Outcome {
            let ticket = self.handle.submit(command).unwrap();
            let _ = self.driver.run_once(self.clock.now());
            self.driver.effects().for_each(drop);
            ticket.wait().unwrap().outcome
        }

        /// Allocations per command, once warm.
        fn allocations(&mut self, mut next: impl FnMut(u64) -> Round) -> f64 {
            // Made before they are counted.
            let mut rounds: Vec<_> = (0..4 * ROUNDS).map(&mut next).collect();
            let counted = rounds.split_off(3 * ROUNDS as usize);
            let commands: usize = counted.iter().map(Vec::len).sum();
            let mut all = |rounds: &mut dyn Iterator<Item = (Command<NodeAddr>, Outcome)>| {
                for (command, outcome) in rounds {
                    assert_eq!(self.run(command), outcome);
                }
            };
            all(&mut rounds.into_iter().flatten());
            let mut counted = counted.into_iter().flatten();
            let measured = allocation_counter::measure(|| all(&mut counted));
            assert!(commands > 0);
            measured.count_total as f64 / commands as f64
        }
    }

    fn endpoint(host: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], 7))
    }

    /// From the ticket to the effects: the pool, the mailbox, the turn, the publication.
    #[test]
    fn commands_that_change_nothing_allocate_nothing() {
        let mut node = Node::new();
        let addr = |round: u64| NodeAddr(round % 8 + 1);
        type Case = Box<dyn FnMut(u64) -> Round>;
        let cases: [(&str, Case); 6] = [
            (
                "an endpoint again",
                Box::new(move |round| {
                    let addr = NodeAddr(addr(round).0 + 10);
                    vec![(Command::UpdateLink { addr, endpoint: endpoint(1) }, Outcome::Done)]
                }),
            ),
            (
                "accounting again",
                Box::new(move |round| {
                    let (addr, stream) = (addr(round), StreamId(addr(round).0));
                    let command = Command::AccountLink { net: NET, addr, stream, accepted: true };
                    vec![(command, Outcome::Unchanged)]
                }),
            ),
            (
                "accounting of a dead stream",
                Box::new(move |round| {
                    let command = Command::AccountLink {
                        net: NET,
                        addr: addr(round),
                        stream: StreamId(99),
                        accepted: true,
                    };
                    vec![(command, Outcome::Stale)]
                }),
            ),
            (
                "a stream again",
                Box::new(move |round| {
                    let (addr, stream) = (addr(round), StreamId(addr(round).0));
                    let command = Command::AddStream { addr, stream, direction: Direction::Downlink };
                    vec![(command, Outcome::Unchanged)]
                }),
            ),
            (
                "the end of a dead stream",
                Box::new(move |round| {
                    vec![(Command::DeleteStream { addr: addr(round), stream: StreamId(99) }, Outcome::Stale)]
                }),
            ),
            (
                "the answer to a dead dial",
                Box::new(move |round| {
                    let (addr, dial) = (addr(round), switchboard::DialId(99));
                    vec![
                        (Command::DialConnected { addr, dial }, Outcome::Stale),
                        (Command::DialFailed { addr, dial, last: true }, Outcome::Stale),
                        (Command::ResolveFailed { addr }, Outcome::Stale),
                    ]
                }),
            ),
        ];
        for (name, case) in cases {
            let allocations = node.allocations(case);
            assert!(allocations == 0.0, "{name}: {allocations} per command");
        }
    }

    /// What a change costs is what the new record is made of: one shared record, and each of its lists that is
    /// not empty (nets, memberships, streams).
    #[test]
    fn commands_that_change_a_link_allocate_its_record() {
        let mut node = Node::new();
        let endpoints = node.allocations(|round| {
            let command =
                Command::UpdateLink { addr: NodeAddr(11), endpoint: endpoint((round % 2) as u8 + 1) };
            vec![(command, Outcome::Done)]
        });
        // The record and its list of nets.
        assert!(endpoints <= 2.0, "a changed endpoint: {endpoints}");
        let streams = node.allocations(|round| {
            let (addr, stream) = (NodeAddr(100), StreamId(1_000 + round));
            vec![
                (Command::AddStream { addr, stream, direction: Direction::Downlink }, Outcome::Done),
                (Command::DeleteStream { addr, stream }, Outcome::Done),
            ]
        });
        // Coming: the record, its counters and its list of streams. Going: a copy of the list, which the dead one
        // is taken out of.
        assert!(streams <= 2.0, "a stream that comes and goes: {streams}");
        let links = node.allocations(|_| {
            let (addr, net) = (NodeAddr(100), NetId(2));
            vec![
                (Command::CreateLink { addr, net }, Outcome::Created),
                (Command::DeleteLink { addr }, Outcome::Done),
            ]
        });
        // Coming: the record, its counters and its list of nets; and, because the address goes on the hot list of its net,
        // that list and the list of nets anew, two each, as readers have the old ones; and the first key of a
        // group of the index. Going: a copy of the
        // record's list of nets.
        assert!(links <= 4.5, "a link that comes and goes: {links}");
    }

    #[test]
    fn collecting_and_reading_metrics_allocates_nothing() {
        let mut node = Node::new();
        let metrics = Metrics::for_driver(&node.driver);
        let links = node.driver.links();
        let round = |node: &mut Node| {
            node.run(Command::UpdateLink { addr: NodeAddr(11), endpoint: endpoint(1) });
        };
        round(&mut node);
        let counted = allocation_counter::measure(|| {
            for _ in 0..ROUNDS {
                let report = metrics.collect();
                assert_eq!(report, metrics.report());
                assert_eq!(metrics.collect_from(&links.snapshot()).links(), 16);
                round(&mut node);
            }
        });
        assert_eq!(counted.count_total, 0);
        let report = metrics.collect();
        assert!(report.operations(CommandKind::UpdateLink) > ROUNDS);
        assert!(report.tickets().reused > ROUNDS && report.tickets().allocated <= 4);
    }

    /// Who sends commands by the hundred holds as many tickets at once.
    #[test]
    fn as_many_tickets_as_the_pool_has_allocate_nothing() {
        let mut node = Node::new();
        let mut tickets = Vec::with_capacity(512);
        let mut round = |node: &mut Node| {
            for number in 0..512 {
                let addr = NodeAddr(number % 8 + 11);
                tickets.push(node.handle.update_link(addr, endpoint(1)).unwrap());
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
