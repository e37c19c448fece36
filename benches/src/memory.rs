//! A counting allocator, for binaries that select it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNTED: Cell<Counted> = const { Cell::new(Counted { live: 0, allocations: 0 }) };
}

/// The allocations of this thread.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// Bytes allocated minus bytes freed.
    live: i64,
    allocations: u64,
}

/// An allocator that counts per thread, without contention between threads.
///
/// Only binaries with this global allocator count; in others all figures are zero.
#[derive(Debug)]
pub struct Counting;

fn count(bytes: i64, allocations: u64) {
    // The counters of an ending thread no longer exist.
    let _ = COUNTED.try_with(|counted| {
        let Counted { live, allocations: before } = counted.get();
        counted.set(Counted { live: live + bytes, allocations: before + allocations });
    });
}

// SAFETY: every call is forwarded unchanged to the system's allocator; counting neither allocates nor
// unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64, 1);
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64), 0);
        // SAFETY: the caller upholds the contract of `dealloc`, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64, 1);
        // SAFETY: the caller upholds the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64, 1);
        // SAFETY: the caller upholds the contract of `realloc`, and the pointer came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Returns the bytes that `make` left allocated on this thread, and its result.
pub fn bytes<T>(make: impl FnOnce() -> T) -> (f64, T) {
    let before = COUNTED.get().live;
    let made = make();
    ((COUNTED.get().live - before) as f64, made)
}

/// Returns the number of allocations of `work` on this thread.
pub fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNTED.get().allocations;
    work();
    COUNTED.get().allocations - before
}
