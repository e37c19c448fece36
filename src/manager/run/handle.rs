//! The write side: each method sends one command to the mailbox.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::message::{Envelope, Message};
use super::meters::Meters;
use super::trace;
use crate::clock::Clock;
use crate::link::addr::{Addr, NodeAddr};
use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialId, ResolveId, UserData};
use crate::mailbox::{self, Backpressure, Permit, Priority, Sender};
use crate::manager::model::command::{
    Applied, AppliedAll, Command, CommandError, SubmitError, SubmitErrorKind,
};
use crate::manager::model::config::settings::Settings;
use crate::manager::model::report::MemoryReport;
use crate::sync::StdArc;
use crate::ticket::{Pool, PoolStats, Ticket, ticket};

mod clusters;
pub(in crate::manager) mod lists;

/// The most tickets of lists that are pooled.
const POOLED_LIST_TICKETS: usize = 64;

/// The write side of a link manager. Clones are cheap and share the mailbox.
///
/// Every method that changes the state sends one command to the mailbox and returns a [`Ticket`], which
/// completes after the version that contains the change is published. There are three ways to use the ticket:
/// drop it (fire and forget), wait for it (with or without a time-out), or be notified (it is a `Future`, and
/// takes a callback).
///
/// Queries are not commands: they read a snapshot of [`Links`](crate::Links).
///
/// # Cost
/// Sending a command reads the clock once and takes a ticket from a pool that all handles share: nothing is
/// allocated while no more tickets are held than the pool [keeps](crate::Config::pooled_tickets). Applying
/// the command allocates the new record of the link, and nothing if no record changes.
///
/// # When the mailbox is full
/// Requests of the host (nets, links) follow the configured [`Backpressure`]; under
/// [`ShedLowest`](Backpressure::ShedLowest) only messages of the low lane are shed (`check_nets`, `wake_up`,
/// memory measurements), and never a report of a transport. A manager with its own writer's thread never
/// refuses reports of a transport (streams, dials, endpoints, outcomes of announcements) because a lane is
/// full: the call waits until the writer has made room, and the writer never waits for another thread. The
/// writer makes room for endpoints and outcomes of announcements slowly while the transport is [far
/// behind](crate::Config::outbox).
///
/// Code that runs on the writer's thread (callbacks and wakers of tickets, destructors of [`UserData`],
/// `tracing` subscribers) may use every handle, but must not wait: a report that finds its lane full would
/// wait for the thread on which it runs. Hand such work to another thread. A task sends reports with
/// [`submit_async`](Self::submit_async), which blocks no thread.
///
/// Handles of a [`Driver`](crate::Driver) never wait, because the calling thread may be the one that drives
/// the manager: they return [`SubmitError`] with the command, which can be sent again after the next turn. Only
/// the future of `submit_async` waits for room.
///
/// # Progress
/// Each method creates a ticket and does one send into the [mailbox](crate::mailbox#progress), O(1), and
/// inherits its progress guarantee; if it waits, it blocks until the writer's next turn at the latest.
/// Applying a command costs O(1) expected in the number of links, except for switching a net or the manager
/// (O(its links)), and for dissociating a cluster or changing the role of this node in one (O(its peers)).
///
/// # Errors
/// [`SubmitError`] hands the command back if the mailbox is full or the manager has ended.
pub struct Handle<A: Addr = NodeAddr> {
    sender: Sender<Message<A>>,
    clock: StdArc<dyn Clock>,
    /// The pool of tickets, shared by all handles.
    tickets: Pool<Applied, CommandError>,
    /// The pool of the tickets of lists.
    list_tickets: Pool<AppliedAll, CommandError>,
    meters: StdArc<Meters>,
    deadline: Option<Duration>,
    /// Whether the manager has its own writer's thread to wait for.
    may_wait: bool,
    /// Whether the policy of the mailbox is to wait.
    blocks: bool,
}

/// The result of sending a command: its [`Ticket`], or an error that hands the command back.
pub type Submitted<A = NodeAddr> = Result<Ticket<Applied, CommandError>, SubmitError<A>>;

impl<A: Addr> Handle<A> {
    pub(in crate::manager) fn new(
        sender: Sender<Message<A>>,
        clock: StdArc<dyn Clock>,
        tickets: Pool<Applied, CommandError>,
        meters: StdArc<Meters>,
        may_wait: bool,
        policy: Backpressure,
    ) -> Self {
        let blocks = policy == Backpressure::Block;
        let pooled = tickets.stats().capacity.min(POOLED_LIST_TICKETS);
        let list_tickets = Pool::new(NonZeroUsize::new(pooled).unwrap_or(NonZeroUsize::MIN));
        Self { sender, clock, tickets, list_tickets, meters, deadline: None, may_wait, blocks }
    }

    /// Returns a handle whose commands expire `timeout` after they are sent: a command that was not applied
    /// by then is never applied, and its ticket fails with [`CommandError::Expired`].
    ///
    /// Reports of a transport (streams, dials, endpoints, outcomes of announcements) never expire: they
    /// describe events that have happened, and a link that missed a report would wait for it.
    #[must_use]
    pub fn with_deadline(&self, timeout: Duration) -> Self {
        Self { deadline: Some(timeout), ..self.clone() }
    }

    /// Starts managing a net, which is switched off at first.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `InvalidNet`, `NetExists` or
    /// `LimitReached`.
    pub fn add_net(&self, net: NetId, config: NetConfig) -> Submitted<A> {
        self.submit(Command::AddNet { net, config })
    }

    /// Switches a net off and stops managing it. Its clusters are dissociated.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownNet`.
    pub fn remove_net(&self, net: NetId) -> Submitted<A> {
        self.submit(Command::RemoveNet { net })
    }

    /// Switches a net and its clusters on or off.
    ///
    /// Switching it off empties and disables its clusters, and closes every link that only this net kept,
    /// except for streams that the peer opened, which stay without any membership. The records of static
    /// peers also stay. Switching it on associates its permanent peers, and connected static peers join at
    /// once.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownNet`, or with `LimitReached` if
    /// the links to the permanent peers would exceed a limit.
    pub fn set_net_active(&self, net: NetId, active: bool) -> Submitted<A> {
        self.submit(Command::SetNetActive { net, active })
    }

    /// Replaces the configuration of a net. If its minimum is raised, the net requests candidates at once
    /// with immediate timing, and in the next request phase with ticked timing. A net that becomes
    /// [reserved](NetConfig::reserved_only) lets go of every link to a node other than its permanent peers; a
    /// net that becomes open requests candidates again.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownNet`.
    pub fn configure_net(&self, net: NetId, config: NetConfig) -> Submitted<A> {
        self.submit(Command::ConfigureNet { net, config })
    }

    /// Replaces the settings of the manager; [`Settings`] describes the effect of each change. The settings
    /// are validated as a whole when the command is applied; [`Settings::validate`] checks them beforehand.
    /// O(links) if the retry policy, the dial time-out or the flap policy changes.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `Config`, and the settings stay
    /// unchanged.
    pub fn reconfigure(&self, settings: Settings) -> Submitted<A> {
        self.submit(Command::Reconfigure { settings: Box::new(settings) })
    }

    /// Attaches a value to a link, replacing the previous one; `None` detaches it. Read the value with
    /// [`Link::user_data`](crate::Link::user_data); [`UserData`] describes when it is dropped.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownLink`.
    pub fn set_user_data(&self, addr: A, data: impl Into<Option<UserData>>) -> Submitted<A> {
        self.submit(Command::SetUserData { addr, data: data.into() })
    }

    /// Switches the whole manager on or off. While it is off, no node is dialled, no candidates are
    /// requested, and new streams are refused; connected links stay.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn set_active(&self, active: bool) -> Submitted<A> {
        self.submit(Command::SetActive { active })
    }

    /// Makes a net want a link, and adds the address to the ignore list of the net.
    ///
    /// The outcome is `Created`, `Associated` (the link existed for another reason) or `AlreadyAssociated`.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `BlankAddr`, `OwnAddr`, `UnknownNet`,
    /// `ReservedNet` or `LimitReached`.
    pub fn create_link(&self, addr: A, net: NetId) -> Submitted<A> {
        self.submit(Command::CreateLink { addr, net })
    }

    /// Supplies the endpoint of a node that has a link, in answer to `Effect::Resolve` or beforehand. The
    /// outcome is `Unchanged` if the manager knows that endpoint, has not failed to reach it since, and does
    /// not wait for an answer.
    ///
    /// In contrast to `resolve_failed`, a late answer counts: an endpoint is valid regardless of the
    /// resolution that requested it.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownLink`, `NotDialable`, `LinkBusy`
    /// or `Endpoint`.
    pub fn set_endpoint(&self, addr: A, endpoint: SocketAddr) -> Submitted<A> {
        self.submit(Command::SetEndpoint { addr, endpoint })
    }

    /// Closes a link and removes its record, regardless of the reasons to keep it. For a permanent or static
    /// peer, a blank record stays, which is dialled after the retry delay: other commands withdraw that role
    /// of the peer.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownLink`.
    pub fn delete_link(&self, addr: A) -> Submitted<A> {
        self.submit(Command::DeleteLink { addr })
    }

    /// Answers `Effect::Resolve` when no endpoint is known: the manager tries the previous endpoint of the
    /// node, or counts a failed attempt as [`dial_failed`](Self::dial_failed) does. The outcome is `Stale` if
    /// the manager no longer waits for this answer.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn resolve_failed(&self, addr: A, resolve: ResolveId) -> Submitted<A> {
        self.submit(Command::ResolveFailed { addr, resolve })
    }

    /// Reports a new stream with a node. The first one becomes the primary stream; for later ones the outcome
    /// is `Spare`.
    ///
    /// A stream that is not accepted is closed through `Effect::CloseStreams`. The outcome is then `Stale`
    /// (an uplink whose dial was given up), or the ticket fails with `BlankAddr`, `OwnAddr`, `Inactive`,
    /// `UnknownLink` (an uplink to a node without a link) or `LimitReached`. While [too
    /// many](crate::Config::refused_streams) refused streams wait to be closed, no effect closes the stream,
    /// and the ticket fails with `TooManyRefused`: the caller must then close it.
    ///
    /// A static peer joins its enabled clusters in the same version.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn add_stream(&self, addr: A, stream: StreamId, direction: Direction) -> Submitted<A> {
        self.submit(Command::AddStream { addr, stream, direction })
    }

    /// Reports a new stream that a dial opened: like [`add_stream`](Self::add_stream) with an uplink, but the
    /// stream is accepted only while that dial is the current one of the link. For a late stream of a
    /// cancelled dial the outcome is `Stale`, and the stream is closed, even if the node is being dialled
    /// again.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails as with `add_stream`.
    pub fn add_uplink(&self, addr: A, stream: StreamId, dial: DialId) -> Submitted<A> {
        self.submit(Command::AddUplink { addr, stream, dial })
    }

    /// Reports that a stream closed and another one takes over as the primary stream; memberships stay.
    ///
    /// If the link has neither of the two streams, or the new one is an uplink without a dial, the new one is
    /// closed through `Effect::CloseStreams`, or the ticket fails with `TooManyRefused` as with
    /// [`add_stream`](Self::add_stream). The old stream is deleted in either case.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn replace_stream(
        &self,
        addr: A,
        old: StreamId,
        new: StreamId,
        direction: Direction,
    ) -> Submitted<A> {
        self.submit(Command::ReplaceStream { addr, old, new, direction })
    }

    /// Reports that a stream closed. When the last stream of a link closes, its memberships end.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn delete_stream(&self, addr: A, stream: StreamId) -> Submitted<A> {
        self.submit(Command::DeleteStream { addr, stream })
    }

    /// Reports that both sides agreed on a net that was announced on a stream: the node becomes a member of
    /// the net's main cluster, and of those clusters of the net of which it is a static peer.
    ///
    /// Either side may have announced the net: the side that did reports this when the answer arrives, and
    /// the other side when it sends the answer. The outcome is `Done`, `Unchanged` if the node is already a
    /// member, or `Stale` if the link no longer has the stream.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownNet`, `NetInactive` or
    /// `ReservedNet`.
    pub fn admit(&self, net: NetId, addr: A, stream: StreamId) -> Submitted<A> {
        self.submit(Command::AccountLink { net, addr, stream, accepted: true })
    }

    /// Reports that one side declined a net that was announced on a stream. The node leaves all clusters of
    /// the net, and the net lets the link go; a link that nothing else keeps is closed. A permanent peer
    /// stays associated, and the net is announced again after the retry delay. The outcome is `Done`, or
    /// `Stale` if the link no longer has the stream.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownNet`, `NetInactive` or
    /// `ReservedNet`.
    pub fn refuse(&self, net: NetId, addr: A, stream: StreamId) -> Submitted<A> {
        self.submit(Command::AccountLink { net, addr, stream, accepted: false })
    }

    /// Reports that a dial reached the node, in answer to `Effect::Dial`. Send it after `add_uplink`.
    ///
    /// Nets are announced once the link has a stream, so the node may become a member before this report is
    /// applied. [`MemberFilter::Established`](crate::manager::MemberFilter::Established) leaves such members
    /// out.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn dial_connected(&self, addr: A, dial: DialId) -> Submitted<A> {
        self.submit(Command::DialConnected { addr, dial })
    }

    /// Reports that a dial failed, or that the connection it made broke. With `last` the dialer has given up;
    /// otherwise it keeps trying on its own, and reports `dial_connected` or the last failure under the same
    /// identity.
    ///
    /// A failed attempt delays the next one. After the [last](crate::Config::max_attempts) allowed attempt,
    /// the nets are notified and let the link go. If the node is a member through a stream that it opened,
    /// its nets keep the link, regardless of how the attempt failed, and a dial in progress is cancelled.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn dial_failed(&self, addr: A, dial: DialId, last: bool) -> Submitted<A> {
        self.submit(Command::DialFailed { addr, dial, last })
    }

    /// Requests candidates now for every active net that is short of links.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn check_nets(&self) -> Submitted<A> {
        self.submit(Command::CheckNets)
    }

    /// Wakes up the links that are due now.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn wake_up(&self) -> Submitted<A> {
        self.submit(Command::WakeUp)
    }

    /// Whether the manager has ended: every send then fails with `Closed`.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends any command.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn submit(&self, command: Command<A>) -> Submitted<A> {
        let report = command.is_report();
        self.submit_by(command, self.clock.now(), |priority, message| self.send(priority, report, message))
    }

    /// Sends any command; the form of [`submit`](Self::submit) for tasks. Where `submit` blocks the thread until
    /// the writer has made room, the future waits: for reports of a transport, and with
    /// [`Backpressure::Block`] for requests of the host. It completes when the command is queued, and returns
    /// the ticket.
    ///
    /// It also waits if the manager is a [`Driver`](crate::Driver), whose other calls hand the command back:
    /// the driver must be run meanwhile, by another task or beside this future. Waiting tasks and threads
    /// share [one queue](crate::mailbox#waiting-for-room) per lane; the future takes its place when it is
    /// first polled, which is also when a [deadline](Self::with_deadline) begins. No runtime is needed.
    ///
    /// # Cancel safety
    /// A future that is dropped before it completes has sent nothing, and the command is dropped with it. Its
    /// place is lost; if it was already given a room, the next sender of the queue receives that room.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    ///
    /// # Examples
    /// ```
    /// use switchboard::{Command, Config, Direction, Effect, Handle, LinkManager, NodeAddr, Outcome, StreamId};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let nothing = |_: Effect<NodeAddr>, _: &Handle| {};
    /// let manager = LinkManager::builder(Config::default()).transport(nothing).spawn()?;
    /// let (addr, stream, direction) = (NodeAddr(2), StreamId(1), Direction::Downlink);
    /// let ticket = manager.handle().submit_async(Command::AddStream { addr, stream, direction }).await?;
    /// assert_eq!(ticket.await?.outcome, Outcome::Done);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn submit_async(&self, command: Command<A>) -> Submitted<A> {
        let created = self.clock.now();
        let permit = self.reserve_async(command.priority(), command.is_report()).await;
        self.submit_by(command, created, |priority, message| self.send_with(permit, priority, message))
    }

    /// Waits for room if a report is to be sent, or if the policy is to wait. `None` also if the mailbox is
    /// closed: the send refuses the message then.
    async fn reserve_async(&self, priority: Priority, report: bool) -> Option<Permit<'_, Message<A>>> {
        if self.blocks || report { self.sender.reserve_async(priority).await.ok() } else { None }
    }

    fn send_with(
        &self,
        permit: Option<Permit<'_, Message<A>>>,
        priority: Priority,
        message: Message<A>,
    ) -> SentMessage<A> {
        let Some(permit) = permit else { return self.send_by_policy(priority, message) };
        match permit.send(message) {
            Ok(()) => Ok(None),
            Err(error) => Err((SubmitErrorKind::Closed, error.into_inner())),
        }
    }

    fn submit_by(
        &self,
        command: Command<A>,
        created: Instant,
        send: impl FnOnce(Priority, Message<A>) -> SentMessage<A>,
    ) -> Submitted<A> {
        let priority = command.priority();
        trace::submitted(&command);
        let timeout = self.deadline.filter(|_| !command.is_report());
        let deadline = timeout.and_then(|timeout| created.checked_add(timeout));
        let (completion, ticket) = self.tickets.ticket();
        let message = Message::Command(Envelope { command, completion, created, deadline });
        match send(priority, message) {
            Ok(None) => Ok(ticket),
            Ok(Some(victim)) => {
                shed(victim);
                Ok(ticket)
            }
            Err((kind, message)) => {
                let error = message.into_refusal(kind);
                trace::refused(&error.command, kind);
                Err(error)
            }
        }
    }

    /// Asks the writer to measure the memory of the manager. For diagnostics: while it measures, O(links +
    /// pages of all live versions), the writer does nothing else, and it allocates. The request waits in the
    /// lane of the lowest priority.
    ///
    /// # Errors
    /// [`SubmitErrorKind`] if that lane is full or the manager has ended. The ticket fails if the manager
    /// ends first.
    pub fn measure_memory(&self) -> Result<Ticket<MemoryReport>, SubmitErrorKind> {
        let (completion, ticket) = ticket();
        match self.sender.try_send(Priority::Low, Message::Measure(completion)) {
            Ok(()) => Ok(ticket),
            Err(error) => Err(refusal(error.is_closed())),
        }
    }

    /// Sends a message to the mailbox, with the policy for its kind. `Ok` may carry a message that was shed.
    fn send(&self, priority: Priority, report: bool, message: Message<A>) -> SentMessage<A> {
        if report && self.may_wait {
            // No time-out: the writer never waits for another thread, and therefore makes room.
            return match self.sender.send_timeout(priority, message, Duration::MAX) {
                Ok(()) => Ok(None),
                Err(error) => Err((refusal(error.is_closed()), error.into_inner())),
            };
        }
        if self.may_wait || !self.blocks {
            return self.send_by_policy(priority, message);
        }
        match self.sender.try_send(priority, message) {
            Ok(()) => Ok(None),
            Err(error) => Err((refusal(error.is_closed()), error.into_inner())),
        }
    }

    fn send_by_policy(&self, priority: Priority, message: Message<A>) -> SentMessage<A> {
        match self.sender.send(priority, message) {
            Ok(sent) => Ok(sent.into_victim().map(|victim| victim.value)),
            Err(error) => Err((refusal(error.is_closed()), error.into_inner())),
        }
    }

    pub(crate) fn meters(&self) -> &StdArc<Meters> {
        &self.meters
    }

    pub(crate) fn mailbox_stats(&self) -> mailbox::Stats {
        self.sender.stats()
    }

    /// A number that changes with every counter about commands: after each change by the writer, with each
    /// submitted command, and with each command that is handed back.
    pub(crate) fn activity(&self) -> u64 {
        let handed_back = self.sender.handed_back();
        let issued = self.tickets.issued().wrapping_add(self.list_tickets.issued());
        self.meters().pulse().wrapping_add(issued).wrapping_add(handed_back)
    }

    pub(crate) fn ticket_stats(&self) -> PoolStats {
        self.tickets.stats()
    }

    /// The memory of the mailbox's rings, and of the pooled tickets.
    pub(in crate::manager) fn queue_bytes(&self) -> (usize, usize) {
        (self.sender.bytes(), self.tickets.bytes() + self.list_tickets.bytes())
    }

    /// The sending end of the mailbox, for tests that hold permits.
    #[cfg(all(test, not(switchboard_model)))]
    pub(in crate::manager) fn sender(&self) -> &Sender<Message<A>> {
        &self.sender
    }

    /// Makes the writer check the length of the outbox again, and look for the request to shut down.
    pub(in crate::manager) fn wake_writer(&self) {
        self.sender.wake();
    }
}

type SentMessage<A> = Result<Option<Message<A>>, (SubmitErrorKind, Message<A>)>;

/// Ends a message that gave its room to a more urgent one.
fn shed<A: Addr>(victim: Message<A>) {
    trace::shed(&victim);
    victim.refuse(CommandError::Shed);
}

fn refusal(closed: bool) -> SubmitErrorKind {
    if closed { SubmitErrorKind::Closed } else { SubmitErrorKind::Full }
}

impl<A: Addr> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            clock: self.clock.clone(),
            tickets: self.tickets.clone(),
            list_tickets: self.list_tickets.clone(),
            meters: self.meters.clone(),
            deadline: self.deadline,
            may_wait: self.may_wait,
            blocks: self.blocks,
        }
    }
}

impl<A: Addr> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("closed", &self.is_closed())
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
