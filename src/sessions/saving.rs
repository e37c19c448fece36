//! Saving: changes of sessions go to a [store](super::store) behind the runs.
//!
//! A run never waits for the store. Each update, clear and removal is *noted* with its version, which takes a short lock
//! and no I/O; a [`Saver`] stores the noted changes later, on a thread of the caller's choice:
//!
//! * [`Saver::spawn`] starts a named thread that does nothing else, and ends by [`SaverThread::shutdown`];
//! * or the caller calls [`Saver::run_once`] when it suits it, such as in a loop of its own.
//!
//! Several threads may do either; they store different sessions at the same time.
//!
//! # Guarantees
//!
//! * **Single flight, in order.** For each session one call of the store is in progress at a time. Of several changes
//!   that are noted meanwhile only the newest is stored. Stored versions never go back.
//! * **Nothing is forgotten.** A session is *dirty* from its first change that is not stored until the store has its
//!   newest one. A save that fails leaves it dirty, and is repeated with exponential backoff and jitter. A panic in the
//!   store counts as a failure.
//! * **Nothing comes back.** A change that reaches the saver late, after the session was cleared or removed, is
//!   recognized by its version and discarded, however late it is; see *Tombstones*.
//! * **A load never goes back in time.** One thread per session reads the store, and others share its result. Changes
//!   that are noted but not stored yet come before the store, as do those that are noted while it is read.
//!
//! A crash loses the changes that were not stored, and so does dropping the registry and its saver. [`Saver::flush`] returns once those of a session are.
//!
//! # Bounds
//!
//! The saver has one entry per dirty session, with its newest change only. Sessions that were updated are not pruned
//! before that is stored, so the number of entries is bounded by that of the sessions, plus the clears and removals that
//! are not stored yet: the sessions of these may be gone. If the store fails for long, the latter grow with the number of
//! keys that are cleared or removed: watch [`Stats::dirty`] and [`Stats::oldest_dirty`], and refuse such requests.
//!
//! The store keeps one record for each key that was ever updated or cleared, also if nothing was stored for it before:
//! a clear stores the data of a new session. [`Sessions::remove`](super::Sessions::remove) deletes the record; a clear
//! does not.
//!
//! # Tombstones
//!
//! A change can reach the saver after a newer one only if a clear has *detached* its run, between the moment at which
//! the run wrote and the one at which it noted this. Such a change comes through the same session object as the newer
//! one, and this object has the number of the newest change that was noted. This tombstone lives until the last run of
//! the object has ended: exactly as long as a late change is possible. It needs no clock, no limit, and no place in the
//! store.
//!
//! # In an async program
//!
//! [`Saver::flush`], [`Saver::flush_all`] and loads block, because stores do. Call them with a function for blocking work,
//! such as `tokio::task::spawn_blocking`:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use switchboard::sessions::Sessions;
//! use switchboard::sessions::store::{MemoryStore, SessionStore};
//!
//! let store = MemoryStore::new();
//! let sessions: Sessions<u32, String> = Sessions::builder().store(store.clone()).build();
//! let mut run = sessions.try_begin(&1)?;
//! run.update(|_| String::from("hello"))?;
//! drop(run);
//!
//! let saver = sessions.saver().cloned().ok_or("has a store")?;
//! tokio::task::spawn_blocking(move || saver.flush(&1, Duration::from_secs(10))).await??;
//! assert_eq!(store.load(&1)?.map(|stored| stored.data).as_deref(), Some("hello"));
//! # Ok(())
//! # }
//! ```

mod backoff;
mod config;
mod core;
mod error;
mod loads;
mod saver;
mod shared;
mod stats;
mod thread;

#[cfg(test)]
mod models;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

pub use config::Config;
pub use error::{FlushAllError, FlushError, ShutdownError};
pub use saver::{Saver, Step};
pub use stats::Stats;
pub use thread::SaverThread;
