//! A bounded queue that the apps share fairly: deficit round robin.
//!
//! Each app has a FIFO of its own, and the FIFOs take turns. In its turn, an app may take tasks up
//! to its *deficit*; when that does not suffice for its next task, it is raised by the quantum, and
//! the next app is served. A task costs as much as its removal does, so an app whose connections
//! are in many channels gets fewer of them done per round. Shreedhar and Varghese, "Efficient fair
//! queuing using deficit round robin", 1995.
//!
//! There are two *lanes*. The late one is for sources that disconnect too often: it is served when the prompt one is
//! empty, and otherwise once in [`LATE_EVERY`] tasks, so it is never starved. Within an app and a lane, order is kept.
//!
//! Apps are 64-bit hashes, so that no user code runs in here. Two apps with the same hash share their turns.
//!
//! # Memory
//! One node of 32 bytes per task of 16, allocated when it is first needed and then kept; and per
//! app that has tasks about 80 bytes.

#[cfg(all(test, not(switchboard_model)))]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::moment::Moment;

/// Of this many tasks, one is late if there are any.
pub(crate) const LATE_EVERY: u32 = 8;

/// The cost that an app is served in one turn. Higher costs of single tasks count as this, so that at most one app is
/// passed over before a task is found, and every operation is O(log n) for n apps.
pub(crate) const QUANTUM: u32 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    Prompt,
    Late,
}

/// A task and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queued<T> {
    pub(crate) task: T,
    pub(crate) app: u64,
    pub(crate) lane: Lane,
    /// The moment at which it was queued.
    pub(crate) at: Moment,
    /// The cost of its removal, at least 1.
    pub(crate) cost: u32,
}

#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    nodes: Vec<Node<T>>,
    /// The first free node.
    free: u32,
    capacity: usize,
    len: usize,
    prompt: Drr,
    late: Drr,
    /// Prompt tasks since the last late one.
    prompt_run: u32,
}

#[derive(Debug)]
struct Node<T> {
    task: T,
    at: Moment,
    cost: u32,
    next: u32,
}

const NONE: u32 = u32::MAX;

/// The FIFOs of one lane.
#[derive(Debug, Default)]
struct Drr {
    flows: HashMap<u64, Flow>,
    /// The apps that have tasks, in the order of their turns.
    ring: VecDeque<u64>,
    /// The first task of each app, by age.
    heads: BTreeSet<(Moment, u64)>,
}

#[derive(Debug)]
struct Flow {
    head: u32,
    tail: u32,
    len: u32,
    deficit: u32,
}

impl<T: Copy> FairQueue<T> {
    /// Creates an empty queue. `capacity` is at least 1, and below 2^32 - 1.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            nodes: Vec::new(),
            free: NONE,
            capacity,
            len: 0,
            prompt: Drr::default(),
            late: Drr::default(),
            prompt_run: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the number of apps that have tasks, counted per lane.
    pub(crate) fn apps(&self) -> usize {
        self.prompt.ring.len() + self.late.ring.len()
    }

    /// Returns the number of tasks of the app.
    pub(crate) fn len_of(&self, app: u64) -> usize {
        let of_lane = |lane: &Drr| lane.flows.get(&app).map_or(0, |flow| flow.len as usize);
        of_lane(&self.prompt) + of_lane(&self.late)
    }

    /// Returns the moment at which the oldest task was queued.
    pub(crate) fn oldest(&self) -> Option<Moment> {
        let firsts = [&self.prompt, &self.late].map(|lane| lane.heads.first());
        firsts.into_iter().flatten().map(|&(at, _)| at).min()
    }

    /// Appends a task. A full queue returns it.
    pub(crate) fn push(&mut self, queued: Queued<T>) -> Result<(), Queued<T>> {
        if self.len >= self.capacity {
            return Err(queued);
        }
        let Queued { task, app, lane, at, cost } = queued;
        let index = self.allocate(Node { task, at, cost: cost.clamp(1, QUANTUM), next: NONE });
        if let Some(before) = self.lane(lane).append(app, index, at) {
            self.nodes[before as usize].next = index;
        }
        self.len += 1;
        Ok(())
    }

    /// Takes the next task.
    pub(crate) fn pop(&mut self) -> Option<Queued<T>> {
        let is_late_due = self.prompt_run + 1 >= LATE_EVERY && !self.late.ring.is_empty();
        let order = if is_late_due { [Lane::Late, Lane::Prompt] } else { [Lane::Prompt, Lane::Late] };
        let lane = order.into_iter().find(|&lane| !self.lane(lane).ring.is_empty())?;
        let found = self.pop_lane(lane)?;
        self.prompt_run = if lane == Lane::Late { 0 } else { self.prompt_run.saturating_add(1) };
        Some(found)
    }

    fn pop_lane(&mut self, lane: Lane) -> Option<Queued<T>> {
        let drr = match lane {
            Lane::Prompt => &mut self.prompt,
            Lane::Late => &mut self.late,
        };
        let app = drr.turn(&self.nodes)?;
        let flow = drr.flows.get_mut(&app)?;
        let index = flow.head;
        let node = &mut self.nodes[index as usize];
        flow.deficit -= node.cost;
        flow.len -= 1;
        flow.head = node.next;
        let queued = Queued { task: node.task, app, lane, at: node.at, cost: node.cost };
        let next = flow.head;
        node.next = self.free;
        self.free = index;
        self.len -= 1;
        let next = (next != NONE).then(|| self.nodes[next as usize].at);
        self.lane(lane).advance(app, queued.at, next);
        Some(queued)
    }

    fn allocate(&mut self, node: Node<T>) -> u32 {
        let index = self.free;
        if index == NONE {
            if self.nodes.len() == self.nodes.capacity() {
                // By half, and never beyond the capacity: doubling would leave half of the memory unused.
                let more = (self.nodes.len() / 2).max(16).min(self.capacity - self.nodes.len());
                self.nodes.reserve_exact(more);
            }
            self.nodes.push(node);
            return (self.nodes.len() - 1) as u32;
        }
        self.free = self.nodes[index as usize].next;
        self.nodes[index as usize] = node;
        index
    }

    fn lane(&mut self, lane: Lane) -> &mut Drr {
        match lane {
            Lane::Prompt => &mut self.prompt,
            Lane::Late => &mut self.late,
        }
    }
}

impl Drr {
    /// Appends the node to the FIFO of the app. Returns the node before it.
    fn append(&mut self, app: u64, index: u32, at: Moment) -> Option<u32> {
        if let Some(flow) = self.flows.get_mut(&app) {
            flow.len += 1;
            return Some(std::mem::replace(&mut flow.tail, index));
        }
        self.flows.insert(app, Flow { head: index, tail: index, len: 1, deficit: QUANTUM });
        self.ring.push_back(app);
        self.heads.insert((at, app));
        None
    }

    /// Returns the app whose turn it is, with a deficit that suffices for its first task. At most one app is passed
    /// over: the next one was given a quantum when it joined or was passed over, and no task costs more.
    fn turn<T>(&mut self, nodes: &[Node<T>]) -> Option<u64> {
        loop {
            let app = *self.ring.front()?;
            let flow = self.flows.get_mut(&app)?;
            if flow.deficit >= nodes[flow.head as usize].cost {
                return Some(app);
            }
            flow.deficit += QUANTUM;
            self.ring.rotate_left(1);
        }
    }

    /// Notes that the app's first task, queued at `at`, was taken, and when the next one was queued. An app without
    /// tasks loses its deficit and its turn.
    fn advance(&mut self, app: u64, at: Moment, next: Option<Moment>) {
        self.heads.remove(&(at, app));
        match next {
            Some(next) => {
                self.heads.insert((next, app));
            }
            None => {
                self.flows.remove(&app);
                self.ring.pop_front();
            }
        }
    }
}
