//! Reports under loom and shuttle: collectors, updates, and the end of the collecting thread.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::time::Duration;

use super::board::Board;
use super::ticker::Ticker;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::model::{model, model_each, spawn};
use crate::table::handle::Table;

/// Allows only the ticks that are asked for: a deadline of a model passes at once, and would hide a lost
/// wake-up.
const NEVER: Duration = Duration::MAX;

type Links = Table<u64, u64>;

/// A report: its version, its part of the state, and a counter.
const WORDS: usize = 3;

/// The sources of a report. Never zero.
fn mark(version: u64, counter: &AtomicU64) -> u64 {
    // Relaxed: a counter.
    1 + version * 16 + counter.load(Ordering::Relaxed)
}

/// Computes a report from one snapshot and publishes it if anything has changed, as `Metrics::collect` does.
fn collect(links: &Links, counter: &AtomicU64, board: &Board<WORDS>) {
    if board.is_of(|| mark(links.version().as_u64(), counter)) {
        return;
    }
    let snapshot = links.snapshot();
    let version = snapshot.version().as_u64();
    let mut words = [version, snapshot.get(&0).copied().unwrap_or(0), 0];
    board.publish(version, &mut words, |words| {
        let mark = mark(version, counter);
        // Relaxed: a counter.
        words[2] = counter.load(Ordering::Relaxed);
        mark
    });
}

/// Reads the newest report, which belongs to one version and is no older than the previous one.
fn check(board: &Board<WORDS>, before: [u64; WORDS]) -> [u64; WORDS] {
    let report = board.read();
    assert_eq!(report[0], report[1], "a report of two versions");
    assert!(report[0] >= before[0], "the version went back");
    assert!(report[2] >= before[2], "a counter went back");
    report
}

/// A thread that collects, two updates, a reader, and a stop at any time.
#[test]
fn a_collector_two_updates_and_a_stop() {
    model_each(|| {
        let (mut writer, links) = Links::new();
        let counter = Arc::new(AtomicU64::new(0));
        let board = Arc::new(Board::new());
        let (seen, counted, reported) = (links.clone(), counter.clone(), board.clone());
        let ticker = Ticker::start(String::from("collector"), NEVER, move || {
            collect(&seen, &counted, &reported);
        });
        let ticker = ticker.unwrap();
        ticker.tick();
        let updates = spawn(move || {
            for version in 1..=2 {
                writer.insert(0, version);
                writer.publish();
                // Relaxed: a counter.
                counter.fetch_add(1, Ordering::Relaxed);
            }
            writer
        });
        let report = check(&board, [0; WORDS]);
        ticker.stop();
        check(&board, report);
        drop(updates.join().unwrap());
    });
}

/// Two threads collect concurrently, each from its own snapshot: regardless of which is slower, no reader
/// goes back.
#[test]
fn a_slower_collector_does_not_overwrite_a_newer_report() {
    model_each(|| {
        let (mut writer, links) = Links::new();
        let counter = Arc::new(AtomicU64::new(0));
        let board = Arc::new(Board::new());
        let slower = {
            let (links, counter, board) = (links.clone(), counter.clone(), board.clone());
            spawn(move || collect(&links, &counter, &board))
        };
        writer.insert(0, 1);
        writer.publish();
        // Relaxed: a counter.
        counter.fetch_add(1, Ordering::Relaxed);
        collect(&links, &counter, &board);
        let mine = check(&board, [0; WORDS]);
        assert_eq!(mine[0], 1, "this thread's report was published");
        slower.join().unwrap();
        check(&board, mine);
    });
}

/// A thread that learns from the mark that the newest report is current reads that report.
#[test]
fn what_needs_no_report_has_one() {
    model_each(|| {
        let (mut writer, links) = Links::new();
        let counter = Arc::new(AtomicU64::new(0));
        let board = Arc::new(Board::new());
        let other = {
            let (links, counter, board) = (links.clone(), counter.clone(), board.clone());
            spawn(move || collect(&links, &counter, &board))
        };
        writer.insert(0, 1);
        let version = writer.publish().as_u64();
        // Relaxed: a counter.
        counter.fetch_add(1, Ordering::Relaxed);
        if board.is_of(|| mark(version, &counter)) {
            assert_eq!(board.read(), [1, 1, 1], "not the report that was promised");
        }
        collect(&links, &counter, &board);
        assert_eq!(board.read(), [1, 1, 1], "not the current state");
        other.join().unwrap();
    });
}

/// A mark is a sum, and equal sums have equal terms: a thread that has counted an event and learns that the
/// newest report is current finds the event in it, although other threads count elsewhere meanwhile.
#[test]
fn equal_marks_are_of_equal_counters() {
    /// Both counters, and their sum.
    fn read(counters: &[AtomicU64; 2]) -> (u64, [u64; 2]) {
        // Relaxed: counters.
        let words = [0, 1].map(|index: usize| counters[index].load(Ordering::Relaxed));
        (words.iter().sum(), words)
    }

    model(|| {
        let counters = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let board = Arc::new(Board::<2>::new());
        let counting = counters.clone();
        // Relaxed: a counter.
        let count = spawn(move || counting[0].fetch_add(1, Ordering::Relaxed));
        let (counted, reported) = (counters.clone(), board.clone());
        let collector = spawn(move || {
            reported.publish(0, &mut [0; 2], |words| {
                let mark = read(&counted).0;
                *words = read(&counted).1;
                mark
            })
        });
        // Relaxed: a counter.
        counters[1].fetch_add(1, Ordering::Relaxed);
        if board.is_of(|| read(&counters).0) {
            assert_eq!(board.read()[1], 1, "not in the report that was promised");
        }
        count.join().unwrap();
        assert!(collector.join().unwrap());
    });
}

/// A thread that sees the mark of a report reads that report or a later one.
#[test]
fn the_mark_comes_after_its_report() {
    model(|| {
        let board = Arc::new(Board::<1>::new());
        let other = board.clone();
        let thread = spawn(move || assert!(other.publish(1, &mut [7], |_| 1)));
        if board.is_of(|| 1) {
            assert_eq!(board.number(), 1, "not the number of the report that was promised");
            assert_eq!(board.read(), [7], "not the report that was promised");
        }
        thread.join().unwrap();
    });
}

/// A read returns one report, regardless of how many are published meanwhile.
#[test]
fn a_reader_sees_whole_reports_in_order() {
    model(|| {
        let board = Arc::new(Board::<2>::new());
        let other = board.clone();
        let reader = spawn(move || {
            let mut before = [0; 2];
            for _ in 0..2 {
                let newest = other.number();
                let (number, report) = other.read_first::<2>();
                assert!(number >= newest, "the report read is older than the one published");
                assert_eq!(report[0], report[1], "a torn report");
                assert!(report[0] >= before[0], "the report went back");
                before = report;
            }
        });
        for version in 1..=3 {
            assert!(board.publish(version, &mut [version; 2], |_| version));
        }
        reader.join().unwrap();
        assert_eq!(board.read(), [3; 2]);
    });
}

/// A request to tick is handled whenever it arrives.
#[test]
fn a_tick_that_was_asked_for_happens() {
    model(|| {
        let (completion, ticket) = crate::ticket::ticket::<()>();
        let mut completion = Some(completion);
        let ticker = Ticker::start(String::from("ticker"), NEVER, move || {
            if let Some(completion) = completion.take() {
                let _ = completion.complete(());
            }
        });
        let ticker = ticker.unwrap();
        ticker.tick();
        assert_eq!(ticket.wait(), Ok(()));
        ticker.stop();
    });
}

/// The thread ends and no caller waits forever, regardless of how many stop it and when.
#[test]
fn a_ticker_ends_however_it_is_stopped() {
    model(|| {
        let ticker = Ticker::start(String::from("ticker"), NEVER, || {});
        let ticker = Arc::new(ticker.unwrap());
        let other = ticker.clone();
        let stopper = spawn(move || other.stop());
        ticker.tick();
        ticker.stop();
        ticker.stop();
        stopper.join().unwrap();
    });
}

/// A tick that is due when the thread is told to stop does not happen.
///
/// Only under loom: there a thread is not interrupted between releasing a lock and its next action, so the
/// decision to tick and the tick are one step.
#[cfg(switchboard_loom)]
#[test]
fn a_ticker_that_was_told_to_stop_does_not_tick() {
    use crate::sync::StdArc;

    model(|| {
        // Loom does not see its reference count, which orders nothing.
        let running = StdArc::new(());
        let seen = running.clone();
        let ticker = Ticker::start(String::from("ticker"), Duration::from_millis(1), move || {
            assert_eq!(StdArc::strong_count(&seen), 2, "a tick after the stop");
        });
        let ticker = ticker.unwrap();
        ticker.ask_to_stop();
        drop(running);
        ticker.stop();
    });
}
