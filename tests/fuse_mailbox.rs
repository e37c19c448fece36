//! The n-th destructor panics, in every public call of the mailbox, for every n: no command is lost or
//! duplicated, and no ticket is left waiting.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A panic fails the test.

mod fuse;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fuse::{Fuse, Fused, for_every_drop};
use switchboard::mailbox::{Backpressure, Config, OwnedPermit, Priority, Receiver, Sender, mailbox};
use switchboard::ticket::{Closed, Completion, Ticket, ticket};

const LANE: usize = 2;
const SHORT: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(60);

/// A command with the completion of its ticket and a user value.
struct Order {
    number: u64,
    completion: Option<Completion<u64>>,
    _fused: Fused,
}

/// A mailbox with some commands, and the records to check them.
struct World {
    fuse: Fuse,
    sender: Option<Sender<Order>>,
    receiver: Option<Receiver<Order>>,
    permits: Vec<OwnedPermit<Order>>,
    tickets: Vec<Ticket<u64>>,
    buffer: Vec<(Priority, Order)>,
}

impl World {
    /// Fills the high lane; the normal lane gets a command and a permit, the low lane a command.
    fn new(fuse: &Fuse, policy: Backpressure) -> Self {
        let capacities = Config::try_from([LANE; 4]).unwrap().backpressure(policy);
        let (sender, receiver) = mailbox(capacities);
        let mut world = Self {
            fuse: fuse.clone(),
            sender: Some(sender),
            receiver: Some(receiver),
            permits: Vec::new(),
            tickets: Vec::new(),
            buffer: Vec::new(),
        };
        for lane in [Priority::High, Priority::High, Priority::Normal, Priority::Low] {
            let order = world.order();
            assert!(world.sender().try_send(lane, order).is_ok());
        }
        let permit = world.sender().try_reserve(Priority::Normal).unwrap().into_owned();
        world.permits.push(permit);
        world
    }

    fn sender(&self) -> &Sender<Order> {
        self.sender.as_ref().unwrap()
    }

    fn receiver(&mut self) -> &mut Receiver<Order> {
        self.receiver.as_mut().unwrap()
    }

    fn order(&mut self) -> Order {
        let (completion, ticket) = ticket();
        self.tickets.push(ticket);
        Order { number: self.tickets.len() as u64, completion: Some(completion), _fused: self.fuse.value() }
    }

    /// Receives the remaining commands, and checks everything that must hold after any panic.
    fn check(mut self) {
        self.permits.clear();
        for (_, mut order) in std::mem::take(&mut self.buffer) {
            order.completion.take().unwrap().complete(order.number);
        }
        if let Some(mut receiver) = self.receiver.take() {
            receiver.listen_down_to(Priority::Low);
            while let Ok((_, mut order)) = receiver.try_recv() {
                order.completion.take().unwrap().complete(order.number);
            }
            self.check_rooms(&receiver);
            drop(receiver);
        }
        if let Some(sender) = self.sender.take() {
            let order = self.order();
            let refused = sender.try_send(Priority::Critical, order).unwrap_err();
            assert!(refused.is_closed());
            drop(refused);
        }
        for (index, mut ticket) in self.tickets.into_iter().enumerate() {
            let result = ticket.try_take().expect("no ticket is left waiting");
            assert!(result == Ok(index as u64 + 1) || result == Err(Closed), "{result:?}");
        }
    }

    /// Checks that all rooms are free, and that there are no others.
    fn check_rooms(&mut self, receiver: &Receiver<Order>) {
        let Some(sender) = self.sender.take() else { return };
        for lane in Priority::ALL {
            assert_eq!(sender.len(lane), 0);
            let permits: Vec<_> = std::iter::from_fn(|| sender.try_reserve(lane).ok()).collect();
            let expected = if receiver.is_closed() { 0 } else { LANE };
            assert_eq!(permits.len(), expected, "{lane:?}");
        }
        self.sender = Some(sender);
    }
}

/// Polls once.
fn once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A call of the public API; its return value is dropped within the call.
type Call = (&'static str, Backpressure, fn(&mut World));

/// Every public call.
const CALLS: &[Call] =
    &[
        ("Sender::try_send", Backpressure::Reject, |world| {
            let order = world.order();
            assert!(world.sender().try_send(Priority::Normal, order).is_err());
            let order = world.order();
            assert!(world.sender().try_send(Priority::Critical, order).is_ok());
        }),
        ("Sender::try_send, closed", Backpressure::Reject, |world| {
            world.receiver().close();
            let order = world.order();
            assert!(world.sender().try_send(Priority::Critical, order).is_err());
        }),
        ("Sender::send, refusing", Backpressure::Reject, |world| {
            let order = world.order();
            assert!(world.sender().send(Priority::High, order).is_err());
        }),
        ("Sender::send, waiting", Backpressure::Block, |world| {
            let order = world.order();
            assert!(world.sender().send(Priority::Low, order).is_ok());
        }),
        ("Sender::send, shedding", Backpressure::ShedLowest, |world| {
            for _ in 0..2 {
                let order = world.order();
                drop(world.sender().send(Priority::High, order));
            }
        }),
        ("Sender::send_timeout", Backpressure::Block, |world| {
            let order = world.order();
            assert!(world.sender().send_timeout(Priority::High, order, SHORT).is_err());
            let order = world.order();
            assert!(world.sender().send_timeout(Priority::Low, order, LONG).is_ok());
        }),
        ("Sender::try_reserve, Permit::send", Backpressure::Reject, |world| {
            let order = world.order();
            assert!(world.sender().try_reserve(Priority::High).is_err());
            assert!(world.sender().try_reserve(Priority::Low).unwrap().send(order).is_ok());
        }),
        ("Sender::reserve, Permit::drop", Backpressure::Reject, |world| {
            drop(world.sender().reserve(Priority::Low).unwrap());
            assert!(world.sender().reserve_timeout(Priority::High, SHORT).is_err());
        }),
        ("Permit::send, without a receiver", Backpressure::Reject, |world| {
            let order = world.order();
            let sender = world.sender().clone();
            let permit = sender.reserve_timeout(Priority::Low, LONG).unwrap();
            drop(world.receiver.take());
            assert!(permit.send(order).is_err());
        }),
        ("OwnedPermit::send", Backpressure::Reject, |world| {
            let order = world.order();
            assert!(world.permits.pop().unwrap().send(order).is_ok());
        }),
        ("OwnedPermit::send, without a receiver", Backpressure::Reject, |world| {
            let order = world.order();
            drop(world.receiver.take());
            assert!(world.permits.pop().unwrap().send(order).is_err());
        }),
        ("OwnedPermit::drop, without a receiver", Backpressure::Reject, |world| {
            drop(world.receiver.take());
            drop(world.permits.pop());
        }),
        ("Sender::send_async", Backpressure::Block, |world| {
            let order = world.order();
            assert!(once(pin!(world.sender().send_async(Priority::Low, order))).is_ready());
            let order = world.order();
            assert!(once(pin!(world.sender().send_async(Priority::High, order))).is_pending());
        }),
        ("Sender::send_async, refusing", Backpressure::Reject, |world| {
            let order = world.order();
            assert!(once(pin!(world.sender().send_async(Priority::High, order))).is_ready());
        }),
        ("Sender::send_async, shedding", Backpressure::ShedLowest, |world| {
            let order = world.order();
            drop(once(pin!(world.sender().send_async(Priority::High, order))));
        }),
        ("Sender::send_async, given a room and dropped", Backpressure::Block, |world| {
            let order = world.order();
            let sender = world.sender().clone();
            let mut send = pin!(sender.send_async(Priority::High, order));
            assert!(once(send.as_mut()).is_pending());
            drop(world.receiver().try_recv());
        }),
        ("Sender::send_async, given a room and completed", Backpressure::Block, |world| {
            let order = world.order();
            let sender = world.sender().clone();
            let mut send = pin!(sender.send_async(Priority::High, order));
            assert!(once(send.as_mut()).is_pending());
            drop(world.receiver().try_recv());
            assert!(once(send).is_ready());
        }),
        ("Sender::send_async, closed while it waits", Backpressure::Block, |world| {
            let order = world.order();
            let sender = world.sender().clone();
            let mut send = pin!(sender.send_async(Priority::High, order));
            assert!(once(send.as_mut()).is_pending());
            drop(world.receiver.take());
            assert!(once(send).is_ready());
        }),
        ("Sender::reserve_async", Backpressure::Reject, |world| {
            let order = world.order();
            assert!(once(pin!(world.sender().reserve_async(Priority::High))).is_pending());
            let Poll::Ready(Ok(permit)) = once(pin!(world.sender().reserve_async(Priority::Low))) else {
                panic!("there is room")
            };
            assert!(permit.send(order).is_ok());
        }),
        ("Receiver::recv_async, poll_recv", Backpressure::Reject, |world| {
            let receiver = world.receiver();
            assert!(once(pin!(receiver.recv_async())).is_ready());
            let mut context = Context::from_waker(Waker::noop());
            while receiver.poll_recv(&mut context).is_ready() {}
            assert!(once(pin!(receiver.recv_async())).is_pending());
        }),
        ("Sender::clone, wake, len, capacity, is_closed, stats", Backpressure::Reject, |world| {
            let other = world.sender().clone();
            other.wake();
            assert!(!other.is_closed() && other.len(Priority::Low) <= other.capacity(Priority::Low));
            assert_eq!(other.stats().lane(Priority::Low).shed, 0);
        }),
        ("Sender::drop", Backpressure::Reject, |world| {
            world.permits.clear();
            drop(world.sender.take());
        }),
        ("Receiver::try_recv", Backpressure::Reject, |world| while world.receiver().try_recv().is_ok() {}),
        ("Receiver::try_recv_batch", Backpressure::Reject, |world| {
            let mut batch = Vec::new();
            assert_eq!(world.receiver().try_recv_batch(&mut batch, 3), Ok(3));
            batch.clear();
            world.buffer.reserve(1);
            let World { receiver, buffer, .. } = world;
            assert_eq!(receiver.as_mut().unwrap().try_recv_batch(buffer, 3), Ok(1));
        }),
        ("Receiver::recv", Backpressure::Reject, |world| _ = world.receiver().recv()),
        ("Receiver::recv_timeout", Backpressure::Reject, |world| {
            while world.receiver().recv_timeout(SHORT).is_ok() {}
        }),
        ("Receiver::close, is_closed, len, len_total, is_empty", Backpressure::Reject, |world| {
            let receiver = world.receiver();
            receiver.close();
            assert!(receiver.is_closed() && !receiver.is_empty());
            assert_eq!((receiver.len(Priority::High), receiver.len_total()), (2, 4));
            drop(receiver.try_recv());
        }),
        ("Receiver::listen_down_to, capacity, stats", Backpressure::Reject, |world| {
            let receiver = world.receiver();
            receiver.listen_down_to(Priority::High);
            assert_eq!(receiver.capacity(Priority::High), LANE);
            assert_eq!(receiver.stats().lane(Priority::High).len, LANE);
            while receiver.try_recv().is_ok() {}
        }),
        ("Receiver::drop", Backpressure::Reject, |world| drop(world.receiver.take())),
        ("Receiver::drop, without a sender", Backpressure::Reject, |world| {
            world.permits.clear();
            drop(world.sender.take());
            drop(world.receiver.take());
        }),
    ];

#[test]
fn a_destructor_that_panics_in_a_call_of_the_mailbox_loses_nothing() {
    let mut burned = 0;
    for (name, policy, call) in CALLS {
        println!("{name}");
        burned += for_every_drop(|fuse, nth| {
            let mut world = World::new(fuse, *policy);
            let (burned, _) = fuse.within(nth, || call(&mut world));
            world.check();
            burned
        });
    }
    assert!(burned >= 40, "the fuse burned only {burned} times");
}

/// A receiver that is dropped during unwinding drops every command as well, and does not abort the process.
#[test]
fn a_receiver_that_goes_in_a_panic_drops_every_command() {
    for_every_drop(|fuse, nth| {
        let mut world = World::new(fuse, Backpressure::Reject);
        let receiver = world.receiver.take();
        fuse.arm(nth);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _receiver = receiver;
            std::panic::resume_unwind(Box::new("the first panic"));
        }));
        assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"the first panic"));
        let burned = fuse.disarm();
        world.check();
        burned
    });
}
