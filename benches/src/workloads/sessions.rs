//! One run per session: begin and end, on sessions of one's own and on sessions that are contended.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use switchboard::clock;
use switchboard::sessions::Sessions;

use self::rivals::{Borrowed, Owned, ParkingLot, StdLock};
use super::Settings;
use crate::data::Key;
use crate::measure::{Clock, Plan, interleave, median, run_for};
use crate::report::{CONTROL, OURS, Report, Section};

mod rivals;

/// Number of sessions of each thread that has its own.
const OWN: usize = 1_024;
/// Length of the sequence in which the sessions are used.
const SEQUENCE: usize = 8_192;

/// Maximum number of measurements per side and round.
const REPEATS: usize = 16;
/// Maximum time of a measurement.
const SLICE: Duration = Duration::from_millis(1);

const STILL: &str = "switchboard, clock stands still";
const STD: &str = "Mutex<HashMap> (std)";
const DASHMAP: &str = "DashMap";

/// One run per session, as one side does it.
trait Registry<K>: Sync {
    /// Begins a run, looks whether it is cancelled, and ends it. Returns false if the session has a run.
    fn run(&self, key: &K) -> bool;

    /// Begins a run that never ends.
    fn hold(&self, key: &K);

    /// Makes `times` attempts, and returns how many of them began a run.
    fn attempts(&self, keys: &mut Keys<'_, K>, times: usize) -> usize {
        (0..times).filter(|_| self.run(keys.next())).count()
    }

    /// Runs each of these sessions once.
    fn once(&self, keys: &[K]) {
        for key in keys {
            black_box(self.run(key));
        }
    }
}

impl<K: Key> Registry<K> for Sessions<K, u64> {
    fn run(&self, key: &K) -> bool {
        self.try_begin(key).is_ok_and(|run| !run.is_cancelled())
    }

    fn hold(&self, key: &K) {
        std::mem::forget(self.try_begin(key));
    }
}

/// A sequence of sessions, over and over.
struct Keys<'a, K> {
    keys: &'a [K],
    at: usize,
}

impl<'a, K> Keys<'a, K> {
    fn next(&mut self) -> &'a K {
        self.at = (self.at + 1) % SEQUENCE;
        &self.keys[self.at]
    }
}

/// Returns a random sequence of these sessions.
fn sequence<K: Key>(sessions: std::ops::Range<u64>, seed: u64) -> Vec<K> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..SEQUENCE).map(|_| K::from_number(rng.u64(sessions.clone()))).collect()
}

type Sides<K> = Vec<(&'static str, Box<dyn Registry<K>>)>;

/// A clock that costs nothing, to show the share of the real one.
#[derive(Debug)]
struct Still(Instant);

impl clock::Clock for Still {
    fn now(&self) -> Instant {
        self.0
    }
}

fn sides<K: Key + Default>() -> Sides<K> {
    // Sessions without data are evicted by default, which is measured separately.
    let ours = || Box::new(Sessions::<K, u64>::builder().max_blank(4 * OWN).build());
    let map = || DashMap::<K, _, _>::with_hasher(RandomState::default());
    let papaya = papaya::HashMap::<K, _, _>::with_hasher(RandomState::default());
    vec![
        (OURS, ours()),
        (CONTROL, ours()),
        (
            STILL,
            Box::new(Sessions::<K, u64>::builder().max_blank(4 * OWN).clock(Still(Instant::now())).build()),
        ),
        (STD, Box::new(Owned(Arc::new(StdLock::default())))),
        ("Mutex<HashMap> (std), borrowed", Box::new(Borrowed(StdLock::default()))),
        ("Mutex<HashMap> (parking_lot)", Box::new(Owned(Arc::new(ParkingLot::default())))),
        (DASHMAP, Box::new(Owned(Arc::new(map())))),
        ("DashMap, borrowed", Box::new(Borrowed(map()))),
        ("papaya", Box::new(Owned(Arc::new(papaya)))),
    ]
}

/// The figures of one measurement, per thread.
#[derive(Clone, Copy, Default)]
struct Figures {
    /// ns per attempt.
    wall: f64,
    cpu: f64,
    /// The share of the attempts that began a run.
    begun: f64,
    /// Zero if the threads ran at the same time, all the time.
    disturbed: f64,
}

/// Measures attempts, by as many threads as there are sequences. Repeats a measurement in which a thread lost its
/// processor to another program, or the threads did not run at the same time, because then they did not contend; and
/// measures briefly, so that this is rare.
fn measure<K: Key>(registry: &dyn Registry<K>, sequences: &[Vec<K>], budget: Duration) -> Figures {
    let budget = budget.min(SLICE);
    let mut best = None::<Figures>;
    for _ in 0..REPEATS {
        let figures = measure_once(registry, sequences, budget);
        if best.is_none_or(|best| figures.disturbed < best.disturbed) {
            best = Some(figures);
        }
        if figures.disturbed == 0.0 {
            break;
        }
    }
    best.unwrap_or_default()
}

/// Returns how often another program took the processor of this thread; zero where the system does not tell.
fn preemptions() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

fn measure_once<K: Key>(registry: &dyn Registry<K>, sequences: &[Vec<K>], budget: Duration) -> Figures {
    let (ready, threads) = (AtomicUsize::new(0), sequences.len());
    let of_thread = |keys: &[K]| {
        let mut keys = Keys { keys, at: 0 };
        registry.attempts(&mut keys, SEQUENCE);
        // All have a processor when they begin. Relaxed: the counter publishes no other data.
        ready.fetch_add(1, Ordering::Relaxed);
        while ready.load(Ordering::Relaxed) < threads {
            std::hint::spin_loop();
        }
        let (mut attempts, mut begun) = (0, 0);
        let (begin, before, cpu) = (Instant::now(), preemptions(), Clock::Cpu.start());
        let wall = run_for(Clock::Wall, budget, |times| {
            attempts += times;
            begun += registry.attempts(&mut keys, times);
        });
        let cpu = cpu.elapsed().as_secs_f64() * 1e9 / attempts as f64;
        let disturbed = (preemptions() - before) as f64;
        let end = Instant::now();
        (begin, end, Figures { wall, cpu, begun: begun as f64 / attempts as f64, disturbed })
    };
    let all: Vec<(Instant, Instant, Figures)> = thread::scope(|scope| {
        let of_thread = &of_thread;
        let others: Vec<_> = sequences[1..].iter().map(|keys| scope.spawn(move || of_thread(keys))).collect();
        let mine = of_thread(&sequences[0]);
        let others = others.into_iter().map(|other| other.join().expect("no thread panics"));
        std::iter::once(mine).chain(others).collect()
    });
    let mean = |figure: fn(&Figures) -> f64| {
        all.iter().map(|(.., figures)| figure(figures)).sum::<f64>() / all.len() as f64
    };
    let begin = all.iter().map(|(begin, ..)| *begin).max().unwrap_or_else(Instant::now);
    let apart =
        all.iter().filter(|(_, end, _)| end.saturating_duration_since(begin) < budget.mul_f64(0.8)).count();
    Figures {
        wall: mean(|figures| figures.wall),
        cpu: mean(|figures| figures.cpu),
        begun: mean(|figures| figures.begun),
        disturbed: mean(|figures| figures.disturbed) + apart as f64,
    }
}

/// Measures all sides. Returns the median of each figure of each side.
fn compare<K: Key>(sides: &Sides<K>, sequences: &[Vec<K>], plan: Plan) -> Vec<Figures> {
    let mut rounds = vec![Vec::new(); sides.len()];
    interleave(sides.len(), plan.rounds, |side| {
        let figures = measure(&*sides[side].1, sequences, plan.budget);
        rounds[side].push(figures);
        figures.wall
    });
    let middle = |rounds: &[Figures], figure: fn(&Figures) -> f64| {
        // The first one is the warm-up.
        median(&rounds[1..].iter().map(figure).collect::<Vec<_>>())
    };
    let figures = rounds.iter().map(|rounds| Figures {
        wall: middle(rounds, |figures| figures.wall),
        cpu: middle(rounds, |figures| figures.cpu),
        begun: middle(rounds, |figures| figures.begun),
        disturbed: rounds.iter().filter(|figures| figures.disturbed > 0.0).count() as f64,
    });
    let figures: Vec<Figures> = figures.collect();
    let disturbed: f64 = figures.iter().map(|figures| figures.disturbed).sum();
    if disturbed > 0.0 {
        eprintln!(
            "{disturbed} of {} measurements were disturbed by other programs",
            sides.len() * plan.rounds
        );
    }
    figures
}

fn names<K>(sides: &Sides<K>) -> impl Iterator<Item = &'static str> {
    sides.iter().map(|(name, _)| *name)
}

pub fn sessions(settings: &Settings, report: &mut Report) {
    eprintln!("sessions");
    distinct(settings, report);
    contended(settings, report);
}

fn distinct(settings: &Settings, report: &mut Report) {
    let plan = settings.plan;
    let mut section = Section::new(
        "Runs of distinct sessions",
        "ns per begin and end of a run, by each of N threads, each with 1024 sessions of its own. *Processor time* \
         counts no waiting for a lock or a processor. *New session*: the session does not exist before; ours is \
         created with its data, and evicted when four thousand others have come after it. A run of a rival is an \
         entry with a cancel flag, and owns the map by an `Arc`, as a run that is moved to a task must (*borrowed*: \
         a reference). In brackets: ours / theirs.",
    );
    let all = sides::<u64>();
    let own = |thread: u64| sequence(thread * OWN as u64..(thread + 1) * OWN as u64, thread);
    let one = compare(&all, &[own(0)], plan);
    section.case("1 thread, processor time", names(&all).zip(one.iter().map(|figures| figures.cpu)));
    let two = compare(&all, &[own(0), own(1)], plan);
    section.case("2 threads, processor time", names(&all).zip(two.iter().map(|figures| figures.cpu)));
    section.case("2 threads", names(&all).zip(two.iter().map(|figures| figures.wall)));
    report.goal("Runs of distinct sessions, 2 threads", "1 thread", (two[0].wall, one[0].wall), 1.25, "ns");
    let text = sides::<String>();
    let one = compare(&text, &[sequence(0..OWN as u64, 0)], plan);
    section.case("1 thread, String keys", names(&text).zip(one.iter().map(|figures| figures.cpu)));
    let fresh: Vec<u64> = (0..8 * OWN as u64).map(|number| u64::from_number(number | 1 << 40)).collect();
    let figures = interleave(all.len(), plan.rounds, |side| {
        let ns = run_for(Clock::Cpu, plan.budget, |times| (0..times).for_each(|_| all[side].1.once(&fresh)));
        ns / fresh.len() as f64
    });
    section.case("1 thread, new session", names(&all).zip(figures));
    report.sections.push(section);
}

fn contended(settings: &Settings, report: &mut Report) {
    let mut attempts = Section::new(
        "Contended sessions",
        "ns per attempt to begin a run, with its end if it began, by each of 2 threads that use the same few sessions \
         in a random order. A run does nothing, so a refused attempt means that the threads met. *Busy*: a third run \
         has the only session for the whole time, and all attempts are refused. In brackets: ours / theirs.",
    );
    let mut cpu = Section::new(
        "Contended sessions, processor time",
        "The same in processor time, which does not count the time in which a thread is parked by a lock.",
    );
    let mut runs = Section::new(
        "Contended sessions, per run",
        "ns until a run was begun and ended, by each of 2 threads: the time of the attempts that were refused counts. \
         In brackets: ours / theirs.",
    );
    let mut begun = Section::new("Contended sessions, success", "Percent of the attempts that began a run.");
    begun.compared = false;
    for sessions in [1, 4, 64] {
        let all = sides::<u64>();
        let figures = compare(&all, &[sequence(0..sessions, 0), sequence(0..sessions, 1)], settings.plan);
        let case = format!("{sessions} session{}", if sessions == 1 { "" } else { "s" });
        attempts.case(&case, names(&all).zip(figures.iter().map(|figures| figures.wall)));
        cpu.case(&case, names(&all).zip(figures.iter().map(|figures| figures.cpu)));
        runs.case(&case, names(&all).zip(figures.iter().map(|figures| figures.wall / figures.begun)));
        begun.case(&case, names(&all).zip(figures.iter().map(|figures| figures.begun * 100.0)));
    }
    for threads in [2, 1] {
        let all = sides::<u64>();
        all.iter().for_each(|(_, side)| side.hold(&u64::from_number(0)));
        let figures = compare(&all, &vec![sequence(0..1, 0); threads], settings.plan);
        let case = format!("busy, {threads} thread{}", if threads == 1 { "" } else { "s" });
        attempts.case(&case, names(&all).zip(figures.iter().map(|figures| figures.wall)));
        cpu.case(&case, names(&all).zip(figures.iter().map(|figures| figures.cpu)));
    }
    // The last case has no contention.
    for case in 0..attempts.cases.len() - 1 {
        for (rival, limit) in [(STD, 0.5), (DASHMAP, 0.8)] {
            if let Some(figures) = attempts.figure(OURS, case).zip(attempts.figure(rival, case)) {
                report.goal(format!("Contended: {}", attempts.cases[case]), rival, figures, limit, "ns");
            }
        }
    }
    report.sections.extend([attempts, cpu, runs, begun]);
}
