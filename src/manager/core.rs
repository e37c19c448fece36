//! The core: a pure state machine from commands and time to links and effects.
//!
//! `(state, command, now) -> (state, effects)`: no clock, no socket, no lock, no thread. The state is the
//! staged side of the link table; [`Core::publish`] makes it visible to readers. The driver passes `now` and
//! delivers the effects. User code runs in two places only, and a panic in either is rolled back or counted:
//! `Hash`, `Eq` and `Clone` of addresses, and the retry policy with its source of randomness.
//!
//! The core replaces a system that guards its links with locks, called *the reference* below. Comments name
//! the defects of the reference that a rule avoids. `Timing::Ticked` reproduces the timing of the reference,
//! but none of its defects.
//!
//! # Terms
//! * *Record*: a [`Link`](crate::Link) in the table, one per remote node. It exists as long as it has a
//!   *reason*: a net that wants it, a designation, a membership, or a live stream of the peer.
//! * *Wanted*: a net wants a link from `create_link` until the net lets it go. Only wanted and designated
//!   links are *dialable*; a record that exists only for streams of the peer is a *pure downlink*.
//! * *Main cluster*: the members of a net. A node joins it when an announcement is accepted (*accounting*)
//!   and leaves it with its last stream. *Associated clusters* are further groups of a net, created by a
//!   command; they are enabled while the net is on.
//! * *Designation*: the record's note that the node is a *static peer* of an associated cluster, made by the
//!   host or by the node's *role* in the cluster. A static peer is dialled even if no net wants it, and joins
//!   its enabled clusters with its first stream, without an announcement.
//! * *Permanent peer*: a node that a net wants for as long as the net is on. A *reserved* net admits
//!   permanent peers only.
//! * *Active*: a member of at least one cluster. An active link is never dialled: a stream carries it
//!   already.
//! * *Primary*: the first stream of a link, on which announcements go out. All other streams are spare.
//! * *Attempt* and *failure*: `attempts` counts the dial cycles that failed since the link was last connected
//!   or its nets were told, up to `max_attempts`; `failures` counts since the last success and determines the
//!   retry delay. A link is *ripe* when that delay is over.
//! * *Ignore list* (the *hot list* of the reference): the addresses that a net tried recently. The host
//!   leaves them out when it offers candidates for the net; commands about them are accepted.
//! * *Flap*: the loss of a connection soon after it was made. A link with too many of them in a row is
//!   *flapping* and gets a *rest*: its nets let it go, and a record that stays is not dialled until the rest
//!   is over.
//! * *Lasting*: the part of a record that survives `delete_link`, because only other commands revoke it.
//!
//! # Life of a link
//! The dialer of a record is in one of four states; `state()` shows the first two as `Disconnected`. A
//! command that meets a `-` changes nothing and ends `Stale` (`set_endpoint` is refused with `LinkBusy`
//! instead). An empty cell cannot occur.
//!
//! ```text
//! event \ dialer     Idle                Resolving             Connecting            Established
//! ------------------ ------------------- --------------------- --------------------- -----------------------
//! due, no endpoint   Resolving: Resolve
//! due, endpoint (1)  Connecting: Dial
//! set_endpoint       Idle: stored        Connecting: Dial (2)  -                     -
//!   refused          unchanged           GIVE UP               -                     -
//! resolve_failed     -                   Connecting: Dial (3)  -                     -
//! dial_connected     -                   -                     Established           unchanged
//! dial_failed        -                   -                     Connecting (4)        Connecting (4) or REST
//!   with `last`      -                   -                     GIVE UP               GIVE UP or REST
//! time limit                             as resolve_failed     GIVE UP: CancelDial   GIVE UP: CancelDial (5)
//! last uplink gone                                             Connecting            Connecting (6) or REST
//! downlink leads                                               Idle: CancelDial (7)  Idle: CancelDial (7)
//! no reason left     removed (8)         removed (8)           removed (8)           removed (8)
//! delete_link        removed (9)         removed (9)           removed (9)           removed (9)
//!
//! GIVE UP   Idle, after the retry delay. Unless the link is active the attempt counts; after the last one
//!           each active net that wants the link is told (Released), and lets it go unless the peer is
//!           permanent.
//! REST      Idle, after the rest. Each active net that wants the link is told, puts the address on its
//!           ignore list, and lets the link go unless the peer is permanent.
//! (1)  an endpoint supplied since the last failure; with ticked timing every dial begins with Resolve
//! (2)  if the link may still be dialled and is ripe; otherwise Idle with a fresh endpoint
//! (3)  with the endpoint known before, under the same conditions; without one GIVE UP
//! (4)  LinkError for each net: the dialer retries by itself. An active link is given up: CancelDial
//! (5)  only while the link has no stream
//! (6)  also when the link loses its last stream and that was a downlink
//! (7)  the primary stream was an uplink and a stream of the peer took over: memberships stay
//! (8)  CloseDialer if the link was dialable; a record with a stream of the peer stays as a pure downlink
//! (9)  CloseDialer and CloseStreams; the lasting part stays, Idle, after the delay of a first failure
//! ```
//!
//! Memberships follow the streams, independently of the dialer:
//!
//! ```text
//! first stream -> joins enabled static clusters; an uplink is announced at once, a downlink in the next
//!                 wake-up (with ticked timing only while the dialer is Established)
//! announced    -> admit  -> member of the main cluster
//!              -> refuse -> leaves the clusters of the net, which lets the link go;
//!                           a permanent peer is tried again after the retry delay
//! last stream  -> leaves every cluster
//! ```
//!
//! # Floors
//! Each file calls only its own methods and those of lower files; `.ci/floors` checks it.
//!
//! ```text
//! restore                              starts from an export
//! core                                 dispatch of commands, publish, close
//! tick                                 everything that happens on time
//! net  link  stream                    commands, one subject each
//! cluster  attempts  settings          commands; how attempts to connect begin and end
//! record                               how records come and go
//! checks                               questions that change nothing
//! staged                               the state, changes of one record, the journal
//! journal  timers  drops  backlog      data structures that know nothing of the core
//! ```

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use super::model::command::{Applying, Command, CommandError, Outcome};
use super::model::directory::{Counts, Group};
use super::model::effect::Effect;
use crate::link::addr::Addr;
use crate::link::stream::Direction;
use crate::link::{Cluster, NetStatus, Stream};
use crate::table::version::Version;
use crate::unwind::contain;

mod attempts;
mod backlog;
mod checks;
mod cluster;
mod flaps;
mod journal;
mod link;
mod net;
mod record;
mod restore;
mod settings;
mod staged;
mod stream;
#[cfg(all(test, not(switchboard_model)))]
mod tests;
mod tick;
mod timers;

pub(super) use staged::Core;

impl<A: Addr> Core<A> {
    /// Applies one command to the staged state.
    ///
    /// A command either takes effect as a whole or not at all: if it panics, in the `Hash`, `Eq` or `Clone`
    /// of an address or because of a defect of this crate, everything that it changed is rolled back and it
    /// ends with `Panicked`. The writer goes on, because one malformed address must not end the manager of
    /// all others.
    pub(crate) fn apply(&mut self, command: Command<A>, now: Instant) -> Applying {
        self.begin_journal();
        let answers = command.is_answer();
        // Unwind safety: `roll_back` restores everything that the command may have left half done.
        let result = contain(AssertUnwindSafe(|| self.dispatch(command, now))).unwrap_or_else(|| {
            self.roll_back();
            self.tally.panics += 1;
            Err(CommandError::Panicked)
        });
        // After the rollback, which restores the tally, so that a command that panicked is counted, too.
        self.tally.commands += 1;
        // Also after a refusal: the counters are part of the version.
        self.dirty = true;
        match result {
            Ok(Outcome::Stale) => self.tally.stale_answers += 1,
            Ok(_) => {}
            Err(_) => {
                self.tally.refused += 1;
                self.tally.refused_answers += u64::from(answers);
            }
        }
        result
    }

    /// Calls the method of the command. Each method leaves the state consistent, so the driver may publish
    /// after any number of commands.
    pub(super) fn dispatch(&mut self, command: Command<A>, now: Instant) -> Applying {
        match command {
            Command::AddNet { net, config } => self.add_net(net, config),
            Command::RemoveNet { net } => self.remove_net(net, now),
            Command::SetNetActive { net, active } => self.set_net_active(net, active, now),
            Command::SetActive { active } => Ok(self.set_active(active)),
            Command::ConfigureNet { net, config } => self.configure_net(net, config),
            Command::Reconfigure { settings } => self.reconfigure(*settings, now),
            Command::SetUserData { addr, data } => self.set_user_data(&addr, data),
            Command::AssociateCluster { net, cluster, kind } => self.associate_cluster(net, cluster, kind),
            Command::DissociateCluster { cluster } => self.dissociate_cluster(cluster),
            Command::JoinCluster { cluster, addr } => self.join_cluster(cluster, &addr),
            Command::LeaveCluster { cluster, addr } => self.leave_cluster(cluster, &addr),
            Command::AddStaticPeer { cluster, addr } => self.add_static_peer(cluster, addr, now),
            Command::RemoveStaticPeer { cluster, addr } => self.remove_static_peer(cluster, &addr),
            Command::SetRoleMember { cluster, addr, member } => {
                self.set_role_member(cluster, addr, member, now)
            }
            Command::AddPermanentPeer { net, addr } => self.add_permanent_peer(net, addr, now),
            Command::RemovePermanentPeer { net, addr } => self.remove_permanent_peer(net, &addr),
            Command::CreateLink { addr, net } => self.create_link(addr, net, now),
            Command::SetEndpoint { addr, endpoint } => self.set_endpoint(&addr, endpoint, now),
            Command::DeleteLink { addr } => self.delete_link(&addr, now),
            Command::ResolveFailed { addr, resolve } => Ok(self.resolve_failed(&addr, resolve, now)),
            Command::AddStream { addr, stream, direction } => {
                self.add_stream(addr, Stream { id: stream, direction }, None, now)
            }
            Command::AddUplink { addr, stream, dial } => {
                self.add_stream(addr, Stream { id: stream, direction: Direction::Uplink }, Some(dial), now)
            }
            Command::ReplaceStream { addr, old, new, direction } => {
                self.replace_stream(addr, old, Stream { id: new, direction }, now)
            }
            Command::DeleteStream { addr, stream } => Ok(self.delete_stream(&addr, stream, now)),
            Command::AccountLink { net, addr, stream, accepted } => {
                self.account_link(net, &addr, stream, accepted, now)
            }
            Command::DialConnected { addr, dial } => Ok(self.dial_connected(&addr, dial, now)),
            Command::DialFailed { addr, dial, last } => Ok(self.dial_failed(&addr, dial, last, now)),
            Command::CheckNets => Ok(self.check_nets(now)),
            Command::WakeUp => Ok(self.wake_links(now)),
        }
    }

    /// Makes the staged state visible and adds the effects that belong to the version as a whole.
    ///
    /// The counts are sent to the host here rather than by the commands: at most one effect per net and
    /// version, however many memberships a batch changes. The reference reports each change while it holds
    /// its locks, and calls the user interface from there.
    pub(crate) fn publish(&mut self, now: Instant) -> Version {
        let mut recount = std::mem::take(&mut self.recount);
        recount.sort_unstable();
        recount.dedup();
        // A net that has been removed since then gets its last report here: zero.
        for net in recount.drain(..) {
            let Counts { uplinks, downlinks } = self.counts(net);
            self.effects.push(Effect::LinkCountChanged { net, uplinks, downlinks });
        }
        // The empty list keeps its capacity for the next version.
        self.recount = recount;
        self.recount_clusters();
        self.tally.publishes += 1;
        let tally = self.tally;
        // Not by `directory_mut`: no request for candidates depends on these two.
        let directory = &mut self.writer.index_mut().1;
        // The counters are part of the version, so they agree with the links of the snapshot in which they
        // are read.
        directory.published_at = now;
        directory.tally = tally;
        self.dirty = false;
        self.end_journal();
        self.writer.publish()
    }

    /// Reports the member counts of associated clusters that changed: the counterpart of the recount of nets.
    /// A cluster that has been removed since then is reported with its last count, zero.
    fn recount_clusters(&mut self) {
        let mut recount = std::mem::take(&mut self.recount_clusters);
        recount.sort_unstable();
        recount.dedup();
        for cluster in recount.drain(..) {
            let members = self.writer.index().0.count(&Group::Cluster(cluster));
            self.effects.push(Effect::ClusterCountChanged { cluster, members });
        }
        self.recount_clusters = recount;
    }

    /// Closes every link, regardless of what keeps it, and removes every net. Returns the number of links.
    ///
    /// The effects close the connections; the version published after this call is empty, so readers that
    /// outlive the manager do not see links that no longer exist.
    pub(crate) fn close(&mut self) -> usize {
        // Links first: removing a net from the directory does not look at them.
        let links: Vec<_> = self.links().cloned().collect();
        for link in &links {
            self.forget((**link).clone());
        }
        let nets: Vec<_> = self.directory().nets().iter().map(NetStatus::id).collect();
        for net in nets {
            self.directory_mut().remove(net);
        }
        let clusters: Vec<_> = self.directory().clusters().iter().map(Cluster::id).collect();
        for cluster in clusters {
            self.directory_mut().remove_cluster(cluster);
        }
        links.len()
    }
}
