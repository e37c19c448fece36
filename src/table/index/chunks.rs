//! A persistent vector of chunks.

use std::iter::FusedIterator;
use std::{mem, slice};

use crate::sync::SlimArc;
use crate::table::page_map::pages::spend;

/// Maximum number of children of a branch, as a power of two.
const FANOUT_LOG2: u32 = 6;
const FANOUT: usize = 1 << FANOUT_LOG2;

/// Items of a full chunk: long enough to list fast, short enough to copy. 8192 items need one level of
/// branches.
pub(super) const CHUNK: usize = 128;

/// A vector in chunks, at the leaves of a tree of fixed fan-out.
///
/// A clone is O(1) and shares everything. A write copies at most one chunk ([`CHUNK`] items) and one branch
/// (64 pointers) per level, as far as they are shared. All chunks but the last are full, and only an empty
/// vector has an empty chunk.
#[derive(Debug)]
pub(super) struct ChunkVec<T> {
    root: Node<T>,
    /// Number of levels of branches above the chunks.
    height: u32,
    len: usize,
}

#[derive(Debug)]
enum Node<T> {
    Chunk(SlimArc<Vec<T>>),
    Branch(SlimArc<Vec<Node<T>>>),
}

impl<T> Clone for Node<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Chunk(chunk) => Self::Chunk(SlimArc::clone(chunk)),
            Self::Branch(children) => Self::Branch(SlimArc::clone(children)),
        }
    }
}

impl<T> Clone for ChunkVec<T> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), height: self.height, len: self.len }
    }
}

impl<T> ChunkVec<T> {
    pub(super) fn from_one(item: T) -> Self {
        Self { root: Node::Chunk(SlimArc::new(vec![item])), height: 0, len: 1 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        self.chunk(index / CHUNK)?.get(index % CHUNK)
    }

    /// Drops up to `budget` chunks that no other version shares; returns `true` when nothing is left. Until
    /// then, the remains are not a valid vector.
    pub(super) fn dismantle(&mut self, budget: &mut usize) -> bool {
        self.root.dismantle(budget)
    }

    fn chunk(&self, number: usize) -> Option<&[T]> {
        let mut node = &self.root;
        let mut level = self.height;
        loop {
            match node {
                Node::Chunk(chunk) => return Some(chunk),
                Node::Branch(children) => {
                    level -= 1;
                    node = children.get(child_index(number, level))?;
                }
            }
        }
    }
}

impl<T: Clone> ChunkVec<T> {
    /// Unshares this item, so that a following write copies nothing. The only method that clones items.
    pub(super) fn unshare(&mut self, index: usize) {
        self.chunk_mut(index / CHUNK);
    }

    /// Appends an item. If the last item is unshared, or its chunk full, no item is cloned.
    pub(super) fn push(&mut self, item: T) {
        if self.len == 0 {
            *self = Self::from_one(item);
            return;
        }
        let number = self.len / CHUNK;
        if number == FANOUT.pow(self.height) {
            self.root = Node::Branch(SlimArc::new(vec![self.root.clone()]));
            self.height += 1;
        }
        if self.len.is_multiple_of(CHUNK) {
            append(&mut self.root, number, self.height, SlimArc::new(vec![item]));
        } else {
            self.chunk_mut(number).push(item);
        }
        self.len += 1;
    }

    /// Removes the item and replaces it with the last one. If both are unshared, no item is cloned.
    pub(super) fn swap_remove(&mut self, index: usize) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let chunk = self.chunk_mut(last / CHUNK);
        let is_same = index / CHUNK == last / CHUNK;
        let item = if is_same { chunk.swap_remove(index % CHUNK) } else { chunk.pop()? };
        self.len = last;
        if last.is_multiple_of(CHUNK) && last > 0 {
            remove_last_chunk(&mut self.root);
            self.lower();
        }
        if is_same {
            return Some(item);
        }
        Some(mem::replace(&mut self.chunk_mut(index / CHUNK)[index % CHUNK], item))
    }

    /// Removes roots with one child.
    fn lower(&mut self) {
        while let Node::Branch(children) = &self.root
            && let [only] = &children[..]
        {
            self.root = only.clone();
            self.height -= 1;
        }
    }

    #[inline]
    fn chunk_mut(&mut self, number: usize) -> &mut Vec<T> {
        let mut node = &mut self.root;
        let mut level = self.height;
        loop {
            match node {
                Node::Chunk(chunk) => return SlimArc::make_mut(chunk),
                Node::Branch(children) => {
                    level -= 1;
                    node = &mut SlimArc::make_mut(children)[child_index(number, level)];
                }
            }
        }
    }
}

fn child_index(number: usize, level: u32) -> usize {
    number >> (FANOUT_LOG2 * level) & (FANOUT - 1)
}

/// Appends a chunk to a tree that has room for it.
fn append<T>(node: &mut Node<T>, number: usize, height: u32, chunk: SlimArc<Vec<T>>) {
    let Node::Branch(children) = node else { unreachable!("a full chunk has a branch above it") };
    let children = SlimArc::make_mut(children);
    let level = height - 1;
    if child_index(number, level) < children.len() {
        return append(&mut children[child_index(number, level)], number, level, chunk);
    }
    let mut child = Node::Chunk(chunk);
    for _ in 0..level {
        child = Node::Branch(SlimArc::new(vec![child]));
    }
    children.push(child);
}

/// Removes the last chunk, which is empty, and the branches that become empty. At least one other chunk
/// remains.
fn remove_last_chunk<T>(node: &mut Node<T>) {
    let Node::Branch(children) = node else { return };
    let children = SlimArc::make_mut(children);
    if let Some(last) = children.last_mut() {
        remove_last_chunk(last);
        if last.is_empty() {
            children.pop();
        }
    }
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Chunk(chunk) => chunk.is_empty(),
            Self::Branch(children) => children.is_empty(),
        }
    }

    /// Empties the node, unless another version shares it. Takes one from the budget for an unshared chunk,
    /// and for an unshared branch that has only shared ones.
    fn dismantle(&mut self, budget: &mut usize) -> bool {
        match self {
            Self::Chunk(chunk) => {
                if let Some(items) = SlimArc::get_mut(chunk)
                    && !items.is_empty()
                {
                    if !spend(budget) {
                        return false;
                    }
                    drop(mem::take(items));
                }
            }
            Self::Branch(children) => {
                let Some(children) = SlimArc::get_mut(children) else { return true };
                let before = *budget;
                while let Some(last) = children.last_mut() {
                    if !last.dismantle(budget) {
                        return false;
                    }
                    let is_paid = children.len() > 1 || *budget < before;
                    if !is_paid && !spend(budget) {
                        return false;
                    }
                    children.pop();
                }
            }
        }
        true
    }
}

/// An iterator over the chunks of a vector in order, none of them empty; empty without a vector.
pub(super) struct Chunks<'a, T> {
    items: Option<&'a ChunkVec<T>>,
    next: usize,
}

impl<'a, T> Chunks<'a, T> {
    pub(super) fn new(items: Option<&'a ChunkVec<T>>) -> Self {
        Self { items: items.filter(|items| items.len > 0), next: 0 }
    }
}

impl<'a, T> Iterator for Chunks<'a, T> {
    type Item = &'a [T];

    fn next(&mut self) -> Option<&'a [T]> {
        let items = self.items.filter(|items| self.next < items.len.div_ceil(CHUNK))?;
        self.next += 1;
        items.chunk(self.next - 1)
    }
}

impl<T> FusedIterator for Chunks<'_, T> {}

/// An iterator over the items of a vector in order; empty without a vector.
pub(super) struct Items<'a, T> {
    chunks: Chunks<'a, T>,
    chunk: slice::Iter<'a, T>,
    left: usize,
}

impl<'a, T> Items<'a, T> {
    pub(super) fn new(items: Option<&'a ChunkVec<T>>) -> Self {
        Self { chunks: Chunks::new(items), chunk: [].iter(), left: items.map_or(0, ChunkVec::len) }
    }
}

impl<'a, T> Iterator for Items<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        if self.chunk.len() == 0 {
            self.chunk = self.chunks.next()?.iter();
        }
        self.left -= 1;
        self.chunk.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Items<'_, T> {}
impl<T> FusedIterator for Items<'_, T> {}
