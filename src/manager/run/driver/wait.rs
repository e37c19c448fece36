//! The driver in a task: turns that register a waker.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use super::Driver;
use crate::link::addr::Addr;

/// A wait for work. The waker that it has left does not outlive it.
struct Wait<'a, A: Addr> {
    driver: &'a mut Driver<A>,
}

impl<A: Addr> Drop for Wait<'_, A> {
    fn drop(&mut self) {
        self.driver.receiver.forget_task();
    }
}

impl<A: Addr> Driver<A> {
    /// Runs one turn as [`run_once`](Self::run_once) does, and registers the task to be woken when there is
    /// more to do. For drivers that are part of a hand-written future; in an `async` block,
    /// [`wait_for_work`](Self::wait_for_work) is simpler.
    ///
    /// Returns the instant at which the next turn is due, as `run_once` does. In addition, it returns `now`
    /// if a command arrived during the turn, for instance from a ticket's callback. From then on, the waker
    /// is woken by:
    /// * each command that any handle sends, also for an effect that the caller carries out afterwards;
    /// * [`shutdown`](Self::shutdown);
    /// * taking [`effects`](Self::effects), when commands of the host had to wait for it.
    ///
    /// Time does not wake it: the caller sets a timer to the instant returned. The waker of the last call
    /// counts, and is woken once; it may also be woken without a reason. It is released when it is woken or
    /// replaced, or when the driver is dropped.
    ///
    /// # Panics
    /// If the waker's `clone` panics; the turn is complete by then.
    ///
    /// # Examples
    /// A future that runs a driver until it is shut down:
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use switchboard::{Config, LinkManager, NetConfig, NetId, NodeAddr};
    /// use switchboard::clock::{Clock, ManualClock};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = ManualClock::new(); // no time passes here; otherwise, `timer` is a future of the runtime
    /// let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build()?;
    /// let handle = driver.handle();
    /// # struct Timer(Option<std::time::Instant>);
    /// # impl Timer { fn reset(&mut self, at: std::time::Instant) { self.0 = Some(at); } }
    /// # let mut timer = Timer(None);
    /// let run = poll_fn(|cx| {
    ///     loop {
    ///         let now = clock.now();
    ///         let Some(next) = driver.poll_turn(cx, now) else { return Poll::Ready(()) };
    ///         for _effect in driver.effects() {} // carry them out, without waiting
    ///         if next > now {
    ///             timer.reset(next); // and poll it
    ///             return Poll::Pending;
    ///         }
    ///     }
    /// });
    /// let ticket = async { handle.add_net(NetId(1), NetConfig::new()).expect("there is room").await };
    /// tokio::select! {
    ///     () = run => unreachable!("no one shuts the driver down"),
    ///     applied = ticket => assert_eq!(applied?.version.as_u64(), 1),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn poll_turn(&mut self, context: &mut Context<'_>, now: Instant) -> Option<Instant> {
        // Requests to wake up to here are answered by this turn.
        self.receiver.take_wake();
        let next = self.run_once(now)?;
        Some(if self.poll_work(context).is_ready() { now } else { next })
    }

    /// Returns whether commands wait that the next turn would take. While the transport is far behind,
    /// commands of the host that have to wait for it do not count.
    ///
    /// Work that time brings does not count either: [`run_once`](Self::run_once) returns its instant.
    ///
    /// # Examples
    /// ```
    /// use switchboard::{Config, LinkManager, NetConfig, NetId, NodeAddr};
    /// use switchboard::clock::{Clock, ManualClock};
    ///
    /// let clock = ManualClock::new();
    /// let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).clock(clock.clone()).build()?;
    /// assert!(!driver.has_work());
    /// driver.handle().add_net(NetId(1), NetConfig::new())?;
    /// assert!(driver.has_work());
    /// driver.run_once(clock.now());
    /// assert!(!driver.has_work());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn has_work(&self) -> bool {
        let has_mail =
            if self.is_relieved() { self.receiver.len_total() > 0 } else { !self.receiver.is_empty() };
        has_mail || !self.inbox.is_empty()
    }

    /// Waits until [`has_work`](Self::has_work), without running a turn. Also completes when the driver was
    /// shut down, and may complete without a reason.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: use it in a `select!`, beside a timer for the instant that
    /// [`run_once`](Self::run_once) returned. Its waker is dropped with it. It replaces the waker of
    /// [`poll_turn`](Self::poll_turn).
    ///
    /// # Examples
    /// ```
    /// use std::time::Instant;
    /// use switchboard::{Config, LinkManager, NetConfig, NetId, NodeAddr};
    /// use tokio::time::sleep_until;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut driver = LinkManager::<NodeAddr>::builder(Config::default()).build()?;
    /// let handle = driver.handle();
    /// let task = tokio::spawn(async move {
    ///     while let Some(next) = driver.run_once(Instant::now()) {
    ///         for _effect in driver.effects() {} // carry them out, without waiting
    ///         tokio::select! {
    ///             () = driver.wait_for_work() => {}
    ///             () = sleep_until(next.into()) => {}
    ///         }
    ///     }
    /// });
    /// let applied = handle.add_net(NetId(1), NetConfig::new())?.await?;
    /// assert_eq!(applied.version.as_u64(), 1);
    /// # task.abort();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn wait_for_work(&mut self) {
        let wait = Wait { driver: self };
        poll_fn(|context| wait.driver.poll_work(context)).await;
    }

    /// Registers the task, and then looks for work.
    fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.receiver.poll_ready(context).is_ready() || self.has_work() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Returns whether commands of the host had to wait for the transport and no longer have to.
    fn is_relieved(&self) -> bool {
        self.congested_batch_at.is_some() && self.outbox.len() < self.config.outbox
    }
}
