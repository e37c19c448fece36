//! The cost of a turn is proportional to what is due, not to the size of the table.

use std::cell::Cell;
use std::hash::{Hash, Hasher};

use super::*;
use crate::link::addr::Addr;

const DUE: u64 = 25;
const NETS: u64 = 8;

thread_local! {
    /// Number of addresses hashed: each lookup of a link hashes one.
    static HASHED: Cell<u64> = const { Cell::new(0) };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted(u64);

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        HASHED.set(HASHED.get() + 1);
        self.0.hash(state);
    }
}

impl Addr for Counted {
    fn is_blank(&self) -> bool {
        self.0 == 0
    }
}

/// A core with idle members of eight nets, each of which has fewer links than its minimum.
fn filled(config: Config, links: u64, now: Instant) -> Core<Counted> {
    let (mut core, _table) = Core::<Counted>::new(config, None, now);
    let apply = |core: &mut Core<Counted>, command| core.apply(command, now).unwrap();
    for net in (1..=NETS).map(NetId) {
        let config = NetConfig::new().min_links(u32::MAX);
        apply(&mut core, Command::AddNet { net, config });
        apply(&mut core, Command::SetNetActive { net, active: true });
    }
    for node in 1..=links {
        let (addr, stream, net) = (Counted(node), StreamId(node), NetId(node % NETS + 1));
        apply(&mut core, Command::AddStream { addr, stream, direction: Direction::Downlink });
        apply(&mut core, Command::AccountLink { net, addr, stream, accepted: true });
        if node % 1_000 == 0 {
            core.publish(now);
        }
    }
    core
}

/// Runs one turn. Returns the number of links looked at, of addresses hashed, and of effects.
fn turn(core: &mut Core<Counted>, now: Instant) -> (u64, u64, usize) {
    core.looked_at.set(0);
    HASHED.set(0);
    core.advance(now);
    let _ = core.next_deadline();
    core.publish(now);
    (core.looked_at.get(), HASHED.get(), core.drain_effects().count())
}

fn costs(config: &Config) -> Vec<[(u64, u64, usize); 2]> {
    let measure = |links| {
        let clock = ManualClock::new();
        let start = clock.now();
        let mut core = filled(config.clone(), links, start);
        let tick = |core: &mut Core<Counted>| {
            clock.advance(Duration::from_secs(5));
            turn(core, clock.now())
        };
        // Ticks of both phases, in which only the requests of the nets are due.
        tick(&mut core);
        let quiet = tick(&mut core);
        tick(&mut core);
        let now = start + Duration::from_secs(15);
        for node in links + 1..=links + DUE {
            core.apply(Command::CreateLink { addr: Counted(node), net: NET }, now).unwrap();
        }
        [quiet, tick(&mut core)]
    };
    [1_000, 10_000, 100_000].map(measure).to_vec()
}

#[test]
fn a_turn_looks_at_the_links_that_are_due_and_at_no_other() {
    for config in [Config::default(), Config::ticked()] {
        let costs = costs(&config);
        for [quiet, busy] in &costs {
            assert_eq!((quiet.0, quiet.1), (0, 0), "{costs:?}");
            assert_eq!(busy.0, DUE, "{costs:?}");
            assert!(busy.2 as u64 >= DUE, "{costs:?}");
            // A constant number per link: the lookup, the change, its timer, its groups.
            assert!(busy.1 <= 40 * DUE, "{costs:?}");
        }
    }
}
