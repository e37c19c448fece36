//! The lines that clients and servers exchange.

use std::fmt;
use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Maximum length of a line, in bytes.
const MAX_LINE: u64 = 4_096;

pub const HELP: &str =
    "/stop the answer, /clear the conversation, /history, /save, /all TEXT to everyone, /stats, /quit";

/// A request of a client. The first one of a connection must be `Hello`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Takes over the session of this name.
    Hello(String),
    /// Says something, which a run answers.
    Say(String),
    /// Cancels the answer in progress.
    Stop,
    /// Cancels the answer in progress, and forgets the conversation.
    Clear,
    History,
    /// Waits until the conversation is saved.
    Save,
    Stats,
    /// Tells everyone who is connected.
    All(String),
    Help,
    Quit,
}

impl Request {
    pub fn parse(line: &str) -> Self {
        let line = line.trim();
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "/hello" => Self::Hello(rest.trim().to_owned()),
            "/stop" => Self::Stop,
            "/clear" => Self::Clear,
            "/history" => Self::History,
            "/save" => Self::Save,
            "/stats" => Self::Stats,
            "/all" => Self::All(rest.to_owned()),
            "/quit" => Self::Quit,
            _ if command.starts_with('/') => Self::Help,
            _ => Self::Say(line.to_owned()),
        }
    }
}

/// A reply of the server: a word that names its kind, and the rest of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The connection is that of the session, whose conversation has this many lines.
    Welcome { session: String, lines: usize },
    /// One line of the conversation.
    Line { who: String, text: String },
    /// The next word of the answer.
    Word(String),
    /// The answer is complete.
    Done,
    /// The answer was cancelled.
    Stopped,
    /// Another answer is in progress.
    Busy,
    /// There is no answer to stop.
    Idle,
    /// The conversation was forgotten.
    Cleared,
    /// The conversation is saved.
    Saved,
    /// Someone tells everyone.
    From { session: String, text: String },
    /// Number of clients that were told, of those that are connected.
    Told { reached: usize, of: usize },
    /// A figure of the server.
    Stat { name: String, value: u64 },
    /// A newer connection has the session. The last reply of this one.
    Displaced,
    /// Anything else, for people.
    Note(String),
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Welcome { session, lines } => write!(f, "welcome {lines} {session}"),
            Self::Line { who, text } => write!(f, "line {who} {text}"),
            Self::Word(word) => write!(f, "word {word}"),
            Self::Done => f.write_str("done"),
            Self::Stopped => f.write_str("stopped"),
            Self::Busy => f.write_str("busy"),
            Self::Idle => f.write_str("idle"),
            Self::Cleared => f.write_str("cleared"),
            Self::Saved => f.write_str("saved"),
            Self::From { session, text } => write!(f, "from {session} {text}"),
            Self::Told { reached, of } => write!(f, "told {reached} {of}"),
            Self::Stat { name, value } => write!(f, "stat {name} {value}"),
            Self::Displaced => f.write_str("displaced"),
            Self::Note(text) => write!(f, "note {text}"),
        }
    }
}

impl Reply {
    /// Returns what `Display` has written, or `None` if the line is none.
    pub fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let pair = || rest.split_once(' ');
        Some(match kind {
            "welcome" => {
                let (lines, session) = pair()?;
                Self::Welcome { session: session.to_owned(), lines: lines.parse().ok()? }
            }
            "line" => pair().map(|(who, text)| Self::Line { who: who.to_owned(), text: text.to_owned() })?,
            "word" => Self::Word(rest.to_owned()),
            "done" => Self::Done,
            "stopped" => Self::Stopped,
            "busy" => Self::Busy,
            "idle" => Self::Idle,
            "cleared" => Self::Cleared,
            "saved" => Self::Saved,
            "from" => pair()
                .map(|(session, text)| Self::From { session: session.to_owned(), text: text.to_owned() })?,
            "told" => {
                let (reached, of) = pair()?;
                Self::Told { reached: reached.parse().ok()?, of: of.parse().ok()? }
            }
            "stat" => {
                let (name, value) = pair()?;
                Self::Stat { name: name.to_owned(), value: value.parse().ok()? }
            }
            "displaced" => Self::Displaced,
            "note" => Self::Note(rest.to_owned()),
            _ => return None,
        })
    }
}

/// Reads one line, without its end. `None` at the end of the stream.
///
/// Dropping the future in between loses a part of a line.
pub async fn read_line(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = String::new();
    let len = stream.take(MAX_LINE).read_line(&mut line).await?;
    match line.strip_suffix('\n') {
        Some(text) => Ok(Some(text.trim_end_matches('\r').to_owned())),
        None if len == 0 => Ok(None),
        None if len as u64 == MAX_LINE => Err(io::Error::other("a line is too long")),
        None => Ok(Some(line)),
    }
}
