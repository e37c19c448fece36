//! Every public call of a table and of its parts.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use switchboard::table::{ChangeSet, Feed, FeedEvent, WaitError};
use switchboard::{Snapshot, Table, Version};

use super::world::{ASnapshot, Fused, Key, Model, Parts, Seed, Value, World, indexed, key, value};

/// The expected state after a destructor has panicked in a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unwound {
    /// The call has done everything or nothing.
    AllOrNothing,
    /// The call has done everything.
    Done,
    /// The call has stopped between two entries.
    Between,
    /// The call has consumed ends of the table.
    Ended,
    /// The call does not touch the existing table.
    Nothing,
}

pub(crate) struct Call<I> {
    pub name: &'static str,
    pub act: fn(&mut World<I>),
    /// Applies the call to the staged model; `published` is the model of the last version.
    pub effect: fn(&mut Model, published: &Model),
    pub unwound: Unwound,
}

impl<I> Call<I> {
    /// Whether the result does not depend on watchers and on staged changes.
    pub(crate) fn is_alike(&self) -> bool {
        matches!(self.unwound, Unwound::Nothing | Unwound::Ended)
    }
}

fn read<I>(name: &'static str, act: fn(&mut World<I>)) -> Call<I> {
    Call { name, act, effect: |_, _| (), unwound: Unwound::Done }
}

fn ends<I>(name: &'static str, act: fn(&mut World<I>)) -> Call<I> {
    Call { name, act, effect: |_, _| (), unwound: Unwound::Ended }
}

fn makes<I>(name: &'static str, act: fn(&mut World<I>)) -> Call<I> {
    Call { name, act, effect: |_, _| (), unwound: Unwound::Nothing }
}

fn change<I>(name: &'static str, act: fn(&mut World<I>), effect: fn(&mut Model, &Model)) -> Call<I> {
    Call { name, act, effect, unwound: Unwound::AllOrNothing }
}

/// Creates a token for a closure to capture.
fn token() -> Fused {
    Fused::default()
}

/// Returns all calls. `every_public_call_is_in_the_list` compares this list with the source.
pub(crate) fn calls<I: Parts>() -> Vec<Call<I>> {
    let lists = [writes(), bulk_writes(), writer_reads(), ends_of_a_table(), snapshots(), feeds(), tables()];
    lists.into_iter().flatten().collect()
}

fn writes<I: Parts>() -> Vec<Call<I>> {
    vec![
        change(
            "Writer::insert",
            |world| drop(world.writer().insert(key(500), value(5))),
            |model, _| _ = model.entries.insert(500, 5),
        ),
        change(
            "Writer::insert, of a present key",
            |world| drop(world.writer().insert(key(19), value(5))),
            |model, _| _ = model.entries.insert(19, 5),
        ),
        change(
            "Writer::update",
            |world| {
                let token = token();
                world.writer().update(&key(4), move |value| {
                    let _ = &token;
                    value.0 = 9;
                });
            },
            |model, _| _ = model.entries.insert(4, 9),
        ),
        change(
            "Writer::remove",
            |world| drop(world.writer().remove(&key(19))),
            |model, _| _ = model.entries.remove(&19),
        ),
        read("Writer::remove, of an absent key", |world| drop(world.writer().remove(&key(999)))),
        change(
            "Writer::upsert",
            |world| {
                let token = token();
                let add = move |old: Option<&Value>| {
                    let _ = &token;
                    value(old.map_or(0, |old| old.0) + 1)
                };
                drop(world.writer().upsert(key(5), add));
            },
            |model, _| *model.entries.entry(5).or_default() += 1,
        ),
        change(
            "Writer::insert_if_absent",
            |world| {
                let token = token();
                let make = move || {
                    let _ = &token;
                    value(6)
                };
                world.writer().insert_if_absent(key(501), make);
            },
            |model, _| _ = model.entries.insert(501, 6),
        ),
        read("Writer::insert_if_absent, of a present key", |world| {
            let token = token();
            world.writer().insert_if_absent(key(19), move || {
                let _ = &token;
                value(0)
            });
        }),
        change(
            "Writer::index_mut",
            |world| world.writer().index_mut().set_word(77),
            |model, _| model.word = 77,
        ),
    ]
}

fn bulk_writes<I: Parts>() -> Vec<Call<I>> {
    vec![
        Call {
            unwound: Unwound::Between,
            ..change(
                "Writer::extend",
                |world| world.writer().extend((16..22).map(|number| (key(number), value(number + 1)))),
                |model, _| (16..22).for_each(|number| _ = model.entries.insert(number, number + 1)),
            )
        },
        Call {
            unwound: Unwound::Between,
            ..change(
                "Writer::retain",
                |world| {
                    let token = token();
                    world.writer().retain(move |key, _| {
                        let _ = &token;
                        key.0 % 3 > 0
                    });
                },
                |model, _| model.entries.retain(|number, _| number % 3 > 0),
            )
        },
        change("Writer::clear", |world| world.writer().clear(), |model, _| model.entries.clear()),
        Call {
            unwound: Unwound::Done,
            ..change(
                "Writer::discard",
                |world| world.writer().discard(),
                |model, published| *model = published.clone(),
            )
        },
        read("Writer::publish", |world| _ = world.writer().publish()),
        read("Writer::try_publish", |world| _ = world.writer().try_publish().unwrap()),
        read("Writer::reclaim", |world| _ = world.writer().reclaim()),
    ]
}

fn writer_reads<I: Parts>() -> Vec<Call<I>> {
    vec![
        read("Writer::len", |world| _ = world.writer().len()),
        read("Writer::is_empty", |world| _ = world.writer().is_empty()),
        read("Writer::iter", |world| _ = world.writer().iter().count()),
        read("Writer::index", |world| _ = world.writer().index().word()),
        read("Writer::version", |world| _ = world.writer().version()),
        read("Writer::published", |world| drop(world.writer().published())),
        read("Writer::has_staged", |world| _ = world.writer().has_staged()),
        read("Writer::get", |world| _ = world.writer().get(&key(3)).is_some()),
        read("Writer::contains_key", |world| _ = world.writer().contains_key(&key(3))),
        read("Writer::stats", |world| _ = world.writer().stats()),
        read("Writer::memory", |world| _ = world.writer().memory()),
        read("Writer as Debug", |world| _ = format!("{:?}", world.writer())),
    ]
}

fn ends_of_a_table<I: Parts>() -> Vec<Call<I>> {
    vec![
        ends("Writer::into_table", |world| {
            let writer = world.writer.take().unwrap();
            drop(writer.into_table());
        }),
        ends("Writer as Drop", |world| drop(world.writer.take())),
        ends("Table as Drop, the last", |world| {
            let ends = (world.writer.take(), world.reader.take(), world.feed.take(), world.held.take());
            world.forget_behind();
            drop((ends, world.table.take()));
        }),
        ends("Snapshot as Drop, the last", |world| {
            let snapshot = world.table().snapshot();
            let ends = (world.writer.take(), world.reader.take(), world.feed.take(), world.held.take());
            world.forget_behind();
            drop((ends, world.table.take(), snapshot));
        }),
    ]
}

fn snapshot<I: Parts>(world: &World<I>) -> ASnapshot<I> {
    world.table().snapshot()
}

fn snapshots<I: Parts>() -> Vec<Call<I>> {
    vec![
        read("Snapshot::version", |world| _ = snapshot(world).version()),
        read("Snapshot::len", |world| _ = snapshot(world).len()),
        read("Snapshot::is_empty", |world| _ = snapshot(world).is_empty()),
        read("Snapshot::index", |world| _ = snapshot(world).index().word()),
        read("Snapshot::iter", |world| _ = snapshot(world).iter().count()),
        read("Snapshot::keys", |world| _ = snapshot(world).keys().count()),
        read("Snapshot::values", |world| _ = snapshot(world).values().count()),
        read("Snapshot::get", |world| _ = snapshot(world).get(&key(3)).is_some()),
        read("Snapshot::get_many", |world| _ = snapshot(world).get_many([&key(3), &key(19)])[0].is_some()),
        read("Snapshot::get_each", |world| {
            let keys: Vec<Key> = (0..20).map(key).collect();
            let values = snapshot(world);
            assert_eq!(values.get_each(&keys).count(), 20);
        }),
        read("Snapshot::get_key_value", |world| _ = snapshot(world).get_key_value(&key(3)).is_some()),
        read("Snapshot::contains_key", |world| _ = snapshot(world).contains_key(&key(3))),
        read("Snapshot::diff", |world| {
            let newest = snapshot(world);
            let older = world.held.as_ref().unwrap_or(&newest);
            assert!(newest.diff(older).count() < 1_000);
        }),
        read("Snapshot as Clone", |world| drop(snapshot(world).clone())),
        read("Snapshot as PartialEq", |world| assert!(snapshot(world) == snapshot(world))),
        read("Snapshot as ops::Index", |world| _ = snapshot(world)[&key(19)].0),
        makes("Snapshot as FromIterator", |_| {
            let entries = (0..20).map(|number| (key(number % 16), value(number)));
            let collected: Snapshot<Key, Value, (), Seed> = entries.collect();
            assert_eq!(collected.len(), 16);
        }),
        read("Reader::snapshot", |world| drop(world.table().reader().snapshot().clone())),
        read("Reader::version", |world| _ = world.table().reader().version()),
        read("Reader::get", |world| _ = world.table().reader().get(&key(3)).is_some()),
        read("Reader::get_many", |world| _ = world.table().reader().get_many([&key(3)])[0].is_some()),
        read("Reader::contains_key", |world| _ = world.table().reader().contains_key(&key(3))),
        read("Reader::snapshot, of a newer version", |world| {
            if let Some(reader) = &mut world.reader {
                reader.snapshot();
            }
        }),
        read("Reader::release", |world| {
            let mut reader = world.table().reader();
            reader.release();
            assert!(reader.contains_key(&key(3)) || reader.held_version().is_some());
        }),
        read("Reader::held_version", |world| assert!(world.table().reader().held_version().is_some())),
        read("Reader as Clone", |world| drop(world.table().reader().clone())),
    ]
}

/// Runs `act` on the feed, if there is one. The feed is behind by several versions.
fn follow<I: Parts>(world: &mut World<I>, act: impl FnOnce(&mut Feed<Key, Value, I, Seed>)) {
    if let Some(feed) = &mut world.feed {
        act(feed);
    }
}

/// Delivers the next change set and passes it to `act`.
fn with_set<I: Parts>(world: &mut World<I>, act: impl FnOnce(&ChangeSet<Key, Value, I, Seed>)) {
    deliver(world);
    match world.events.last() {
        Some(FeedEvent::Changes(set)) => act(set),
        _ => assert!(world.feed.is_none(), "the feed is behind"),
    }
}

/// Takes the next event and keeps it for the check.
fn deliver<I: Parts>(world: &mut World<I>) {
    if let Some(feed) = &mut world.feed {
        world.events.extend(feed.try_next());
    }
}

/// Polls a future once.
fn ready<R>(future: impl Future<Output = R>) -> Option<R> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

fn feeds<I: Parts>() -> Vec<Call<I>> {
    vec![
        read("Feed::snapshot", |world| follow(world, |feed| drop(feed.snapshot().clone()))),
        read("Feed::version", |world| follow(world, |feed| _ = feed.version())),
        read("Feed::is_closed", |world| follow(world, |feed| _ = feed.is_closed())),
        read("Feed::try_next", deliver),
        read("Feed::next_timeout", |world| {
            let World { feed: Some(feed), events, .. } = world else { return };
            events.extend(feed.next_timeout(Duration::ZERO));
        }),
        read("Feed::events", |world| {
            let newest = world.table().version();
            let World { feed: Some(feed), events, .. } = world else { return };
            // Otherwise it would wait.
            assert!(feed.version() < newest);
            events.extend(feed.events().next());
        }),
        read("Feed::next", |world| {
            let World { feed: Some(feed), events, .. } = world else { return };
            events.extend(ready(feed.next()).flatten());
        }),
        read("Feed as Drop", |world| drop(world.table().subscribe())),
        read("ChangeSet::version", |world| with_set(world, |set| _ = set.version())),
        read("ChangeSet::len", |world| with_set(world, |set| _ = set.len())),
        read("ChangeSet::is_empty", |world| with_set(world, |set| _ = set.is_empty())),
        read("ChangeSet::newest", |world| with_set(world, |set| drop(set.newest().clone()))),
        read("ChangeSet::iter", |world| with_set(world, |set| _ = set.iter().count())),
    ]
}

fn tables<I: Parts>() -> Vec<Call<I>> {
    vec![
        read("Table::snapshot", |world| drop(world.table().snapshot())),
        read("Table::reader", |world| drop(world.table().reader())),
        read("Table::version", |world| _ = world.table().version()),
        read("Table::wait_for", |world| {
            let newest = world.table().version();
            assert_eq!(world.table().wait_for(newest, Duration::ZERO), Ok(newest));
        }),
        read("Table::wait_changed", |world| {
            let newest = world.table().version();
            let changed = world.table().wait_changed(newest, Duration::ZERO);
            assert_eq!(changed, Err(WaitError::Timeout));
        }),
        read("Table::reached", |world| {
            let newest = world.table().version();
            assert_eq!(ready(world.table().reached(newest)), Some(Ok(newest)));
        }),
        read("Table::changed", |world| {
            let newest = world.table().version();
            assert_eq!(ready(world.table().changed(newest)), None);
        }),
        read("Table::subscribe", |world| drop(world.table().subscribe())),
        read("Table::subscribe_from", |world| {
            let snapshot = world.table().snapshot();
            drop(world.table().subscribe_from(snapshot));
        }),
        read("Table::is_closed", |world| assert!(!world.table().is_closed())),
        read("Table as Clone", |world| drop(world.table().clone())),
        makes("Table::new", |_| {
            let (mut writer, table) = Table::<Key, Value>::new();
            writer.insert(key(1), value(1));
            writer.publish();
            assert_eq!(table.snapshot().len(), 1);
        }),
        makes("Table::builder", |_| {
            let (writer, _) = Table::<Key, Value>::builder().build();
            assert_eq!(writer.version(), Version::ZERO);
        }),
        makes(
            "TableBuilder::index, hasher, expected_len, recycle, history, max_versions, build_with",
            |_| {
                let builder =
                    Table::<Key, Value>::builder().hasher(Seed::default()).index(indexed()).index(indexed());
                let builder = builder.hasher(Seed::default()).expected_len(100).recycle(false).history(3, 30);
                let builder = builder.max_versions(std::num::NonZeroUsize::MIN);
                let (writer, table) =
                    builder.build_with((0..20).map(|number| (key(number % 16), value(number))));
                assert_eq!(writer.len(), 16);
                let last = |number| if number < 4 { number + 16 } else { number };
                let entries = (0..16).map(|number| (number, last(number))).collect();
                table.snapshot().index().check(&Model { entries, word: 0 });
            },
        ),
        makes("TableBuilder::build", |_| {
            let (mut writer, _) = Table::<Key, Value>::builder().index(indexed()).build();
            writer.insert(key(1), value(1));
            assert!(writer.has_staged());
        }),
    ]
}
