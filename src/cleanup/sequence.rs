//! The order in which the writer applied batches that several workers complete.

use std::collections::BTreeMap;

/// Puts batches back into the order of their numbers.
///
/// A batch draws its number inside its transaction, so the numbers are in the order in which the
/// one writer applied them; but it is completed by its worker, later, and the workers overtake each
/// other. A transaction that drew a number and was then taken back is completed without a result,
/// or else no later one would come through. Holds at most one batch per worker.
#[derive(Debug)]
pub(crate) struct Sequence<T> {
    next: u64,
    early: BTreeMap<u64, Option<T>>,
}

impl<T> Sequence<T> {
    /// The first number is `first`.
    pub(crate) fn new(first: u64) -> Self {
        Self { next: first, early: BTreeMap::new() }
    }

    /// Completes the batch of that number, and returns all batches whose turn it is now. A number that was completed
    /// before is ignored.
    pub(crate) fn complete(&mut self, number: u64, batch: Option<T>) -> Vec<T> {
        let mut ready = Vec::new();
        if number < self.next {
            return ready;
        }
        self.early.entry(number).or_insert(batch);
        while let Some(batch) = self.early.remove(&self.next) {
            self.next += 1;
            ready.extend(batch);
        }
        ready
    }

    /// Returns the number of batches that wait for an earlier one.
    pub(crate) fn len(&self) -> usize {
        self.early.len()
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r10_a_batch_that_was_taken_back_holds_up_no_other() {
        let mut sequence = Sequence::new(0);
        assert_eq!(sequence.complete(1, Some("b")), Vec::<&str>::new());
        assert_eq!((sequence.complete(0, None), sequence.len()), (vec!["b"], 0));
        assert_eq!(sequence.complete(0, Some("again")), Vec::<&str>::new());
        assert_eq!(sequence.complete(2, Some("c")), ["c"]);
    }

    proptest! {
        #[test]
        fn r10_batches_come_in_the_order_of_the_writer(
            order in Just((0..50_u64).collect::<Vec<_>>()).prop_shuffle(), void: u64
        ) {
            let is_void = |number: u64| void >> (number % 64) & 1 == 1;
            let mut sequence = Sequence::new(0);
            let mut seen = Vec::new();
            for number in order {
                seen.extend(sequence.complete(number, (!is_void(number)).then_some(number)));
            }
            let expected: Vec<_> = (0..50).filter(|&number| !is_void(number)).collect();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(sequence.len(), 0);
        }
    }
}
