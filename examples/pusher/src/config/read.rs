//! Reads the settings one by one, so that each can be wrong without hiding the others.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use axum::http::Uri;
use serde::de::DeserializeOwned;
use switchboard::cleanup;
use toml::{Table, Value};

use super::{App, ConfigError, Flags, Settings};

/// Names in `[cleanup]` that a default configuration does not show.
const MORE_NAMES: [&str; 3] = ["inline_max", "app_rate", "prefix_rate"];

/// Other names in `[cleanup]`, with those that they stand for.
const ALIASES: [(&str, &str); 6] = [
    ("queue_buffer_size", "capacity"),
    ("batch_size", "batch_max"),
    ("batch_timeout_ms", "linger_ms"),
    ("worker_threads", "workers"),
    ("fallback_to_sync", "overflow"),
    ("max_retry_attempts", "sink_retries"),
];

/// A table of settings, of which each is taken once.
struct Fields {
    table: Table,
    /// Stands before the names in messages.
    section: String,
    problems: Vec<String>,
}

/// Reads flags, and the text of the file, or the reason why there is none.
pub(super) fn settings(flags: &Flags, file: Result<String, String>) -> Result<Settings, ConfigError> {
    let parsed = file.and_then(|text| text.parse::<Table>().map_err(|error| error.to_string()));
    // What is wrong with the flags is reported in any case.
    let (mut table, problems) = match parsed {
        Ok(table) => (table, Vec::new()),
        Err(problem) => (Table::new(), vec![problem]),
    };
    override_by(flags, &mut table);
    let mut fields = Fields { table, section: String::new(), problems };
    let settings = fields.settings(flags);
    let problems = fields.finish();
    if problems.is_empty() { Ok(settings) } else { Err(ConfigError(problems)) }
}

/// Puts the flags into the table of the file, as if they stood there.
fn override_by(flags: &Flags, table: &mut Table) {
    let texts = [("listen", &flags.listen), ("webhook", &flags.webhook)];
    let numbers = [("limit_per_ip", &flags.limit_per_ip), ("grace_ms", &flags.grace_ms)];
    for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))) {
        table.insert(name.to_owned(), Value::String(text));
    }
    for (name, text) in numbers.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))) {
        // A text that is no number is reported where numbers are checked.
        let value = text.parse().map_or(Value::String(text), Value::Integer);
        table.insert(name.to_owned(), value);
    }
    if flags.client_events {
        table.insert(String::from("client_events"), Value::Boolean(true));
    }
}

impl Fields {
    fn settings(&mut self, flags: &Flags) -> Settings {
        let default = Settings::new(Vec::new());
        let listen = self.take("listen").map(|text: String| text.parse());
        if let Some(Err(_)) = listen {
            self.problem("listen", "is not an address like 127.0.0.1:6001");
        }
        let grace = self.number("grace_ms", 0..=3_600_000, 3000);
        let limit =
            self.table.contains_key("limit_per_ip").then(|| self.number("limit_per_ip", 1..=1 << 30, 1));
        let connections = self.number("connections", 1..=1 << 24, default.connections.into()) as u32;
        let apps = self.apps(flags);
        let number = apps.len();
        Settings {
            listen: listen.and_then(Result::ok).unwrap_or(default.listen),
            apps,
            limit_per_ip: limit.map(|limit| limit as usize),
            connections,
            channels: self.number("channels_per_connection", 1..=200, default.channels as u64) as usize,
            outbox: self.number("bytes_per_connection", 1 << 16..=1 << 30, default.outbox as u64) as usize,
            activity_timeout: self.seconds("activity_timeout_s", default.activity_timeout),
            pong_timeout: self.seconds("pong_timeout_s", default.pong_timeout),
            request_timeout: self.seconds("request_timeout_s", default.request_timeout),
            drain_rate: self.number("drain_per_second", 1..=1_000_000, default.drain_rate.into()) as u32,
            cleanup: self.cleanup(Duration::from_millis(grace), connections, number),
        }
    }

    fn apps(&mut self, flags: &Flags) -> Vec<App> {
        let webhook = self.url("webhook");
        let client_events = self.take("client_events").unwrap_or(false);
        let complete = |app: App| App {
            client_events: app.client_events || client_events,
            webhook: app.webhook.or_else(|| webhook.clone()),
            ..app
        };
        let mut apps = Vec::new();
        let tables: Vec<Table> = self.take("apps").unwrap_or_default();
        for (number, table) in tables.into_iter().enumerate() {
            let mut fields = Fields { table, section: format!("apps[{number}]."), problems: Vec::new() };
            apps.push(fields.app());
            self.problems.append(&mut fields.finish());
        }
        for text in &flags.apps {
            match text.splitn(3, ':').collect::<Vec<_>>()[..] {
                [id, key, secret] => apps.push(App::new(id, key, secret)),
                // The text may contain a secret, and is therefore not shown.
                _ => self.problem("--app", "does not have the form id:key:secret"),
            }
        }
        if apps.is_empty() && self.problems.is_empty() {
            apps.push(App::for_trials());
        }
        self.check_apps(&apps);
        apps.into_iter().map(complete).collect()
    }

    fn app(&mut self) -> App {
        let mut text = |name| {
            let text: Option<String> = self.take(name);
            if text.is_none() && !self.problems.iter().any(|problem| problem.contains(&format!(".{name} "))) {
                self.problem(name, "is missing");
            }
            text.unwrap_or_default()
        };
        let (id, key, secret) = (text("id"), text("key"), text("secret"));
        let client_events = self.take("client_events").unwrap_or(false);
        App { client_events, webhook: self.url("webhook"), ..App::new(&id, &key, &secret) }
    }

    fn check_apps(&mut self, apps: &[App]) {
        let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
        let is_name = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        for app in apps {
            if !is_name(&app.id) || !is_name(&app.key) {
                self.problem("apps", "an id and a key consist of A-Z a-z 0-9 _ and -");
            } else if !ids.insert(&app.id) {
                self.problem("apps", &format!("the id {} is given twice", app.id));
            } else if !keys.insert(&app.key) {
                self.problem("apps", &format!("the key {} is given twice", app.key));
            }
            if app.secret.is_empty() {
                self.problem("apps", &format!("the app {} has no secret", app.id));
            }
        }
        if apps.len() > usize::from(u16::MAX) {
            self.problem("apps", "there are more than 65535");
        }
    }

    fn url(&mut self, name: &str) -> Option<String> {
        let url: String = self.take(name)?;
        let parsed: Option<Uri> = url.parse().ok();
        let is_web = parsed
            .is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some());
        if !is_web {
            self.problem(name, "is not an address like http://host/path");
        }
        Some(url)
    }

    fn cleanup(&mut self, grace: Duration, connections: u32, apps: usize) -> cleanup::Config {
        let default = super::cleanup(grace, connections, apps);
        let Ok(known) = Table::try_from(&default) else { return default };
        let mut all = known.clone();
        let mut seen = HashSet::new();
        for (given, value) in self.take::<Table>("cleanup").unwrap_or_default() {
            let alias = ALIASES.iter().find(|(alias, _)| *alias == given);
            let name = alias.map_or(given.as_str(), |(_, name)| name).to_owned();
            if !known.contains_key(&name) && !MORE_NAMES.contains(&name.as_str()) {
                self.problem(&format!("cleanup.{given}"), "is not known");
                continue;
            }
            if name.starts_with("event_delay") {
                self.problem(&format!("cleanup.{given}"), "is set by grace_ms");
                continue;
            }
            if !seen.insert(name.clone()) {
                self.problem(&format!("cleanup.{given}"), &format!("is {name}, which is given twice"));
                continue;
            }
            let mut alone = known.clone();
            alone.insert(name.clone(), value.clone());
            match alone.try_into::<cleanup::Config>() {
                Ok(_) => drop(all.insert(name, value)),
                Err(error) => self.problem(&format!("cleanup.{given}"), &error.to_string()),
            }
        }
        let config: cleanup::Config = all.try_into().unwrap_or(default);
        if config.overflow == cleanup::Overflow::Reject {
            // A connection whose end is refused would stay in the table forever.
            self.problem("cleanup.overflow", "must not be reject here");
        }
        if let Err(error) = config.validate() {
            let problems = error.problems().iter().map(|problem| format!("cleanup: {problem}"));
            self.problems.extend(problems);
        }
        config
    }

    fn seconds(&mut self, name: &str, default: Duration) -> Duration {
        Duration::from_secs(self.number(name, 1..=86_400, default.as_secs()))
    }

    fn number(&mut self, name: &str, range: RangeInclusive<u64>, default: u64) -> u64 {
        match self.table.remove(name) {
            None => default,
            Some(Value::Integer(number))
                if u64::try_from(number).is_ok_and(|number| range.contains(&number)) =>
            {
                number as u64
            }
            Some(_) => {
                let range = format!("is not a number from {} to {}", range.start(), range.end());
                self.problem(name, &range);
                default
            }
        }
    }

    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.table.remove(name)?;
        let found = value.type_str();
        let taken = value.try_into().ok();
        if taken.is_none() {
            self.problem(name, &format!("is a {found}, which does not fit"));
        }
        taken
    }

    fn problem(&mut self, name: &str, message: &str) {
        self.problems.push(format!("{}{name} {}", self.section, message.trim_end()));
    }

    /// Returns the problems, among them those that nothing has read.
    fn finish(mut self) -> Vec<String> {
        let unknown: Vec<_> = self.table.keys().cloned().collect();
        unknown.iter().for_each(|name| self.problem(name, "is not known"));
        self.problems
    }
}
