//! Two different answers to one operation.

use std::fmt;
use std::time::Instant;

use super::answer::Answer;
use super::answer::Reply;
use super::operation::Operation;
use super::operation::Value;
use crate::link::addr::Addr;
use crate::table::version::Version;

/// Two different answers to the same operation at the same point of the order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Mismatch<A: Addr> {
    /// The operation.
    pub operation: Operation<A>,
    /// The answer of side A.
    pub answer_a: Reply<Value<A>>,
    /// The answer of side B.
    pub answer_b: Reply<Value<A>>,
    /// The versions of the answers of A and B, if the stores have versions.
    pub versions: (Option<Version>, Option<Version>),
    /// The time at which the mismatch was found, on the clock of the shadow.
    pub at: Instant,
}

impl<A: Addr> fmt::Display for Mismatch<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: ", self.operation)?;
        write_reply(f, "A", &self.answer_a)?;
        f.write_str(", ")?;
        write_reply(f, "B", &self.answer_b)
    }
}

fn write_reply<A: Addr>(f: &mut fmt::Formatter<'_>, name: &str, reply: &Reply<Value<A>>) -> fmt::Result {
    match reply {
        Ok(Answer { value, version: Some(version) }) => {
            write!(f, "{name} answered {value:?} (version {version})")
        }
        Ok(Answer { value, version: None }) => write!(f, "{name} answered {value:?}"),
        Err(error) => write!(f, "{name} failed: {error}"),
    }
}
