//! The n-th destructor panics, in every public call of the tickets, for every n: a result is delivered once
//! or dropped once, and no thread is left waiting.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A panic fails the test.

mod fuse;

use std::future::Future;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fuse::{Fuse, Fused, for_every_drop};
use switchboard::ticket::{Closed, Completion, Delivery, Pool, Ticket, ticket, ticket_with};

const LONG: Duration = Duration::from_secs(60);

/// An error that may own a user value.
struct Failure(#[allow(dead_code)] Option<Fused>);

impl From<Closed> for Failure {
    fn from(_: Closed) -> Self {
        Self(None)
    }
}

type Ends = (Completion<Fused, Failure>, Ticket<Fused, Failure>);

/// A waker that owns a user value and counts its calls.
struct Counting(AtomicU32, #[allow(dead_code)] Fused);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn waker(fuse: &Fuse) -> Waker {
    Waker::from(Arc::new(Counting(AtomicU32::new(0), fuse.value())))
}

/// Polls with a waker that only the ticket keeps.
fn poll(ticket: &mut Ticket<Fused, Failure>, fuse: &Fuse) -> Poll<()> {
    let waker = waker(fuse);
    let result = Pin::new(ticket).poll(&mut Context::from_waker(&waker));
    drop(waker);
    // Not returned: the compiler leaks a function's return value if one of its locals panics when it is
    // dropped.
    result.map(drop)
}

/// The state of a ticket when the call is made.
#[derive(Clone, Copy, Debug)]
enum Stands {
    Fresh,
    Polled,
    Callback,
    Abandoned,
}

const STANDS: [Stands; 4] = [Stands::Fresh, Stands::Polled, Stands::Callback, Stands::Abandoned];

/// The two ends, and the number of calls of the callback.
struct World {
    completion: Option<Completion<Fused, Failure>>,
    ticket: Option<Ticket<Fused, Failure>>,
    called: Arc<AtomicU32>,
}

impl World {
    fn new((completion, mut ticket): Ends, stands: Stands, fuse: &Fuse) -> Self {
        let called = Arc::new(AtomicU32::new(0));
        let ticket = match stands {
            Stands::Fresh => Some(ticket),
            Stands::Polled => {
                assert!(poll(&mut ticket, fuse).is_pending());
                Some(ticket)
            }
            Stands::Callback => {
                let (count, capture) = (called.clone(), fuse.value());
                ticket.on_complete(move |result| {
                    count.fetch_add(1, Ordering::SeqCst);
                    drop((result, capture));
                });
                None
            }
            Stands::Abandoned => None,
        };
        Self { completion: Some(completion), ticket, called }
    }

    /// Checks, after the completion, that the ticket has ended and answers at once.
    fn check(mut self, stands: Stands, name: &str) {
        assert!(self.completion.is_none(), "{name}: the completion was used");
        let called = self.called.load(Ordering::SeqCst);
        assert_eq!(called, u32::from(matches!(stands, Stands::Callback)), "{name}, {stands:?}");
        if let Some(ticket) = &mut self.ticket {
            assert!(ticket.is_complete(), "{name}, {stands:?}");
            assert!(ticket.try_take().is_some(), "{name}, {stands:?}: the result is lost");
            assert!(ticket.try_take().is_none());
        }
    }
}

type Completing = (&'static str, fn(Completion<Fused, Failure>, &Fuse));

/// Every way to complete; the return value is dropped within the call.
const COMPLETING: &[Completing] = &[
    ("complete", |completion, fuse| drop(completion.complete(fuse.value()))),
    ("complete, is_delivered", |completion, fuse| _ = completion.complete(fuse.value()).is_delivered()),
    ("complete, into_abandoned", |completion, fuse| drop(completion.complete(fuse.value()).into_abandoned())),
    ("fail", |completion, fuse| drop(completion.fail(Failure(Some(fuse.value()))))),
    ("finish", |completion, fuse| drop(completion.finish(Ok(fuse.value())))),
    ("is_abandoned, drop", |completion, _| {
        let _ = completion.is_abandoned();
        drop(completion);
    }),
];

#[test]
fn a_destructor_that_panics_while_a_ticket_completes_leaves_no_one_waiting() {
    let mut burned = 0;
    for (name, call) in COMPLETING {
        for stands in STANDS {
            burned += for_every_drop(|fuse, nth| {
                let mut world = World::new(ticket_with(), stands, fuse);
                let completion = world.completion.take().unwrap();
                let (burned, _) = fuse.within(nth, || call(completion, fuse));
                world.check(stands, name);
                burned
            });
        }
    }
    assert!(burned >= 15, "the fuse burned only {burned} times");
}

type Asking = (&'static str, fn(Ticket<Fused, Failure>, &Fuse));

/// Every way to take an existing result, which is dropped within the call.
const ASKING: &[Asking] = &[
    ("wait", |ticket, _| drop(ticket.wait())),
    ("wait_timeout", |ticket, _| drop(ticket.wait_timeout(LONG))),
    ("try_take", |mut ticket, _| {
        assert!(ticket.is_complete());
        drop(ticket.try_take());
        assert!(ticket.try_take().is_none());
    }),
    ("poll", |mut ticket, fuse| assert!(poll(&mut ticket, fuse).is_ready())),
    ("on_complete", |ticket, fuse| {
        let capture = fuse.value();
        ticket.on_complete(move |result| drop((result, capture)));
    }),
    ("drop", |ticket, _| drop(ticket)),
];

#[test]
fn a_destructor_that_panics_where_a_result_is_taken_drops_it_once() {
    for (name, call) in ASKING {
        for stands in [Stands::Fresh, Stands::Polled] {
            let burned = for_every_drop(|fuse, nth| {
                let mut world = World::new(ticket_with(), stands, fuse);
                drop(world.completion.take().unwrap().complete(fuse.value()));
                let ticket = world.ticket.take().unwrap();
                fuse.within(nth, || call(ticket, fuse)).0
            });
            assert!(burned >= 1, "{name}");
        }
    }
}

type Before = (&'static str, fn(Ticket<Fused, Failure>, &Fuse) -> Option<Ticket<Fused, Failure>>);

/// Every call before the result exists. Returns the ticket if it remains.
const BEFORE: &[Before] = &[
    ("wait_timeout, into_ticket", |ticket, _| {
        Some(ticket.wait_timeout(Duration::ZERO).err().unwrap().into_ticket())
    }),
    ("poll", |mut ticket, fuse| {
        assert!(poll(&mut ticket, fuse).is_pending());
        Some(ticket)
    }),
    ("on_complete", |ticket, fuse| {
        let capture = fuse.value();
        ticket.on_complete(move |result| drop((result, capture)));
        None
    }),
    ("drop", |_, _| None),
    ("is_complete, try_take", |mut ticket, _| {
        assert!(!ticket.is_complete() && ticket.try_take().is_none());
        Some(ticket)
    }),
];

#[test]
fn a_destructor_that_panics_before_the_result_is_there_does_not_hold_the_completer_up() {
    for (name, call) in BEFORE {
        for stands in [Stands::Fresh, Stands::Polled] {
            for_every_drop(|fuse, nth| {
                let mut world = World::new(ticket_with(), stands, fuse);
                let ticket = world.ticket.take().unwrap();
                let (burned, ticket) = fuse.within(nth, || call(ticket, fuse));
                let delivery = world.completion.take().unwrap().complete(fuse.value());
                assert!(!delivery.is_panicked(), "{name}");
                drop(delivery);
                if let Some(Some(ticket)) = ticket {
                    assert!(ticket.wait().is_ok(), "{name}: the result is lost");
                }
                burned
            });
        }
    }
}

/// A leaked completion leaves a callback in its slot.
#[test]
fn a_pool_whose_slots_hold_callbacks_that_panic_goes_on() {
    for_every_drop(|fuse, nth| {
        let pool: Pool<Fused, Failure> = Pool::new(NonZeroUsize::new(2).unwrap());
        for stands in STANDS {
            let world = World::new(pool.ticket(), stands, fuse);
            drop(world);
        }
        let (burned, _) = fuse.within(nth, || {
            for stands in STANDS {
                let mut world = World::new(pool.ticket(), stands, fuse);
                drop(world.completion.take().unwrap().complete(fuse.value()));
            }
            drop(pool.clone());
        });
        // The pool works as before.
        for stands in STANDS {
            let mut world = World::new(pool.ticket(), stands, fuse);
            drop(world.completion.take().unwrap().complete(fuse.value()));
            world.check(stands, "after");
        }
        assert!(pool.stats().kept <= pool.stats().capacity);
        drop(pool);
        burned
    });
}

/// The code that contains a panic also contains a panic of the payload's destructor.
#[test]
fn a_completion_that_is_dropped_contains_what_a_panic_carries() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any(fuse::Burned);
        }
    }
    let _quiet = Fuse::new();
    let (completion, one) = ticket::<u32>();
    one.on_complete(|_| panic_any(Bomb));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(completion))).is_ok());

    // The completer that is told of the panic owns its payload.
    let (completion, other) = ticket::<u32>();
    other.on_complete(|_| panic_any(Bomb));
    let Delivery::Panicked(payload) = completion.complete(1) else { panic!("the panic was not reported") };
    assert!(payload.is::<Bomb>());
    std::mem::forget(payload);
}
