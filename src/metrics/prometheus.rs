//! The exporter for the crate `prometheus-client`.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::figures::{BOUNDS_NS, DURATIONS, FAMILIES, Shape};
use crate::link::addr::Addr;
use crate::metrics::handle::Metrics;

/// Takes one snapshot per scrape: every gauge of links and nets belongs to the version in
/// `switchboard_version`. Register it with `Registry::register_collector`; register several managers in
/// registries with distinct labels.
///
/// # Examples
/// ```
/// use prometheus_client::encoding::text::encode;
/// use prometheus_client::registry::Registry;
/// use switchboard::{Config, LinkManager, Metrics, NodeAddr};
///
/// let driver = LinkManager::<NodeAddr>::builder(Config::default()).build()?;
/// let mut registry = Registry::default();
/// registry.register_collector(Box::new(Metrics::for_driver(&driver)));
/// let mut page = String::new();
/// encode(&mut page, &registry)?;
/// assert!(page.contains("switchboard_links 0\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<A: Addr> Collector for Metrics<A> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let answer = self.answer();
        for family in FAMILIES {
            let shape = match family.shape {
                Shape::Counter => MetricType::Counter,
                Shape::Gauge => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(family.name, bare(family.help), None, shape)?;
            let mut written = Ok(());
            (family.samples)(&answer, &mut |labels, value| {
                written = written.and_then(|()| {
                    // A sample without labels is written without braces: some parsers reject empty
                    // ones.
                    if labels.is_empty() {
                        return encode(&mut metric, family.shape, value);
                    }
                    encode(&mut metric.encode_family(&labels)?, family.shape, value)
                });
            });
            written?;
        }
        for durations in DURATIONS {
            let histogram = (durations.of)(&answer);
            let help = bare(durations.help);
            let mut metric = encoder.encode_descriptor(durations.name, help, None, MetricType::Histogram)?;
            // Each bucket gets its own count; the encoder adds them up.
            let mut below = 0;
            let mut bucket = |bound: f64, up_to: u64| {
                let own = up_to - below;
                below = up_to;
                (bound, own)
            };
            let mut buckets = Vec::with_capacity(BOUNDS_NS.len() + 1);
            for bound in BOUNDS_NS.map(Duration::from_nanos) {
                buckets.push(bucket(bound.as_secs_f64(), histogram.count_up_to(bound)));
            }
            buckets.push(bucket(f64::MAX, histogram.count()));
            let (sum, count) = (histogram.sum().as_secs_f64(), histogram.count());
            metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

fn encode(sample: &mut MetricEncoder<'_>, shape: Shape, value: u64) -> fmt::Result {
    match shape {
        Shape::Counter => sample.encode_counter::<NoLabelSet, _, u64>(&value, None),
        Shape::Gauge => sample.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX)),
    }
}

/// Strips the full stop, which the encoder adds itself.
fn bare(help: &'static str) -> &'static str {
    help.trim_end_matches('.')
}
