//! What commands and errors are called where they are counted and logged.

use std::fmt;

use super::{Command, CommandError};

/// What a command asks for, without its arguments: for statistics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // Each is the command of the same name.
pub enum CommandKind {
    AddNet,
    RemoveNet,
    SetNetCondition,
    SetCondition,
    AssociateCluster,
    DissociateCluster,
    JoinCluster,
    LeaveCluster,
    AddStaticPeer,
    RemoveStaticPeer,
    SetRoleMember,
    AddPermanentPeer,
    RemovePermanentPeer,
    ConfigureNet,
    Reconfigure,
    SetUserData,
    CreateLink,
    UpdateLink,
    DeleteLink,
    ResolveFailed,
    AddStream,
    AddUplink,
    ReplaceStream,
    DeleteStream,
    AccountLink,
    DialConnected,
    DialFailed,
    RequestLinks,
    WakeUp,
}

/// In the order of the enum.
const NAMES: [&str; CommandKind::COUNT] = [
    "add_net",
    "remove_net",
    "set_net_condition",
    "set_condition",
    "associate_cluster",
    "dissociate_cluster",
    "join_cluster",
    "leave_cluster",
    "add_static_peer",
    "remove_static_peer",
    "set_role_member",
    "add_permanent_peer",
    "remove_permanent_peer",
    "configure_net",
    "reconfigure",
    "set_user_data",
    "create_link",
    "update_link",
    "delete_link",
    "resolve_failed",
    "add_stream",
    "add_uplink",
    "replace_stream",
    "delete_stream",
    "account_link",
    "dial_connected",
    "dial_failed",
    "request_links",
    "wake_up",
];

impl CommandKind {
    /// Every kind, in the order of the enum.
    pub const ALL: &[Self] = &[
        Self::AddNet,
        Self::RemoveNet,
        Self::SetNetCondition,
        Self::SetCondition,
        Self::AssociateCluster,
        Self::DissociateCluster,
        Self::JoinCluster,
        Self::LeaveCluster,
        Self::AddStaticPeer,
        Self::RemoveStaticPeer,
        Self::SetRoleMember,
        Self::AddPermanentPeer,
        Self::RemovePermanentPeer,
        Self::ConfigureNet,
        Self::Reconfigure,
        Self::SetUserData,
        Self::CreateLink,
        Self::UpdateLink,
        Self::DeleteLink,
        Self::ResolveFailed,
        Self::AddStream,
        Self::AddUplink,
        Self::ReplaceStream,
        Self::DeleteStream,
        Self::AccountLink,
        Self::DialConnected,
        Self::DialFailed,
        Self::RequestLinks,
        Self::WakeUp,
    ];

    /// How many kinds there are.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// The name of the method of [`Handle`](crate::Handle) that sends it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        NAMES[self as usize]
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
    /// What the command asks for, without its arguments.
    #[must_use]
    pub fn kind(&self) -> CommandKind {
        match self {
            Self::AddNet { .. } => CommandKind::AddNet,
            Self::RemoveNet { .. } => CommandKind::RemoveNet,
            Self::SetNetCondition { .. } => CommandKind::SetNetCondition,
            Self::SetCondition { .. } => CommandKind::SetCondition,
            Self::AssociateCluster { .. } => CommandKind::AssociateCluster,
            Self::DissociateCluster { .. } => CommandKind::DissociateCluster,
            Self::JoinCluster { .. } => CommandKind::JoinCluster,
            Self::LeaveCluster { .. } => CommandKind::LeaveCluster,
            Self::AddStaticPeer { .. } => CommandKind::AddStaticPeer,
            Self::RemoveStaticPeer { .. } => CommandKind::RemoveStaticPeer,
            Self::SetRoleMember { .. } => CommandKind::SetRoleMember,
            Self::AddPermanentPeer { .. } => CommandKind::AddPermanentPeer,
            Self::RemovePermanentPeer { .. } => CommandKind::RemovePermanentPeer,
            Self::ConfigureNet { .. } => CommandKind::ConfigureNet,
            Self::Reconfigure { .. } => CommandKind::Reconfigure,
            Self::SetUserData { .. } => CommandKind::SetUserData,
            Self::CreateLink { .. } => CommandKind::CreateLink,
            Self::UpdateLink { .. } => CommandKind::UpdateLink,
            Self::DeleteLink { .. } => CommandKind::DeleteLink,
            Self::ResolveFailed { .. } => CommandKind::ResolveFailed,
            Self::AddStream { .. } => CommandKind::AddStream,
            Self::AddUplink { .. } => CommandKind::AddUplink,
            Self::ReplaceStream { .. } => CommandKind::ReplaceStream,
            Self::DeleteStream { .. } => CommandKind::DeleteStream,
            Self::AccountLink { .. } => CommandKind::AccountLink,
            Self::DialConnected { .. } => CommandKind::DialConnected,
            Self::DialFailed { .. } => CommandKind::DialFailed,
            Self::RequestLinks => CommandKind::RequestLinks,
            Self::WakeUp => CommandKind::WakeUp,
        }
    }
}

impl CommandError {
    /// The codes of all errors, as [`code`](Self::code) returns them.
    pub const CODES: &[&'static str] = &[
        "unknown_net",
        "net_exists",
        "invalid_net",
        "net_inactive",
        "reserved_net",
        "unknown_cluster",
        "cluster_exists",
        "main_cluster",
        "cluster_disabled",
        "not_autonomic",
        "not_connected",
        "inactive",
        "blank_addr",
        "own_addr",
        "unknown_link",
        "not_dialable",
        "link_busy",
        "endpoint",
        "config",
        "limit_reached",
        "too_many_refused",
        "expired",
        "shed",
        "panicked",
        "closed",
    ];

    /// A short name of this kind of error, which does not change: for statistics and logs.
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

    /// The place of this kind of error in [`CODES`](Self::CODES).
    pub(crate) fn code_index(&self) -> usize {
        match self {
            Self::UnknownNet(_) => 0,
            Self::NetExists(_) => 1,
            Self::InvalidNet(_) => 2,
            Self::NetInactive(_) => 3,
            Self::ReservedNet(_) => 4,
            Self::UnknownCluster(_) => 5,
            Self::ClusterExists(_) => 6,
            Self::MainCluster(_) => 7,
            Self::ClusterDisabled(_) => 8,
            Self::NotAutonomic(_) => 9,
            Self::NotConnected => 10,
            Self::Inactive => 11,
            Self::BlankAddr => 12,
            Self::OwnAddr => 13,
            Self::UnknownLink => 14,
            Self::NotDialable => 15,
            Self::LinkBusy(_) => 16,
            Self::Endpoint(_) => 17,
            Self::Config(_) => 18,
            Self::LimitReached { .. } => 19,
            Self::TooManyRefused { .. } => 20,
            Self::Expired => 21,
            Self::Shed => 22,
            Self::Panicked => 23,
            Self::Closed => 24,
        }
    }
}

#[cfg(all(test, not(any(switchboard_loom, switchboard_shuttle))))]
mod tests {
    use super::*;
    use crate::link::{ClusterId, EndpointError, LinkState, NetId};
    use crate::manager::model::config::Settings;

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
            CommandError::LinkBusy(LinkState::Connecting),
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
