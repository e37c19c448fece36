//! The lives of the nodes: they are started, hit by faults, and killed.

use std::time::Duration;

use switchboard::manager::ShutdownReport;
use switchboard::manager::explain::DialBlocker;
use tokio::time::Instant;

use super::{Failure, Seat, Supervisor};
use crate::chaos::Strike;
use crate::node::Node;
use crate::query::Alive;
use crate::stream::Order;

impl Supervisor<'_> {
    /// Carries out one strike; `false` if there is no target.
    pub(super) async fn strike(&mut self, strike: Strike) -> bool {
        let mut alive: Vec<usize> =
            (0..self.seats.len()).filter(|index| self.node(*index).is_some()).collect();
        self.rng.shuffle(&mut alive);
        match strike {
            Strike::Cut(how) => self.cut_any(&alive, how).await,
            Strike::Flap => self.flap().await,
            Strike::Forget => {
                for index in alive {
                    if let Some(node) = self.node(index)
                        && node.forget().await
                    {
                        self.forgotten += 1;
                        return true;
                    }
                }
                false
            }
            Strike::Kill => {
                // Two thirds of the nodes stay alive: with fewer there is little left to break.
                let down = self.seats.len() - alive.len();
                if down >= self.seats.len().div_ceil(3) {
                    return false;
                }
                let Some(index) = alive.first() else { return false };
                let (pause, same_port) = (Duration::from_millis(self.rng.u64(200..900)), self.rng.bool());
                self.kill(*index, Instant::now() + pause, same_port).await;
                self.kills += 1;
                true
            }
        }
    }

    async fn cut_any(&mut self, alive: &[usize], how: Order) -> bool {
        for index in alive {
            if let Some(node) = self.node(*index)
                && node.cut(how).await
            {
                self.cuts += 1;
                return true;
            }
        }
        false
    }

    /// Breaks the first connected pair, always the same one, because only a link that breaks repeatedly
    /// counts as flapping. A pair that already rests is left alone; the strike is not repeated for it.
    async fn flap(&mut self) -> bool {
        let pairs = (0..self.seats.len()).filter_map(|index| {
            let node = self.node(index)?;
            let peer = self.blueprint.plan.permanent_peer(node.addr)?;
            Some((node, peer))
        });
        for (node, peer) in pairs {
            let links = node.links.snapshot();
            let blockers = links.explain(&peer, Instant::now().into_std()).blockers;
            if blockers.iter().any(|hold| matches!(hold, DialBlocker::Flapping { .. })) {
                break;
            }
            if links.get(&peer).is_some_and(|link| !link.streams().is_empty()) {
                self.cuts += u64::from(node.cut_peer(peer).await);
                break;
            }
        }
        true
    }

    /// Starts every node whose restart is due. The others find it through the address book.
    pub(super) async fn start_dead(&mut self, now: Instant) -> Result<(), Failure> {
        for index in 0..self.options.nodes {
            let Some(Seat::Down { life, endpoint, saved, until }) = self.seats.get_mut(usize::from(index))
            else {
                continue;
            };
            if *until > now {
                continue;
            }
            let (life, endpoint, saved) = (*life + 1, *endpoint, saved.take());
            let node = Node::start(&self.blueprint, index, endpoint, saved, self.rng.fork()).await?;
            self.book.insert(node.addr, node.endpoint);
            let (addr, links, metrics) = (node.addr, node.links.clone(), node.metrics.clone());
            self.roster.insert(index, Alive { life, addr, links, metrics });
            self.seats[usize::from(index)] = Seat::Up { node: Box::new(node), life };
        }
        self.book.publish();
        self.roster.publish();
        Ok(())
    }

    /// Exports the state of a node and kills it. Its entry in the address book stays: no node is told.
    async fn kill(&mut self, index: usize, until: Instant, same_port: bool) {
        let Some(Seat::Up { life, node }) = self.seats.get(index) else { return };
        let (endpoint, saved) = (same_port.then_some(node.endpoint), Some(node.export()));
        let down = Seat::Down { life: *life, endpoint, saved, until };
        let Seat::Up { node, .. } = std::mem::replace(&mut self.seats[index], down) else { return };
        if let Ok(index) = u16::try_from(index) {
            self.roster.remove(&index);
            self.roster.publish();
        }
        self.bury(*node).await;
    }

    pub(super) async fn bury(&mut self, node: Node) {
        let (addr, links) = (node.addr, node.links.clone());
        if node.is_broken() {
            self.failures.push(format!("the transport of {addr} panicked"));
        }
        let (report, balance): (ShutdownReport, _) = node.kill().await;
        if !report.is_clean() {
            self.failures.push(format!("{addr} did not shut down cleanly: {report:?}"));
        }
        self.failures.extend(balance.problems.iter().map(|problem| format!("{addr}: {problem}")));
        // The links stay readable after the shutdown: the last version has the manager's final counters.
        let stats = links.snapshot().stats();
        if stats.panics() + stats.transport_panics() + stats.retry_faults() > 0 {
            self.failures.push(format!("the manager of {addr} counted panics or faults: {stats:?}"));
        }
        let refused = report.drain.map_or(0, |drain| drain.refused);
        self.blueprint.totals.dropped_commands.add(refused + stats.expired());
        self.sums.commands += stats.commands();
        self.sums.publishes += stats.publishes();
        self.sums.dials += stats.dials();
        self.sums.stale_answers += stats.stale_answers();
        self.sums.bytes_sent += balance.sent;
        self.sums.bytes_received += balance.received;
    }
}
