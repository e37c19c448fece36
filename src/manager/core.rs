//! The core: a pure state machine from commands and time to links and effects.
//!
//! `(state, command, now) -> (state, effects)`: no clock, no socket, no lock, no thread, no user code. The
//! state is the staged side of the link table; [`Core::publish`] makes it visible. Whoever drives the core
//! passes `now` and carries the effects away.
//!
//! * `net`: nets, and what switching one off does to its links.
//! * `lifecycle`: how links come, join, leave and go.
//! * `stream`: streams and accounting.
//! * `dial`: resolving, dialling, failing.
//! * `journal`: what a command changed, to be undone if it panics.
//! * `schedule`: what is due when: ticks, retries, announcements, time-outs.
//! * `reconfigure`: settings that change. `restore`: beginning with what was exported.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::command::{Command, CommandError, Outcome};
use super::config::{Config, Settings, Timing};
use super::directory::{
    Counts, Directory, Indexes, LinkTable, LinkWriter, Membership, Tally, counts, groups_of,
};
use super::effect::Effect;
use super::rules::Rules;
use crate::link::{Addr, AddressPolicy, Link, NetId, NetStatus, Random, Stream};
use crate::sync::StdArc;
use crate::table::{Table, Version};

mod dial;
mod journal;
mod lifecycle;
mod net;
mod reconfigure;
mod restore;
mod schedule;
mod stream;
#[cfg(all(test, not(any(switchboard_loom, switchboard_shuttle))))]
mod tests;

use journal::Journal;
use schedule::{Schedule, Timers};

pub(crate) type Applying = Result<Outcome, CommandError>;

/// The part of the configuration that never changes. What may is in the directory: see
/// [`Core::settings`].
#[derive(Debug)]
struct Fixed {
    timing: Timing,
    addresses: AddressPolicy,
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
    next_dial: u64,
    tally: Tally,
    /// Something changed since the last publish.
    dirty: bool,
    /// What the present command has changed.
    journal: Journal<A>,
}

impl<A: Addr> Core<A> {
    pub(crate) fn new(config: Config, own: Option<A>, now: Instant) -> (Self, LinkTable<A>) {
        let tick = config.settings.tick;
        let indexes: Indexes<A> = (Membership::new(groups_of::<A>), Directory::new(now, config.settings));
        let (writer, table) = Table::builder().index(indexes).build();
        let core = Self {
            schedule: Schedule::new(now, tick),
            config: Fixed { timing: config.timing, addresses: config.addresses },
            random: Random::default(),
            own,
            writer,
            timers: Timers::new(),
            effects: Vec::new(),
            recount: Vec::new(),
            next_dial: 1,
            tally: Tally::default(),
            dirty: false,
            journal: Journal::default(),
        };
        (core, table)
    }

    /// Applies one command to the staged state. If it panics, in the `Hash`, `Eq` or `Clone` of an address or
    /// for a defect of this crate, the state is what it was before.
    pub(crate) fn apply(&mut self, command: Command<A>, now: Instant) -> Applying {
        self.begin_journal();
        // Unwind safety: everything that the command may have left half done is put back by `roll_back`.
        let result = catch_unwind(AssertUnwindSafe(|| self.dispatch(command, now))).unwrap_or_else(|_| {
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
            Command::RemoveNet { net } => self.remove_net(net),
            Command::SetNetCondition { net, active } => self.set_net_condition(net, active),
            Command::SetCondition { active } => Ok(self.set_condition(active)),
            Command::ConfigureNet { net, config } => self.configure_net(net, config),
            Command::Reconfigure { settings } => self.reconfigure(*settings, now),
            Command::SetUserData { addr, data } => self.set_user_data(&addr, data),
            Command::CreateLink { addr, net } => self.create_link(addr, net, now),
            Command::UpdateLink { addr, endpoint } => self.update_link(&addr, endpoint, now),
            Command::DeleteLink { addr } => self.delete_link(&addr),
            Command::ResolveFailed { addr } => Ok(self.resolve_failed(&addr, now)),
            Command::AddStream { addr, stream, direction } => self.add_stream(addr, stream, direction, now),
            Command::ReplaceStream { addr, old, new, direction } => {
                Ok(self.replace_stream(addr, old, Stream { id: new, direction }, now))
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
        for net in recount.drain(..) {
            if self.directory().net(net).is_some() {
                let Counts { uplinks, downlinks } = self.counts(net);
                self.effects.push(Effect::LinkCountChanged { net, uplinks, downlinks });
            }
        }
        self.recount = recount;
        self.tally.publishes += 1;
        let tally = self.tally;
        let directory = self.directory_mut();
        directory.published_at = now;
        directory.tally = tally;
        self.dirty = false;
        self.end_journal();
        self.writer.publish()
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
        let links: Vec<_> = self.writer.iter().map(|(_, link)| link.clone()).collect();
        for link in &links {
            self.forget((**link).clone());
        }
        let nets: Vec<_> = self.directory().nets().iter().map(NetStatus::id).collect();
        for net in nets {
            self.directory_mut().remove(net);
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
        self.writer.get(addr).map(|link| (**link).clone())
    }

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
        let (old, new) = (before.map(|link| link.direction), after.map(|link| link.direction));
        let members = |link: Option<&Link<A>>| link.map_or_else(Vec::new, |link| link.members.clone());
        let (left, joined) = (members(before), members(after));
        let changed = left.iter().chain(&joined).copied();
        let turned = old != new;
        self.recount.extend(changed.filter(|net| turned || left.contains(net) != joined.contains(net)));
    }
}
