//! Webhooks: changes of channels and members, signed and posted to the address of their app.
//!
//! The pipeline calls this sink with the events of one app at a time, and calls it again, after a pause, for those that
//! could not be delivered. When it gives up, the event is counted and logged.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use switchboard::cleanup::{Change, DeadLetter, Event, EventSink, Outcome};
use tracing::{debug, warn};

use crate::auth::sign;
use crate::config::App;
use crate::entry::{AppId, Group};

/// Time that the receiver of a webhook has for its answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Time for the connection to it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The sink of the pipeline.
pub struct Webhooks {
    apps: Arc<[App]>,
    agent: ureq::Agent,
    counts: Arc<Counts>,
    log: Occasional,
}

/// Admits something once per second.
#[derive(Debug, Default)]
struct Occasional(AtomicU64);

impl Occasional {
    /// Whether nothing was admitted in the second `now_s` yet, counted from 1.
    fn admit(&self, now_s: u64) -> bool {
        self.0.fetch_max(now_s, Ordering::Relaxed) < now_s
    }
}

/// Figures of the webhooks.
#[derive(Debug, Default, Serialize)]
pub struct Counts {
    /// Requests that were accepted.
    pub posted: AtomicU64,
    /// Requests that failed, or were refused.
    pub failed: AtomicU64,
    /// Events in the requests that were accepted.
    pub events: AtomicU64,
    /// Events that were given up.
    pub given_up: AtomicU64,
}

#[derive(Serialize)]
struct Body<'a> {
    time_ms: u64,
    events: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    name: &'static str,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
}

/// Returns the body of a webhook, and the number of its events. `None` if none of the events is for webhooks.
fn body(events: &[Event<Group>], time_ms: u64) -> Option<(String, usize)> {
    let events: Vec<_> = events.iter().filter_map(|event| item(&event.group, event.change)).collect();
    let number = events.len();
    let body = (!events.is_empty()).then_some(Body { time_ms, events })?;
    Some((serde_json::to_string(&body).expect("texts and numbers can be serialized"), number))
}

fn item(group: &Group, change: Change) -> Option<Item<'_>> {
    match group {
        Group::Channel(_, channel) => {
            let name = if change == Change::Occupied { "channel_occupied" } else { "channel_vacated" };
            Some(Item { name, channel: channel.as_str(), user_id: None })
        }
        Group::Member(_, channel, user) => {
            let name = if change == Change::Occupied { "member_added" } else { "member_removed" };
            Some(Item { name, channel: channel.as_str(), user_id: Some(user) })
        }
        Group::Address(..) => None,
    }
}

impl Webhooks {
    pub fn new(apps: Arc<[App]>, counts: Arc<Counts>) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_redirects(0);
        Self { apps, agent: config.build().new_agent(), counts, log: Occasional::default() }
    }

    /// Posts a body. Any status but one of success is a failure, to be tried again.
    fn post(&self, app: &App, url: &str, body: &str) -> Result<(), ureq::Error> {
        let request = self.agent.post(url).header("Content-Type", "application/json");
        let signed = request.header("X-Pusher-Key", &app.key);
        let signed = signed.header("X-Pusher-Signature", sign(&app.secret, body.as_bytes()));
        let mut response = signed.send(body)?;
        // A redirection is no success, either.
        if !response.status().is_success() {
            return Err(ureq::Error::StatusCode(response.status().as_u16()));
        }
        // An answer has no meaning, but if it were left unread, the next request would need another connection.
        drop(response.body_mut().with_config().limit(1 << 16).read_to_vec());
        Ok(())
    }
}

impl EventSink<AppId, Event<Group>> for Webhooks {
    fn deliver(&self, app: &AppId, events: &[Event<Group>]) -> Vec<Outcome> {
        let all = |outcome| vec![outcome; events.len()];
        let app = self.apps.get(usize::from(*app));
        let Some((app, url)) = app.and_then(|app| Some((app, app.webhook.as_ref()?))) else {
            return all(Outcome::Delivered);
        };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Some((body, number)) = body(events, time.as_millis() as u64) else {
            return all(Outcome::Delivered);
        };
        match self.post(app, url, &body) {
            Ok(()) => {
                self.counts.posted.fetch_add(1, Ordering::Relaxed);
                self.counts.events.fetch_add(number as u64, Ordering::Relaxed);
                all(Outcome::Delivered)
            }
            Err(error) => {
                debug!(app = app.id, %error, "webhook");
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                all(Outcome::Retry)
            }
        }
    }

    fn dead_letter(&self, letter: DeadLetter<AppId, Event<Group>>) {
        let Some(item) = item(&letter.event.group, letter.event.change) else { return };
        let app = self.apps.get(usize::from(letter.app)).map(|app| app.id.as_str()).unwrap_or_default();
        let given_up = self.counts.given_up.fetch_add(1, Ordering::Relaxed) + 1;
        // The writer may be what reports, and it is not to wait for the log.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if !self.log.admit(now.as_secs()) {
            return;
        }
        warn!(app, event = item.name, channel = item.channel, reason = ?letter.reason, given_up, "webhook given up");
    }
}
