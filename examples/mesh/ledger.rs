//! The traffic of one node in one life, counted twice: by the counters of its links, and by its streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use switchboard::LinksSnapshot;
use switchboard::link::Counters;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::wire::Traffic;

/// How long streams may take to end when their node has, in pauses.
const PAUSES_MAX: u32 = 2000;
const PAUSE: Duration = Duration::from_millis(1);

/// One account per record of a link that ever had a stream.
#[derive(Default)]
pub(crate) struct Ledger {
    accounts: Mutex<Vec<Arc<Account>>>,
}

/// What the streams of one record have counted themselves. Relaxed throughout: plain counters, compared by
/// whoever has seen that no stream has the account any more.
struct Account {
    counters: Counters,
    sent: AtomicU64,
    received: AtomicU64,
}

/// A stream's place in its account.
pub(crate) struct Meter {
    account: Arc<Account>,
    begun: Traffic,
    counted: Traffic,
}

/// What the books say in the end.
#[derive(Default)]
pub(crate) struct Balance {
    /// As the counters of the links have it.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Where they and the streams do not agree.
    pub(crate) problems: Vec<String>,
}

impl Ledger {
    /// A stream begins whose wire has carried `begun` already.
    pub(crate) async fn open(&self, counters: &Counters, begun: Traffic) -> Meter {
        let mut accounts = self.accounts.lock().await;
        // A new stream belongs to a young record.
        let known = accounts.iter().rev().find(|account| account.counters == *counters);
        let account = known.cloned().unwrap_or_else(|| {
            let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
            let account = Arc::new(Account { counters: counters.clone(), sent, received });
            accounts.push(Arc::clone(&account));
            account
        });
        Meter { account, begun, counted: begun }
    }

    /// Compares, once all streams have ended. `last` are the links as they were when the node did: their
    /// counters have gone on.
    pub(crate) async fn balance(&self, last: &LinksSnapshot) -> Balance {
        let mut accounts = self.accounts.lock().await;
        let mut balance = Balance::default();
        for _ in 0..PAUSES_MAX {
            // Nobody else has it, and what they did with it has been done.
            if accounts.iter_mut().all(|account| Arc::get_mut(account).is_some()) {
                break;
            }
            sleep(PAUSE).await;
        }
        for account in accounts.iter() {
            let Account { counters, sent, received } = &**account;
            let streams = (sent.load(Ordering::Relaxed), received.load(Ordering::Relaxed));
            let link = (counters.sent(), counters.received());
            if streams != link {
                balance.problems.push(format!("a link counted {link:?} bytes, its streams {streams:?}"));
            }
            balance.sent += link.0;
            balance.received += link.1;
        }
        for link in last.links() {
            let is_booked = accounts.iter().any(|account| account.counters == *link.counters());
            if !is_booked && link.counters().sent() + link.counters().received() > 0 {
                let addr = link.addr();
                balance.problems.push(format!("the link to {addr} counts traffic of no stream"));
            }
        }
        balance
    }
}

impl Meter {
    /// The counters of the link.
    pub(crate) fn counters(&self) -> &Counters {
        &self.account.counters
    }

    /// Tells the counters of the link what its wire has carried since the last time.
    pub(crate) fn follow(&mut self, now: Traffic) {
        self.counters().add_sent(now.sent - self.counted.sent);
        self.counters().add_received(now.received - self.counted.received);
        self.counted = now;
    }

    /// The stream ends: what it has carried, from beginning to end, is what the counters have to show.
    pub(crate) fn close(mut self, end: Traffic) {
        self.follow(end);
        self.account.sent.fetch_add(end.sent - self.begun.sent, Ordering::Relaxed);
        self.account.received.fetch_add(end.received - self.begun.received, Ordering::Relaxed);
    }
}
