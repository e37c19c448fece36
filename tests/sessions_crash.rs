//! Kills a process that saves, again and again, at random moments, and checks what it left.
//!
//! The test program starts itself as the process to be killed: on several threads it runs, clears, removes, evicts and
//! loads sessions, and prints each change before it is made, and each that the store has acknowledged. After the kill,
//! each session must be in a state that was made: the newest that was acknowledged, or a later one. The next process goes
//! on from there.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)] // They fail by panicking.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use switchboard::sessions::store::{FileStore, SessionStore, StoreErrorKind};
use switchboard::sessions::{ClearPolicy, Loaded, Sessions};

/// Long enough never to pass unless a test is stuck.
const LONG: Duration = Duration::from_secs(120);
const THREADS: u32 = 3;
/// Those whose remainder by the number of threads is that of a thread belong to it.
const KEYS: u32 = 3 * THREADS;
/// Acknowledged saves per store, over all processes.
const SAVES: u64 = 600;
/// A process is killed after up to this many lines of its output, or aborts after up to this many turns of a loop.
const LINES: usize = 20;
const SPINS: u64 = 500_000;

/// Set for the process to be killed: the store and its place.
const CHILD: &str = "SWITCHBOARD_CRASH_CHILD";

/// The data of a session: the same number many times, so that a mix of two states shows.
type Data = Vec<u64>;
type Registry = Sessions<u32, Data>;

fn data(number: u64) -> Data {
    vec![number; 200 + usize::try_from(number % 7).unwrap() * 300]
}

/// The number of a state: zero if the session is empty.
fn number(data: &Data) -> u64 {
    let number = data.first().copied().unwrap_or_default();
    assert!(data.is_empty() || *data == self::data(number), "a mix of states");
    number
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    File,
    #[cfg(feature = "sqlite")]
    Sqlite,
}

impl Kind {
    fn open(self, place: &Path) -> Registry {
        fn registry(store: impl SessionStore<u32, Data> + 'static) -> Registry {
            Sessions::builder().max_blank(0).store(store).build()
        }
        match self {
            Self::File => registry(open_file_store(place)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite => {
                registry(switchboard::sessions::store::SqliteStore::open(place.join("sessions.db")).unwrap())
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            #[cfg(feature = "sqlite")]
            Self::Sqlite => "sqlite",
        }
    }

    fn from_name(name: &str) -> Self {
        match name {
            #[cfg(feature = "sqlite")]
            "sqlite" => Self::Sqlite,
            _ => Self::File,
        }
    }
}

/// The other test starts processes as well: between its fork and its exec such a process shares the lock of this one.
fn open_file_store(place: &Path) -> FileStore<u32, Data> {
    let start = Instant::now();
    loop {
        match FileStore::open(place) {
            Err(error) if error.kind() == StoreErrorKind::Locked && start.elapsed() < LONG => {
                std::thread::yield_now();
            }
            opened => return opened.unwrap(),
        }
    }
}

/// The process to be killed, which works until then.
#[test]
#[ignore = "started by the other tests"]
fn child() {
    let order = env::var(CHILD).unwrap();
    let mut fields = order.splitn(5, ' ');
    let kind = Kind::from_name(fields.next().unwrap());
    let seed: u64 = fields.next().unwrap().parse().unwrap();
    let next = AtomicU64::new(fields.next().unwrap().parse().unwrap());
    let spins: u64 = fields.next().unwrap().parse().unwrap();
    let sessions = kind.open(Path::new(fields.next().unwrap()));
    // Saves go on while the next changes are made.
    let saver = sessions.saver().unwrap().clone();
    let _threads = [saver.spawn("saver-1").unwrap(), saver.spawn("saver-2").unwrap()];
    say("\nready\n");
    std::thread::scope(|scope| {
        if spins > 0 {
            scope.spawn(move || {
                (0..spins).for_each(|_| std::hint::spin_loop());
                std::process::abort();
            });
        }
        for thread in 0..THREADS {
            let (sessions, next) = (&sessions, &next);
            let random = fastrand::Rng::with_seed(seed + u64::from(thread));
            scope.spawn(move || {
                // The others would go on.
                let _exit = ExitOnPanic;
                let mut worker = Worker { sessions, next, thread, random, known: BTreeMap::new() };
                loop {
                    worker.step();
                }
            });
        }
    });
}

/// One write: a line that is cut off by the kill has no end.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

struct ExitOnPanic;

impl Drop for ExitOnPanic {
    fn drop(&mut self) {
        std::process::exit(101);
    }
}

/// A thread that changes the sessions that belong to it, and evicts and loads any.
struct Worker<'a> {
    sessions: &'a Registry,
    next: &'a AtomicU64,
    thread: u32,
    random: fastrand::Rng,
    /// The states of its sessions, as far as it has changed them.
    known: BTreeMap<u32, u64>,
}

impl Worker<'_> {
    fn step(&mut self) {
        let any = self.random.u32(..KEYS);
        match self.random.u32(..8) {
            0 => return drop(self.sessions.prune(Duration::ZERO)),
            1 => {
                self.sessions.load(&any).unwrap();
                return;
            }
            _ => {}
        }
        let key = any - any % THREADS + self.thread;
        let time = self.next.fetch_add(1, Ordering::SeqCst) + 1;
        let state = match self.random.u32(..8) {
            0 => {
                say(&format!("clear {key} 0 {time}\n"));
                self.sessions.clear(&key, ClearPolicy::CancelAndDetach).unwrap();
                0
            }
            1 => {
                say(&format!("remove {key} 0 {time}\n"));
                // While another thread installs what it has loaded, the session is in use.
                while self.sessions.remove(&key).is_err() {}
                0
            }
            _ => self.write(key, time),
        };
        self.known.insert(key, state);
        if self.random.bool() {
            self.sessions.saver().unwrap().flush(&key, LONG).unwrap();
            say(&format!("saved {key} 0 {time}\n"));
        }
    }

    /// The session may have been evicted and loaded again since the last change: nothing of it is lost.
    fn write(&self, key: u32, time: u64) -> u64 {
        let _connection = self.sessions.connect(&key, ()).connection;
        assert_ne!(self.sessions.load(&key).unwrap(), Loaded::Busy);
        let mut run = self.sessions.begin_timeout(&key, LONG).unwrap();
        let found = number(&run.read().unwrap());
        assert!(self.known.get(&key).is_none_or(|known| *known == found), "{key}: {found}, {:?}", self.known);
        say(&format!("write {key} {time} {time}\n"));
        run.update(|_| data(time)).unwrap();
        time
    }
}

/// The changes of one session in the order in which they were made: the time, and the state that each led to.
#[derive(Debug)]
struct History {
    changes: Vec<(u64, u64)>,
    /// The time of the newest change that is known to be stored.
    acknowledged: u64,
}

/// Nothing is stored.
impl Default for History {
    fn default() -> Self {
        Self { changes: vec![(0, 0)], acknowledged: 0 }
    }
}

impl History {
    /// Checks a state after a kill.
    fn check(&self, key: u32, found: u64) {
        let possible: Vec<u64> = self
            .changes
            .iter()
            .filter(|(time, _)| *time >= self.acknowledged)
            .map(|(_, state)| *state)
            .collect();
        assert!(possible.contains(&found), "session {key} is {found}, after {:?}", self.changes);
    }
}

struct Test {
    kind: Kind,
    place: PathBuf,
    histories: BTreeMap<u32, History>,
    time: u64,
    acknowledged: u64,
    kills: u64,
}

impl Test {
    /// Runs a process, which is killed after some lines, or aborts after some time.
    fn run(&mut self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (lines, spins) = match random.bool() {
            true => (random.usize(..LINES), 0),
            false => (usize::MAX, random.u64(1..SPINS)),
        };
        let order = format!("{} {seed} {} {spins} {}", self.kind.name(), self.time, self.place.display());
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(CHILD, order)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = read_lines(child.stdout.take().unwrap());
        let mut is_ready = false;
        let mut left = lines;
        loop {
            let line = match output.recv_timeout(LONG) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    child.kill().unwrap();
                    panic!("the process hangs");
                }
            };
            // What was printed before the kill is still read after it, until the end.
            if is_ready && left == 0 {
                child.kill().unwrap();
            }
            left = left.saturating_sub(usize::from(is_ready));
            is_ready |= line == "ready\n";
            self.note(&line);
        }
        let status = child.wait().unwrap();
        assert!(is_ready, "the process did not work");
        #[cfg(unix)]
        {
            let signal = std::os::unix::process::ExitStatusExt::signal(&status);
            assert!([Some(6), Some(9)].contains(&signal), "it ended by itself: {status}");
        }
        let _ = status;
        self.kills += 1;
    }

    fn note(&mut self, line: &str) {
        let Some(fields) = line.strip_suffix('\n') else { return };
        let mut fields = fields.split(' ');
        let what = fields.next().unwrap_or_default();
        if !["write", "clear", "remove", "saved"].contains(&what) {
            return;
        }
        let mut number = || fields.next().unwrap().parse::<u64>().unwrap();
        let (key, state, time) = (number(), number(), number());
        let history = self.histories.entry(u32::try_from(key).unwrap()).or_default();
        self.time = self.time.max(time);
        if what == "saved" {
            self.acknowledged += 1;
            history.acknowledged = time;
        } else {
            history.changes.push((time, state));
        }
    }

    /// Loads all sessions, and makes what is found the beginning of their histories.
    fn check(&mut self) {
        let sessions = self.kind.open(&self.place);
        for key in 0..KEYS {
            let loaded = sessions.load(&key).unwrap();
            let found = sessions.read(&key).map(|data| number(&data)).unwrap_or_default();
            assert!(loaded != Loaded::Missing || found == 0);
            let history = self.histories.entry(key).or_default();
            history.check(key, found);
            *history = History { changes: vec![(self.time, found)], acknowledged: self.time };
        }
    }
}

/// Reads lines with their ends on a thread, so that the wait for one has a limit.
fn read_lines(output: ChildStdout) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = String::new();
        while output.read_line(&mut line).unwrap() > 0 && send.send(std::mem::take(&mut line)).is_ok() {}
    });
    lines
}

fn check(kind: Kind) {
    let place = env::temp_dir().join(format!("switchboard-crash-{}-{}", kind.name(), std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let mut test = Test { kind, place, histories: BTreeMap::new(), time: 0, acknowledged: 0, kills: 0 };
    let mut seed = 0;
    while test.acknowledged < SAVES {
        seed += 1;
        test.run(seed);
        test.check();
    }
    println!("{kind:?}: {} acknowledged saves, {} kills", test.acknowledged, test.kills);
    assert!(test.kills > 20);
    std::fs::remove_dir_all(&test.place).unwrap();
}

#[test]
fn a_file_store_survives_kills_with_a_state_that_was_saved() {
    check(Kind::File);
}

#[cfg(feature = "sqlite")]
#[test]
fn an_sqlite_store_survives_kills_with_a_state_that_was_saved() {
    check(Kind::Sqlite);
}
