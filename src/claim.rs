//! A place that one holder at a time may claim: the primitive behind sessions.
//!
//! All of the state is one atomic word: the *generation*, which numbers the claims, the *phase*, and flags.
//! There is no moment at which "vacant" was seen and "reserved" is yet to be written, and a release names the
//! claim that it ends, so a late one never ends the claim of a successor.
//!
//! ```text
//!                claim              start
//!   Vacant(g) ----------> Reserved(g+1) ----------> Running(g+1)
//!       ^  |                 |   release(g+1)           |
//!       |  | retire          +--------------------------+
//!       |  v                               | displace
//!       | Retired, for good                v
//!       +---------------------------- Vacant(g+2)
//! ```
//!
//! Flags: *cancelled* (the holder was asked to stop; it may be set before the holder starts, and ends with the
//! claim), *clearing* (no one may claim, see below), *queued* (someone waits to claim), *awaited* (someone waits
//! for a change), *listed* (for the owner of the place), *ending* (someone ends the clear).
//!
//! * Those who wait to claim stand in a *queue*. A release hands the place over to the first of them: from
//!   Running(g) to Reserved(g+1), in one exchange. The place is not vacant in between, so a newcomer does not
//!   get it.
//! * A *clear* excludes new claims while it waits for the holder, or takes the place from the holder
//!   (`displace`), and ends with a new generation. A thread that read the word before a clear can therefore
//!   not claim after it, so a value that it reads between the two is not older than its claim.
//! * Once the place is vacant, the clear is *ended* by the first one that marks the word: the one that began it, or one
//!   that joined it. So no clear waits for the task of another one that is not polled; claims do.
//! * A place that is *retired* is never claimed again. Its owner replaces it by a new one, with later
//!   generations.
//!
//! A generation has 56 bits. It wraps around after 2^56 claims and clears of one place, which takes 2 years at
//! one per nanosecond.

#[cfg(feature = "cleanup")]
mod cleaning;
#[cfg(feature = "sessions")]
mod place;
#[cfg(feature = "sessions")]
mod queue;
#[cfg_attr(not(feature = "sessions"), allow(dead_code))] // A slot uses some of the transitions.
mod state;
#[cfg(feature = "sessions")]
mod waiters;
#[cfg_attr(not(feature = "sessions"), allow(dead_code))]
mod word;

#[cfg(all(test, feature = "sessions"))]
mod models;
#[cfg(all(test, feature = "sessions", not(switchboard_model)))]
mod tests;

#[cfg(feature = "cleanup")]
pub(crate) use cleaning::CloseRefused;
#[cfg(feature = "sessions")]
pub(crate) use place::{Begun, Place, Released};
#[cfg(feature = "sessions")]
pub(crate) use queue::{Grant, Terms, Ticket, WaitRefused};
pub(crate) use state::ClaimId;
#[cfg(feature = "sessions")]
pub(crate) use state::{CancelRefused, ClaimRefused, ClearRefused, Occupant, State};
#[cfg(feature = "sessions")]
pub(crate) use waiters::Spot;
#[cfg(feature = "cleanup")]
pub(crate) use word::ClaimWord;
#[cfg(feature = "sessions")]
pub(crate) use word::{Change, Displacement};
