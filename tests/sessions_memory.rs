//! The memory of a registry: sessions that have come and gone leave nothing behind.
//!
//! With 50,000 sessions; with a million: `cargo test --release --test sessions_memory -- --ignored`.
#![allow(clippy::unwrap_used, clippy::disallowed_types)] // A panic fails the test; a barrier ends its threads.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use switchboard::sessions::{ClearPolicy, Sessions};

const SOME: u64 = 50_000;
const MILLION: u64 = 1_000_000;

/// Maximum number of removed sessions that the map holds back, per thread that removes: it reclaims in batches of 32.
const HELD_BACK: usize = 32;

type Registry = Sessions<u64, Vec<u64>, u64>;

/// Connects, runs, writes, clears, writes again, and disconnects: the session has data, and is not blank.
fn use_session(sessions: &Registry, number: u64) {
    let connection = sessions.connect(&number, number).connection;
    let mut run = connection.try_begin().unwrap();
    assert!(run.start());
    run.update(|_| vec![number; 8]).unwrap();
    run.finish().unwrap();
    sessions.clear(&number, ClearPolicy::RefuseIfBusy).unwrap();
    let mut run = connection.try_begin().unwrap();
    run.update(|_| vec![number; 4]).unwrap();
}

/// Counts the allocations of `work`, after a registry has existed: this thread has its number in the collector then.
fn counted(work: impl FnOnce()) -> AllocationInfo {
    let first = Registry::new();
    use_session(&first, 0);
    drop(first);
    measure(work)
}

fn a_registry_that_is_dropped_leaves_nothing(len: u64) {
    let info = counted(|| {
        let sessions = Registry::new();
        (0..len).for_each(|number| use_session(&sessions, number));
        assert_eq!(sessions.len() as u64, len);
        // Some of them alive, some removed, some removed and created again.
        (0..len / 2).for_each(|number| assert!(sessions.remove(&number).unwrap().is_some()));
        (0..len / 4).for_each(|number| use_session(&sessions, number));
    });
    assert!(info.bytes_max > 100 * len, "the sessions were there: {info:?}");
    assert_eq!((info.count_current, info.bytes_current), (0, 0), "{info:?}");
}

#[test]
fn a_registry_that_is_dropped_leaves_nothing_behind() {
    a_registry_that_is_dropped_leaves_nothing(SOME);
}

#[test]
#[ignore = "a million sessions"]
fn a_registry_of_a_million_sessions_that_is_dropped_leaves_nothing_behind() {
    a_registry_that_is_dropped_leaves_nothing(MILLION);
}

/// Returns the most bytes in use while `len` sessions come and go, one at a time.
fn come_and_go(len: u64) -> u64 {
    let info = counted(|| {
        let sessions = Registry::new();
        for number in 0..len {
            use_session(&sessions, number);
            assert!(sessions.remove(&number).unwrap().is_some());
        }
        assert!(sessions.is_empty());
    });
    assert_eq!(info.bytes_current, 0, "{info:?}");
    info.bytes_max
}

fn memory_is_bounded_by_the_live_sessions(len: u64) {
    // Enough to fill the ring of blank sessions, which may hold removed ones for a while.
    let (few, many) = (come_and_go(5_000), come_and_go(len));
    assert!(many <= few + few / 4, "{few} bytes for a few thousand sessions, {many} for {len}");
}

#[test]
fn memory_is_bounded_by_the_sessions_that_live() {
    memory_is_bounded_by_the_live_sessions(SOME);
}

#[test]
#[ignore = "a million sessions"]
fn memory_of_a_million_sessions_is_bounded_by_those_that_live() {
    memory_is_bounded_by_the_live_sessions(MILLION);
}

/// Returns the most bytes in use while `len` sessions of this registry are used once, and never removed by hand.
fn bounded_by_itself(len: u64, max: usize, use_once: impl Fn(&Registry, u64)) -> u64 {
    let info = counted(|| {
        let sessions = Registry::builder().max_blank(max).max_idle(max).build();
        for number in 0..len {
            use_once(&sessions, number);
        }
        // An eighth more than the bound, at most.
        assert!(sessions.len() <= max + max / 8 + 1, "{} sessions", sessions.len());
        assert!(sessions.stats().evicted + max as u64 * 2 >= len, "{:?}", sessions.stats());
    });
    assert_eq!(info.bytes_current, 0, "{info:?}");
    info.bytes_max
}

fn a_registry_bounds_itself(len: u64) {
    let without_data = |sessions: &Registry, number: u64| drop(sessions.try_begin(&number).unwrap());
    for use_once in [without_data, use_session] {
        let bytes = bounded_by_itself(len, 1_000, use_once);
        assert!(bytes <= 1_024 * 1_024, "{bytes} bytes for a thousand sessions");
    }
}

#[test]
fn a_registry_with_bounds_needs_no_one_to_remove_sessions() {
    a_registry_bounds_itself(SOME);
}

#[test]
#[ignore = "a million sessions"]
fn a_registry_with_bounds_keeps_a_thousand_of_a_million_sessions() {
    a_registry_bounds_itself(MILLION);
}

fn a_pruned_registry_keeps_its_table(len: u64) {
    let sessions = Registry::new();
    let grown = counted(|| (0..len).for_each(|number| use_session(&sessions, number)));
    let pruned = measure(|| assert_eq!(sessions.prune(Duration::ZERO).len() as u64, len));
    let kept = grown.bytes_current + pruned.bytes_current;
    // The table has at most four places per session, of nine bytes each.
    assert!(grown.bytes_current >= 200 * len as i64, "{grown:?}");
    assert!(kept <= 40 * len as i64, "{kept} bytes are left of {}", grown.bytes_current);
    // It shrinks when sessions come and go: each removal leaves a mark in it, and a table full of marks is replaced by
    // one of half the size, step by step.
    let (mut left, mut used) = (kept, 0);
    while left > kept / 2 {
        assert!(used < 4 * len, "{left} bytes of {kept} after {used} sessions");
        let reused = measure(|| {
            for number in used..used + len / 4 {
                sessions.try_begin(&number).unwrap().update(|_| vec![number]).unwrap();
                assert!(sessions.remove(&number).unwrap().is_some());
            }
        });
        (left, used) = (left + reused.bytes_current, used + len / 4);
    }
}

#[test]
fn a_pruned_registry_keeps_only_its_table() {
    a_pruned_registry_keeps_its_table(SOME);
}

#[test]
#[ignore = "a million sessions"]
fn a_pruned_registry_of_a_million_sessions_keeps_only_its_table() {
    a_pruned_registry_keeps_its_table(MILLION);
}

/// A key that counts its instances.
struct Counted(u64, Arc<AtomicUsize>);

impl Counted {
    fn new(number: u64, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(number, alive.clone())
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(self.0, &self.1)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Counted {}

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn each_thread_that_removes_sessions_holds_back_a_batch_at_most() {
    const THREADS: u64 = 3;
    // One less than a number of whole batches: the worst case.
    const EACH: u64 = 32 * HELD_BACK as u64 - 1;
    let alive = Arc::new(AtomicUsize::new(0));
    let sessions: Sessions<Counted, Vec<u64>> = Sessions::new();
    let end = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (alive, sessions, end) = (&alive, &sessions, &end);
            scope.spawn(move || {
                for number in 0..EACH {
                    let key = Counted::new(number + thread * EACH, alive);
                    sessions.try_begin(&key).unwrap().update(|_| vec![1]).unwrap();
                    assert!(sessions.remove(&key).unwrap().is_some());
                }
                // The numbers of threads that have ended are used again.
                end.wait();
            });
        }
    });
    assert!(sessions.is_empty());
    let kept = alive.load(Ordering::Relaxed);
    // A session has its key twice: in the map, and for its runs.
    assert!(kept <= 2 * THREADS as usize * HELD_BACK, "{kept} keys are alive");
    drop(sessions);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}
