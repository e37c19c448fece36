//! The figures of the server: JSON for the page, and text for Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use switchboard::cleanup;
use switchboard::metrics::Page;

use crate::announce::Derived;
use crate::entry::Group;
use crate::hub::{Hub, Traffic};
use crate::webhook::Counts;

/// Everything that `/stats` shows.
#[derive(Serialize)]
pub struct Figures<'a> {
    /// Entries of the table.
    pub connections: usize,
    pub channels: usize,
    /// Users in presence channels, once per channel.
    pub users: usize,
    /// Slots of the pipeline that are in use.
    pub slots: usize,
    /// Tasks of sockets.
    pub tasks: usize,
    pub pressure: f64,
    pub uptime_s: u64,
    pub is_stopping: bool,
    /// Connections that were removed together, on average.
    pub batch_mean: f64,
    /// The sizes of batches up to a bound, and how many there were.
    pub batch_sizes: Vec<(u64, u64)>,
    /// Webhook events that wait for the end of their grace, and for their delivery.
    pub events_in_grace: usize,
    pub events_to_deliver: usize,
    pub traffic: &'a Traffic,
    pub webhooks: &'a Counts,
    pub derived: &'a Derived,
    pub cleanup: cleanup::Stats,
}

impl<'a> Figures<'a> {
    pub fn new(hub: &'a Hub) -> Self {
        let snapshot = hub.pipeline.snapshot();
        let (mut channels, mut users) = (0, 0);
        for (group, _) in snapshot.index().groups() {
            match group {
                Group::Channel(..) => channels += 1,
                Group::Member(..) => users += 1,
                Group::Address(..) => {}
            }
        }
        let pipeline = &hub.pipeline.cleanup;
        let (events_in_grace, events_to_deliver) = pipeline.pending_events();
        let cleanup = pipeline.stats();
        let sizes = cleanup.batch_sizes.bounds().map(|(bound, count)| (bound.unwrap_or(u64::MAX), count));
        Self {
            connections: snapshot.len(),
            channels,
            users,
            slots: pipeline.connections(),
            tasks: hub.tasks.get(),
            pressure: pipeline.pressure(),
            uptime_s: hub.started.elapsed().as_secs(),
            is_stopping: hub.is_stopping(),
            batch_mean: cleanup.batch_sizes.mean(),
            batch_sizes: sizes.filter(|(_, count)| *count > 0).collect(),
            events_in_grace,
            events_to_deliver,
            traffic: &hub.traffic,
            webhooks: &hub.webhooks,
            derived: &hub.derived,
            cleanup,
        }
    }
}

pub fn json(hub: &Hub) -> String {
    serde_json::to_string(&Figures::new(hub)).expect("figures can be serialized")
}

/// Returns the figures in the text format of Prometheus: those of the server, and those of its pipeline.
pub fn metrics(hub: &Hub) -> String {
    let figures = Figures::new(hub);
    let gauges = [
        ("connections", "Connections in the table.", figures.connections as f64),
        ("channels", "Channels that are occupied.", figures.channels as f64),
        ("users", "Users in presence channels, once per channel.", figures.users as f64),
        ("tasks", "Tasks of sockets.", figures.tasks as f64),
        ("uptime_seconds", "Time since the start.", figures.uptime_s as f64),
    ];
    let Traffic { accepted, refused_busy, refused_limit, slow, events, client_events, frames } =
        figures.traffic;
    let Counts { posted, failed, events: delivered, given_up } = figures.webhooks;
    let counters: [(&str, &str, &AtomicU64); 11] = [
        ("accepted", "Connections that were accepted.", accepted),
        (
            "refused_busy",
            "Connections that were refused because the server was busy or stopping.",
            refused_busy,
        ),
        ("refused_limit", "Connections that were refused because of a limit.", refused_limit),
        ("slow_clients", "Connections that were ended because their client took no frames.", slow),
        ("events", "Events of the HTTP API, one per channel.", events),
        ("client_events", "Events of clients.", client_events),
        ("frames", "Frames that were queued for clients.", frames),
        ("webhooks_posted", "Webhook requests that were accepted.", posted),
        ("webhooks_failed", "Webhook requests that failed or were refused.", failed),
        ("webhook_events", "Webhook events that were delivered.", delivered),
        ("webhook_events_given_up", "Webhook events that were given up.", given_up),
    ];
    let mut text = String::new();
    for (name, help, value) in gauges {
        family(&mut text, name, help, "gauge", value);
    }
    for (name, help, value) in counters {
        family(&mut text, &format!("{name}_total"), help, "counter", value.load(Ordering::Relaxed) as f64);
    }
    text.push_str(&Page::new().add_cleanup("pusher", &hub.pipeline.cleanup).to_string());
    text
}

fn family(text: &mut String, name: &str, help: &str, kind: &str, value: f64) {
    // A text takes everything that is written to it.
    let _ = writeln!(text, "# HELP pusher_{name} {help}\n# TYPE pusher_{name} {kind}\npusher_{name} {value}");
}
