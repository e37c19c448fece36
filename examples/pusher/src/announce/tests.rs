use switchboard::SharedWriter;
use switchboard::cleanup::{Cause, Cleanup, Config, ConnectionId, Event, EventSink, Outcome};
use switchboard::table::shared;

use super::*;
use crate::channel::SocketId;
use crate::outbox::{Inbox, Outbox};

struct Nowhere;

impl EventSink<AppId, Event<Group>> for Nowhere {
    fn deliver(&self, _: &AppId, events: &[Event<Group>]) -> Vec<Outcome> {
        vec![Outcome::Delivered; events.len()]
    }
}

/// A table that is changed and published by hand.
struct Board {
    cleanup: Cleanup<Connection>,
    driver: shared::Driver<ConnectionId, Connection, switchboard::cleanup::Groups<Connection>>,
    from: Snapshot,
    derived: Derived,
    sockets: u64,
}

impl Board {
    fn new() -> Self {
        let (writer, _) = Cleanup::<Connection>::table_builder().build();
        let (writer, driver) = SharedWriter::new(writer, shared::Config::new());
        let mut config = Config::default();
        config.workers = switchboard::cleanup::Workers::Fixed(std::num::NonZeroUsize::MIN);
        let cleanup = Cleanup::<Connection>::builder().config(config).build(writer, Nowhere).unwrap();
        let from = cleanup.table().snapshot();
        Self { cleanup, driver, from, derived: Derived::default(), sockets: 0 }
    }

    fn open(&mut self) -> (ConnectionId, Inbox) {
        self.sockets += 1;
        let (outbox, inbox) = Outbox::new(1 << 20);
        let connection = Connection::new(0, SocketId::new(0, self.sockets), outbox, None);
        let ticket = self.cleanup.open(connection, None, ()).unwrap();
        let _ = self.driver.turn();
        (ticket.wait().unwrap().detach(), inbox)
    }

    fn join(&mut self, id: ConnectionId, channel: &str, user: Option<&str>) {
        let channel = ChannelName::parse(channel).unwrap();
        let data = user.map(|user| format!(r#"{{"user_id":"{user}"}}"#));
        let member = data.map(|data| Arc::new(Member::parse(Some(&data)).unwrap()));
        let joined = self.cleanup.update(id, |connection| connection.join(channel, member, 100)).unwrap();
        let _ = self.driver.turn();
        assert_eq!(joined.wait().unwrap(), Some(true));
    }

    fn leave(&mut self, id: ConnectionId, channel: &'static str) {
        let left = self.cleanup.update(id, |connection| connection.leave(channel)).unwrap();
        let _ = self.driver.turn();
        assert_eq!(left.wait().unwrap(), Some(true));
    }

    fn close(&mut self, id: ConnectionId) {
        let _ = self.cleanup.close(id, Cause::Lost);
        let _ = self.cleanup.run_batch(0);
        let _ = self.driver.turn();
    }

    fn announce(&mut self) {
        let to = self.cleanup.table().snapshot();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(announce(&self.from, &to, &self.derived));
        self.from = to;
    }

    fn counts(&self) -> [u64; 4] {
        let Derived { occupied, vacated, added, removed } = &self.derived;
        [occupied, vacated, added, removed].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Returns the events that a client has received, with the user or the users that they name.
fn received(inbox: &mut Inbox) -> Vec<(String, String)> {
    let mut all = Vec::new();
    while let Some(frame) = inbox.frames.try_recv() {
        let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
        let data: serde_json::Value = serde_json::from_str(frame["data"].as_str().unwrap()).unwrap();
        let mut users: Vec<_> = match &data["presence"]["ids"] {
            serde_json::Value::Array(ids) => ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect(),
            _ => data["user_id"].as_str().map(str::to_owned).into_iter().collect(),
        };
        users.sort();
        let event = frame["event"].as_str().unwrap().trim_start_matches("pusher_internal:").to_owned();
        all.push((event, users.join(",")));
    }
    all
}

fn told(event: &str, users: &str) -> (String, String) {
    (event.to_owned(), users.to_owned())
}

#[test]
fn each_subscription_is_answered_once() {
    let mut board = Board::new();
    let (id, mut inbox) = board.open();
    board.announce();
    assert_eq!(received(&mut inbox), []);
    board.join(id, "news", None);
    board.announce();
    board.announce();
    assert_eq!(received(&mut inbox), [told("subscription_succeeded", "")]);
    board.join(id, "news", None);
    board.announce();
    assert_eq!(received(&mut inbox), [told("subscription_succeeded", "")]);
    // Ended and made again between two looks.
    board.leave(id, "news");
    board.join(id, "news", None);
    board.announce();
    assert_eq!(received(&mut inbox), [told("subscription_succeeded", "")]);
    assert_eq!(board.counts(), [1, 0, 0, 0]);
}

#[test]
fn members_learn_of_a_user_once_however_many_connections_it_has() {
    let mut board = Board::new();
    let (ada, mut ada_inbox) = board.open();
    let (first, mut first_inbox) = board.open();
    let (second, mut second_inbox) = board.open();
    board.join(ada, "presence-a", Some("ada"));
    board.announce();
    board.join(first, "presence-a", Some("ben"));
    board.announce();
    board.join(second, "presence-a", Some("ben"));
    board.announce();
    let list = told("subscription_succeeded", "ada,ben");
    assert_eq!(
        received(&mut ada_inbox),
        [told("subscription_succeeded", "ada"), told("member_added", "ben")]
    );
    assert_eq!(received(&mut first_inbox), std::slice::from_ref(&list));
    assert_eq!(received(&mut second_inbox), [list]);
    board.close(first);
    board.announce();
    assert_eq!(received(&mut ada_inbox), []);
    board.leave(second, "presence-a");
    board.announce();
    assert_eq!(received(&mut ada_inbox), [told("member_removed", "ben")]);
    assert_eq!(received(&mut second_inbox), []);
    assert_eq!(board.counts(), [1, 0, 2, 1]);
    board.close(ada);
    board.announce();
    assert_eq!(board.counts(), [1, 1, 2, 2]);
}

#[test]
fn users_that_come_together_are_in_the_lists_and_are_not_announced_to_each_other() {
    let mut board = Board::new();
    let (old, mut old_inbox) = board.open();
    board.join(old, "presence-a", Some("old"));
    board.announce();
    received(&mut old_inbox);
    let mut inboxes = Vec::new();
    for number in 0..3 {
        let (id, inbox) = board.open();
        board.join(id, "presence-a", Some(&format!("u{number}")));
        inboxes.push(inbox);
    }
    board.announce();
    for mut inbox in inboxes {
        assert_eq!(received(&mut inbox), [told("subscription_succeeded", "old,u0,u1,u2")]);
    }
    let mut news = received(&mut old_inbox);
    news.sort();
    assert_eq!(news, [told("member_added", "u0"), told("member_added", "u1"), told("member_added", "u2")]);
}

#[test]
fn a_user_that_leaves_and_returns_between_two_looks_has_not_left() {
    let mut board = Board::new();
    let (ada, mut ada_inbox) = board.open();
    let (ben, _) = board.open();
    board.join(ada, "presence-a", Some("ada"));
    board.join(ben, "presence-a", Some("ben"));
    board.announce();
    received(&mut ada_inbox);
    board.close(ben);
    let (again, mut again_inbox) = board.open();
    board.join(again, "presence-a", Some("ben"));
    board.announce();
    assert_eq!(received(&mut ada_inbox), []);
    assert_eq!(received(&mut again_inbox), [told("subscription_succeeded", "ada,ben")]);
}

#[test]
fn another_user_on_the_same_connection_replaces_the_first() {
    let mut board = Board::new();
    let (ada, mut ada_inbox) = board.open();
    let (other, mut other_inbox) = board.open();
    board.join(ada, "presence-a", Some("ada"));
    board.join(other, "presence-a", Some("ben"));
    board.announce();
    received(&mut ada_inbox);
    received(&mut other_inbox);
    board.join(other, "presence-a", Some("cleo"));
    board.announce();
    let mut news = received(&mut ada_inbox);
    news.sort();
    assert_eq!(news, [told("member_added", "cleo"), told("member_removed", "ben")]);
    assert_eq!(received(&mut other_inbox), [told("subscription_succeeded", "ada,cleo")]);
}

#[test]
fn a_burst_of_leavers_is_announced_at_once_and_ends_no_connection() {
    let mut board = Board::new();
    let (watcher, mut inbox) = board.open();
    board.join(watcher, "presence-a", Some("watcher"));
    let others: Vec<_> = (0..300).map(|number| (number, board.open())).collect();
    for (number, (id, _)) in &others {
        board.join(*id, "presence-a", Some(&format!("u{number}")));
    }
    board.announce();
    received(&mut inbox);
    for (_, (id, _)) in &others {
        board.close(*id);
    }
    board.announce();
    assert_eq!(inbox.frames.batches(), 1);
    let news = received(&mut inbox);
    assert_eq!(news.len(), 300);
    assert!(news.iter().all(|(event, _)| event == "member_removed"));
}
