//! Snapshots, and properties of the types.

use super::*;

#[test]
fn a_snapshot_shows_the_phases() {
    let sessions = Registry::new();
    let run = sessions.try_begin(&1).unwrap();
    let phase = || {
        let all = sessions.snapshot();
        (all[0].phase, all[0].run)
    };
    let id = Some(run.id());
    assert_eq!(phase(), (Phase::Reserved, id));
    assert!(run.start());
    assert_eq!(phase(), (Phase::Running, id));
    let _ = sessions.cancel(&1);
    assert_eq!(phase(), (Phase::Cancelling, id));
    drop(run);
    assert_eq!(phase(), (Phase::Idle, None));
}

#[test]
fn guards_and_futures_are_send() {
    fn check<T: Send>(_: &T) {}
    let sessions = Registry::new();
    let connection = sessions.connect(&1, "a").connection;
    let run = connection.try_begin().unwrap();
    let key = 1;
    check(&sessions.begin_async(&key));
    check(&sessions.clear_async(&key, ClearPolicy::RefuseIfBusy));
    check(&run.cancelled());
    check(&(&run, &sessions, &connection));
    check(&sessions);
}

#[test]
fn guards_are_shown_whatever_they_hold() {
    #[derive(Default)]
    struct Opaque;

    let sessions: Sessions<u32, Opaque, Opaque> = Sessions::new();
    let connected = sessions.connect(&1, Opaque);
    let run = connected.connection.try_begin().unwrap();
    let shown = format!("{connected:?} {run:?}");
    assert!(shown.starts_with("Connected { connection: Connection") && shown.contains("Run {"), "{shown}");
}

/// Registries hold millions of them.
#[test]
fn a_session_is_small() {
    assert!(
        size_of::<session::Session<u64, u64, ()>>() <= 256,
        "{}",
        size_of::<session::Session<u64, u64, ()>>()
    );
}
