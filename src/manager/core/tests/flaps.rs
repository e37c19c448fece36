//! Links that repeatedly connect and drop.

use super::*;

fn bench(policy: FlapPolicy) -> Bench {
    let mut bench = Bench::new(Config::default().flaps(policy));
    bench.open(NET, 0);
    bench
}

/// Connects a link that is due for a dial, and loses the connection after `lifetime` seconds.
fn flap(bench: &mut Bench, stream: u64, lifetime: u64, last: bool) -> Vec<Effect<NodeAddr>> {
    let dial = match bench.link(A).dial_id() {
        Some(dial) => dial,
        None => {
            bench.update(A).unwrap();
            bench.turn();
            bench.link(A).dial_id().expect("a dial")
        }
    };
    let added = bench.apply(Command::AddUplink { addr: A, stream: StreamId(stream), dial });
    assert_eq!(added, Ok(Outcome::Done));
    bench.connected(A, dial).unwrap();
    bench.after_seconds(lifetime);
    bench.unstream(A, stream).unwrap();
    // A second report of the same outage.
    let _ = bench.failed(A, dial, last);
    bench.turn()
}

fn flaps(bench: &mut Bench) -> u32 {
    let now = bench.now();
    bench.link(A).flaps(now)
}

#[test]
fn a_drop_counts_once_however_often_it_is_told_and_however_many_nets_there_are() {
    let mut bench = bench(FlapPolicy::new());
    bench.open(OTHER, 0);
    bench.create(A, NET).unwrap();
    bench.create(A, OTHER).unwrap();
    flap(&mut bench, 1, 5, false);
    assert_eq!(flaps(&mut bench), 1);
    assert_eq!(bench.link(A).nets(), [NET, OTHER]);
}

#[test]
fn at_the_limit_an_ordinary_link_is_dropped_and_ignored() {
    let mut bench = bench(FlapPolicy::new());
    bench.create(A, NET).unwrap();
    flap(&mut bench, 1, 5, false);
    bench.clock.advance(Duration::from_secs(890));
    assert_eq!(flaps(&mut bench), 1);
    let effects = flap(&mut bench, 2, 5, false);
    assert!(
        effects.contains(&Effect::Released { addr: A, net: NET, members: 0, cause: LinkFailure::Flapping }),
        "{effects:?}"
    );
    assert!(effects.contains(&Effect::CloseDialer { addr: A }));
    assert!(!bench.has(A));
    // The entry made by the flap counts; the one made by the creation would have expired.
    let now = bench.now() + Duration::from_secs(899);
    assert_eq!(bench.snapshot().ignored(NET, now).copied().collect::<Vec<_>>(), [A]);
}

#[test]
fn at_the_limit_a_permanent_or_static_peer_gets_a_longer_delay() {
    for permanent in [true, false] {
        let mut bench = bench(FlapPolicy::new());
        bench.associate(NET, CLUSTER);
        if permanent {
            bench.keep(NET, A).unwrap()
        } else {
            bench.fix(CLUSTER, A).unwrap()
        };
        flap(&mut bench, 1, 119, false);
        let effects = flap(&mut bench, 2, 119, false);
        assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::CancelDial { .. })).count(), 1);
        let link = bench.link(A);
        assert_eq!(link.state(), DialState::Disconnected);
        assert_eq!(link.not_before(), Some(bench.now() + Duration::from_secs(900)));
        assert_eq!(flaps(&mut bench), 2);
        assert_eq!(resolved(&bench.after_seconds(899)), []);
        assert_eq!(resolved(&bench.after_seconds(1)), [A]);
        // After the rest, the count starts from zero.
        bench.clock.advance(Duration::from_nanos(1));
        assert_eq!(flaps(&mut bench), 0);
    }
}

#[test]
fn a_connection_that_lasts_clears_the_count() {
    let mut bench = bench(FlapPolicy::new());
    bench.create(A, NET).unwrap();
    flap(&mut bench, 1, 119, false);
    flap(&mut bench, 2, 120, false);
    assert_eq!(flaps(&mut bench), 0);
    flap(&mut bench, 3, 1, false);
    assert_eq!(flaps(&mut bench), 1);
    assert!(bench.has(A));
}

#[test]
fn the_count_outlives_the_record() {
    let mut bench = bench(FlapPolicy::new());
    bench.create(A, NET).unwrap();
    flap(&mut bench, 1, 5, true);
    assert!(!bench.has(A), "the dialer gave up");
    bench.create(A, NET).unwrap();
    assert_eq!(flaps(&mut bench), 1);
    bench.turn();
    flap(&mut bench, 2, 5, false);
    assert!(!bench.has(A));
}

#[test]
fn a_connection_that_another_stream_replaces_has_not_dropped() {
    let mut bench = bench(FlapPolicy::new().limit(1));
    bench.create(A, NET).unwrap();
    let dial = bench.dial(A, NET);
    bench.done_stream(A, 1, Direction::Uplink);
    bench.connected(A, dial).unwrap();
    bench.stream(A, 2, Direction::Downlink).unwrap();
    bench.unstream(A, 1).unwrap();
    assert_eq!(flaps(&mut bench), 0);
    assert_eq!(bench.link(A).nets(), [NET]);
}

#[test]
fn entries_are_bounded_and_off_by_default() {
    let mut bench = bench(FlapPolicy::new().entries(2));
    let mut steady = Bench::immediate();
    for (node, counts) in (1..5).flat_map(|node| [(node, true), (node, false)]) {
        let bench = if counts { &mut bench } else { &mut steady };
        let addr = NodeAddr(node);
        let dial = bench.dial(addr, NET);
        bench.done_stream(addr, node, Direction::Uplink);
        bench.connected(addr, dial).unwrap();
        bench.after_seconds(1);
        bench.unstream(addr, node).unwrap();
    }
    assert_eq!((bench.core.flaps.len(), steady.core.flaps.len()), (2, 0));
    let now = bench.now();
    assert_eq!(bench.link(NodeAddr(4)).flaps(now), 1);
}
