//! Beginning with what was exported.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime};

use super::Core;
use crate::link::{Addr, HotEntry, Link, NetStatus};
use crate::manager::persist::{Anchor, Export, SavedLink, SavedNet};
use crate::sync::StdArc;

impl<A: Addr> Core<A> {
    /// Stages and publishes an export that was [checked](Export::check). For a core without nets and links.
    pub(crate) fn restore(&mut self, export: Export<A>, wall: SystemTime, now: Instant) {
        let anchor = Anchor::new(now, wall);
        self.directory_mut().active = export.active;
        for net in export.nets {
            let status = self.restored_net(net, anchor);
            self.directory_mut().add(status);
        }
        for saved in export.links {
            if self.own.as_ref() != Some(&saved.addr) {
                let link = self.restored_link(saved, anchor, now);
                self.tally.links_created += 1;
                self.commit(link);
            }
        }
        self.publish(now);
    }

    fn restored_net(&self, saved: SavedNet<A>, anchor: Anchor) -> NetStatus<A> {
        let (cooling, limit) = (self.settings().cooling, self.settings().max_hot);
        let mut net = NetStatus::new(saved.id, saved.config());
        net.active = saved.active;
        let hot = saved.ignored.into_iter().filter(|hot| self.own.as_ref() != Some(&hot.addr));
        let hot = hot
            .filter_map(|hot| Some(HotEntry { until: anchor.restore(hot.until, cooling)?, addr: hot.addr }));
        let mut hot: Vec<_> = hot.collect();
        hot.sort_by_key(|entry| entry.until);
        let surplus = hot.len().saturating_sub(limit);
        net.hot = StdArc::new(VecDeque::from(hot.split_off(surplus)));
        net
    }

    fn restored_link(&self, saved: SavedLink<A>, anchor: Anchor, now: Instant) -> Link<A> {
        let cap = self.settings().retry.cap();
        let mut link = Link::new(saved.addr, now);
        link.dialable = true;
        link.nets = saved.nets;
        link.endpoint = saved.endpoint;
        link.attempts = saved.attempts;
        link.failures = saved.failures;
        link.not_before = saved.next_attempt.and_then(|at| anchor.restore(at, cap));
        link
    }
}
