//! The properties that hold when everyone has left.

use std::io;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

use super::eventually;
use crate::harness::{Hook, Receiver, Target, request};

/// Time without webhooks after which none are expected of a server that does not show its figures.
const QUIET: Duration = Duration::from_secs(5);

#[derive(Debug, Default, Serialize)]
pub(super) struct Check {
    /// Webhook events that were expected, and that have arrived.
    pub(super) expected: usize,
    pub(super) received: usize,
    /// Expected events that have not arrived.
    pub(super) missing: usize,
    /// Events that have arrived once more, or were not expected.
    pub(super) surplus: usize,
    /// The most events `channel_vacated` for one channel.
    pub(super) vacated_max: usize,
    pub(super) forged: usize,
    /// Figures that are not zero at the end, and those that do not fit together.
    pub(super) wrong: Vec<String>,
}

impl Check {
    fn new(expected: &[Hook], mut received: Vec<Hook>, forged: usize) -> Self {
        received.sort();
        let vacated =
            received.chunk_by(|one, other| one == other).filter(|same| same[0].name == "channel_vacated");
        let vacated_max = vacated.map(<[Hook]>::len).max().unwrap_or(0);
        // Both are sorted: what is in both is paired off.
        let (mut missing, mut surplus, mut rest) = (0, 0, received.iter().peekable());
        for hook in expected {
            while rest.next_if(|received| *received < hook).is_some() {
                surplus += 1;
            }
            if rest.next_if_eq(&hook).is_none() {
                missing += 1;
            }
        }
        surplus += rest.count();
        let (expected, received) = (expected.len(), received.len());
        Self { expected, received, missing, surplus, vacated_max, forged, wrong: Vec::new() }
    }
}

async fn stats(target: &Target) -> io::Result<Value> {
    let (_, text) = request(target, "GET", "/stats", &[], String::new()).await?;
    serde_json::from_str(&text).map_err(io::Error::other)
}

/// Figures that are zero once everyone has left and everything is delivered.
const EMPTY: [&str; 10] = [
    "/connections",
    "/channels",
    "/users",
    "/slots",
    "/tasks",
    "/events_in_grace",
    "/events_to_deliver",
    "/cleanup/open",
    "/cleanup/queued",
    "/cleanup/deferred",
];

/// Waits until the server is empty, and compares its figures with the webhooks.
pub(super) async fn own(target: &Target, receiver: &Receiver, expected: &[Hook]) -> io::Result<Check> {
    let mut last = Value::Null;
    let is_zero = |stats: &Value, path: &str| stats.pointer(path).and_then(Value::as_f64) == Some(0.0);
    eventually(async || {
        last = stats(target).await.unwrap_or_default();
        EMPTY.iter().all(|path| is_zero(&last, path))
    })
    .await;
    let mut check = Check::new(expected, receiver.hooks(), receiver.forged());
    for path in EMPTY.into_iter().filter(|path| !is_zero(&last, path)) {
        check.wrong.push(format!("{path} is {} at the end", last.pointer(path).unwrap_or(&Value::Null)));
    }
    let number = |path: &str| last.pointer(path).and_then(Value::as_u64).unwrap_or(u64::MAX);
    for path in [
        "/traffic/refused_busy",
        "/traffic/refused_limit",
        "/traffic/slow",
        "/cleanup/failed",
        "/webhooks/given_up",
    ] {
        if number(path) != 0 {
            check.wrong.push(format!("{path} is {}", number(path)));
        }
    }
    let hooks = receiver.hooks();
    let pairs = [
        ("channel_occupied", "/derived/occupied"),
        ("channel_vacated", "/derived/vacated"),
        ("member_added", "/derived/added"),
        ("member_removed", "/derived/removed"),
    ];
    for (name, path) in pairs {
        let received = hooks.iter().filter(|hook| hook.name == name).count() as u64;
        if received != number(path) {
            check
                .wrong
                .push(format!("{received} webhooks {name}, and {} according to the snapshots", number(path)));
        }
    }
    if number("/cleanup/submitted") != number("/cleanup/done") {
        check.wrong.push(String::from("not all connections that ended were cleaned"));
    }
    Ok(check)
}

/// Waits until no more webhooks arrive from a server that may not send any.
pub(super) async fn other(receiver: &Receiver, expected: &[Hook]) -> Check {
    let mut received = usize::MAX;
    eventually(async || {
        let before = std::mem::replace(&mut received, receiver.hooks().len());
        sleep(QUIET).await;
        before == received && receiver.hooks().len() == received
    })
    .await;
    Check::new(expected, receiver.hooks(), receiver.forged())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(name: &str, channel: &str) -> Hook {
        Hook { name: name.to_owned(), channel: channel.to_owned(), user_id: None }
    }

    #[test]
    fn missing_and_surplus_events_are_found() {
        let expected =
            [hook("channel_vacated", "a"), hook("channel_vacated", "b"), hook("channel_vacated", "c")];
        let received = vec![
            hook("channel_vacated", "c"),
            hook("channel_vacated", "c"),
            hook("channel_vacated", "a"),
            hook("x", "y"),
        ];
        let check = Check::new(&expected, received, 0);
        assert_eq!((check.expected, check.received, check.missing, check.surplus), (3, 4, 1, 2));
        assert_eq!(check.vacated_max, 2);
        let check = Check::new(&expected, expected.to_vec(), 0);
        assert_eq!((check.missing, check.surplus, check.vacated_max), (0, 0, 1));
    }
}
