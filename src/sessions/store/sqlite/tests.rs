#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::fs;

use super::super::tests::{Data, Temporary, data};
use super::*;
use crate::sync::StdArc;
use crate::sync::thread::Builder;

type Store = SqliteStore<String, Data>;

fn open(folder: &Temporary) -> Store {
    SqliteStore::open(folder.path().join("sessions.db")).unwrap()
}

fn raw(folder: &Temporary) -> Connection {
    Connection::open(folder.path().join("sessions.db")).unwrap()
}

fn save(store: &Store, key: &str, number: u64, text: &str) -> Result<Saved, StoreError> {
    store.save(&key.to_owned(), Version::new(store.opening(), number), &data(text))
}

fn load(store: &Store, key: &str) -> Option<Data> {
    store.load(&key.to_owned()).unwrap().map(|stored| stored.data)
}

#[test]
fn other_programs_find_text() {
    let folder = Temporary::new();
    let store = open(&folder);
    save(&store, "alice", 3, "hello").unwrap();
    let row: (String, i64, i64, String) = raw(&folder)
        .query_row("SELECT key, opening, number, data FROM sessions", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap();
    assert_eq!(row, (String::from("\"alice\""), 1, 3, String::from("[\"hello\"]")));
    let mode: String = raw(&folder).query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn data_that_the_codec_cannot_read_is_kept_aside_and_the_others_load() {
    let folder = Temporary::new();
    let store = open(&folder);
    save(&store, "a", 1, "a").unwrap();
    save(&store, "b", 1, "b").unwrap();
    raw(&folder).execute("UPDATE sessions SET data = 'damaged' WHERE key = '\"a\"'", []).unwrap();
    assert_eq!(store.load(&String::from("a")).unwrap_err().kind(), StoreErrorKind::Codec);
    let kept: String = raw(&folder).query_row("SELECT data FROM kept_aside", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "damaged");
    assert_eq!((load(&store, "a"), load(&store, "b")), (None, Some(data("b"))));
    assert_eq!(save(&store, "a", 2, "new").unwrap(), Saved::Stored);
    assert_eq!(load(&store, "a"), Some(data("new")));
}

#[test]
fn a_store_that_was_opened_again_elsewhere_changes_nothing() {
    let folder = Temporary::new();
    let first = open(&folder);
    save(&first, "a", 1, "first").unwrap();
    let second = open(&folder);
    assert_eq!(save(&first, "a", 2, "late").unwrap_err().kind(), StoreErrorKind::Overtaken);
    let version = Version::new(first.opening(), 3);
    let deleted = first.delete(&String::from("a"), version);
    assert_eq!(deleted.unwrap_err().kind(), StoreErrorKind::Overtaken);
    assert_eq!(load(&second, "a"), Some(data("first")));
}

#[test]
fn an_opening_is_above_all_sessions_even_if_its_number_is_lost() {
    let folder = Temporary::new();
    drop(open(&folder));
    save(&open(&folder), "a", 1, "old").unwrap();
    raw(&folder).execute("DELETE FROM store", []).unwrap();
    let store = open(&folder);
    assert_eq!(store.opening(), 3);
    assert_eq!(save(&store, "a", 1, "new").unwrap(), Saved::Stored);
}

#[test]
fn a_newer_format_and_a_file_that_is_no_database_are_errors_and_stay_as_they_are() {
    let folder = Temporary::new();
    save(&open(&folder), "a", 1, "old").unwrap();
    raw(&folder).pragma_update(None, "user_version", 2).unwrap();
    let path = folder.path().join("sessions.db");
    let newer: Result<Store, _> = SqliteStore::open(&path);
    assert_eq!(newer.unwrap_err().kind(), StoreErrorKind::NewerFormat);
    raw(&folder).pragma_update(None, "user_version", 1).unwrap();
    assert_eq!(load(&open(&folder), "a"), Some(data("old")));

    let other = folder.path().join("other.db");
    fs::write(&other, "not a database ".repeat(100)).unwrap();
    let broken: Result<Store, _> = SqliteStore::open(&other);
    assert_eq!(broken.unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert_eq!(fs::read(&other).unwrap(), "not a database ".repeat(100).as_bytes());
}

#[test]
fn a_database_of_another_application_or_a_newer_release_is_not_touched() {
    let folder = Temporary::new();
    let path = folder.path().join("sessions.db");
    let text = |pragma: &str| raw(&folder).query_row(pragma, [], |row| row.get::<_, String>(0)).unwrap();
    for (pragma, kind) in
        [("application_id", StoreErrorKind::Other), ("user_version", StoreErrorKind::NewerFormat)]
    {
        let _ = fs::remove_file(&path);
        raw(&folder).execute_batch(&format!("CREATE TABLE t (x); PRAGMA {pragma} = 77")).unwrap();
        let refused: Result<Store, _> = SqliteStore::open(&path);
        assert_eq!(refused.unwrap_err().kind(), kind);
        assert_eq!(text("PRAGMA journal_mode"), "delete");
    }
}

#[test]
fn a_row_of_the_wrong_types_is_kept_aside_and_the_session_goes_on() {
    let folder = Temporary::new();
    let store = open(&folder);
    for change in ["opening = 'x'", "number = -1", "number = 1.5", "data = 7"] {
        assert_eq!(save(&store, "a", 1, "a").unwrap(), Saved::Stored);
        raw(&folder).execute(&format!("UPDATE sessions SET {change}"), []).unwrap();
        let error = store.load(&String::from("a")).unwrap_err();
        assert_eq!((error.kind(), error.kept()), (StoreErrorKind::Corrupt, Some(store.path.as_path())));
        assert_eq!(load(&store, "a"), None);
    }
    let kept: i64 = raw(&folder).query_row("SELECT count(*) FROM kept_aside", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 4);
}

#[test]
fn data_that_cannot_be_kept_aside_is_reported_and_stays() {
    let folder = Temporary::new();
    let first = open(&folder);
    save(&first, "a", 1, "a").unwrap();
    raw(&folder).execute("UPDATE sessions SET data = 'damaged'", []).unwrap();
    let _second = open(&folder);
    let error = first.load(&String::from("a")).unwrap_err();
    assert_eq!((error.kind(), error.kept()), (StoreErrorKind::Codec, None), "not overtaken");
    let left: i64 = raw(&folder).query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1);
}

/// Another connection would create a new, empty one.
#[test]
fn a_database_that_is_gone_fails_and_does_not_come_back() {
    let folder = Temporary::new();
    let store = open(&folder);
    assert!(store.path.is_absolute());
    store.idle.lock().clear();
    fs::remove_file(&store.path).unwrap();
    assert_eq!(save(&store, "a", 1, "a").unwrap_err().kind(), StoreErrorKind::Io);
    assert!(!store.path.exists());
}

#[test]
fn a_number_that_sqlite_does_not_have_is_an_error() {
    let folder = Temporary::new();
    assert_eq!(save(&open(&folder), "a", u64::MAX, "new").unwrap_err().kind(), StoreErrorKind::Other);
}

#[test]
fn calls_at_the_same_time_have_connections_of_their_own() {
    let folder = Temporary::new();
    let store = StdArc::new(open(&folder));
    let threads: Vec<_> = (0..6)
        .map(|thread| {
            let store = store.clone();
            let run = move || {
                for number in 1..20 {
                    let saved = save(&store, &thread.to_string(), number, &number.to_string());
                    assert_eq!(saved.unwrap(), Saved::Stored);
                }
            };
            Builder::new().spawn(run).unwrap()
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(store.keys().unwrap().keys.len(), 6);
    assert!(store.idle.lock().len() <= MAX_IDLE);
    assert_eq!(load(&store, "5"), Some(data("19")));
}
