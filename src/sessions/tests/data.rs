//! The data of sessions: how it is created, updated and dropped.

use super::*;

#[test]
fn an_update_replaces_the_data_and_a_panic_in_it_does_not() {
    let sessions = Registry::new();
    let mut run = sessions.try_begin(&1).unwrap();
    let before = sessions.read(&1).unwrap();
    push(&mut run, 7).unwrap();
    assert!(before.is_empty());
    assert!(panics(|| run.update(|_| panic!("in the update"))));
    assert_eq!(*run.read().unwrap(), [7]);
    assert_eq!(sessions.snapshot()[0].version, 1);
    drop(run);
    assert_eq!(*sessions.read(&1).unwrap(), [7]);
    assert_eq!(sessions.read(&2), None);
}

#[test]
fn an_update_may_call_the_registry() {
    let sessions = Registry::new();
    let mut run = sessions.try_begin(&1).unwrap();
    let mut was_entered = false;
    let inner = sessions.clone();
    run.update(|data| {
        was_entered = true;
        assert!(inner.try_begin(&1).is_err());
        assert_eq!(inner.read(&1).as_deref(), Some(data));
        assert!(inner.clear(&1, ClearPolicy::RefuseIfBusy).is_err());
        assert!(matches!(inner.cancel(&1), Cancel::Requested(_)));
        vec![1]
    })
    .unwrap();
    assert!(was_entered);
}

#[test]
fn new_data_that_panics_changes_nothing() {
    let is_broken = StdArc::new(AtomicUsize::new(1));
    let flag = is_broken.clone();
    let builder = Sessions::builder().init(move |key: &u32| {
        assert!(flag.load(Ordering::SeqCst) == 0, "no data for {key}");
        vec![*key]
    });
    let sessions: Registry = builder.build();
    assert!(panics(|| sessions.try_begin(&1)));
    assert!(sessions.is_empty());
    is_broken.store(0, Ordering::SeqCst);
    push(&mut sessions.try_begin(&1).unwrap(), 7).unwrap();
    is_broken.store(1, Ordering::SeqCst);
    assert!(panics(|| sessions.clear(&1, ClearPolicy::CancelAndDetach)));
    let run = sessions.try_begin(&1).unwrap();
    assert_eq!((run.epoch(), run.read()), (0, Ok(StdArc::new(vec![1, 7]))));
}

/// The data is dropped after everything else, so a panic of it is only reported.
#[test]
fn a_destructor_that_panics_leaves_the_registry_whole() {
    #[derive(Default)]
    struct Bomb(bool);

    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "a destructor that panics");
        }
    }

    let sessions: Sessions<u32, Bomb> = Sessions::new();
    let arm = |sessions: &Sessions<u32, Bomb>| {
        sessions.try_begin(&1).unwrap().update(|_| Bomb(true)).map(drop).unwrap();
    };
    arm(&sessions);
    assert!(panics(|| sessions.clear(&1, ClearPolicy::RefuseIfBusy)));
    assert_eq!(sessions.try_begin(&1).unwrap().epoch(), 1);
    arm(&sessions);
    assert!(panics(|| sessions.try_begin(&1).unwrap().update(|_| Bomb(false)).map(drop)));
    assert!(sessions.try_begin(&1).is_ok_and(|run| run.read().is_ok_and(|data| !data.0)));
    arm(&sessions);
    assert!(panics(|| drop(sessions.remove(&1))));
    assert!(sessions.is_empty() && sessions.try_begin(&1).is_ok());
}
