//! Figures, settings that change, lists of what has ended.

use super::*;
use crate::cleanup::{BreakerPhase, Rate};

#[test]
fn r21_the_figures_tell_what_has_happened() {
    let mut rig = Rig::new(Config { event_delay: Duration::from_secs(3), ..config() });
    let ids = [(); 3].map(|()| rig.open(peer(1, &[1])));
    rig.run();
    assert_eq!((rig.cleanup.stats().open, rig.cleanup.stats().opened), (3, 3));
    rig.cleanup.close(ids[0], Cause::Lost);
    rig.cleanup.close(ids[0], Cause::Lost);
    let stats = rig.cleanup.stats();
    assert_eq!((stats.open, stats.queued, stats.already_closing), (2, 1, 1));
    let worker = rig.cleanup.worker_stats()[0];
    assert_eq!((worker.len, worker.peak, worker.is_open, worker.is_congested), (1, 1, true, false));
    rig.clock.advance(Duration::from_millis(5));
    assert_eq!(rig.cleanup.worker_stats()[0].oldest, Duration::from_millis(5));
    rig.run();
    ids[1..].iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    rig.run();
    let stats = rig.cleanup.stats();
    assert_eq!((stats.events_occupied, stats.events_vacated, stats.events_pending), (1, 0, 1));
    rig.clock.advance(Duration::from_secs(3));
    rig.run();
    let stats = rig.cleanup.stats();
    assert_eq!((stats.events_vacated, stats.events_delivered, stats.events_waiting), (1, 2, 0));
    assert_eq!((stats.batch_sizes.count(), stats.batch_sizes.sum, stats.batch_sizes.max), (2, 3, 2));
    assert_eq!((stats.removal_us.count(), stats.removal_us.max), (3, 5000));
    assert_eq!((stats.delivery_us.count(), stats.breaker), (2, BreakerPhase::Closed));
    let recent = rig.cleanup.recent();
    assert_eq!((recent.len(), recent[2].id, recent[2].cause), (3, ids[0], Cause::Lost));
    assert_eq!(recent[2].latency, Duration::from_millis(5));
    rig.check_empty();
}

#[cfg(feature = "manager")]
#[test]
fn r21_the_page_shows_them() {
    let mut rig = Rig::new(config());
    let id = rig.open(peer(1, &[1]));
    rig.cleanup.close(id, Cause::Killed);
    rig.run();
    let page = crate::metrics::Page::new().add_cleanup("ws", &rig.cleanup).to_string();
    for line in [
        "# TYPE switchboard_cleanup_done counter",
        "switchboard_cleanup_done_total{pipeline=\"ws\"} 1",
        "switchboard_cleanup_open{pipeline=\"ws\"} 0",
        "switchboard_cleanup_pressure{pipeline=\"ws\"} 0",
        "switchboard_cleanup_queue_len_peak{pipeline=\"ws\",worker=\"0\"} 1",
        "switchboard_cleanup_batch_size_bucket{pipeline=\"ws\",le=\"1\"} 1",
        "switchboard_cleanup_batch_size_bucket{pipeline=\"ws\",le=\"+Inf\"} 1",
        "switchboard_cleanup_batch_size_count{pipeline=\"ws\"} 1",
    ] {
        let line = line.replace("_done counter", "_done_total counter");
        assert!(page.contains(&line), "{line}\n{page}");
    }
    assert!(!page.contains("switchboard_links"), "a page of pipelines only");
}

#[test]
fn r22_settings_change_while_the_pipeline_runs() {
    let mut rig = Rig::new(config());
    let ids: Vec<_> = (0..6).map(|_| rig.open(peer(1, &[1]))).collect();
    ids.iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    let mut tuning = rig.cleanup.tuning();
    assert_eq!(tuning, rig.cleanup.config().tuning());
    tuning.batch_max = 0;
    assert_eq!(rig.cleanup.tune(tuning).unwrap_err().problems(), [crate::cleanup::Problem::BatchMaxZero]);
    (tuning.batch_max, tuning.linger) = (2, Duration::from_secs(60));
    let one = std::num::NonZeroU32::MIN;
    tuning.app_rate = Some(Rate { per_second: one, burst: one });
    rig.cleanup.tune(tuning).unwrap();
    assert_eq!(rig.cleanup.tuning(), tuning);
    assert_eq!(rig.cleanup.run_batch(0), Progress::Cleaned(2));
    rig.run();
    let ids: Vec<_> = (0..3).map(|_| rig.open(peer(1, &[1]))).collect();
    ids.iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    assert_eq!(rig.cleanup.limited(), (2, 0), "beyond the new rate");
    rig.clock.advance(Duration::from_secs(60));
    rig.run();
    rig.check_empty();
}

/// R8: all connections of an app go to one worker, and those of a closed worker to another one.
#[test]
fn r8_n10_the_apps_of_a_closed_worker_move() {
    let workers = Workers::Fixed(NonZeroUsize::new(4).unwrap());
    let mut rig = Rig::new(Config { workers, ..config() });
    let ids: Vec<_> = (0..12).map(|_| rig.open(peer(1, &[1]))).collect();
    rig.calm();
    ids[..4].iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    let lens: Vec<_> = rig.cleanup.worker_stats().iter().map(|worker| worker.len).collect();
    let home = lens.iter().position(|len| *len == 4).unwrap();
    rig.cleanup.close_worker(home);
    ids[4..8].iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    let stats = rig.cleanup.worker_stats();
    assert!(stats.iter().enumerate().any(|(worker, stats)| worker != home && stats.len == 4), "{stats:?}");
    assert_eq!((rig.cleanup.stats().rerouted, stats[home].is_open), (4, false));
    assert_eq!(rig.cleanup.run_batch(home), Progress::Cleaned(4), "what it has is not lost");
    assert_eq!(rig.cleanup.run_batch(home), Progress::Waiting, "it may come back");
    rig.turn();
    assert_eq!(rig.cleanup.run_batch(home), Progress::Ended);
    (0..4).for_each(|worker| rig.cleanup.close_worker(worker));
    assert_eq!(rig.cleanup.try_close(ids[8], Cause::Lost), Closed::NoWorkers);
    ids[8..].iter().for_each(|id| assert!(!rig.cleanup.close(*id, Cause::Lost).is_refused()));
    rig.run();
    rig.clock.advance(Duration::from_secs(9));
    rig.cleanup.sweep();
    rig.run();
    rig.check_empty();
}

#[test]
fn p1_a_purge_is_interrupted_and_goes_on() {
    let mut rig = Rig::new(config());
    let ids: Vec<_> = (0..10).map(|number| rig.open(peer(number % 2, &[1]))).collect();
    rig.cleanup.close(ids[0], Cause::Lost);
    let of_app = |_: ConnectionId, peer: &Peer| peer.app.0 == 0;
    let purged = [3, 3, 3].map(|max| rig.cleanup.purge(Cause::Killed, max, of_app));
    assert_eq!(purged, [3, 1, 0], "one was closed before");
    rig.run();
    assert_eq!(rig.cleanup.stats().open, 5);
    rig.cleanup.purge(Cause::Killed, usize::MAX, |_, _| true);
    rig.run();
    rig.check_empty();
}

/// R17c: a loop that has other work gives the batches a limited time.
#[test]
fn r17c_a_budget_ends_the_work() {
    #[derive(Clone, Debug)]
    struct Ticks(ManualClock);
    impl Clock for Ticks {
        fn now(&self) -> Instant {
            self.0.advance(Duration::from_millis(1));
            self.0.now()
        }
    }
    let (table, _) = Cleanup::<Peer, Counted>::table_builder().build();
    let (writer, mut driver) = SharedWriter::new(table, shared::Config::new());
    let seen: Seen = StdArc::new(Mutex::new(&TEST_AUXILIARY, Vec::new()));
    let cleanup = Cleanup::<Peer, Counted>::builder()
        .config(Config { batch_max: 1, ..config() })
        .clock(Ticks(ManualClock::new()))
        .build(writer, Recorder(seen))
        .unwrap();
    let ended = StdArc::new(AtomicU64::new(0));
    let opening: Vec<_> =
        (0..50).map(|_| cleanup.open(peer(1, &[]), None, Counted(ended.clone())).unwrap()).collect();
    while driver.turn() == shared::Turn::More {}
    for ticket in opening {
        assert_eq!(ticket.wait().unwrap().close(Cause::Lost), Closed::Queued);
    }
    assert!(cleanup.run_for(Duration::from_millis(10)), "there is more to do");
    let left = cleanup.worker_stats()[0].len;
    assert!((40..50).contains(&left), "{left}");
    while cleanup.run_for(Duration::from_secs(9)) {
        while driver.turn() == shared::Turn::More {}
    }
    assert_eq!(cleanup.stats().done, 50);
}
