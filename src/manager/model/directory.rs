//! The content of a version besides the links: the nets and clusters, the membership index, the statistics.

use std::time::{Duration, Instant};

use super::tally::Tally;
use crate::link::addr::Addr;
use crate::link::cluster::ClusterId;
use crate::link::net::NetId;
use crate::link::record::Link;
use crate::link::stream::Direction;
use crate::link::{Cluster, ClusterStatus, DialState, NetStatus};
use crate::manager::model::config::settings::Settings;
use crate::sync::StdArc;
use crate::table::handle::Table;
use crate::table::reader::Reader;
use crate::table::writer::Writer;
use crate::table::{Feed, GroupIndex, Index};

/// The groups that a link belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    /// Members of the main cluster of a net, by direction of the primary stream and state of the dialer.
    Member(NetId, Direction, DialState),
    /// Links that a net wants.
    Wanted(NetId),
    /// Members of an associated cluster.
    Cluster(ClusterId),
    /// Static peers of an associated cluster.
    Static(ClusterId),
}

/// The order in which the members of a net are listed: uplinks before downlinks, established ones first.
const CLASSES: [(Direction, DialState); 6] = [
    (Direction::Uplink, DialState::Established),
    (Direction::Uplink, DialState::Connecting),
    (Direction::Uplink, DialState::Disconnected),
    (Direction::Downlink, DialState::Established),
    (Direction::Downlink, DialState::Connecting),
    (Direction::Downlink, DialState::Disconnected),
];

/// The groups that list the members of `net`, uplinks first.
pub(crate) fn member_groups(net: NetId) -> [Group; 6] {
    CLASSES.map(|(direction, state)| Group::Member(net, direction, state))
}

/// Passes the groups of one link to the index.
pub(crate) fn groups_of<A>(_: &A, link: &StdArc<Link<A>>, group: &mut dyn FnMut(Group)) {
    for net in &link.members {
        group(Group::Member(*net, link.direction, link.state));
    }
    for net in &link.nets {
        group(Group::Wanted(*net));
    }
    for cluster in &link.clusters {
        group(Group::Cluster(*cluster));
    }
    for cluster in link.static_clusters() {
        group(Group::Static(cluster));
    }
}

type GroupsOf<A> = fn(&A, &StdArc<Link<A>>, &mut dyn FnMut(Group));

pub(crate) type Membership<A> = GroupIndex<A, StdArc<Link<A>>, Group, GroupsOf<A>>;

pub(crate) type Indexes<A> = (Membership<A>, Directory<A>);

/// A feed of the link table.
pub(crate) type LinkFeed<A> = Feed<A, StdArc<Link<A>>, Indexes<A>>;

/// A reader of the link table.
pub(crate) type LinkReader<A> = Reader<A, StdArc<Link<A>>, Indexes<A>>;

pub(crate) type LinkTable<A> = Table<A, StdArc<Link<A>>, Indexes<A>>;

pub(crate) type LinkWriter<A> = Writer<A, StdArc<Link<A>>, Indexes<A>>;

/// The number of members of a net, by direction of the primary stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) uplinks: usize,
    pub(crate) downlinks: usize,
}

impl Counts {
    pub(crate) fn total(self) -> usize {
        self.uplinks + self.downlinks
    }
}

/// Counts the members of a net. O(1): six group counts.
pub(crate) fn counts<A: Addr>(members: &Membership<A>, net: NetId) -> Counts {
    let mut counts = Counts::default();
    for (direction, state) in CLASSES {
        let count = members.count(&Group::Member(net, direction, state));
        match direction {
            Direction::Uplink => counts.uplinks += count,
            Direction::Downlink => counts.downlinks += count,
        }
    }
    counts
}

/// The part of a version that is not derived from the links.
#[derive(Clone, Debug)]
pub(crate) struct Directory<A> {
    /// Sorted by identity.
    nets: StdArc<Vec<NetStatus<A>>>,
    /// Sorted by identity.
    clusters: StdArc<Vec<Cluster<A>>>,
    pub(crate) active: bool,
    /// The address of this node, if known.
    pub(crate) own: StdArc<Option<A>>,
    /// The settings in force.
    pub(crate) settings: StdArc<Settings>,
    /// An instant before any that the core sees: an action due at this instant is due immediately.
    pub(crate) epoch: Instant,
    pub(crate) published_at: Instant,
    pub(crate) tally: Tally,
}

impl<A: Addr> Directory<A> {
    pub(crate) fn new(now: Instant, settings: Settings, own: Option<A>) -> Self {
        Self {
            nets: StdArc::new(Vec::new()),
            clusters: StdArc::new(Vec::new()),
            active: true,
            own: StdArc::new(own),
            settings: StdArc::new(settings),
            // Strictly before the first `now`, because ticked timing compares strictly.
            epoch: now.checked_sub(Duration::from_nanos(1)).unwrap_or(now),
            published_at: now,
            tally: Tally::default(),
        }
    }

    pub(crate) fn nets(&self) -> &[NetStatus<A>] {
        &self.nets
    }

    pub(crate) fn net(&self, id: NetId) -> Option<&NetStatus<A>> {
        self.place(id).ok().map(|place| &self.nets[place])
    }

    pub(crate) fn is_net_active(&self, id: NetId) -> bool {
        self.net(id).is_some_and(NetStatus::is_active)
    }

    pub(crate) fn net_mut(&mut self, id: NetId) -> Option<&mut NetStatus<A>> {
        let place = self.place(id).ok()?;
        StdArc::make_mut(&mut self.nets).get_mut(place)
    }

    /// Adds a net, unless it exists.
    pub(crate) fn add(&mut self, net: NetStatus<A>) {
        if let Err(place) = self.place(net.id()) {
            StdArc::make_mut(&mut self.nets).insert(place, net);
        }
    }

    pub(crate) fn remove(&mut self, id: NetId) {
        if let Ok(place) = self.place(id) {
            StdArc::make_mut(&mut self.nets).remove(place);
        }
    }

    pub(crate) fn clusters(&self) -> &[Cluster<A>] {
        &self.clusters
    }

    /// The clusters that are associated with a net. O(all clusters).
    pub(crate) fn clusters_of(&self, net: NetId) -> impl Iterator<Item = &Cluster<A>> {
        self.clusters.iter().filter(move |cluster| cluster.net() == net)
    }

    pub(crate) fn cluster(&self, id: ClusterId) -> Option<&Cluster<A>> {
        self.cluster_place(id).ok().map(|place| &self.clusters[place])
    }

    pub(crate) fn is_cluster_enabled(&self, id: ClusterId) -> bool {
        self.cluster(id).is_some_and(Cluster::is_enabled)
    }

    pub(crate) fn cluster_mut(&mut self, id: ClusterId) -> Option<&mut Cluster<A>> {
        let place = self.cluster_place(id).ok()?;
        StdArc::make_mut(&mut self.clusters).get_mut(place)
    }

    /// Enables or disables every cluster of a net.
    pub(crate) fn set_cluster_status(&mut self, net: NetId, status: ClusterStatus) {
        if self.clusters_of(net).next().is_some() {
            let clusters = StdArc::make_mut(&mut self.clusters).iter_mut();
            clusters.filter(|cluster| cluster.net == net).for_each(|cluster| cluster.status = status);
        }
    }

    /// Adds a cluster, unless it exists.
    pub(crate) fn add_cluster(&mut self, cluster: Cluster<A>) {
        if let Err(place) = self.cluster_place(cluster.id()) {
            StdArc::make_mut(&mut self.clusters).insert(place, cluster);
        }
    }

    pub(crate) fn remove_cluster(&mut self, id: ClusterId) {
        if let Ok(place) = self.cluster_place(id) {
            StdArc::make_mut(&mut self.clusters).remove(place);
        }
    }

    fn cluster_place(&self, id: ClusterId) -> Result<usize, usize> {
        self.clusters.binary_search_by_key(&id, Cluster::id)
    }

    fn place(&self, id: NetId) -> Result<usize, usize> {
        self.nets.binary_search_by_key(&id, NetStatus::id)
    }
}

/// The directory is not derived from the links: the core writes it, and a recycled copy clones it as a whole.
impl<A: Addr> Index<A, StdArc<Link<A>>> for Directory<A> {
    fn insert(&mut self, _: &A, _: &StdArc<Link<A>>) {}

    fn update(&mut self, _: &A, _: &StdArc<Link<A>>, _: &StdArc<Link<A>>) {}

    fn remove(&mut self, _: &A, _: &StdArc<Link<A>>) {}

    fn refresh(&mut self, newest: &Self) {
        self.clone_from(newest);
    }
}
