//! The *destructor fuse*: the n-th destructor that runs in a call panics, for every call of a table and every
//! n. Afterwards the table is as if the call had done everything or nothing.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // Tests, which print the failing call.

mod calls;
mod world;

use calls::{Call, Unwound, calls};
use world::{Model, Parts, Setting, Staged, Watch, World, burns, indexed};

/// Runs each call with its fuse, then more versions. Returns whether the last fuse burnt down.
fn run<I: Parts>(index: I, setting: Setting, calls: &[(&Call<I>, usize)]) -> bool {
    let mut world = World::new(index, setting);
    let is_burnt = calls.iter().fold(false, |_, (call, fuse)| run_one(&mut world, call, *fuse));
    world.go_on();
    is_burnt
}

fn run_one<I: Parts>(world: &mut World<I>, call: &Call<I>, fuse: usize) -> bool {
    let before = world.staged.clone();
    let mut after = before.clone();
    (call.effect)(&mut after, world.published());
    if world.writer().index().word().is_none() {
        after.word = 0;
    }
    let (version, has_staged) = (world.writer().version(), world.writer().has_staged());
    let is_burnt = burns(fuse, || (call.act)(world));
    if world.writer.is_some() {
        let actual = world.actual();
        match call.unwound {
            _ if !is_burnt => assert_eq!(actual, after),
            Unwound::AllOrNothing => assert!(actual == before || actual == after, "half done: {actual:?}"),
            Unwound::Done | Unwound::Nothing => assert_eq!(actual, after),
            Unwound::Between => check_between(&actual, &before, &after),
            Unwound::Ended => unreachable!("the writer was dropped"),
        }
        match call.name {
            "Writer::clear" => world.has_cleared |= actual != before,
            "Writer::discard" => world.has_cleared = false,
            _ => {}
        }
        world.staged = actual;
        let has_published = world.writer().version() > version;
        assert_eq!(has_published, has_staged && PUBLISHES.contains(&call.name), "only a publish publishes");
        if has_published {
            world.note_publish();
        }
    }
    world.check();
    is_burnt
}

/// Checks that each entry is as before the call or as after it.
fn check_between(actual: &Model, before: &Model, after: &Model) {
    for key in before.entries.keys().chain(after.entries.keys()).chain(actual.entries.keys()) {
        let [actual, before, after] = [actual, before, after].map(|model| model.entries.get(key));
        assert!(actual == before || actual == after);
    }
    assert_eq!(actual.word, before.word);
}

/// Runs every call with every fuse, in these settings.
fn run_all<I: Parts>(index: fn() -> I, recycles: bool, watches: &[Watch]) {
    let (mut burnt, mut has_published_burning) = (0, false);
    for call in &calls() {
        // Clearing the table first matters only for calls that end the staged batch.
        let is_end = call.name == "Writer::discard" || PUBLISHES.contains(&call.name);
        let staged = if is_end { &STAGED[..] } else { &STAGED[..2] };
        let settings = watches.iter().flat_map(|watch| staged.iter().map(|staged| (*watch, *staged)));
        // If the setting makes no difference to a call, one is enough.
        let settings = settings.take(if call.is_alike() { 1 } else { usize::MAX });
        for (watch, staged) in settings {
            let setting = Setting { recycles, watch, staged };
            // Shown if the test fails.
            print!("{} {setting:?}", call.name);
            let fuse = (0..).find(|fuse| !run(index(), setting, &[(call, *fuse)])).unwrap();
            println!(": {fuse}");
            burnt += fuse;
            has_published_burning |= PUBLISHES.contains(&call.name) && fuse > 0;
        }
    }
    assert!(burnt > 500 && has_published_burning, "{burnt}");
}

const PUBLISHES: [&str; 2] = ["Writer::publish", "Writer::try_publish"];

const STAGED: [Staged; 3] = [Staged::Some, Staged::Nothing, Staged::Cleared];

const WATCHES: [Watch; 4] = [Watch::Nobody, Watch::Reader, Watch::Held, Watch::Feed];

#[test]
fn a_destructor_may_panic_at_every_place() {
    run_all(|| (), false, &WATCHES);
}

#[test]
fn a_destructor_may_panic_at_every_place_of_a_table_that_recycles() {
    run_all(|| (), true, &WATCHES);
}

#[test]
fn a_destructor_may_panic_at_every_place_with_an_index() {
    run_all(indexed, false, &[Watch::Nobody, Watch::Feed]);
}

#[test]
fn a_destructor_may_panic_at_every_place_with_an_index_of_a_table_that_recycles() {
    run_all(indexed, true, &[Watch::Nobody, Watch::Reader]);
}

/// The second panic finds the state that the first one left behind.
#[test]
fn a_second_panic_finds_the_table_whole() {
    run_pairs(indexed, "Writer::insert", &["Writer::remove", "Writer::discard", "Writer::publish"]);
    run_pairs(indexed, "Writer::publish", &["Writer::insert"]);
    run_pairs(indexed, "Writer::discard", &["Writer::insert"]);
}

fn run_pairs<I: Parts>(index: fn() -> I, first: &str, seconds: &[&str]) {
    let calls = calls();
    let named = |name: &str| calls.iter().find(|call| call.name == name).unwrap();
    let mut burnt = 0;
    for (second, watch) in
        seconds.iter().flat_map(|second| [(second, Watch::Nobody), (second, Watch::Reader)])
    {
        let setting = Setting { recycles: true, watch, staged: Staged::Some };
        for first_fuse in 0.. {
            let pair = |fuse| [(named(first), first_fuse), (named(second), fuse)];
            burnt += (0..).find(|fuse| !run(index(), setting, &pair(*fuse))).unwrap();
            if !run(index(), setting, &[(named(first), first_fuse)]) {
                break;
            }
        }
    }
    assert!(burnt > 10, "{burnt}");
}

/// Compares the list with the source.
#[test]
fn every_public_call_is_in_the_list() {
    let sources = [
        include_str!("../../src/table/handle.rs"),
        include_str!("../../src/table/builder.rs"),
        include_str!("../../src/table/feed.rs"),
        include_str!("../../src/table/feed/next.rs"),
        include_str!("../../src/table/reader.rs"),
        include_str!("../../src/table/snapshot.rs"),
        include_str!("../../src/table/snapshot/traits.rs"),
        include_str!("../../src/table/stats.rs"),
        include_str!("../../src/table/writer.rs"),
        include_str!("../../src/table/writer/bulk.rs"),
        include_str!("../../src/table/writer/publish.rs"),
        include_str!("../../src/table/writer/reclaim.rs"),
    ];
    let names: Vec<_> = calls::<()>().iter().map(|call| call.name).collect();
    let is_listed = |of: &str, name: &str| {
        let mut listed = names.iter().filter_map(|entry| entry.strip_prefix(of)?.strip_prefix("::"));
        listed.any(|entry| entry.split(", ").any(|listed| listed == name))
    };
    let mut found = 0;
    for (of, name) in sources.into_iter().flat_map(public_calls) {
        assert!(is_listed(of, name), "{of}::{name} is not in the list");
        found += 1;
    }
    assert!(found > 60, "{found}");
}

const TYPES: [&str; 7] = ["Table", "TableBuilder", "Writer", "Snapshot", "Reader", "Feed", "ChangeSet"];

fn public_calls(source: &str) -> Vec<(&'static str, &str)> {
    let mut calls = vec![];
    let mut of = None;
    for line in source.lines() {
        if line.starts_with("impl") {
            let of_type = |name: &&&str| !line.contains(" for ") && line.contains(&format!(" {name}<"));
            of = TYPES.iter().find(of_type).copied();
        }
        if let (Some(of), Some(rest)) = (of, line.strip_prefix("    pub fn ")) {
            let end = rest.find(['<', '(']).unwrap();
            calls.push((of, &rest[..end]));
        }
    }
    calls
}
