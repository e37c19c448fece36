//! The table of commands and the table of their errors.

use std::fmt;

use super::{Command, CommandError};
use crate::link::stream::Direction;
use crate::mailbox::Priority;

/// The origin of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A transport reports an event.
    Report,
    /// A host requests a change.
    Request,
}

/// The properties of a kind of command.
struct Row {
    name: &'static str,
    priority: Priority,
    origin: Origin,
}

/// Declares each kind once, with all properties that depend only on the kind.
macro_rules! commands {
    ($($kind:ident, $name:literal, $lane:ident, $origin:ident;)*) => {
        /// The kind of a command, without its arguments, for statistics and logs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[allow(missing_docs)] // Each is the command of the same name.
        pub enum CommandKind {
            $($kind,)*
        }

        impl CommandKind {
            /// Every kind, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            const TABLE: [Row; Self::COUNT] =
                [$(Row { name: $name, priority: Priority::$lane, origin: Origin::$origin }),*];
        }

        impl<A> Command<A> {
            /// The kind of the command, without its arguments.
            #[must_use]
            pub fn kind(&self) -> CommandKind {
                match self {
                    $(Self::$kind { .. } => CommandKind::$kind,)*
                }
            }
        }
    };
}

commands! {
    AddNet,              "add_net",               Normal,   Request;
    RemoveNet,           "remove_net",            Normal,   Request;
    SetNetActive,        "set_net_active",        Normal,   Request;
    SetActive,           "set_active",            Critical, Request;
    AssociateCluster,    "associate_cluster",     Normal,   Request;
    DissociateCluster,   "dissociate_cluster",    Normal,   Request;
    JoinCluster,         "join_cluster",          Normal,   Request;
    LeaveCluster,        "leave_cluster",         Normal,   Request;
    AddStaticPeer,       "add_static_peer",       Normal,   Request;
    RemoveStaticPeer,    "remove_static_peer",    Normal,   Request;
    SetRoleMember,       "set_role_member",       Normal,   Request;
    AddPermanentPeer,    "add_permanent_peer",    Normal,   Request;
    RemovePermanentPeer, "remove_permanent_peer", Normal,   Request;
    ConfigureNet,        "configure_net",         Normal,   Request;
    Reconfigure,         "reconfigure",           Normal,   Request;
    SetUserData,         "set_user_data",         Normal,   Request;
    CreateLink,          "create_link",           Normal,   Request;
    SetEndpoint,         "set_endpoint",          Normal,   Report;
    DeleteLink,          "delete_link",           Normal,   Request;
    ResolveFailed,       "resolve_failed",        High,     Report;
    AddStream,           "add_stream",            High,     Report;
    AddUplink,           "add_uplink",            High,     Report;
    ReplaceStream,       "replace_stream",        High,     Report;
    DeleteStream,        "delete_stream",         High,     Report;
    AccountLink,         "account_link",          Normal,   Report;
    DialConnected,       "dial_connected",        High,     Report;
    DialFailed,          "dial_failed",           High,     Report;
    CheckNets,           "check_nets",            Low,      Request;
    WakeUp,              "wake_up",               Low,      Request;
}

impl CommandKind {
    /// Number of kinds.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// The name of the method of [`Handle`](crate::Handle) that sends the command; `account_link` for both
    /// `admit` and `refuse`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::TABLE[self.index()].name
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for CommandKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<A> Command<A> {
    /// The lane of the mailbox in which this command travels.
    ///
    /// All reports of a transport about streams and dials share one lane: reports of one sender never
    /// overtake each other. The outcomes of announcements travel in a lower lane than stream events, as in
    /// the reference design; the stream's identity makes a late one harmless.
    #[must_use]
    pub fn priority(&self) -> Priority {
        CommandKind::TABLE[self.kind().index()].priority
    }

    /// The remote node that the command concerns, if any.
    ///
    /// # Examples
    /// ```
    /// use switchboard::{Command, NetId, NodeAddr};
    ///
    /// let command = Command::CreateLink { addr: NodeAddr(2), net: NetId(1) };
    /// assert_eq!(command.addr(), Some(&NodeAddr(2)));
    /// assert_eq!(Command::<NodeAddr>::CheckNets.addr(), None);
    /// ```
    #[must_use]
    pub fn addr(&self) -> Option<&A> {
        match self {
            Self::JoinCluster { addr, .. }
            | Self::LeaveCluster { addr, .. }
            | Self::AddStaticPeer { addr, .. }
            | Self::RemoveStaticPeer { addr, .. }
            | Self::SetRoleMember { addr, .. }
            | Self::AddPermanentPeer { addr, .. }
            | Self::RemovePermanentPeer { addr, .. }
            | Self::SetUserData { addr, .. }
            | Self::CreateLink { addr, .. }
            | Self::SetEndpoint { addr, .. }
            | Self::DeleteLink { addr }
            | Self::ResolveFailed { addr, .. }
            | Self::AddStream { addr, .. }
            | Self::AddUplink { addr, .. }
            | Self::ReplaceStream { addr, .. }
            | Self::DeleteStream { addr, .. }
            | Self::AccountLink { addr, .. }
            | Self::DialConnected { addr, .. }
            | Self::DialFailed { addr, .. } => Some(addr),
            Self::AddNet { .. }
            | Self::RemoveNet { .. }
            | Self::SetNetActive { .. }
            | Self::SetActive { .. }
            | Self::AssociateCluster { .. }
            | Self::DissociateCluster { .. }
            | Self::ConfigureNet { .. }
            | Self::Reconfigure { .. }
            | Self::CheckNets
            | Self::WakeUp => None,
        }
    }

    /// Whether this is an answer to an effect.
    pub(crate) fn is_answer(&self) -> bool {
        match self {
            Self::CreateLink { .. } | Self::SetEndpoint { .. } | Self::ResolveFailed { .. } => true,
            Self::AddUplink { .. } | Self::DialConnected { .. } | Self::DialFailed { .. } => true,
            Self::AccountLink { .. } | Self::DeleteStream { .. } => true,
            Self::AddStream { direction, .. } => *direction == Direction::Uplink,
            _ => false,
        }
    }

    /// Whether this is a report of a transport, as opposed to a request of a host.
    pub(crate) fn is_report(&self) -> bool {
        CommandKind::TABLE[self.kind().index()].origin == Origin::Report
    }
}

/// Declares the code of each error once.
macro_rules! codes {
    ($($error:ident, $code:literal;)*) => {
        /// The errors, each with its index as the discriminant.
        enum Place {
            $($error,)*
        }

        impl CommandError {
            /// The codes of all errors, as [`code`](Self::code) returns them.
            pub const CODES: &[&'static str] = &[$($code),*];

            /// The index of this kind of error in [`CODES`](Self::CODES).
            pub(crate) fn code_index(&self) -> usize {
                match self {
                    $(Self::$error { .. } => Place::$error as usize,)*
                }
            }
        }
    };
}

codes! {
    UnknownNet,      "unknown_net";
    NetExists,       "net_exists";
    InvalidNet,      "invalid_net";
    NetInactive,     "net_inactive";
    ReservedNet,     "reserved_net";
    UnknownCluster,  "unknown_cluster";
    ClusterExists,   "cluster_exists";
    MainCluster,     "main_cluster";
    ClusterDisabled, "cluster_disabled";
    NotAutonomic,    "not_autonomic";
    NotConnected,    "not_connected";
    Inactive,        "inactive";
    BlankAddr,       "blank_addr";
    OwnAddr,         "own_addr";
    UnknownLink,     "unknown_link";
    NotDialable,     "not_dialable";
    LinkBusy,        "link_busy";
    Endpoint,        "endpoint";
    Config,          "config";
    LimitReached,    "limit_reached";
    TooManyRefused,  "too_many_refused";
    Expired,         "expired";
    Shed,            "shed";
    Panicked,        "panicked";
    Closed,          "closed";
}

impl CommandError {
    /// A short, stable name of this kind of error, for statistics and logs.
    ///
    /// # Examples
    /// ```
    /// use switchboard::{CommandError, NetId};
    ///
    /// assert_eq!(CommandError::UnknownNet(NetId(7)).code(), "unknown_net");
    /// assert!(CommandError::CODES.contains(&"unknown_net"));
    /// ```
    #[must_use]
    pub fn code(&self) -> &'static str {
        Self::CODES[self.code_index()]
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;
    use crate::link::cluster::ClusterId;
    use crate::link::net::NetId;
    use crate::link::{DialState, EndpointError};
    use crate::manager::model::config::settings::Settings;

    #[test]
    fn kinds_are_numbered_and_named_without_gap() {
        for (index, kind) in CommandKind::ALL.iter().enumerate() {
            assert_eq!(kind.index(), index);
            let debug = format!("{kind:?}").to_lowercase();
            assert_eq!(kind.as_str().replace('_', ""), debug);
        }
        assert_eq!(Command::<u64>::WakeUp.kind(), CommandKind::WakeUp);
    }

    #[test]
    fn every_error_has_a_code_of_its_own() {
        let errors = [
            CommandError::UnknownNet(NetId(1)),
            CommandError::NetExists(NetId(1)),
            CommandError::InvalidNet(NetId(0)),
            CommandError::NetInactive(NetId(1)),
            CommandError::ReservedNet(NetId(1)),
            CommandError::UnknownCluster(ClusterId(1)),
            CommandError::ClusterExists(ClusterId(1)),
            CommandError::MainCluster(ClusterId(1)),
            CommandError::ClusterDisabled(ClusterId(1)),
            CommandError::NotAutonomic(ClusterId(1)),
            CommandError::NotConnected,
            CommandError::Inactive,
            CommandError::BlankAddr,
            CommandError::OwnAddr,
            CommandError::UnknownLink,
            CommandError::NotDialable,
            CommandError::LinkBusy(DialState::Connecting),
            CommandError::Endpoint(EndpointError::PortZero),
            CommandError::Config(Settings::default().max_links(0).validate().unwrap_err()),
            CommandError::LimitReached { of: "links", limit: 1 },
            CommandError::TooManyRefused { limit: 1 },
            CommandError::Expired,
            CommandError::Shed,
            CommandError::Panicked,
            CommandError::Closed,
        ];
        assert_eq!(errors.len(), CommandError::CODES.len());
        for (index, error) in errors.iter().enumerate() {
            assert_eq!(error.code_index(), index);
            let debug = format!("{error:?}").to_lowercase();
            assert!(debug.starts_with(&error.code().replace('_', "")), "{debug}: {}", error.code());
        }
    }
}
