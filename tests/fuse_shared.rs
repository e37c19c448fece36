//! The n-th destructor panics, in a turn of a shared writer, for every n: the turn goes on, each ticket ends, and no
//! value is dropped twice. Values in the page of the one that panicked may be leaked, as with a `Writer`.
#![allow(clippy::unwrap_used)] // A panic fails the test.

mod fuse;

use std::sync::Arc;

use fuse::{Fuse, Fused};
use switchboard::table::shared::{CommitTicket, Config, Driver, Turn};
use switchboard::{SharedWriter, Table};

type Value = Arc<Fused>;
type Shared = SharedWriter<u64, Value>;

struct World {
    fuse: Fuse,
    shared: Option<Shared>,
    driver: Option<Driver<u64, Value>>,
    table: Table<u64, Value>,
    tickets: Vec<CommitTicket<Value>>,
}

impl World {
    fn new(fuse: &Fuse, recycles: bool) -> Self {
        let (mut writer, table) = Table::builder().recycle(recycles).build();
        writer.extend((0..4).map(|key| (key, Arc::new(fuse.value()))));
        writer.publish();
        let (shared, driver) = SharedWriter::new(writer, Config::new());
        Self { fuse: fuse.clone(), shared: Some(shared), driver: Some(driver), table, tickets: Vec::new() }
    }

    fn value(&self) -> Value {
        Arc::new(self.fuse.value())
    }

    fn shared(&self) -> &Shared {
        self.shared.as_ref().unwrap()
    }

    fn driver(&mut self) -> &mut Driver<u64, Value> {
        self.driver.as_mut().unwrap()
    }

    /// Sends one operation of each kind.
    fn send(&mut self) {
        let (replaced, result, captured, unneeded) = (self.value(), self.value(), self.value(), self.value());
        self.shared().insert(0, replaced).unwrap();
        self.shared().remove(1).unwrap();
        self.shared().insert(10, self.value()).unwrap();
        let ticket = self.shared().transaction(move |table| {
            table.insert(2, result.clone());
            table.remove(&3);
            drop(captured);
            result
        });
        self.tickets.push(ticket.unwrap());
        drop(self.shared().transaction(move |_| unneeded).unwrap());
        self.shared().insert(11, self.value()).unwrap();
    }

    fn check(mut self, is_open: bool) {
        if is_open {
            let value = self.value();
            let ticket = self.shared().transaction(move |table| table.insert(99, value).is_none()).unwrap();
            while self.driver().turn() == Turn::More {}
            assert!(ticket.wait().unwrap().value, "the writer goes on");
            let snapshot = self.table.snapshot();
            assert!(snapshot.contains_key(&10) && snapshot.contains_key(&11) && !snapshot.contains_key(&1));
            // A transaction is whole, or has changed nothing.
            let is_applied = !snapshot.contains_key(&3);
            for mut ticket in self.tickets.drain(..) {
                assert_eq!(ticket.try_take().unwrap().is_ok(), is_applied);
            }
        }
        for mut ticket in self.tickets.drain(..) {
            assert!(ticket.try_take().is_some(), "no ticket is left waiting");
        }
    }
}

/// Runs `scenario` for every drop in it, until the fuse no longer burns. Returns how often it burned.
fn for_every_drop(mut scenario: impl FnMut(&Fuse, i64) -> bool) -> i64 {
    for nth in 1..1_000 {
        let fuse = Fuse::new();
        if !scenario(&fuse, nth) {
            assert_eq!(fuse.alive(), 0, "a value was leaked without a panic");
            return nth - 1;
        }
        assert!(fuse.alive() >= 0, "a value was dropped twice when drop {nth} panicked");
    }
    panic!("the scenario does not end");
}

/// The calls, and whether the writer is open afterwards.
type Call = (&'static str, bool, fn(&mut World));

const CALLS: &[Call] = &[
    ("Driver::turn", true, |world| {
        world.send();
        while world.driver().turn() == Turn::More {}
    }),
    ("Driver::turn, without an idle one in between", true, |world| {
        for _ in 0..2 {
            let value = world.value();
            world.shared().insert(0, value).unwrap();
            assert_eq!(world.driver().turn(), Turn::More);
        }
        // What the first operation of the next turn does for the two before it may panic.
        let value = world.value();
        world.shared().insert(12, value).unwrap();
        assert_eq!(world.driver().turn(), Turn::More);
        assert!(world.table.snapshot().contains_key(&12), "an operation is lost");
        world.send();
        while world.driver().turn() == Turn::More {}
    }),
    ("Driver::turn, with a held version", true, |world| {
        let _held = world.table.snapshot();
        world.send();
        while world.driver().turn() == Turn::More {}
    }),
    ("Driver::into_writer", false, |world| {
        world.send();
        drop(world.driver.take().unwrap().into_writer());
    }),
    ("Driver as Drop", false, |world| {
        world.send();
        drop(world.driver.take());
    }),
    ("Driver::run", false, |world| {
        world.send();
        drop(world.shared.take());
        drop(world.driver.take().unwrap().run());
    }),
    ("SharedWriter::insert, refused", false, |world| {
        drop(world.driver.take());
        assert!(world.shared().insert(1, world.value()).is_err());
        assert!(world.shared().try_insert(1, world.value()).is_err());
        let value = world.value();
        assert!(world.shared().transaction(move |_| value).is_err());
    }),
];

#[test]
fn a_destructor_that_panics_in_a_turn_ends_nothing() {
    let mut burned = 0;
    for ((name, is_open, call), recycles) in CALLS.iter().flat_map(|call| [(call, true), (call, false)]) {
        println!("{name}");
        burned += for_every_drop(|fuse, nth| {
            let mut world = World::new(fuse, recycles);
            let (burned, result) = fuse.within(nth, || call(&mut world));
            assert!(result.is_some() || !is_open, "a turn contains every panic");
            world.check(*is_open);
            burned
        });
    }
    assert!(burned >= 50, "the fuse burned only {burned} times");
}

/// The thread outlives every panic, and returns the writer.
#[test]
fn a_destructor_that_panics_on_the_writers_thread_does_not_end_it() {
    for_every_drop(|fuse, nth| {
        let (writer, table) = Table::<u64, Value>::new();
        let (shared, thread) = SharedWriter::spawn(writer, Config::new()).unwrap();
        (0..4).for_each(|key| shared.insert(key, Arc::new(fuse.value())).unwrap());
        shared.transaction(|_| ()).unwrap().wait().unwrap();
        fuse.arm(nth);
        (0..3).for_each(|key| shared.remove(key).unwrap());
        drop(shared);
        let writer = thread.join().unwrap();
        let burned = fuse.disarm();
        assert_eq!((writer.len(), table.snapshot().len()), (1, 1));
        burned
    });
}
