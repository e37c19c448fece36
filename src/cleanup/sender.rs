//! The way of a disconnect to its worker.

use super::queue::WorkQueue;
use super::route::{Route, route};
use super::slots::ConnectionId;
use super::worker::Worker;

/// The workers, and the choice among them. With one worker there is no choice.
pub(crate) enum Sender<R> {
    Direct(Box<Worker<R>>),
    MultiWorker(Box<[Worker<R>]>),
}

impl<R> Sender<R> {
    pub(crate) fn new(workers: usize, queue: impl Fn() -> WorkQueue<ConnectionId>) -> Self {
        if workers == 1 {
            return Self::Direct(Box::new(Worker::new(queue())));
        }
        Self::MultiWorker((0..workers).map(|_| Worker::new(queue())).collect())
    }

    pub(crate) fn workers(&self) -> &[Worker<R>] {
        match self {
            Self::Direct(worker) => std::slice::from_ref(worker),
            Self::MultiWorker(workers) => workers,
        }
    }

    /// Returns the worker of this app, or, if that is closed, another one that is not.
    pub(crate) fn route(&self, app: u64) -> Route {
        let closed = Route { worker: 0, is_rerouted: false };
        match self {
            Self::Direct(_) => closed,
            Self::MultiWorker(workers) => {
                let is_open = |worker: usize| workers.get(worker).is_some_and(Worker::is_open);
                // If all are closed, any of them says so.
                route(app, workers.len(), is_open).unwrap_or(closed)
            }
        }
    }
}
