//! Connections, their runs, and broadcasts.

use super::*;

#[test]
fn the_late_end_of_a_displaced_connection_changes_nothing() {
    let sessions = Registry::new();
    let old = sessions.connect(&1, "old");
    assert_eq!(old.displaced, None);
    let new = sessions.connect(&1, "new");
    assert_eq!(new.displaced.as_deref(), Some(&"old"));
    assert!(!old.connection.is_current() && new.connection.is_current());
    let end = old.connection.disconnect();
    assert_eq!((end.was_current, end.cancelled), (false, None));
    assert_eq!(sessions.peers(), [(1, StdArc::new("new"))]);
    drop(new.connection);
    assert_eq!(sessions.peers(), []);
}

#[test]
fn the_end_of_a_connection_stops_only_the_run_that_belongs_to_it() {
    let sessions = Registry::new();
    let foreign = sessions.try_begin(&1).unwrap();
    let connection = sessions.connect(&1, "a").connection;
    assert!(connection.try_begin().is_err_and(TryBeginError::is_busy));
    assert_eq!(connection.disconnect().cancelled, None);
    assert!(!foreign.is_cancelled());
    drop(foreign);

    let connection = sessions.connect(&1, "b").connection;
    drop(connection.try_begin().unwrap());
    let later = sessions.try_begin(&1).unwrap();
    assert_eq!(connection.disconnect().cancelled, None, "its run has ended");
    assert!(!later.is_cancelled());
    drop(later);

    let connection = sessions.connect(&1, "c").connection;
    let run = connection.try_begin().unwrap();
    drop(connection);
    assert!(run.is_cancelled());
}

#[test]
fn a_newer_connection_takes_over_the_run_of_the_older_one() {
    let sessions = Registry::new();
    let old = sessions.connect(&1, "old").connection;
    let run = old.try_begin().unwrap();
    let new = sessions.connect(&1, "new").connection;
    assert_eq!(old.try_begin().unwrap_err(), TryBeginError::Disconnected);
    drop(old);
    assert!(!run.is_cancelled());
    assert_eq!(new.disconnect().cancelled, Some(run.id()));
}

#[test]
fn a_policy_lets_runs_survive_their_connection() {
    let sessions: Registry = Sessions::builder().on_disconnect(OnDisconnect::Keep).build();
    let connection = sessions.connect(&1, "a").connection;
    let run = connection.try_begin().unwrap();
    let end = connection.disconnect();
    assert_eq!((end.was_current, end.cancelled), (true, None));
    assert!(!run.is_cancelled());
}

#[test]
fn a_broadcast_holds_nothing_and_a_panic_costs_one_peer_its_message() {
    let sessions = Registry::new();
    let connections = ["a", "b", "c"].map(|name| sessions.connect(&(name.len() as u32), name).connection);
    assert_eq!(sessions.peers().len(), 1, "one key, three connections");
    drop(connections);
    let _connections: Vec<_> = (0..3).map(|key| sessions.connect(&key, "peer").connection).collect();
    let mut entered = 0;
    let result = sessions.broadcast(|key, _| {
        entered += 1;
        drop(sessions.connect(key, "displaces it"));
        assert_ne!(*key, 1, "a peer that fails");
    });
    assert_eq!((entered, result.delivered, result.panicked), (3, 2, 1));
    assert_eq!(sessions.peers(), []);
}
