//! Sockets: one task per client that reads, and one that writes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{interval, sleep, timeout};

use crate::chat::{Chat, Next, Peer};
use crate::protocol::{HELP, Reply, Request, read_line};

/// Number of clients at the same time; further ones wait to be accepted.
const MAX_CLIENTS: usize = 1_024;

/// Time after which a client that takes no replies is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The start of the line that a server prints when it is ready, before its address.
pub const READY: &str = "listening on ";

/// Longest name of a session, in bytes.
const MAX_NAME: usize = 100;

/// Pause after a failure to accept, for example for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest wait for the answers to stop at the end.
const STOP: Duration = Duration::from_secs(10);

/// Serves until Ctrl-C or the signal to terminate. Then no answer is in progress any more.
pub async fn run(address: SocketAddr, chat: &Chat, keep: Duration) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("{READY}{}", listener.local_addr()?);
    tokio::select! {
        result = accept(&listener, chat) => result?,
        () = tick(chat, keep) => {}
        result = tokio::signal::ctrl_c() => result?,
        result = terminated() => result?,
    }
    timeout(STOP, chat.stop()).await.map_err(|_elapsed| io::Error::other("the answers do not stop"))
}

#[cfg(unix)]
async fn terminated() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let _signal = signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

#[cfg(not(unix))]
async fn terminated() -> io::Result<()> {
    std::future::pending().await
}

async fn accept(listener: &TcpListener, chat: &Chat) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (socket, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Of this client, or for now: the others stay.
                eprintln!("accept: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let chat = chat.clone();
        tokio::spawn(async move {
            if let Err(error) = client(socket, chat).await {
                eprintln!("{from}: {error}");
            }
            drop(permit);
        });
    }
}

async fn tick(chat: &Chat, keep: Duration) {
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        chat.tick(keep);
    }
}

/// Serves one client until it leaves, or a newer connection has its session.
async fn client(socket: TcpStream, chat: Chat) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let (reader, writer) = socket.into_split();
    let (peer, replies) = Peer::new();
    let writing = tokio::spawn(write(writer, replies));
    let mut reader = BufReader::new(reader);
    let Some(Request::Hello(session)) = read_line(&mut reader).await?.map(|line| Request::parse(&line))
    else {
        peer.tell(Reply::Note(String::from("say /hello NAME first"))).await;
        return Ok(());
    };
    if session.is_empty() || session.len() > MAX_NAME || session.contains(char::is_whitespace) {
        peer.tell(Reply::Note(format!("a name is one word of up to {MAX_NAME} bytes"))).await;
        return Ok(());
    }
    let Some(connection) = chat.enter(&session, peer).await else {
        // What it was told is still written.
        return writing.await.map_err(io::Error::other)?;
    };
    let peer = connection.peer().clone();
    peer.tell(Reply::Note(HELP.to_owned())).await;
    let result = loop {
        let line = tokio::select! {
            line = read_line(&mut reader) => line,
            () = peer.displaced() => {
                peer.tell(Reply::Displaced).await;
                break Ok(());
            }
        };
        match line {
            Ok(Some(line)) => {
                if chat.handle(&connection, &session, Request::parse(&line)).await == Next::Quit {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // Ends the connection. Its run continues for a while, or for good if a newer connection has the session.
    drop(connection);
    drop(peer);
    // A run that still ends may tell something.
    let written = writing.await.map_err(io::Error::other)?;
    result.and(written)
}

/// Writes replies until no one is left who sends any.
async fn write(mut socket: impl AsyncWrite + Unpin, mut replies: mpsc::Receiver<Reply>) -> io::Result<()> {
    while let Some(reply) = replies.recv().await {
        timeout(PATIENCE, socket.write_all(format!("{reply}\n").as_bytes())).await??;
    }
    socket.shutdown().await
}
