//! What the parts of one node share: its manager's two sides, and what the process knows.

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

/// Where every node that was ever started listens, or did. A table of this crate: the supervisor writes it,
/// all nodes read it.
pub(crate) type AddressBook = Table<NodeAddr, SocketAddr>;

/// What a command of the manager comes back with.
pub(crate) type Sent = Result<Ticket<Applied, CommandError>, SubmitError<NodeAddr>>;

/// After so long in front of a full mailbox a command is given up, and counted as lost.
const GIVE_UP: Duration = Duration::from_secs(5);

/// The pause between two tries at a full mailbox.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// A command on its way.
pub(crate) struct Submitted {
    ticket: Ticket<Applied, CommandError>,
    at: Instant,
}

/// One node, as its tasks see it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) addr: NodeAddr,
    pub(crate) handle: Handle<NodeAddr>,
    pub(crate) links: Links<NodeAddr>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) ledger: Arc<Ledger>,
    book: AddressBook,
    /// Until then the node has only what it remembers.
    alone_until: Instant,
    pub(crate) faults: Arc<Faults>,
    pub(crate) totals: Arc<Totals>,
}

impl Local {
    /// A node that may look into the address book from `alone_until` on.
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

    /// Where nodes listen; `None` while this one has to do with what it remembers.
    pub(crate) fn book(&self) -> Option<Snapshot<NodeAddr, SocketAddr>> {
        (!self.is_alone()).then(|| self.book.snapshot())
    }

    /// Whether nobody tells this node where the others are.
    pub(crate) fn is_alone(&self) -> bool {
        Instant::now() < self.alone_until
    }

    /// Sends a command and tries again while the mailbox is full. `None` when the manager has ended: then
    /// nobody needs the command any more.
    ///
    /// Calling a handle from a task is fine. What a transport reports waits for room inside the call, which
    /// the writer makes without waiting for anybody; what a host asks for comes back when there is none.
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

    /// Sends a command that nobody waits for.
    pub(crate) async fn post(&self, send: impl Fn(&Handle<NodeAddr>) -> Sent) {
        self.submit(send).await;
    }

    /// Sends a command and waits until it was applied.
    pub(crate) async fn apply(
        &self,
        send: impl Fn(&Handle<NodeAddr>) -> Sent,
    ) -> Result<Applied, CommandError> {
        let submitted = self.submit(send).await.ok_or(CommandError::Closed)?;
        self.applied(submitted).await
    }

    /// Waits until a command was applied. Takes the time, and looks whether the change can be seen.
    pub(crate) async fn applied(&self, submitted: Submitted) -> Result<Applied, CommandError> {
        let result = submitted.ticket.await;
        match &result {
            // A ticket completes after the version with its change is published: no need to wait or to look
            // twice.
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
