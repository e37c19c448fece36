//! Defects of the reference that this crate does not reproduce. Each test describes the behaviour of the
//! reference.
//!
//! | defect of the reference | test |
//! |---|---|
//! | B7, B9, B12: unlocked maps | none: there is one owner, which the compiler enforces |
//! | B13: a flag that is never cleared | `a_link_that_broke_once_is_closed_like_any_other` |
//! | B14: counters that drift | `invariants`, in every test and after every random command |
//! | B15: ESTABLISHED after a break | `failures::a_broken_uplink_connects_again_under_the_same_dial` |
//! | B16: errors handled only with a callback | `a_break_is_handled_whoever_listens` |
//! | B17: loopback not recognized | `link::addr`: `the_policy_refuses_what_cannot_be_dialled` |
//! | B18: static twice, removed once | `a_static_peer_is_static_once` |
//! | B19: a downlink never becomes dialable | `a_downlink_that_becomes_static_joins_at_once_and_is_dialled_later` |
//! | B21: refused creates on the ignore list | `refused_creates_and_lasting_peers_are_not_hot` |
//! | B22: refused endpoints without back-off | `immediate::an_answer_that_cannot_be_used_counts_as_an_attempt_and_backs_off` |
//! | B24: "already associated" is an error | `commands::creating_twice_is_an_outcome_and_not_an_error` |
//! | B25: downlinks satisfy the minimum | `immediate::downlinks_count_unless_the_net_says_otherwise` |
//! | B26: net off cuts other nets | `nets::a_net_that_goes_off_takes_its_own_uplinks_and_leaves_the_rest`, `a_net_that_goes_off_leaves_a_link_to_the_cluster_of_another` |
//! | timers only every 10 s | `immediate`, beside `reference` |
//! | flapping links counted per net and report | `flaps` |
//! | a member that no net wants after a failed dial | `a_member_stays_associated_whichever_step_of_a_dial_fails` |
//! | a dial that starts before the delay is over | `a_delay_that_begins_while_an_endpoint_is_asked_for_is_waited_for` |

use super::*;

/// Reference: the first outage sets `stream_is_destroyed`, which is never cleared: every later deletion that
/// preserves the record leaves the sockets open.
#[test]
fn a_link_that_broke_once_is_closed_like_any_other() {
    let mut bench = Bench::immediate();
    bench.associate(NET, CLUSTER);
    bench.fix(CLUSTER, A).unwrap();
    let dial = bench.uplink(A, NET, 1);
    bench.unstream(A, 1).unwrap();
    bench.done_stream(A, 2, Direction::Uplink);
    bench.connected(A, dial).unwrap();
    bench.stream(A, 3, Direction::Downlink).unwrap();
    bench.turn();
    bench.done(Command::DeleteLink { addr: A });
    let effects = bench.turn();
    assert!(effects.contains(&Effect::CloseDialer { addr: A }), "{effects:?}");
    assert!(effects.contains(&Effect::CloseStreams { addr: A, streams: vec![StreamId(3)] }), "{effects:?}");
    assert!(bench.link(A).streams().is_empty());
}

/// Reference: without an error callback, a broken uplink stays in its clusters. Here the reports alone change
/// the state, even if no host takes the effects.
#[test]
fn a_break_is_handled_whoever_listens() {
    let mut bench = Bench::immediate();
    bench.associate(NET, CLUSTER);
    let dial = bench.uplink(A, NET, 1);
    bench.join(CLUSTER, A).unwrap();
    bench.failed(A, dial, false).unwrap();
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.count(NET), snapshot.cluster_count(CLUSTER)), (0, 0));
}

/// Reference: the list of static clusters accepts a duplicate, and one removal leaves the other entry behind.
#[test]
fn a_static_peer_is_static_once() {
    let mut bench = Bench::immediate();
    bench.associate(NET, CLUSTER);
    assert_eq!(bench.fix(CLUSTER, A), Ok(Outcome::Done));
    assert_eq!(bench.fix(CLUSTER, A), Ok(Outcome::Unchanged));
    // A designation by role does not add a second entry either.
    bench.role(CLUSTER, A, true).unwrap();
    bench.role(CLUSTER, OWN, true).unwrap();
    assert!(bench.link(A).static_clusters().eq([CLUSTER]));
    assert_eq!(bench.snapshot().static_count(CLUSTER), 1);
    bench.role(CLUSTER, A, false).unwrap();
    bench.done(Command::RemoveStaticPeer { cluster: CLUSTER, addr: A });
    assert!(!bench.has(A));
}

/// Reference: a pure downlink that becomes a static peer gets no client and does not join; when the downlink
/// dies, the record stays indefinitely and is never dialled.
#[test]
fn a_downlink_that_becomes_static_joins_at_once_and_is_dialled_later() {
    let mut bench = Bench::immediate();
    bench.associate(NET, CLUSTER);
    bench.done_stream(A, 1, Direction::Downlink);
    assert!(!bench.link(A).is_dialable());
    bench.fix(CLUSTER, A).unwrap();
    let link = bench.link(A);
    assert!(link.is_dialable() && link.is_cluster_member(CLUSTER));
    assert_eq!(bench.snapshot().cluster_count(CLUSTER), 1);
    assert_eq!(resolved(&bench.turn()), []);
    bench.unstream(A, 1).unwrap();
    assert_eq!(resolved(&bench.turn()), [A]);
}

/// Reference: `link_create` writes the ignore list even if it fails, and also for static and permanent peers.
#[test]
fn refused_creates_and_lasting_peers_are_not_hot() {
    let mut bench = Bench::immediate();
    bench.associate(NET, CLUSTER);
    assert_eq!(bench.create(OWN, NET), Err(CommandError::OwnAddr));
    assert_eq!(bench.create(A, OTHER), Err(CommandError::UnknownNet(OTHER)));
    bench.fix(CLUSTER, B).unwrap();
    bench.keep(NET, C).unwrap();
    let now = bench.now();
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.ignored(NET, now).count() + snapshot.ignored(OTHER, now).count(), 0);
}

/// Reference: a link whose last net is switched off is closed, even if it is a member of another net's
/// cluster.
#[test]
fn a_net_that_goes_off_leaves_a_link_to_the_cluster_of_another() {
    let mut bench = Bench::immediate();
    bench.open(OTHER, 0);
    bench.associate(OTHER, FOREIGN);
    bench.uplink(A, NET, 1);
    bench.fix(FOREIGN, B).unwrap();
    bench.uplink(B, NET, 2);
    bench.join(FOREIGN, A).unwrap();
    bench.turn();
    bench.switch(NET, false);
    for addr in [A, B] {
        let link = bench.link(addr);
        assert_eq!((link.clusters(), link.state()), (&[FOREIGN][..], DialState::Established));
    }
    assert_eq!(bench.turn(), [Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 0 }]);
}

/// Reference: the delay is checked when the endpoint is requested, but not when the answer arrives.
#[test]
fn a_delay_that_begins_while_an_endpoint_is_asked_for_is_waited_for() {
    let mut bench = Bench::immediate();
    bench.keep(NET, A).unwrap();
    assert_eq!(resolved(&bench.turn()), [A]);
    bench.done_stream(A, 1, Direction::Downlink);
    bench.account(NET, A, 1, false).unwrap();
    bench.unstream(A, 1).unwrap();
    bench.update(A).unwrap();
    assert_eq!(dialled(&bench.turn()), []);
    assert_eq!(dialled(&bench.after_seconds(19)), []);
    assert_eq!(dialled(&bench.after_seconds(1)), [A]);
}

/// Reference: the last failure of a dial also ends the association of a node that is a member through a
/// stream of its own, which leaves a connected link that no net wants. Here the association stays, regardless
/// of the step of the attempt that fails.
#[test]
fn a_member_stays_associated_whichever_step_of_a_dial_fails() {
    type Failure = fn(&mut Bench, NodeAddr, Option<DialId>);
    let failures: [(&str, bool, Failure); 6] = [
        ("no endpoint", false, |bench, addr, _| assert_eq!(bench.unresolved(addr), Ok(Outcome::Done))),
        ("an unusable endpoint", false, |bench, addr, _| {
            let endpoint = SocketAddr::from(([0, 0, 0, 0], 1));
            assert!(bench.apply(Command::SetEndpoint { addr, endpoint }).is_err());
        }),
        ("no answer", false, |bench, _, _| bench.clock.advance(Duration::from_secs(60))),
        ("a first failure", true, |bench, addr, dial| {
            bench.done(Command::DialFailed { addr, dial: dial.unwrap(), last: false });
        }),
        ("the last failure", true, |bench, addr, dial| {
            bench.done(Command::DialFailed { addr, dial: dial.unwrap(), last: true });
        }),
        ("no connection", true, |bench, _, _| bench.clock.advance(Duration::from_secs(60))),
    ];
    for (name, dials, fail) in failures {
        let mut bench = Bench::immediate();
        bench.create(A, NET).unwrap();
        assert_eq!(resolved(&bench.turn()), [A]);
        if dials {
            bench.update(A).unwrap();
            assert_eq!(dialled(&bench.turn()), [A]);
        }
        bench.done_stream(A, 1, Direction::Downlink);
        bench.account(NET, A, 1, true).unwrap();
        bench.turn();
        let dial = bench.link(A).dial_id();
        fail(&mut bench, A, dial);
        let effects = bench.turn();
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Released { .. })), "{name}");
        let link = bench.link(A);
        assert_eq!((link.nets(), link.memberships()), (&[NET][..], &[NET][..]), "{name}");
        assert!(link.is_idle() && !link.endpoint_fresh, "{name}: {link:?}");
        assert_eq!((link.attempts(), link.failures()), (0, 1), "{name}");
        assert_eq!(link.not_before(), Some(bench.now() + Duration::from_secs(20)), "{name}");
        // After the stream of the peer has ended, the net still wants the link.
        bench.unstream(A, 1).unwrap();
        assert_eq!(resolved(&bench.after_seconds(20)), [A], "{name}");
    }
}
