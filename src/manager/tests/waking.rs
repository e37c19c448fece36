//! The driver in a task: everything that it has to do at once wakes it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Wake, Waker};

use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A driver with its clock, its handle, and the task that runs it.
struct World {
    driver: Driver<NodeAddr>,
    clock: ManualClock,
    handle: Handle<NodeAddr>,
    count: StdArc<Count>,
    waker: Waker,
}

impl World {
    fn new(config: Config) -> Self {
        let clock = ManualClock::new();
        let driver = LinkManager::builder(config.tick(LONG)).clock(clock.clone()).build().unwrap();
        let count = StdArc::new(Count::default());
        let waker = Waker::from(count.clone());
        Self { handle: driver.handle(), driver, clock, count, waker }
    }

    fn turn(&mut self) -> Option<Duration> {
        let now = self.clock.now();
        let next = self.driver.poll_turn(&mut Context::from_waker(&self.waker), now);
        next.map(|next| next - now)
    }

    /// Runs turns until nothing is left to do at once.
    fn settle(&mut self) -> Duration {
        loop {
            match self.turn() {
                Some(Duration::ZERO) => {}
                Some(next) => return next,
                None => panic!("the driver was shut down"),
            }
        }
    }

    fn add_net(&self, net: u64) -> Ticket<Applied, CommandError> {
        self.handle.add_net(NetId(net), NetConfig::new().min_links(1)).unwrap()
    }
}

#[test]
fn every_accepted_command_wakes_the_task() {
    let mut world = World::new(Config::default());
    assert!(!world.settle().is_zero());
    assert_eq!(world.count.take(), 0);
    for round in 0..5 {
        assert!(!world.driver.has_work());
        let tickets = [world.add_net(10 * round), world.add_net(10 * round + 1)];
        assert!(world.driver.has_work());
        assert_eq!(world.count.take(), 1, "woken once for both");
        assert!(!world.settle().is_zero());
        assert!(tickets.into_iter().all(|ticket| ticket.is_complete()));
        assert_eq!(world.count.take(), 0);
    }
}

/// A callback of a ticket runs in the middle of the turn, when its commands have been taken.
#[test]
fn a_command_that_is_sent_during_a_turn_is_due_at_once() {
    let mut world = World::new(Config::default());
    world.settle();
    let (handle, second) = (world.handle.clone(), StdArc::new(sync::Mutex::new(&TEST_AUXILIARY, None)));
    let place = second.clone();
    world.add_net(1).on_complete(move |_| {
        let ticket = handle.add_net(NetId(2), NetConfig::new()).unwrap();
        *place.lock() = Some(ticket);
    });
    assert_eq!(world.turn(), Some(Duration::ZERO));
    assert!(world.driver.has_work());
    assert!(world.turn().is_some());
    let ticket = second.lock().take().expect("the callback ran");
    assert!(ticket.is_complete());
}

#[test]
fn an_answer_to_an_effect_wakes_the_task() {
    let mut world = World::new(Config::default());
    world.add_net(1);
    world.handle.set_net_active(NetId(1), true).unwrap();
    world.settle();
    world.count.take();
    let effects: Vec<_> = world.driver.effects().collect();
    assert!(matches!(effects[..], [Effect::RequestLinks { net: NetId(1), .. }]), "{effects:?}");
    assert_eq!(world.count.take(), 0);
    let answer = world.handle.create_link(A, NetId(1)).unwrap();
    assert_eq!(world.count.take(), 1);
    world.settle();
    assert!(answer.is_complete());
}

#[test]
fn taking_the_effects_of_a_full_outbox_wakes_the_task() {
    let mut world = World::new(Config::default().outbox(NonZeroUsize::new(2).unwrap()));
    for net in 1..=3 {
        world.add_net(net);
        world.handle.set_net_active(NetId(net), true).unwrap();
    }
    world.settle();
    let waiting = world.add_net(4);
    let next = world.settle();
    assert!(!waiting.is_complete() && next <= Duration::from_millis(100), "{next:?}");
    assert!(!world.driver.has_work(), "the command waits for the transport");
    world.count.take();

    let mut effects = world.driver.effects();
    assert!(effects.next().is_some());
    assert_eq!(world.count.take(), 0, "still full");
    assert!(effects.next().is_some());
    assert_eq!(world.count.take(), 1);
    assert!(effects.next().is_some());
    drop(effects);
    assert_eq!(world.count.take(), 0, "once");
    assert!(world.driver.has_work());
    assert!(world.settle() > Duration::from_millis(100));
    assert!(waiting.is_complete());
}

#[test]
fn the_shutdown_wakes_the_task_and_ends_every_wait() {
    let mut world = World::new(Config::default());
    world.settle();
    world.driver.shutdown(world.clock.now());
    assert_eq!(world.count.take(), 1);
    assert_eq!(world.turn(), None);
    assert!(!world.driver.has_work());
    let mut context = Context::from_waker(&world.waker);
    assert_eq!(pin!(world.driver.wait_for_work()).poll(&mut context), Poll::Ready(()));
}

/// A `select!` drops the wait in each round.
#[test]
fn a_wait_for_work_that_is_dropped_loses_nothing() {
    let mut world = World::new(Config::default());
    for round in 0..4 {
        world.driver.run_once(world.clock.now());
        let mut context = Context::from_waker(&world.waker);
        drop(world.driver.wait_for_work());
        assert!(pin!(world.driver.wait_for_work()).poll(&mut context).is_pending());
        let ticket = world.add_net(round);
        assert_eq!(world.count.take(), 0, "the task is no longer interested");
        for _ in 0..2 {
            let mut context = Context::from_waker(&world.waker);
            assert!(pin!(world.driver.wait_for_work()).poll(&mut context).is_ready());
        }
        world.driver.run_once(world.clock.now());
        assert!(ticket.is_complete());
    }
}

/// A task that is gone is neither kept in memory nor woken by the driver that it waited for.
#[test]
fn a_wait_for_work_releases_its_waker() {
    let mut world = World::new(Config::default());
    world.driver.run_once(world.clock.now());
    let kept = |count: &StdArc<Count>| StdArc::strong_count(count) - 2;
    let mut context = Context::from_waker(&world.waker);
    {
        let mut wait = pin!(world.driver.wait_for_work());
        assert!(wait.as_mut().poll(&mut context).is_pending());
        assert_eq!(kept(&world.count), 1);
    }
    assert_eq!(kept(&world.count), 0, "dropped while it waited");
    let ticket = world.handle.add_net(NetId(1), NetConfig::new()).unwrap();
    assert_eq!(world.count.take(), 0);
    assert!(pin!(world.driver.wait_for_work()).poll(&mut context).is_ready());
    assert_eq!(kept(&world.count), 0, "dropped after it ended");
    world.driver.run_once(world.clock.now());
    assert!(ticket.is_complete());
}

#[test]
fn a_driver_that_is_dropped_releases_its_waker() {
    let mut world = World::new(Config::default());
    world.settle();
    assert_eq!(StdArc::strong_count(&world.count), 3, "the world's two, and the driver's");
    let World { driver, handle, count, waker, .. } = world;
    drop(driver);
    drop(waker);
    assert_eq!(StdArc::strong_count(&count), 1);
    drop(handle);
}

#[test]
fn a_waker_that_panics_does_not_reach_the_handle() {
    struct Bomb(AtomicBool);

    impl Wake for Bomb {
        fn wake(self: StdArc<Self>) {
            self.0.store(true, Ordering::SeqCst);
            panic!("the waker panics");
        }
    }

    let mut world = World::new(Config::default());
    let bomb = StdArc::new(Bomb(AtomicBool::new(false)));
    world.waker = Waker::from(bomb.clone());
    world.settle();
    let ticket = catch_unwind(AssertUnwindSafe(|| world.add_net(1))).expect("contained");
    assert!(bomb.0.load(Ordering::SeqCst), "the waker was called");
    world.settle();
    assert!(ticket.is_complete());
}

#[test]
fn a_task_with_a_driver_can_move_between_threads() {
    fn send<T: Send>(_: &T) {}
    let mut world = World::new(Config::default());
    send(&world.driver);
    send(&world.driver.wait_for_work());
}

/// Lanes with room for one command each.
fn narrow(policy: Backpressure) -> World {
    let lanes = mailbox::Config::try_from([1; 4]).unwrap().backpressure(policy);
    let mut world = World::new(Config::default().mailbox(lanes));
    world.settle();
    world
}

fn report(node: u64) -> Command<NodeAddr> {
    Command::AddStream { addr: NodeAddr(node), stream: StreamId(node), direction: Direction::Downlink }
}

#[test]
fn a_report_of_a_task_waits_for_room_whatever_the_policy_is() {
    for policy in [Backpressure::Reject, Backpressure::Block, Backpressure::ShedLowest] {
        let mut world = narrow(policy);
        let handle = world.handle.clone();
        let first = handle.submit(report(1)).unwrap();
        assert!(handle.submit(report(2)).is_err_and(|error| error.is_full()), "a driver is not waited for");
        let count = StdArc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let mut second = Box::pin(handle.submit_async(report(2)));
        let mut dropped = Box::pin(handle.submit_async(report(3)));
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        drop(dropped);
        assert_eq!(count.take(), 0);
        world.settle();
        assert!(first.is_complete());
        assert_eq!(count.take(), 1);
        let Poll::Ready(Ok(mut ticket)) = second.as_mut().poll(&mut context) else { panic!("there is room") };
        world.settle();
        assert!(ticket.try_take().is_some_and(|applied| applied.unwrap().outcome == Outcome::Done));
        assert!(world.driver.links().snapshot().get(&NodeAddr(3)).is_none(), "its future was dropped");
    }
}

#[test]
fn a_request_of_a_task_waits_for_room_only_if_the_policy_is_to_block() {
    let request = |net| Command::AddNet { net: NetId(net), config: NetConfig::new() };
    for (policy, waits) in [(Backpressure::Reject, false), (Backpressure::Block, true)] {
        let mut world = narrow(policy);
        let handle = world.handle.clone();
        let mut context = Context::from_waker(Waker::noop());
        let mut futures = [1, 2].map(|net| Box::pin(handle.submit_async(request(net))));
        let [first, second] = futures.each_mut().map(|future| future.as_mut().poll(&mut context));
        assert!(matches!(first, Poll::Ready(Ok(_))));
        if waits {
            assert!(second.is_pending());
            world.settle();
            assert!(matches!(futures[1].as_mut().poll(&mut context), Poll::Ready(Ok(_))));
        } else {
            assert!(matches!(second, Poll::Ready(Err(error)) if error.is_full()));
        }
    }
}

#[test]
fn a_task_that_waits_for_room_gets_its_command_back_at_the_end() {
    let mut world = narrow(Backpressure::Block);
    let handle = world.handle.clone();
    let first = handle.submit(report(1)).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut second = Box::pin(handle.submit_async(report(2)));
    assert!(second.as_mut().poll(&mut context).is_pending());
    world.driver.shutdown(world.clock.now());
    assert!(first.is_complete());
    let Poll::Ready(Err(error)) = second.as_mut().poll(&mut context) else { panic!("closed") };
    assert!(error.is_closed());
    assert_eq!(error.into_inner(), report(2));
}

/// A deadline begins with the first poll, not when there is room.
#[test]
fn a_request_that_waited_too_long_for_room_expires() {
    let mut world = narrow(Backpressure::Block);
    let handle = world.handle.with_deadline(Duration::from_secs(1));
    let mut context = Context::from_waker(Waker::noop());
    let first = world.add_net(1);
    let mut second = Box::pin(handle.submit_async(Command::RemoveNet { net: NetId(1) }));
    assert!(second.as_mut().poll(&mut context).is_pending());
    world.clock.advance(Duration::from_secs(2));
    world.settle();
    assert!(first.is_complete());
    let Poll::Ready(Ok(mut ticket)) = second.as_mut().poll(&mut context) else { panic!("there is room") };
    world.settle();
    assert_eq!(ticket.try_take(), Some(Err(CommandError::Expired)));
}

/// Every waker and callback finds the results of the whole turn, even if a callback before it panicked.
#[test]
fn the_results_of_a_turn_are_in_place_before_the_first_ticket_is_told() {
    let mut world = World::new(Config::default());
    let submit = || world.handle.check_nets().unwrap();
    submit().on_complete(|_| panic!("in a callback"));
    let (mut second, third, fourth) = (submit(), submit(), submit());
    let task = StdArc::new(Count::default());
    let waker = Waker::from(task.clone());
    assert!(pin!(&mut second).poll(&mut Context::from_waker(&waker)).is_pending());
    let seen = StdArc::new(AtomicUsize::new(0));
    let sight = seen.clone();
    third.on_complete(move |_| {
        sight.fetch_add(1 + usize::from(fourth.is_complete() && second.is_complete()), Ordering::SeqCst);
    });
    world.turn();
    assert_eq!((seen.load(Ordering::SeqCst), task.take()), (2, 1));
    assert_eq!(world.driver.links().snapshot().stats().panics(), 0, "the version precedes the callbacks");
    world.handle.check_nets().unwrap();
    world.turn();
    assert_eq!(world.driver.links().snapshot().stats().panics(), 1);
}
