//! One app's storm, and the others.

use super::*;
use crate::cleanup::breaker::Phase;
use crate::cleanup::pipeline::run::Landing;
use crate::cleanup::worker::BRIEF;

fn one_worker(capacity: usize) -> Config {
    Config { workers: Workers::Fixed(NonZeroUsize::MIN), capacity, batch_max: 1, ..config() }
}

fn worker_of(rig: &Rig, id: ConnectionId) -> usize {
    let source = rig.cleanup.shared.slots.source(id).unwrap();
    rig.cleanup.shared.sender.route(source.app).worker
}

#[test]
fn r17a_r16_the_breaker_of_one_queue_stops_no_other() {
    let workers = Workers::Fixed(NonZeroUsize::new(2).unwrap());
    let mut rig = Rig::new(Config { workers, breaker_failures: 2, ..one_worker(1) });
    let ids: Vec<_> = (0..32).map(|app| rig.open(peer(app, &[1]))).collect();
    let (home, other): (Vec<ConnectionId>, Vec<_>) = ids.iter().partition(|id| worker_of(&rig, **id) == 0);
    assert!(home.len() > 3 && !other.is_empty(), "32 apps, and two workers");
    let closed: Vec<_> = home.iter().map(|id| rig.cleanup.close(*id, Cause::Lost)).collect();
    assert_eq!(closed[0], Closed::Queued);
    assert!(closed[1..].iter().all(|closed| *closed != Closed::Queued), "{closed:?}");
    assert_eq!(rig.cleanup.stats().breaker, Phase::Open);
    assert_eq!(rig.cleanup.close(other[0], Cause::Lost), Closed::Queued);
    assert_eq!(rig.cleanup.stats().breaker_opens, 1);
}

#[test]
fn r17a_a_storm_of_one_app_leaves_room_in_the_queue() {
    let mut rig = Rig::new(Config { overflow: Overflow::Defer, breaker_failures: 2, ..one_worker(64) });
    let storm: Vec<_> = (0..66).map(|_| rig.open(peer(1, &[1]))).collect();
    let quiet = rig.open(peer(2, &[1]));
    let closed: Vec<_> = storm.iter().map(|id| rig.cleanup.close(*id, Cause::Lost)).collect();
    assert_eq!(closed.iter().filter(|closed| **closed == Closed::Queued).count(), 63);
    assert_eq!(closed.iter().filter(|closed| **closed == Closed::Deferred).count(), 3);
    assert_eq!(rig.cleanup.close(quiet, Cause::Lost), Closed::Queued);
    assert_eq!(rig.cleanup.stats().breaker, Phase::Closed, "the queue has refused one app, and is not full");
    rig.run();
    rig.clock.advance(Duration::from_secs(9));
    rig.cleanup.sweep();
    rig.run();
    rig.check_empty();
}

#[test]
fn r17a_the_cost_of_a_connection_follows_its_subscriptions() {
    let mut rig = Rig::new(config());
    let id = rig.open(peer(1, &[]));
    let cost = |rig: &Rig| rig.cleanup.shared.slots.source(id).unwrap().cost;
    assert_eq!(cost(&rig), 1);
    assert!(rig.update(id, |peer| peer.channels.extend([1, 2, 3])));
    assert_eq!(cost(&rig), 4);
    rig.cleanup.close(id, Cause::Lost);
    rig.run();
    let next = rig.open(peer(1, &[7]));
    assert!(!rig.update(id, |peer| peer.channels.extend([1, 2, 3])), "the slot is that of another one");
    assert_eq!(rig.cleanup.shared.slots.source(next).unwrap().cost, 2);
}

#[test]
fn r17d_what_is_left_to_the_sweep_is_pressure() {
    let mut rig = Rig::new(Config { overflow: Overflow::Defer, ..one_worker(4) });
    let ids: Vec<_> = (0..2).map(|_| rig.open(peer(1, &[1]))).collect();
    rig.cleanup.close_worker(0);
    ids.iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Deferred));
    assert!((rig.cleanup.pressure() - 0.5).abs() < 1e-9);
    rig.clock.advance(Duration::from_secs(9));
    rig.cleanup.sweep();
    rig.run();
    assert!(rig.cleanup.pressure() < 1e-9);
}

#[test]
fn r8_a_worker_whose_writer_is_gone_takes_no_more() {
    let mut rig = Rig::new(one_worker(4));
    let ids: Vec<_> = (0..2).map(|_| rig.open(peer(1, &[1]))).collect();
    let Rig { cleanup, driver, .. } = rig;
    drop(driver);
    assert_eq!(cleanup.close(ids[0], Cause::Lost), Closed::Queued);
    assert_eq!(cleanup.run_batch(0), Progress::Ended);
    assert_eq!(cleanup.close(ids[1], Cause::Lost), Closed::Deferred);
    assert!(cleanup.stats().adds_up());
}

#[test]
fn r17c_batches_are_brief_while_connections_are_opened() {
    let mut rig = Rig::new(Config { batch_max: 20, ..one_worker(200) });
    let ids: Vec<_> = (0..150).map(|_| rig.open(peer(1, &[1]))).collect();
    let close = |rig: &Rig, ids: &[ConnectionId]| {
        ids.iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    };
    close(&rig, &ids[..5]);
    for number in [BRIEF, BRIEF, 1] {
        assert_eq!(rig.cleanup.run_batch(0), Progress::Cleaned(number));
        rig.turn();
    }
    rig.calm();
    close(&rig, &ids[5..100]);
    assert_eq!(rig.cleanup.run_batch(0), Progress::Cleaned(20), "no one waits for the writer");
    rig.turn();
    assert!(rig.update(ids[149], |peer| peer.channels.extend([2])));
    assert_eq!(rig.cleanup.run_batch(0), Progress::Cleaned(BRIEF), "someone does");
    close(&rig, &ids[100..]);
    rig.run();
    rig.check_empty();
}

/// Sweeps remove in parts, for which others do not wait long.
#[test]
fn r17c_one_call_of_a_sweep_hands_over_so_much_and_the_next_one_goes_on() {
    let mut rig = Rig::new(Config { batch_max: 2, capacity: 2, overflow: Overflow::Defer, ..one_worker(2) });
    let ids: Vec<_> = (0..100).map(|_| rig.open(peer(1, &[1]))).collect();
    rig.cleanup.close_worker(0);
    ids.iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Deferred));
    rig.clock.advance(Duration::from_secs(9));
    let swept: Vec<_> = (0..5).map(|_| rig.cleanup.sweep()).collect();
    assert_eq!(swept, [32, 32, 32, 4, 0]);
    rig.run();
    rig.check_empty();
}

/// A connection that is opened waits for few batches.
#[test]
fn r17c_the_writer_has_few_batches_of_a_worker() {
    let mut rig = Rig::new(Config { batch_max: 1, ..one_worker(9) });
    let ids: Vec<_> = (0..5).map(|_| rig.open(peer(1, &[1]))).collect();
    ids.iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    let (cleaned, waiting) = (Progress::Cleaned(1), Progress::Waiting);
    let steps = |rig: &Rig| [(); 4].map(|()| rig.cleanup.run_batch(0));
    assert_eq!(steps(&rig), [cleaned, waiting, waiting, waiting], "connections are being opened");
    rig.turn();
    assert_eq!(rig.cleanup.run_batch(0), cleaned);
    rig.run();
    let ids: Vec<_> = (0..5).map(|_| rig.open(peer(1, &[1]))).collect();
    rig.calm();
    ids.iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    assert_eq!(steps(&rig), [cleaned, cleaned, waiting, waiting]);
    rig.run();
    rig.check_empty();
}

/// Without the thread of the worker, which would first have to be woken.
#[test]
fn r17c_the_writer_sends_itself_the_next_batch_of_a_thread() {
    let mut rig = Rig::new(Config { batch_max: 1, ..one_worker(9) });
    let ids: Vec<_> = (0..5).map(|_| rig.open(peer(1, &[1]))).collect();
    ids.iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    assert_eq!(Shared::run_batch(&rig.cleanup.shared, 0, Landing::Chain), Progress::Cleaned(1));
    let opening = rig.cleanup.open(peer(2, &[2]), None, Counted(rig.ended.clone())).unwrap();
    let left = |rig: &Rig| rig.table.snapshot().len();
    let _ = rig.driver.turn();
    assert_eq!(left(&rig), 6, "what is opened comes first");
    drop(opening);
    let turns: Vec<_> = (0..3).map(|_| (rig.driver.turn(), left(&rig)).1).collect();
    assert_eq!(turns, [5, 4, 3], "one batch per turn");
    rig.run();
    rig.check_empty();
}

/// Nor does it go through all that a sweep has left.
#[test]
fn r17c_a_chain_of_batches_ends_where_nothing_is_left_of_one() {
    let mut rig = Rig::new(Config { batch_max: 1, ..one_worker(9) });
    let ids: Vec<_> = (0..5).map(|_| rig.open(peer(1, &[1]))).collect();
    ids.iter().for_each(|id| assert_eq!(rig.cleanup.close(*id, Cause::Lost), Closed::Queued));
    rig.clock.advance(Duration::from_secs(60));
    assert_eq!(rig.cleanup.sweep(), 5);
    let depth = |rig: &Rig| rig.cleanup.shared.sender.workers()[0].depth().len;
    assert_eq!(Shared::run_batch(&rig.cleanup.shared, 0, Landing::Chain), Progress::Cleaned(0));
    assert_eq!(depth(&rig), 4, "the thread goes on, and not one step within the other");
    rig.run();
    rig.check_empty();
}
