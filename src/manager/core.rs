//! The core: a pure state machine from commands and time to links and effects.
//!
//! `(state, command, now) -> (state, effects)`: no clock, no socket, no lock, no thread. The state is the
//! staged side of the link table; [`Core::publish`] makes it visible to readers. The driver passes `now` and
//! carries the effects away. User code runs in two places only, and a panic in either is undone or counted:
//! `Hash`, `Eq` and `Clone` of addresses, and the retry policy with its source of randomness.
//!
//! The core replaces a system with locks, called *the reference* below. Comments name the defects of the
//! reference that a rule avoids; `Timing::Ticked` keeps its timing, and nothing else of it.
//!
//! # Terms
//! * *Record*: a [`Link`](crate::Link) in the table, one per remote node. It exists as long as it has a
//!   *reason*: a net that wants it, a designation, a membership, or a live stream of the peer.
//! * *Wanted*: a net wants a link from `create_link` until the net lets it go. Only wanted and designated
//!   links are *dialable*; a record that exists for streams of the peer alone is a *pure downlink*.
//! * *Main cluster*: the members of a net. A node joins it when an announcement is accepted (*accounting*),
//!   and leaves it with its last stream. *Associated clusters* are further groups of a net, made by a
//!   command; they are enabled while the net is on.
//! * *Designation*: the record's note that the node is a *static peer* of an associated cluster, by the host
//!   or by its *role* in the cluster. A static peer is dialled without any net wanting it and joins its
//!   enabled clusters with its first stream, without an announcement.
//! * *Permanent peer*: a net that is on always wants it. A *reserved* net admits permanent peers only.
//! * *Active*: a member of at least one cluster. An active link is never dialled: some stream carries it.
//! * *Primary*: the first stream of a link, which announcements use. All others are spare.
//! * *Attempt* and *failure*: `attempts` counts dial cycles since the nets were last told, up to
//!   `max_attempts`; `failures` counts since the last success and drives the retry delay. A link is *ripe*
//!   when that delay is over.
//! * *Ignore list*: the addresses that a net tried recently. Candidates for the net leave them out.
//! * *Flap*: a connection that was lost soon after it was made. A link with too many of them in a row is
//!   *flapping* and gets a *rest*: its nets let it go, and no dial starts until the rest is over.
//! * *Lasting*: the part of a record that survives `delete_link`: what only other commands take back.
//!
//! # Life of a link
//! The dialer of a record is in one of four states. `state()` shows the first two as `Disconnected`. A
//! command that finds the dialer where a cell says `-` changes nothing and ends `Stale` (`LinkBusy` for
//! `set_endpoint`).
//!
//! ```text
//! event \ dialer    Idle               Resolving            Connecting             Established
//! ----------------- ------------------ -------------------- ---------------------- -----------------------
//! due, no endpoint  Resolving: Resolve
//! due, endpoint     Connecting: Dial
//! set_endpoint      Idle: kept         Connecting: Dial (1) -                      -
//! resolve_failed    -                  Connecting: Dial (2) -                      -
//! dial_connected    -                  -                    Established            unchanged
//! dial_failed       -                  -                    Connecting (3)         Connecting (3)
//!   with `last`     -                  -                    GIVE UP                GIVE UP or REST
//! time limit                           as resolve_failed    GIVE UP: CancelDial    GIVE UP: CancelDial (4)
//! last uplink gone                                          Connecting             Connecting or REST
//! downlink leads                                            Idle: CancelDial (5)   Idle: CancelDial (5)
//! no reason left    removed            removed              removed: CloseDialer   removed: CloseDialer
//!
//! GIVE UP   Idle, after the retry delay. Unless the link is active the attempt counts; after the last one
//!           each active net that wants the link is told (Released) and, unless the peer is permanent in it,
//!           lets it go.
//! REST      Idle, after the rest. Every net is told and lets the link go, unless the peer is permanent.
//! (1)  if the link may still be dialled and is ripe; otherwise Idle with a fresh endpoint
//! (2)  with the endpoint known before, under the same conditions; without one GIVE UP
//! (3)  LinkError for each net: the dialer goes on by itself. An active link is given up: CancelDial
//! (4)  only while the connection has brought no stream
//! (5)  the primary stream was an uplink and a stream of the peer took over: memberships stay
//! ```
//!
//! Memberships follow the streams, independently of the dialer:
//!
//! ```text
//! first stream -> joins enabled static clusters; announced at once (uplink) or in the next wake-up (downlink)
//! announced    -> admit  -> member of the main cluster
//!              -> refuse -> leaves the net; announced or dialled again after the retry delay
//! last stream  -> leaves every cluster
//! ```
//!
//! # Floors
//! Each file calls only methods of its own or of a lower one; `.ci/floors` checks it.
//!
//! ```text
//! restore                              begins with an export
//! core                                 dispatch of commands, publish, close
//! tick                                 whatever happens on time
//! net  link  stream                    commands, one subject each
//! cluster  attempts  settings          commands; how attempts to connect begin and end
//! record                               how records come and go
//! checks                               questions that change nothing
//! staged                               the state, changes of one record, the journal
//! journal  timers  drops  backlog      data structures, which know nothing of the core
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
mod drops;
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
        // Unwind safety: everything that the command may have left half done is put back by `roll_back`.
        let result = contain(AssertUnwindSafe(|| self.dispatch(command, now))).unwrap_or_else(|| {
            self.roll_back();
            self.tally.panics += 1;
            Err(CommandError::Panicked)
        });
        self.tally.commands += 1;
        // Also after a refusal: the counters are part of the version.
        self.dirty = true;
        match result {
            Ok(Outcome::Stale) => self.tally.stale_answers += 1,
            Ok(_) => {}
            Err(_) => self.tally.refused += 1,
        }
        result
    }

    /// Calls the method of the command. Each of them leaves the state consistent, so that the driver may
    /// publish after any number of commands.
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
            Command::CheckNets => Ok(self.request_links(now)),
            Command::WakeUp => Ok(self.wake_links(now)),
        }
    }

    /// Makes the staged state visible and adds the effects that belong to the version as a whole.
    ///
    /// The counts are reported here rather than by the commands: at most one report per net and version,
    /// however many memberships a batch changes. The reference reports each change while it holds its locks,
    /// and calls the user interface from there.
    pub(crate) fn publish(&mut self, now: Instant) -> Version {
        let mut recount = std::mem::take(&mut self.recount);
        recount.sort_unstable();
        recount.dedup();
        // A net that was removed since then has its last count here: zero.
        for net in recount.drain(..) {
            let Counts { uplinks, downlinks } = self.counts(net);
            self.effects.push(Effect::LinkCountChanged { net, uplinks, downlinks });
        }
        self.recount = recount;
        self.recount_clusters();
        self.tally.publishes += 1;
        let tally = self.tally;
        let directory = self.directory_mut();
        // The counters travel inside the version, so that they agree with the links of the snapshot they are
        // read from.
        directory.published_at = now;
        directory.tally = tally;
        self.dirty = false;
        self.end_journal();
        self.writer.publish()
    }

    /// Reports the member counts of associated clusters that changed: the counterpart of the recount of nets.
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

    /// Closes every link, whatever keeps it, and removes every net. Returns the number of links.
    ///
    /// The effects close the connections; the version published after this call is empty, so readers that
    /// outlive the manager do not see links that no longer exist.
    pub(crate) fn close(&mut self) -> usize {
        // Links first: removing a net does not look at them.
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
