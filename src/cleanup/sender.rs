//! The way of a disconnect to its worker.

use super::queue::{Refused, WorkQueue};
use super::route::route;
use super::slots::ConnectionId;
use super::worker::Worker;

/// The workers, and the choice among them. With one worker there is no choice.
pub(crate) enum Sender<R> {
    Direct(Box<Worker<R>>),
    MultiWorker(Box<[Worker<R>]>),
}

/// Room in the queue of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) worker: usize,
    /// The worker of the app was closed.
    pub(crate) is_rerouted: bool,
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

    /// Reserves room in the queue of the worker of this app, or, if that is closed, of another one.
    pub(crate) fn reserve(&self, app: u64) -> Result<Room, Refused> {
        let room = match self {
            Self::Direct(_) => Room { worker: 0, is_rerouted: false },
            Self::MultiWorker(workers) => {
                let is_open = |worker: usize| workers.get(worker).is_some_and(Worker::is_open);
                let route = route(app, workers.len(), is_open).ok_or(Refused::Closed)?;
                Room { worker: route.worker, is_rerouted: route.is_rerouted }
            }
        };
        self.workers()[room.worker].reserve().map(|()| room)
    }
}
