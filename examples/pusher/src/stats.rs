//! The figures of the server: JSON for the page, and text for Prometheus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde_json::Value;
use switchboard::cleanup;

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
                Group::Address(_) => {}
            }
        }
        let pipeline = &hub.pipeline.cleanup;
        let (events_in_grace, events_to_deliver) = pipeline.pending_events();
        let cleanup = pipeline.stats();
        Self {
            connections: snapshot.len(),
            channels,
            users,
            slots: pipeline.connections(),
            tasks: hub.tasks.get(),
            pressure: pipeline.pressure(),
            uptime_s: hub.started.elapsed().as_secs(),
            is_stopping: hub.is_stopping(),
            batch_mean: cleanup.done as f64 / cleanup.batches.max(1) as f64,
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

/// Returns the figures in the text format of OpenMetrics.
pub fn metrics(hub: &Arc<Hub>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collected(hub.clone())));
    let mut text = String::new();
    // A text takes everything that is written to it.
    let _ = encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Collected(Arc<Hub>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let figures = Figures::new(&self.0);
        let gauges = [
            ("connections", "Connections in the table", figures.connections as f64),
            ("channels", "Channels that are occupied", figures.channels as f64),
            ("users", "Users in presence channels, once per channel", figures.users as f64),
            ("slots", "Slots of the cleanup pipeline that are in use", figures.slots as f64),
            ("tasks", "Tasks of sockets", figures.tasks as f64),
            ("pressure", "Pressure of the cleanup pipeline, from 0 to 1", figures.pressure),
            (
                "events_in_grace",
                "Events that wait for the end of their grace",
                figures.events_in_grace as f64,
            ),
            ("events_to_deliver", "Events that wait for their delivery", figures.events_to_deliver as f64),
        ];
        for (name, help, value) in gauges {
            gauge(&mut encoder, name, help, value)?;
        }
        let Traffic { accepted, refused_busy, refused_limit, slow, events, client_events, frames } =
            figures.traffic;
        let Counts { posted, failed, events: delivered, given_up } = figures.webhooks;
        let counters: [(&str, &str, &AtomicU64); 11] = [
            ("accepted", "Connections that were accepted", accepted),
            (
                "refused_busy",
                "Connections that were refused because the server was busy or stopping",
                refused_busy,
            ),
            ("refused_limit", "Connections that were refused because of a limit", refused_limit),
            ("slow_clients", "Connections that were ended because their client took no frames", slow),
            ("events", "Events of the HTTP API, one per channel", events),
            ("client_events", "Events of clients", client_events),
            ("frames", "Frames that were queued for clients", frames),
            ("webhooks_posted", "Webhook requests that were accepted", posted),
            ("webhooks_failed", "Webhook requests that failed or were refused", failed),
            ("webhook_events", "Webhook events that were delivered", delivered),
            ("webhook_events_given_up", "Webhook events that were given up", given_up),
        ];
        for (name, help, value) in counters {
            counter(&mut encoder, name, help, value.load(Ordering::Relaxed))?;
        }
        let Ok(Value::Object(cleanup)) = serde_json::to_value(figures.cleanup) else { return Ok(()) };
        for (name, value) in &cleanup {
            let Some(value) = value.as_u64() else { continue };
            let help = format!("Connections or events of the cleanup pipeline: {}", name.replace('_', " "));
            match name.as_str() {
                "open" | "queued" | "deferred" => {
                    gauge(&mut encoder, &format!("cleanup_{name}"), &help, value as f64)?
                }
                _ => counter(&mut encoder, &format!("cleanup_{name}"), &help, value)?,
            }
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: f64,
) -> Result<(), std::fmt::Error> {
    let name = format!("pusher_{name}");
    let metric = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), std::fmt::Error> {
    let name = format!("pusher_{name}");
    let metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(metric)
}
