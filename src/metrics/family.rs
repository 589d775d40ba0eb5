//! One metric with all its rows, for metrics that are made when Prometheus asks.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::display;

/// A metric whose rows are being collected.
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    rows: Vec<Metric>,
}

impl Family {
    pub(super) fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::COUNTER)
    }

    pub(super) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::GAUGE)
    }

    fn new(name: &'static str, help: &'static str, kind: MetricType) -> Self {
        Self {
            name,
            help,
            kind,
            rows: Vec::new(),
        }
    }

    /// Adds a row. Values of labels are shown as [`display::label`] says; what the format itself needs escaped is left to
    /// the encoder.
    pub(super) fn row(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(display::label(value).into_owned());
            pair
        });
        let mut row = Metric::from_label(labels.collect());
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            row.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            row.set_gauge(gauge);
        }
        self.rows.push(row);
    }

    /// The finished metric; none without rows, which the encoder refuses.
    pub(super) fn finish(self) -> Option<MetricFamily> {
        if self.rows.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(self.rows);
        Some(family)
    }
}

pub(super) fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no counter here passes 2^53 in the life of a machine"
)]
pub(super) fn count(of: u64) -> f64 {
    of as f64
}
