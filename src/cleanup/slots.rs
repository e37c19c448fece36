//! The slots of connections: the truth about which are open, closed, and to be cleaned.
//!
//! A slot is one word (see `claim::cleaning`), the moment and the cause of its end, and what the
//! host wants to be released with it. A queue only says which slots are worth a look: one that no
//! queue knows is found by walking over them.

#[cfg(all(test, not(switchboard_model)))]
mod tests;

use std::fmt;

use super::limits::Prefix;
use super::moment::Moment;
use crate::claim::{ClaimId, ClaimWord, CloseRefused};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::ring::Ring;
use crate::sync::{Mutex, StdArc, lock_order};

/// The identity of a connection, and its key in the table. It is never used again: a slot that is reused has a later
/// generation. 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    index: u32,
    generation: ClaimId,
}

/// The reason why a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The peer or the host has closed it in order.
    Closed,
    /// The transport has failed, or the peer has fallen silent.
    Lost,
    /// The host has expelled the peer.
    Killed,
    /// The server shuts down.
    Shutdown,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) cause: Cause,
    pub(crate) at: Moment,
    /// Whether no queue has taken it, so that the sweep is to clean it.
    pub(crate) is_parked: bool,
}

/// The origin of a connection, and the cost of its removal. Known while its slot is not vacant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// The hash of its app.
    pub(crate) app: u64,
    pub(crate) prefix: Option<Prefix>,
    pub(crate) cost: u32,
}

pub(crate) struct Slots<R> {
    slots: Box<[Slot<R>]>,
    /// The slots that are vacant.
    free: Ring<u32>,
}

struct Slot<R> {
    word: ClaimWord,
    /// The [`End`] of the connection. Zero until the thread that has closed the slot is done with it.
    end: AtomicU64,
    /// Valid after a panic: both change by one assignment.
    resources: Mutex<(Source, Option<R>)>,
}

/// A slot that is being cleaned by the owner of this value. If it is dropped, another thread can clean it.
#[must_use = "a slot that is dropped is to be cleaned again"]
pub(crate) struct Cleaning<R> {
    slots: StdArc<Slots<R>>,
    id: ConnectionId,
    is_done: bool,
}

/// A part of the slots, as a sweep finds it.
pub(crate) struct Found {
    pub(crate) ids: Vec<ConnectionId>,
    /// Number of slots that were looked at.
    pub(crate) seen: usize,
}

/// A slot without a connection yet. If it is dropped, it is vacant again.
pub(crate) struct Reservation<R> {
    slots: StdArc<Slots<R>>,
    id: ConnectionId,
    is_open: bool,
}

impl<R> Slots<R> {
    /// `capacity` is at least 1.
    pub(crate) fn new(capacity: u32) -> StdArc<Self> {
        let slot = |_| Slot {
            word: ClaimWord::new(ClaimId::FIRST),
            end: AtomicU64::new(0),
            resources: Mutex::new(&lock_order::CLEANUP_SLOT, (Source::default(), None)),
        };
        let free = Ring::new(capacity as usize);
        for index in 0..capacity {
            let _ = free.push(index); // There is room for all.
        }
        StdArc::new(Self { slots: (0..capacity).map(slot).collect(), free })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Returns the number of slots that are not vacant.
    pub(crate) fn len(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }

    /// Takes a vacant slot. If there is none, returns the resources.
    pub(crate) fn reserve(self: &StdArc<Self>, source: Source, resources: R) -> Result<Reservation<R>, R> {
        let Some(index) = self.free.pop() else { return Err(resources) };
        let slot = &self.slots[index as usize];
        // A slot in the list of vacant ones is vacant, and only the thread that takes it from there claims it.
        let Ok((generation, ())) = slot.word.claim(|| ()) else { return Err(resources) };
        // Relaxed: ordered by the start of the claim, which those who read it have seen.
        slot.end.store(0, Ordering::Relaxed);
        let old = std::mem::replace(&mut *slot.resources.lock(), (source, Some(resources)));
        drop(old); // No resources: they are taken when a slot is cleaned.
        let id = ConnectionId { index, generation };
        Ok(Reservation { slots: self.clone(), id, is_open: false })
    }

    /// Returns whether this was a connection whose slot is vacant, or another one's, since.
    pub(crate) fn was_removed(&self, id: ConnectionId) -> bool {
        self.slot(id).is_some_and(|slot| slot.word.state().generation() > id.generation)
    }

    /// Returns whether the connection is open.
    pub(crate) fn is_open(&self, id: ConnectionId) -> bool {
        self.slot(id).is_some_and(|slot| slot.word.state().check_open(id.generation).is_ok())
    }

    /// Returns the source of an open connection.
    pub(crate) fn source(&self, id: ConnectionId) -> Result<Source, CloseRefused> {
        let slot = self.slot(id).ok_or(CloseRefused::Stale)?;
        let source = slot.resources.lock().0;
        // Looked at after the source: the slot is not reused while the connection is open.
        slot.word.state().check_open(id.generation).map(|()| source)
    }

    /// Sets the cost of the removal of a connection that is open: only a weight.
    pub(crate) fn set_cost(&self, id: ConnectionId, cost: u32) {
        if let Some(slot) = self.slot(id) {
            let mut contents = slot.resources.lock();
            if slot.word.state().check_open(id.generation).is_ok() {
                contents.0.cost = cost;
            }
        }
    }

    /// Closes the connection: of any number of calls, one succeeds. That one calls
    /// [`end`](Self::end) next. One exchange.
    pub(crate) fn close(&self, id: ConnectionId) -> Result<(), CloseRefused> {
        self.slot(id).map_or(Err(CloseRefused::Stale), |slot| slot.word.close(id.generation))
    }

    /// Ends what must end at once, by `release`, and makes the slot visible to sweeps. Called once
    /// per connection, by the thread that has closed it, before it queues the connection. `release`
    /// runs with no lock held; if it panics, the panic goes on, and the slot is visible.
    pub(crate) fn end(&self, id: ConnectionId, end: End, release: impl FnOnce(&mut R)) {
        let Some(slot) = self.slot(id) else { return };
        let resources = slot.resources.lock().1.take();
        let mut visible = Visible { slot, resources, end: end.encode() };
        if let Some(resources) = &mut visible.resources {
            release(resources);
        }
    }

    /// Begins to clean a connection that is closed, unless another thread does or did.
    pub(crate) fn begin_cleaning(self: &StdArc<Self>, id: ConnectionId) -> Option<Cleaning<R>> {
        let begun = self.slot(id)?.word.begin_cleaning(id.generation);
        begun.then(|| Cleaning { slots: self.clone(), id, is_done: false })
    }

    /// Returns up to `max` connections that were closed at `before` or earlier and are not being cleaned, among the
    /// `number` slots from `first` on.
    pub(crate) fn closed_before(&self, before: Moment, first: usize, number: usize, max: usize) -> Found {
        let mut found = Found { ids: Vec::new(), seen: 0 };
        for (index, slot) in self.slots.iter().enumerate().skip(first).take(number) {
            if found.ids.len() >= max {
                break;
            }
            found.seen += 1;
            let state = slot.word.state();
            let Some(End { at, .. }) = End::decode(slot.end()) else { continue };
            if state.is_closing() && at <= before {
                found.ids.push(ConnectionId { index: index as u32, generation: state.generation() });
            }
        }
        found
    }

    /// Returns up to `max` connections that are open, among the `number` slots from `first` on.
    pub(crate) fn open_from(&self, first: usize, number: usize, max: usize) -> Found {
        let mut found = Found { ids: Vec::new(), seen: 0 };
        for (index, slot) in self.slots.iter().enumerate().skip(first).take(number) {
            if found.ids.len() >= max {
                break;
            }
            found.seen += 1;
            let state = slot.word.state();
            if state.check_open(state.generation()).is_ok() {
                found.ids.push(ConnectionId { index: index as u32, generation: state.generation() });
            }
        }
        found
    }

    /// Puts a vacant slot back into the list.
    fn release(&self, index: u32) {
        let _ = self.free.push(index); // There is room for all.
    }

    fn slot(&self, id: ConnectionId) -> Option<&Slot<R>> {
        self.slots.get(id.index as usize)
    }
}

impl<R> Slot<R> {
    fn end(&self) -> u64 {
        // Acquire: pairs with the release store in the drop of `Visible`.
        self.end.load(Ordering::Acquire)
    }
}

/// Makes a closed slot visible to sweeps when it is dropped, also by a panic.
struct Visible<'a, R> {
    slot: &'a Slot<R>,
    resources: Option<R>,
    end: u64,
}

impl<R> Drop for Visible<'_, R> {
    fn drop(&mut self) {
        self.slot.resources.lock().1 = self.resources.take();
        // Release: pairs with the acquire load in `Slot::end`: a sweep finds the resources in their place.
        self.slot.end.store(self.end, Ordering::Release);
    }
}

impl<R> Reservation<R> {
    fn slot(&self) -> &Slot<R> {
        &self.slots.slots[self.id.index as usize]
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// Opens the slot. Its connection can be closed from now on.
    pub(crate) fn open(mut self) -> ConnectionId {
        self.is_open = true;
        let slot = self.slot();
        let is_started = slot.word.start(self.id.generation);
        debug_assert!(is_started, "a reserved slot cannot be closed");
        self.id
    }
}

impl<R> Drop for Reservation<R> {
    fn drop(&mut self) {
        if self.is_open {
            return;
        }
        let slot = self.slot();
        let resources = slot.resources.lock().1.take();
        slot.word.give_back(self.id.generation);
        self.slots.release(self.id.index);
        // User code, and therefore last.
        drop(resources);
    }
}

impl<R> Cleaning<R> {
    fn slot(&self) -> &Slot<R> {
        &self.slots.slots[self.id.index as usize]
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(crate) fn end(&self) -> End {
        let lost = End { cause: Cause::Lost, at: Moment::START, is_parked: false };
        End::decode(self.slot().end()).unwrap_or(lost)
    }

    /// Sets whether the connection is left to the sweep; returns whether it was.
    pub(crate) fn park(&self, is_parked: bool) -> bool {
        let end = self.end();
        // Release: as in the drop of `Visible`. No other thread stores while this one cleans.
        self.slot().end.store(End { is_parked, ..end }.encode(), Ordering::Release);
        end.is_parked
    }

    /// Makes the slot vacant, once its connection is in no published version any more. Returns the resources, for the
    /// caller to drop with no lock held.
    pub(crate) fn finish(mut self) -> Option<R> {
        self.is_done = true;
        let slot = self.slot();
        let resources = slot.resources.lock().1.take();
        if slot.word.finish_cleaning(self.id.generation) {
            self.slots.release(self.id.index);
        }
        resources
    }
}

impl<R> Drop for Cleaning<R> {
    fn drop(&mut self) {
        if !self.is_done {
            self.slot().word.give_up_cleaning(self.id.generation);
        }
    }
}

impl End {
    fn encode(self) -> u64 {
        let cause = match self.cause {
            Cause::Closed => 1,
            Cause::Lost => 2,
            Cause::Killed => 3,
            Cause::Shutdown => 4,
        };
        self.at.as_micros() << 4 | u64::from(self.is_parked) << 3 | cause
    }

    fn decode(end: u64) -> Option<Self> {
        let cause = match end & 0b111 {
            1 => Cause::Closed,
            2 => Cause::Lost,
            3 => Cause::Killed,
            4 => Cause::Shutdown,
            _ => return None,
        };
        Some(Self { cause, at: Moment::from_micros(end >> 4), is_parked: end & 0b1000 != 0 })
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({}.{})", self.index, self.generation.as_u64())
    }
}

impl<R> fmt::Debug for Slots<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("capacity", &self.capacity())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for Cleaning<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleaning").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for Reservation<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("id", &self.id).finish_non_exhaustive()
    }
}
