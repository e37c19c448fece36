//! The ground truth: a comparison of both ends of every connection.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use switchboard::link::DialState;
use switchboard::{Direction, Link, LinksSnapshot, NetId, NodeAddr, StreamId};

use crate::describe;

/// One connection, as seen by one of its nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket {
    pub(crate) id: StreamId,
    pub(crate) peer: NodeAddr,
    pub(crate) direction: Direction,
    /// The local and the remote endpoint: they identify the connection at both nodes.
    pub(crate) ends: (SocketAddr, SocketAddr),
}

/// One node: a snapshot of its manager, and the connections of its transport.
pub(crate) struct View {
    pub(crate) addr: NodeAddr,
    pub(crate) links: LinksSnapshot,
    pub(crate) sockets: Vec<Socket>,
}

/// A violated expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// A member of a net without a live stream.
    Ghost(String),
    /// Two ends of a link, or the manager and the transport of a node, contradict each other.
    Disagreement(String),
    /// A net below its minimum.
    Short(String),
    /// A link or a membership that the plan requires in any case.
    Missing(String),
    /// A link, a membership or a setting that differs from the plan.
    Unplanned(String),
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ghost(what) => write!(f, "ghost: {what}"),
            Self::Disagreement(what) => write!(f, "disagreement: {what}"),
            Self::Short(what) => write!(f, "short of links: {what}"),
            Self::Missing(what) => write!(f, "missing: {what}"),
            Self::Unplanned(what) => write!(f, "unplanned: {what}"),
        }
    }
}

/// Compares all nodes with each other. Empty if all agree. Missing links are explained as of `now`.
pub(crate) fn check(views: &[View], nets: &[NetId], min_links: u16, now: Instant) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let everyone: HashMap<NodeAddr, &View> = views.iter().map(|view| (view.addr, view)).collect();
    let ends: HashMap<(SocketAddr, SocketAddr), (NodeAddr, &Socket)> = views
        .iter()
        .flat_map(|view| view.sockets.iter().map(|socket| (socket.ends, (view.addr, socket))))
        .collect();
    for view in views {
        check_links(view, &mut breaches);
        check_sockets(view, &ends, &mut breaches);
        check_peers(view, &everyone, &mut breaches);
        check_minimum(view, nets, usize::from(min_links), now, &mut breaches);
    }
    breaches
}

/// Checks one node: every stream of a link is a connection, and every member has one.
fn check_links(view: &View, breaches: &mut Vec<Breach>) {
    let live: HashSet<(NodeAddr, StreamId, Direction)> =
        view.sockets.iter().map(|socket| (socket.peer, socket.id, socket.direction)).collect();
    let me = view.addr;
    for link in view.links.links() {
        let peer = *link.addr();
        let is_live =
            |stream: &&switchboard::link::Stream| live.contains(&(peer, stream.id, stream.direction));
        for stream in link.streams().iter().filter(|stream| !is_live(stream)) {
            breaches.push(Breach::Disagreement(format!(
                "{me} lists {} with {peer}, which no longer exists",
                stream.id
            )));
        }
        if !link.memberships().is_empty() && !link.primary().as_ref().is_some_and(|primary| is_live(&primary))
        {
            let nets = link.memberships();
            breaches
                .push(Breach::Ghost(format!("{peer} is a member of {nets:?} at {me} without a live stream")));
        }
        if link.state() == DialState::Established && !has_uplink(link) {
            breaches
                .push(Breach::Disagreement(format!("{me} considers {peer} established, but has no uplink")));
        }
    }
}

fn has_uplink(link: &Link<NodeAddr>) -> bool {
    link.streams().iter().any(|stream| stream.direction == Direction::Uplink)
}

/// Checks that every connection belongs to a link, and that its other end has the opposite direction.
fn check_sockets(
    view: &View,
    ends: &HashMap<(SocketAddr, SocketAddr), (NodeAddr, &Socket)>,
    breaches: &mut Vec<Breach>,
) {
    let me = view.addr;
    let mut disagree = |what: String| breaches.push(Breach::Disagreement(what));
    for socket in &view.sockets {
        let Socket { id, peer, direction, ends: (here, there) } = *socket;
        let listed =
            view.links.get(&peer).is_some_and(|link| link.streams().iter().any(|stream| stream.id == id));
        if !listed {
            disagree(format!("{me} has {id} with {peer}, but no link for it"));
        }
        match ends.get(&(there, here)) {
            None => disagree(format!("{me} has {id} with {peer}, which does not have it")),
            Some((other, _)) if *other != peer => {
                disagree(format!("{me} assigns {id} to {peer}, but it belongs to {other}"));
            }
            Some((_, opposite)) if opposite.peer != me => {
                disagree(format!(
                    "{peer} assigns {} to {}, but it belongs to {me}",
                    opposite.id, opposite.peer
                ));
            }
            Some((_, opposite)) if opposite.direction == direction => {
                disagree(format!("{me} and {peer} both call {id} {direction:?}"));
            }
            Some(_) => {}
        }
    }
}

/// Checks that every link that is in use exists at the other end too, for the same nets.
fn check_peers(view: &View, everyone: &HashMap<NodeAddr, &View>, breaches: &mut Vec<Breach>) {
    let me = view.addr;
    for link in view.links.links() {
        let peer = *link.addr();
        let here: BTreeSet<NetId> = link.memberships().iter().copied().collect();
        let back = everyone.get(&peer).and_then(|other| other.links.get(&me));
        let there: BTreeSet<NetId> = back.iter().flat_map(|link| link.memberships()).copied().collect();
        // Both ends see a pair that disagrees; only one of them reports it.
        if here != there && (me < peer || back.is_none()) {
            breaches.push(Breach::Disagreement(format!(
                "{me} shares {here:?} with {peer}, but {peer} shares {there:?}"
            )));
        }
        if !link.streams().is_empty() && back.is_none() {
            breaches
                .push(Breach::Disagreement(format!("{me} has a link with {peer}, which has no link back")));
        }
    }
}

fn check_minimum(view: &View, nets: &[NetId], min_links: usize, now: Instant, breaches: &mut Vec<Breach>) {
    for net in nets {
        let count = view.links.count(*net);
        if count < min_links {
            let (me, why) = (view.addr, describe::net(&view.links, *net, now));
            breaches.push(Breach::Short(format!(
                "{me} has {count} links in {net}, but needs {min_links}: {why}"
            )));
        }
    }
}
