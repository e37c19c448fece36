//! The core: a pure state machine from commands and time to links and effects.

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
    /// Applies one command to the staged state. If it panics, in the `Hash`, `Eq` or `Clone` of an address or
    /// for a defect of this crate, the state is what it was before.
    pub(crate) fn apply(&mut self, command: Command<A>, now: Instant) -> Applying {
        self.begin_journal();
        // Unwind safety: everything that the command may have left half done is put back by `roll_back`.
        let result = contain(AssertUnwindSafe(|| self.dispatch(command, now))).unwrap_or_else(|| {
            self.roll_back();
            self.tally.panics += 1;
            Err(CommandError::Panicked)
        });
        self.tally.commands += 1;
        self.dirty = true;
        match result {
            Ok(Outcome::Stale) => self.tally.stale_answers += 1,
            Ok(_) => {}
            Err(_) => self.tally.refused += 1,
        }
        result
    }

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
        directory.published_at = now;
        directory.tally = tally;
        self.dirty = false;
        self.end_journal();
        self.writer.publish()
    }

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

    /// Closes every link, whatever keeps it, and removes every net. Returns how many links there were.
    pub(crate) fn close(&mut self) -> usize {
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
