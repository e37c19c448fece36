//! Iteration over the entries of a version.

use std::iter::FusedIterator;
use std::slice;

use hashbrown::hash_table;

use super::node::{LEVELS, Slot};
/// An iterator over the entries of a tree of pages, in an arbitrary order. Does not allocate.
pub(crate) struct Iter<'a, T> {
    /// The slots still to visit, from the root (as a slice of one) down to the current directory.
    stack: [slice::Iter<'a, Slot<T>>; LEVELS + 1],
    level: usize,
    page: hash_table::Iter<'a, T>,
    left: usize,
}

impl<'a, T> Iter<'a, T> {
    pub(super) fn new(root: &'a Slot<T>, len: usize) -> Self {
        let mut stack = [const { [].as_slice() }; LEVELS + 1].map(<[_]>::iter);
        stack[0] = slice::from_ref(root).iter();
        Self { stack, level: 0, page: hash_table::Iter::default(), left: len }
    }
}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self { stack: self.stack.clone(), level: self.level, page: self.page.clone(), left: self.left }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(entry) = self.page.next() {
                self.left -= 1;
                return Some(entry);
            }
            match self.stack[self.level].next() {
                None => self.level = self.level.checked_sub(1)?,
                Some(Slot::Page(page)) => self.page = page.iter(),
                Some(slot) => {
                    if let Some(slots) = slot.slots() {
                        self.level += 1;
                        self.stack[self.level] = slots.iter();
                    }
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}
impl<T> FusedIterator for Iter<'_, T> {}
