//! The table of connections, its writer, and the pipeline that cleans it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use switchboard::SharedWriter;
use switchboard::cleanup::{self, Cause, Cleanup, ConnectionId, Event, EventSink, Progress, Resources};
use switchboard::clock::MonotonicClock;
use switchboard::table::shared;

use crate::entry::{AppId, Connection, Feed, Group, Snapshot, Table};

/// The number of connections that are open: those whose end nothing has reported yet.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicUsize>);

/// One of them. Its end counts at once, before it is cleaned.
#[derive(Debug)]
pub struct Live(Gauge);

impl Gauge {
    pub fn enter(&self) -> Live {
        self.0.fetch_add(1, Ordering::Relaxed);
        Live(self.clone())
    }

    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Resources for Live {
    fn closed(&mut self, _: Cause) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A handle of the pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    cleanup: Cleanup<Connection, Live>,
    table: Table,
    pub live: Gauge,
}

/// The reason why a connection cannot be opened or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipelineError {
    /// There are too many connections.
    Full,
    /// The server ends.
    Closed,
}

impl Pipeline {
    pub fn start(
        config: cleanup::Config,
        connections: u32,
        sink: impl EventSink<AppId, Event<Group>> + 'static,
    ) -> io::Result<Self> {
        let (writer, table) = Cleanup::<Connection, Live>::table().build();
        let (writer, driver) = SharedWriter::new(writer, shared::Config::new());
        thread::Builder::new().name(String::from("pusher-writer")).spawn(move || drop(driver.run()))?;
        let cleanup = Cleanup::new(config, connections, writer, sink, MonotonicClock).map_err(io::Error::other)?;
        for worker in 0..cleanup.workers() {
            let cleanup = cleanup.clone();
            thread::spawn(move || {
                loop {
                    if !matches!(cleanup.run_batch(worker), Progress::Cleaned(_)) {
                        thread::sleep(Duration::from_millis(2));
                    }
                }
            });
        }
        let sinks = cleanup.clone();
        thread::spawn(move || {
            loop {
                if !sinks.run_sink() {
                    thread::sleep(Duration::from_millis(10));
                }
            }
        });
        let sweeps = cleanup.clone();
        thread::spawn(move || {
            loop {
                sweeps.sweep();
                thread::sleep(Duration::from_millis(10));
            }
        });
        Ok(Self { cleanup, table, live: Gauge::default() })
    }

    pub fn snapshot(&self) -> Snapshot {
        self.table.snapshot()
    }

    pub fn subscribe(&self) -> Feed {
        self.table.subscribe()
    }

    /// Opens a connection. It is in the newest version when this returns.
    pub async fn open(&self, connection: Connection) -> Result<ConnectionId, PipelineError> {
        loop {
            match self.cleanup.open(connection.clone(), connection.address, self.live.enter()) {
                Some(ticket) => return ticket.await.map_err(|_| PipelineError::Closed),
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    /// Changes a connection. `None` if it is not open.
    pub async fn update<T: Send + 'static>(
        &self,
        id: ConnectionId,
        change: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<Option<T>, PipelineError> {
        let (sender, mut receiver) = tokio::sync::oneshot::channel();
        let change = move |connection: &mut Connection| drop(sender.send(change(connection)));
        let ticket = self.cleanup.update(id, change).ok_or(PipelineError::Closed)?;
        ticket.await.map_err(|_| PipelineError::Closed)?;
        Ok(receiver.try_recv().ok())
    }

    pub fn close(&self, id: ConnectionId, cause: Cause) {
        let _ = self.cleanup.close(id, cause);
    }

    pub fn pressure(&self) -> f64 {
        self.cleanup.pressure()
    }

    pub fn stats(&self) -> cleanup::Stats {
        self.cleanup.stats()
    }

    /// Returns the number of connections that are open or not cleaned yet.
    pub fn connections(&self) -> usize {
        self.cleanup.connections()
    }

    /// Returns the number of events that wait: for the end of their grace, and for the sink.
    pub fn pending_events(&self) -> (usize, usize) {
        self.cleanup.pending_events()
    }
}
