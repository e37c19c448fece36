//! Thousands of clients vanish together, while others connect: the cleanup pipeline against removal one by one.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use self::rivals::{Held, Locked, Ours, Sharded};
use super::Settings;
use crate::measure::{histogram, interleave, median, ns_since};
use crate::report::{CONTROL, OURS, Report, Section};

mod rivals;

/// Numbers of connections that are cut.
const SIZES: [u64; 2] = [3_000, 30_000];
/// Channels that a connection is in.
const EACH: usize = 5;
/// Channels of the connections that are cut. Those that connect meanwhile have others.
const CHANNELS: u64 = 1_000;
/// Interval between two new connections.
const PACE: Duration = Duration::from_micros(200);
/// Time for which connections are opened with nothing else going on.
const IDLE: Duration = Duration::from_millis(200);

type Channels = [u32; EACH];

/// The table of a server: connections, and the members of each channel.
trait Server: Sync {
    type Connection: Send + Sync + Copy;

    /// Opens a connection. It is visible when this returns.
    fn open(&self, number: u64, channels: Channels) -> Self::Connection;

    /// Opens many connections, before the measurement.
    fn open_all(&self, connections: Vec<(u64, Channels)>) -> Vec<Self::Connection> {
        connections.into_iter().map(|(number, channels)| self.open(number, channels)).collect()
    }

    /// Closes connections, on one thread. They may be cleaned later.
    fn close(&self, connections: &[Self::Connection]);

    /// Blocks until all that were closed are cleaned, and their events delivered. Called by the thread that has closed them.
    fn settle(&self);

    /// Returns the number of connections and of channels that have members.
    fn len(&self) -> (u64, u64);

    /// Returns the number of channels that were vacated so far.
    fn vacated(&self) -> u64;
}

/// The figures of one storm.
struct Figures {
    clean: Duration,
    idle: Opened,
    storm: Opened,
}

/// Connections that were opened at a steady pace.
struct Opened {
    latency: Histogram<u64>,
    /// Part of those that were due.
    rate: f64,
}

fn channels(number: u64, first: u64, count: u64) -> Channels {
    std::array::from_fn(|at| {
        let channel = first + (number.wrapping_mul(0x9E37_79B9) / 7 + at as u64 * 211) % count;
        u32::try_from(channel).expect("there are few channels")
    })
}

/// Opens a connection every [`PACE`] until `is_over`. One that is late because of an earlier one has waited since it was
/// due.
fn open_steadily<S: Server>(
    server: &S,
    opened: &AtomicU64,
    is_over: impl Fn(Instant) -> bool,
) -> (Vec<S::Connection>, Opened) {
    let (begin, mut latency, mut connections) = (Instant::now(), histogram(), Vec::new());
    loop {
        let due = begin + PACE * u32::try_from(connections.len()).expect("it is over before");
        let mut start = due;
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            thread::sleep(wait);
            start = Instant::now();
        }
        if is_over(start) {
            let due = begin.elapsed().as_secs_f64() / PACE.as_secs_f64();
            let rate = (connections.len() as f64 / due.max(1.0)).min(1.0);
            return (connections, Opened { latency, rate });
        }
        let number = (1 << 40) + opened.fetch_add(1, Ordering::Relaxed);
        connections.push(server.open(number, channels(number, CHANNELS, CHANNELS)));
        latency.saturating_record(ns_since(start));
    }
}

/// The fate of the connections while others are opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    /// All are closed.
    Cut,
    /// Nothing. Instead, two threads compute, as those that close and clean would: the rest is due to the machine.
    Busy,
}

/// Time that a closed connection takes: of the thread that closes it, and of the one that cleans it.
const BUSY: [Duration; 2] = [Duration::from_nanos(500), Duration::from_micros(6)];

fn compute(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

fn be_busy(connections: u32) {
    thread::scope(|scope| {
        scope.spawn(|| compute(BUSY[1] * connections));
        compute(BUSY[0] * connections);
    });
}

/// Opens `number` connections, cuts all of them at once, and opens others meanwhile.
fn storm<S: Server>(server: &S, number: u64, event: Event) -> Figures {
    let opened = AtomicU64::new(0);
    let all = (0..number).map(|number| (number, channels(number, 0, CHANNELS))).collect();
    let connections = server.open_all(all);
    let (before, filled) = (server.vacated(), server.len().1);
    let end = Instant::now() + IDLE;
    let (mut others, idle) = open_steadily(server, &opened, |now| now >= end);
    let (is_over, start) = (AtomicBool::new(false), Barrier::new(2));
    let (clean, storm) = thread::scope(|scope| {
        let opener = scope.spawn(|| {
            start.wait();
            open_steadily(server, &opened, |_| is_over.load(Ordering::Relaxed))
        });
        start.wait();
        let begin = Instant::now();
        match event {
            Event::Cut => {
                server.close(&connections);
                server.settle();
            }
            Event::Busy => be_busy(number as u32),
        }
        let clean = begin.elapsed();
        is_over.store(true, Ordering::Relaxed);
        let (more, storm) = opener.join().expect("an opener does not panic");
        others.extend(more);
        (clean, storm)
    });
    if event == Event::Busy {
        server.close(&connections);
        server.settle();
    }
    assert_eq!(server.len().0, others.len() as u64, "all that were cut are gone, and no others");
    server.close(&others);
    server.settle();
    assert_eq!(server.len(), (0, 0), "nothing is left");
    assert!(server.vacated() - before >= filled, "each channel was vacated");
    Figures { clean, idle, storm }
}

/// The figures of one side with one size, of all rounds: the medians and 95th percentiles, and the rates.
#[derive(Default)]
struct Side {
    idle: [Vec<f64>; 2],
    storm: [Vec<f64>; 2],
    rates: Vec<f64>,
}

const QUANTILES: [(&str, f64); 2] = [("p50", 0.5), ("p95", 0.95)];

fn us(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

fn run<S: Server>(server: &S, number: u64, event: Event, side: &mut Side) -> f64 {
    let figures = storm(server, number, event);
    for (at, (_, quantile)) in QUANTILES.into_iter().enumerate() {
        side.idle[at].push(us(&figures.idle.latency, quantile));
        side.storm[at].push(us(&figures.storm.latency, quantile));
    }
    side.rates.push(figures.storm.rate / figures.idle.rate);
    figures.clean.as_secs_f64() * 1e3
}

pub fn cleanup(settings: &Settings, report: &mut Report) {
    eprintln!("cleanup");
    let ours = [64, 64, 1, 25, 1024].map(Ours::new);
    let (locked, held, sharded) = (Locked::default(), Held::default(), Sharded::default());
    let names = [
        OURS,
        CONTROL,
        "switchboard, batches of 1",
        "switchboard, batches of 25",
        "switchboard, batches of 1024",
        "Mutex, one by one",
        "Mutex, held for all",
        "DashMap, one by one",
        "switchboard, none cut, two busy threads instead",
    ];
    let mut time = Section::new(
        "Cleanup after a mass disconnect",
        format!(
            "ms until all N connections, which were cut at once, have left the table and their {EACH} of {CHANNELS} \
             channels, while another thread opens a connection every {} \u{b5}s (wall clock). Batches of 64 unless it says \
             otherwise.",
            PACE.as_micros()
        ),
    );
    let mut open = Section::new(
        "Connecting during a mass disconnect",
        "\u{b5}s until a new connection is visible, medians of the rounds: before the storm, and during it; and the part of the connections due that \
         were opened, during the storm by before it (more is better there).",
    );
    open.compared = false;
    let mut cleaned = Vec::new();
    for number in SIZES {
        let mut sides = names.map(|_| Side::default());
        let medians = interleave(names.len(), settings.plan.rounds, |side| match side {
            5 => run(&locked, number, Event::Cut, &mut sides[side]),
            6 => run(&held, number, Event::Cut, &mut sides[side]),
            7 => run(&sharded, number, Event::Cut, &mut sides[side]),
            8 => run(&ours[0], number, Event::Busy, &mut sides[side]),
            _ => run(&ours[side], number, Event::Cut, &mut sides[side]),
        });
        time.case(format!("{number} cut"), names.into_iter().zip(medians.clone()).take(8));
        for (at, (what, _)) in QUANTILES.into_iter().enumerate() {
            let idle = sides.each_ref().map(|side| median(&side.idle[at]));
            let storm = sides.each_ref().map(|side| median(&side.storm[at]));
            open.case(format!("{number}, before, {what}"), names.into_iter().zip(idle));
            open.case(format!("{number}, during, {what}"), names.into_iter().zip(storm));
        }
        let rates = sides.each_ref().map(|side| median(&side.rates));
        open.case(format!("{number}, rate"), names.into_iter().zip(rates));
        let (idle, storm) = (median(&sides[0].idle[1]), median(&sides[0].storm[1]));
        report.goal(format!("Open during {number} closes, p95"), "before", (storm, idle), 1.5, "\u{b5}s");
        report.goal(format!("Opened before / during {number} closes"), "before", (1.0, rates[0]), 1.11, "");
        cleaned.push(medians[0]);
    }
    report.goal("30,000 closes", "3,000 closes", (cleaned[1], cleaned[0]), 12.0, "ms");
    report.sections.extend([time, open]);
}
