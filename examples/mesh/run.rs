//! The supervisor: starts the nodes, lets the chaos loose, and judges the end.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use hdrhistogram::Histogram;
use switchboard::{NetId, NodeAddr, ShutdownReport, Table, Writer};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::chaos::{Schedule, Strike};
use crate::faults::Faults;
use crate::node::{Blueprint, Node};
use crate::options::Options;
use crate::progress::{Progress, Row};
use crate::query::{Alive, Answers, Queries};
use crate::scrape::Scrape;
use crate::totals::{Totals, addr_of};
use crate::truth::{self, Breach, View};

/// What keeps the program itself from going on. What goes wrong in the mesh is no such thing.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// How often the display is refreshed and samples are collected.
const GLANCE: Duration = Duration::from_millis(200);

/// How long the mesh may take to settle once the chaos has stopped.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);

/// The pause between two looks at a mesh that settles. Two in a row have to find it in order.
const SETTLE_PAUSE: Duration = Duration::from_millis(150);

/// What the managers of all nodes did, in all their lives.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) commands: u64,
    pub(crate) publishes: u64,
    pub(crate) dials: u64,
    pub(crate) stale_answers: u64,
}

/// Everything that a run brought to light.
pub(crate) struct Outcome {
    pub(crate) sums: Sums,
    pub(crate) kills: u64,
    pub(crate) cuts: u64,
    /// Links that a node deleted.
    pub(crate) forgotten: u64,
    pub(crate) totals: Arc<Totals>,
    pub(crate) answers: Answers,
    pub(crate) visible_us: Histogram<u64>,
    pub(crate) breaches: Vec<Breach>,
    /// What went wrong beside the breaches.
    pub(crate) failures: Vec<String>,
    pub(crate) settled_after: Option<Duration>,
}

/// Where a node belongs, dead or alive.
enum Seat {
    Up { node: Node, life: u32 },
    Down { life: u32, endpoint: Option<SocketAddr>, until: Instant },
}

struct Supervisor<'a> {
    options: &'a Options,
    blueprint: Blueprint,
    book: Writer<NodeAddr, SocketAddr>,
    roster: Writer<u16, Alive>,
    seats: Vec<Seat>,
    rng: Rng,
    sums: Sums,
    kills: u64,
    cuts: u64,
    forgotten: u64,
    failures: Vec<String>,
    visible: mpsc::Receiver<Duration>,
    visible_us: Histogram<u64>,
    progress: Progress,
    started: Instant,
}

/// Runs the whole thing.
pub(crate) async fn run(options: &Options) -> Result<Outcome, Failure> {
    let (roster, alive) = Table::new();
    let (mut supervisor, totals) = Supervisor::new(options, roster)?;
    let nets = supervisor.blueprint.nets.clone();
    supervisor.start_dead(Instant::now()).await?;
    let queries = Queries::start(options, &alive, &nets)?;
    let _scrape = match options.metrics {
        Some(endpoint) => Some(Scrape::start(endpoint, alive.clone()).await?),
        None => None,
    };

    supervisor.fight().await?;
    let (breaches, settled_after) = supervisor.settle().await?;
    let answers = tokio::task::spawn_blocking(move || queries.finish()).await??;
    supervisor.end().await;

    let Supervisor { sums, kills, cuts, forgotten, failures, visible_us, .. } = supervisor;
    Ok(Outcome {
        sums,
        kills,
        cuts,
        forgotten,
        totals,
        answers,
        visible_us,
        breaches,
        failures,
        settled_after,
    })
}

impl<'a> Supervisor<'a> {
    fn new(options: &'a Options, roster: Writer<u16, Alive>) -> Result<(Self, Arc<Totals>), Failure> {
        let (book, addresses) = Table::new();
        let (totals, visible) = Totals::new(options.nodes);
        let totals = Arc::new(totals);
        let blueprint = Blueprint {
            nets: (1..=u64::from(options.nets)).map(NetId).collect(),
            min_links: options.min_links,
            book: addresses,
            faults: Arc::new(Faults::new(!options.is_quiet())),
            totals: Arc::clone(&totals),
        };
        let now = Instant::now();
        let supervisor = Self {
            options,
            blueprint,
            book,
            roster,
            seats: (0..options.nodes).map(|_| Seat::Down { life: 0, endpoint: None, until: now }).collect(),
            rng: Rng::with_seed(options.seed()),
            sums: Sums::default(),
            kills: 0,
            cuts: 0,
            forgotten: 0,
            failures: Vec::new(),
            visible,
            visible_us: Histogram::new_with_max(60_000_000, 3)?,
            progress: Progress::new(options),
            started: now,
        };
        Ok((supervisor, totals))
    }

    /// The chaos, for as long as the flags say.
    async fn fight(&mut self) -> Result<(), Failure> {
        self.started = Instant::now();
        let end = self.started + Duration::from_secs(u64::from(self.options.seconds));
        let mut schedule = Schedule::new(self.options, self.started, self.rng.fork());
        let mut glance = self.started;
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            if now >= glance {
                self.glance("fighting");
                glance = now + GLANCE;
            }
            self.start_dead(now).await?;
            while let Some(strike) = schedule.take(now) {
                if !self.strike(strike).await {
                    schedule.owe(strike, now);
                }
            }
            let dead = self.seats.iter().filter_map(|seat| match seat {
                Seat::Down { until, .. } => Some(*until),
                Seat::Up { .. } => None,
            });
            let next = dead.chain(schedule.next_at()).fold(glance.min(end), Instant::min);
            sleep_until(next).await;
        }
    }

    /// Deals one blow; `false` when there is nobody to hit.
    async fn strike(&mut self, strike: Strike) -> bool {
        let mut alive: Vec<usize> =
            (0..self.seats.len()).filter(|index| self.node(*index).is_some()).collect();
        self.rng.shuffle(&mut alive);
        match strike {
            Strike::Cut(how) => {
                for index in alive {
                    if let Some(node) = self.node(index)
                        && node.cut(how).await
                    {
                        self.cuts += 1;
                        return true;
                    }
                }
                false
            }
            Strike::Forget => {
                for index in alive {
                    if let Some(node) = self.node(index)
                        && node.forget().await
                    {
                        self.forgotten += 1;
                        return true;
                    }
                }
                false
            }
            Strike::Kill => {
                // Two thirds of the nodes stay: with fewer there is not much left to break.
                let down = self.seats.len() - alive.len();
                if down >= self.seats.len().div_ceil(3) {
                    return false;
                }
                let Some(index) = alive.first() else { return false };
                let (pause, same_port) = (Duration::from_millis(self.rng.u64(200..900)), self.rng.bool());
                self.kill(*index, Instant::now() + pause, same_port).await;
                self.kills += 1;
                true
            }
        }
    }

    /// Starts every node whose time has come. The others find it through the address book.
    async fn start_dead(&mut self, now: Instant) -> Result<(), Failure> {
        for index in 0..self.options.nodes {
            let Some(Seat::Down { life, endpoint, until }) = self.seats.get(usize::from(index)) else {
                continue;
            };
            if *until > now {
                continue;
            }
            let life = life + 1;
            let node = Node::start(&self.blueprint, index, *endpoint, self.rng.fork()).await?;
            self.book.insert(node.addr, node.endpoint);
            let (addr, links, metrics) = (node.addr, node.links.clone(), node.metrics.clone());
            self.roster.insert(index, Alive { life, addr, links, metrics });
            self.seats[usize::from(index)] = Seat::Up { node, life };
        }
        self.book.publish();
        self.roster.publish();
        Ok(())
    }

    /// Kills a node. Its entry in the address book stays: nobody tells the others.
    async fn kill(&mut self, index: usize, until: Instant, same_port: bool) {
        let Some(Seat::Up { life, node }) = self.seats.get(index) else { return };
        let down = Seat::Down { life: *life, endpoint: same_port.then_some(node.endpoint), until };
        let Seat::Up { node, .. } = std::mem::replace(&mut self.seats[index], down) else { return };
        if let Ok(index) = u16::try_from(index) {
            self.roster.remove(&index);
            self.roster.publish();
        }
        self.bury(node).await;
    }

    async fn bury(&mut self, node: Node) {
        let (addr, links) = (node.addr, node.links.clone());
        if node.is_broken() {
            self.failures.push(format!("the transport of {addr} panicked"));
        }
        let report: ShutdownReport = node.kill().await;
        if !report.is_clean() {
            self.failures.push(format!("{addr} did not end well: {report:?}"));
        }
        // The links stay readable after the end: the last version tells what the manager did in its life.
        let stats = links.snapshot().stats();
        if stats.panics() + stats.transport_panics() > 0 {
            self.failures.push(format!("there were panics in the manager of {addr}: {stats:?}"));
        }
        let refused = report.drain.map_or(0, |drain| drain.refused);
        self.blueprint.totals.dropped_commands.add(refused + stats.expired());
        self.sums.commands += stats.commands();
        self.sums.publishes += stats.publishes();
        self.sums.dials += stats.dials();
        self.sums.stale_answers += stats.stale_answers();
    }

    /// No more chaos: everybody comes back, and the mesh gets time to find its feet.
    async fn settle(&mut self) -> Result<(Vec<Breach>, Option<Duration>), Failure> {
        self.blueprint.faults.stop();
        let begun = Instant::now();
        for seat in &mut self.seats {
            if let Seat::Down { until, .. } = seat {
                *until = begun;
            }
        }
        self.start_dead(begun).await?;
        let mut was_in_order = false;
        loop {
            let breaches = self.compare().await;
            if breaches.is_empty() && was_in_order {
                return Ok((breaches, Some(begun.elapsed())));
            }
            was_in_order = breaches.is_empty();
            if begun.elapsed() >= SETTLE_LIMIT {
                return Ok((breaches, None));
            }
            self.glance("settling");
            sleep(SETTLE_PAUSE).await;
        }
    }

    async fn compare(&self) -> Vec<Breach> {
        let mut views = Vec::new();
        for seat in &self.seats {
            let Seat::Up { node, .. } = seat else { continue };
            views.push(View { addr: node.addr, sockets: node.sockets().await, links: node.links.snapshot() });
        }
        truth::check(&views, &self.blueprint.nets, self.options.min_links)
    }

    async fn end(&mut self) {
        self.collect();
        self.progress.finish();
        for seat in std::mem::take(&mut self.seats) {
            if let Seat::Up { node, .. } = seat {
                self.bury(node).await;
            }
        }
        self.collect();
    }

    fn glance(&mut self, phase: &str) {
        self.collect();
        let rows: Vec<Row> = (0..self.seats.len()).map(|index| self.row(index)).collect();
        self.progress.show(phase, self.started.elapsed(), &rows, self.kills, self.cuts);
    }

    fn collect(&mut self) {
        while let Ok(took) = self.visible.try_recv() {
            self.visible_us.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }

    fn row(&self, index: usize) -> Row {
        let addr = addr_of(u16::try_from(index).unwrap_or(u16::MAX));
        let Some(node) = self.node(index) else { return Row { addr, links: None } };
        let links = node.links.snapshot();
        let counts = self.blueprint.nets.iter().map(|net| links.count(*net)).collect();
        Row { addr, links: Some((counts, links.stats())) }
    }

    fn node(&self, index: usize) -> Option<&Node> {
        match self.seats.get(index) {
            Some(Seat::Up { node, .. }) => Some(node),
            _ => None,
        }
    }
}
