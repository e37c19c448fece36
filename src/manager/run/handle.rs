//! The write side: every method puts one command into the mailbox.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::message::{Envelope, Message};
use super::meters::Meters;
use super::trace;
use crate::clock::Clock;
use crate::link::addr::{Addr, NodeAddr};
use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::link::{DialId, ResolveId, UserData};
use crate::mailbox::{self, Backpressure, Priority, Sender};
use crate::manager::model::command::{Applied, Command, CommandError, SubmitError, SubmitErrorKind};
use crate::manager::model::config::settings::Settings;
use crate::manager::model::report::MemoryReport;
use crate::sync::StdArc;
use crate::ticket::{Pool, PoolStats, Ticket, ticket};

mod clusters;

/// The write side of a link manager. Clones are cheap and share the mailbox.
///
/// Every method puts one command into the mailbox and returns a [`Ticket`], which completes after the version
/// that contains the change is published. There are three ways to ask: drop the ticket (fire and forget),
/// wait for it (with or without a time-out), or have it call back (it is a `Future`, and takes a callback).
///
/// Queries are not commands: they read a snapshot of [`Links`](crate::Links).
///
/// # Costs
/// A command reads the clock once and takes its ticket from a pool that all handles share: nothing is
/// allocated while no more tickets are held than the pool [keeps](crate::Config::pooled_tickets). Applying it
/// allocates what the new record of the link is made of, and nothing where no record changes.
///
/// # When the mailbox is full
/// What the host asks for (nets, links) follows the configured [`Backpressure`]; under
/// [`ShedLowest`](Backpressure::ShedLowest) only requests to tick are shed, and never a report of a
/// transport. What a transport reports (streams, dials, endpoints, accounting) is never refused by a manager
/// with a thread of its own: the call waits until the writer has made room, and the writer never waits for
/// anybody. It is slow to make room for endpoints and accounting while the transport is [far
/// behind](crate::Config::outbox).
///
/// What runs on the writer's thread (callbacks and wakers of tickets, destructors of [`UserData`],
/// subscribers of `tracing`) may use every handle, but must not wait: a report that finds its lane full there
/// would wait for the thread that it runs on. Hand such work to another thread.
///
/// Handles of a [`Driver`](crate::Driver) never wait, because the thread that calls may be the one that
/// drives: they return [`SubmitError`] with the command, to be sent again after the next turn.
///
/// # Progress
/// Each method makes a ticket and one send into the [mailbox](crate::mailbox#progress), O(1), and inherits
/// its progress; where it waits, it blocks until the writer's next turn at the latest. What a command costs
/// when it is applied is O(1) expected in the number of links, but for switching a net or the manager (O(its
/// links)), and for dissociating a cluster and the role of this node in one (O(its peers)).
///
/// # Errors
/// [`SubmitError`] hands the command back: the mailbox is full, or the manager has ended.
pub struct Handle<A: Addr = NodeAddr> {
    sender: Sender<Message<A>>,
    clock: StdArc<dyn Clock>,
    /// Where tickets come from: shared by all handles.
    tickets: Pool<Applied, CommandError>,
    meters: StdArc<Meters>,
    deadline: Option<Duration>,
    /// There is a writer's thread of its own to wait for.
    may_wait: bool,
    /// The policy of the mailbox is to wait.
    blocks: bool,
}

/// The result of asking for a change: the [`Ticket`] of the command, or the command back.
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
        Self { sender, clock, tickets, meters, deadline: None, may_wait, blocks }
    }

    /// A handle whose commands expire `timeout` after they are sent: one that was not applied by then is
    /// never applied, and its ticket says [`CommandError::Expired`].
    ///
    /// What a transport reports (streams, dials, endpoints, accounting) never expires: it says what has
    /// happened, and a link that did not learn of it would wait for it.
    #[must_use]
    pub fn with_deadline(&self, timeout: Duration) -> Self {
        Self { deadline: Some(timeout), ..self.clone() }
    }

    /// Manages a net. It starts switched off.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `InvalidNet`, `NetExists` or
    /// `LimitReached`.
    pub fn add_net(&self, net: NetId, config: NetConfig) -> Submitted<A> {
        self.submit(Command::AddNet { net, config })
    }

    /// Stops managing a net: switches it off first. Its clusters are dissociated.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownNet`.
    pub fn remove_net(&self, net: NetId) -> Submitted<A> {
        self.submit(Command::RemoveNet { net })
    }

    /// Switches a net on or off, and its clusters with it.
    ///
    /// Switching it off empties and disables its clusters, and ends every link that only this net kept;
    /// streams that the peer opened stay, as members of nothing, and so do the records of static peers.
    /// Switching it on associates its permanent peers, and static peers that are connected join at once.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownNet`, or with `LimitReached` when
    /// there is no room for the links to the permanent peers.
    pub fn set_net_active(&self, net: NetId, active: bool) -> Submitted<A> {
        self.submit(Command::SetNetActive { net, active })
    }

    /// Changes what a net asks for. A minimum that is raised asks for candidates at once with immediate timing,
    /// in the next request phase with ticked timing. A net that becomes
    /// [reserved](NetConfig::reserved_only) lets go of every link that is none of its permanent peers; one
    /// that becomes open asks again.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownNet`.
    pub fn configure_net(&self, net: NetId, config: NetConfig) -> Submitted<A> {
        self.submit(Command::ConfigureNet { net, config })
    }

    /// Changes the settings of the manager: [`Settings`] says what each change does. Validated when it is
    /// applied, as a whole; [`Settings::validate`] tells beforehand. O(links) when the retry policy or the
    /// dial time-out changes.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `Config`, and nothing is changed.
    pub fn reconfigure(&self, settings: Settings) -> Submitted<A> {
        self.submit(Command::Reconfigure { settings: Box::new(settings) })
    }

    /// Attaches a value to a link, in place of the one before; `None` takes it away. Read it with
    /// [`Link::user_data`](crate::Link::user_data); [`UserData`] says who drops it.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownLink`.
    pub fn set_user_data(&self, addr: A, data: impl Into<Option<UserData>>) -> Submitted<A> {
        self.submit(Command::SetUserData { addr, data: data.into() })
    }

    /// Switches the whole manager on or off. While it is off nothing is dialled or asked for, and new streams
    /// are refused; what is connected stays.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn set_active(&self, active: bool) -> Submitted<A> {
        self.submit(Command::SetActive { active })
    }

    /// A net wants a link: `Created`, `Associated` (the link was there for another reason) or
    /// `AlreadyAssociated`. Puts the address on the ignore list of the net.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `BlankAddr`, `OwnAddr`, `UnknownNet`,
    /// `ReservedNet` or `LimitReached`.
    pub fn create_link(&self, addr: A, net: NetId) -> Submitted<A> {
        self.submit(Command::CreateLink { addr, net })
    }

    /// Says where a node listens: the answer to `Effect::Resolve`, or beforehand. `Unchanged` when the manager
    /// knows that endpoint, has not failed to reach it since, and did not ask.
    ///
    /// An endpoint is as good whoever asked for it: in contrast to `resolve_failed`, a late answer counts.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownLink`, `NotDialable`, `LinkBusy`
    /// or `Endpoint`.
    pub fn set_endpoint(&self, addr: A, endpoint: SocketAddr) -> Submitted<A> {
        self.submit(Command::SetEndpoint { addr, endpoint })
    }

    /// Closes a link, whatever keeps it, and forgets it. Of a permanent or static peer a blank record stays,
    /// which is dialled after the retry delay: what makes it one is taken back by other commands.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownLink`.
    pub fn delete_link(&self, addr: A) -> Submitted<A> {
        self.submit(Command::DeleteLink { addr })
    }

    /// The answer to `Effect::Resolve` when nothing is known: the manager tries the endpoint that the node had
    /// before, or counts a failed attempt as [`dial_failed`](Self::dial_failed) does. `Stale` when it does not
    /// wait for this answer any more.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn resolve_failed(&self, addr: A, resolve: ResolveId) -> Submitted<A> {
        self.submit(Command::ResolveFailed { addr, resolve })
    }

    /// A stream with a node appeared. The first one becomes the primary, later ones are `Spare`.
    ///
    /// A stream that is not accepted is closed again through `Effect::CloseStreams`. The ticket then says
    /// `Stale` (a stream of ours whose dial was given up), or fails with `BlankAddr`, `OwnAddr`,
    /// `Inactive`, `UnknownLink` (a stream of ours to a node that nobody asked for) or `LimitReached`. While
    /// [too many](crate::Config::refused_streams) refused streams wait to be closed, no effect closes it, and the
    /// ticket fails with `TooManyRefused`: close the stream then.
    ///
    /// A node that is a static peer joins its enabled clusters in the same version.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn add_stream(&self, addr: A, stream: StreamId, direction: Direction) -> Submitted<A> {
        self.submit(Command::AddStream { addr, stream, direction })
    }

    /// A stream that a dial has made appeared: as [`add_stream`](Self::add_stream) with an uplink, but it is
    /// taken only while that dial is the one of the link. A late stream of a dial that was cancelled ends
    /// `Stale` and is closed, also when the node is being dialled again.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails as that of `add_stream`.
    pub fn add_uplink(&self, addr: A, stream: StreamId, dial: DialId) -> Submitted<A> {
        self.submit(Command::AddUplink { addr, stream, dial })
    }

    /// A stream died and another one takes over as the primary; memberships stay.
    ///
    /// Where the link has neither of the two, or the new one is ours without a dial, the new one is closed
    /// again through `Effect::CloseStreams`, or the ticket fails with `TooManyRefused` as that of
    /// [`add_stream`](Self::add_stream). The old one is deleted in either case.
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

    /// A stream died. With the last one the memberships end.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn delete_stream(&self, addr: A, stream: StreamId) -> Submitted<A> {
        self.submit(Command::DeleteStream { addr, stream })
    }

    /// Reports that both sides agreed when a net was announced on a stream: the node becomes a member of the
    /// net's main cluster, and of those clusters of the net of which it is a static peer.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownNet`, `NetInactive` or
    /// `ReservedNet`.
    pub fn admit(&self, net: NetId, addr: A, stream: StreamId) -> Submitted<A> {
        self.submit(Command::AccountLink { net, addr, stream, accepted: true })
    }

    /// Reports that a net was announced on a stream and one side declined. The node leaves all clusters of the
    /// net and the net lets the link go: with its last reason the link is closed. A permanent peer stays
    /// associated and is announced again after the retry delay.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back. The ticket fails with `UnknownNet`, `NetInactive` or
    /// `ReservedNet`.
    pub fn refuse(&self, net: NetId, addr: A, stream: StreamId) -> Submitted<A> {
        self.submit(Command::AccountLink { net, addr, stream, accepted: false })
    }

    /// A dial reached the node: the answer to `Effect::Dial`, sent after `add_uplink`.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn dial_connected(&self, addr: A, dial: DialId) -> Submitted<A> {
        self.submit(Command::DialConnected { addr, dial })
    }

    /// A dial failed, or the connection that it made broke. With `last` the dialer has given up; otherwise it
    /// goes on by itself and reports `dial_connected` or the last failure under the same identity.
    ///
    /// A failed attempt delays the next one. After the [last](crate::Config::max_attempts) attempt that is
    /// granted the nets are told and let the link go; those of a node that is a member by a stream of its own
    /// keep it, however the attempt failed, and a dial under way is cancelled.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn dial_failed(&self, addr: A, dial: DialId, last: bool) -> Submitted<A> {
        self.submit(Command::DialFailed { addr, dial, last })
    }

    /// Asks for candidates now, for every active net that is short of links.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn check_nets(&self) -> Submitted<A> {
        self.submit(Command::CheckNets)
    }

    /// Wakes up now the links whose time has come.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn wake_up(&self) -> Submitted<A> {
        self.submit(Command::WakeUp)
    }

    /// Whether the manager has ended: every method returns `Closed`.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends any command.
    ///
    /// # Errors
    /// [`SubmitError`] hands the command back.
    pub fn submit(&self, command: Command<A>) -> Submitted<A> {
        let (priority, report) = (command.priority(), command.is_report());
        trace::submitted(&command);
        let timeout = self.deadline.filter(|_| !report);
        let created = self.clock.now();
        let deadline = timeout.and_then(|timeout| created.checked_add(timeout));
        let (completion, ticket) = self.tickets.ticket();
        let message = Message::Command(Envelope { command, completion, created, deadline });
        match self.send(priority, report, message) {
            Ok(None) => Ok(ticket),
            Ok(Some(victim)) => {
                trace::shed(&victim);
                victim.refuse(CommandError::Shed);
                Ok(ticket)
            }
            Err((kind, message)) => {
                let error = message.into_refusal(kind);
                trace::refused(&error);
                Err(error)
            }
        }
    }

    /// Has the writer count the memory of the manager. For diagnostics: the writer does nothing else while
    /// it counts, O(links + pages of all versions that are alive), and allocates. Waits in the lane of the
    /// lowest priority.
    ///
    /// # Errors
    /// That lane is full, or the manager has ended. The ticket fails when the manager ends before.
    pub fn measure_memory(&self) -> Result<Ticket<MemoryReport>, SubmitErrorKind> {
        let (completion, ticket) = ticket();
        match self.sender.try_send(Priority::Low, Message::Measure(completion)) {
            Ok(()) => Ok(ticket),
            Err(error) => Err(refusal(error.is_closed())),
        }
    }

    /// Puts a message into the mailbox, by the policy for its kind. `Ok` may carry a victim that was shed.
    fn send(&self, priority: Priority, report: bool, message: Message<A>) -> SentMessage<A> {
        if report && self.may_wait {
            // Without a bound: the writer never waits for anybody, so it makes room.
            return match self.sender.send_timeout(priority, message, Duration::MAX) {
                Ok(()) => Ok(None),
                Err(error) => Err((refusal(error.is_closed()), error.into_inner())),
            };
        }
        if self.may_wait || !self.blocks {
            return match self.sender.send(priority, message) {
                Ok(sent) => Ok(sent.into_victim().map(|victim| victim.value)),
                Err(error) => Err((refusal(error.is_closed()), error.into_inner())),
            };
        }
        match self.sender.try_send(priority, message) {
            Ok(()) => Ok(None),
            Err(error) => Err((refusal(error.is_closed()), error.into_inner())),
        }
    }

    /// Asks the writer to end, waiting up to `timeout` for room.
    pub(in crate::manager) fn send_shutdown(&self, message: Message<A>, timeout: Duration) -> bool {
        self.sender.send_timeout(Priority::Critical, message, timeout).is_ok()
    }

    pub(crate) fn meters(&self) -> &StdArc<Meters> {
        &self.meters
    }

    pub(crate) fn mailbox_stats(&self) -> mailbox::Stats {
        self.sender.stats()
    }

    /// A number that rises with all that is counted of commands: after each change by the writer, with each command
    /// that is submitted, and with each that is handed back.
    pub(crate) fn activity(&self) -> u64 {
        let handed_back = self.sender.handed_back();
        self.meters().pulse().wrapping_add(self.tickets.issued()).wrapping_add(handed_back)
    }

    pub(crate) fn ticket_stats(&self) -> PoolStats {
        self.tickets.stats()
    }

    /// Of the mailbox's rings and of the tickets that the pool keeps.
    pub(in crate::manager) fn queue_bytes(&self) -> (usize, usize) {
        (self.sender.bytes(), self.tickets.bytes())
    }

    /// The end of the mailbox, to hold rooms with.
    #[cfg(all(test, not(switchboard_model)))]
    pub(in crate::manager) fn sender(&self) -> &Sender<Message<A>> {
        &self.sender
    }

    /// Has the writer look again at how much the transport has left.
    pub(in crate::manager) fn wake_writer(&self) {
        self.sender.wake();
    }
}

type SentMessage<A> = Result<Option<Message<A>>, (SubmitErrorKind, Message<A>)>;

fn refusal(closed: bool) -> SubmitErrorKind {
    if closed { SubmitErrorKind::Closed } else { SubmitErrorKind::Full }
}

impl<A: Addr> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            clock: self.clock.clone(),
            tickets: self.tickets.clone(),
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
