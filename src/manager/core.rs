//! The core: a pure state machine from commands and time to links and effects.
//!
//! `(state, command, now) -> (state, effects)`: no clock, no socket, no lock, no thread, no user code. The
//! state is the staged side of the link table; [`Core::publish`] makes it visible. Whoever drives the core
//! passes `now` and carries the effects away.
//!
//! * `net`: nets, and what switching one off does to its links. `cluster`, `permanent`: who is kept whatever
//!   happens.
//! * `lifecycle`: how links come, join, leave and go.
//! * `stream`: streams and accounting.
//! * `dial`: resolving, dialling, failing. `unstable`: failing again and again.
//! * `backlog`: what is refused while the transport is far behind.
//! * `journal`: what a command changed, to be undone if it panics.
//! * `schedule`: what is due when: ticks, retries, announcements, time-outs.
//! * `reconfigure`: settings that change. `restore`: beginning with what was exported.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use super::command::{Command, CommandError, Outcome};
use super::config::{Config, Settings, Timing};
use super::directory::{
    Counts, Directory, Group, Indexes, LinkTable, LinkWriter, Membership, Tally, counts, groups_of,
};
use super::effect::Effect;
use super::rules::Rules;
use crate::link::{
    Addr, AddressPolicy, Cluster, ClusterId, Direction, Link, NetId, NetStatus, Random, Stream,
};
use crate::sync::StdArc;
use crate::table::{Table, TableMemory, Version};
use crate::unwind::contain;

mod backlog;
mod cluster;
mod dial;
mod journal;
mod lifecycle;
mod net;
mod permanent;
mod reconfigure;
mod restore;
mod schedule;
mod stream;
#[cfg(all(test, not(any(switchboard_loom, switchboard_shuttle))))]
mod tests;
mod unstable;

use backlog::Backlog;
use journal::Journal;
use schedule::{Schedule, Timers};
use unstable::Drops;

pub(crate) type Applying = Result<Outcome, CommandError>;

/// The part of the configuration that never changes. What may is in the directory: see
/// [`Core::settings`].
#[derive(Debug)]
struct Fixed {
    timing: Timing,
    addresses: AddressPolicy,
    /// Effects that may wait before the host is held back.
    outbox: usize,
    /// Refused streams that may wait to be closed.
    refused: usize,
}

/// The state of one manager.
#[derive(Debug)]
pub(crate) struct Core<A: Addr> {
    config: Fixed,
    random: Random,
    own: Option<A>,
    writer: LinkWriter<A>,
    timers: Timers<A>,
    schedule: Schedule,
    effects: Vec<Effect<A>>,
    /// Nets whose members changed since the last publish.
    recount: Vec<NetId>,
    /// Associated clusters likewise.
    recount_clusters: Vec<ClusterId>,
    /// Quick drops of links, also of those that are gone.
    drops: Drops<A>,
    next_dial: u64,
    backlog: Backlog,
    next_resolve: u64,
    tally: Tally,
    /// Something changed since the last publish.
    dirty: bool,
    /// What the present command has changed.
    journal: Journal<A>,
    /// Links that were looked at, one by one or all of them.
    #[cfg(all(test, not(any(switchboard_loom, switchboard_shuttle))))]
    looked_at: std::cell::Cell<u64>,
}

impl<A: Addr> Core<A> {
    pub(crate) fn new(config: Config, own: Option<A>, now: Instant) -> (Self, LinkTable<A>) {
        let tick = config.settings.tick;
        let indexes: Indexes<A> =
            (Membership::new(groups_of::<A>), Directory::new(now, config.settings, own.clone()));
        let (writer, table) = Table::builder().index(indexes).build();
        let core = Self {
            schedule: Schedule::new(now, tick),
            config: Fixed {
                timing: config.timing,
                addresses: config.addresses,
                outbox: config.outbox,
                refused: config.refused,
            },
            backlog: Backlog::default(),
            random: Random::default(),
            own,
            writer,
            timers: Timers::new(),
            effects: Vec::new(),
            recount: Vec::new(),
            recount_clusters: Vec::new(),
            drops: Drops::new(),
            next_dial: 1,
            next_resolve: 1,
            tally: Tally::default(),
            dirty: false,
            journal: Journal::default(),
            #[cfg(all(test, not(any(switchboard_loom, switchboard_shuttle))))]
            looked_at: std::cell::Cell::new(0),
        };
        (core, table)
    }

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

    fn dispatch(&mut self, command: Command<A>, now: Instant) -> Applying {
        match command {
            Command::AddNet { net, config } => self.add_net(net, config),
            Command::RemoveNet { net } => self.remove_net(net, now),
            Command::SetNetCondition { net, active } => self.set_net_condition(net, active, now),
            Command::SetCondition { active } => Ok(self.set_condition(active)),
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
            Command::UpdateLink { addr, endpoint } => self.update_link(&addr, endpoint, now),
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
            Command::RequestLinks => Ok(self.request_links(now)),
            Command::WakeUp => Ok(self.wake_links(now)),
        }
    }

    /// Whether anything waits for [`publish`](Self::publish).
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty || !self.effects.is_empty()
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

    /// The newest version that readers can see.
    pub(crate) fn version(&self) -> Version {
        self.writer.version()
    }

    /// What came out since the last call, in order. Hand it out only after a publish.
    pub(crate) fn drain_effects(&mut self) -> std::vec::Drain<'_, Effect<A>> {
        self.effects.drain(..)
    }

    pub(crate) fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
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

    fn directory(&self) -> &Directory<A> {
        &self.writer.index().1
    }

    fn directory_mut(&mut self) -> &mut Directory<A> {
        self.dirty = true;
        &mut self.writer.index_mut().1
    }

    fn counts(&self, net: NetId) -> Counts {
        counts(&self.writer.index().0, net)
    }

    /// A bounded part of dropping what was removed; `false` when more of it can be done at once.
    pub(crate) fn reclaim_some(&mut self) -> bool {
        // Unwind safety: a copy that was being brought up to date is given up as a whole.
        contain(AssertUnwindSafe(|| self.writer.reclaim_some())).unwrap_or_else(|| {
            self.tally.panics += 1;
            true
        })
    }

    /// The memory of the table, and that of the records in it. O(links + pages).
    pub(crate) fn memory(&self) -> (TableMemory, usize) {
        (self.writer.memory(), self.writer.iter().map(|(_, link)| link.bytes()).sum())
    }

    /// The settings in force.
    fn settings(&self) -> &Settings {
        &self.directory().settings
    }

    /// The rules, over the staged state.
    fn rules(&self) -> Rules<'_, A> {
        Rules::new(self.writer.index(), self.config.timing)
    }

    /// Where chance comes from, from now on.
    pub(crate) fn set_random(&mut self, random: Random) {
        self.random = random;
    }

    /// A copy of the record of `addr`, to be changed and given to `commit` or `forget`.
    fn checkout(&self, addr: &A) -> Option<Link<A>> {
        self.note_look();
        self.writer.get(addr).map(|link| (**link).clone())
    }

    /// All links. O(links): for what concerns all of them, and never for what happens on time.
    fn links(&self) -> impl Iterator<Item = &StdArc<Link<A>>> {
        self.writer.iter().map(|(_, link)| link).inspect(|_| self.note_look())
    }

    #[cfg(all(test, not(any(switchboard_loom, switchboard_shuttle))))]
    fn note_look(&self) {
        self.looked_at.set(self.looked_at.get() + 1);
    }

    #[cfg(not(all(test, not(any(switchboard_loom, switchboard_shuttle)))))]
    #[allow(clippy::unused_self)] // Counts under test only.
    fn note_look(&self) {}

    /// Stores a changed record, notes the nets whose counts change, and plans what is due next.
    fn commit(&mut self, link: Link<A>) {
        let before = self.writer.get(&link.addr).cloned();
        if before.as_deref() == Some(&link) {
            return;
        }
        self.note_counts(before.as_deref(), Some(&link));
        self.journal_link(&link.addr, before);
        let due = self.rules().due(&link);
        self.timers.set(&link.addr, due);
        self.dirty = true;
        self.writer.insert(link.addr.clone(), StdArc::new(link));
    }

    /// Removes a record, whatever it says.
    fn uproot(&mut self, addr: &A) {
        let before = self.writer.get(addr).cloned();
        self.note_counts(before.as_deref(), None);
        self.journal_link(addr, before);
        self.timers.set(addr, None);
        self.dirty = true;
        self.writer.remove(addr);
    }

    fn note_counts(&mut self, before: Option<&Link<A>>, after: Option<&Link<A>>) {
        let turned = before.map(|link| link.direction) != after.map(|link| link.direction);
        let left = before.map_or(&[][..], |link| &link.members);
        let joined = after.map_or(&[][..], |link| &link.members);
        let changed = left.iter().chain(joined);
        self.recount.extend(changed.filter(|net| turned || left.contains(net) != joined.contains(net)));

        let left = before.map_or(&[][..], |link| &link.clusters);
        let joined = after.map_or(&[][..], |link| &link.clusters);
        let changed = left.iter().chain(joined);
        self.recount_clusters.extend(changed.filter(|one| left.contains(one) != joined.contains(one)));
    }
}
