//! A model of the outbox: the effects that reach the transport after coalescing.

use super::*;

/// The waiting effects, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::manager::core::tests) struct Mail(pub(in crate::manager::core::tests) Vec<Effect<Node>>);

impl Mail {
    /// Adds an effect. It replaces an older one of the same key; a cancellation removes a dial that still
    /// waits.
    pub(in crate::manager::core::tests) fn add(&mut self, effect: Effect<Node>) {
        let about = |addr: Node| move |other: &Effect<Node>| is_about_dialer(other, addr);
        match &effect {
            Effect::CancelDial { addr, dial } => {
                let unseen = |other: &Effect<Node>| matches!(other, Effect::Dial { dial: waiting, .. } if waiting == dial);
                if self.0.iter().any(unseen) {
                    self.0.retain(|other| !unseen(other));
                    return;
                }
                self.0.retain(|other| !matches!(other, Effect::CancelDial { addr: of, .. } if of == addr));
                self.0.push(effect);
            }
            Effect::CloseDialer { addr } => {
                let addr = *addr;
                self.0.retain(|other| {
                    let void = matches!(other, Effect::CancelDial { addr: of, .. } | Effect::CloseDialer { addr: of } if *of == addr);
                    !void && !about(addr)(other)
                });
                self.0.push(effect);
            }
            Effect::Resolve { addr, .. } | Effect::Dial { addr, .. } => {
                let addr = *addr;
                self.0.retain(|other| !about(addr)(other));
                self.0.push(effect);
            }
            Effect::CloseStreams { addr, streams } => {
                let same = self.0.iter_mut().find_map(|other| match other {
                    Effect::CloseStreams { addr: of, streams } if of == addr => Some(streams),
                    _ => None,
                });
                match same {
                    Some(waiting) => {
                        let new: Vec<_> =
                            streams.iter().copied().filter(|id| !waiting.contains(id)).collect();
                        waiting.extend(new);
                    }
                    None => self.0.push(effect),
                }
            }
            _ => match self.0.iter_mut().find(|other| is_same_news(other, &effect)) {
                Some(older) => *older = effect,
                None => self.0.push(effect),
            },
        }
    }
}

fn is_about_dialer(effect: &Effect<Node>, addr: Node) -> bool {
    matches!(effect, Effect::Resolve { addr: of, .. } | Effect::Dial { addr: of, .. } if *of == addr)
}

fn is_same_news(one: &Effect<Node>, other: &Effect<Node>) -> bool {
    use Effect::{Announce, ClusterCountChanged, LinkCountChanged, LinkError, Released, RequestLinks};
    match (one, other) {
        (Announce { addr: a, net: n, .. }, Announce { addr: b, net: m, .. })
        | (Released { addr: a, net: n, .. }, Released { addr: b, net: m, .. })
        | (LinkError { addr: a, net: n, .. }, LinkError { addr: b, net: m, .. }) => (a, n) == (b, m),
        (RequestLinks { net: n, .. }, RequestLinks { net: m, .. })
        | (LinkCountChanged { net: n, .. }, LinkCountChanged { net: m, .. }) => n == m,
        (ClusterCountChanged { cluster: n, .. }, ClusterCountChanged { cluster: m, .. }) => n == m,
        _ => false,
    }
}
