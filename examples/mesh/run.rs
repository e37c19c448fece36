//! The supervisor: starts the nodes, injects the faults, and checks the result.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use hdrhistogram::Histogram;
use switchboard::manager::export::Export;
use switchboard::{NodeAddr, Table, Writer};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::chaos::Schedule;
use crate::faults::Faults;
use crate::kept::{self, Kept};
use crate::names::addr_of;
use crate::node::{Blueprint, Node};
use crate::options::Options;
use crate::plan::Plan;
use crate::progress::{Progress, Row};
use crate::query::{Alive, Answers, Queries};
use crate::scrape::Scrape;
use crate::totals::Totals;
use crate::truth::{self, Breach, View};

mod lives;

/// An error of the program itself, which ends the run. Failures within the mesh are reported in [`Outcome`].
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Interval at which the display is refreshed and samples are collected.
const GLANCE: Duration = Duration::from_millis(200);

/// Time limit for the mesh to settle after the chaos has stopped.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);

/// Pause between two checks of a settling mesh. Two checks in a row must find it in order.
const SETTLE_PAUSE: Duration = Duration::from_millis(150);

/// Sums over the managers of all nodes, in all their lives.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) commands: u64,
    pub(crate) publishes: u64,
    pub(crate) dials: u64,
    pub(crate) stale_answers: u64,
    /// Traffic according to the counters of all links.
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
}

/// The results of a run.
pub(crate) struct Outcome {
    pub(crate) sums: Sums,
    pub(crate) kills: u64,
    pub(crate) cuts: u64,
    /// Links that a node deleted.
    pub(crate) forgotten: u64,
    pub(crate) totals: Arc<Totals>,
    pub(crate) answers: Answers,
    pub(crate) visible_us: Histogram<u64>,
    /// The parts of the plan that were fulfilled at the end.
    pub(crate) kept: Kept,
    pub(crate) breaches: Vec<Breach>,
    /// Failures other than the breaches.
    pub(crate) failures: Vec<String>,
    pub(crate) stable_after: Option<Duration>,
}

/// The slot of a node, alive or dead.
enum Seat {
    Up { node: Box<Node>, life: u32 },
    Down { life: u32, endpoint: Option<SocketAddr>, saved: Option<Export<NodeAddr>>, until: Instant },
}

impl Seat {
    /// A slot of a node that was never started.
    fn new(until: Instant) -> Self {
        Self::Down { life: 0, endpoint: None, saved: None, until }
    }
}

/// The result of the final comparison.
struct Verdict {
    kept: Kept,
    breaches: Vec<Breach>,
    stable_after: Option<Duration>,
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

/// Runs the mesh from start to end.
pub(crate) async fn run(options: &Options) -> Result<Outcome, Failure> {
    let (roster, alive) = Table::new();
    let (mut supervisor, totals) = Supervisor::new(options, roster)?;
    let plan = Arc::clone(&supervisor.blueprint.plan);
    supervisor.start_dead(Instant::now()).await?;
    let queries = Queries::start(options, &alive, plan.nets())?;
    let _scrape = match options.metrics {
        Some(endpoint) => Some(Scrape::start(endpoint, alive.clone()).await?),
        None => None,
    };

    supervisor.fight().await?;
    let Verdict { kept, breaches, stable_after } = supervisor.settle().await?;
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
        kept,
        breaches,
        failures,
        stable_after,
    })
}

impl<'a> Supervisor<'a> {
    fn new(options: &'a Options, roster: Writer<u16, Alive>) -> Result<(Self, Arc<Totals>), Failure> {
        let (book, addresses) = Table::new();
        let (totals, visible) = Totals::new(options.nodes);
        let totals = Arc::new(totals);
        let blueprint = Blueprint {
            plan: Arc::new(Plan::new(options.nodes, options.nets, options.min_links)),
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
            seats: (0..options.nodes).map(|_| Seat::new(now)).collect(),
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

    /// Injects faults for as long as the flags say.
    async fn fight(&mut self) -> Result<(), Failure> {
        self.started = Instant::now();
        let length = Duration::from_secs(u64::from(self.options.seconds));
        let (half, end) = (self.started + length / 2, self.started + length);
        let mut schedule = Schedule::new(self.options, self.started, self.rng.fork());
        let mut glance = self.started;
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            if now >= glance {
                self.glance("chaos");
                glance = now + GLANCE;
            }
            if now >= half && !self.blueprint.plan.is_late() {
                self.turn().await?;
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

    /// Begins the second half: reconfigures every living node. A dead node is reconfigured when it restarts.
    async fn turn(&mut self) -> Result<(), Failure> {
        self.blueprint.plan.turn();
        for seat in &self.seats {
            if let Seat::Up { node, .. } = seat {
                node.reconfigure().await?;
            }
        }
        Ok(())
    }

    /// Stops the faults, restarts all dead nodes, and waits until the mesh is in order.
    async fn settle(&mut self) -> Result<Verdict, Failure> {
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
            let (kept, breaches) = self.compare().await;
            let is_in_order = breaches.is_empty();
            if (is_in_order && was_in_order) || begun.elapsed() >= SETTLE_LIMIT {
                let stable_after = (is_in_order && was_in_order).then(|| begun.elapsed());
                return Ok(Verdict { kept, breaches, stable_after });
            }
            was_in_order = is_in_order;
            self.glance("repairing");
            sleep(SETTLE_PAUSE).await;
        }
    }

    async fn compare(&self) -> (Kept, Vec<Breach>) {
        let mut views = Vec::new();
        for seat in &self.seats {
            let Seat::Up { node, .. } = seat else { continue };
            views.push(View { addr: node.addr, sockets: node.sockets().await, links: node.links.snapshot() });
        }
        let (plan, now) = (&self.blueprint.plan, Instant::now().into_std());
        let (kept, unkept) = kept::check(&views, plan, now);
        let mut breaches = truth::check(&views, plan.nets(), self.options.min_links, now);
        breaches.extend(unkept);
        (kept, breaches)
    }

    async fn end(&mut self) {
        self.collect();
        self.progress.finish();
        for seat in std::mem::take(&mut self.seats) {
            if let Seat::Up { node, .. } = seat {
                self.bury(*node).await;
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
        let counts = self.blueprint.plan.nets().iter().map(|net| links.count(*net)).collect();
        Row { addr, links: Some((counts, links.stats())) }
    }

    fn node(&self, index: usize) -> Option<&Node> {
        match self.seats.get(index) {
            Some(Seat::Up { node, .. }) => Some(node),
            _ => None,
        }
    }
}
