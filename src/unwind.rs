//! Panics of user code, and their payloads.
//!
//! The payload of a panic belongs to the code that panicked, and so does its destructor, which may panic as
//! well. Code that contains a panic therefore disposes of the payload with [`discard`], never with `drop`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

use crate::sync::is_unwinding;

/// Runs user code. Returns `None` if it panicked, which the panic hook has reported.
pub(crate) fn contain<R>(code: impl FnOnce() -> R + UnwindSafe) -> Option<R> {
    match catch_unwind(code) {
        Ok(result) => Some(result),
        Err(payload) => {
            discard(payload);
            None
        }
    }
}

/// Wakes a task. A panic of the waker is contained: its task misses this wake-up, and the caller continues.
pub(crate) fn wake(waker: Waker) {
    // Unwind safety: the call consumes the waker.
    let _ = contain(AssertUnwindSafe(|| waker.wake()));
}

/// Drops a waker. A panic of its destructor is contained.
pub(crate) fn drop_waker(waker: Waker) {
    // Unwind safety: no part of the waker remains observable.
    let _ = contain(AssertUnwindSafe(|| drop(waker)));
}

/// Resumes a panic that was held back. If this thread is already unwinding, the panic ends here: a second one
/// would abort the process.
pub(crate) fn resume(payload: Box<dyn Any + Send>) {
    if is_unwinding() {
        discard(payload);
    } else {
        resume_unwind(payload);
    }
}

/// Runs two pieces of user code on `state`, the second one also if the first panics; then the first panic goes
/// on. The caller vouches that a panic leaves `state` whole.
pub(crate) fn both<T>(state: &mut T, first: impl FnOnce(&mut T), second: impl FnOnce(&mut T)) {
    let panic = catch_unwind(AssertUnwindSafe(|| first(state)));
    let Err(panic) = panic else { return second(state) };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| second(state))) {
        discard(second);
    }
    resume(panic);
}

/// Drops the payload of a panic. If its destructor panics, the payload of that second panic is leaked:
/// otherwise the panics might never end.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    // Unwind safety: no part of the payload remains observable.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

#[cfg(all(test, not(switchboard_model)))]
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
