//! The terminal: lines to the server, replies to the screen.

use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin, stdin};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::sleep;

use crate::protocol::Reply;

/// Number of attempts to reach the server again, one per second.
const ATTEMPTS: u32 = 30;

/// A connection to a server.
pub struct Link {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Link {
    /// Connects, and asks for the session.
    pub async fn open(address: SocketAddr, session: &str) -> io::Result<Self> {
        let (reader, writer) = TcpStream::connect(address).await?.into_split();
        let mut link = Self { lines: BufReader::new(reader).lines(), writer };
        link.send(&format!("/hello {session}")).await?;
        Ok(link)
    }

    pub async fn send(&mut self, line: &str) -> io::Result<()> {
        self.writer.write_all(format!("{line}\n").as_bytes()).await
    }

    /// Receives the next reply. `None` once the server has closed the connection. Dropping the future loses nothing.
    pub async fn receive(&mut self) -> io::Result<Option<Reply>> {
        let Some(line) = self.lines.next_line().await? else { return Ok(None) };
        Reply::parse(&line).map(Some).ok_or_else(|| io::Error::other(format!("not a reply: {line}")))
    }
}

/// The reason why a conversation ended.
enum End {
    Quit,
    Lost,
}

/// Connects the terminal to a session, and again if the connection is lost.
pub async fn run(address: SocketAddr, session: &str) -> io::Result<()> {
    let mut lines = BufReader::new(stdin()).lines();
    let mut attempts = 0;
    loop {
        match Link::open(address, session).await {
            Ok(mut link) => {
                attempts = 0;
                match converse(&mut link, &mut lines).await {
                    Ok(End::Quit) => return Ok(()),
                    Ok(End::Lost) => println!("\n(the connection is lost)"),
                    Err(error) => println!("\n({error})"),
                }
            }
            Err(error) if attempts == 0 => return Err(error),
            Err(_still_away) => {}
        }
        attempts += 1;
        if attempts > ATTEMPTS {
            return Err(io::Error::other("the server does not come back"));
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn converse(link: &mut Link, lines: &mut Lines<BufReader<Stdin>>) -> io::Result<End> {
    loop {
        tokio::select! {
            reply = link.receive() => match reply? {
                None => return Ok(End::Lost),
                Some(Reply::Displaced) => {
                    println!("\n(the session is open elsewhere)");
                    return Ok(End::Quit);
                }
                Some(reply) => show(&reply)?,
            },
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(End::Quit) };
                link.send(&line).await?;
                if line.trim() == "/quit" {
                    return Ok(End::Quit);
                }
            }
        }
    }
}

fn show(reply: &Reply) -> io::Result<()> {
    match reply {
        Reply::Welcome { session, lines } => println!("{session}: a conversation of {lines} lines"),
        Reply::Line { who, text } => println!("{who:>8}: {text}"),
        Reply::Word(word) => print!("{word} "),
        Reply::Done => println!("."),
        Reply::Stopped => println!("… (stopped)"),
        Reply::Busy => println!("(busy: /stop the answer first)"),
        Reply::Idle => println!("(nothing to stop)"),
        Reply::Cleared => println!("(the conversation is forgotten)"),
        Reply::Saved => println!("(saved)"),
        Reply::From { session, text } => println!("{session} to all: {text}"),
        Reply::Told { reached, of } => println!("(told {reached} of {of})"),
        Reply::Stat { name, value } => println!("{name:>16} {value}"),
        Reply::Displaced => {}
        Reply::Note(text) => println!("({text})"),
    }
    io::stdout().flush()
}
