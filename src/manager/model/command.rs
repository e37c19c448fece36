//! Commands: changes asked of the manager, and how each of them ends.

use std::fmt;
use std::net::SocketAddr;

use crate::link::cluster::ClusterId;
use crate::link::net::{NetConfig, NetId};
use crate::link::stream::{Direction, StreamId};
use crate::link::{ClusterKind, DialId, DialState, EndpointError, ResolveId, UserData};
use crate::manager::model::config::problem::ConfigError;
use crate::manager::model::config::settings::Settings;
use crate::table::version::Version;
use crate::ticket;

pub(crate) mod kind;

/// One change asked of the manager.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<A> {
    /// Manage a net.
    AddNet {
        /// The net.
        net: NetId,
        /// What it asks for.
        config: NetConfig,
    },
    /// Stop managing a net.
    RemoveNet {
        /// The net.
        net: NetId,
    },
    /// Switch a net on or off.
    SetNetActive {
        /// The net.
        net: NetId,
        /// Whether it is on.
        active: bool,
    },
    /// Switch the whole manager on or off.
    SetActive {
        /// Whether it is on.
        active: bool,
    },
    /// Associate a cluster with a net.
    AssociateCluster {
        /// The net.
        net: NetId,
        /// The cluster.
        cluster: ClusterId,
        /// Who says which nodes belong to it.
        kind: ClusterKind,
    },
    /// Forget a cluster.
    DissociateCluster {
        /// The cluster.
        cluster: ClusterId,
    },
    /// Make a connected node a member of a cluster.
    JoinCluster {
        /// The cluster.
        cluster: ClusterId,
        /// The remote node.
        addr: A,
    },
    /// End a node's membership in a cluster.
    LeaveCluster {
        /// The cluster.
        cluster: ClusterId,
        /// The remote node.
        addr: A,
    },
    /// Make a node a static peer of a cluster.
    AddStaticPeer {
        /// The cluster.
        cluster: ClusterId,
        /// The remote node.
        addr: A,
    },
    /// Take back what made a node a static peer of a cluster.
    RemoveStaticPeer {
        /// The cluster.
        cluster: ClusterId,
        /// The remote node.
        addr: A,
    },
    /// Say whether a node, this one or another, has a role in an autonomic cluster.
    SetRoleMember {
        /// The cluster.
        cluster: ClusterId,
        /// The node.
        addr: A,
        /// Whether it has a role.
        member: bool,
    },
    /// Make a node a permanent peer of a net.
    AddPermanentPeer {
        /// The net.
        net: NetId,
        /// The remote node.
        addr: A,
    },
    /// Make a permanent peer of a net an ordinary one.
    RemovePermanentPeer {
        /// The net.
        net: NetId,
        /// The remote node.
        addr: A,
    },
    /// Change what a net asks for.
    ConfigureNet {
        /// The net.
        net: NetId,
        /// What it asks for from now on.
        config: NetConfig,
    },
    /// Change the settings of the manager.
    Reconfigure {
        /// The settings, all of them.
        settings: Box<Settings>,
    },
    /// Attach a value to a link, or take it away.
    SetUserData {
        /// The remote node.
        addr: A,
        /// The value.
        data: Option<UserData>,
    },
    /// A net wants a link.
    CreateLink {
        /// The remote node.
        addr: A,
        /// The net.
        net: NetId,
    },
    /// Where a node listens.
    SetEndpoint {
        /// The remote node.
        addr: A,
        /// Its endpoint.
        endpoint: SocketAddr,
    },
    /// Close a link and forget it.
    DeleteLink {
        /// The remote node.
        addr: A,
    },
    /// The answer to `Effect::Resolve` when nothing is known.
    ResolveFailed {
        /// The remote node.
        addr: A,
        /// The question.
        resolve: ResolveId,
    },
    /// A stream with a node appeared.
    AddStream {
        /// The remote node.
        addr: A,
        /// The stream.
        stream: StreamId,
        /// Which side opened it.
        direction: Direction,
    },
    /// A stream that a dial has made appeared.
    AddUplink {
        /// The remote node.
        addr: A,
        /// The stream.
        stream: StreamId,
        /// The dial.
        dial: DialId,
    },
    /// A stream died and another one takes over.
    ReplaceStream {
        /// The remote node.
        addr: A,
        /// The stream that died.
        old: StreamId,
        /// The stream that takes over.
        new: StreamId,
        /// Which side opened the new one.
        direction: Direction,
    },
    /// A stream died.
    DeleteStream {
        /// The remote node.
        addr: A,
        /// The stream.
        stream: StreamId,
    },
    /// The outcome of announcing a net on a stream.
    AccountLink {
        /// The net.
        net: NetId,
        /// The remote node.
        addr: A,
        /// The stream on which it was announced.
        stream: StreamId,
        /// Whether both sides agree.
        accepted: bool,
    },
    /// A dial reached the node.
    DialConnected {
        /// The remote node.
        addr: A,
        /// The dial.
        dial: DialId,
    },
    /// A dial failed, or the connection that it made broke.
    DialFailed {
        /// The remote node.
        addr: A,
        /// The dial.
        dial: DialId,
        /// Whether the dialer has given up; with `false` it goes on trying by itself.
        last: bool,
    },
    /// Run the phase that asks for candidates now.
    CheckNets,
    /// Run the phase that wakes links up now.
    WakeUp,
}

/// How a command ended that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The change was made.
    Done,
    /// The link is new.
    Created,
    /// The link existed; now the net wants it too.
    Associated,
    /// The net wanted this link before. Nothing but its place on the ignore list changed.
    AlreadyAssociated,
    /// Everything was so before.
    Unchanged,
    /// The stream is known and spare: another one is the primary.
    Spare,
    /// The command names a stream, a dial or a request that the link no longer has. It was counted and
    /// ignored.
    Stale,
}

/// What a ticket of the manager resolves to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// How the command ended.
    pub outcome: Outcome,
    /// Every snapshot of this version or a later one contains the change.
    pub version: Version,
}

/// Why a command was refused. Links and nets are as if it had never been sent, but for an answer to
/// `Effect::Resolve` that names an unusable endpoint: it counts as a failed attempt. A stream that is refused
/// is closed again by an effect, but for [`TooManyRefused`](Self::TooManyRefused).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// No such net is managed: add it first.
    UnknownNet(NetId),
    /// The net is managed already.
    NetExists(NetId),
    /// 0 and `u64::MAX` name no net.
    InvalidNet(NetId),
    /// The net is switched off.
    NetInactive(NetId),
    /// The net is reserved to its permanent peers: make the node one of them first.
    ReservedNet(NetId),
    /// No net has this cluster: associate it first.
    UnknownCluster(ClusterId),
    /// The cluster is associated already.
    ClusterExists(ClusterId),
    /// The cluster is the main one of its net: it comes with the net, and accounting makes its members.
    MainCluster(ClusterId),
    /// The net of the cluster is switched off.
    ClusterDisabled(ClusterId),
    /// The cluster is not autonomic: nobody has a role in it.
    NotAutonomic(ClusterId),
    /// The link has no live stream.
    NotConnected,
    /// The manager is switched off.
    Inactive,
    /// The address is blank.
    BlankAddr,
    /// The address is this node's own.
    OwnAddr,
    /// No link has this address.
    UnknownLink,
    /// The link is a pure downlink: no net or cluster asked to dial it.
    NotDialable,
    /// The link is being dialled or is connected: its endpoint cannot change now.
    LinkBusy(DialState),
    /// The endpoint cannot be dialled.
    Endpoint(EndpointError),
    /// The settings cannot work.
    Config(ConfigError),
    /// The limit on nets, links, streams, clusters, role members or permanent peers is reached; or so many
    /// effects wait for the transport that nothing new is taken (see [`Config::outbox`](crate::Config::outbox)).
    LimitReached {
        /// What there are too many of.
        of: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The stream was refused, and so many others wait to be closed that no effect closes this one: the
    /// transport that reported it closes it. If it was to replace a stream, that one is deleted all the same.
    TooManyRefused {
        /// Refused streams that wait at most.
        limit: usize,
    },
    /// The deadline of the command had passed before it was applied.
    Expired,
    /// A more urgent command took its place in a full mailbox.
    Shed,
    /// Applying the command panicked. The state is what it was before.
    Panicked,
    /// The manager ended before it applied the command.
    Closed,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownNet(net) => write!(f, "{net} is not managed: add it first"),
            Self::NetExists(net) => write!(f, "{net} is managed already"),
            Self::InvalidNet(net) => write!(f, "{net} cannot name a net"),
            Self::NetInactive(net) => write!(f, "{net} is switched off"),
            Self::ReservedNet(net) => {
                write!(f, "{net} is reserved to its permanent peers: make the node one of them first")
            }
            Self::UnknownCluster(cluster) => write!(f, "{cluster} is unknown: associate it with a net first"),
            Self::ClusterExists(cluster) => write!(f, "{cluster} is associated with a net already"),
            Self::MainCluster(cluster) => {
                write!(f, "{cluster} is the main one of its net: use the commands of the net")
            }
            Self::ClusterDisabled(cluster) => write!(f, "{cluster} is disabled: switch its net on first"),
            Self::NotAutonomic(cluster) => {
                write!(f, "{cluster} is not autonomic: add static peers in place of roles")
            }
            Self::NotConnected => f.write_str("the link has no live stream: wait for one"),
            Self::Inactive => f.write_str("the manager is switched off"),
            Self::BlankAddr => f.write_str("the address is blank"),
            Self::OwnAddr => f.write_str("the address is this node's own"),
            Self::UnknownLink => f.write_str("no link has this address"),
            Self::NotDialable => {
                f.write_str("the link is a pure downlink: no net or cluster asked to dial it")
            }
            Self::LinkBusy(state) => write!(f, "the link is {state:?}: its endpoint cannot change now"),
            Self::Endpoint(error) => write!(f, "the endpoint cannot be dialled: {error}"),
            Self::Config(error) => error.fmt(f),
            Self::LimitReached { of, limit } => write!(f, "the limit of {limit} {of} is reached"),
            Self::TooManyRefused { limit } => {
                write!(f, "the stream was refused while {limit} others wait to be closed: close it")
            }
            Self::Expired => f.write_str("the deadline passed before the command was applied"),
            Self::Shed => f.write_str("a more urgent command took its place in a full mailbox"),
            Self::Panicked => f.write_str("applying the command panicked; the state is unchanged"),
            Self::Closed => f.write_str("the manager ended before it applied the command"),
        }
    }
}

impl std::error::Error for CommandError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Endpoint(error) => Some(error),
            Self::Config(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ticket::Closed> for CommandError {
    fn from(_: ticket::Closed) -> Self {
        Self::Closed
    }
}

/// Why a command was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitErrorKind {
    /// Its lane of the mailbox is full: try again later, or ask for less.
    Full,
    /// The manager has ended.
    Closed,
}

impl fmt::Display for SubmitErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the manager's mailbox is full",
            Self::Closed => "the manager has ended",
        })
    }
}

impl std::error::Error for SubmitErrorKind {}

/// The command was not accepted. It is handed back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubmitError<A> {
    pub(crate) command: Box<Command<A>>,
    pub(crate) kind: SubmitErrorKind,
}

impl<A> SubmitError<A> {
    /// The command.
    #[must_use]
    pub fn into_inner(self) -> Command<A> {
        *self.command
    }

    /// Why it was not accepted.
    #[must_use]
    pub fn kind(&self) -> SubmitErrorKind {
        self.kind
    }

    /// Its lane of the mailbox is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kind == SubmitErrorKind::Full
    }

    /// The manager has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.kind == SubmitErrorKind::Closed
    }
}

impl<A> fmt::Debug for SubmitError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<A> fmt::Display for SubmitError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<A> std::error::Error for SubmitError<A> {}

pub(crate) type Applying = Result<Outcome, CommandError>;
