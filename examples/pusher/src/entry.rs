//! A connection, as the table holds it: its app, its channels, and the way to its socket.

use std::net::IpAddr;
use std::sync::Arc;

use switchboard::cleanup::{ConnectionId, Entry, Groups};

use crate::channel::{ChannelName, SocketId};
use crate::outbox::Outbox;
use crate::protocol::Member;

/// The position of an app in the configuration.
pub type AppId = u16;

/// The value of the table of connections. A clone shares everything.
#[derive(Clone, Debug)]
pub struct Connection {
    pub app: AppId,
    pub socket: SocketId,
    pub outbox: Outbox,
    /// The address of the client, if the server limits connections by it.
    pub address: Option<IpAddr>,
    memberships: Arc<Vec<Membership>>,
    /// Counts the subscriptions.
    serial: u64,
}

/// The subscription of a connection to a channel.
#[derive(Clone, Debug)]
pub struct Membership {
    pub channel: ChannelName,
    /// The user, in a presence channel.
    pub member: Option<Arc<Member>>,
    /// Differs between any two subscriptions of a connection: each of them is answered.
    serial: u64,
}

/// The groups of the index: everything that is counted or listed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// The connections in a channel.
    Channel(AppId, ChannelName),
    /// The connections of a user in a presence channel.
    Member(AppId, ChannelName, Arc<str>),
    /// The connections of an app from an address.
    Address(AppId, IpAddr),
}

pub type Snapshot = switchboard::Snapshot<ConnectionId, Connection, Groups<Connection>>;
pub type Feed = switchboard::table::Feed<ConnectionId, Connection, Groups<Connection>>;

impl Connection {
    pub fn new(app: AppId, socket: SocketId, outbox: Outbox, address: Option<IpAddr>) -> Self {
        Self { app, socket, outbox, address, memberships: Arc::default(), serial: 0 }
    }

    pub fn memberships(&self) -> &[Membership] {
        &self.memberships
    }

    pub fn membership(&self, channel: &str) -> Option<&Membership> {
        self.memberships.iter().find(|membership| membership.channel.as_str() == channel)
    }

    /// Subscribes to a channel, or again. Returns `false` if there are `max` channels already.
    pub fn join(&mut self, channel: ChannelName, member: Option<Arc<Member>>, max: usize) -> bool {
        let position = self.memberships.iter().position(|held| held.channel == channel);
        if position.is_none() && self.memberships.len() >= max {
            return false;
        }
        self.serial += 1;
        let joined = Membership { channel, member, serial: self.serial };
        let memberships = Arc::make_mut(&mut self.memberships);
        match position {
            Some(old) => memberships[old] = joined,
            None => memberships.push(joined),
        }
        true
    }

    /// Unsubscribes from a channel. Returns whether there was a subscription.
    pub fn leave(&mut self, channel: &str) -> bool {
        let Some(position) = self.memberships.iter().position(|held| held.channel.as_str() == channel) else {
            return false;
        };
        Arc::make_mut(&mut self.memberships).remove(position);
        true
    }
}

impl Membership {
    /// Whether this is a later subscription than `old`, and is to be answered.
    pub fn is_new(&self, old: Option<&Self>) -> bool {
        old.is_none_or(|old| old.serial != self.serial)
    }
}

/// Two versions of one connection are equal if they share their channels.
impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        self.socket == other.socket && Arc::ptr_eq(&self.memberships, &other.memberships)
    }
}

impl Entry for Connection {
    type App = AppId;
    type Group = Group;

    fn app(&self) -> &AppId {
        &self.app
    }

    fn groups(&self, visit: &mut dyn FnMut(Group)) {
        if let Some(address) = self.address {
            visit(Group::Address(self.app, address));
        }
        for Membership { channel, member, .. } in self.memberships.iter() {
            visit(Group::Channel(self.app, channel.clone()));
            if let Some(member) = member {
                visit(Group::Member(self.app, channel.clone(), member.user.clone()));
            }
        }
    }
}

/// The connections that are in a channel.
pub fn members<'a>(
    snapshot: &'a Snapshot,
    app: AppId,
    channel: &ChannelName,
) -> impl Iterator<Item = &'a Connection> {
    let chunks = snapshot.index().chunks(&Group::Channel(app, channel.clone()));
    chunks.flatten().filter_map(|id| snapshot.get(id))
}

/// The users in a presence channel, each once.
pub fn users(snapshot: &Snapshot, app: AppId, channel: &ChannelName) -> Vec<Arc<Member>> {
    let mut seen = std::collections::HashSet::new();
    let all =
        members(snapshot, app, channel).filter_map(|connection| connection.membership(channel.as_str()));
    let all = all.filter_map(|membership| membership.member.clone());
    all.filter(|member| seen.insert(member.user.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        Connection::new(0, SocketId::new(1, 1), Outbox::new(1).0, None)
    }

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    fn groups(connection: &Connection) -> Vec<Group> {
        let mut all = Vec::new();
        connection.groups(&mut |group| all.push(group));
        all
    }

    #[test]
    fn a_second_subscription_is_new_and_adds_nothing() {
        let mut connection = connection();
        assert!(connection.join(channel("a"), None, 10));
        let first = connection.memberships()[0].clone();
        assert!(first.is_new(None) && !first.is_new(Some(&first)));
        assert!(connection.join(channel("a"), None, 10));
        assert!(connection.memberships()[0].is_new(Some(&first)));
        assert_eq!(groups(&connection), [Group::Channel(0, channel("a"))]);
    }

    #[test]
    fn a_subscription_that_was_ended_and_made_again_is_new() {
        let mut connection = connection();
        assert!(connection.join(channel("a"), None, 10));
        let first = connection.membership("a").unwrap().clone();
        assert!(connection.leave("a") && !connection.leave("a"));
        assert!(connection.join(channel("a"), None, 10));
        assert!(connection.membership("a").unwrap().is_new(Some(&first)));
    }

    #[test]
    fn the_number_of_channels_is_bounded() {
        let mut connection = connection();
        assert!(connection.join(channel("a"), None, 1));
        let before = connection.clone();
        assert!(!connection.join(channel("b"), None, 1));
        assert_eq!(connection, before);
        assert!(connection.join(channel("a"), None, 1));
    }

    #[test]
    fn groups_of_different_apps_differ() {
        let groups_in = |app| {
            let address = Some(IpAddr::from([127, 0, 0, 1]));
            let mut connection = Connection::new(app, SocketId::new(1, 1), Outbox::new(1).0, address);
            let member = Arc::new(Member::parse(Some(r#"{"user_id":7}"#)).unwrap());
            assert!(connection.join(channel("presence-a"), Some(member), 10));
            groups(&connection)
        };
        let (one, other) = (groups_in(1), groups_in(2));
        assert!(one.len() == 3 && one.iter().all(|group| !other.contains(group)));
    }

    #[test]
    fn presence_is_two_groups_and_an_address_is_one() {
        let member = Arc::new(Member::parse(Some(r#"{"user_id":7}"#)).unwrap());
        let mut connection = connection();
        connection.address = Some(IpAddr::from([127, 0, 0, 1]));
        assert!(connection.join(channel("presence-a"), Some(member), 10));
        let name = channel("presence-a");
        let expected = [
            Group::Address(0, IpAddr::from([127, 0, 0, 1])),
            Group::Channel(0, name.clone()),
            Group::Member(0, name, "7".into()),
        ];
        assert_eq!(groups(&connection), expected);
    }
}
