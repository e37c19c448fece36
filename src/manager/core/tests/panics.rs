//! Panics of addresses in the middle of a command.

use std::cell::Cell;
use std::hash::{Hash, Hasher};

use super::*;
use crate::link::UserData;
use crate::link::addr::Addr;
use crate::manager::model::config::settings::Settings;
use crate::manager::model::directory::LinkTable;

thread_local! {
    /// Number of operations on addresses until one panics; `None` disables the panic.
    static FUSE: Cell<Option<u32>> = const { Cell::new(None) };
}

fn burn() {
    FUSE.with(|fuse| {
        if let Some(left) = fuse.get() {
            fuse.set(left.checked_sub(1));
            if left == 0 {
                // Resumed instead of raised, to bypass the panic hook.
                std::panic::resume_unwind(Box::new("the address panics"));
            }
        }
    });
}

#[derive(Debug)]
struct Fragile(u64);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        burn();
        Self(self.0)
    }
}

impl PartialEq for Fragile {
    fn eq(&self, other: &Self) -> bool {
        burn();
        self.0 == other.0
    }
}

impl Eq for Fragile {}

impl Hash for Fragile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        burn();
        self.0.hash(state);
    }
}

impl Addr for Fragile {
    fn is_blank(&self) -> bool {
        self.0 == 0
    }
}

/// Publishes the staged state and formats the version.
fn view(core: &mut Core<Fragile>, table: &LinkTable<Fragile>, now: Instant) -> String {
    core.publish(now);
    let links = Links::new(table.clone(), Config::default().timing);
    let snapshot = links.snapshot();
    let mut all: Vec<_> = snapshot.links().map(|link| format!("{link:?}")).collect();
    all.sort();
    let mut listed: Vec<_> = snapshot.addrs(NET, MemberFilter::All).map(|addr| addr.0).collect();
    listed.sort_unstable();
    let ignored: Vec<_> = snapshot.ignored(NET, now).map(|addr| addr.0).collect();
    let mut cluster: Vec<_> = snapshot.cluster_members(CLUSTER).map(|addr| addr.0).collect();
    cluster.sort_unstable();
    let mut fixed: Vec<_> = snapshot.static_peers(CLUSTER).map(|addr| addr.0).collect();
    fixed.sort_unstable();
    let mut roles: Vec<_> = snapshot
        .clusters()
        .iter()
        .flat_map(|cluster| cluster.role_members().map(move |addr| (cluster.id(), addr.0)))
        .collect();
    roles.sort_unstable();
    let mut kept: Vec<_> = snapshot
        .nets()
        .iter()
        .flat_map(|net| net.permanent_peers().map(move |addr| (net.id(), addr.0)))
        .collect();
    kept.sort_unstable();
    let statuses: Vec<_> = snapshot.clusters().iter().map(Cluster::status).collect();
    let counts = (snapshot.count(NET), snapshot.cluster_count(CLUSTER));
    let settings = snapshot.settings();
    format!(
        "{all:?} {listed:?} {ignored:?} {cluster:?} {fixed:?} {roles:?} {kept:?} {statuses:?} {counts:?} {settings:?}"
    )
}

fn config() -> Config {
    Config::default().flaps(FlapPolicy::new().limit(1))
}

/// A core with two nets, a cluster and some links, of which a part is published and the rest is only staged.
fn staged(now: Instant) -> (Core<Fragile>, LinkTable<Fragile>) {
    let (mut core, table) = Core::<Fragile>::new(config(), Some(Fragile(999)), now);
    for net in [NET, OTHER] {
        core.apply(Command::AddNet { net, config: NetConfig::new() }, now).unwrap();
        core.apply(Command::SetNetActive { net, active: true }, now).unwrap();
    }
    for node in 1..4 {
        if node == 2 {
            core.publish(now);
        }
        let (addr, stream) = (Fragile(node), StreamId(node * 10));
        core.apply(Command::AddStream { addr, stream, direction: Direction::Downlink }, now).unwrap();
        core.apply(Command::CreateLink { addr: Fragile(node), net: NET }, now).unwrap();
        let accounted = Command::AccountLink { net: NET, addr: Fragile(node), stream, accepted: true };
        core.apply(accounted, now).unwrap();
    }
    let associate = Command::AssociateCluster { net: NET, cluster: CLUSTER, kind: ClusterKind::Autonomic };
    core.apply(associate, now).unwrap();
    core.apply(Command::JoinCluster { cluster: CLUSTER, addr: Fragile(2) }, now).unwrap();
    core.apply(Command::AddStaticPeer { cluster: CLUSTER, addr: Fragile(3) }, now).unwrap();
    core.apply(Command::AddPermanentPeer { net: OTHER, addr: Fragile(4) }, now).unwrap();
    for role in [3, 7, 8] {
        let addr = Fragile(role);
        core.apply(Command::SetRoleMember { cluster: CLUSTER, addr, member: true }, now).unwrap();
    }
    // A connection that is lost at once makes the link flapping.
    core.apply(Command::WakeUp, now).unwrap();
    core.apply(Command::SetEndpoint { addr: Fragile(4), endpoint: endpoint() }, now).unwrap();
    let dial = core.writer.get(&Fragile(4)).and_then(|link| link.dial_id()).expect("a dial");
    core.apply(Command::AddUplink { addr: Fragile(4), stream: StreamId(40), dial }, now).unwrap();
    core.apply(Command::DialConnected { addr: Fragile(4), dial }, now).unwrap();
    (core, table)
}

/// Runs every command with a panic at every place where an address can panic: the state before the command
/// stays, published or not.
#[test]
fn a_command_that_panics_changes_nothing() {
    let clock = ManualClock::new();
    let now = clock.now();
    let (mut core, table) = staged(now);
    let before = view(&mut core, &table, now);
    let commands: [fn() -> Command<Fragile>; 19] = [
        || Command::CreateLink { addr: Fragile(5), net: NET },
        || Command::CreateLink { addr: Fragile(1), net: OTHER },
        || Command::AddStream { addr: Fragile(6), stream: StreamId(60), direction: Direction::Downlink },
        || Command::DeleteStream { addr: Fragile(1), stream: StreamId(10) },
        || Command::SetNetActive { net: NET, active: false },
        || Command::DeleteLink { addr: Fragile(1) },
        || Command::JoinCluster { cluster: CLUSTER, addr: Fragile(1) },
        || Command::AddStaticPeer { cluster: CLUSTER, addr: Fragile(5) },
        || Command::RemoveStaticPeer { cluster: CLUSTER, addr: Fragile(3) },
        || Command::SetRoleMember { cluster: CLUSTER, addr: Fragile(999), member: true },
        || Command::DissociateCluster { cluster: CLUSTER },
        || Command::AddPermanentPeer { net: NET, addr: Fragile(6) },
        || Command::RemoveNet { net: OTHER },
        || Command::DeleteLink { addr: Fragile(4) },
        || Command::DeleteStream { addr: Fragile(4), stream: StreamId(40) },
        || Command::ConfigureNet { net: NET, config: NetConfig::new().min_links(9) },
        || Command::ConfigureNet { net: NET, config: NetConfig::new().reserved_only(true) },
        || Command::SetUserData { addr: Fragile(1), data: Some(UserData::new(1)) },
        || {
            let retry = RetryPolicy::fixed(Duration::from_secs(1));
            let settings = Settings::default().retry(retry).dial_timeout(Duration::from_secs(1));
            Command::Reconfigure { settings: Box::new(settings) }
        },
    ];
    let mut contained = 0;
    for command in commands {
        for fuse in 0.. {
            let (mut core, table) = staged(now);
            let effects = core.effects.len();
            assert_ne!(effects, 0);
            let recounts = (core.recount.len(), core.recount_clusters.len());
            let created = core.tally.links_created;

            let command = command();
            FUSE.set(Some(fuse));
            let result = core.apply(command, now);
            let panicked = FUSE.take().is_none();
            if !panicked {
                assert!(result.is_ok());
                break;
            }
            contained += 1;
            assert_eq!(result, Err(CommandError::Panicked));
            // Earlier commands of the same batch keep their changes and effects, and no unchanged count is
            // reported.
            assert_eq!(core.effects.len(), effects);
            assert_eq!((core.recount.len(), core.recount_clusters.len()), recounts);
            assert_eq!(core.tally.links_created, created);
            assert_eq!(core.flaps.len(), 0);
            assert_eq!(view(&mut core, &table, now), before);
            // The core still works.
            let again = Command::CreateLink { addr: Fragile(9), net: NET };
            assert_eq!(core.apply(again, now), Ok(Outcome::Created));
        }
    }
    assert!(contained > 30, "{contained}");
}

/// After a panic, the timers follow the restored settings.
#[test]
fn a_change_of_settings_that_panics_leaves_no_link_without_its_time_limit() {
    let clock = ManualClock::new();
    let now = clock.now();
    let mut contained = 0;
    for fuse in 0.. {
        let (mut core, _table) = Core::<Fragile>::new(Config::default(), None, now);
        core.apply(Command::AddNet { net: NET, config: NetConfig::new() }, now).unwrap();
        core.apply(Command::SetNetActive { net: NET, active: true }, now).unwrap();
        for node in 1..4 {
            core.apply(Command::CreateLink { addr: Fragile(node), net: NET }, now).unwrap();
        }
        core.advance(now);
        let settings = Box::new(Settings::default().dial_timeout(None));
        FUSE.set(Some(fuse));
        let result = core.apply(Command::Reconfigure { settings }, now);
        let panicked = FUSE.take().is_none();
        core.advance(now + Duration::from_secs(60));
        let timed_out = core.tally_mut().dial_timeouts;
        if !panicked {
            assert_eq!((result, timed_out), (Ok(Outcome::Done), 0));
            break;
        }
        contained += 1;
        assert_eq!((result, timed_out), (Err(CommandError::Panicked), 3));
    }
    assert!(contained > 3, "{contained}");
}

/// A panic in the middle of a wake-up phase restores the timers of the links that the phase has not reached.
#[test]
fn a_wake_up_that_panics_leaves_no_link_without_its_timer() {
    let clock = ManualClock::new();
    let now = clock.now();
    let mut contained = 0;
    for fuse in 0.. {
        let (mut core, _table) = Core::<Fragile>::new(Config::default(), None, now);
        core.apply(Command::AddNet { net: NET, config: NetConfig::new() }, now).unwrap();
        core.apply(Command::SetNetActive { net: NET, active: true }, now).unwrap();
        for node in 1..4 {
            core.apply(Command::CreateLink { addr: Fragile(node), net: NET }, now).unwrap();
        }
        FUSE.set(Some(fuse));
        let result = core.apply(Command::WakeUp, now);
        let panicked = FUSE.take().is_none();
        core.advance(now);
        let resolving = core.links().filter(|link| link.is_resolving()).count();
        let asked = core.effects.iter().filter(|effect| matches!(effect, Effect::Resolve { .. })).count();
        assert_eq!((resolving, asked), (3, 3), "fuse {fuse}");
        if !panicked {
            assert_eq!(result, Ok(Outcome::Done));
            break;
        }
        contained += 1;
        assert_eq!(result, Err(CommandError::Panicked));
    }
    assert!(contained > 3, "{contained}");
}
