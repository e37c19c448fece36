//! The accounting of one lane in one word: the number of taken rooms, whether senders wait for one, and
//! whether the lane is closed.
//!
//! A room is taken *before* the push and given back *after* the pop, so a ring with a slot per room is never
//! full for a thread that holds a room. Rooms that are taken but hold no command yet are permits.
//!
//! While senders wait, a room that comes back is theirs, in the order of their queue: `acquire` refuses
//! everyone else, and `release` tells its caller to hand the room over. Because both facts are in one word, a
//! release either comes before the mark, and then the sender that marks sees the room, or it sees the mark.

use crate::sync::atomic::{AtomicUsize, Ordering};

/// The packed word: four times the number of taken rooms, plus two if senders wait, plus one if the lane is
/// closed.
///
/// Capacities are at most 2^20, so the count cannot overflow on any platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(usize);

/// The reason why no room was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

impl Word {
    const OPEN: Self = Self(0);
    const CLOSED: usize = 1;
    const AWAITED: usize = 2;
    const ROOM: usize = 4;

    fn taken(self) -> usize {
        self.0 / Self::ROOM
    }

    fn is_closed(self) -> bool {
        self.0 & Self::CLOSED != 0
    }

    fn is_awaited(self) -> bool {
        self.0 & Self::AWAITED != 0
    }

    fn is_drained(self) -> bool {
        self.is_closed() && self.taken() == 0
    }

    fn await_room(self) -> Self {
        Self(self.0 | Self::AWAITED)
    }

    fn give_back(self, rooms: usize) -> Self {
        Self(self.0 - rooms * Self::ROOM)
    }

    /// Takes a room for the first sender of the queue.
    fn grant(self, capacity: usize) -> Result<Self, Refused> {
        if self.is_closed() {
            Err(Refused::Closed)
        } else if self.taken() >= capacity {
            Err(Refused::Full)
        } else {
            Ok(Self(self.0 + Self::ROOM))
        }
    }

    /// Takes a room for a sender that is not in the queue: refused while the queue is not empty.
    fn take(self, capacity: usize) -> Result<Self, Refused> {
        if self.is_awaited() && !self.is_closed() { Err(Refused::Full) } else { self.grant(capacity) }
    }
}

/// The consequences of giving rooms back, for the caller to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) struct Released {
    /// Senders wait: the rooms have to be handed to them.
    pub(super) awaited: bool,
    /// The lane is closed, and this was its last room.
    pub(super) drained: bool,
}

/// The rooms of one lane.
#[derive(Debug)]
pub(super) struct Semaphore {
    word: AtomicUsize,
    peak: AtomicUsize,
    capacity: usize,
}

impl Semaphore {
    pub(super) fn new(capacity: usize) -> Self {
        Self { word: AtomicUsize::new(Word::OPEN.0), peak: AtomicUsize::new(0), capacity }
    }

    /// Takes one room, unless senders wait for it. Lock-free: an exchange fails only if another thread's
    /// succeeded.
    pub(super) fn acquire(&self) -> Result<(), Refused> {
        self.exchange(|word| word.take(self.capacity))
    }

    /// Takes one room, or marks the lane as awaited and returns [`Refused::Full`]: every room that is given
    /// back from then on is reported to its giver. The caller holds the lock of the queue.
    pub(super) fn acquire_or_await(&self) -> Result<(), Refused> {
        let mut marked = false;
        self.exchange(|word| {
            let next = word.take(self.capacity);
            marked = next == Err(Refused::Full);
            if marked { Ok(word.await_room()) } else { next }
        })?;
        if marked { Err(Refused::Full) } else { Ok(()) }
    }

    /// Takes one room for the first sender of the queue. The caller holds the lock of the queue.
    pub(super) fn grant(&self) -> Result<(), Refused> {
        self.exchange(|word| word.grant(self.capacity))
    }

    /// Removes the mark: no sender waits any more. The caller holds the lock of the queue.
    pub(super) fn end_await(&self) {
        // Relaxed: the mark is set and removed under the lock of the queue. A thread that sees it late takes
        // that lock, or is refused as if the removal came later.
        self.word.fetch_and(!Word::AWAITED, Ordering::Relaxed);
    }

    fn exchange(&self, mut next: impl FnMut(Word) -> Result<Word, Refused>) -> Result<(), Refused> {
        // Relaxed: a guess that the exchange confirms. A refusal may be stale; before a sender sleeps,
        // `acquire_or_await` makes it current, because the mark is set by an exchange.
        let mut word = Word(self.word.load(Ordering::Relaxed));
        loop {
            let next = next(word)?;
            // Acquire: pairs with the release of `release`, so the push that follows sees the slot empty. The
            // word is only changed by read-modify-writes, so every earlier `release` is in the release
            // sequence that this reads from. Relaxed on failure: again a guess.
            match self.word.compare_exchange_weak(word.0, next.0, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => {
                    self.note_peak(next.taken());
                    return Ok(());
                }
                Err(newer) => word = Word(newer),
            }
        }
    }

    /// Gives back `rooms` rooms. Wait-free.
    pub(super) fn release(&self, rooms: usize) -> Released {
        // Release: the pop that emptied the slot happens before the push of the next taker; pairs with
        // `exchange`.
        let before = Word(self.word.fetch_sub(rooms * Word::ROOM, Ordering::Release));
        debug_assert!(before.taken() >= rooms, "more rooms given back than were taken");
        Released { awaited: before.is_awaited(), drained: before.give_back(rooms).is_drained() }
    }

    /// Refuses every later sender. Returns whether senders wait, which have to be told.
    pub(super) fn close(&self) -> bool {
        // Release: everything the closer did before is visible to a thread that is refused or sees the lane
        // drained; pairs with `is_closed` and `is_drained`.
        Word(self.word.fetch_or(Word::CLOSED, Ordering::Release)).is_awaited()
    }

    pub(super) fn is_closed(&self) -> bool {
        // Acquire: pairs with `close`.
        Word(self.word.load(Ordering::Acquire)).is_closed()
    }

    /// Returns whether the lane is closed and no room is taken. Once true, it stays true.
    pub(super) fn is_drained(&self) -> bool {
        // Acquire: pairs with `close` and `release`.
        Word(self.word.load(Ordering::Acquire)).is_drained()
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the most rooms that were ever taken at once.
    pub(super) fn peak(&self) -> usize {
        // Relaxed: a statistic.
        self.peak.load(Ordering::Relaxed)
    }

    fn note_peak(&self, taken: usize) {
        // Relaxed: a statistic. It shares the cache line of the word, and is written only when the peak
        // grows.
        if taken > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(taken, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    #[test]
    fn no_more_rooms_are_taken_than_there_are() {
        for capacity in [1, 2, 64] {
            let rooms = Semaphore::new(capacity);
            for _ in 0..capacity {
                assert_eq!(rooms.acquire(), Ok(()));
            }
            assert_eq!(rooms.acquire(), Err(Refused::Full));
            assert!(!rooms.release(1).drained);
            assert_eq!(rooms.acquire(), Ok(()));
            assert_eq!(rooms.peak(), capacity);
        }
    }

    #[test]
    fn a_closed_lane_is_drained_when_the_last_room_comes_back() {
        let rooms = Semaphore::new(2);
        assert_eq!((rooms.acquire(), rooms.acquire()), (Ok(()), Ok(())));
        assert!(!rooms.close());
        assert!(rooms.is_closed() && !rooms.is_drained());
        assert_eq!(rooms.acquire(), Err(Refused::Closed));
        assert!(!rooms.release(1).drained);
        assert!(rooms.release(1).drained);
        assert!(rooms.is_drained());
    }

    #[test]
    fn closed_wins_over_full() {
        let rooms = Semaphore::new(1);
        assert_eq!(rooms.acquire(), Ok(()));
        assert!(!rooms.close());
        assert_eq!(rooms.acquire(), Err(Refused::Closed));
    }

    #[test]
    fn a_room_that_senders_wait_for_is_refused_to_others() {
        let rooms = Semaphore::new(1);
        assert_eq!(rooms.acquire_or_await(), Ok(()));
        assert_eq!(rooms.acquire_or_await(), Err(Refused::Full));
        assert_eq!(rooms.release(1), Released { awaited: true, drained: false });
        assert_eq!(rooms.acquire(), Err(Refused::Full));
        assert_eq!(rooms.grant(), Ok(()));
        assert_eq!(rooms.grant(), Err(Refused::Full));
        rooms.end_await();
        assert_eq!(rooms.release(1), Released { awaited: false, drained: false });
        assert_eq!(rooms.acquire(), Ok(()));
    }

    #[test]
    fn the_mark_hides_neither_the_close_nor_the_end() {
        let rooms = Semaphore::new(1);
        assert_eq!((rooms.acquire(), rooms.acquire_or_await()), (Ok(()), Err(Refused::Full)));
        assert!(rooms.close());
        assert_eq!((rooms.acquire(), rooms.grant()), (Err(Refused::Closed), Err(Refused::Closed)));
        assert!(rooms.release(1).drained && rooms.is_drained());
        rooms.end_await();
        assert!(rooms.is_drained());
    }
}

#[cfg(test)]
mod models {
    use super::*;
    use crate::sync::Arc;
    use crate::sync::model::{model, spawn};
    use crate::sync::ring::Ring;

    /// A room is handed over together with everything done before it was given back.
    #[test]
    fn a_room_carries_what_came_before_it() {
        model(|| {
            let shared = Arc::new((Semaphore::new(1), AtomicUsize::new(0)));
            assert_eq!(shared.0.acquire(), Ok(()));
            let other = shared.clone();
            let thread = spawn(move || {
                if other.0.acquire().is_ok() {
                    // Relaxed: ordered by the room.
                    assert_eq!(other.1.load(Ordering::Relaxed), 1);
                }
            });
            // Relaxed: ordered by the room.
            shared.1.store(1, Ordering::Relaxed);
            assert!(!shared.0.release(1).drained);
            thread.join().unwrap();
        });
    }

    /// Runs without the fences of the lane, which would hide a room that is given back with too weak an
    /// ordering.
    #[test]
    fn a_room_comes_with_an_empty_slot() {
        model(|| {
            let lane = Arc::new((Semaphore::new(1), Ring::new(1)));
            assert_eq!((lane.0.acquire(), lane.1.push(0)), (Ok(()), Ok(())));
            let sender = lane.clone();
            let thread = spawn(move || {
                let taken = sender.0.acquire().is_ok();
                if taken {
                    assert_eq!(sender.1.push(1), Ok(()), "a room without a slot");
                }
                taken
            });
            assert_eq!(lane.1.pop(), Some(0));
            assert!(!lane.0.release(1).drained);
            let sent = thread.join().unwrap();
            assert_eq!(lane.1.pop(), sent.then_some(1));
        });
    }
}
