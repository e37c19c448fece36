//! The threads that query all nodes during the run.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use hdrhistogram::Histogram;
use switchboard::manager::{LinksReader, MemberFilter};
use switchboard::{Links, LinksSnapshot, Metrics, NetId, NodeAddr, Table, Version};

use crate::audit::Audit;
use crate::names::addr_of;
use crate::options::Options;
use crate::run::Failure;

/// The living nodes, by index. A table of this crate: the supervisor writes it, the query threads read it.
pub(crate) type Roster = Table<u16, Alive>;

/// One life of a node.
#[derive(Clone)]
pub(crate) struct Alive {
    /// Number of this life. Versions start over in each life.
    pub(crate) life: u32,
    pub(crate) addr: NodeAddr,
    pub(crate) links: Links,
    pub(crate) metrics: Metrics,
}

/// Queries per visit to a node.
const QUESTIONS: u32 = 64;

/// Number of findings that are described. Further ones are only counted.
const FINDINGS_MAX: usize = 8;

/// Pause of a thread while no node is alive.
const REST: Duration = Duration::from_millis(5);

/// The results of one thread, or of all of them.
pub(crate) struct Answers {
    /// Nanoseconds per query, each measured separately; about 25 ns of each is the cost of the clock.
    pub(crate) query_ns: Histogram<u64>,
    pub(crate) versions_went_backwards: u64,
    /// Snapshots that contradicted themselves.
    pub(crate) contradictions: u64,
    /// The checked explanations.
    pub(crate) audit: Audit,
    /// The first findings of both kinds.
    pub(crate) findings: Vec<String>,
}

impl Answers {
    fn new() -> Result<Self, Failure> {
        let query_ns = Histogram::new_with_max(60_000_000_000, 3)?;
        let (audit, findings) = (Audit::default(), Vec::new());
        Ok(Self { query_ns, versions_went_backwards: 0, contradictions: 0, audit, findings })
    }

    fn note(&mut self, finding: impl FnOnce() -> String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding());
        }
    }
}

/// The running query threads.
pub(crate) struct Queries {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Answers>>,
}

impl Queries {
    /// Starts as many threads as the flags say.
    pub(crate) fn start(options: &Options, roster: &Roster, nets: &[NetId]) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |number: u16| -> Result<_, Failure> {
            let asker = Asker {
                roster: roster.clone(),
                nodes: options.nodes,
                nets: nets.to_vec(),
                stop: Arc::clone(&stop),
                rng: Rng::with_seed(options.seed().wrapping_add(u64::from(number))),
                watched: HashMap::new(),
                answers: Answers::new()?,
            };
            Ok(thread::Builder::new().name(format!("query-{number}")).spawn(move || asker.run())?)
        };
        let threads = (0..options.readers).map(spawn).collect::<Result<_, _>>()?;
        Ok(Self { stop, threads })
    }

    /// Stops all threads and adds up their results. Blocks: not for async tasks.
    pub(crate) fn finish(self) -> Result<Answers, Failure> {
        // Relaxed: the threads only need to see the flag eventually; joining them orders the rest.
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Answers::new()?;
        for thread in self.threads {
            let Ok(mut one) = thread.join() else {
                all.contradictions += 1;
                all.note(|| String::from("a query thread panicked"));
                continue;
            };
            all.query_ns.add(&one.query_ns)?;
            all.versions_went_backwards += one.versions_went_backwards;
            all.contradictions += one.contradictions;
            all.audit.add(one.audit);
            all.findings.append(&mut one.findings);
        }
        Ok(all)
    }
}

/// One query thread.
struct Asker {
    roster: Roster,
    nodes: u16,
    nets: Vec<NetId>,
    stop: Arc<AtomicBool>,
    rng: Rng,
    watched: HashMap<u16, Watched>,
    answers: Answers,
}

/// One life of a node, as this thread reads it.
struct Watched {
    life: u32,
    links: Links,
    reader: LinksReader,
    seen: Version,
}

impl Asker {
    fn run(mut self) -> Answers {
        let mut roster = self.roster.reader();
        while !self.stop.load(Ordering::Relaxed) {
            let snapshot = roster.snapshot().clone();
            if snapshot.is_empty() {
                thread::park_timeout(REST);
            }
            for (index, alive) in snapshot.iter() {
                self.visit(*index, alive);
            }
        }
        self.answers
    }

    fn visit(&mut self, index: u16, alive: &Alive) {
        let known = self.watched.get(&index).is_some_and(|watched| watched.life == alive.life);
        if !known {
            let (reader, links) = (alive.links.reader(), alive.links.clone());
            self.watched.insert(index, Watched { life: alive.life, seen: links.version(), links, reader });
        }
        let Some(watched) = self.watched.get_mut(&index) else { return };
        for _ in 0..QUESTIONS {
            let net = self.nets[self.rng.usize(..self.nets.len())];
            let addr = addr_of(self.rng.u16(..self.nodes));
            let kind = self.rng.u8(..8);
            let begun = Instant::now();
            let answer = ask(kind, watched.reader.snapshot(), net, addr);
            let took = begun.elapsed();
            std::hint::black_box(answer);
            self.answers.query_ns.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
        check_order(&mut self.answers, index, watched);
        check_sense(&mut self.answers, index, watched.reader.snapshot(), &self.nets);
        let peer = addr_of(self.rng.u16(..self.nodes));
        check_explanation(&mut self.answers, alive.addr, watched.reader.snapshot(), peer);
    }
}

/// Asks one question. Of eight kinds, one lists, two count, and the others look up a single link.
fn ask(kind: u8, snapshot: &LinksSnapshot, net: NetId, addr: NodeAddr) -> usize {
    match kind {
        0 => snapshot.addrs(net, MemberFilter::Established).count(),
        1 | 2 => snapshot.count(net),
        3 | 4 => usize::from(snapshot.contains(&addr, net)),
        _ => snapshot.get(&addr).map_or(0, |link| link.memberships().len()),
    }
}

/// Checks that versions never go backwards, between the reader and fresh snapshots.
fn check_order(answers: &mut Answers, index: u16, watched: &mut Watched) {
    let fresh = watched.links.snapshot().version();
    let read = watched.reader.snapshot().version();
    for (first, second) in [(watched.seen, fresh), (fresh, read)] {
        if second < first {
            answers.versions_went_backwards += 1;
            answers.note(|| format!("node {index}: version {second:?} followed {first:?}"));
        }
    }
    watched.seen = read;
}

/// Checks that a snapshot agrees with itself: the count of a net equals the length of its list, and every
/// listed node has a record that is a member.
fn check_sense(answers: &mut Answers, index: u16, snapshot: &LinksSnapshot, nets: &[NetId]) {
    for net in nets {
        let (count, listed) = (snapshot.count(*net), snapshot.addrs(*net, MemberFilter::All).count());
        let is_member = |addr: &&NodeAddr| snapshot.get(addr).is_some_and(|link| link.is_member(*net));
        let members = snapshot.addrs(*net, MemberFilter::All).filter(is_member).count();
        if count != listed || members != listed {
            answers.contradictions += 1;
            let version = snapshot.version();
            answers.note(|| {
                format!(
                    "node {index}, {version:?}, {net}: counts {count}, lists {listed}; {members} are members"
                )
            });
        }
    }
}

/// Checks an explanation against the snapshot that gave it.
fn check_explanation(answers: &mut Answers, me: NodeAddr, snapshot: &LinksSnapshot, peer: NodeAddr) {
    if let Err(problem) = answers.audit.sample(me, snapshot, peer, Instant::now()) {
        answers.contradictions += 1;
        let version = snapshot.version();
        answers.note(|| format!("{me}, {version:?}, wrong explanation of the link with {peer}: {problem}"));
    }
}
