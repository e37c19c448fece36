//! The events that a subscriber receives: one per command, with the fields that `docs::logging` lists.
#![allow(clippy::unwrap_used)] // A panic fails the test.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Uses real threads, not models.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, Once, mpsc};
use std::time::Duration;

use switchboard::clock::{Clock, ManualClock};
use switchboard::link::AddressPolicy;
use switchboard::mailbox::{self, Backpressure};
use switchboard::{Config, Driver, Effect, Handle, LinkManager, Links, NetConfig, NetId, NodeAddr, Outcome};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

#[derive(Clone, Debug)]
struct Heard {
    name: &'static str,
    target: &'static str,
    level: Level,
    fields: BTreeMap<&'static str, String>,
}

impl Heard {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

type React = Box<dyn Fn(&Heard) + Send + Sync>;

/// A subscriber that records the events of this crate and reacts to them.
struct Ear {
    heard: Arc<Mutex<Vec<Heard>>>,
    level: Level,
    react: React,
}

impl Subscriber for Ear {
    /// Asks for each event, whatever another subscriber of this process said.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("switchboard") && *metadata.level() <= self.level
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        unreachable!("this crate opens no spans")
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut heard = Heard {
            name: metadata.name(),
            target: metadata.target(),
            level: *metadata.level(),
            fields: BTreeMap::new(),
        };
        event.record(&mut heard);
        self.heard.lock().unwrap().push(heard.clone());
        (self.react)(&heard);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What threads report that have no subscriber of their own.
static ELSEWHERE: Mutex<Option<mpsc::Sender<Heard>>> = Mutex::new(None);

/// Sets the subscriber of the threads that have none.
///
/// Every test calls this first. Without it, a thread without a subscriber that is the first to
/// reach an event turns that event off for the whole process (tokio-rs/tracing#3611).
fn listen_elsewhere() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let react = |event: &Heard| {
            if let Some(sender) = &*ELSEWHERE.lock().unwrap() {
                let _ = sender.send(event.clone());
            }
        };
        let ear = Ear { heard: Arc::default(), level: Level::TRACE, react: Box::new(react) };
        tracing::subscriber::set_global_default(ear).unwrap();
    });
}

/// Runs `body` with a subscriber on this thread, and returns the recorded events.
fn listen(level: Level, react: React, body: impl FnOnce()) -> Vec<Heard> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Ear { heard: heard.clone(), level, react };
    tracing::subscriber::with_default(ear, body);
    let heard = heard.lock().unwrap();
    heard.clone()
}

fn driver(capacities: mailbox::Config) -> (Driver<NodeAddr>, ManualClock) {
    listen_elsewhere();
    let clock = ManualClock::new();
    let config = Config::default().mailbox(capacities);
    (LinkManager::builder(config).clock(clock.clone()).build().unwrap(), clock)
}

#[test]
fn each_command_is_one_event_at_debug() {
    let (mut driver, clock) = driver(mailbox::Config::new());
    let handle = driver.handle();
    let heard = listen(Level::DEBUG, Box::new(|_| {}), || {
        handle.add_net(NetId(1), NetConfig::new()).unwrap();
        handle.remove_net(NetId(2)).unwrap();
        clock.advance(Duration::from_millis(2));
        let _ = driver.run_once(clock.now());
    });
    let commands: Vec<_> = heard.iter().filter(|event| event.name == "command").collect();
    assert_eq!(commands.len(), 2);
    for command in &commands {
        assert_eq!((command.level, command.target), (Level::DEBUG, "switchboard::command"));
        assert_eq!((command.field("lane"), command.field("queue_len")), ("2", "0"));
        assert_eq!((command.field("duration_ns"), command.field("wait_ns")), ("0", "2000000"));
        assert_eq!(command.field("version"), driver.links().version().to_string());
    }
    assert_eq!((commands[0].field("kind"), commands[0].field("result")), ("add_net", "Done"));
    assert_eq!(commands[1].field("kind"), "remove_net");
    assert_eq!(commands[1].field("result"), "UnknownNet(NetId(2))");
    let errors: Vec<_> = heard.iter().filter(|event| event.level == Level::WARN).collect();
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].name, errors[0].field("code")), ("command_error", "unknown_net"));
    assert_eq!((errors[0].field("kind"), errors[0].field("error").is_empty()), ("remove_net", false));
    assert_eq!(heard.len(), 3);
}

#[test]
fn messages_are_traced_at_trace_only() {
    let (mut driver, clock) = driver(mailbox::Config::new());
    let handle = driver.handle();
    let heard = listen(Level::TRACE, Box::new(|_| {}), || {
        handle.add_net(NetId(1), NetConfig::new()).unwrap();
        let _ = driver.run_once(clock.now());
    });
    let submit = &heard[0];
    assert_eq!((submit.name, submit.level, submit.target), ("submit", Level::TRACE, "switchboard::message"));
    assert_eq!((submit.field("kind"), submit.field("lane")), ("add_net", "2"));
    assert!(submit.field("command").starts_with("AddNet"));
    assert_eq!(heard[1].name, "command");
}

#[test]
fn what_is_refused_or_shed_is_told_with_a_code() {
    let capacities = mailbox::Config::try_from([1; 4]).unwrap().backpressure(Backpressure::ShedLowest);
    let (mut driver, clock) = driver(capacities);
    let handle = driver.handle();
    let heard = listen(Level::WARN, Box::new(|_| {}), || {
        handle.wake_up().unwrap();
        handle.remove_net(NetId(1)).unwrap();
        handle.remove_net(NetId(1)).unwrap();
        assert!(handle.remove_net(NetId(1)).is_err());
        let _ = driver.run_once(clock.now());
        driver.shutdown(clock.now());
        assert!(handle.wake_up().is_err());
    });
    let told: Vec<_> =
        heard.iter().map(|event| (event.name, event.field("kind"), event.field("code"))).collect();
    assert_eq!(
        told,
        [
            ("command_error", "wake_up", "shed"),
            ("refused", "remove_net", "full"),
            ("command_error", "remove_net", "unknown_net"),
            ("command_error", "remove_net", "unknown_net"),
            ("refused", "wake_up", "closed"),
        ]
    );
}

/// The first place to look when a node stays alone: the effect handler dropped the ticket.
#[test]
fn a_refused_answer_to_an_effect_is_one_event_with_the_node_and_the_reason() {
    listen_elsewhere();
    let clock = ManualClock::new();
    let config = Config::default().addresses(AddressPolicy::public());
    let mut driver = LinkManager::builder(config).clock(clock.clone()).build().unwrap();
    let handle = driver.handle();
    handle.add_net(NetId(1), NetConfig::new().min_links(1)).unwrap();
    handle.set_net_active(NetId(1), true).unwrap();
    handle.create_link(NodeAddr(7), NetId(1)).unwrap();
    let _ = driver.run_once(clock.now());
    assert!(driver.effects().any(|effect| matches!(effect, Effect::Resolve { addr: NodeAddr(7), .. })));
    let heard = listen(Level::WARN, Box::new(|_| {}), || {
        let _ = handle.set_endpoint(NodeAddr(7), "127.0.0.1:4000".parse().unwrap());
        let _ = driver.run_once(clock.now());
    });
    let [event] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((event.name, event.level), ("command_error", Level::WARN));
    assert_eq!((event.field("kind"), event.field("code")), ("set_endpoint", "endpoint"));
    assert_eq!(event.field("addr"), "NodeAddr(0000::0000::0000::0007)");
    assert_eq!(event.field("error"), "the endpoint cannot be dialled: the address policy refuses loopback");
}

/// No event is emitted while the state is half changed: a subscriber sees the version that the event names,
/// finds its tickets complete, and may send commands.
#[test]
fn a_subscriber_may_use_everything() {
    let (mut driver, clock) = driver(mailbox::Config::new());
    let (handle, links) = (driver.handle(), driver.links());
    let (again, seen): (Handle<NodeAddr>, Links<NodeAddr>) = (handle.clone(), links.clone());
    let react = move |event: &Heard| {
        if event.name == "command" && event.field("kind") == "add_net" {
            let snapshot = seen.snapshot();
            assert!(snapshot.version().as_u64() >= event.field("version").parse().unwrap());
            assert!(snapshot.net(NetId(1)).is_some());
            again.set_net_active(NetId(1), true).unwrap();
        }
    };
    let mut added = None;
    let heard = listen(Level::DEBUG, Box::new(react), || {
        added = Some(handle.add_net(NetId(1), NetConfig::new().min_links(0)).unwrap());
        let _ = driver.run_once(clock.now());
        let _ = driver.run_once(clock.now());
    });
    assert_eq!(heard.len(), 2, "the subscriber was called");
    assert!(links.snapshot().is_active(NetId(1)));
    assert_eq!(added.unwrap().wait().unwrap().outcome, Outcome::Done);
}

#[test]
fn a_subscriber_that_panics_is_contained() {
    let (mut driver, clock) = driver(mailbox::Config::new());
    let handle = driver.handle();
    let mut tickets = Vec::new();
    let react: React = Box::new(|_| panic!("in the subscriber"));
    let heard = listen(Level::DEBUG, react, || {
        for net in 1..=2 {
            tickets.push(handle.add_net(NetId(net), NetConfig::new()).unwrap());
        }
        let _ = driver.run_once(clock.now());
    });
    assert_eq!(heard.len(), 2);
    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()));
    handle.wake_up().unwrap();
    let _ = driver.run_once(clock.now());
    assert_eq!(driver.links().snapshot().stats().panics(), 2);
}

/// Effects are traced on the transport's thread, before the transport is called.
#[test]
fn effects_are_traced_and_a_panicking_transport_is_told() {
    listen_elsewhere();
    let (sender, told) = mpsc::channel();
    *ELSEWHERE.lock().unwrap() = Some(sender);
    let transport = |_: Effect<NodeAddr>, _: &Handle<NodeAddr>| panic!("in the transport");
    let manager = LinkManager::<NodeAddr>::builder(Config::default()).transport(transport).spawn().unwrap();
    manager.handle().add_net(NetId(1), NetConfig::new().min_links(1)).unwrap();
    manager.handle().set_net_active(NetId(1), true).unwrap();
    let next = |name: &str| loop {
        let event = told.recv_timeout(Duration::from_secs(60)).unwrap();
        if event.name == name {
            break event;
        }
    };
    let effect = next("effect");
    assert_eq!((effect.name, effect.level), ("effect", Level::TRACE));
    assert!(effect.field("effect").starts_with("RequestLinks"));
    let panic = next("transport_panic");
    assert_eq!(
        (panic.name, panic.level, panic.field("code")),
        ("transport_panic", Level::WARN, "transport_panic")
    );
    assert!(manager.shutdown(Duration::from_secs(60)).is_clean());
}
