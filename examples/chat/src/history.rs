//! The data of a session: its conversation.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Number of lines that a session keeps.
const KEPT: usize = 200;

/// A conversation: an immutable value, which each update replaces as a whole. Lines are shared by its versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History {
    lines: Vec<Arc<Line>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub who: Who,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    Client,
    Server,
}

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "you",
            Self::Server => "answer",
        }
    }
}

impl History {
    pub fn lines(&self) -> &[Arc<Line>] {
        &self.lines
    }

    /// Returns the conversation with another line; the oldest one goes if it has too many.
    #[must_use]
    pub fn with(&self, who: Who, text: String) -> Self {
        let surplus = (self.lines.len() + 1).saturating_sub(KEPT);
        let mut lines = self.lines[surplus..].to_vec();
        lines.push(Arc::new(Line { who, text }));
        Self { lines }
    }
}
