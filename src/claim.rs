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
//! claim), *clearing* (no one may claim, see below), *awaited* (someone waits for a change).
//!
//! * A *clear* excludes new claims while it waits for the holder, or takes the place from the holder
//!   (`displace`), and ends with a new generation. A thread that read the word before a clear can therefore
//!   not claim after it, so a value that it reads between the two is not older than its claim.
//! * A place that is *retired* is never claimed again. Its owner replaces it by a new one, with later
//!   generations.
//!
//! A generation has 59 bits. It wraps around after 2^59 claims and clears of one place, which takes 18 years at
//! one per nanosecond.

mod state;
mod waiters;
mod word;

#[cfg(test)]
mod models;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

pub(crate) use state::{CancelRefused, ClaimId, ClaimRefused, ClearRefused, State};
pub(crate) use waiters::{Place, Waiters};
pub(crate) use word::{ClaimWord, Displacement};
