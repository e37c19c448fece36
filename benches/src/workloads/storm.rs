//! Many threads or tasks change one table: a shared writer against a lock and an actor.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use self::rivals::{Actor, Fair, Locked, Ours};
use super::Settings;
use crate::measure::{interleave, median};
use crate::report::{CONTROL, OURS, Report, Section};

mod rivals;

/// Number of connections, nine in ten of which are cut.
const CONNECTS: u64 = 5_000;

type Value = [u64; 4];

/// A way for many threads or tasks to change one table.
trait Store: Clone + Send + Sync + 'static {
    fn insert(&self, key: u64, value: Value);
    fn remove(&self, key: u64);
    /// Inserts, and waits until the entry is visible.
    fn insert_confirmed(&self, key: u64, value: Value);
    fn remove_confirmed(&self, key: u64);
    /// Waits until everything that this thread has sent is visible.
    fn settle(&self);

    fn insert_async(&self, key: u64, value: Value) -> impl Future<Output = ()> + Send;
    fn remove_async(&self, key: u64) -> impl Future<Output = ()> + Send;
    fn insert_confirmed_async(&self, key: u64, value: Value) -> impl Future<Output = ()> + Send;
    fn remove_confirmed_async(&self, key: u64) -> impl Future<Output = ()> + Send;

    fn version(&self) -> u64;
    fn len(&self) -> usize;
    fn clear(&self);
}

/// The way in which a storm waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Each thread sends everything, and waits at the end.
    Sent,
    /// Each thread waits for each operation.
    Confirmed,
}

fn is_cut(key: u64) -> bool {
    !key.is_multiple_of(10)
}

/// The figures of one storm.
struct Figures {
    ms: f64,
    cpu_ms: f64,
    versions: f64,
}

/// The begin of a storm.
struct Begin {
    wall: Instant,
    cpu: Duration,
    version: u64,
}

impl Begin {
    fn new<S: Store>(store: &S) -> Self {
        Self { version: store.version(), cpu: process_time(), wall: Instant::now() }
    }
}

/// Returns the processor time of all threads.
fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Checks the table, and empties it.
fn finish<S: Store>(store: &S, begin: Begin) -> Figures {
    let ms = begin.wall.elapsed().as_secs_f64() * 1e3;
    let cpu_ms = (process_time() - begin.cpu).as_secs_f64() * 1e3;
    assert_eq!(store.len() as u64, CONNECTS / 10, "the table is right");
    let versions = (store.version() - begin.version) as f64;
    store.clear();
    Figures { ms, cpu_ms, versions }
}

fn threads<S: Store>(store: &S, threads: u64, mode: Mode) -> Figures {
    let barrier = Barrier::new(threads as usize + 1);
    let begin = thread::scope(|scope| {
        for number in 0..threads {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let keys = (0..CONNECTS).filter(|key| key % threads == number);
                match mode {
                    Mode::Sent => {
                        keys.clone().for_each(|key| store.insert(key, [key; 4]));
                        keys.filter(|key| is_cut(*key)).for_each(|key| store.remove(key));
                        store.settle();
                    }
                    Mode::Confirmed => {
                        keys.clone().for_each(|key| store.insert_confirmed(key, [key; 4]));
                        keys.filter(|key| is_cut(*key)).for_each(|key| store.remove_confirmed(key));
                    }
                }
            });
        }
        barrier.wait();
        Begin::new(store)
    });
    finish(store, begin)
}

fn tasks<S: Store>(runtime: &Runtime, store: &S, mode: Mode) -> Figures {
    let begin = Begin::new(store);
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for key in 0..CONNECTS {
            let store = store.clone();
            tasks.spawn(async move {
                match mode {
                    Mode::Sent => store.insert_async(key, [key; 4]).await,
                    Mode::Confirmed => store.insert_confirmed_async(key, [key; 4]).await,
                }
                tokio::task::yield_now().await;
                if is_cut(key) {
                    match mode {
                        Mode::Sent => store.remove_async(key).await,
                        Mode::Confirmed => store.remove_confirmed_async(key).await,
                    }
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    });
    store.settle();
    finish(store, begin)
}

pub fn storm(settings: &Settings, report: &mut Report) {
    eprintln!("storm");
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("the system has threads");
    let (ours, control, locked, fair, actor) =
        (Ours::new(), Ours::new(), Locked::new(), Fair::new(), Actor::new());
    let names = [OURS, CONTROL, "Mutex<Writer>", "FairMutex<Writer>", "tokio mpsc actor"];
    let mut time = Section::new(
        "A storm of changes",
        "ms until the table is right: 5,000 insertions, and the removal of nine in ten of them, by N threads or 5,000 \
         tasks on one runtime (wall clock). *sent*: each thread sends everything and waits at the end; *confirmed*: \
         it waits for each change to be visible, as the locks always do.",
    );
    let mut cpu = Section::new(
        "Processor time of a storm",
        "ms of all threads together, in the same storms: the cost, which other processes affect little.",
    );
    let mut versions =
        Section::new("Publishes of a storm", "Number of versions; the readers follow each one.");
    let cases = [1, 2, 8]
        .into_iter()
        .map(Some)
        .chain([None])
        .flat_map(|threads| [(threads, Mode::Sent), (threads, Mode::Confirmed)]);
    for (count, mode) in cases {
        let (mut published, mut spent) = (names.map(|_| Vec::new()), names.map(|_| Vec::new()));
        let medians = interleave(names.len(), settings.plan.rounds, |side| {
            let figures = match (count, side) {
                (Some(count), 0) => threads(&ours, count, mode),
                (Some(count), 1) => threads(&control, count, mode),
                (Some(count), 2) => threads(&locked, count, mode),
                (Some(count), 3) => threads(&fair, count, mode),
                (Some(count), _) => threads(&actor, count, mode),
                (None, 0) => tasks(&runtime, &ours, mode),
                (None, 1) => tasks(&runtime, &control, mode),
                (None, 2) => tasks(&runtime, &locked, mode),
                (None, 3) => tasks(&runtime, &fair, mode),
                (None, _) => tasks(&runtime, &actor, mode),
            };
            published[side].push(figures.versions);
            spent[side].push(figures.cpu_ms);
            figures.ms
        });
        let who = count.map_or_else(|| String::from("tasks"), |count| format!("{count} threads"));
        let how = if mode == Mode::Sent { "sent" } else { "confirmed" };
        let case = time.cases.len();
        time.case(format!("{who}, {how}"), names.into_iter().zip(medians));
        let medians = published.each_ref().map(|versions| median(versions));
        versions.case(format!("{who}, {how}"), names.into_iter().zip(medians));
        let medians = spent.each_ref().map(|spent| median(spent));
        cpu.case(format!("{who}, {how}"), names.into_iter().zip(medians));
        let ours = time.figure(OURS, case);
        if let Some((ours, (rival, theirs))) = ours.zip(time.best(&names[2..], case)) {
            report.goal(format!("Storm, {who}, {how}"), rival, (ours, theirs), 1.0, "ms");
        }
    }
    report.sections.extend([time, cpu, versions]);
}
