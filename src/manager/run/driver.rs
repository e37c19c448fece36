//! The driver: runs the manager's turns, from the mailbox to the outbox.

mod wait;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use super::handle::Handle;
use super::message::{Envelope, List, Message};
use super::meters::Meters;
use super::outbox::shared::SharedOutbox;
use super::request::{EndOnDrop, Request};
use super::trace;
use crate::clock::Clock;
use crate::link::addr::{Addr, NodeAddr};
use crate::mailbox::{Priority, Receiver, RecvTimeoutError};
use crate::manager::core::Core;
use crate::manager::model::command::{Applied, AppliedAll, Applying, Command, CommandError};
use crate::manager::model::config::Config;
use crate::manager::model::effect::Effect;
use crate::manager::model::report::{DrainReport, MemoryReport};
use crate::manager::read::snapshot::Links;
use crate::sync::{self, StdArc};
use crate::table::Stats;
use crate::table::version::Version;
use crate::table::writer::reclaim::Reclaimed;
use crate::ticket::{Completion, Settled};
use crate::unwind::contain;
use crate::util::defer_drop::collect;
use crate::util::time::later;

/// The interval between batches of host commands while the transport is far behind.
const CONGESTED_BATCH_PERIOD: Duration = Duration::from_millis(100);

/// A manager that the embedder drives: it has no thread and no clock of its own.
///
/// Call [`run_once`](Self::run_once) at the instant that it returned or when commands have arrived, and carry
/// out the [`effects`](Self::effects). A task learns of commands by [`wait_for_work`](Self::wait_for_work),
/// or by the waker of [`poll_turn`](Self::poll_turn); a loop without tasks asks [`has_work`](Self::has_work).
/// Handles of a driver never block: if a lane is full, the command is handed back.
///
/// # Examples
/// ```
/// use switchboard::{Config, Effect, LinkManager, NetConfig, NetId, NodeAddr};
/// use switchboard::clock::{Clock, ManualClock};
///
/// let clock = ManualClock::new();
/// let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build()?;
/// let handle = driver.handle();
/// let ticket = handle.add_net(NetId(1), NetConfig::new().min_links(2))?;
/// handle.set_net_active(NetId(1), true)?;
///
/// let _next = driver.run_once(clock.now());
/// assert!(ticket.wait().is_ok());
/// assert_eq!(driver.links().snapshot().needed(NetId(1)), 2);
/// let effects: Vec<_> = driver.effects().collect();
/// assert_eq!(effects, [Effect::RequestLinks { net: NetId(1), needed: 2 }]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Driver<A: Addr = NodeAddr> {
    core: Core<A>,
    config: Config,
    clock: StdArc<dyn Clock>,
    meters: StdArc<Meters>,
    receiver: Receiver<Message<A>>,
    /// Messages that were taken from the mailbox and are not yet applied.
    inbox: Vec<(Priority, Message<A>)>,
    done: Vec<Done<A>>,
    /// Tickets whose results are in place, and that are still to be told.
    settled: Vec<Told<A>>,
    /// The requests of this turn to measure the memory.
    measures: Vec<Completion<MemoryReport>>,
    outbox: StdArc<SharedOutbox<A>>,
    /// While the transport is far behind: the instant at which the next batch of host commands is taken
    /// nevertheless.
    congested_batch_at: Option<Instant>,
    /// The last version after which removed values have been dropped.
    reclaimed: Version,
    handle: Handle<A>,
    links: Links<A>,
}

impl<A: Addr> Driver<A> {
    pub(in crate::manager) fn new(
        core: Core<A>,
        config: Config,
        clock: StdArc<dyn Clock>,
        meters: StdArc<Meters>,
        receiver: Receiver<Message<A>>,
        handle: Handle<A>,
        links: Links<A>,
    ) -> Self {
        let outbox = StdArc::new(SharedOutbox::new());
        Self {
            core,
            config,
            clock,
            meters,
            receiver,
            inbox: Vec::new(),
            done: Vec::new(),
            settled: Vec::new(),
            measures: Vec::new(),
            outbox,
            congested_batch_at: None,
            reclaimed: Version::ZERO,
            handle,
            links,
        }
    }

    /// The write side.
    #[must_use]
    pub fn handle(&self) -> Handle<A> {
        self.handle.clone()
    }

    /// The read side.
    #[must_use]
    pub fn links(&self) -> Links<A> {
        self.links.clone()
    }

    /// Runs one turn: takes a batch of commands, ends the expired ones, applies the others, performs the
    /// actions due at `now`, publishes once if anything changed, completes the tickets, and adds the effects
    /// to the outbox.
    ///
    /// Returns the instant at which the next turn is due if no command arrives earlier: `now` if there is
    /// more to do at once, and `None` after [`shutdown`](Self::shutdown). Commands that are sent afterwards,
    /// also those that answer an effect, are not part of it: see [`has_work`](Self::has_work). `now` must not
    /// go backwards between calls.
    ///
    /// A turn after which there is nothing more to do at once also drops removed values: those that only old
    /// versions hold. A large number of values is dropped over several turns. A value in a version that a
    /// reader holds is dropped in the first such turn after the reader has released it, at the next tick at
    /// the latest.
    ///
    /// Ticket callbacks and wakers run inside this call, after the version is published; a panic in one of
    /// them is contained and counted. This method never waits.
    pub fn run_once(&mut self, now: Instant) -> Option<Instant> {
        if self.receiver.is_closed() {
            return None;
        }
        self.open_lanes(now);
        self.fill();
        self.turn(now);
        self.open_lanes(now);
        if !self.receiver.is_empty() || !self.inbox.is_empty() {
            return Some(now);
        }
        let deadline = self.core.next_deadline();
        let next = self.congested_batch_at.map_or(deadline, |relief| relief.min(deadline)).max(now);
        Some(if next > now && !self.reclaim() { now } else { next })
    }

    /// Drops removed values while there is nothing else to do, a bounded number at a time, until no older
    /// version holds any: what a reader holds now is dropped at a later tick. Returns `false` if another step
    /// can be done at once.
    fn reclaim(&mut self) -> bool {
        let version = self.core.version();
        if self.reclaimed == version {
            return true;
        }
        let (reclaimed, dropped) = collect(|| self.core.reclaim_some());
        if reclaimed == Reclaimed::All {
            self.reclaimed = version;
        }
        // User values are dropped last, as in a turn.
        self.core.tally_mut().panics += dropped.release();
        reclaimed != Reclaimed::Part
    }

    /// Takes the waiting effects, in order.
    pub fn effects(&mut self) -> impl Iterator<Item = Effect<A>> {
        std::iter::from_fn(|| {
            let effect = self.outbox.pop()?;
            self.note_taken();
            Some(effect)
        })
    }

    /// Wakes the task that runs the driver when commands of the host no longer have to wait for the
    /// transport.
    fn note_taken(&self) {
        // Exactly once as the outbox shrinks past the limit.
        if self.congested_batch_at.is_some() && self.outbox.len() + 1 == self.config.outbox {
            self.handle.wake_writer();
        }
    }

    /// Shuts the manager down: refuses new commands, applies the accepted ones, closes all links and
    /// publishes the empty table. The effects that close the connections stay in the outbox. A second call
    /// has no effect.
    pub fn shutdown(&mut self, now: Instant) -> DrainReport {
        self.close(now, None)
    }

    pub(in crate::manager) fn outbox(&self) -> StdArc<SharedOutbox<A>> {
        self.outbox.clone()
    }

    /// Waits for a command, for at most `timeout`. May return early.
    pub(in crate::manager) fn park(&mut self, timeout: Duration) {
        if let Ok(received) = self.receiver.recv_timeout(timeout) {
            self.inbox.push(received);
        }
    }

    /// Like [`shutdown`](Self::shutdown), but refuses commands that are not applied at `deadline`.
    pub(in crate::manager) fn close(&mut self, now: Instant, deadline: Option<Instant>) -> DrainReport {
        self.receiver.close();
        self.receiver.listen_down_to(Priority::Low);
        let mut report = DrainReport::default();
        let before = self.core.tally_mut().commands;
        while self.fill_to_the_end(deadline) {
            self.turn(now);
        }
        report.drained = self.core.tally_mut().commands - before;
        // Out of time: the remaining commands end without being applied.
        while !self.inbox.is_empty() {
            for (_, message) in self.inbox.drain(..) {
                for _ in 0..message.commands() {
                    report.refused += 1;
                    self.meters.failed(&CommandError::Closed);
                }
                message.refuse(CommandError::Closed);
            }
            self.fill();
        }
        let ((), dropped) = collect(|| {
            report.links_closed = self.core.close();
            report.version = if self.core.is_dirty() { self.core.publish(now) } else { self.core.version() };
        });
        self.outbox.push(self.core.drain_effects());
        self.core.tally_mut().panics += dropped.release();
        report
    }

    /// Takes accepted commands from a closed mailbox. Returns `false` if it is drained or time is up. Waits
    /// for senders that were accepted before the close and are about to push: each of them needs only a few
    /// more instructions.
    fn fill_to_the_end(&mut self, deadline: Option<Instant>) -> bool {
        self.fill();
        while self.inbox.is_empty() {
            let received = match deadline {
                Some(deadline) => self.receiver.recv_timeout(sync::time_left(deadline)),
                None => self.receiver.recv().map_err(|_| RecvTimeoutError::Closed),
            };
            match received {
                Ok(received) => self.inbox.push(received),
                // The transport worker woke the writer; the senders in flight have not pushed yet.
                Err(RecvTimeoutError::Woken) => {}
                Err(_) => break,
            }
        }
        !self.inbox.is_empty() && deadline.is_none_or(|deadline| !sync::time_left(deadline).is_zero())
    }

    fn fill(&mut self) {
        let room = self.config.batch.saturating_sub(self.inbox.len());
        // The mailbox is empty, or closed and drained: either way there is nothing to apply.
        let _ = self.receiver.try_recv_batch(&mut self.inbox, room);
    }

    /// Makes requests of the host wait in the mailbox while the transport is far behind. One batch per
    /// `CONGESTED_BATCH_PERIOD` passes, because the transport itself may be waiting for one of these
    /// commands.
    fn open_lanes(&mut self, now: Instant) {
        let congested = self.outbox.len() >= self.config.outbox;
        let relieved = self.congested_batch_at.is_some_and(|at| at <= now);
        let closed = congested && !relieved;
        self.receiver.listen_down_to(if closed { Priority::High } else { Priority::Low });
        if !congested {
            self.congested_batch_at = None;
        } else if relieved || self.congested_batch_at.is_none() {
            self.congested_batch_at = Some(later(now, CONGESTED_BATCH_PERIOD));
        }
    }

    fn turn(&mut self, now: Instant) {
        // The backlog can only shrink in the meantime, as the transport takes effects.
        let (effects, closing) = self.outbox.load();
        self.core.note_backlog(effects, closing);
        let mut applied = 0;
        let (version, dropped) = collect(|| {
            applied = self.apply_all(now);
            self.core.advance(now);
            self.core.tally_mut().transport_panics = self.outbox.panics();
            if self.core.is_dirty() { self.core.publish(now) } else { self.core.version() }
        });
        if applied > 0 {
            let spent = self.clock.now().saturating_duration_since(now);
            self.meters.processed_together(spent, applied as u64);
        }
        self.complete(version);
        self.answer_measures();
        self.core.tally_mut().effects_coalesced = self.outbox.push(self.core.drain_effects());
        // User values are dropped last: their destructors may run arbitrary code from here on.
        self.core.tally_mut().panics += dropped.release();
    }

    /// Applies messages until they make up a batch; the others stay in the inbox. Returns the number of
    /// commands.
    fn apply_all(&mut self, now: Instant) -> usize {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut commands = 0;
        let batch = inbox.iter().take_while(|(_, message)| {
            let is_open = commands < self.config.batch;
            commands += if is_open { message.commands() } else { 0 };
            is_open
        });
        let messages = batch.count();
        for (lane, message) in inbox.drain(..messages) {
            match message {
                Message::Command(envelope) => self.take(lane, envelope, now),
                Message::List(list) => self.take_list(lane, list, now),
                Message::Measure(completion) => {
                    self.meters.took_request();
                    self.measures.push(completion);
                }
            }
        }
        self.inbox = inbox;
        commands
    }

    fn take(&mut self, lane: Priority, envelope: Envelope<A>, now: Instant) {
        let Envelope { command, completion, created, deadline } = envelope;
        let kind = command.kind();
        // A command that arrived after the turn began has not waited.
        let waited = now.saturating_duration_since(created);
        self.meters.took(lane, kind, waited);
        let (result, log) = self.apply_logged(command, (lane, waited), deadline, now);
        self.done.push(Done::One { completion, result, log });
    }

    fn take_list(&mut self, lane: Priority, list: List<A>, now: Instant) {
        let List { commands, completion, created, deadline } = list;
        let waited = now.saturating_duration_since(created);
        self.meters.took_list(lane, commands.iter().map(Command::kind), waited);
        let mut results = Vec::with_capacity(commands.len());
        let mut logs = Vec::new();
        for command in commands {
            let deadline = deadline.filter(|_| !command.is_report());
            let (result, log) = self.apply_logged(command, (lane, waited), deadline, now);
            results.push(result);
            logs.push(log);
        }
        self.done.push(Done::List { completion, results, logs });
    }

    #[inline]
    fn apply_logged(
        &mut self,
        command: Command<A>,
        (lane, waited): (Priority, Duration),
        deadline: Option<Instant>,
        now: Instant,
    ) -> (Applying, trace::Entry<A>) {
        let mut log = trace::Entry::new(&command, lane, waited, &*self.clock);
        let result = self.apply(command, deadline, now);
        log.applied(&*self.clock);
        (result, log)
    }

    fn apply(&mut self, command: Command<A>, deadline: Option<Instant>, now: Instant) -> Applying {
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.core.tally_mut().expired += 1;
            return Err(CommandError::Expired);
        }
        self.core.apply(command, now)
    }

    /// Completes the tickets of the turn. All results are in place before the first thread is woken: one that
    /// waits for its tickets in order then sleeps once per turn.
    fn complete(&mut self, version: Version) {
        let Self { done, settled, meters, receiver, .. } = self;
        let report = |log: trace::Entry<A>, result: &Applying| {
            if let Err(error) = result {
                meters.failed(error);
            }
            log.report(result, version, || receiver.len_total())
        };
        for done in done.drain(..) {
            match done {
                Done::One { completion, result, log } => {
                    let report = report(log, &result);
                    let ticket = completion.settle(result.map(|outcome| Applied { outcome, version }));
                    if ticket.is_awaited() || report.is_due() {
                        settled.push(Told::One(ticket, report));
                    }
                }
                Done::List { completion, results, logs } => {
                    let reports =
                        logs.into_iter().zip(&results).map(|(log, result)| report(log, result)).collect();
                    let ticket = completion.settle(Ok(AppliedAll { results, version }));
                    settled.push(Told::List(ticket, reports));
                }
            }
        }
        for told in self.settled.drain(..) {
            self.core.tally_mut().panics += told.tell();
        }
    }
}

impl<A: Addr> Driver<A> {
    /// Measures the memory of the manager. O(links + pages of all live versions); allocates.
    #[must_use]
    pub fn memory(&self) -> MemoryReport {
        let (table, records_bytes) = self.core.memory();
        let (mailbox_bytes, tickets_bytes) = self.handle.queue_bytes();
        let Stats { alive: versions_alive, readers, .. } = self.core.versions();
        let outbox_bytes = self.outbox.bytes();
        MemoryReport {
            table,
            records_bytes,
            mailbox_bytes,
            tickets_bytes,
            outbox_bytes,
            versions_alive,
            readers,
        }
    }

    fn answer_measures(&mut self) {
        if self.measures.is_empty() {
            return;
        }
        let report = self.memory();
        for completion in self.measures.drain(..) {
            if completion.complete(report).contained_panic() {
                self.core.tally_mut().panics += 1;
            }
        }
    }
}

impl<A: Addr> fmt::Debug for Driver<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("version", &self.core.version())
            .field("effects", &self.outbox.len())
            .finish_non_exhaustive()
    }
}

impl<A: Addr> Drop for Driver<A> {
    /// Ends the outbox, because the transport's thread must not wait for a writer that has ended.
    fn drop(&mut self) {
        self.outbox.end(None);
    }
}

/// An applied message whose ticket waits for the version.
enum Done<A> {
    One {
        completion: Completion<Applied, CommandError>,
        result: Applying,
        log: trace::Entry<A>,
    },
    List {
        completion: Completion<AppliedAll, CommandError>,
        results: Vec<Applying>,
        logs: Vec<trace::Entry<A>>,
    },
}

/// A ticket whose result is in place, with the events of its commands.
enum Told<A> {
    One(Settled<Applied, CommandError>, trace::Report<A>),
    List(Settled<AppliedAll, CommandError>, Vec<trace::Report<A>>),
}

impl<A: Addr> Told<A> {
    /// Tells the ticket, and emits the events. Returns the number of panics.
    fn tell(self) -> u64 {
        // A panic in a waker or a callback of the ticket is contained in `tell`, and a panic of a subscriber in
        // `emit`.
        match self {
            Self::One(ticket, report) => {
                let panicked = ticket.tell().contained_panic();
                u64::from(!report.emit() || panicked)
            }
            Self::List(ticket, reports) => {
                let panicked = u64::from(ticket.tell().contained_panic());
                panicked + reports.into_iter().map(|report| u64::from(!report.emit())).sum::<u64>()
            }
        }
    }
}

/// The main function of the writer's thread: runs turns until it is told to shut down.
///
/// It waits only in the mailbox: it is woken by every send, by the shutdown request, and by the transport
/// worker when a congested outbox has drained.
pub(in crate::manager) fn write<A: Addr>(mut driver: Driver<A>, clock: &dyn Clock, request: &Request) {
    // Ends after the driver, which is moved in here.
    let _end = EndOnDrop(request);
    loop {
        let now = clock.now();
        let next = driver.run_once(now);
        if let Some(order) = request.take() {
            let report = driver.close(clock.now(), order.deadline);
            driver.outbox().end(order.deadline);
            // Everything that handles and tickets can observe is done before the request completes. Unwind
            // safety: state that a destructor of the host (such as that of a source of randomness) leaves
            // behind is not used again.
            let _ = contain(AssertUnwindSafe(|| drop(driver)));
            let _ = order.completion.complete(report);
            return;
        }
        let Some(next) = next else { return };
        if next > now {
            driver.park(next - now);
        }
    }
}
