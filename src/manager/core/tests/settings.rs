//! Settings that change while the manager runs.

use super::*;
use crate::manager::model::config::problem::Problem;
use crate::manager::model::config::settings::Settings;

const SECOND: Duration = Duration::from_secs(1);

fn change(bench: &mut Bench, settings: Settings) -> Applying {
    bench.apply(Command::Reconfigure { settings: Box::new(settings) })
}

fn now_in_force(bench: &mut Bench) -> Settings {
    bench.snapshot().settings().clone()
}

#[test]
fn settings_that_cannot_work_are_refused_as_a_whole() {
    let mut bench = Bench::immediate();
    let before = now_in_force(&mut bench);
    let wrong = Settings::default().max_links(0).tick(SECOND).retry(RetryPolicy::fixed(Duration::ZERO));
    let Err(CommandError::Config(error)) = change(&mut bench, wrong) else { panic!("accepted") };
    assert_eq!(error.problems(), [Problem::MaxLinksZero, Problem::RetryDelayZero]);
    assert!(CommandError::Config(error).to_string().contains("max_links: must be at least 1"));
    assert_eq!(now_in_force(&mut bench), before);
    assert_eq!(change(&mut bench, before), Ok(Outcome::Unchanged));
}

#[test]
fn a_version_shows_the_settings_that_were_in_force() {
    let mut bench = Bench::immediate();
    let old = bench.snapshot();
    let settings = Settings::default().max_attempts(7).ignore_period(SECOND);
    assert_eq!(change(&mut bench, settings.clone()), Ok(Outcome::Done));
    assert_eq!(old.settings(), &Settings::default());
    assert_eq!(bench.snapshot().settings(), &settings);
    assert_eq!(old.settings(), &Settings::default());
}

#[test]
fn a_planned_delay_stays_but_no_longer_than_the_new_cap() {
    let mut bench = Bench::new(Config::default().max_attempts(100));
    bench.open(NET, 0);
    let dial = bench.dial(A, NET);
    bench.failed(A, dial, true).unwrap();
    let planned = bench.now() + 20 * SECOND;
    let retry = |delay| Settings::default().max_attempts(100).retry(RetryPolicy::fixed(delay));
    change(&mut bench, retry(60 * SECOND)).unwrap();
    assert_eq!(bench.link(A).next_attempt_at(), Some(planned), "as planned");

    bench.after_seconds(5);
    change(&mut bench, retry(3 * SECOND)).unwrap();
    assert_eq!(bench.link(A).next_attempt_at(), Some(bench.now() + 3 * SECOND), "cut");
    assert_eq!(resolved(&bench.after(3 * SECOND - Duration::from_nanos(1))), []);
    assert_eq!(resolved(&bench.after(Duration::from_nanos(1))), [A], "and its timer, too");

    bench.update(A).unwrap();
    let dial = bench.link(A).dial_id().expect("a dial");
    change(&mut bench, retry(7 * SECOND)).unwrap();
    bench.failed(A, dial, true).unwrap();
    assert_eq!(bench.link(A).next_attempt_at(), Some(bench.now() + 7 * SECOND), "a new delay");
}

#[test]
fn an_announcement_that_waits_is_cut_as_well() {
    let mut bench = Bench::immediate();
    bench.done_stream(A, 1, Direction::Downlink);
    bench.create(A, NET).unwrap();
    assert_eq!(announced(&bench.turn()), [(A, NET, 1)]);
    change(&mut bench, Settings::default().retry(RetryPolicy::fixed(SECOND))).unwrap();
    assert_eq!(announced(&bench.after_seconds(1)), [(A, NET, 1)]);
}

#[test]
fn a_limit_below_what_is_there_refuses_new_entries_and_drops_nothing() {
    let mut bench = Bench::immediate();
    bench.open(OTHER, 0);
    for addr in [A, B] {
        bench.create(addr, NET).unwrap();
        for stream in 1..=2 {
            bench.stream(addr, addr.0 * 10 + stream, Direction::Downlink).unwrap();
        }
    }
    let small = Settings::default().max_links(1).max_nets(1).max_streams(1).max_ignored(1);
    change(&mut bench, small).unwrap();
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.len(), snapshot.nets().len()), (2, 2));
    assert!(snapshot.links().all(|link| link.streams().len() == 2));
    assert_eq!(snapshot.ignored(NET, bench.now()).count(), 2);

    assert_eq!(bench.create(C, NET), Err(CommandError::LimitReached { of: "links", limit: 1 }));
    let third = Command::AddNet { net: NetId(3), config: NetConfig::new() };
    assert_eq!(bench.apply(third), Err(CommandError::LimitReached { of: "nets", limit: 1 }));
    assert_eq!(
        bench.stream(A, 99, Direction::Downlink),
        Err(CommandError::LimitReached { of: "streams", limit: 1 })
    );
    // Existing records can still be used.
    assert_eq!(bench.create(A, OTHER), Ok(Outcome::Associated));
    assert_eq!(bench.create(B, NET), Ok(Outcome::AlreadyAssociated));
    let now = bench.now();
    assert_eq!(bench.snapshot().ignored(NET, now).collect::<Vec<_>>(), [&B], "cut by the next entry");
}

#[test]
fn a_shorter_tick_counts_from_the_tick_that_is_planned() {
    let mut bench = Bench::reference();
    let start = bench.now();
    bench.after_seconds(1);
    change(&mut bench, Config::ticked().tick(SECOND).settings().clone()).unwrap();
    assert_eq!(bench.core.next_deadline(), start + 5 * SECOND, "as planned");
    bench.after_seconds(4);
    assert_eq!(bench.core.next_deadline(), start + 6 * SECOND);
    bench.after_seconds(1);
    assert_eq!(bench.core.next_deadline(), start + 7 * SECOND);
}

#[test]
fn a_dial_timeout_goes_for_what_is_under_way() {
    for (first, second, seconds) in [(60, Some(5), 5), (5, Some(60), 60), (60, None, 10_000)] {
        let mut bench = Bench::new(
            Config::default().max_attempts(100).dial_timeout(SECOND * first).tick(SECOND * 100_000),
        );
        bench.open(NET, 0);
        bench.dial(A, NET);
        let second: Option<u32> = second;
        let limit = second.map(|seconds| SECOND * seconds);
        change(&mut bench, Settings::default().max_attempts(100).dial_timeout(limit).tick(SECOND)).unwrap();
        bench.after(SECOND * seconds - Duration::from_nanos(1));
        assert_eq!(bench.link(A).state(), DialState::Connecting, "{second:?}");
        bench.after(Duration::from_nanos(1));
        assert_eq!(bench.link(A).state() == DialState::Disconnected, second.is_some());
    }
}

#[test]
fn ignore_period_and_attempts_count_from_now_on() {
    let mut bench = Bench::new(Config::default().max_attempts(2));
    bench.open(NET, 0);
    let dial = bench.dial(A, NET);
    change(&mut bench, Settings::default().max_attempts(1).ignore_period(SECOND)).unwrap();
    bench.create(B, NET).unwrap();
    let (now, soon) = (bench.now(), bench.now() + 2 * SECOND);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.ignored(NET, now).count(), 2);
    assert_eq!(snapshot.ignored(NET, soon).collect::<Vec<_>>(), [&A]);
    bench.failed(A, dial, true).unwrap();
    assert!(!bench.has(A), "only one attempt is granted now");
}

#[test]
fn a_net_that_asks_for_more_is_heard_at_once() {
    let mut bench = Bench::immediate();
    let configure = |net, config| Command::ConfigureNet { net, config };
    let config = NetConfig::new().min_links(2);
    assert_eq!(bench.apply(configure(OTHER, config)), Err(CommandError::UnknownNet(OTHER)));
    assert_eq!(bench.apply(configure(NET, config)), Ok(Outcome::Done));
    assert_eq!(bench.apply(configure(NET, config)), Ok(Outcome::Unchanged));
    assert_eq!(requested(&bench.turn()), [(NET, 2)]);
    assert_eq!((bench.snapshot().min_links(NET), bench.snapshot().needed(NET)), (2, 2));
    // The net asks again although it has just asked.
    bench.done(configure(NET, config.min_links(3)));
    assert_eq!(requested(&bench.turn()), [(NET, 3)]);

    bench.done_stream(A, 1, Direction::Downlink);
    bench.account(NET, A, 1, true).unwrap();
    assert_eq!(bench.snapshot().needed(NET), 2);
    bench.done(configure(NET, config.min_links(3).count_downlinks(false)));
    assert_eq!(bench.snapshot().needed(NET), 3);
    assert_eq!(requested(&bench.turn()), [(NET, 3)]);
}

fn reserve(bench: &mut Bench, reserved: bool) -> Applying {
    let config = NetConfig::new().min_links(2).reserved_only(reserved);
    bench.apply(Command::ConfigureNet { net: NET, config })
}

#[test]
fn a_net_that_is_reserved_lets_go_of_all_but_its_permanent_peers() {
    let mut bench = Bench::immediate();
    bench.open(OTHER, 0);
    reserve(&mut bench, false).unwrap();
    bench.uplink(A, NET, 1);
    bench.keep(NET, B).unwrap();
    // A member that another net also wants, a guest that no net wants, and a static peer.
    bench.uplink(C, NET, 3);
    bench.create(C, OTHER).unwrap();
    let (guest, fixed) = (NodeAddr(4), NodeAddr(5));
    bench.done_stream(guest, 4, Direction::Downlink);
    bench.account(NET, guest, 4, true).unwrap();
    bench.associate(NET, CLUSTER);
    bench.fix(CLUSTER, fixed).unwrap();
    bench.done_stream(fixed, 5, Direction::Downlink);
    bench.account(NET, fixed, 5, true).unwrap();
    bench.turn();
    assert_eq!(bench.snapshot().count(NET), 4);

    assert_eq!(reserve(&mut bench, true), Ok(Outcome::Done));
    let effects = bench.turn();
    assert!(effects.contains(&Effect::CloseDialer { addr: A }));
    let count = Effect::LinkCountChanged { net: NET, uplinks: 0, downlinks: 0 };
    assert!(effects.contains(&count));
    assert_eq!(requested(&effects), []);
    let snapshot = bench.snapshot();
    assert!(snapshot.get(&A).is_none());
    assert!(snapshot.contains(&B, NET));
    assert_eq!(snapshot.get(&C).map(|link| link.nets().to_vec()), Some(vec![OTHER]));
    assert!(snapshot.get(&guest).is_some_and(|link| link.memberships().is_empty()));
    assert!(snapshot.get(&fixed).is_some_and(|link| link.is_cluster_member(CLUSTER)));
    assert_eq!((snapshot.count(NET), snapshot.needed(NET)), (0, 0));
    assert_eq!(bench.create(A, NET), Err(CommandError::ReservedNet(NET)));

    assert_eq!(reserve(&mut bench, false), Ok(Outcome::Done));
    assert_eq!(requested(&bench.turn()), [(NET, 2)], "at once");
    assert_eq!(bench.create(A, NET), Ok(Outcome::Created));
}

#[test]
fn a_rest_is_cut_to_the_policy_in_force() {
    let policy = FlapPolicy::new().limit(1).delay(100 * SECOND);
    let config = Config::default().flaps(policy);
    let flapping = |policy: Option<FlapPolicy>| Settings::default().flaps(policy);
    for (changed, seconds) in
        [(Some(policy.delay(200 * SECOND)), 100), (Some(policy.limit(9).delay(30 * SECOND)), 30), (None, 20)]
    {
        let mut bench = Bench::new(config.clone());
        bench.open(NET, 0);
        bench.keep(NET, A).unwrap();
        bench.turn();
        bench.update(A).unwrap();
        let dial = bench.link(A).dial_id().expect("a dial");
        bench.done_stream(A, 1, Direction::Uplink);
        bench.connected(A, dial).unwrap();
        bench.unstream(A, 1).unwrap();
        assert_eq!(bench.link(A).not_before(), Some(bench.now() + 100 * SECOND));
        change(&mut bench, flapping(changed)).unwrap();
        assert_eq!(bench.link(A).not_before(), Some(bench.now() + seconds * SECOND), "{changed:?}");
        let (almost, rest) = (seconds * SECOND - Duration::from_nanos(1), Duration::from_nanos(1));
        assert_eq!(resolved(&bench.after(almost)), []);
        assert_eq!(resolved(&bench.after(rest)), [A], "and its timer, too");
    }
}

#[test]
fn limits_on_clusters_and_peers_refuse_new_entries_and_drop_nothing() {
    let mut bench = Bench::immediate();
    bench.associate(NET, CLUSTER);
    bench.associate(NET, FOREIGN);
    for addr in [A, B] {
        bench.role(CLUSTER, addr, true).unwrap();
        bench.keep(NET, addr).unwrap();
    }
    change(&mut bench, Settings::default().max_clusters(1).max_roles(1).max_permanent(1)).unwrap();
    let third = ClusterId::new(NET, 9);
    let associate = Command::AssociateCluster { net: NET, cluster: third, kind: ClusterKind::Embedded };
    let reached = |of| Err(CommandError::LimitReached { of, limit: 1 });
    assert_eq!(bench.apply(associate), reached("clusters"));
    assert_eq!(bench.role(CLUSTER, C, true), reached("role members"));
    assert_eq!(bench.keep(NET, C), reached("permanent peers"));
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.clusters().len(), 2);
    assert_eq!(snapshot.cluster(CLUSTER).map(|cluster| cluster.role_members().len()), Some(2));
    assert_eq!(snapshot.net(NET).map(|net| net.permanent_peers().len()), Some(2));
}
