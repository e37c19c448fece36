//! The turns in progress on a thread.
//!
//! User code that runs in a turn (a transaction, a callback, a destructor) must not wait for the writer that
//! runs it.

use std::cell::RefCell;

use crate::sync;

sync::thread_local! {
    /// The writers whose turns are in progress on this thread: more than one if a transaction drives another
    /// writer.
    #[allow(clippy::missing_const_for_thread_local)] // The checkers' macro has no const form.
    static TURNS: RefCell<Vec<usize>> = RefCell::new(Vec::new());
}

/// A turn in progress; ends when it is dropped.
pub(super) struct InTurn;

impl InTurn {
    /// Begins a turn of the writer with this identity.
    pub(super) fn begin(writer: usize) -> Self {
        // A thread that is ending has no list, and no later code to ask.
        let _ = TURNS.try_with(|turns| turns.borrow_mut().push(writer));
        Self
    }

    /// Whether this thread is in a turn of the writer with this identity.
    pub(super) fn is_of(writer: usize) -> bool {
        TURNS.try_with(|turns| turns.borrow().contains(&writer)).unwrap_or(false)
    }
}

impl Drop for InTurn {
    fn drop(&mut self) {
        let _ = TURNS.try_with(|turns| turns.borrow_mut().pop());
    }
}
