//! A bounded FIFO queue for many producers and many consumers.
//!
//! This is `crossbeam_queue::ArrayQueue`, and under the checkers a twin of the same algorithm (Vyukov's
//! bounded queue) on the atomics of the facade, so loom explores stale reads of its stamps and cursors. The
//! twin is never stronger than the original: where `ArrayQueue` uses `SeqCst` accesses and fences, the twin
//! uses acquire and release, or neither.
//!
//! Callers may rely only on these properties:
//! * everything before a `push` is visible to the `pop` that returns the value;
//! * everything before a `pop` is visible to the `push` that reuses its slot;
//! * a `push` fails only if all slots are taken, where a slot is taken from the start of its `push` to the
//!   end of its `pop`;
//! * after a `fence(SeqCst)`, `pop` and `is_empty` miss no `push` that was followed by an earlier such fence.
//!
//! Neither operation is lock-free: a `pop` waits for a preempted thread that has claimed the slot but not yet
//! filled it, and a `push` for one that has not yet emptied it.

#[cfg(not(switchboard_model))]
pub(crate) use crossbeam_queue::ArrayQueue as Ring;
#[cfg(switchboard_model)]
pub(crate) use twin::Ring;

#[cfg(switchboard_model)]
mod twin {
    use crate::sync::atomic::{AtomicUsize, Ordering, fence};
    use crate::sync::{Backoff, Unseen};

    /// The twin of `ArrayQueue`. A cursor counts slots in its low bits and laps above them; a stamp equals
    /// the tail while its slot is free for that push, and the tail plus one once its value is stored.
    pub(crate) struct Ring<T> {
        head: AtomicUsize,
        tail: AtomicUsize,
        slots: Box<[Slot<T>]>,
        one_lap: usize,
    }

    struct Slot<T> {
        stamp: AtomicUsize,
        value: Unseen<T>,
    }

    impl<T> Ring<T> {
        pub(crate) fn new(capacity: usize) -> Self {
            assert!(capacity > 0, "a ring has at least one slot");
            let slot = |index| Slot { stamp: AtomicUsize::new(index), value: Unseen::empty() };
            Self {
                head: AtomicUsize::new(0),
                tail: AtomicUsize::new(0),
                slots: (0..capacity).map(slot).collect(),
                one_lap: (capacity + 1).next_power_of_two(),
            }
        }

        pub(crate) fn push(&self, value: T) -> Result<(), T> {
            let backoff = Backoff::new();
            // Relaxed, here and below: a guess that the stamp and the exchange confirm.
            let mut tail = self.tail.load(Ordering::Relaxed);
            loop {
                let slot = self.slot(tail);
                // Acquire: pairs with the release store of the stamp in `pop`.
                let stamp = slot.stamp.load(Ordering::Acquire);
                if stamp == tail {
                    // Release: pairs with the fence below and with the loads of `is_empty`.
                    // Relaxed on failure: again a guess.
                    let next = self.after(tail);
                    match self.tail.compare_exchange(tail, next, Ordering::Release, Ordering::Relaxed) {
                        Ok(_) => {
                            slot.value.put(value);
                            // Release: pairs with the acquire load of the stamp in `pop`.
                            slot.stamp.store(tail + 1, Ordering::Release);
                            return Ok(());
                        }
                        Err(newer) => tail = newer,
                    }
                    continue;
                }
                if stamp.wrapping_add(self.one_lap) == tail + 1 {
                    // Acquire: pairs with the release exchanges of the tail, whose pushes saw the head
                    // advance.
                    fence(Ordering::Acquire);
                    if self.head.load(Ordering::Relaxed).wrapping_add(self.one_lap) == tail {
                        return Err(value);
                    }
                }
                backoff.snooze();
                // Relaxed: a guess, as above.
                tail = self.tail.load(Ordering::Relaxed);
            }
        }

        pub(crate) fn pop(&self) -> Option<T> {
            let backoff = Backoff::new();
            // Relaxed, here and below: a guess that the stamp and the exchange confirm.
            let mut head = self.head.load(Ordering::Relaxed);
            loop {
                let slot = self.slot(head);
                // Acquire: pairs with the release store of the stamp in `push`.
                let stamp = slot.stamp.load(Ordering::Acquire);
                if stamp == head + 1 {
                    // Release: pairs with the fence in `push`. Relaxed on failure: again a guess.
                    let next = self.after(head);
                    match self.head.compare_exchange(head, next, Ordering::Release, Ordering::Relaxed) {
                        Ok(_) => {
                            let value = slot.value.take();
                            // Release: pairs with the acquire load of the stamp in `push`.
                            slot.stamp.store(head.wrapping_add(self.one_lap), Ordering::Release);
                            return Some(value);
                        }
                        Err(newer) => head = newer,
                    }
                    continue;
                }
                if stamp == head {
                    // No fence, although the original has one: a caller to which a missed push matters has
                    // its own.
                    if self.tail.load(Ordering::Relaxed) == head {
                        return None;
                    }
                }
                backoff.snooze();
                // Relaxed: a guess, as above.
                head = self.head.load(Ordering::Relaxed);
            }
        }

        pub(crate) fn is_empty(&self) -> bool {
            // Acquire: pairs with the release exchanges of `push` and `pop`.
            let head = self.head.load(Ordering::Acquire);
            let tail = self.tail.load(Ordering::Acquire);
            head == tail
        }

        #[allow(dead_code)] // For the manager.
        pub(crate) fn capacity(&self) -> usize {
            self.slots.len()
        }

        pub(crate) fn len(&self) -> usize {
            // Acquire: as in `is_empty`. No single instant corresponds to both loads, so the result is
            // clamped.
            let head = self.head.load(Ordering::Acquire);
            let tail = self.tail.load(Ordering::Acquire);
            let (head_index, tail_index) = (head & (self.one_lap - 1), tail & (self.one_lap - 1));
            match tail_index.cmp(&head_index) {
                std::cmp::Ordering::Greater => tail_index - head_index,
                std::cmp::Ordering::Less => self.slots.len() - head_index + tail_index,
                std::cmp::Ordering::Equal if head == tail => 0,
                std::cmp::Ordering::Equal => self.slots.len(),
            }
        }

        fn slot(&self, cursor: usize) -> &Slot<T> {
            &self.slots[cursor & (self.one_lap - 1)]
        }

        fn after(&self, cursor: usize) -> usize {
            let index = cursor & (self.one_lap - 1);
            if index + 1 < self.slots.len() {
                cursor + 1
            } else {
                (cursor & !(self.one_lap - 1)).wrapping_add(self.one_lap)
            }
        }
    }
}

#[cfg(test)]
mod models {
    use super::Ring;
    use crate::sync::Arc;
    use crate::sync::model::{model, spawn};

    #[test]
    fn two_producers_lose_and_repeat_nothing() {
        model(|| {
            let ring = Arc::new(Ring::new(2));
            let threads = [1, 2].map(|value| {
                let ring = ring.clone();
                spawn(move || assert_eq!(ring.push(value), Ok(())))
            });
            let mut seen: Vec<u32> = ring.pop().into_iter().collect();
            for thread in threads {
                assert!(thread.join().is_ok());
            }
            seen.extend(std::iter::from_fn(|| ring.pop()));
            seen.sort_unstable();
            assert_eq!(seen, [1, 2]);
            assert!(ring.is_empty());
            assert_eq!(ring.len(), 0);
        });
    }

    #[test]
    fn one_producer_is_fifo_across_a_lap() {
        model(|| {
            let ring = Arc::new(Ring::new(1));
            let producer = ring.clone();
            let thread = spawn(move || {
                let backoff = crate::sync::Backoff::new();
                for value in [1, 2] {
                    while producer.push(value).is_err() {
                        backoff.snooze();
                    }
                }
            });
            let backoff = crate::sync::Backoff::new();
            let mut seen = Vec::new();
            while seen.len() < 2 {
                match ring.pop() {
                    Some(value) => seen.push(value),
                    None => backoff.snooze(),
                }
            }
            assert_eq!(seen, [1, 2]);
            assert!(thread.join().is_ok());
        });
    }
}
