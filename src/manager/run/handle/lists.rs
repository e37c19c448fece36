//! Lists of commands that are sent, applied and answered together.

use std::time::Instant;

use super::{Handle, SentMessage, shed};
use crate::link::addr::{Addr, NodeAddr};
use crate::mailbox::Priority;
use crate::manager::model::command::{AppliedAll, Command, CommandError, SubmitAllError};
use crate::manager::run::message::{List, Message};
use crate::manager::run::trace;
use crate::ticket::Ticket;

/// The result of sending a list of commands: its [`Ticket`], or an error that hands the list back.
pub type SubmittedAll<A = NodeAddr> = Result<Ticket<AppliedAll, CommandError>, SubmitAllError<A>>;

impl<A: Addr> Handle<A> {
    /// Sends a list of commands, which takes one room in the mailbox and one ticket. Cheaper than to send them
    /// one by one, for a host that has several at hand.
    ///
    /// The writer applies the commands in order, in one turn, with no other command in between, and publishes
    /// their changes in one version. Each succeeds or fails by itself: a command that fails, or panics, has no
    /// effect on the others. The ticket resolves to all results in order: see
    /// [`AppliedAll`]. It fails as a whole only if no command was applied,
    /// with `Closed`.
    ///
    /// # Lane
    /// The list travels in the lane of its least urgent command, but not in the low one, so it is never shed.
    /// A report that is sent on its own may therefore overtake a list that also has requests of the host.
    ///
    /// A list with a report of a transport is treated as a report if the lane is full, and any other list as a
    /// request: see [the type](Self#when-the-mailbox-is-full).
    ///
    /// # Length
    /// A list may be longer than the mailbox has rooms. A turn that has reached [`Config::batch`] commands
    /// takes no further message, so a list makes its turn longer by its own length at the most; commands that
    /// arrive meanwhile wait for it. An empty list changes nothing, and its ticket resolves to the version of
    /// the turn that takes it.
    ///
    /// Allocates the list of results.
    ///
    /// # Deadline
    /// The [deadline](Self::with_deadline) of the handle applies to the requests of the list. The result of one
    /// that has expired is `Expired`.
    ///
    /// # Errors
    /// [`SubmitAllError`] hands the list back.
    ///
    /// # Examples
    /// ```
    /// use switchboard::clock::{Clock, ManualClock};
    /// use switchboard::{Command, CommandError, Config, LinkManager, NetConfig, NetId, NodeAddr, Outcome};
    ///
    /// let clock = ManualClock::new();
    /// let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build()?;
    /// let (net, unknown) = (NetId(1), NetId(2));
    /// let ticket = driver.handle().submit_all(vec![
    ///     Command::AddNet { net, config: NetConfig::new() },
    ///     Command::CreateLink { addr: NodeAddr(7), net: unknown },
    ///     Command::CreateLink { addr: NodeAddr(7), net },
    /// ])?;
    /// driver.run_once(clock.now());
    ///
    /// let applied = ticket.wait()?;
    /// let refused = CommandError::UnknownNet(unknown);
    /// assert_eq!(applied.first_error(), Some((1, &refused)));
    /// assert_eq!(applied.results, [Ok(Outcome::Done), Err(refused), Ok(Outcome::Created)]);
    /// assert_eq!(applied.version, driver.links().version());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`Config::batch`]: crate::Config::batch
    pub fn submit_all(&self, commands: Vec<Command<A>>) -> SubmittedAll<A> {
        let report = has_report(&commands);
        self.submit_list(commands, self.clock.now(), |lane, message| self.send(lane, report, message))
    }

    /// Sends a list of commands; the form of [`submit_all`](Self::submit_all) for tasks. It waits for room as
    /// [`submit_async`](Self::submit_async) does for a single command: if the list has a report of a transport,
    /// or with [`Backpressure::Block`](crate::mailbox::Backpressure::Block).
    ///
    /// # Cancel safety
    /// As for [`submit_async`](Self::submit_async): a future that is dropped before it completes has sent
    /// nothing.
    ///
    /// # Errors
    /// [`SubmitAllError`] hands the list back.
    pub async fn submit_all_async(&self, commands: Vec<Command<A>>) -> SubmittedAll<A> {
        let created = self.clock.now();
        let permit = self.reserve_async(lane_of(&commands), has_report(&commands)).await;
        self.submit_list(commands, created, |lane, message| self.send_with(permit, lane, message))
    }

    fn submit_list(
        &self,
        commands: Vec<Command<A>>,
        created: Instant,
        send: impl FnOnce(Priority, Message<A>) -> SentMessage<A>,
    ) -> SubmittedAll<A> {
        let lane = lane_of(&commands);
        commands.iter().for_each(trace::submitted);
        let deadline = self.deadline.and_then(|timeout| created.checked_add(timeout));
        let (completion, ticket) = self.list_tickets.ticket();
        match send(lane, Message::List(List { commands, completion, created, deadline })) {
            Ok(victim) => {
                victim.into_iter().for_each(shed);
                Ok(ticket)
            }
            Err((kind, message)) => {
                let error = message.into_refused_list(kind);
                error.commands.iter().for_each(|command| trace::refused(command, kind));
                Err(error)
            }
        }
    }
}

/// The lane of a list: that of its least urgent command, but not the low one, whose messages may be shed.
fn lane_of<A>(commands: &[Command<A>]) -> Priority {
    let least_urgent = commands.iter().map(Command::priority).max();
    least_urgent.map_or(Priority::Normal, |lane| lane.min(Priority::Normal))
}

fn has_report<A>(commands: &[Command<A>]) -> bool {
    commands.iter().any(Command::is_report)
}
