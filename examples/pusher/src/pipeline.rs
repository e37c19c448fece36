//! The table of connections, its writer, and the pipeline that cleans it.

use std::io;

use switchboard::SharedWriter;
use switchboard::cleanup::{self, Cause, Cleanup, ConnectionId, Event, EventSink, OpenErrorKind, Resources};
use switchboard::table::shared;

use crate::entry::{AppId, Connection, Feed, Group, Snapshot};
use crate::outbox::{End, Outbox};

/// The socket of a connection, which learns of its end at once if the server shuts down.
#[derive(Debug)]
pub struct Socket(Outbox);

impl Resources for Socket {
    fn closed(&mut self, cause: Cause) {
        if cause == Cause::Shutdown {
            self.0.end(End::Shutdown);
        }
    }
}

/// A handle of the pipeline. Its threads end with the last one.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub cleanup: Cleanup<Connection, Socket>,
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
    /// Starts the threads of the writer, of the workers and of the sink.
    pub fn start(
        config: cleanup::Config,
        connections: u32,
        sink: impl EventSink<AppId, Event<Group>> + 'static,
    ) -> io::Result<Self> {
        let (writer, table) = Cleanup::<Connection, Socket>::table_builder().build();
        let (writer, _thread) =
            SharedWriter::spawn(writer, shared::Config::new().thread_name("pusher-writer"))
                .map_err(|error| io::Error::other(error.to_string()))?;
        drop(table);
        let builder = Cleanup::<Connection, Socket>::builder().config(config).max_connections(connections);
        let started = builder.name("pusher").spawn(writer, sink);
        let (cleanup, _threads) = started.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { cleanup })
    }

    pub fn snapshot(&self) -> Snapshot {
        self.cleanup.table().snapshot()
    }

    pub fn subscribe(&self) -> Feed {
        self.cleanup.table().subscribe()
    }

    /// Opens a connection. It is in the newest version when this returns.
    pub async fn open(&self, connection: Connection) -> Result<ConnectionId, PipelineError> {
        let (address, socket) = (connection.address, Socket(connection.outbox.clone()));
        let opened = self.cleanup.open_async(connection, address, socket).await;
        let ticket = opened.map_err(|error| match error.kind {
            OpenErrorKind::TooMany => PipelineError::Full,
            _ => PipelineError::Closed,
        })?;
        // A ticket that is dropped closes the connection; from here on its session does.
        let opened = ticket.await.map_err(|_| PipelineError::Closed)?;
        Ok(opened.detach())
    }

    /// Changes a connection. `None` if it is not open.
    pub async fn update<T: Send + 'static>(
        &self,
        id: ConnectionId,
        change: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<Option<T>, PipelineError> {
        let ticket = self.cleanup.update_async(id, change).await.map_err(|_| PipelineError::Closed)?;
        ticket.await.map_err(|_| PipelineError::Closed)
    }

    /// Reports the end of a connection. Of several reports the first counts.
    pub fn close(&self, id: ConnectionId, cause: Cause) {
        let _ = self.cleanup.close(id, cause);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use switchboard::cleanup::{DeadLetter, Outcome};

    use super::*;
    use crate::channel::{ChannelName, SocketId};
    use crate::protocol::Member;

    /// A receiver that answers nothing until it is opened.
    #[derive(Default)]
    struct Slow {
        is_open: AtomicBool,
        delivered: AtomicUsize,
        dead: AtomicUsize,
    }

    impl EventSink<AppId, Event<Group>> for &'static Slow {
        fn deliver(&self, _: &AppId, events: &[Event<Group>]) -> Vec<Outcome> {
            while !self.is_open.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.delivered.fetch_add(events.len(), Ordering::Relaxed);
            vec![Outcome::Delivered; events.len()]
        }

        fn dead_letter(&self, _: DeadLetter<AppId, Event<Group>>) {
            self.dead.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn the_end_of_all_connections_at_once_gives_no_webhook_up() {
        const CONNECTIONS: u32 = 10_000;
        let sink: &'static Slow = Box::leak(Box::default());
        let config = crate::config::cleanup(Duration::from_millis(10), CONNECTIONS, 1);
        let pipeline = Pipeline::start(config, CONNECTIONS, sink).unwrap();
        let mut opened = Vec::new();
        for number in 0..CONNECTIONS {
            let (outbox, _) = Outbox::new(1);
            let mut connection = Connection::new(0, SocketId::new(1, number.into()), outbox, None);
            let member = Member::parse(Some(&format!(r#"{{"user_id":{number}}}"#))).unwrap();
            assert!(connection.join(ChannelName::parse("presence-a").unwrap(), Some(Arc::new(member)), 1));
            opened.push(pipeline.open(connection).await.unwrap());
        }
        opened.into_iter().for_each(|id| pipeline.close(id, Cause::Lost));
        let (limit, expected) = (Instant::now() + Duration::from_secs(60), 2 * (CONNECTIONS as usize + 1));
        let waiting = || {
            let (in_grace, to_deliver) = pipeline.cleanup.pending_events();
            in_grace > 0 || to_deliver + sink.dead.load(Ordering::Relaxed) < expected
        };
        while waiting() && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!waiting(), "{:?}", pipeline.cleanup.pending_events());
        sink.is_open.store(true, Ordering::Relaxed);
        let done = || sink.delivered.load(Ordering::Relaxed) + sink.dead.load(Ordering::Relaxed);
        while done() < expected && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (delivered, dead) = (sink.delivered.load(Ordering::Relaxed), sink.dead.load(Ordering::Relaxed));
        assert_eq!((delivered, dead), (expected, 0));
    }
}
