//! Looks at the sessions of a registry, which change nothing.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::registry::Sessions;
use super::snapshot::SessionSnapshot;
use super::stats::Stats;
use crate::sync::StdArc;
use crate::unwind::discard;

/// The result of [`Sessions::broadcast`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broadcast {
    /// Calls that returned.
    pub delivered: usize,
    /// Calls that panicked.
    pub panicked: usize,
}

impl<K, D, C> Sessions<K, D, C>
where
    K: Hash + Eq + Clone,
{
    /// Returns the data of the session, or `None` if the key has no session.
    ///
    /// Wait-free, as `arc_swap` uses the word, once the session is found in the map: no run blocks it. An
    /// update that has returned is visible.
    pub fn read(&self, key: &K) -> Option<StdArc<D>> {
        self.map().with(key, |session| session.read())?
    }

    /// Returns whether the key has a session. One that only the store has does not count. O(1), and
    /// wait-free as [`read`](Self::read).
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.find(key).is_some_and(|session| session.published().is_some())
    }

    /// Returns the session as it is now, or `None` if the key has no session: its run, its connection and its data. O(1),
    /// with a short lock of the session.
    ///
    /// # Examples
    /// ```
    /// use switchboard::sessions::{Phase, Sessions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions: Sessions<&str, u64> = Sessions::new();
    /// assert!(sessions.inspect(&"a").is_none());
    /// let run = sessions.try_begin(&"a")?;
    /// let seen = sessions.inspect(&"a").ok_or("no session")?;
    /// assert_eq!((seen.run, seen.phase, *seen.data), (Some(run.id()), Phase::Reserved, 0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn inspect(&self, key: &K) -> Option<SessionSnapshot<K, D>> {
        let session = self.find(key)?;
        let look = session.look()?;
        Some(SessionSnapshot::new(key.clone(), look, |claim| session.run_id(claim)))
    }

    /// Returns the peer of the session's connection: to send to one client, or to close it. Takes a short lock of the
    /// session.
    ///
    /// # Examples
    /// ```
    /// use switchboard::sessions::Sessions;
    ///
    /// let sessions: Sessions<u32, String, &str> = Sessions::new();
    /// let connection = sessions.connect(&1, "socket").connection;
    /// assert_eq!(sessions.peer(&1).as_deref(), Some(&"socket"));
    /// drop(connection);
    /// assert!(sessions.peer(&1).is_none());
    /// ```
    #[must_use]
    pub fn peer(&self, key: &K) -> Option<StdArc<C>> {
        Some(self.find(key)?.connection()?.1)
    }

    /// Returns the connected sessions and their peers. O(n), with a short lock of each session, which is as it was at
    /// some time during the call.
    #[must_use]
    pub fn peers(&self) -> Vec<(K, StdArc<C>)> {
        let entries = self.entries().into_iter();
        entries.filter_map(|(key, session)| Some((key, session.connection()?.1))).collect()
    }

    /// Calls `send` for each connected session, on this thread, with nothing held: it may use this registry.
    ///
    /// The peers are those of [`peers`](Self::peers). A call that panics does not keep the others from their
    /// turn. The calls come one after the other, so one that blocks delays those that follow: a server gives each
    /// connection a bounded queue and a task that sends, and `send` puts the message into the queue, or drops it if the
    /// queue is full.
    pub fn broadcast(&self, mut send: impl FnMut(&K, &C)) -> Broadcast {
        let mut broadcast = Broadcast::default();
        for (key, peer) in self.peers() {
            // Unwind safety: the registry is not in the middle of anything, and `send` belongs to the caller,
            // who learns of the panic.
            match catch_unwind(AssertUnwindSafe(|| send(&key, &peer))) {
                Ok(()) => broadcast.delivered += 1,
                Err(payload) => {
                    discard(payload);
                    broadcast.panicked += 1;
                }
            }
        }
        broadcast
    }

    /// Returns all sessions. O(n), with a short lock of each session, which is as it was at some time during the call.
    #[must_use]
    pub fn snapshot(&self) -> Vec<SessionSnapshot<K, D>> {
        let entries = self.entries().into_iter();
        entries
            .filter_map(|(key, session)| {
                let look = session.look()?;
                Some(SessionSnapshot::new(key, look, |claim| session.run_id(claim)))
            })
            .collect()
    }

    /// Returns the number of sessions. Wait-free, and O(1) regardless of their number: the sum of about
    /// one counter per CPU. A session that is created or removed meanwhile may be counted or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map().len()
    }

    /// Returns whether there are no sessions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the figures of the registry.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters().stats(self.len())
    }
}
