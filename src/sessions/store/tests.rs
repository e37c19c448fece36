//! The contract, for each store.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::path::{Path, PathBuf};

use super::*;
use crate::sync::StdArc;

#[cfg(any(feature = "file-store", feature = "sqlite"))]
mod temporary;

#[cfg(any(feature = "file-store", feature = "sqlite"))]
pub(super) use self::temporary::Temporary;

pub(super) type Data = Vec<String>;

pub(super) fn data(text: &str) -> Data {
    vec![text.to_owned()]
}

type Store = Box<dyn SessionStore<String, Data>>;

fn loaded(store: &Store, key: &str) -> Option<(Version, Data)> {
    store.load(&key.to_owned()).unwrap().map(|stored| (stored.version, stored.data))
}

/// `open` opens the same store again; the one before is closed then.
fn check(open: impl Fn() -> Store) {
    let store = open();
    let first = store.opening();
    let (a, b) = (String::from("a/\u{0} \u{e9}A\""), String::from("b"));
    assert_eq!(loaded(&store, &a), None);
    let version = |number| Version::new(first, number);
    assert_eq!(store.save(&a, version(3), &data("three")).unwrap(), Saved::Stored);
    assert_eq!(store.save(&a, version(2), &data("two")).unwrap(), Saved::Discarded);
    assert_eq!(store.save(&a, version(3), &data("again")).unwrap(), Saved::Discarded);
    assert_eq!(store.save(&b, version(1), &data("b")).unwrap(), Saved::Stored);
    assert_eq!(store.save(&a, version(4), &data("")).unwrap(), Saved::Stored);
    assert_eq!(loaded(&store, &a), Some((version(4), data(""))));
    let mut keys = store.keys().unwrap().keys;
    keys.sort();
    assert_eq!(keys, [a.clone(), b.clone()]);

    assert_eq!(store.delete(&a, version(3)).unwrap(), Saved::Discarded, "older than what is stored");
    assert_eq!(store.delete(&a, version(5)).unwrap(), Saved::Stored);
    assert_eq!(
        store.delete(&a, version(5)).unwrap(),
        Saved::Stored,
        "repeated after a failure that was none"
    );
    assert_eq!(loaded(&store, &a), None);

    drop(store);
    let store = open();
    assert_eq!(store.opening(), first + 1);
    assert_eq!(loaded(&store, &a), None);
    assert_eq!(loaded(&store, &b), Some((version(1), data("b"))));
    // Numbers begin anew, and the opening makes up for it.
    assert_eq!(store.save(&b, Version::new(first + 1, 1), &data("new")).unwrap(), Saved::Stored);
    assert_eq!(store.save(&b, version(1000), &data("old")).unwrap(), Saved::Discarded);
    assert_eq!(loaded(&store, &b), Some((Version::new(first + 1, 1), data("new"))));
    assert_eq!(store.keys().unwrap().keys, [b]);
}

#[test]
fn a_store_in_memory_keeps_the_contract() {
    let store = MemoryStore::new();
    let current = std::cell::RefCell::new(store);
    check(|| {
        let next = current.borrow().reopen();
        *current.borrow_mut() = next.clone();
        // Through two pointers.
        Box::new(StdArc::new(next))
    });
}

#[cfg(feature = "file-store")]
#[test]
fn a_file_store_keeps_the_contract() {
    let folder = Temporary::new();
    check(|| Box::new(FileStore::open(folder.path()).unwrap()));
}

#[cfg(feature = "sqlite")]
#[test]
fn an_sqlite_store_keeps_the_contract() {
    let folder = Temporary::new();
    check(|| Box::new(SqliteStore::open(folder.path().join("sessions.db")).unwrap()));
}

#[test]
fn an_error_shows_its_kind_its_cause_and_where_the_data_is() {
    let error = StoreError::new(StoreErrorKind::Corrupt).with_kept(PathBuf::from("/x/y"));
    assert_eq!(error.to_string(), "the stored session is damaged, and is kept aside as /x/y");
    assert_eq!(error.kept(), Some(Path::new("/x/y")));
    let error = StoreError::from(std::io::Error::from(std::io::ErrorKind::StorageFull));
    assert_eq!(error.kind(), StoreErrorKind::Io);
    assert!(std::error::Error::source(&error).is_some());
}
