//! The traffic of one life of a node, counted twice: by the counters of its links, and by its streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use switchboard::LinksSnapshot;
use switchboard::link::Counters;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::wire::Traffic;

/// Maximum number of pauses in which to wait for the streams of a dead node to end.
const PAUSES_MAX: u32 = 2000;
const PAUSE: Duration = Duration::from_millis(1);

/// One account per link record that ever had a stream.
#[derive(Default)]
pub(crate) struct Ledger {
    accounts: Mutex<Vec<Arc<Account>>>,
}

/// The traffic that the streams of one record counted. Relaxed throughout: plain counters, compared only
/// after every stream has released the account.
struct Account {
    counters: Counters,
    sent: AtomicU64,
    received: AtomicU64,
}

/// The share of one stream in its account.
pub(crate) struct Meter {
    account: Arc<Account>,
    begun: Traffic,
    counted: Traffic,
}

/// The result of comparing the two counts.
#[derive(Default)]
pub(crate) struct Balance {
    /// The sum of the links' counters.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Differences between the links and the streams.
    pub(crate) problems: Vec<String>,
}

impl Ledger {
    /// Starts a meter for a stream whose wire has already carried `begun`.
    pub(crate) async fn open(&self, counters: &Counters, begun: Traffic) -> Meter {
        let mut accounts = self.accounts.lock().await;
        // A new stream usually belongs to a recent record.
        let known = accounts.iter().rev().find(|account| account.counters == *counters);
        let account = known.cloned().unwrap_or_else(|| {
            let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
            let account = Arc::new(Account { counters: counters.clone(), sent, received });
            accounts.push(Arc::clone(&account));
            account
        });
        Meter { account, begun, counted: begun }
    }

    /// Compares the two counts after all streams have ended. `last` is the last snapshot of the node; the
    /// counters of its links are newer.
    pub(crate) async fn balance(&self, last: &LinksSnapshot) -> Balance {
        let mut accounts = self.accounts.lock().await;
        let mut balance = Balance::default();
        for _ in 0..PAUSES_MAX {
            // The account has no other owner, so all additions to it are complete.
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
                balance.problems.push(format!("the link to {addr} counted traffic that no stream carried"));
            }
        }
        balance
    }
}

impl Meter {
    /// Returns the counters of the link.
    pub(crate) fn counters(&self) -> &Counters {
        &self.account.counters
    }

    /// Adds the traffic since the last call to the counters of the link.
    pub(crate) fn follow(&mut self, now: Traffic) {
        self.counters().add_sent(now.sent - self.counted.sent);
        self.counters().add_received(now.received - self.counted.received);
        self.counted = now;
    }

    /// Books the traffic of the whole stream, which the counters must match.
    pub(crate) fn close(mut self, end: Traffic) {
        self.follow(end);
        self.account.sent.fetch_add(end.sent - self.begun.sent, Ordering::Relaxed);
        self.account.received.fetch_add(end.received - self.begun.received, Ordering::Relaxed);
    }
}
