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
    CreateLink,
    UpdateLink,
    DeleteLink,
    ResolveFailed,
    AddStream,
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
    "create_link",
    "update_link",
    "delete_link",
    "resolve_failed",
    "add_stream",
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
        Self::CreateLink,
        Self::UpdateLink,
        Self::DeleteLink,
        Self::ResolveFailed,
        Self::AddStream,
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
            Self::CreateLink { .. } => CommandKind::CreateLink,
            Self::UpdateLink { .. } => CommandKind::UpdateLink,
            Self::DeleteLink { .. } => CommandKind::DeleteLink,
            Self::ResolveFailed { .. } => CommandKind::ResolveFailed,
            Self::AddStream { .. } => CommandKind::AddStream,
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
        "inactive",
        "blank_addr",
        "own_addr",
        "unknown_link",
        "not_dialable",
        "link_busy",
        "endpoint",
        "limit_reached",
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
            Self::Inactive => 4,
            Self::BlankAddr => 5,
            Self::OwnAddr => 6,
            Self::UnknownLink => 7,
            Self::NotDialable => 8,
            Self::LinkBusy(_) => 9,
            Self::Endpoint(_) => 10,
            Self::LimitReached { .. } => 11,
            Self::Expired => 12,
            Self::Shed => 13,
            Self::Panicked => 14,
            Self::Closed => 15,
        }
    }
}

#[cfg(all(test, not(any(switchboard_loom, switchboard_shuttle))))]
mod tests {
    use super::*;
    use crate::link::{EndpointError, LinkState, NetId};

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
            CommandError::Inactive,
            CommandError::BlankAddr,
            CommandError::OwnAddr,
            CommandError::UnknownLink,
            CommandError::NotDialable,
            CommandError::LinkBusy(LinkState::Connecting),
            CommandError::Endpoint(EndpointError::PortZero),
            CommandError::LimitReached { of: "links", limit: 1 },
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
