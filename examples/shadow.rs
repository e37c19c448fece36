//! Runs an old manager and the new one side by side: first a correct old manager, then one that forgets.
//!
//! ```text
//! cargo run --release --features shadow --example shadow
//! ```

#![allow(clippy::print_stdout)] // Printing is the purpose of an example.

use std::time::Duration;

use switchboard::clock::ManualClock;
use switchboard::shadow::{
    Answer, LinkStore, LockedLinks, ManagerStore, Operation, Shadow, Stats, Value, from_fn,
};
use switchboard::{
    Config, Direction, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr, Outcome, StreamId,
};

const NET: NetId = NetId(1);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = ManualClock::new();
    let old = LockedLinks::<NodeAddr>::new(Config::default(), None, clock.clone())?;
    let stats = run("correct old manager", old, &clock)?;
    if stats.mismatches != 0 {
        return Err("two correct managers gave different answers".into());
    }

    let old = LockedLinks::<NodeAddr>::new(Config::default(), None, clock.clone())?;
    let forgetful = from_fn(move |operation: Operation<NodeAddr>| match operation {
        // Confirms that the stream was deleted, but keeps the member.
        Operation::DeleteStream { .. } => Ok(Answer::new(Value::Outcome(Outcome::Done))),
        operation => operation.perform_on(&old),
    });
    let stats = run("forgetful old manager", forgetful, &clock)?;
    if stats.mismatches == 0 {
        return Err("no mismatch was found for the forgetful manager".into());
    }
    Ok(())
}

/// Ten nodes join, five of them leave, and the members are counted after each departure.
fn run(
    what: &str,
    old: impl LinkStore<Addr = NodeAddr>,
    clock: &ManualClock,
) -> Result<Stats, Box<dyn std::error::Error>> {
    let nothing = |_: Effect<NodeAddr>, _: &Handle| {};
    let manager = LinkManager::builder(Config::default()).clock(clock.clone()).transport(nothing).spawn()?;
    let new = ManagerStore::new(manager.handle(), manager.links(), Duration::from_secs(1));
    let shadow = Shadow::builder(old, new).spawn()?;

    shadow.add_net(NET, NetConfig::new())?;
    shadow.set_net_active(NET, true)?;
    for node in 1..=10 {
        shadow.add_stream(&NodeAddr(node), StreamId(node), Direction::Downlink)?;
        shadow.admit(NET, &NodeAddr(node), StreamId(node))?;
    }
    for node in 1..=5 {
        shadow.delete_stream(&NodeAddr(node), StreamId(node))?;
        shadow.count(NET)?;
    }

    let report = shadow.stop(Duration::from_secs(5));
    let stats = report.stats;
    println!("{what}: {} answers compared, {} differ", stats.compared, stats.mismatches);
    for mismatch in shadow.take_mismatches() {
        println!("  {mismatch}");
    }
    let (a, b) = (stats.a.latency, stats.b.latency);
    println!("  median per call: old {} ns, new {} ns", a.ns_p50, b.ns_p50);
    manager.shutdown(Duration::from_secs(5));
    Ok(stats)
}
