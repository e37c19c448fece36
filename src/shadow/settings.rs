//! The settings of a shadow.

use std::fmt;
use std::time::Duration;

use super::answer::Reply;
use super::mismatch::Mismatch;
use super::operation::Operation;
use super::operation::Value;
use super::side::Side;
use crate::clock::Clock;
use crate::clock::MonotonicClock;
use crate::link::addr::Addr;
use crate::sync::StdArc;

type Agree<A> = Box<dyn Fn(&Operation<A>, &Reply<Value<A>>, &Reply<Value<A>>) -> bool + Send + Sync>;

type Sink<A> = Box<dyn Fn(&Mismatch<A>) + Send + Sync>;

/// The settings of a shadow, fixed at construction.
pub(super) struct Settings<A: Addr> {
    pub(super) serve: Side,
    pub(super) driven_by: Side,
    pub(super) queue: usize,
    pub(super) deadline: Option<Duration>,
    pub(super) keep: usize,
    pub(super) clock: StdArc<dyn Clock>,
    pub(super) sink: Option<Sink<A>>,
    pub(super) agree: Option<Agree<A>>,
}

impl<A: Addr> Default for Settings<A> {
    fn default() -> Self {
        Self {
            serve: Side::A,
            driven_by: Side::A,
            queue: 1_024,
            deadline: Some(Duration::from_secs(1)),
            keep: 256,
            clock: StdArc::new(MonotonicClock),
            sink: None,
            agree: None,
        }
    }
}

impl<A: Addr> fmt::Debug for Settings<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("serve", &self.serve)
            .field("driven_by", &self.driven_by)
            .field("queue", &self.queue)
            .field("deadline", &self.deadline)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}
