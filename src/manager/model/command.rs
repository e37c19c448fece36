//! Commands: requests to change the state of the manager, and their results.

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

/// A request to change the state of the manager.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<A> {
    /// Starts managing a net.
    AddNet {
        /// The net.
        net: NetId,
        /// The configuration of the net.
        config: NetConfig,
    },
    /// Stops managing a net.
    RemoveNet {
        /// The net.
        net: NetId,
    },
    /// Switches a net on or off.
    SetNetActive {
        /// The net.
        net: NetId,
        /// Whether to switch it on.
        active: bool,
    },
    /// Switches the whole manager on or off.
    SetActive {
        /// Whether to switch it on.
        active: bool,
    },
    /// Associates a cluster with a net.
    AssociateCluster {
        /// The net.
        net: NetId,
        /// The cluster.
        cluster: ClusterId,
        /// The source of its members.
        kind: ClusterKind,
    },
    /// Dissociates a cluster from its net and removes it.
    DissociateCluster {
        /// The cluster.
        cluster: ClusterId,
    },
    /// Makes a connected node a member of a cluster.
    JoinCluster {
        /// The cluster.
        cluster: ClusterId,
        /// The remote node.
        addr: A,
    },
    /// Ends a node's membership in a cluster.
    LeaveCluster {
        /// The cluster.
        cluster: ClusterId,
        /// The remote node.
        addr: A,
    },
    /// Makes a node a static peer of a cluster.
    AddStaticPeer {
        /// The cluster.
        cluster: ClusterId,
        /// The remote node.
        addr: A,
    },
    /// Withdraws `AddStaticPeer` for a node and a cluster.
    RemoveStaticPeer {
        /// The cluster.
        cluster: ClusterId,
        /// The remote node.
        addr: A,
    },
    /// Sets whether a node, this one or another, has a role in an autonomic cluster.
    SetRoleMember {
        /// The cluster.
        cluster: ClusterId,
        /// The node.
        addr: A,
        /// Whether it has a role.
        member: bool,
    },
    /// Makes a node a permanent peer of a net.
    AddPermanentPeer {
        /// The net.
        net: NetId,
        /// The remote node.
        addr: A,
    },
    /// Makes a permanent peer of a net an ordinary one.
    RemovePermanentPeer {
        /// The net.
        net: NetId,
        /// The remote node.
        addr: A,
    },
    /// Replaces the configuration of a net.
    ConfigureNet {
        /// The net.
        net: NetId,
        /// The new configuration.
        config: NetConfig,
    },
    /// Replaces the settings of the manager.
    Reconfigure {
        /// The complete settings.
        settings: Box<Settings>,
    },
    /// Attaches a value to a link, or detaches it.
    SetUserData {
        /// The remote node.
        addr: A,
        /// The value.
        data: Option<UserData>,
    },
    /// Makes a net want a link.
    CreateLink {
        /// The remote node.
        addr: A,
        /// The net.
        net: NetId,
    },
    /// Supplies the endpoint of a node.
    SetEndpoint {
        /// The remote node.
        addr: A,
        /// Its endpoint.
        endpoint: SocketAddr,
    },
    /// Closes a link and removes its record.
    DeleteLink {
        /// The remote node.
        addr: A,
    },
    /// Answers `Effect::Resolve` when no endpoint is known.
    ResolveFailed {
        /// The remote node.
        addr: A,
        /// The resolution.
        resolve: ResolveId,
    },
    /// Reports a new stream with a node.
    AddStream {
        /// The remote node.
        addr: A,
        /// The stream.
        stream: StreamId,
        /// The side that opened it.
        direction: Direction,
    },
    /// Reports a new stream that a dial opened.
    AddUplink {
        /// The remote node.
        addr: A,
        /// The stream.
        stream: StreamId,
        /// The dial.
        dial: DialId,
    },
    /// Reports that a stream closed and another one takes over.
    ReplaceStream {
        /// The remote node.
        addr: A,
        /// The stream that closed.
        old: StreamId,
        /// The stream that takes over.
        new: StreamId,
        /// The side that opened the new one.
        direction: Direction,
    },
    /// Reports that a stream closed.
    DeleteStream {
        /// The remote node.
        addr: A,
        /// The stream.
        stream: StreamId,
    },
    /// Reports the outcome of announcing a net on a stream.
    AccountLink {
        /// The net.
        net: NetId,
        /// The remote node.
        addr: A,
        /// The stream on which it was announced.
        stream: StreamId,
        /// Whether both sides agreed.
        accepted: bool,
    },
    /// Reports that a dial reached the node.
    DialConnected {
        /// The remote node.
        addr: A,
        /// The dial.
        dial: DialId,
    },
    /// Reports that a dial failed, or that the connection it made broke.
    DialFailed {
        /// The remote node.
        addr: A,
        /// The dial.
        dial: DialId,
        /// Whether the dialer has given up; with `false` it keeps trying on its own.
        last: bool,
    },
    /// Runs the phase that requests candidates now.
    CheckNets,
    /// Runs the phase that wakes up links now.
    WakeUp,
}

/// The result of a command that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The change was made.
    Done,
    /// The link was created.
    Created,
    /// The link existed, and the net now wants it too.
    Associated,
    /// The net already wanted this link. Only its entry in the ignore list changed.
    AlreadyAssociated,
    /// No change: the requested state already held.
    Unchanged,
    /// The stream was recorded as a spare: another one is the primary stream.
    Spare,
    /// The command names a stream, a dial or a resolution that the link no longer has. It was counted and
    /// ignored.
    Stale,
}

/// The value that a ticket of the manager resolves to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The result of the command.
    pub outcome: Outcome,
    /// A version that contains the change, as does every later one.
    pub version: Version,
}

/// The value that the ticket of [`Handle::submit_all`](crate::Handle::submit_all) resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppliedAll {
    /// The result of each command, in the order of the list.
    pub results: Vec<Result<Outcome, CommandError>>,
    /// A version that contains the changes of all commands, as does every later one.
    pub version: Version,
}

impl AppliedAll {
    /// Returns the first error, with the index of its command in the list.
    ///
    /// The commands after it were applied nevertheless.
    #[must_use]
    pub fn first_error(&self) -> Option<(usize, &CommandError)> {
        let errors = self.results.iter().map(|result| result.as_ref().err()).enumerate();
        errors.filter_map(|(index, error)| Some((index, error?))).next()
    }

    /// Returns the outcomes if all commands succeeded.
    ///
    /// # Errors
    /// The first error. The commands after it were applied nevertheless.
    pub fn into_outcomes(self) -> Result<Vec<Outcome>, CommandError> {
        self.results.into_iter().collect()
    }
}

/// The reason why a command failed.
///
/// A command that fails leaves links and nets unchanged, with two exceptions: an answer to `Effect::Resolve`
/// that names an unusable endpoint counts as a failed attempt, and a `replace_stream` that fails with
/// [`TooManyRefused`](Self::TooManyRefused) removes the old stream. An effect closes each refused stream,
/// except with `TooManyRefused`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// The net is not managed: add it first.
    UnknownNet(NetId),
    /// The net is already managed.
    NetExists(NetId),
    /// 0 and `u64::MAX` are not valid identities of a net.
    InvalidNet(NetId),
    /// The net is switched off.
    NetInactive(NetId),
    /// The net is reserved for its permanent peers: make the node one of them first.
    ReservedNet(NetId),
    /// The cluster is not associated with any net: associate it first.
    UnknownCluster(ClusterId),
    /// The cluster is already associated.
    ClusterExists(ClusterId),
    /// The cluster is the main cluster of its net: it exists as long as the net, and `admit` makes its
    /// members.
    MainCluster(ClusterId),
    /// The net of the cluster is switched off.
    ClusterDisabled(ClusterId),
    /// The cluster is not autonomic and has no roles.
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
    /// The link is a pure downlink: no net or cluster wants it dialled.
    NotDialable,
    /// The link is being dialled or is connected: its endpoint cannot change now.
    LinkBusy(DialState),
    /// The endpoint cannot be dialled.
    Endpoint(EndpointError),
    /// The settings are invalid.
    Config(ConfigError),
    /// The limit on nets, links, streams, clusters, role members or permanent peers is reached; or so many
    /// effects wait for the transport that no new entries are accepted (see
    /// [`Config::outbox`](crate::Config::outbox)).
    LimitReached {
        /// The kind of entry that has reached its limit.
        of: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The stream was refused, and so many others wait to be closed that no effect closes this one: the
    /// transport that reported it must close it. If it was to replace another stream, that one is deleted
    /// nevertheless.
    TooManyRefused {
        /// The number of waiting streams, whether refused or left by removed links, at which no further
        /// refused one is queued.
        limit: usize,
    },
    /// The deadline of the command had passed before it was applied.
    Expired,
    /// A more urgent command displaced it from a full mailbox.
    Shed,
    /// Applying the command panicked. The state is unchanged.
    Panicked,
    /// The manager ended before it applied the command.
    Closed,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownNet(net) => write!(f, "{net} is not managed: add it first"),
            Self::NetExists(net) => write!(f, "{net} is already managed"),
            Self::InvalidNet(net) => write!(f, "{net} is not a valid net identity"),
            Self::NetInactive(net) => write!(f, "{net} is switched off"),
            Self::ReservedNet(net) => {
                write!(f, "{net} is reserved for its permanent peers: make the node one of them first")
            }
            Self::UnknownCluster(cluster) => write!(f, "{cluster} is unknown: associate it with a net first"),
            Self::ClusterExists(cluster) => write!(f, "{cluster} is already associated with a net"),
            Self::MainCluster(cluster) => {
                write!(f, "{cluster} is the main cluster of its net: use the commands of the net")
            }
            Self::ClusterDisabled(cluster) => write!(f, "{cluster} is disabled: switch its net on first"),
            Self::NotAutonomic(cluster) => {
                write!(f, "{cluster} is not autonomic: add static peers instead")
            }
            Self::NotConnected => f.write_str("the link has no live stream: wait for one"),
            Self::Inactive => f.write_str("the manager is switched off"),
            Self::BlankAddr => f.write_str("the address is blank"),
            Self::OwnAddr => f.write_str("the address is this node's own"),
            Self::UnknownLink => f.write_str("no link has this address"),
            Self::NotDialable => {
                f.write_str("the link is a pure downlink: no net or cluster wants it dialled")
            }
            Self::LinkBusy(state) => write!(f, "the link is {state:?}: its endpoint cannot change now"),
            Self::Endpoint(error) => write!(f, "the endpoint cannot be dialled: {error}"),
            Self::Config(error) => error.fmt(f),
            Self::LimitReached { of, limit } => write!(f, "the limit of {limit} {of} is reached"),
            Self::TooManyRefused { limit } => {
                write!(
                    f,
                    "the stream was refused and not queued for closing, because {limit} others already wait: \
                     close it"
                )
            }
            Self::Expired => f.write_str("the deadline passed before the command was applied"),
            Self::Shed => f.write_str("a more urgent command displaced it from a full mailbox"),
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

/// The reason why a command was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitErrorKind {
    /// The command's lane in the mailbox is full: try again later, or send fewer commands.
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

/// The error of a command that was not accepted. It hands the command back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubmitError<A> {
    pub(crate) command: Box<Command<A>>,
    pub(crate) kind: SubmitErrorKind,
}

impl<A> SubmitError<A> {
    /// Returns the command.
    #[must_use]
    pub fn into_inner(self) -> Command<A> {
        *self.command
    }

    /// Returns the reason why the command was not accepted.
    #[must_use]
    pub fn kind(&self) -> SubmitErrorKind {
        self.kind
    }

    /// Whether the command's lane in the mailbox is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kind == SubmitErrorKind::Full
    }

    /// Whether the manager has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.kind == SubmitErrorKind::Closed
    }
}

impl<A> fmt::Debug for SubmitError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<A> fmt::Display for SubmitError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<A> std::error::Error for SubmitError<A> {}

/// The error of a list of commands that was not accepted. It hands the list back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubmitAllError<A> {
    pub(crate) commands: Vec<Command<A>>,
    pub(crate) kind: SubmitErrorKind,
}

impl<A> SubmitAllError<A> {
    /// Returns the commands.
    #[must_use]
    pub fn into_inner(self) -> Vec<Command<A>> {
        self.commands
    }

    /// Returns the reason why the list was not accepted.
    #[must_use]
    pub fn kind(&self) -> SubmitErrorKind {
        self.kind
    }

    /// Whether the list's lane in the mailbox is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kind == SubmitErrorKind::Full
    }

    /// Whether the manager has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.kind == SubmitErrorKind::Closed
    }
}

impl<A> fmt::Debug for SubmitAllError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = f.debug_struct("SubmitAllError");
        error.field("kind", &self.kind).field("commands", &self.commands.len()).finish_non_exhaustive()
    }
}

impl<A> fmt::Display for SubmitAllError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<A> std::error::Error for SubmitAllError<A> {}

pub(crate) type Applying = Result<Outcome, CommandError>;
