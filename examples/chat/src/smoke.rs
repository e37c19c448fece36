//! The test: a server in another process, and two clients that go through everything.
//!
//! The server pauses for an hour between the words of an answer, so an answer of several words is in progress until
//! it is stopped, and one of a single word ends at once. Nothing here waits for time.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::client::Link;
use crate::protocol::Reply;
use crate::server::READY;

/// Longer than everything takes, unless the server is stuck.
const LIMIT: Duration = Duration::from_secs(60);

/// Milliseconds between the words of an answer.
const PACE: &str = "3600000";

pub async fn run() -> io::Result<()> {
    timeout(LIMIT, drive()).await?
}

async fn drive() -> io::Result<()> {
    let mut server = Server::start(&[]).await?;
    let mut alice = Client::open(&server, "alice", 0).await?;
    let mut bob = Client::open(&server, "bob", 0).await?;
    one_run(&mut alice, &mut bob).await?;
    clear(&mut alice).await?;
    let mut alice = reconnect(&server, alice).await?;
    broadcast(&mut alice, &mut bob).await?;
    stats(&mut alice).await?;
    server.kill().await?;
    let folder = Folder::new();
    for store in ["file", "sqlite"] {
        crash(store, &folder.0.join(store)).await?;
    }
    unreadable(&folder.0.join("unreadable")).await?;
    println!("smoke: all passed");
    Ok(())
}

/// One run per session: the second is refused, other sessions are not affected, and a stop reaches this run only.
async fn one_run(alice: &mut Client, bob: &mut Client) -> io::Result<()> {
    alice.ask("one two three", &[word("one")]).await?;
    alice.ask("again", &[Reply::Busy]).await?;
    bob.ask("hello", &[word("hello"), Reply::Done]).await?;
    alice.ask("/stop", &[Reply::Stopped]).await?;
    alice.ask("/stop", &[Reply::Idle]).await?;
    alice.ask("/history", &[line("you", "one two three"), line("answer", "one")]).await?;
    bob.ask("/history", &[line("you", "hello"), line("answer", "hello")]).await?;
    println!("smoke: one run per session, busy, stop");
    Ok(())
}

/// A clear cancels the run, waits for it, and leaves nothing of it.
async fn clear(alice: &mut Client) -> io::Result<()> {
    alice.ask("four five", &[word("four")]).await?;
    alice.link.send("/clear").await?;
    let mut replies = [alice.next().await?, alice.next().await?];
    // The run and the connection tell independently.
    replies.sort_by_key(|reply| *reply == Reply::Cleared);
    alice.compare(&replies, &[Reply::Stopped, Reply::Cleared])?;
    // No line comes before the answer to the second request.
    alice.ask("/history\n/stop", &[Reply::Idle]).await?;
    println!("smoke: clear during a run");
    Ok(())
}

/// A newer connection takes over the session with its run, and so does one that comes after the end of the older one,
/// which has no effect on them.
async fn reconnect(server: &Server, mut first: Client) -> io::Result<Client> {
    first.ask("six seven", &[word("six")]).await?;
    let mut second = Client::open(server, "alice", 1).await?;
    first.expect(&[Reply::Displaced]).await?;
    first.ended().await?;
    second.ask("again", &[Reply::Busy]).await?;
    second.ask("/stop", &[Reply::Stopped]).await?;
    second.ask("eight nine", &[word("eight")]).await?;
    second.link.send("/quit").await?;
    second.ended().await?;
    // Without a connection the run continues, until the next one takes it over.
    let mut third = Client::open(server, "alice", 3).await?;
    third.ask("again", &[Reply::Busy]).await?;
    third.ask("/stop", &[Reply::Stopped]).await?;
    println!("smoke: a newer connection, and a later one, take over a run");
    Ok(third)
}

async fn broadcast(alice: &mut Client, bob: &mut Client) -> io::Result<()> {
    let from = || Reply::From { session: String::from("alice"), text: String::from("good day") };
    alice.ask("/all good day", &[from(), Reply::Told { reached: 2, of: 2 }]).await?;
    bob.expect(&[from()]).await?;
    println!("smoke: broadcast");
    Ok(())
}

async fn stats(alice: &mut Client) -> io::Result<()> {
    alice.link.send("/stats\n/stop").await?;
    let mut found = 0;
    loop {
        let (name, value) = match alice.next().await? {
            Reply::Stat { name, value } => (name, value),
            Reply::Idle => break,
            other => return alice.compare(&[other], &[]),
        };
        let is_right = match name.as_str() {
            "sessions" => value == 2,
            "refused" => value == 3,
            "cancelled" => value == 4,
            "cleared" | "displaced" => value == 1,
            "stale_releases" | "expired" => value == 0,
            _ => continue,
        };
        if !is_right {
            return Err(io::Error::other(format!("the statistics show {value} {name}")));
        }
        found += 1;
    }
    if found != 7 {
        return Err(io::Error::other("the statistics are not complete"));
    }
    println!("smoke: statistics");
    Ok(())
}

/// A server that is killed has saved what it has said to have saved, and nothing that was cleared comes back.
async fn crash(store: &str, folder: &Path) -> io::Result<()> {
    let folder = folder.to_str().ok_or_else(|| io::Error::other("the name of the folder is not text"))?;
    let options = ["--store", store, "--folder", folder];
    let mut server = Server::start(&options).await?;
    let mut alice = Client::open(&server, "alice", 0).await?;
    let mut bob = Client::open(&server, "bob", 0).await?;
    alice.ask("hello", &[word("hello"), Reply::Done]).await?;
    bob.ask("hello", &[word("hello"), Reply::Done]).await?;
    bob.ask("/save", &[Reply::Saved]).await?;
    bob.ask("/clear", &[Reply::Cleared]).await?;
    bob.ask("/save", &[Reply::Saved]).await?;
    alice.ask("one two", &[word("one")]).await?;
    alice.ask("/save", &[Reply::Saved]).await?;
    server.kill().await?;

    let mut server = Server::start(&options).await?;
    let mut alice = Client::open(&server, "alice", 3).await?;
    let lines = [line("you", "hello"), line("answer", "hello"), line("you", "one two")];
    alice.ask("/history", &lines).await?;
    // The run ended with its process.
    alice.ask("more", &[word("more"), Reply::Done]).await?;
    let _bob = Client::open(&server, "bob", 0).await?;
    println!("smoke: killed and loaded again, {store}");

    alice.ask("three four", &[word("three")]).await?;
    if !server.terminate().await? {
        return server.kill().await;
    }
    let mut server = Server::start(&options).await?;
    let mut alice = Client::open(&server, "alice", 7).await?;
    alice.link.send("/history").await?;
    for _ in 0..6 {
        alice.next().await?;
    }
    alice.expect(&[line("answer", "three")]).await?;
    server.kill().await?;
    println!("smoke: terminated during an answer, which is saved, {store}");
    Ok(())
}

/// A conversation that cannot be read now is not replaced by a new one.
async fn unreadable(folder: &Path) -> io::Result<()> {
    // No file can be read there.
    let file = folder.join("s-_carol_.session");
    let folder = folder.to_str().ok_or_else(|| io::Error::other("the name of the folder is not text"))?;
    let mut server = Server::start(&["--store", "file", "--folder", folder]).await?;
    std::fs::create_dir(&file)?;
    let mut link = Link::open(server.address, "carol").await?;
    match link.receive().await? {
        Some(Reply::Note(note)) if note.contains("cannot be loaded") => {}
        other => return Err(io::Error::other(format!("carol: {other:?} instead of a note"))),
    }
    if let Some(reply) = link.receive().await? {
        return Err(io::Error::other(format!("carol: {reply:?} instead of the end")));
    }
    std::fs::remove_dir(&file)?;
    let _carol = Client::open(&server, "carol", 0).await?;
    server.kill().await?;
    println!("smoke: no one enters a session that cannot be loaded");
    Ok(())
}

/// A new folder, which is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("switchboard-chat-{}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _not_there = std::fs::remove_dir_all(&self.0);
    }
}

fn word(word: &str) -> Reply {
    Reply::Word(word.to_owned())
}

fn line(who: &str, text: &str) -> Reply {
    Reply::Line { who: who.to_owned(), text: text.to_owned() }
}

/// A server in another process, which dies with this value.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    async fn start(options: &[&str]) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["serve", "--address", "127.0.0.1:0", "--pace-ms", PACE, "--grace-s", "3600"])
            .args(options)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().ok_or_else(|| io::Error::other("the server has no output"))?;
        let first = BufReader::new(output).lines().next_line().await?.unwrap_or_default();
        let address = first.strip_prefix(READY).and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| io::Error::other(format!("the server prints {first:?}")))?;
        Ok(Self { process, address })
    }

    /// Asks the process to end, and waits until it has. Returns whether this system has such a request.
    async fn terminate(&mut self) -> io::Result<bool> {
        let Some(id) = self.process.id().filter(|_| cfg!(unix)) else { return Ok(false) };
        let sent = Command::new("kill").arg(id.to_string()).status().await?;
        let ended = self.process.wait().await?;
        if sent.success() && ended.success() {
            return Ok(true);
        }
        Err(io::Error::other(format!("the server ended with {ended}")))
    }

    /// Ends the process at once, without its help.
    async fn kill(&mut self) -> io::Result<()> {
        self.process.kill().await
    }
}

struct Client {
    link: Link,
    name: String,
}

impl Client {
    /// Connects, and expects a conversation of so many lines.
    async fn open(server: &Server, name: &str, lines: usize) -> io::Result<Self> {
        let mut client = Self { link: Link::open(server.address, name).await?, name: name.to_owned() };
        client.expect(&[Reply::Welcome { session: name.to_owned(), lines }]).await?;
        Ok(client)
    }

    async fn ask(&mut self, request: &str, replies: &[Reply]) -> io::Result<()> {
        self.link.send(request).await?;
        self.expect(replies).await
    }

    async fn expect(&mut self, replies: &[Reply]) -> io::Result<()> {
        for expected in replies {
            let reply = self.next().await?;
            self.compare(&[reply], std::slice::from_ref(expected))?;
        }
        Ok(())
    }

    fn compare(&self, replies: &[Reply], expected: &[Reply]) -> io::Result<()> {
        if replies == expected {
            return Ok(());
        }
        Err(io::Error::other(format!("{}: {replies:?} instead of {expected:?}", self.name)))
    }

    /// Returns the next reply that is not for people.
    async fn next(&mut self) -> io::Result<Reply> {
        loop {
            match self.link.receive().await? {
                Some(Reply::Note(_)) => {}
                Some(reply) => return Ok(reply),
                None => return Err(io::Error::other(format!("{}: the connection has ended", self.name))),
            }
        }
    }

    /// Waits until the server has closed the connection.
    async fn ended(&mut self) -> io::Result<()> {
        while self.link.receive().await?.is_some() {}
        Ok(())
    }
}
