//! Tells clients what has changed, from one version of the table to the next.
//!
//! Subscriptions are answered here, and members are announced here, both from the same two versions. So the list of
//! members that a client receives, and the members that are added and removed afterwards, fit together: each user is
//! in the list or announced, and never both.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use switchboard::table::Change;
use tokio::task::yield_now;

use crate::channel::{ChannelName, Kind};
use crate::entry::{AppId, Connection, Feed, Group, Membership, Snapshot, users};
use crate::outbox::Batch;
use crate::protocol::{Frame, Member, member_added, member_removed, subscribed, subscribed_with_members};

/// Receivers that are served without a pause.
const BURST: usize = 256;

/// Changes of groups, counted from the versions of the table: what webhooks are compared with.
#[derive(Debug, Default, serde::Serialize)]
pub struct Derived {
    pub occupied: AtomicU64,
    pub vacated: AtomicU64,
    pub added: AtomicU64,
    pub removed: AtomicU64,
}

type Place<'a> = (AppId, &'a ChannelName);

/// Follows the table until its writer is dropped.
pub async fn run(mut feed: Feed, derived: Arc<Derived>) {
    let mut from = feed.snapshot().clone();
    while feed.next().await.is_some() {
        // Versions that have come in the meantime are announced together.
        while feed.try_next().is_some() {}
        let to = feed.snapshot().clone();
        announce(&from, &to, &derived).await;
        from = to;
    }
}

/// Announces everything that lies between two versions.
async fn announce(from: &Snapshot, to: &Snapshot, derived: &Derived) {
    let (mut touched, mut answers) = (HashSet::new(), Vec::new());
    for change in to.diff(from) {
        let (old, new) = match change {
            Change::Inserted { new, .. } => (None, Some(new)),
            Change::Updated { old, new, .. } => (Some(old), Some(new)),
            Change::Removed { old, .. } => (Some(old), None),
        };
        if old == new {
            continue;
        }
        let (of_old, of_new) = (Channels::new(old), Channels::new(new));
        touch(old, &of_new, &mut touched);
        touch(new, &of_old, &mut touched);
        for membership in new.map(Connection::memberships).unwrap_or_default() {
            if membership.is_new(of_old.get(&membership.channel)) {
                answers.extend(new.map(|new| (new, membership)));
            }
        }
    }
    let announcements = announcements(from, to, touched, derived);
    for ((app, channel), frames) in announcements {
        send(from, to, app, &channel, &frames.into()).await;
    }
    answer(to, &answers).await;
}

/// Channels from which they are looked up in a map.
const MANY: usize = 8;

/// Finds the channels of a connection.
enum Channels<'a> {
    Few(&'a [Membership]),
    Many(HashMap<&'a str, &'a Membership>),
}

impl<'a> Channels<'a> {
    fn new(connection: Option<&'a Connection>) -> Self {
        let memberships = connection.map(Connection::memberships).unwrap_or_default();
        if memberships.len() < MANY {
            return Self::Few(memberships);
        }
        Self::Many(memberships.iter().map(|membership| (membership.channel.as_str(), membership)).collect())
    }

    fn get(&self, channel: &ChannelName) -> Option<&'a Membership> {
        match self {
            Self::Few(few) => few.iter().find(|membership| membership.channel == *channel),
            Self::Many(many) => many.get(channel.as_str()).copied(),
        }
    }
}

/// Notes the groups that `one` is in and `other` is not.
fn touch(one: Option<&Connection>, other: &Channels<'_>, touched: &mut HashSet<Group>) {
    let Some(one) = one else { return };
    for Membership { channel, member, .. } in one.memberships() {
        let there = other.get(channel);
        if there.is_none() {
            touched.insert(Group::Channel(one.app, channel.clone()));
        }
        let user = |member: &Arc<Member>| member.user.clone();
        let is_same = there.is_some_and(|there| there.member.as_ref().map(user) == member.as_ref().map(user));
        if let Some(member) = member.as_ref().filter(|_| !is_same) {
            touched.insert(Group::Member(one.app, channel.clone(), user(member)));
        }
    }
}

/// Returns the frames for each presence channel whose users have changed.
fn announcements(
    from: &Snapshot,
    to: &Snapshot,
    touched: HashSet<Group>,
    derived: &Derived,
) -> HashMap<(AppId, ChannelName), Vec<Frame>> {
    let mut frames: HashMap<_, Vec<_>> = HashMap::new();
    for group in touched {
        let was = from.index().count(&group) > 0;
        let is = to.index().count(&group) > 0;
        let counter = match (&group, is) {
            (Group::Channel(..), true) => &derived.occupied,
            (Group::Channel(..), false) => &derived.vacated,
            (_, true) => &derived.added,
            (_, false) => &derived.removed,
        };
        if was == is {
            continue;
        }
        counter.fetch_add(1, Ordering::Relaxed);
        let Group::Member(app, channel, user) = group else { continue };
        let frame = if is {
            let of_user = to.index().keys(&Group::Member(app, channel.clone(), user)).next();
            let membership = of_user.and_then(|id| to.get(id)?.membership(channel.as_str()));
            membership.and_then(|membership| Some(member_added(&channel, membership.member.as_ref()?)))
        } else {
            Some(member_removed(&channel, &user))
        };
        frames.entry((app, channel)).or_default().extend(frame);
    }
    frames
}

/// Sends frames to the members of a channel that were its members before. Those that have just subscribed, or once more,
/// receive the list instead.
async fn send(from: &Snapshot, to: &Snapshot, app: AppId, channel: &ChannelName, frames: &Arc<[Frame]>) {
    for (number, id) in (1..).zip(to.index().chunks(&Group::Channel(app, channel.clone())).flatten()) {
        pause(number).await;
        let Some(connection) = to.get(id) else { continue };
        let before = from.get(id).and_then(|before| before.membership(channel.as_str()));
        let is_new = connection.membership(channel.as_str()).is_none_or(|now| now.is_new(before));
        if !is_new {
            connection.outbox.send(Batch::Many(frames.clone()));
        }
    }
}

/// Answers subscriptions. The list of members of a channel is made once for all of them.
async fn answer(to: &Snapshot, answers: &[(&Connection, &Membership)]) {
    let mut lists: HashMap<Place<'_>, Frame> = HashMap::new();
    for (number, (connection, Membership { channel, .. })) in (1..).zip(answers) {
        pause(number).await;
        let frame = lists.entry((connection.app, channel)).or_insert_with(|| match channel.kind() {
            Kind::Presence => {
                let users = users(to, connection.app, channel);
                subscribed_with_members(channel, users.iter().map(|member| &**member))
            }
            _ => subscribed(channel),
        });
        connection.outbox.send(frame.clone());
        connection.outbox.answered();
    }
}

/// Lets the tasks of sockets run, now and then.
async fn pause(number: usize) {
    if number.is_multiple_of(BURST) {
        yield_now().await;
    }
}
