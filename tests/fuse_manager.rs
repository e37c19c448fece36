//! The n-th destructor panics, in every public call of the manager, for every n: the manager equals a twin in
//! which nothing panics, no ticket is left waiting, and the threads continue.
#![cfg(feature = "manager")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // A panic fails the test.

mod fuse;

use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use fuse::{Burned, Fuse, Fused, for_every_drop};
use switchboard::clock::{Clock, ManualClock};
use switchboard::link::{ClusterKind, DialId, NetStatus, UserData};
use switchboard::manager::config::Settings;
use switchboard::ticket::Ticket;
use switchboard::{
    Applied, ClusterId, Command, CommandError, Config, Direction, Driver, Effect, Handle, Link, LinkManager,
    LinksSnapshot, NetConfig, NetId, NodeAddr, RetryPolicy, StreamId,
};

const NET: NetId = NetId(1);
const CLUSTER: ClusterId = ClusterId::new(NET, 7);
const OWN: NodeAddr = NodeAddr(99);
/// A member with its own stream and a user value.
const A: NodeAddr = NodeAddr(1);
/// A link that the net wants, with a user value.
const B: NodeAddr = NodeAddr(2);
/// An unknown node.
const C: NodeAddr = NodeAddr(3);
const LONG: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn endpoint() -> std::net::SocketAddr {
    std::net::SocketAddr::from(([192, 0, 2, 1], 7))
}

/// A retry policy that owns a user value.
fn policy(fuse: &Fuse) -> RetryPolicy {
    let value = fuse.value();
    let delay = move |_: u32, _: &mut dyn FnMut() -> u64| {
        let _ = &value;
        SECOND
    };
    RetryPolicy::custom(delay, SECOND)
}

/// A driver, and the tickets and callbacks of all commands sent to it.
struct World {
    fuse: Fuse,
    driver: Driver<NodeAddr>,
    handle: Handle<NodeAddr>,
    clock: ManualClock,
    asked: u32,
    called: Arc<AtomicU32>,
    tickets: Vec<Ticket<Applied, CommandError>>,
    effects: Vec<Effect<NodeAddr>>,
}

impl World {
    fn new(fuse: &Fuse, clock: &ManualClock) -> Self {
        let source = fuse.value();
        let random = move || {
            let _ = &source;
            7
        };
        let builder = LinkManager::builder(Config::default().retry(policy(fuse))).own_addr(OWN);
        let driver = builder.clock(clock.clone()).random(random).build().unwrap();
        let handle = driver.handle();
        let mut world = Self {
            fuse: fuse.clone(),
            driver,
            handle,
            clock: clock.clone(),
            asked: 0,
            called: Arc::default(),
            tickets: Vec::new(),
            effects: Vec::new(),
        };
        world.ask(Command::AddNet { net: NET, config: NetConfig::new().min_links(1) });
        world.ask(Command::SetNetActive { net: NET, active: true });
        world.ask(Command::AssociateCluster { net: NET, cluster: CLUSTER, kind: ClusterKind::Autonomic });
        world.turn();
        for addr in [A, B] {
            world.ask(Command::CreateLink { addr, net: NET });
            let data = world.data();
            world.ask(Command::SetUserData { addr, data });
        }
        world.ask(Command::AddStream { addr: A, stream: StreamId(1), direction: Direction::Downlink });
        world.ask(Command::AccountLink { net: NET, addr: A, stream: StreamId(1), accepted: true });
        world.turn();
        world
    }

    fn data(&self) -> Option<UserData> {
        Some(UserData::new(self.fuse.value()))
    }

    /// Sends a command. Every second ticket is kept; the others get a callback that owns a user value.
    fn ask(&mut self, command: Command<NodeAddr>) {
        let ticket = self.handle.submit(command).unwrap();
        self.take(ticket);
    }

    fn take(&mut self, ticket: Ticket<Applied, CommandError>) {
        self.asked += 1;
        if self.asked.is_multiple_of(2) {
            self.tickets.push(ticket);
            return;
        }
        let (called, value) = (self.called.clone(), self.fuse.value());
        ticket.on_complete(move |_| {
            called.fetch_add(1, Ordering::SeqCst);
            drop(value);
        });
    }

    fn turn(&mut self) {
        let _ = self.driver.run_once(self.clock.now());
        self.effects.extend(self.driver.effects());
    }

    /// Takes some turns, so that old versions are emptied.
    fn settle(&mut self) {
        for _ in 0..6 {
            self.ask(Command::WakeUp);
            self.turn();
        }
    }

    /// Returns the results of all commands so far.
    fn ends(&mut self) -> Vec<Result<Applied, CommandError>> {
        let called = self.called.load(Ordering::SeqCst);
        assert_eq!(called, self.asked.div_ceil(2), "a callback was not called, or called twice");
        let ends =
            self.tickets.drain(..).map(|mut ticket| ticket.try_take().expect("a ticket is left waiting"));
        ends.collect()
    }
}

/// Renders a version in a form that can be compared. Times count from `epoch`.
fn view(snapshot: &LinksSnapshot<NodeAddr>, epoch: Instant) -> (Vec<String>, String) {
    let since = |at: Instant| at.saturating_duration_since(epoch);
    let link = |link: &Link<NodeAddr>| {
        let statics: Vec<_> = link.static_clusters().collect();
        let data = link.user_data::<Fused>().is_some();
        let times = (link.not_before().map(since), since(link.since()), link.next_attempt_at().map(since));
        let counts = (link.attempts(), link.failures());
        let dialling =
            (link.is_dialable(), link.endpoint(), link.dial_id(), link.is_resolving(), link.state());
        let groups = (link.nets(), link.memberships(), link.clusters(), statics);
        let what = (link.addr(), link.streams());
        format!("{what:?} {groups:?} {dialling:?} {counts:?} {times:?} {data}")
    };
    let mut links: Vec<_> = snapshot.links().map(link).collect();
    links.sort();
    let net = |net: &NetStatus<NodeAddr>| {
        let ignored: Vec<_> = snapshot.ignored(net.id(), epoch).collect();
        let permanent: Vec<_> = net.permanent_peers().collect();
        let members = snapshot.count(net.id());
        format!("{:?} {} {:?} {permanent:?} {ignored:?} {members}", net.id(), net.is_active(), net.config())
    };
    let nets: Vec<_> = snapshot.nets().iter().map(net).collect();
    let stats = snapshot.stats();
    let counted = [
        stats.commands(),
        stats.refused(),
        stats.expired(),
        stats.stale_answers(),
        stats.publishes(),
        stats.dials(),
        stats.links_created(),
        stats.links_deleted(),
        stats.retry_faults(),
    ];
    (links, format!("{} {counted:?} {nets:?} {}", snapshot.version(), snapshot.is_manager_active()))
}

/// A call of the public API, and the turns that it needs.
type Call = (&'static str, fn(&mut World));

macro_rules! handle {
    ($method:ident($($argument:expr),*)) => {
        (concat!("Handle::", stringify!($method)), |world| {
            let ticket = world.handle.$method($($argument),*).unwrap();
            world.take(ticket);
        })
    };
}

/// Every public call.
const CALLS: &[Call] = &[
    handle!(add_net(NetId(2), NetConfig::new())),
    handle!(remove_net(NET)),
    handle!(set_net_active(NET, false)),
    handle!(configure_net(NET, NetConfig::new().min_links(3).reserved_only(true))),
    ("Handle::reconfigure", |world| {
        let settings = Settings::default().retry(policy(&world.fuse));
        world.ask(Command::Reconfigure { settings: Box::new(settings) });
        world.turn();
        let ticket = world.handle.reconfigure(Settings::default()).unwrap();
        world.take(ticket);
    }),
    ("Handle::set_user_data", |world| {
        let data = world.data();
        let ticket = world.handle.set_user_data(A, data).unwrap();
        world.take(ticket);
        let data = world.data();
        let ticket = world.handle.set_user_data(C, data).unwrap();
        world.take(ticket);
        let ticket = world.handle.set_user_data(B, None).unwrap();
        world.take(ticket);
    }),
    handle!(set_active(false)),
    handle!(create_link(C, NET)),
    handle!(set_endpoint(B, endpoint())),
    handle!(delete_link(A)),
    handle!(add_stream(A, StreamId(2), Direction::Downlink)),
    handle!(add_uplink(A, StreamId(2), DialId(5))),
    handle!(replace_stream(A, StreamId(1), StreamId(2), Direction::Downlink)),
    handle!(delete_stream(A, StreamId(1))),
    handle!(refuse(NET, A, StreamId(1))),
    handle!(dial_connected(B, DialId(5))),
    ("Handle::dial_failed", |world| {
        world.ask(Command::SetEndpoint { addr: B, endpoint: endpoint() });
        world.turn();
        let dial = world.driver.links().snapshot().get(&B).and_then(Link::dial_id).unwrap();
        let ticket = world.handle.dial_failed(B, dial, true).unwrap();
        world.take(ticket);
    }),
    handle!(check_nets()),
    handle!(wake_up()),
    handle!(associate_cluster(NET, ClusterId::new(NET, 8), ClusterKind::Embedded)),
    handle!(dissociate_cluster(CLUSTER)),
    handle!(join_cluster(CLUSTER, A)),
    handle!(leave_cluster(CLUSTER, A)),
    handle!(add_static_peer(CLUSTER, C)),
    handle!(remove_static_peer(CLUSTER, A)),
    handle!(set_role_member(CLUSTER, OWN, true)),
    handle!(add_permanent_peer(NET, C)),
    handle!(remove_permanent_peer(NET, A)),
    ("Handle::with_deadline", |world| {
        let hasty = world.handle.with_deadline(SECOND);
        let data = world.data();
        let ticket = hasty.set_user_data(A, data).unwrap();
        world.clock.advance(2 * SECOND);
        world.take(ticket);
    }),
    ("Handle::submit, expiring dials", |world| {
        world.clock.advance(LONG);
        world.turn();
        world.clock.advance(LONG);
    }),
    ("Handle::measure_memory", |world| {
        let (value, called) = (world.fuse.value(), world.called.clone());
        world.handle.measure_memory().unwrap().on_complete(move |_| {
            called.fetch_add(1, Ordering::SeqCst);
            drop(value);
        });
        world.turn();
        // This callback is counted with those of commands.
        world.called.fetch_sub(1, Ordering::SeqCst);
    }),
    ("Driver::run_once, effects, memory, links, handle", |world| {
        world.turn();
        assert!(world.driver.memory().total_bytes() > 0 && !world.driver.handle().is_closed());
        assert_eq!(world.driver.links().reader().snapshot().len(), 2);
    }),
    ("Links::export, snapshots that are held", |world| {
        let held = world.driver.links().snapshot();
        world.ask(Command::DeleteLink { addr: A });
        world.turn();
        drop(held.export(world.clock.now(), SystemTime::UNIX_EPOCH));
        drop(held);
    }),
];

#[test]
fn a_destructor_that_panics_in_a_call_of_the_manager_changes_nothing() {
    let mut burned = 0;
    for (name, call) in CALLS {
        println!("{name}");
        burned += for_every_drop(|fuse, nth| {
            let sound = Fuse::new();
            let mut worlds = [fuse, &sound].map(|fuse| World::new(fuse, &ManualClock::new()));
            let epoch = worlds.each_ref().map(|world| world.clock.now());
            let [world, twin] = &mut worlds;
            let (burned, carried) = fuse.within(nth, || {
                call(world);
                world.settle();
            });
            assert!(carried.is_some(), "{name}: panic {nth} unwound into the embedder");
            call(twin);
            twin.settle();
            // The manager works as before.
            let [mine, other] = [0, 1].map(|index| {
                let world: &mut World = &mut worlds[index];
                world.settle();
                let seen = view(&world.driver.links().snapshot(), epoch[index]);
                (seen, world.ends(), std::mem::take(&mut world.effects))
            });
            assert_eq!(mine, other, "{name}, {nth}");
            let panics = worlds.each_ref().map(|world| world.driver.links().snapshot().stats().panics());
            assert_eq!(panics, [u64::from(burned), 0], "{name}, {nth}");
            burned
        });
    }
    assert!(burned >= 100, "the fuse burned only {burned} times");
}

/// Ends a driver by a shutdown and by a drop.
#[test]
fn a_destructor_that_panics_in_a_shutdown_leaves_no_one_waiting() {
    let shutdown: fn(&mut World) = |world| _ = world.driver.shutdown(world.clock.now());
    let nothing: fn(&mut World) = |_| {};
    for end in [shutdown, nothing] {
        let burned = for_every_drop(|fuse, nth| {
            let mut world = World::new(fuse, &ManualClock::new());
            let data = world.data();
            world.ask(Command::SetUserData { addr: B, data });
            world.ask(Command::DeleteLink { addr: A });
            let World { asked, called, tickets, handle, clock, .. } = &mut world;
            let (asked, called, tickets) = (*asked, called.clone(), std::mem::take(tickets));
            let (handle, _clock) = (handle.clone(), clock.clone());
            let (burned, _) = fuse.within(nth, move || {
                end(&mut world);
                drop(world);
            });
            assert!(handle.is_closed());
            assert_eq!(called.load(Ordering::SeqCst), asked.div_ceil(2));
            assert!(tickets.into_iter().all(|mut ticket| ticket.try_take().is_some()));
            burned
        });
        assert!(burned >= 5, "{burned}");
    }
}

#[test]
fn the_threads_of_a_manager_survive_every_destructor() {
    let burned = for_every_drop(|fuse, nth| {
        let (source, captured) = (fuse.value(), fuse.value());
        let random = move || {
            let _ = &source;
            7
        };
        let transport = move |_: Effect<NodeAddr>, _: &Handle<NodeAddr>| _ = &captured;
        let builder = LinkManager::builder(Config::default().retry(policy(fuse))).random(random);
        let manager = builder.transport(transport).spawn().unwrap();
        let handle = manager.handle();
        let add = handle.add_net(NET, NetConfig::new().min_links(0)).unwrap();
        assert!(add.wait_timeout(LONG).expect("the writer is alive").is_ok());
        fuse.arm(nth);
        let mut tickets = Vec::new();
        for round in 0..8 {
            // A refused command would be returned and panic here, but none is refused.
            tickets.push(handle.create_link(A, NET).unwrap());
            tickets.push(handle.set_user_data(A, UserData::new(fuse.value())).unwrap());
            if round % 4 == 3 {
                tickets.push(handle.delete_link(A).unwrap());
            }
        }
        for ticket in tickets {
            assert!(ticket.wait_timeout(LONG).expect("the writer is alive").is_ok());
        }
        let (links, report) = (manager.links(), manager.shutdown(LONG));
        assert!(report.is_clean(), "{nth}: {report:?}");
        drop(links);
        let (again, _) = (fuse.disarm(), drop(handle));
        again
    });
    assert!(burned >= 8, "{burned}");
}

/// A payload that panics when the code that contained the first panic drops it.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(Burned);
    }
}

#[test]
fn a_panic_whose_payload_panics_when_it_is_dropped_ends_neither_thread() {
    let _quiet = Fuse::new();
    let transport = |effect: Effect<NodeAddr>, _: &Handle<NodeAddr>| {
        if matches!(effect, Effect::RequestLinks { .. }) {
            panic_any(Bomb);
        }
    };
    let delay = |_: u32, _: &mut dyn FnMut() -> u64| panic_any(Bomb);
    let config = Config::default().retry(RetryPolicy::custom(delay, SECOND));
    let manager = LinkManager::builder(config).transport(transport).spawn().unwrap();
    let (handle, links) = (manager.handle(), manager.links());
    let wait = |ticket: Result<Ticket<Applied, CommandError>, _>| {
        let Ok(ticket) = ticket else { panic!("the manager has ended") };
        ticket.wait_timeout(LONG).expect("the writer is alive")
    };
    assert!(wait(handle.add_net(NET, NetConfig::new().min_links(1))).is_ok());
    assert!(wait(handle.set_net_active(NET, true)).is_ok());
    let (sender, called) = std::sync::mpsc::channel();
    // A callback registered after the completion runs, and panics, on this thread.
    let ticket = handle.create_link(A, NET).unwrap();
    let leave = std::panic::AssertUnwindSafe(|| {
        ticket.on_complete(move |_| {
            sender.send(()).unwrap();
            panic_any(Bomb);
        });
    });
    if let Err(payload) = std::panic::catch_unwind(leave) {
        std::mem::forget(payload);
    }
    called.recv_timeout(LONG).unwrap();
    struct Carrier;
    impl Drop for Carrier {
        fn drop(&mut self) {
            panic_any(Bomb);
        }
    }
    for _ in 0..6 {
        assert!(wait(handle.set_user_data(A, UserData::new(Carrier))).is_ok());
    }
    assert!(wait(handle.submit(Command::CheckNets)).is_ok());
    assert!(wait(handle.delete_link(A)).is_ok());
    assert!(links.snapshot().stats().panics() > 0);
    let report = manager.shutdown(LONG);
    assert!(report.is_clean() && report.transport_panics > 0, "{report:?}");
}
