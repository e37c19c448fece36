//! The two answers to one operation.

use std::time::Instant;

use super::answer::Reply;
use super::operation::{Operation, Value};
use super::side::Side;
use crate::link::addr::Addr;
use crate::sync::{Condvar, Mutex, StdArc, lock_order};

pub(super) type Shared<A> = StdArc<Reply<Value<A>>>;

/// One operation on its way through both queues.
#[derive(Debug)]
pub(super) struct Pair<A: Addr> {
    pub(super) operation: Operation<A>,
    /// No panic is possible under the lock: nothing but reference counters is cloned or dropped there.
    answers: Mutex<Answers<A>>,
    answered: Condvar,
}

#[derive(Debug)]
struct Answers<A: Addr> {
    slots: [Slot<A>; 2],
    /// Whether the caller waits.
    awaited: bool,
}

#[derive(Debug)]
enum Slot<A: Addr> {
    Awaited,
    There {
        reply: Shared<A>,
        comparable: bool,
    },
    /// This side will not answer: the operation was skipped, or the shadow stopped first.
    Never,
}

/// The result of a caller's wait for an answer.
pub(super) enum Found<A: Addr> {
    Reply(Shared<A>),
    Never,
    /// There was no answer before the deadline.
    Late,
}

impl<A: Addr> Pair<A> {
    pub(super) fn new(operation: Operation<A>) -> Self {
        let answers = Answers { slots: [Slot::Awaited, Slot::Awaited], awaited: false };
        Self { operation, answers: Mutex::new(&lock_order::SHADOW_PAIR, answers), answered: Condvar::new() }
    }

    /// Stores the answer of one side. Returns both answers, A's first, if this is the second one and they may
    /// be compared.
    pub(super) fn answer(&self, side: Side, reply: Shared<A>, comparable: bool) -> Option<[Shared<A>; 2]> {
        let mut answers = self.answers.lock();
        answers.slots[side as usize] = Slot::There { reply, comparable };
        let both = match &answers.slots {
            [Slot::There { reply: a, comparable: true }, Slot::There { reply: b, comparable: true }] => {
                Some([a.clone(), b.clone()])
            }
            _ => None,
        };
        self.wake(answers.awaited);
        both
    }

    /// Notes that one side will not answer.
    pub(super) fn leave_out(&self, side: Side) {
        let mut answers = self.answers.lock();
        answers.slots[side as usize] = Slot::Never;
        self.wake(answers.awaited);
    }

    fn wake(&self, awaited: bool) {
        if awaited {
            self.answered.notify_one();
        }
    }

    /// Waits for the answer of `side`. Woken by `answer` and `leave_out`: one of them is called for each side
    /// whose queue took the operation, by its worker or by the thread that empties the queue at the end. A
    /// stuck worker calls neither, and the deadline passes.
    pub(super) fn wait(&self, side: Side, deadline: Option<Instant>) -> Found<A> {
        let mut answers = self.answers.lock();
        let mut late = false;
        loop {
            match &answers.slots[side as usize] {
                Slot::There { reply, .. } => return Found::Reply(reply.clone()),
                Slot::Never => return Found::Never,
                Slot::Awaited if late => return Found::Late,
                Slot::Awaited => {}
            }
            answers.awaited = true;
            (answers, late) = match deadline {
                None => (self.answered.wait(answers), false),
                Some(deadline) => self.answered.wait_until(answers, deadline),
            };
        }
    }

    /// Returns the answer of `side` if it has arrived.
    pub(super) fn peek(&self, side: Side) -> Found<A> {
        match &self.answers.lock().slots[side as usize] {
            Slot::There { reply, .. } => Found::Reply(reply.clone()),
            Slot::Never => Found::Never,
            Slot::Awaited => Found::Late,
        }
    }
}
