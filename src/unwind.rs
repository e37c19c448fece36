//! Panics of foreign code, and what they carry.
//!
//! The payload of a panic is a value of the code that panicked, and its destructor is that code's, too: it may
//! panic in turn. Whoever contains a panic therefore lets go of the payload here, and never by `drop`.

use std::any::Any;
#[cfg(feature = "manager")]
use std::panic::UnwindSafe;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::sync::is_unwinding;

/// Runs foreign code. `None` when it panicked, which the panic hook has reported.
#[cfg(feature = "manager")]
pub(crate) fn contain<R>(code: impl FnOnce() -> R + UnwindSafe) -> Option<R> {
    match catch_unwind(code) {
        Ok(result) => Some(result),
        Err(payload) => {
            discard(payload);
            None
        }
    }
}

/// Lets a panic go on that was held back for a while. While this thread unwinds already, the panic ends here: a
/// second one would end the process.
pub(crate) fn resume(payload: Box<dyn Any + Send>) {
    if is_unwinding() {
        discard(payload);
    } else {
        resume_unwind(payload);
    }
}

/// Drops the payload of a panic. When its destructor panics, the payload of that panic is leaked: otherwise
/// there would be no end to it.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    // Unwind safety: nothing of the payload is left to be seen.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

#[cfg(all(test, feature = "manager", not(switchboard_model)))]
mod tests {
    use super::*;

    struct Bomb(u32);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 > 0 {
                std::panic::panic_any(Bomb(self.0 - 1));
            }
        }
    }

    #[test]
    fn a_payload_whose_destructor_panics_ends_nobody() {
        for depth in 0..4 {
            assert_eq!(contain(|| std::panic::panic_any(Bomb(depth))), None::<()>);
        }
        assert_eq!(contain(|| 7), Some(7));
    }
}
