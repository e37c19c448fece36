//! The exporter for the crate `metrics`, the facade.

use ::metrics::{Label, counter, describe_counter, describe_gauge, gauge};

use super::figures::{DURATIONS, FAMILIES, Shape};
use crate::link::addr::Addr;
use crate::metrics::handle::Metrics;

/// Quantiles of the recorded durations.
const QUANTILES: [(&str, f64); 4] = [("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99), ("1", 1.0)];

impl<A: Addr> Metrics<A> {
    /// Passes all figures to the recorder of the `metrics` facade, labelled `node="name"`: counters as
    /// absolute values, durations as gauges of their quantiles in seconds. The figures of links and nets are
    /// taken from one snapshot, but recorders show them one by one. Allocates.
    ///
    /// Call it from one thread at a time: of two concurrent calls, the one with the older snapshot may set
    /// its gauges last.
    ///
    /// Available with the feature `metrics`.
    pub fn record(&self, name: &str) {
        let answer = self.answer();
        let node = Label::new("node", name.to_owned());
        for family in FAMILIES {
            (family.samples)(&answer, &mut |labels, value| {
                let own = labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned()));
                let labels: Vec<Label> = own.chain([node.clone()]).collect();
                match family.shape {
                    Shape::Counter => counter!(family.name, labels).absolute(value),
                    Shape::Gauge => gauge!(family.name, labels).set(value as f64),
                }
            });
        }
        for durations in DURATIONS {
            let histogram = (durations.of)(&answer);
            for (quantile, part) in QUANTILES {
                let labels = vec![Label::from_static_parts("quantile", quantile), node.clone()];
                gauge!(durations.name, labels).set(histogram.quantile(part).as_secs_f64());
            }
        }
    }

    /// Registers the descriptions of the figures with the recorder of the `metrics` facade. One call is
    /// enough.
    ///
    /// Available with the feature `metrics`.
    pub fn describe() {
        for family in FAMILIES {
            match family.shape {
                Shape::Counter => describe_counter!(family.name, family.help),
                Shape::Gauge => describe_gauge!(family.name, family.help),
            }
        }
        DURATIONS.iter().for_each(|durations| describe_gauge!(durations.name, durations.help));
    }
}
