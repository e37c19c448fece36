//! The state that the tasks of one node share: handles of its manager, and the shared objects of the process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use switchboard::manager::command::SubmitError;
use switchboard::ticket::Ticket;
use switchboard::{Applied, CommandError, Handle, LinkManager, Links, NodeAddr, Snapshot, Table};

use crate::faults::Faults;
use crate::ledger::Ledger;
use crate::node::Blueprint;
use crate::plan::Plan;
use crate::totals::Totals;

/// The endpoints of all nodes, dead ones included. A table of this crate: the supervisor is its writer.
pub(crate) type AddressBook = Table<NodeAddr, SocketAddr>;

/// The result of sending a command to the manager.
pub(crate) type Sent = Result<Ticket<Applied, CommandError>, SubmitError<NodeAddr>>;

/// Time after which a command that finds the mailbox full is given up and counted as dropped.
const GIVE_UP: Duration = Duration::from_secs(5);

/// Pause between two attempts at a full mailbox.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// A command that was sent, and the time of the first attempt.
pub(crate) struct Submitted {
    ticket: Ticket<Applied, CommandError>,
    at: Instant,
}

/// A node as its tasks see it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) addr: NodeAddr,
    pub(crate) handle: Handle<NodeAddr>,
    pub(crate) links: Links<NodeAddr>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) ledger: Arc<Ledger>,
    book: AddressBook,
    /// Until then the node has only its imported state.
    alone_until: Instant,
    pub(crate) faults: Arc<Faults>,
    pub(crate) totals: Arc<Totals>,
}

impl Local {
    /// Creates the state of a node that may read the address book from `alone_until` on.
    pub(crate) fn new(
        addr: NodeAddr,
        manager: &LinkManager,
        blueprint: &Blueprint,
        alone_until: Instant,
    ) -> Self {
        let Blueprint { plan, book, faults, totals } = blueprint.clone();
        let (handle, links, ledger) = (manager.handle(), manager.links(), Arc::default());
        Self { addr, handle, links, plan, ledger, book, alone_until, faults, totals }
    }

    /// The endpoints of all nodes; `None` while this node has only its imported state.
    pub(crate) fn book(&self) -> Option<Snapshot<NodeAddr, SocketAddr>> {
        (!self.is_alone()).then(|| self.book.snapshot())
    }

    /// Whether this node still has to do without the address book.
    pub(crate) fn is_alone(&self) -> bool {
        Instant::now() < self.alone_until
    }

    /// Sends a command, and retries while the mailbox is full. `None` if the manager has shut down, so the
    /// command is no longer needed, or if the mailbox stays full too long.
    ///
    /// A task may call a handle. A report of the transport can wait for room within the call, but the writer
    /// makes room without waiting for anything; a command of the host is returned at once if it is full.
    pub(crate) async fn submit(&self, send: impl Fn(&Handle<NodeAddr>) -> Sent) -> Option<Submitted> {
        let at = Instant::now();
        loop {
            match send(&self.handle) {
                Ok(ticket) => return Some(Submitted { ticket, at }),
                Err(error) if error.is_closed() => return None,
                Err(_) if at.elapsed() < GIVE_UP => tokio::time::sleep(FULL_PAUSE).await,
                Err(_) => {
                    self.totals.dropped_commands.add(1);
                    return None;
                }
            }
        }
    }

    /// Sends a command without waiting for its result.
    pub(crate) async fn post(&self, send: impl Fn(&Handle<NodeAddr>) -> Sent) {
        self.submit(send).await;
    }

    /// Sends a command and waits until it is applied.
    pub(crate) async fn apply(
        &self,
        send: impl Fn(&Handle<NodeAddr>) -> Sent,
    ) -> Result<Applied, CommandError> {
        let submitted = self.submit(send).await.ok_or(CommandError::Closed)?;
        self.applied(submitted).await
    }

    /// Waits until a command is applied. Records the time, and checks that the change is visible.
    pub(crate) async fn applied(&self, submitted: Submitted) -> Result<Applied, CommandError> {
        let result = submitted.ticket.await;
        match &result {
            // A ticket completes after the version with its change is published, so no wait is needed.
            Ok(applied) if self.links.snapshot().version() >= applied.version => {
                self.totals.sample_visible(submitted.at.elapsed());
            }
            Ok(_) => self.totals.unseen.add(1),
            Err(CommandError::Shed | CommandError::Expired | CommandError::Panicked) => {
                self.totals.dropped_commands.add(1);
            }
            Err(_) => {}
        }
        result
    }
}
