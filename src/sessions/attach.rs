//! The connection between a registry and its saver.

use std::hash::Hash;

use super::mark::Mark;
use super::saving::{Config, Saver};
use super::session::Session;
use super::store::SessionStore;
use super::watch::{Gone, Unused, Watch};
use crate::clock::Clock;
use crate::sync::{Arc, StdArc};

/// Makes the saver and the watch of a registry, once its clock is known.
pub(super) type Attach<K, D, C> = Box<dyn FnOnce(Config, StdArc<dyn Clock>) -> Attached<K, D, C> + Send>;

pub(super) struct Attached<K, D, C> {
    pub(super) saver: Saver<K, D>,
    pub(super) watch: Box<dyn Watch<K, Session<K, D, C>>>,
}

pub(super) fn attach<K, D, C>(store: impl SessionStore<K, D> + 'static) -> Attach<K, D, C>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    D: Send + Sync + 'static,
    C: Send + Sync + 'static,
{
    Box::new(|config, clock| {
        let saver = Saver::new(Box::new(store), config, clock);
        Attached { watch: Box::new(saver.clone()), saver }
    })
}

impl<K, D, C> Watch<K, Session<K, D, C>> for Saver<K, D>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    D: Send + Sync + 'static,
{
    fn mark(&self, key: &K) -> Mark<K> {
        Saver::mark(self, key)
    }

    fn changed(&self, session: &Arc<Session<K, D, C>>, _version: u64) -> Unused {
        // If the data has changed again, the newer one is noted: the call that is still to come has no effect then.
        match (&session.mark, session.published()) {
            (Some(mark), Some(published)) => self.note(mark, published.version, Some(published.data)),
            _ => Unused::default(),
        }
    }

    fn removed(&self, session: &Arc<Session<K, D, C>>, gone: Gone, version: u64) {
        if let (Gone::Deleted, Some(mark)) = (gone, &session.mark) {
            drop(self.note(mark, version, None));
        }
    }

    fn is_saved(&self, session: &Session<K, D, C>, version: u64) -> bool {
        let Some(mark) = &session.mark else { return true };
        if mark.saved() >= version {
            return true;
        }
        // A cleared session may go as soon as the clear is noted: the saver saves it, and loads find it there. Others stay
        // until they are saved, so that the saver has no more of them than there are sessions.
        session.published().is_some_and(|published| published.is_blank) && mark.is_noted(version)
    }
}
