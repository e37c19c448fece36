//! The transport's thread, which carries effects from the outbox to the transport.

use std::panic::AssertUnwindSafe;

use super::handle::Handle;
use super::outbox::shared::{Next, SharedOutbox};
use super::trace;
use crate::link::addr::Addr;
use crate::manager::model::command::Command;
use crate::manager::model::effect::Effect;
use crate::sync::{self, StdArc};
use crate::unwind::contain;

/// Carries effects out: the host's side of a link manager with its own threads.
///
/// Called on a dedicated thread, with one effect at a time, in order, after the version that explains the
/// effect is published. It may block, call the handle and read the links: no lock is held while it runs, and
/// the writer never waits for it. A panic is contained and counted, and the effect is answered with a
/// failure: `Resolve` with `resolve_failed`, `Dial` with `dial_failed`, `Announce` with a refusal.
///
/// # A connection, step by step
///
/// 1. The side that dials reports [`add_uplink`](Handle::add_uplink) and
///    [`dial_connected`](Handle::dial_connected); the side that accepts reports
///    [`add_stream`](Handle::add_stream) with `Direction::Downlink`. Each must know the address of its peer
///    by then.
/// 2. On each side that wants the link for a net (with ticked timing, only if it dialled),
///    [`Effect::Announce`] follows. The transport sends the net to the peer, and the transport of the peer
///    answers. Both report [`admit`](Handle::admit) or [`refuse`](Handle::refuse).
/// 3. When the connection has ended, each side reports [`delete_stream`](Handle::delete_stream), and the side
///    that dialled also [`dial_failed`](Handle::dial_failed).
///
/// The [cookbook](mod@crate::docs::cookbook#a-node-over-tcp) has a transport over TCP.
///
/// # Refused answers
///
/// The manager may refuse an answer: an endpoint that the [address policy](crate::link::AddressPolicy)
/// refuses, a candidate with the node's own address. The ticket of the answer fails with the reason, but a
/// transport rarely waits for it. The reason is also
///
/// * the `cause` of [`Effect::Released`], once the nets let the link go;
/// * in [`explain`](crate::LinksSnapshot::explain): `failure` while the link exists, and `ignored` afterwards;
/// * counted, by [`Stats::refused_answers`](crate::manager::Stats::refused_answers) and, by code, in
///   [`MetricsReport::errors`](crate::MetricsReport::errors);
/// * an event `command_error` at WARN (feature `tracing`).
pub trait Transport<A>: Send + 'static
where
    A: Addr,
{
    /// Carries one effect out, or begins to.
    fn on_effect(&mut self, effect: Effect<A>, handle: &Handle<A>);
}

/// The state of the transport's thread.
pub(in crate::manager) struct TransportWorker<A: Addr> {
    pub(in crate::manager) transport: Box<dyn Transport<A>>,
    pub(in crate::manager) handle: Handle<A>,
    pub(in crate::manager) outbox: StdArc<SharedOutbox<A>>,
    /// The length of the outbox below which the writer is woken.
    pub(in crate::manager) resume_below: usize,
}

impl<A: Addr> TransportWorker<A> {
    pub(in crate::manager) fn run(mut self) {
        while let Next::Effect { effect, left } = self.outbox.next() {
            // Exactly once as the outbox shrinks past the limit: only the writer makes it longer again, and
            // the writer checks the length itself.
            if left + 1 == self.resume_below {
                self.handle.wake_writer();
            }
            self.deliver(effect);
            if self.outbox.deadline().is_some_and(|deadline| sync::time_left(deadline).is_zero()) {
                break;
            }
        }
        let Self { transport, outbox, .. } = self;
        // A thread that waits for the end of this one is notified even if the destructor panics.
        if contain(AssertUnwindSafe(|| drop(transport))).is_none() {
            outbox.count_panic();
        }
    }

    fn deliver(&mut self, effect: Effect<A>) {
        trace::delivered(&effect);
        let failure = failure(&effect);
        let Self { transport, handle, .. } = self;
        if contain(AssertUnwindSafe(|| transport.on_effect(effect, handle))).is_some() {
            return;
        }
        self.outbox.count_panic();
        trace::transport_panicked();
        if let Some(command) = failure {
            // Only a manager that has ended refuses the command, and it needs no answer.
            let _ = self.handle.submit(command);
        }
    }
}

/// The answer to an effect that was not carried out.
fn failure<A: Addr>(effect: &Effect<A>) -> Option<Command<A>> {
    match effect {
        Effect::Resolve { addr, resolve } => {
            Some(Command::ResolveFailed { addr: addr.clone(), resolve: *resolve })
        }
        Effect::Dial { addr, dial, .. } => {
            Some(Command::DialFailed { addr: addr.clone(), dial: *dial, last: true })
        }
        Effect::Announce { addr, net, stream } => {
            Some(Command::AccountLink { net: *net, addr: addr.clone(), stream: *stream, accepted: false })
        }
        _ => None,
    }
}

impl<A: Addr, F: FnMut(Effect<A>, &Handle<A>) + Send + 'static> Transport<A> for F {
    fn on_effect(&mut self, effect: Effect<A>, handle: &Handle<A>) {
        self(effect, handle);
    }
}
