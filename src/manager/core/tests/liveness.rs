//! No link stays stuck and no timer spins: one test for each possible cause.

use super::*;

fn closed(effects: &[Effect<NodeAddr>]) -> Vec<StreamId> {
    let streams = |effect: &Effect<NodeAddr>| match effect {
        Effect::CloseStreams { streams, .. } => streams.clone(),
        _ => Vec::new(),
    };
    effects.iter().flat_map(streams).collect()
}

fn replace(old: u64, new: u64, direction: Direction) -> Command<NodeAddr> {
    Command::ReplaceStream { addr: A, old: StreamId(old), new: StreamId(new), direction }
}

#[test]
fn a_connection_whose_stream_never_comes_ends_after_its_limit() {
    let mut bench = Bench::immediate();
    let dial = bench.dial(A, NET);
    bench.connected(A, dial).unwrap();
    assert_eq!(bench.link(A).state(), DialState::Established);
    assert_eq!(bench.after_seconds(59), []);
    let released = Effect::Released { addr: A, net: NET, members: 0, cause: LinkFailure::DialTimedOut };
    assert!(bench.after_seconds(1).contains(&released));
    assert!(!bench.has(A));
}

#[test]
fn a_connection_whose_stream_was_refused_ends_after_its_limit() {
    let mut bench = Bench::immediate();
    let dial = bench.dial(A, NET);
    bench.done(Command::SetActive { active: false });
    assert_eq!(bench.stream(A, 1, Direction::Uplink), Err(CommandError::Inactive));
    bench.connected(A, dial).unwrap();
    bench.done(Command::SetActive { active: true });
    bench.after_seconds(60);
    assert!(!bench.has(A));
}

#[test]
fn a_connection_that_loses_the_peers_stream_too_is_waited_for_and_no_longer() {
    let mut bench = Bench::immediate();
    bench.uplink(A, NET, 1);
    assert_eq!(bench.stream(A, 2, Direction::Downlink), Ok(Outcome::Spare));
    bench.unstream(A, 2).unwrap();
    bench.after_seconds(100);
    let dial = bench.link(A).dial_id().unwrap();
    bench.unstream(A, 1).unwrap();
    bench.connected(A, dial).unwrap();
    bench.done_stream(A, 3, Direction::Downlink);
    bench.after_seconds(100);
    bench.unstream(A, 3).unwrap();
    assert_eq!(bench.link(A).state(), DialState::Connecting);
    assert_eq!(bench.after_seconds(59), []);
    assert!(bench.has(A));
    bench.after_seconds(1);
    assert!(!bench.has(A));
}

#[test]
fn a_delay_that_no_clock_can_reach_never_ends() {
    let mut bench = Bench::new(
        Config::default()
            .tick(Duration::MAX)
            .ignore_period(Duration::MAX)
            .dial_timeout(Duration::MAX)
            .retry(RetryPolicy::Fixed(Duration::MAX)),
    );
    bench.core.directory_mut().add(NetStatus::new(NET, NetConfig::new().min_links(1)));
    bench.core.apply(Command::SetNetActive { net: NET, active: true }, bench.now()).unwrap();
    let add = Command::AddStream { addr: A, stream: StreamId(1), direction: Direction::Downlink };
    bench.core.apply(add, bench.now()).unwrap();
    bench.core.apply(Command::CreateLink { addr: A, net: NET }, bench.now()).unwrap();
    let day = Duration::from_secs(86_400);
    bench.core.advance(bench.now());
    bench.core.publish(bench.now());
    assert_eq!(bench.core.drain_effects().count(), 2, "a request and an announcement");
    bench.clock.advance(day);
    bench.core.advance(bench.now());
    assert!(!bench.core.is_dirty() && bench.core.next_deadline() > bench.now() + day);
    assert_eq!(bench.snapshot().ignored(NET, bench.clock.now()).count(), 1);
}

#[test]
fn a_net_asks_once_a_tick_whenever_it_began_to_be_short() {
    let mut bench = Bench::new(Config::default());
    bench.after_seconds(3);
    bench.open(NET, 1);
    assert_eq!(requested(&bench.turn()), [(NET, 1)]);
    assert_eq!(requested(&bench.after_seconds(2)), []);
    assert_eq!(requested(&bench.after_seconds(3)), [(NET, 1)]);
    assert_eq!(requested(&bench.after_seconds(4)), []);
    // A request by command is not delayed.
    bench.done(Command::CheckNets);
    assert_eq!(requested(&bench.turn()), [(NET, 1)]);
}

#[test]
fn a_net_that_goes_on_is_announced_at_once_whatever_was_announced_before() {
    let mut bench = Bench::immediate();
    bench.done(Command::AddNet { net: OTHER, config: NetConfig::new().min_links(0) });
    bench.create(A, NET).unwrap();
    bench.create(A, OTHER).unwrap();
    bench.done_stream(A, 1, Direction::Downlink);
    assert_eq!(announced(&bench.turn()), [(A, NET, 1)]);
    bench.account(NET, A, 1, true).unwrap();
    bench.done(Command::SetNetActive { net: OTHER, active: true });
    assert_eq!(announced(&bench.turn()), [(A, OTHER, 1)]);
}

#[test]
fn what_was_announced_on_a_dead_stream_is_announced_at_once_on_the_next() {
    let mut bench = Bench::immediate();
    bench.create(A, NET).unwrap();
    bench.done_stream(A, 1, Direction::Downlink);
    bench.stream(A, 2, Direction::Downlink).unwrap();
    bench.stream(A, 3, Direction::Downlink).unwrap();
    assert_eq!(announced(&bench.turn()), [(A, NET, 1)]);
    bench.unstream(A, 3).unwrap();
    assert_eq!(announced(&bench.turn()), [], "a spare stream died");
    bench.unstream(A, 1).unwrap();
    assert_eq!(announced(&bench.turn()), [(A, NET, 2)]);
}

#[test]
fn a_replacement_that_no_link_takes_is_closed() {
    let mut bench = Bench::immediate();
    assert_eq!(bench.apply(replace(1, 2, Direction::Downlink)), Ok(Outcome::Stale));
    assert_eq!(closed(&bench.turn()), [StreamId(2)]);
    bench.done_stream(A, 3, Direction::Downlink);
    bench.stream(A, 4, Direction::Downlink).unwrap();
    assert_eq!(bench.apply(replace(1, 5, Direction::Downlink)), Ok(Outcome::Stale));
    assert_eq!(bench.apply(replace(1, 4, Direction::Downlink)), Ok(Outcome::Stale));
    assert_eq!(closed(&bench.turn()), [StreamId(5)], "a spare stream stays");
}

#[test]
fn a_stream_of_ours_replaces_nothing_without_a_dial() {
    let mut bench = Bench::immediate();
    bench.done_stream(A, 1, Direction::Downlink);
    bench.account(NET, A, 1, true).unwrap();
    bench.apply(replace(1, 2, Direction::Uplink)).unwrap();
    assert_eq!(closed(&bench.turn()), [StreamId(2)]);
    assert!(!bench.has(A));
}

#[test]
fn a_cancelled_dial_takes_all_its_streams_along() {
    let mut bench = Bench::immediate();
    let dial = bench.uplink(A, NET, 1);
    bench.stream(A, 2, Direction::Downlink).unwrap();
    bench.stream(A, 3, Direction::Uplink).unwrap();
    bench.unstream(A, 1).unwrap();
    assert!(bench.turn().contains(&Effect::CancelDial { addr: A, dial }));
    let streams = bench.link(A).streams().to_vec();
    assert_eq!(streams.iter().map(|stream| stream.id).collect::<Vec<_>>(), [StreamId(2)]);
}

#[test]
fn time_alone_costs_bounded_memory() {
    let mut bench = Bench::new(Config::default().max_attempts(u32::MAX));
    bench.open(NET, 0);
    bench.create(A, NET).unwrap();
    for _ in 0..100 {
        bench.after_seconds(60);
    }
    assert!(bench.has(A));
    assert_eq!(bench.core.journal.len(), 0);
}
