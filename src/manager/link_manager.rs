//! A manager with its own threads.

use std::fmt;
use std::time::Duration;

use crate::link::addr::{Addr, NodeAddr};
use crate::manager::model::report::ShutdownReport;
use crate::manager::read::snapshot::Links;
use crate::manager::run::handle::Handle;
use crate::manager::run::outbox::shared::SharedOutbox;
use crate::manager::run::request::{Request, Shutdown};
use crate::sync::thread::JoinHandle;
use crate::sync::{self, StdArc};
use crate::ticket::{Ticket, ticket};

/// A link manager with two threads of its own: the writer's and the transport's.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use switchboard::{Config, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr, Outcome};
///
/// let transport = |effect: Effect<NodeAddr>, handle: &Handle| {
///     if let Effect::Dial { addr, dial, .. } = effect {
///         // Connect; here the node cannot be reached.
///         let _ = handle.dial_failed(addr, dial, true);
///     }
/// };
/// let manager = LinkManager::builder(Config::default())
///     .own_addr("0001::0001::0001::0001".parse::<NodeAddr>()?)
///     .transport(transport)
///     .spawn()?;
/// let handle = manager.handle();
/// handle.add_net(NetId(1), NetConfig::new().min_links(1))?.wait()?;
/// let addr: NodeAddr = "0002::0002::0002::0002".parse()?;
/// let applied = handle.create_link(addr, NetId(1))?.wait()?;
/// assert_eq!(applied.outcome, Outcome::Created);
/// assert!(manager.links().snapshot().contains(&addr, NetId(1)));
///
/// let report = manager.shutdown(Duration::from_secs(5));
/// assert!(report.is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Shutdown
/// [`shutdown`](Self::shutdown) drains the mailbox and joins the threads. Dropping the manager instead only
/// asks the writer to shut down, without waiting for it. Afterwards handles return `Closed`, and the last version of the links stays readable.
pub struct LinkManager<A: Addr = NodeAddr> {
    pub(super) handle: Handle<A>,
    pub(super) links: Links<A>,
    pub(super) outbox: StdArc<SharedOutbox<A>>,
    pub(super) request: StdArc<Request>,
    pub(super) writer: Option<JoinHandle<()>>,
    pub(super) effects: Option<(JoinHandle<()>, Ticket<()>)>,
}

impl<A: Addr> LinkManager<A> {
    /// The read side.
    #[must_use]
    pub fn links(&self) -> Links<A> {
        self.links.clone()
    }

    /// The write side.
    #[must_use]
    pub fn handle(&self) -> Handle<A> {
        self.handle.clone()
    }

    /// Shuts the manager down.
    ///
    /// 1. New commands are refused with `Closed`.
    /// 2. Accepted commands are applied; those that remain when `timeout` has passed end with `Closed`.
    /// 3. All links are closed, and the empty table is published.
    /// 4. The writer's thread is joined.
    /// 5. The waiting effects are delivered to the transport; its thread is joined.
    ///
    /// Waits up to `timeout` for all steps together. A thread that is stuck in a callback of the host at that
    /// point is not joined, and the report says so. The request does not pass through the mailbox: it is made
    /// even while every lane is full. A task calls this method where blocking is allowed, as in
    /// `spawn_blocking` of tokio.
    ///
    /// If a callback of the transport or of a ticket calls this method, it does not wait for the thread on
    /// which it runs: that thread ends after the callback returns, and the report says that it was not
    /// joined. On the writer's thread it waits for neither thread, and the report has no
    /// [`drain`](ShutdownReport::drain).
    #[allow(clippy::must_use_candidate)] // The shutdown matters; the report may be ignored.
    pub fn shutdown(mut self, timeout: Duration) -> ShutdownReport {
        let deadline = sync::deadline_after(timeout);
        let left = || deadline.map_or(timeout, sync::time_left);
        let (completion, drained) = ticket();
        let mut report = ShutdownReport::default();
        let on_writer = self.writer.as_ref().is_some_and(is_current);
        let is_made = self.make(Shutdown { deadline, completion });
        // Dropping this manager must not make another request, one without a deadline.
        let writer = self.writer.take();
        if is_made
            && !on_writer
            && let Ok(Ok(drain)) = drained.wait_timeout(left())
        {
            report.drain = Some(drain);
            report.writer_joined = writer.is_some_and(|writer| writer.join().is_ok());
        }
        // The transport's thread ends after the writer.
        if !on_writer
            && let Some((thread, ended)) = self.effects.take()
            && !is_current(&thread)
            && matches!(ended.wait_timeout(left()), Ok(Ok(())))
        {
            report.transport_joined = thread.join().is_ok();
        }
        report.undelivered = self.outbox.len();
        report.transport_panics = self.outbox.panics();
        report
    }

    fn make(&self, order: Shutdown) -> bool {
        self.request.make(order, || self.handle.wake_writer())
    }
}

/// Whether this is the current thread, which cannot wait for itself.
fn is_current(thread: &JoinHandle<()>) -> bool {
    thread.thread().id() == sync::thread::current().id()
}

impl<A: Addr> Drop for LinkManager<A> {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let (completion, _) = ticket();
            self.make(Shutdown { deadline: None, completion });
        }
    }
}

impl<A: Addr> fmt::Debug for LinkManager<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkManager").field("links", &self.links).finish_non_exhaustive()
    }
}
