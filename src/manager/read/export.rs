//! Export of the state that persists across restarts.

use std::time::{Instant, SystemTime};

use super::snapshot::LinksSnapshot;
use crate::link::addr::Addr;
use crate::manager::model::export::{Anchor, Export, SavedCluster, SavedLink, SavedNet};

#[cfg(all(test, not(switchboard_model)))]
mod tests;

impl<A: Addr> LinksSnapshot<A> {
    /// Exports the state that persists across restarts, for
    /// [`LinkManagerBuilder::import`](crate::manager::LinkManagerBuilder::import). `now` is the time on the
    /// manager's clock, `wall` the same instant on the wall clock. O(links + ignored addresses + roles +
    /// permanent peers).
    #[must_use]
    pub fn export(&self, now: Instant, wall: SystemTime) -> Export<A> {
        let anchor = Anchor::new(now, wall);
        Export {
            format: Export::<A>::FORMAT,
            active: self.is_manager_active(),
            nets: self.nets().iter().map(|net| SavedNet::new(net, anchor)).collect(),
            clusters: self.clusters().iter().map(|cluster| SavedCluster::new(cluster, self.own())).collect(),
            links: self.links().filter_map(|link| SavedLink::new(link, anchor)).collect(),
        }
    }
}
