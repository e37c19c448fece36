//! Empty versions of the events, for builds without the feature `tracing`.

use std::marker::PhantomData;
use std::time::Duration;

use crate::clock::Clock;
use crate::mailbox::Priority;
use crate::manager::model::command::{Applying, Command, SubmitErrorKind};
use crate::manager::model::effect::Effect;
use crate::manager::run::message::Message;
use crate::table::version::Version;

pub(in crate::manager) struct Entry<A>(PhantomData<A>);

pub(in crate::manager) struct Report<A>(PhantomData<A>);

impl<A> Entry<A> {
    pub(in crate::manager) fn new(_: &Command<A>, _: Priority, _: Duration, _: &dyn Clock) -> Self {
        Self(PhantomData)
    }

    pub(in crate::manager) fn applied(&mut self, _: &dyn Clock) {}

    pub(in crate::manager) fn report(self, _: &Applying, _: Version, _: impl FnOnce() -> usize) -> Report<A> {
        Report(PhantomData)
    }
}

impl<A> Report<A> {
    pub(in crate::manager) fn is_due(&self) -> bool {
        false
    }

    pub(in crate::manager) fn emit(self) -> bool {
        true
    }
}

pub(in crate::manager) fn submitted<A>(_: &Command<A>) {}

pub(in crate::manager) fn refused<A>(_: &Command<A>, _: SubmitErrorKind) {}

pub(in crate::manager) fn shed<A>(_: &Message<A>) {}

pub(in crate::manager) fn delivered<A>(_: &Effect<A>) {}

pub(in crate::manager) fn transport_panicked() {}
