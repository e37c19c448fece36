//! Sessions: for each key its data, its connection, and at most one run.
//!
//! A server that works for many clients has, per client, a piece of data (a conversation), a connection that
//! comes and goes, and work that must not run twice at the same time. [`Sessions`] keeps the three together.
//!
//! ```
//! use switchboard::sessions::{Cancel, ClearPolicy, Sessions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sessions: Sessions<String, Vec<String>> = Sessions::new();
//! let key = String::from("alice");
//!
//! let mut run = sessions.try_begin(&key)?;
//! run.update(|lines| lines.iter().cloned().chain([String::from("hello")]).collect())?;
//! assert!(sessions.try_begin(&key).is_err(), "one run at a time");
//!
//! assert_eq!(sessions.cancel(&key), Cancel::Requested(run.id()));
//! assert!(run.is_cancelled());
//! drop(run);
//!
//! sessions.clear(&key, ClearPolicy::RefuseIfBusy)?;
//! assert_eq!(sessions.read(&key).map(|lines| lines.len()), Some(0));
//! # Ok(())
//! # }
//! ```
//!
//! # One run per session
//!
//! The state of a session is one atomic word, and every transition is one exchange of it: of any number of
//! threads that begin a run at the same time, one succeeds. A [`Run`] is a guard: it ends the run when it is
//! dropped, also by a panic, or with the future that owns it. Its end names the run, so the end of an old run
//! never ends a newer one.
//!
//! # Waiting
//!
//! [`Sessions::try_begin`] fails if the session is busy. [`Sessions::begin_timeout`] and [`Sessions::begin_async`]
//! wait in a bounded queue, in the order in which they came: the end of a run hands the session over to the first one,
//! in the same step, so no newcomer overtakes it. [`Sessions::begin_or_replace`] waits there as well, and asks those
//! in front of it to stop.
//!
//! # Cancel
//!
//! Cancelling a run asks it to stop; it cannot be forced. The request is a flag of the same word, so it is not
//! lost if it comes before the run has started, and it never reaches a later run.
//!
//! # Clear
//!
//! [`Sessions::clear`] resets the data in one step: each run comes before it or after it. A run that was
//! detached, because the clear did not wait for it, is fenced off by the *epoch*: the session rejects what it
//! writes. A clear also ends the waits that began before it.
//!
//! # Connections
//!
//! A session has at most one [`Connection`]. A newer one displaces it, and the end of a displaced connection
//! has no effect. The identity of the connection, not the key, decides. [`OnDisconnect`] says what happens to a run
//! whose connection ends: it is asked to stop, or goes on, or waits for a connection that resumes it.
//!
//! # The size of a registry
//!
//! A session that has neither a run nor a connection, and whose data is that of a new one, is removed when there are
//! [too many](SessionsBuilder::max_blank) of them. Sessions with data go by [age](Sessions::prune) or
//! [number](Sessions::prune_to).
//!
//! # Where user code runs
//!
//! Functions, wakers and destructors that belong to the caller run with no lock held, and may call the
//! registry; keys are hashed and compared inside the map. A panic of any of them leaves the registry whole.
//! Exceptions: the destructor of a key runs inside the map, at a time that the map chooses, and must not
//! panic.
//!
//! # Memory
//!
//! A session needs about 500 bytes, besides its key (which is kept twice), its data and its peer. What has come and gone
//! leaves nothing behind, with three exceptions, each of which is bounded:
//!
//! * The data of a removed session is free at once. The map frees the rest in batches: for each thread that removes
//!   sessions, up to 32 of them wait for their batch. The threads that exist at the same time count.
//! * Blank sessions stay until newer ones push them out: [`SessionsBuilder::max_blank`].
//! * The table of the map keeps its size, of at most 36 bytes per session, when its sessions are removed. It shrinks by
//!   halves while others come and go.
//!
//! `tests/sessions_memory.rs` checks this with a counting allocator: with 50,000 sessions, and with a million if asked
//! (`--ignored`).
//!
//! # Progress
//!
//! Beginning and ending a run without contention, and cancelling, take no lock; reading the data is wait-free. The end of
//! a run whose session is blank puts it into a ring, and may remove the oldest one there, with a short lock of that one.
//! Under [`OnDisconnect::KeepForResume`], the end of a run that waits for a connection takes a short lock. Connecting,
//! writing and [`Sessions::snapshot`] take a short lock of the session; no user code runs under it.
//! Waiting tries, spins briefly, and parks; the end of a run wakes one of those who wait for its session.

mod attach;
mod begin;
mod builder;
mod clear;
mod common;
mod connection;
mod error;
mod eviction;
mod id;
mod limit;
mod load;
mod map;
mod mark;
mod on_disconnect;
mod registry;
mod run;
pub mod saving;
mod session;
mod snapshot;
mod stats;
pub mod store;
mod watch;

#[cfg(test)]
mod models;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

pub use begin::Begin;
pub use builder::SessionsBuilder;
pub use clear::{Clear, ClearPolicy, Cleared};
pub use connection::{Connected, Connection, Disconnected};
pub use error::{BeginError, ClearError, RemoveError, Stale, TryBeginError};
pub use id::{ConnectionId, RunId};
pub use load::{LoadAll, LoadError, Loaded};
pub use on_disconnect::OnDisconnect;
pub use registry::{Broadcast, Cancel, Sessions};
pub use run::{Cancelled, Run};
pub use snapshot::{Phase, SessionSnapshot};
pub use stats::{Stats, Timing};
