//! Damage, faults and names.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::collections::HashSet;
use std::fs;

use super::super::tests::{Data, Temporary, data};
use super::super::{BoxError, StoreErrorKind};
use super::*;

type Store = FileStore<String, Data>;

fn open(folder: &Temporary) -> Store {
    FileStore::open(folder.path()).unwrap()
}

fn key(text: &str) -> String {
    text.to_owned()
}

/// Saves `text` with the next number.
fn save(store: &Store, of: &str, number: u64, text: &str) -> Result<Saved, StoreError> {
    store.save(&key(of), Version::new(store.opening(), number), &data(text))
}

fn load(store: &Store, of: &str) -> Option<Data> {
    store.load(&key(of)).unwrap().map(|stored| stored.data)
}

fn path(folder: &Temporary, of: &str) -> PathBuf {
    folder.path().join(format!("s-_{of}_.session"))
}

fn names(folder: &Temporary) -> HashSet<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The file is not readable: it is kept aside as it is, the session counts as not stored, and the other one loads.
fn check_damage(folder: &Temporary, store: &Store, file: &[u8], kind: StoreErrorKind) {
    fs::write(path(folder, "a"), file).unwrap();
    let error = store.load(&key("a")).unwrap_err();
    assert_eq!(error.kind(), kind);
    let kept = error.kept().unwrap();
    assert_eq!(fs::read(kept).unwrap(), file);
    assert_eq!(load(store, "a"), None);
    assert_eq!(load(store, "b"), Some(data("b")));
    // It neither hinders a save nor is it overwritten by one.
    assert_eq!(save(store, "a", 9, "new").unwrap(), Saved::Stored);
    assert_eq!(load(store, "a"), Some(data("new")));
    assert_eq!(fs::read(kept).unwrap(), file);
    fs::remove_file(kept).unwrap();
}

#[test]
fn a_file_that_ends_early_at_any_byte_is_kept_aside_and_the_others_load() {
    let folder = Temporary::new();
    let store = open(&folder);
    save(&store, "a", 1, "some text").unwrap();
    save(&store, "b", 1, "b").unwrap();
    let whole = fs::read(path(&folder, "a")).unwrap();
    for length in 0..whole.len() {
        check_damage(&folder, &store, &whole[..length], StoreErrorKind::Corrupt);
    }
    check_damage(&folder, &store, &[&whole[..], b"\n"].concat(), StoreErrorKind::Corrupt);
}

#[test]
fn a_file_with_any_byte_changed_is_kept_aside_and_the_others_load() {
    let folder = Temporary::new();
    let store = open(&folder);
    save(&store, "a", 1, "some text").unwrap();
    save(&store, "b", 1, "b").unwrap();
    let whole = fs::read(path(&folder, "a")).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            let kind = format::parse(&changed).unwrap_err().error().0.kind();
            // The number of the format, 1, may look like a newer one, also if a digit follows it.
            let is_number = ["switchboard-session ".len(), "switchboard-session 1".len()].contains(&at);
            assert!(kind == StoreErrorKind::Corrupt || is_number, "byte {at}, bit {bit}: {kind:?}");
            if bit == at % 8 {
                check_damage(&folder, &store, &changed, kind);
            }
        }
    }
}

#[test]
fn a_file_of_a_newer_format_is_kept_aside_and_the_others_load() {
    let folder = Temporary::new();
    let store = open(&folder);
    save(&store, "b", 1, "b").unwrap();
    check_damage(&folder, &store, b"switchboard-session 2 anything\nat all", StoreErrorKind::NewerFormat);
}

#[test]
fn the_file_of_another_key_is_damage() {
    let folder = Temporary::new();
    let store = open(&folder);
    save(&store, "b", 1, "b").unwrap();
    let other = fs::read(path(&folder, "b")).unwrap();
    check_damage(&folder, &store, &other, StoreErrorKind::Corrupt);
}

#[test]
fn data_that_the_codec_cannot_read_is_kept_aside() {
    let folder = Temporary::new();
    let numbers: FileStore<String, u32> = FileStore::open(folder.path()).unwrap();
    numbers.save(&key("a"), Version::new(1, 1), &7).unwrap();
    drop(numbers);
    let store = open(&folder);
    let error = store.load(&key("a")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Codec);
    assert!(error.kept().unwrap().exists());
}

#[test]
fn a_save_over_a_damaged_file_keeps_it_aside() {
    let folder = Temporary::new();
    let store = open(&folder);
    fs::write(path(&folder, "a"), "damaged").unwrap();
    assert_eq!(save(&store, "a", 1, "new").unwrap(), Saved::Stored);
    assert_eq!(load(&store, "a"), Some(data("new")));
    let kept = names(&folder).into_iter().find(|name| name.contains("corrupt")).unwrap();
    assert_eq!(fs::read(folder.path().join(kept)).unwrap(), b"damaged");
}

/// Whichever access fails, the session is as it was, or as it should be; and it is the latter if the save succeeded.
#[test]
fn a_disk_that_fails_at_any_access_leaves_the_old_state_or_the_new_one() {
    let mut failures = 0;
    for steps in 0.. {
        let folder = Temporary::new();
        let store = open(&folder);
        save(&store, "a", 1, "old").unwrap();
        store.folder.faults.after(steps);
        let saved = save(&store, "a", 2, "new");
        drop(store);
        let store = open(&folder);
        let found = load(&store, "a").unwrap();
        assert_eq!(names(&folder).len(), 3, "the lock, the opening, and one session: {:?}", names(&folder));
        match saved {
            Ok(saved) => {
                assert_eq!((saved, found), (Saved::Stored, data("new")));
                break;
            }
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Io);
                assert!(found == data("old") || found == data("new"));
                failures += 1;
            }
        }
    }
    assert_eq!(failures, 6, "compare, create, write, sync, rename, sync the folder");
}

/// The file was renamed, and the folder not synced: only a sync makes the change durable.
#[test]
fn a_save_that_is_repeated_syncs_the_folder_before_it_is_acknowledged() {
    let folder = Temporary::new();
    let store = open(&folder);
    save(&store, "a", 1, "old").unwrap();
    store.folder.faults.after(5);
    assert_eq!(save(&store, "a", 2, "new").unwrap_err().kind(), StoreErrorKind::Io);
    store.folder.faults.after(u64::MAX);
    assert_eq!(load(&store, "a"), Some(data("new")), "renamed");
    let syncs = store.folder.faults.syncs();
    assert_eq!(save(&store, "a", 2, "new").unwrap(), Saved::Discarded);
    assert_eq!(store.folder.faults.syncs(), syncs + 1);
}

#[test]
fn a_failed_deletion_leaves_the_session_or_removes_it_and_can_be_repeated() {
    let mut failures = 0;
    for steps in 0.. {
        let folder = Temporary::new();
        let store = open(&folder);
        save(&store, "a", 1, "old").unwrap();
        store.folder.faults.after(steps);
        let deleted = store.delete(&key("a"), Version::new(1, 2));
        store.folder.faults.after(u64::MAX);
        if deleted.is_ok() {
            assert_eq!(load(&store, "a"), None);
            break;
        }
        failures += 1;
        assert!(load(&store, "a").is_none_or(|found| found == data("old")));
        assert_eq!(store.delete(&key("a"), Version::new(1, 2)).unwrap(), Saved::Stored);
        assert_eq!(load(&store, "a"), None);
    }
    assert_eq!(failures, 3, "compare, remove, sync the folder");
}

#[test]
fn a_damaged_file_that_cannot_be_moved_is_still_reported_and_not_overwritten() {
    let folder = Temporary::new();
    let store = open(&folder);
    fs::write(path(&folder, "a"), "damaged").unwrap();
    store.folder.faults.after(1);
    let error = store.load(&key("a")).unwrap_err();
    assert_eq!((error.kind(), error.kept()), (StoreErrorKind::Corrupt, None));
    store.folder.faults.after(1);
    assert_eq!(save(&store, "a", 1, "new").unwrap_err().kind(), StoreErrorKind::Io);
    assert_eq!(fs::read(path(&folder, "a")).unwrap(), b"damaged");
}

/// A user who may write anywhere is not stopped by the permissions; then the save succeeds.
#[cfg(unix)]
#[test]
fn a_folder_that_is_read_only_fails_a_save_and_loads() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Temporary::new();
    let store = open(&folder);
    save(&store, "a", 1, "old").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let is_writable = fs::write(folder.path().join("probe"), "").is_ok();
    let saved = save(&store, "a", 2, "new");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(saved.is_ok(), is_writable);
    assert_eq!(load(&store, "a"), Some(data(if is_writable { "new" } else { "old" })));
}

#[test]
fn a_folder_that_is_gone_fails_and_does_not_come_back() {
    let folder = Temporary::new();
    let store = open(&folder);
    fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!(save(&store, "a", 1, "new").unwrap_err().kind(), StoreErrorKind::Io);
    assert!(!folder.path().exists());
}

#[test]
fn temporary_files_of_a_killed_process_are_removed_and_never_loaded() {
    let folder = Temporary::new();
    let store = open(&folder);
    save(&store, "a", 1, "old").unwrap();
    drop(store);
    let whole = fs::read(path(&folder, "a")).unwrap();
    fs::write(folder.path().join("s-_a_.session.7.tmp"), &whole[..20]).unwrap();
    fs::write(folder.path().join("s-_c_.session.8.tmp"), &whole).unwrap();
    fs::write(folder.path().join("notes.tmp"), "not of the store").unwrap();
    let store = open(&folder);
    let left: Vec<_> = names(&folder).into_iter().filter(|name| name.ends_with("tmp")).collect();
    assert_eq!(left, ["notes.tmp"]);
    assert_eq!((load(&store, "a"), load(&store, "c")), (Some(data("old")), None));
    assert_eq!(store.keys().unwrap().keys, [key("a")]);
}

#[test]
fn a_folder_has_one_store_at_a_time() {
    let folder = Temporary::new();
    let store = open(&folder);
    let second: Result<Store, _> = FileStore::open(folder.path());
    assert_eq!(second.unwrap_err().kind(), StoreErrorKind::Locked);
    drop(store);
    assert_eq!(open(&folder).opening(), 2);
}

/// Otherwise what is saved would be older than what is stored, and discarded.
#[test]
fn an_opening_is_above_all_sessions_even_if_its_number_is_lost() {
    let folder = Temporary::new();
    for _ in 0..4 {
        drop(open(&folder));
    }
    save(&open(&folder), "a", 1, "old").unwrap();
    fs::write(path(&folder, "b"), "damaged").unwrap();
    for damage in [None, Some(""), Some("5"), Some("five\n")] {
        match damage {
            Some(text) => fs::write(folder.path().join("opening"), text).unwrap(),
            None => fs::remove_file(folder.path().join("opening")).unwrap(),
        }
        let store = open(&folder);
        assert_eq!(store.opening(), 6);
        assert_eq!(load(&store, "a"), Some(data("old")));
    }
    let store = open(&folder);
    assert_eq!(save(&store, "a", 1, "new").unwrap(), Saved::Stored);
}

#[test]
fn a_store_that_is_older_than_a_session_fails_instead_of_discarding() {
    let folder = Temporary::new();
    drop(open(&folder));
    save(&open(&folder), "a", 1, "old").unwrap();
    fs::write(folder.path().join("opening"), "0\n").unwrap();
    let store = open(&folder);
    assert_eq!(save(&store, "a", 1, "new").unwrap_err().kind(), StoreErrorKind::Overtaken);
}

#[test]
fn each_key_has_a_name_of_its_own_without_upper_case() {
    let mut seen = HashSet::new();
    let mut check = |key: &[u8]| {
        let name = name::of_key(key);
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_=.".contains(&byte))
        );
        assert_eq!(name::parse(&name), Some(Name::Key(key.to_vec())));
        assert!(seen.insert(name));
    };
    check(b"");
    for one in 0..=255_u8 {
        check(&[one]);
        for other in [b'a', b'A', b'"', b'=', b'_', b'.', b'/', 0] {
            check(&[one, other]);
        }
    }
    for foreign in [
        "s-A.session",
        "s-==00.session",
        "s-=6.session",
        "s-=61.session",
        "s-=ZZ.session",
        "a.session",
        "s-a",
        "opening",
    ] {
        assert_eq!(name::parse(foreign), None, "{foreign}");
    }
}

#[test]
fn a_key_of_any_length_is_stored_and_listed_and_removed() {
    let folder = Temporary::new();
    let store = open(&folder);
    // Two quotation marks.
    let longest = "k".repeat(198);
    let longer = ["k".repeat(199), "k".repeat(200), "\u{e9}".repeat(4000)];
    assert_eq!(save(&store, &longest, 1, "x").unwrap(), Saved::Stored);
    assert!(path(&folder, &longest).exists(), "named by its key");
    fs::write(path(&folder, &longest), "damaged").unwrap();
    assert!(store.load(&longest).unwrap_err().kept().is_some());
    for longer in &longer {
        assert_eq!(load(&store, longer), None);
        assert_eq!(store.delete(longer, Version::new(1, 1)).unwrap(), Saved::Stored);
        assert_eq!(save(&store, longer, 2, longer).unwrap(), Saved::Stored);
        assert_eq!(save(&store, longer, 1, "old").unwrap(), Saved::Discarded);
    }
    let digest = "d4ec9c0213dc57d2231ab0deab2beb63535bbfa78bab106724dd21453538f029";
    assert!(names(&folder).contains(&format!("s-=={digest}.session")), "SHA-256 of the key in JSON");
    for longer in &longer {
        assert_eq!(load(&store, longer), Some(data(longer)));
    }
    let listed: HashSet<_> = store.keys().unwrap().keys.into_iter().collect();
    assert_eq!(listed, longer.iter().cloned().collect());
    drop(store);
    fs::remove_file(folder.path().join("opening")).unwrap();
    let store = open(&folder);
    assert_eq!(store.opening(), 2, "long keys count");
    assert_eq!(store.delete(&longer[0], Version::new(2, 1)).unwrap(), Saved::Stored);
    assert_eq!(load(&store, &longer[0]), None);
    let name = names(&folder).into_iter().find(|name| name.starts_with("s-==")).unwrap();
    fs::write(folder.path().join(name), "damaged").unwrap();
    let keys = store.keys().unwrap();
    assert_eq!((keys.keys.len(), keys.unreadable), (1, 1));
}

#[test]
fn a_folder_that_is_created_is_entered_in_each_folder_above_it() {
    let folder = Temporary::new();
    let (one, two) = (folder.path().join("one"), folder.path().join("one").join("two"));
    assert_eq!(folder::parents_to_sync(&two), [one.as_path(), folder.path()]);
    let store: Store = FileStore::open(&two).unwrap();
    assert!(folder::parents_to_sync(&two).is_empty());
    assert!(store.folder.path().is_absolute());
}

#[test]
fn keys_that_the_codec_cannot_read_are_counted() {
    let folder = Temporary::new();
    let numbers: FileStore<u32, Data> = FileStore::open(folder.path()).unwrap();
    numbers.save(&1, Version::new(1, 1), &data("x")).unwrap();
    drop(numbers);
    save(&open(&folder), "a", 1, "a").unwrap();
    let keys = open(&folder).keys().unwrap();
    assert_eq!((keys.keys, keys.unreadable), (vec![key("a")], 1));
}

#[test]
fn a_codec_that_fails_leaves_the_session_as_it_was() {
    struct Broken;

    impl Codec<String, Data> for Broken {
        fn encode_key(&self, key: &String, bytes: &mut Vec<u8>) -> Result<(), BoxError> {
            Codec::<String, Data>::encode_key(&Json, key, bytes)
        }

        fn decode_key(&self, bytes: &[u8]) -> Result<String, BoxError> {
            Codec::<String, Data>::decode_key(&Json, bytes)
        }

        fn encode(&self, _: &Data, bytes: &mut Vec<u8>) -> Result<(), BoxError> {
            bytes.push(b'[');
            Err("no bytes".into())
        }

        fn decode(&self, _: &[u8]) -> Result<Data, BoxError> {
            Err("no data".into())
        }
    }

    let folder = Temporary::new();
    save(&open(&folder), "a", 1, "old").unwrap();
    let broken: FileStore<String, Data, Broken> = FileStore::with_codec(folder.path(), Broken).unwrap();
    let error = broken.save(&key("a"), Version::new(9, 9), &data("new")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Codec);
    drop(broken);
    assert_eq!(load(&open(&folder), "a"), Some(data("old")));
}
