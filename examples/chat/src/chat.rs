//! The sessions: what a request does, and the runs that answer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use switchboard::sessions::{self, Cancel, ClearPolicy, Connected, TryBeginError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc};
use tokio::time::{sleep, timeout};

use crate::history::{History, Who};
use crate::protocol::{HELP, Reply, Request};
use crate::store;

/// Number of replies that may wait for a slow client.
const OUTBOX: usize = 64;

/// Number of answers at the same time.
const MAX_ANSWERS: u32 = 65_536;

/// Time between two attempts to stop all answers.
const AGAIN: Duration = Duration::from_millis(10);

/// Longest wait of a clear for an answer to end.
const CLEAR: Duration = Duration::from_secs(10);

pub type Sessions = sessions::Sessions<String, History, Peer>;
pub type Connection = sessions::Connection<String, History, Peer>;
type Run = sessions::Run<String, History, Peer>;

/// The near end of a client.
#[derive(Debug)]
pub struct Peer {
    outbox: mpsc::Sender<Reply>,
    /// A newer connection has the session.
    displaced: Notify,
}

impl Peer {
    pub fn new() -> (Self, mpsc::Receiver<Reply>) {
        let (outbox, replies) = mpsc::channel(OUTBOX);
        (Self { outbox, displaced: Notify::new() }, replies)
    }

    /// Sends a reply, waiting for room. The client may be gone.
    pub async fn tell(&self, reply: Reply) {
        let _gone = self.outbox.send(reply).await;
    }

    pub async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

/// What a connection does after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Continue,
    Quit,
}

/// The chat. All clones are the same one.
#[derive(Clone)]
pub struct Chat {
    sessions: Sessions,
    pace: Duration,
    /// One permit for each answer in progress.
    answers: Arc<Semaphore>,
}

impl Chat {
    /// `pace` is the time between the words of an answer.
    pub fn new(sessions: Sessions, pace: Duration) -> Self {
        Self { sessions, pace, answers: Arc::new(Semaphore::new(MAX_ANSWERS as usize)) }
    }

    /// Stops all answers, and returns when they have ended, so that what they have said can be saved. No others begin.
    pub async fn stop(&self) {
        let mut ended = pin!(self.answers.acquire_many(MAX_ANSWERS));
        loop {
            // The wait is begun before the look: what begins now finds no permit.
            if let Ok(permits) = timeout(AGAIN, &mut ended).await {
                // For good.
                permits.into_iter().for_each(SemaphorePermit::forget);
                return;
            }
            for session in self.sessions.snapshot() {
                self.sessions.cancel(&session.key);
            }
        }
    }

    /// Makes `peer` the connection of the session, closes the one that it displaces, and loads the conversation. `None`,
    /// and the client is told, if the store may have a conversation that cannot be loaded now: the first answer would
    /// replace it.
    pub async fn enter(&self, session: &str, peer: Peer) -> Option<Connection> {
        // Before the load: a session without a connection may be evicted in between.
        let Connected { connection, displaced, .. } = self.sessions.connect(&session.to_owned(), peer);
        if let Some(old) = displaced {
            old.displaced.notify_one();
        }
        match store::load(&self.sessions, session).await {
            Ok(None) => {}
            Ok(Some(note)) => connection.peer().tell(Reply::Note(note)).await,
            Err(error) => {
                let note = format!("the conversation cannot be loaded, try again later: {error}");
                connection.peer().tell(Reply::Note(note)).await;
                return None;
            }
        }
        let history = self.sessions.read(&session.to_owned()).unwrap_or_default();
        let welcome = Reply::Welcome { session: session.to_owned(), lines: history.lines().len() };
        connection.peer().tell(welcome).await;
        Some(connection)
    }

    /// Does what the client of this connection asks for.
    pub async fn handle(&self, connection: &Connection, session: &str, request: Request) -> Next {
        let (key, peer) = (session.to_owned(), connection.peer());
        match request {
            Request::Say(text) => match (self.answers.clone().try_acquire_owned(), connection.try_begin()) {
                (Ok(permit), Ok(run)) => drop(tokio::spawn(answer(run, text, self.pace, permit))),
                (_, Err(TryBeginError::Disconnected)) => return Next::Quit,
                (_, Err(_busy_or_clearing)) => peer.tell(Reply::Busy).await,
                (Err(_full_or_stopped), Ok(_run)) => peer.tell(Reply::Busy).await,
            },
            Request::Stop => {
                // The run itself tells that it has stopped.
                if self.sessions.cancel(&key) == Cancel::Idle {
                    peer.tell(Reply::Idle).await;
                }
            }
            Request::Clear => peer.tell(self.clear(&key).await).await,
            Request::History => {
                for line in self.sessions.read(&key).unwrap_or_default().lines() {
                    peer.tell(Reply::Line { who: line.who.name().to_owned(), text: line.text.clone() }).await;
                }
            }
            Request::Save => match store::flush(&self.sessions, session).await {
                Ok(()) => peer.tell(Reply::Saved).await,
                Err(error) => peer.tell(Reply::Note(format!("not saved: {error}"))).await,
            },
            Request::All(text) => peer.tell(self.broadcast(session, &text)).await,
            Request::Stats => {
                for (name, value) in self.stats() {
                    peer.tell(Reply::Stat { name: name.to_owned(), value }).await;
                }
            }
            Request::Hello(_) | Request::Help => peer.tell(Reply::Note(HELP.to_owned())).await,
            Request::Quit => return Next::Quit,
        }
        Next::Continue
    }

    /// Cancels the answer in progress, waits for its end, and forgets the conversation, in one step.
    async fn clear(&self, key: &String) -> Reply {
        let clear = self.sessions.clear_async(key, ClearPolicy::CancelAndWait(CLEAR));
        match timeout(CLEAR, clear).await {
            Ok(Ok(_cleared)) => Reply::Cleared,
            Ok(Err(error)) => Reply::Note(format!("not cleared: {error}")),
            Err(_elapsed) => Reply::Note(String::from("not cleared: the answer does not stop")),
        }
    }

    /// Tells everyone who has room; a slow client does not delay the others.
    fn broadcast(&self, session: &str, text: &str) -> Reply {
        let (mut reached, mut of) = (0, 0);
        self.sessions.broadcast(|_, peer| {
            let from = Reply::From { session: session.to_owned(), text: text.to_owned() };
            of += 1;
            reached += usize::from(peer.outbox.try_send(from).is_ok());
        });
        Reply::Told { reached, of }
    }

    fn stats(&self) -> Vec<(&'static str, u64)> {
        let stats = self.sessions.stats();
        let mut all = vec![
            ("sessions", stats.sessions as u64),
            ("refused", stats.refused),
            ("contended", stats.contended),
            ("cancelled", stats.cancelled),
            ("cleared", stats.cleared),
            ("displaced", stats.displaced),
            ("stale_releases", stats.stale_releases),
            ("expired", stats.expired),
            ("evicted", stats.evicted),
            ("cancel_us_max", u64::try_from(stats.cancel_latency.max.as_micros()).unwrap_or(u64::MAX)),
        ];
        if let Some(saver) = self.sessions.saver() {
            let stats = saver.stats();
            all.extend([
                ("saves", stats.saves),
                ("discarded_saves", stats.discarded),
                ("failed_saves", stats.failures),
                ("unsaved_sessions", stats.dirty as u64),
            ]);
        }
        all
    }

    /// To be called now and then: stops the answers whose clients have not come back, and forgets the sessions that
    /// have been idle for so long.
    pub fn tick(&self, idle: Duration) {
        self.sessions.expire();
        let _forgotten = self.sessions.prune(idle);
    }
}

/// Answers, as the run of a session: says back the text, word by word.
///
/// The words go to the connection that the session has at that time. If the run ends by a panic, or the task is
/// dropped, the session is free all the same.
async fn answer(mut run: Run, text: String, pace: Duration, permit: OwnedSemaphorePermit) {
    let question = text.clone();
    // Stale: the session was cleared, so no one waits for this answer.
    let Ok(_history) = run.update(|history| history.with(Who::Client, question)) else { return };
    let mut said: Vec<&str> = Vec::new();
    let mut is_stopped = !run.start();
    for word in text.split_whitespace() {
        if is_stopped {
            break;
        }
        if !said.is_empty() {
            is_stopped = cancelled_within(&run, pace).await;
        }
        if !is_stopped {
            said.push(word);
            is_stopped = tell(&run, Reply::Word(word.to_owned())).await;
        }
    }
    let Ok(_history) = run.update(|history| history.with(Who::Server, said.join(" "))) else { return };
    let peer = run.peer();
    // Before the client is told, so that it can go on at once.
    let finished = run.finish();
    drop(permit);
    if finished.is_ok()
        && let Some(peer) = peer
    {
        peer.tell(if is_stopped { Reply::Stopped } else { Reply::Done }).await;
    }
}

async fn cancelled_within(run: &Run, time: Duration) -> bool {
    tokio::select! {
        () = run.cancelled() => true,
        () = sleep(time) => false,
    }
}

/// Tells the client of the session, if it has one now. Returns whether the run was cancelled while a slow client kept
/// it waiting.
async fn tell(run: &Run, reply: Reply) -> bool {
    let peer: Option<Arc<Peer>> = run.peer();
    let Some(peer) = peer else { return run.is_cancelled() };
    tokio::select! {
        biased;
        () = peer.tell(reply) => false,
        () = run.cancelled() => true,
    }
}
