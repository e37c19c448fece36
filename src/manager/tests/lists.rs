//! Lists of commands: one room, one turn, one version, one ticket.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Real threads, and no models.

use std::hash::{Hash, Hasher};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::link::addr::Addr;
use crate::mailbox::Priority;

const ONE_ROOM: [usize; 4] = [1; 4];

fn driver<A: Addr>(config: Config) -> (Driver<A>, ManualClock) {
    let clock = ManualClock::new();
    (LinkManager::builder(config).clock(clock.clone()).build().unwrap(), clock)
}

fn rooms(rooms: [usize; 4], policy: Backpressure) -> Config {
    Config::default().mailbox(mailbox::Config::try_from(rooms).unwrap().backpressure(policy))
}

fn add<A>(addr: A, stream: u64) -> Command<A> {
    Command::AddStream { addr, stream: StreamId(stream), direction: Direction::Downlink }
}

/// Lists of reports: the node `n` has the stream `n`.
fn streams(nodes: impl Iterator<Item = u64>) -> Vec<Command<NodeAddr>> {
    nodes.map(|node| add(NodeAddr(node), node)).collect()
}

#[test]
fn a_list_of_any_length_takes_one_room_one_turn_and_one_version() {
    for length in [1, 2, 3, 100] {
        let (mut driver, clock) = driver(rooms(ONE_ROOM, Backpressure::Reject));
        let (handle, links) = (driver.handle(), driver.links());
        let mut list = streams(1..=length);
        list.insert(1, add(NodeAddr::BLANK, 7));
        let ticket = handle.submit_all(list).unwrap();
        assert_eq!(handle.sender().len(Priority::High), 1);
        assert!(driver.has_work());
        let _ = driver.run_once(clock.now());
        let applied = ticket.wait().unwrap();
        assert_eq!(applied.first_error(), Some((1, &CommandError::BlankAddr)));
        assert_eq!(applied.results.len() as u64, length + 1);
        assert_eq!((applied.version.as_u64(), links.version()), (1, applied.version));
        assert_eq!(applied.into_outcomes(), Err(CommandError::BlankAddr));
        assert_eq!(links.snapshot().len() as u64, length);
        assert_eq!(links.snapshot().stats().commands(), length + 1);
    }
}

#[test]
fn the_results_are_in_the_order_of_the_commands() {
    let (mut driver, clock) = driver(Config::default());
    let list = vec![
        Command::AddNet { net: NET, config: NetConfig::new() },
        Command::AddNet { net: NET, config: NetConfig::new() },
        Command::CreateLink { addr: A, net: NET },
        add(A, 1),
        Command::DeleteStream { addr: A, stream: StreamId(2) },
    ];
    let ticket = driver.handle().submit_all(list).unwrap();
    let _ = driver.run_once(clock.now());
    let applied = ticket.wait().unwrap();
    let exists = CommandError::NetExists(NET);
    let expected =
        [Ok(Outcome::Done), Err(exists), Ok(Outcome::Created), Ok(Outcome::Done), Ok(Outcome::Stale)];
    assert_eq!(applied.results, expected);
}

#[test]
fn all_outcomes_are_returned_if_there_is_no_error() {
    let (mut driver, clock) = driver(Config::default());
    let ticket = driver.handle().submit_all(streams(1..=2)).unwrap();
    let _ = driver.run_once(clock.now());
    let applied = ticket.wait().unwrap();
    assert_eq!(applied.first_error(), None);
    assert_eq!(applied.into_outcomes(), Ok(vec![Outcome::Done; 2]));
}

#[test]
fn a_full_mailbox_and_an_ended_manager_hand_the_list_back() {
    let (mut driver, clock) = driver(rooms(ONE_ROOM, Backpressure::Reject));
    let handle = driver.handle();
    let first = handle.submit_all(streams(1..=2)).unwrap();
    let refused = handle.submit_all(streams(3..=4)).unwrap_err();
    assert!(refused.is_full() && !refused.is_closed(), "{refused:?}");
    assert_eq!(refused.to_string(), "the manager's mailbox is full");
    let _ = driver.run_once(clock.now());
    assert!(first.wait().is_ok());
    let accepted = handle.submit_all(refused.into_inner()).unwrap();
    drop(driver);
    assert_eq!(accepted.wait(), Err(CommandError::Closed));
    let refused = handle.submit_all(streams(3..=4)).unwrap_err();
    assert!(refused.is_closed() && !refused.is_full(), "{refused:?}");
    assert_eq!(refused.into_inner(), streams(3..=4));
}

#[test]
fn an_empty_list_changes_nothing_and_is_answered() {
    let (mut driver, clock) = driver::<NodeAddr>(Config::default());
    let handle = driver.handle();
    handle.check_nets().unwrap();
    let _ = driver.run_once(clock.now());
    let before = driver.links().version();
    let ticket = handle.submit_all(Vec::new()).unwrap();
    let _ = driver.run_once(clock.now());
    let applied = ticket.wait().unwrap();
    assert_eq!((applied.results.len(), applied.version), (0, before));
    assert_eq!(driver.links().version(), before);
}

/// An address that panics when it is hashed, if it is 13.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unlucky(u64);

impl Hash for Unlucky {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.0 == 13 {
            // Resumed instead of raised, to bypass the panic hook.
            std::panic::resume_unwind(Box::new("unlucky"));
        }
        self.0.hash(state);
    }
}

impl Addr for Unlucky {
    fn is_blank(&self) -> bool {
        self.0 == 0
    }
}

#[test]
fn a_command_that_panics_costs_the_others_of_its_list_nothing() {
    for place in 0..3 {
        let (mut driver, clock) = driver(Config::default());
        let mut list = vec![add(Unlucky(1), 1), add(Unlucky(2), 2)];
        list.insert(place, add(Unlucky(13), 13));
        let ticket = driver.handle().submit_all(list).unwrap();
        let _ = driver.run_once(clock.now());
        let applied = ticket.wait().unwrap();
        assert_eq!(applied.first_error(), Some((place, &CommandError::Panicked)));
        assert_eq!(applied.results.iter().filter(|result| result.is_ok()).count(), 2);
        let snapshot = driver.links().snapshot();
        assert_eq!((snapshot.len(), snapshot.stats().panics()), (2, 1));
    }
}

#[test]
fn a_deadline_concerns_the_requests_of_a_list() {
    let (mut driver, clock) = driver(Config::default());
    let hasty = driver.handle().with_deadline(Duration::from_secs(1));
    let list = vec![Command::AddNet { net: NET, config: NetConfig::new() }, add(A, 1)];
    let ticket = hasty.submit_all(list).unwrap();
    clock.advance(Duration::from_secs(1));
    let _ = driver.run_once(clock.now());
    let applied = ticket.wait().unwrap();
    assert_eq!(applied.results, [Err(CommandError::Expired), Ok(Outcome::Done)]);
    assert_eq!(driver.links().snapshot().stats().expired(), 1);
}

/// Never the low lane: its messages may be shed, and a list may have reports.
#[test]
fn a_list_travels_in_the_lane_of_its_least_urgent_command_and_is_not_shed() {
    let (mut driver, clock) = driver(rooms(ONE_ROOM, Backpressure::ShedLowest));
    let handle = driver.handle();
    let lens =
        || [Priority::Critical, Priority::High, Priority::Normal].map(|lane| handle.sender().len(lane));
    let critical = handle.submit_all(vec![Command::SetActive { active: true }]).unwrap();
    assert_eq!(lens(), [1, 0, 0]);
    let high = handle.submit_all(vec![Command::SetActive { active: true }, add(A, 1)]).unwrap();
    assert_eq!(lens(), [1, 1, 0]);
    let low = handle.submit_all(vec![add(B, 2), Command::CheckNets]).unwrap();
    assert_eq!((lens(), handle.sender().len(Priority::Low)), ([1, 1, 1], 0));
    assert!(handle.submit_all(vec![Command::SetActive { active: true }]).is_err_and(|error| error.is_full()));
    let _ = driver.run_once(clock.now());
    for ticket in [critical, high, low] {
        assert_eq!(ticket.wait().unwrap().first_error(), None);
    }
    // A list sheds as a single request does.
    let victim = handle.check_nets().unwrap();
    let list = || vec![Command::CreateLink { addr: A, net: NET }];
    let (first, second) = (handle.submit_all(list()).unwrap(), handle.submit_all(list()).unwrap());
    assert_eq!(victim.wait(), Err(CommandError::Shed));
    drop((first, second));
}

/// A turn takes messages until it has a batch of commands. The rest is not forgotten, and is in order.
#[test]
fn a_turn_takes_no_message_beyond_a_batch_of_commands() {
    let (mut driver, clock) = driver(Config::default().batch(NonZeroUsize::new(3).unwrap()));
    let handle = driver.handle();
    let lists = [streams(1..=2), streams(3..=4), streams(5..=6), streams(7..=7)];
    let mut tickets = lists.map(|list| handle.submit_all(list).unwrap());
    assert_eq!(driver.run_once(clock.now()), Some(clock.now()));
    assert!(driver.has_work());
    assert_eq!(tickets.each_ref().map(Ticket::is_complete), [true, true, false, false]);
    assert_eq!(driver.links().snapshot().len(), 4);
    let next = driver.run_once(clock.now()).unwrap();
    assert!(next > clock.now() && !driver.has_work());
    assert_eq!(driver.links().snapshot().len(), 7);
    let versions = tickets.each_mut().map(|ticket| ticket.try_take().unwrap().unwrap().version.as_u64());
    assert_eq!(versions, [1, 1, 2, 2]);
}

/// The mailbox is empty, and the rest of its last messages is in the hands of the driver.
#[test]
fn messages_that_a_turn_has_left_over_are_due_at_once() {
    let (mut driver, clock) = driver(Config::default().batch(NonZeroUsize::new(3).unwrap()));
    let handle = driver.handle();
    let lists = [streams(1..=2), streams(3..=4), streams(5..=6)];
    let tickets = lists.map(|list| handle.submit_all(list).unwrap());
    assert_eq!((driver.run_once(clock.now()), driver.has_work()), (Some(clock.now()), true));
    assert_eq!(tickets.each_ref().map(Ticket::is_complete), [true, true, false]);
    assert!(driver.run_once(clock.now()).is_some_and(|next| next > clock.now()));
    assert!(tickets.iter().all(Ticket::is_complete) && !driver.has_work());
}

#[test]
fn a_shutdown_drains_lists_and_counts_their_commands() {
    let (mut driver, clock) = driver(Config::default().batch(NonZeroUsize::MIN));
    let handle = driver.handle();
    let tickets = [streams(1..=2), streams(3..=4)].map(|list| handle.submit_all(list).unwrap());
    let report = driver.shutdown(clock.now());
    assert_eq!((report.drained, report.refused, report.links_closed), (4, 0, 4));
    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok_and(|applied| applied.results.len() == 2)));
}

#[test]
fn lists_without_time_left_are_refused_command_by_command() {
    let (mut driver, clock) = driver(Config::default());
    let ticket = driver.handle().submit_all(streams(1..=3)).unwrap();
    let single = driver.handle().submit(add(A, 9)).unwrap();
    let report = driver.close(clock.now(), sync::deadline_after(Duration::ZERO));
    assert_eq!((report.drained, report.refused), (0, 4));
    assert_eq!(ticket.wait(), Err(CommandError::Closed));
    assert_eq!(single.wait(), Err(CommandError::Closed));
}

#[test]
fn a_task_waits_for_room_for_its_list() {
    let (mut driver, clock) = driver(rooms(ONE_ROOM, Backpressure::Reject));
    let handle = driver.handle();
    let mut context = Context::from_waker(Waker::noop());
    let first = handle.submit_all(streams(1..=2)).unwrap();
    let mut second = pin!(handle.submit_all_async(streams(3..=4)));
    assert!(second.as_mut().poll(&mut context).is_pending());
    let _ = driver.run_once(clock.now());
    let Poll::Ready(Ok(second)) = second.as_mut().poll(&mut context) else { panic!("there is room") };
    // A request does not wait under this policy.
    let request = || vec![Command::CreateLink { addr: A, net: NET }];
    let waiting = handle.submit_all(request()).unwrap();
    let mut refused = pin!(handle.submit_all_async(request()));
    let Poll::Ready(Err(refused)) = refused.as_mut().poll(&mut context) else { panic!("the lane is full") };
    assert!(refused.is_full());
    let _ = driver.run_once(clock.now());
    assert!(first.wait().is_ok() && second.wait().is_ok() && waiting.wait().is_ok());
    drop(driver);
    let mut closed = pin!(handle.submit_all_async(streams(1..=1)));
    let Poll::Ready(Err(closed)) = closed.as_mut().poll(&mut context) else {
        panic!("the manager has ended")
    };
    assert!(closed.is_closed());
}

/// With a thread of the manager, reports wait for room, and so do lists with a report.
#[test]
fn no_report_of_a_list_is_refused_by_a_busy_manager() {
    let config = rooms(ONE_ROOM, Backpressure::Reject).batch(NonZeroUsize::MIN);
    let manager = spawn(config, ignore);
    let producers = [0, 1].map(|producer: u64| {
        let handle = manager.handle();
        sync::spawn(format!("producer {producer}"), move || {
            let lists = (0..50).map(|list| streams((1..=4).map(|node| producer * 10_000 + list * 10 + node)));
            let tickets: Vec<_> = lists.map(|list| handle.submit_all(list).unwrap()).collect();
            tickets.into_iter().all(|ticket| ticket.wait().unwrap().first_error().is_none())
        })
        .unwrap()
    });
    assert!(producers.into_iter().all(|producer| producer.join().unwrap()));
    assert_eq!(manager.links().snapshot().len(), 400);
}

#[test]
fn the_meters_count_the_commands_of_a_list() {
    let (mut driver, clock) = driver(Config::default());
    let handle = driver.handle();
    let before = handle.activity();
    let ticket = handle.submit_all(vec![add(A, 1), add(B, 2), add(NodeAddr::BLANK, 3)]).unwrap();
    assert_ne!(handle.activity(), before, "a submission shows");
    let _ = driver.run_once(clock.now());
    drop(ticket);
    let meters = handle.meters();
    assert_eq!(meters.processed(Priority::High), 3);
    assert_eq!(meters.operations(add(A, 1).kind()), 3);
    assert_eq!(meters.errors().iter().sum::<u64>(), 1);
    assert_eq!((meters.queue_wait.read().count(), meters.processing.read().count()), (3, 3));
}
