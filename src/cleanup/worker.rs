//! One worker: its queue, and the wait of its thread.

use std::time::Instant;

use super::batch::Tuning;
use super::fair::Queued;
use super::marks::Crossing;
use super::moment::Moment;
use super::queue::{Refused, Taken, WorkQueue};
use super::slots::{Cleaning, ConnectionId};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, lock_order};

pub(crate) struct Worker<R> {
    /// Valid after a panic: no user code runs under it, and each step changes one part.
    inbox: Mutex<Inbox<R>>,
    /// Notified when `has_news` is set while the thread of the worker is parked.
    news: Condvar,
    is_open: AtomicBool,
}

struct Inbox<R> {
    queue: WorkQueue<ConnectionId>,
    /// Connections of batches that panicked, to be removed one by one.
    again: Vec<Again<R>>,
    /// Batches that were handed to the writer, and are not removed yet.
    in_flight: usize,
    /// The number of them from which none is taken, as of the last look.
    limit: usize,
    /// Something has come since the last look. The thread parks only without news.
    has_news: bool,
    is_parked: bool,
    /// The number of connections that were opened or changed, as of the last step.
    asked: u64,
    /// Batches, and looks that found none, since it last grew.
    calm: u32,
}

/// A connection of a batch that panicked.
pub(crate) struct Again<R> {
    pub(crate) cleaning: Cleaning<R>,
    /// It has panicked alone: it is removed without its events.
    pub(crate) is_alone: bool,
}

/// The next work of a worker.
pub(crate) enum Next<R> {
    Again(Again<R>),
    Queue(Taken<ConnectionId>),
    /// As many batches as may be are on their way. It is news when one of them has ended.
    Wait,
}

/// Number of batches of one worker that the writer may have: one that it applies, and the next one. So the batches grow
/// with the time that a publish takes. While connections are opened or changed, it has one, for which they wait.
const MAX_IN_FLIGHT: usize = 2;

/// The size of a batch while connections are opened or changed: those that wait for the writer wait for the removal of so
/// few. Batches of 8 are applied in half to nine tenths of the time, as far as memory is not what it waits for, and let those
/// that connect wait for up to ten times as long.
pub(crate) const BRIEF: usize = 2;

/// Number of batches, and looks that find none, after the last connection that was opened or changed until batches are
/// large again.
pub(crate) const CALM: u32 = 256;

/// The figures of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(crate) len: usize,
    pub(crate) capacity: usize,
    pub(crate) peak: usize,
    pub(crate) oldest: Option<Moment>,
    pub(crate) is_congested: bool,
}

impl<R> Worker<R> {
    pub(crate) fn new(queue: WorkQueue<ConnectionId>) -> Self {
        let inbox = Inbox {
            queue,
            again: Vec::new(),
            in_flight: 0,
            limit: MAX_IN_FLIGHT,
            has_news: false,
            is_parked: false,
            asked: 0,
            calm: CALM,
        };
        Self {
            inbox: Mutex::new(&lock_order::CLEANUP_QUEUE, inbox),
            news: Condvar::new(),
            is_open: AtomicBool::new(true),
        }
    }

    /// Whether its queue takes tasks: a hint, for the choice of a worker.
    pub(crate) fn is_open(&self) -> bool {
        // Relaxed: the queue decides, under its lock.
        self.is_open.load(Ordering::Relaxed)
    }

    pub(crate) fn depth(&self) -> Depth {
        let inbox = self.inbox.lock();
        let queue = &inbox.queue;
        Depth {
            len: queue.len(),
            capacity: queue.capacity(),
            peak: queue.peak(),
            oldest: queue.oldest(),
            is_congested: queue.is_congested(),
        }
    }

    /// Reserves room for one task of the app, for [`push`](Self::push) or [`unreserve`](Self::unreserve).
    pub(crate) fn reserve(&self, app: u64) -> Result<(), Refused> {
        self.inbox.lock().queue.reserve(app)
    }

    pub(crate) fn unreserve(&self) {
        self.change(|inbox| inbox.queue.unreserve());
    }

    /// Appends a task for which room was reserved. Returns the mark that the queue has crossed.
    ///
    /// It is no news while the writer has as many batches as it may have: a look follows when one of them has landed. So
    /// a storm does not wake the thread of the worker for each of its connections.
    pub(crate) fn push(&self, task: Queued<ConnectionId>) -> Option<Crossing> {
        let mut inbox = self.inbox.lock();
        // Without room, which was reserved, the sweep would find the connection.
        let crossing = inbox.queue.push(task).unwrap_or(None);
        if inbox.in_flight < inbox.limit {
            self.notify(inbox);
        }
        crossing
    }

    /// Has the worker remove connections one by one.
    pub(crate) fn repeat(&self, again: impl Iterator<Item = Again<R>>) {
        self.change(|inbox| inbox.again.extend(again));
    }

    /// Takes the next work. What comes after that is news. A batch is in flight until [`landed`](Self::landed). `asked` is
    /// the number of connections that were opened or changed so far.
    pub(crate) fn next(&self, now: Moment, tuning: Tuning, asked: u64) -> Next<R> {
        let mut inbox = self.inbox.lock();
        inbox.has_news = false;
        let is_calm = inbox.asked == asked && inbox.calm >= CALM;
        inbox.limit = if is_calm { MAX_IN_FLIGHT } else { 1 };
        if inbox.in_flight >= inbox.limit {
            return Next::Wait;
        }
        inbox.calm = if inbox.asked == asked { inbox.calm.saturating_add(1) } else { 0 };
        inbox.asked = asked;
        let batch_max = if is_calm { tuning.batch_max } else { tuning.batch_max.min(BRIEF) };
        let tuning = Tuning { batch_max, ..tuning };
        let next = match inbox.again.pop() {
            Some(again) => Next::Again(again),
            None => Next::Queue(inbox.queue.take(now, tuning)),
        };
        match next {
            Next::Again(_) | Next::Queue(Taken::Batch(..)) => inbox.in_flight += 1,
            // It may come back, to be removed one by one.
            Next::Queue(Taken::Ended) if inbox.in_flight > 0 => return Next::Wait,
            _ => {}
        }
        next
    }

    /// A batch has left the table, or could not be sent. A look must follow: that of the caller, or of the worker, which is
    /// [told](Self::tell).
    pub(crate) fn landed(&self) {
        self.inbox.lock().in_flight -= 1;
    }

    /// Wakes the thread of the worker, for another look.
    pub(crate) fn tell(&self) {
        self.change(|_| ());
    }

    /// Takes one of the connections to be removed one by one.
    pub(crate) fn next_again(&self) -> Option<Again<R>> {
        self.inbox.lock().again.pop()
    }

    /// Takes no more tasks, and hands out what it has without a linger.
    pub(crate) fn close(&self) {
        // Relaxed: as in `is_open`.
        self.is_open.store(false, Ordering::Relaxed);
        self.change(|inbox| inbox.queue.close());
    }

    /// Waits for news, and no longer than until `deadline`, on the real clock. For the one thread
    /// of the worker. Woken by `change`.
    pub(crate) fn park(&self, deadline: Option<Instant>) {
        let mut inbox = self.inbox.lock();
        while !inbox.has_news {
            inbox.is_parked = true;
            let is_over;
            (inbox, is_over) = match deadline {
                Some(deadline) => self.news.wait_until(inbox, deadline),
                None => (self.news.wait(inbox), false),
            };
            inbox.is_parked = false;
            if is_over {
                return;
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inbox<R>) -> T) -> T {
        let mut inbox = self.inbox.lock();
        let result = change(&mut inbox);
        self.notify(inbox);
        result
    }

    /// There is news.
    fn notify(&self, mut inbox: MutexGuard<'_, Inbox<R>>) {
        inbox.has_news = true;
        let is_parked = inbox.is_parked;
        drop(inbox);
        if is_parked {
            self.news.notify_one();
        }
    }
}
