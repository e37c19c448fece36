//! What is warm allocates nothing: counted by a global allocator.

use std::num::NonZeroUsize;

use switchboard::mailbox::{Capacities, Priority, mailbox};
use switchboard::ticket::{Completion, Pool, ticket};

/// The counter counts: a test that measures nothing cannot pass.
#[test]
fn a_ticket_without_a_pool_allocates_once() {
    let round = || {
        let (completion, ticket) = ticket();
        completion.complete(1);
        assert_eq!(ticket.wait(), Ok(1));
    };
    // Debug builds keep a record of locks per thread.
    round();
    assert_eq!(allocation_counter::measure(round).count_total, 1);
}

#[test]
fn a_warm_pool_allocates_nothing() {
    let pool: Pool<u64> = Pool::new(NonZeroUsize::new(8).unwrap());
    let round = |pool: &Pool<u64>| {
        let ends = std::array::from_fn::<_, 8, _>(|_| pool.ticket());
        for (number, (completion, ticket)) in (0..).zip(ends) {
            completion.complete(number);
            assert_eq!(ticket.wait(), Ok(number));
        }
    };
    round(&pool);
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| round(&pool)));
    assert_eq!(counted.count_total, 0);
    assert_eq!((pool.stats().allocated, pool.stats().reused), (8, 800));
}

#[test]
fn commands_with_pooled_tickets_allocate_nothing() {
    const BATCH: usize = 16;
    let (sender, mut receiver) = mailbox::<(u64, Completion<u64>)>(Capacities::new());
    let pool = Pool::new(NonZeroUsize::new(2 * BATCH).unwrap());
    let mut tickets = Vec::with_capacity(BATCH);
    let mut batch = Vec::with_capacity(BATCH);
    let mut round = || {
        for number in 0..BATCH as u64 {
            let (completion, ticket) = pool.ticket();
            let priority = Priority::ALL[number as usize % 4];
            assert!(sender.try_send(priority, (number, completion)).is_ok());
            tickets.push((number, ticket));
        }
        assert_eq!(receiver.try_recv_batch(&mut batch, BATCH), Ok(BATCH));
        for (_, (number, completion)) in batch.drain(..) {
            completion.complete(number * 2);
        }
        for (number, ticket) in tickets.drain(..) {
            assert_eq!(ticket.wait(), Ok(number * 2));
        }
    };
    (0..4).for_each(|_| round());
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| round()));
    assert_eq!(counted.count_total, 0);
}
