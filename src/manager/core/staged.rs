//! The staged state: reads, changes of records, and rollback.
//!
//! All changes of records go through [`Core::commit`] and [`Core::remove_record`], which keep the derived
//! state in step: the journal, the timer of the link, and the list of nets whose counts have to be reported.
//! No file above this one changes the table directly. Counts are never stored: they are read from the
//! membership index, because counters that are adjusted by hand drift, as those of one version of the
//! reference do.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use super::backlog::Backlog;
use super::flaps::FlapLog;
use super::journal::{JOURNAL_CAPACITY, Journal};
use super::timers::{Schedule, Timers};
use crate::link::AddressPolicy;
use crate::link::addr::Addr;
use crate::link::cluster::ClusterId;
use crate::link::net::NetId;
use crate::link::record::Link;
use crate::manager::model::config::settings::Settings;
use crate::manager::model::config::{Config, Timing};
use crate::manager::model::directory::{
    Counts, Directory, Group, Indexes, LinkTable, LinkWriter, Membership, counts, groups_of,
};
use crate::manager::model::effect::Effect;
use crate::manager::model::rules::Rules;
use crate::manager::model::tally::Tally;
use crate::sync::StdArc;
use crate::table::handle::Table;
use crate::table::version::Version;
use crate::table::writer::reclaim::Reclaimed;
use crate::table::{Memory, Stats};
use crate::unwind::contain;
use crate::util::random::Random;

/// The part of the configuration that never changes. The settings that may change are in the directory,
/// because a version shows the settings it was made under: see [`Core::settings`].
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) timing: Timing,
    pub(super) addresses: AddressPolicy,
    /// Number of effects that may wait before host commands are held back.
    pub(super) outbox: usize,
    /// Number of refused streams that may wait to be closed.
    pub(super) refused: usize,
}

/// The state of one manager.
///
/// Owned by the driver: no other thread ever sees it, so no field is shared or locked. Readers see the
/// versions that [`Core::publish`] makes visible.
#[derive(Debug)]
pub(crate) struct Core<A: Addr> {
    pub(super) config: Fixed,
    /// The source of the jitter of retry delays.
    pub(super) random: Random,
    /// The address of this node, if the builder was given one.
    pub(super) own: Option<A>,
    /// The link table: records, membership index and directory, published together.
    pub(super) writer: LinkWriter<A>,
    /// The next instant at which each link has to be looked at: the minimum of its due times by
    /// [`Rules::due`].
    pub(super) timers: Timers<A>,
    /// The tick, and the phase that it runs next.
    pub(super) schedule: Schedule,
    /// The instant of the next request for candidates, if any. `None` outside if it has to be computed: the
    /// directory may have changed, or the member count of a net.
    pub(super) request: Option<Option<Instant>>,
    /// Effects of the version that is being staged, in order.
    pub(super) effects: Vec<Effect<A>>,
    /// Nets whose members changed since the last publish.
    pub(super) recount: Vec<NetId>,
    /// Associated clusters whose members changed since the last publish.
    pub(super) recount_clusters: Vec<ClusterId>,
    /// Flaps of nodes, including nodes whose record has been removed.
    pub(super) flaps: FlapLog<A>,
    /// The identity of the next dial. Never reused, so a late answer cannot be mistaken for the answer to a
    /// later dial.
    pub(super) next_dial: u64,
    /// The load of the transport, which [`Core::check_backlog`] compares with the limits.
    pub(super) backlog: Backlog,
    /// The identity of the next resolution. Never reused, like that of a dial.
    pub(super) next_resolve: u64,
    /// Counters, copied into each version.
    pub(super) tally: Tally,
    /// Whether the staged state may differ from the last published version.
    pub(super) dirty: bool,
    /// The changes of the current command, for [`Core::roll_back`].
    pub(super) journal: Journal<A>,
    /// Number of links that were looked at.
    #[cfg(all(test, not(switchboard_model)))]
    pub(super) looked_at: std::cell::Cell<u64>,
}

impl<A: Addr> Core<A> {
    /// Creates an empty core and the table through which readers see it.
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
            request: None,
            effects: Vec::new(),
            recount: Vec::new(),
            recount_clusters: Vec::new(),
            flaps: FlapLog::new(),
            // Identities start at 1: 0 names no dial and no resolution.
            next_dial: 1,
            next_resolve: 1,
            tally: Tally::default(),
            dirty: false,
            journal: Journal::default(),
            #[cfg(all(test, not(switchboard_model)))]
            looked_at: std::cell::Cell::new(0),
        };
        (core, table)
    }

    /// The newest version that readers can see.
    pub(crate) fn version(&self) -> Version {
        self.writer.version()
    }

    /// Whether there are changes or effects that wait for [`publish`](Self::publish).
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty || !self.effects.is_empty()
    }

    /// The nets, clusters and settings of the staged state.
    pub(super) fn directory(&self) -> &Directory<A> {
        &self.writer.index().1
    }

    /// The directory, to be changed. Marks the state as dirty even if the caller changes nothing: an empty
    /// version is harmless, a change that is never published is not.
    pub(super) fn directory_mut(&mut self) -> &mut Directory<A> {
        self.dirty = true;
        self.request = None;
        &mut self.writer.index_mut().1
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> &Settings {
        &self.directory().settings
    }

    /// The rules, evaluated on the staged state. Snapshots explain by the same rules, so an explanation
    /// cannot contradict what the core does.
    pub(super) fn rules(&self) -> Rules<'_, A> {
        Rules::new(self.writer.index(), self.config.timing)
    }

    /// Members of a net's main cluster by direction. O(1): read from the index, not stored.
    pub(super) fn counts(&self, net: NetId) -> Counts {
        counts(&self.writer.index().0, net)
    }

    /// All links. O(links): for commands that concern every link. Never called because time has passed: the
    /// cost of a tick is proportional to what is due, not to the size of the table.
    pub(super) fn links(&self) -> impl Iterator<Item = &StdArc<Link<A>>> {
        self.writer.iter().map(|(_, link)| link).inspect(|_| self.note_look())
    }

    /// The addresses in the given groups, each once. Copied, because the caller changes the groups while it
    /// iterates.
    pub(super) fn addresses(&self, groups: &[Group]) -> Vec<A> {
        let members = &self.writer.index().0;
        // A node may be in several groups: a member that the net also wants, for example.
        let mut seen = std::collections::HashSet::new();
        let all = groups.iter().flat_map(|group| members.keys(group));
        all.filter(|addr| seen.insert((*addr).clone())).cloned().collect()
    }

    /// Counts a record that was looked at: tests bound the work of a command by it.
    #[cfg(all(test, not(switchboard_model)))]
    fn note_look(&self) {
        self.looked_at.set(self.looked_at.get() + 1);
    }

    /// Does nothing outside tests.
    #[cfg(not(all(test, not(switchboard_model))))]
    #[allow(clippy::unused_self)] // Counts under test only.
    fn note_look(&self) {}

    /// A copy of the record of `addr`, to be changed and passed to `commit`, `settle` or `forget`. The staged
    /// record stays as it is until then, so a command that returns early changes nothing.
    pub(super) fn checkout(&self, addr: &A) -> Option<Link<A>> {
        self.note_look();
        self.writer.get(addr).map(|link| (**link).clone())
    }

    /// Stores a changed record, notes the nets whose counts change, and sets the timer of the link.
    ///
    /// An unchanged record is left alone: no version is published and no timer is moved.
    pub(super) fn commit(&mut self, link: Link<A>) {
        let before = self.writer.get(&link.addr).cloned();
        if before.as_deref() == Some(&link) {
            return;
        }
        // The journal comes first: if an address panics below, the rollback restores the record.
        self.note_counts(before.as_deref(), Some(&link));
        self.journal_link(&link.addr, before);
        // From the new record, which is not in the table yet.
        let due = self.rules().due(&link);
        self.timers.set(&link.addr, due);
        self.dirty = true;
        self.writer.insert(link.addr.clone(), StdArc::new(link));
    }

    /// Removes a record and its timer unconditionally. The caller adds the effects and updates the counters.
    pub(super) fn remove_record(&mut self, addr: &A) {
        let before = self.writer.get(addr).cloned();
        self.note_counts(before.as_deref(), None);
        self.journal_link(addr, before);
        self.timers.set(addr, None);
        self.dirty = true;
        self.writer.remove(addr);
    }

    /// Notes the nets and clusters whose member counts differ between two versions of a record. A change of
    /// direction counts as well: uplinks and downlinks are reported separately.
    fn note_counts(&mut self, before: Option<&Link<A>>, after: Option<&Link<A>>) {
        // A record that is created or removed counts as turned, too: then all its nets are reported.
        let turned = before.map(|link| link.direction) != after.map(|link| link.direction);
        let left = before.map_or(&[][..], |link| &link.members);
        let joined = after.map_or(&[][..], |link| &link.members);
        let changed = left.iter().chain(joined);
        let known = self.recount.len();
        self.recount.extend(changed.filter(|net| turned || left.contains(net) != joined.contains(net)));
        if self.recount.len() > known {
            self.request = None;
        }

        // Associated clusters count members only, without the direction.
        let left = before.map_or(&[][..], |link| &link.clusters);
        let joined = after.map_or(&[][..], |link| &link.clusters);
        let changed = left.iter().chain(joined);
        self.recount_clusters.extend(changed.filter(|one| left.contains(one) != joined.contains(one)));
    }

    /// Recomputes the timer of a link after a change of something other than its record: its net, the
    /// settings, the switch of the manager. After a change of the record itself, [`commit`](Self::commit)
    /// does it.
    pub(super) fn plan(&mut self, addr: &A) {
        let due = self.writer.get(addr).and_then(|link| self.rules().due(link));
        self.timers.set(addr, due);
    }

    /// Recomputes all timers. O(links): for changes that concern every link, such as a new dial time-out.
    pub(super) fn plan_all(&mut self) {
        let all: Vec<A> = self.links().map(|link| link.addr.clone()).collect();
        for addr in all {
            self.plan(&addr);
        }
    }

    /// The instant at which [`advance`](Self::advance) has something to do next, provided that no command
    /// intervenes.
    pub(crate) fn next_deadline(&mut self) -> Instant {
        let tick = self.schedule.next_tick;
        // With ticked timing the core acts on ticks only, even if something has long been due.
        if self.config.timing == Timing::Ticked {
            return tick;
        }
        let request = self.request_due();
        [self.timers.first(), request].into_iter().flatten().fold(tick, Instant::min)
    }

    /// The instant of the next request for candidates, if any.
    ///
    /// Nets have no timers: there are few of them. Their members are counted only if something has changed
    /// since the last call.
    pub(super) fn request_due(&mut self) -> Option<Instant> {
        if let Some(known) = self.request {
            #[cfg(all(test, not(switchboard_model)))]
            assert_eq!(known, self.find_request());
            return known;
        }
        let request = self.find_request();
        self.request = Some(request);
        request
    }

    fn find_request(&self) -> Option<Instant> {
        let rules = self.rules();
        self.directory().nets().iter().filter_map(|net| rules.request_due(net)).min()
    }

    /// The memory of the table, and of the records in it in bytes. O(links + pages).
    pub(crate) fn memory(&self) -> (Memory, usize) {
        (self.writer.memory(), self.writer.iter().map(|(_, link)| link.bytes()).sum())
    }

    /// The versions of the table that are alive.
    pub(crate) fn versions(&self) -> Stats {
        self.writer.stats()
    }

    /// Replaces the source of randomness.
    pub(crate) fn set_random(&mut self, random: Random) {
        self.random = random;
    }

    /// Removes and returns the effects since the last call, in order. The driver calls it after a publish
    /// only: an effect must not arrive before the version that explains it.
    pub(crate) fn drain_effects(&mut self) -> std::vec::Drain<'_, Effect<A>> {
        self.effects.drain(..)
    }

    /// The counters, for events that the driver observes itself.
    pub(crate) fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Begins the journal of a command. O(1): lists that only grow are remembered by their length.
    pub(super) fn begin_journal(&mut self) {
        self.journal.links.clear();
        self.journal.directory = None;
        self.journal.flaps.clear();
        self.journal.timers = false;
        self.journal.effects = self.effects.len();
        self.journal.recount = self.recount.len();
        self.journal.recount_clusters = self.recount_clusters.len();
        self.journal.tally = self.tally;
    }

    /// Clears the journal after a publish, so that it does not keep old records alive.
    ///
    /// Changes made by [`advance`](Self::advance) are noted as well, but never undone: they are not part of a
    /// command, and a panic there ends the writer.
    pub(super) fn end_journal(&mut self) {
        self.journal.links.clear();
        self.journal.links.shrink_to(JOURNAL_CAPACITY);
        self.journal.directory = None;
    }

    /// Notes a record before it is changed.
    fn journal_link(&mut self, addr: &A, before: Option<StdArc<Link<A>>>) {
        self.journal.links.push((addr.clone(), before));
    }

    /// Notes the directory before a command changes it and then does more. O(1), but the lists are copied
    /// when they change next. Only the first call of a command has an effect.
    ///
    /// A command that changes the directory in one step, with no user code after it, need not call it.
    pub(super) fn journal_directory(&mut self) {
        if self.journal.directory.is_none() {
            self.journal.directory = Some(self.directory().clone());
        }
    }

    /// Notes the flaps of a node before they are changed.
    pub(super) fn journal_flaps(&mut self, addr: &A) {
        self.journal.flaps.push((addr.clone(), self.flaps.get(addr)));
    }

    /// Notes that timers are about to be taken. They are not copied: a rollback recomputes all of them.
    pub(super) fn journal_timers(&mut self) {
        self.journal.timers = true;
    }

    /// Restores the state in which the journal began.
    ///
    /// Panics only if an address panics again. The writer then ends, which handles and readers can observe.
    pub(super) fn roll_back(&mut self) {
        // Lists that only grow during a command: cut to their former length.
        self.effects.truncate(self.journal.effects);
        self.recount.truncate(self.journal.recount);
        self.recount_clusters.truncate(self.journal.recount_clusters);
        self.tally = self.journal.tally;
        self.request = None;
        let links = std::mem::take(&mut self.journal.links);
        let mut replan = self.journal.timers;
        if let Some(directory) = self.journal.directory.take() {
            // New settings have planned every link anew: see `reconfigure`.
            replan |= !StdArc::ptr_eq(&directory.settings, &self.directory().settings);
            self.writer.index_mut().1 = directory;
        }
        for (addr, flaps) in std::mem::take(&mut self.journal.flaps).into_iter().rev() {
            self.flaps.set(&addr, flaps);
        }
        // Backwards: if a record was changed twice, its first note has the state before the command.
        for (addr, before) in links.into_iter().rev() {
            match before {
                Some(link) => drop(self.writer.insert(addr.clone(), link)),
                None => drop(self.writer.remove(&addr)),
            }
            self.plan(&addr);
        }
        // The time limits of all links follow the restored settings again, and no timer that was taken is
        // lost.
        if replan {
            self.plan_all();
        }
    }

    /// Drops a bounded part of what was removed, and frees the memory of lists that are much longer than
    /// their contents. O(links) for the latter, which needs as many removals first.
    pub(crate) fn reclaim_some(&mut self) -> Reclaimed {
        // Unwind safety: a copy that was being brought up to date is discarded as a whole, and a map that could
        // not be made smaller stays as it was.
        let reclaim = AssertUnwindSafe(|| {
            self.effects.shrink_to(JOURNAL_CAPACITY);
            self.recount.shrink_to(JOURNAL_CAPACITY);
            self.recount_clusters.shrink_to(JOURNAL_CAPACITY);
            self.timers.shrink();
            self.flaps.shrink();
            self.writer.reclaim_some()
        });
        contain(reclaim).unwrap_or_else(|| {
            self.tally.panics += 1;
            Reclaimed::All
        })
    }

    /// Sets the number of effects that wait for the transport, and of the streams that they close. The driver
    /// calls it before each turn; without a call, both are 0.
    pub(crate) fn note_backlog(&mut self, effects: usize, closing: usize) {
        self.backlog = Backlog { effects, closing };
    }
}
