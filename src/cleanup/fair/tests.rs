#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn queued(task: u32, app: u64, cost: u32) -> Queued<u32> {
    Queued { task, app, lane: Lane::Prompt, at: Moment::from_ns(u64::from(task)), cost }
}

fn late(task: u32) -> Queued<u32> {
    Queued { lane: Lane::Late, ..queued(task, 9, 1) }
}

#[test]
fn r17a_a_storm_of_one_app_delays_another_by_one_turn() {
    let mut queue = FairQueue::new(20_000);
    (0..10_000).for_each(|task| queue.push(queued(task, 1, 1)).unwrap());
    queue.push(queued(10_000, 2, 1)).unwrap();
    let position = std::iter::from_fn(|| queue.pop()).position(|found| found.app == 2);
    assert_eq!(position, Some(QUANTUM as usize));
}

#[test]
fn r17a_expensive_apps_get_as_much_work_done_as_cheap_ones() {
    let mut queue = FairQueue::new(10_000);
    (0..5000).for_each(|task| queue.push(queued(task, 1, 1)).unwrap());
    (0..500).for_each(|task| queue.push(queued(task, 2, 8)).unwrap());
    let mut done = BTreeMap::new();
    for _ in 0..900 {
        let found = queue.pop().unwrap();
        *done.entry(found.app).or_insert(0) += found.cost;
    }
    assert!(done[&1].abs_diff(done[&2]) <= QUANTUM, "{done:?}");
}

#[test]
fn r17b_late_tasks_are_served_once_in_eight_and_when_there_are_no_others() {
    let mut queue = FairQueue::new(100);
    (0..20).for_each(|task| queue.push(late(task)).unwrap());
    (0..14).for_each(|task| queue.push(queued(task, 1, 1)).unwrap());
    let lanes: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|found| found.lane).collect();
    let lates: Vec<_> =
        lanes.iter().enumerate().filter(|(_, lane)| **lane == Lane::Late).map(|(at, _)| at).collect();
    assert_eq!(lates[..2], [7, 15]);
    assert_eq!((lates.len(), lanes.len()), (20, 34));
}

#[test]
fn r4_a_full_queue_returns_the_task_at_every_capacity() {
    for capacity in [1, 2, 64] {
        let mut queue = FairQueue::new(capacity);
        for task in 0..capacity as u32 {
            queue.push(queued(task, u64::from(task), 1)).unwrap();
        }
        assert_eq!(queue.push(queued(99, 0, 1)), Err(queued(99, 0, 1)));
        assert!(queue.pop().is_some());
        assert!(queue.push(queued(99, 0, 1)).is_ok());
        assert_eq!(queue.len(), capacity);
    }
}

#[test]
fn r4_fifty_thousand_tasks_take_less_than_two_megabytes() {
    #[derive(Clone, Copy)]
    struct Handle(#[allow(dead_code)] u32, #[allow(dead_code)] u64); // The layout counts.

    let memory = allocation_counter::measure(|| {
        let mut queue = FairQueue::new(50_000);
        queue.nodes.reserve_exact(50_000);
        for task in 0..50_000 {
            let Queued { app, lane, at, cost, .. } = queued(task, u64::from(task % 100), 5);
            assert!(queue.push(Queued { task: Handle(task, 7), app, lane, at, cost }).is_ok());
        }
    });
    assert!(memory.bytes_max < 2_000_000, "{} bytes", memory.bytes_max);
}

/// The queues of all apps as lists.
type Model = BTreeMap<(Lane, u64), VecDeque<Queued<u32>>>;

fn model_oldest(model: &Model) -> Option<Moment> {
    model.values().filter_map(VecDeque::front).map(|first| first.at).min()
}

proptest! {
    /// Nothing is lost or invented, order is kept within an app and a lane, and the oldest is known.
    #[test]
    fn r8_keeps_the_order_of_each_app(
        steps in prop::collection::vec((0..4_u64, 0..100_u32, any::<bool>(), 0..3_u8), 1..300)
    ) {
        let mut queue = FairQueue::new(40);
        let mut model = Model::new();
        let mut len = 0;
        for (number, (app, cost, is_late, step)) in steps.into_iter().enumerate() {
            let lane = if is_late { Lane::Late } else { Lane::Prompt };
            if step > 0 {
                let task = Queued { lane, ..queued(number as u32, app, cost) };
                let pushed = queue.push(task);
                prop_assert_eq!(pushed.is_ok(), len < 40);
                if pushed.is_ok() {
                    let cost = cost.clamp(1, QUANTUM);
                    model.entry((lane, app)).or_default().push_back(Queued { cost, ..task });
                    len += 1;
                }
            } else if let Some(found) = queue.pop() {
                prop_assert_eq!(model.get_mut(&(found.lane, found.app)).unwrap().pop_front(), Some(found));
                len -= 1;
            } else {
                prop_assert_eq!(len, 0);
            }
            prop_assert_eq!((queue.len(), queue.oldest()), (len, model_oldest(&model)));
            prop_assert_eq!(queue.apps(), model.values().filter(|tasks| !tasks.is_empty()).count());
        }
        prop_assert_eq!(std::iter::from_fn(|| queue.pop()).count(), len);
        prop_assert!(queue.nodes.len() <= 40);
    }

    /// While all apps have tasks, the work done for any two differs by at most two quanta.
    #[test]
    fn r17a_serves_all_apps_alike(costs in prop::collection::vec(1..=QUANTUM, 2..6), pops in 1..400_usize) {
        let mut queue = FairQueue::new(4000);
        for task in 0..400 {
            for (app, cost) in costs.iter().enumerate() {
                queue.push(queued(task, app as u64, *cost)).unwrap();
            }
        }
        let mut done = vec![0; costs.len()];
        (0..pops).for_each(|_| {
            let found = queue.pop().unwrap();
            done[found.app as usize] += found.cost;
        });
        let (least, most) = (done.iter().min().unwrap(), done.iter().max().unwrap());
        prop_assert!(most - least <= 2 * QUANTUM, "{done:?}");
    }
}
