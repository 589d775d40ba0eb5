//! Makes metrics and registers them at once.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

const REASON: &str = "names, labels and buckets are constants of this module; the tests register all of them";

pub(super) fn counter_vec(registry: &Registry, opts: Opts, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(opts, labels))
}

pub(super) fn gauge(registry: &Registry, opts: Opts) -> IntGauge {
    registered(registry, IntGauge::with_opts(opts))
}

pub(super) fn gauge_vec(registry: &Registry, opts: Opts, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(opts, labels))
}

/// Points in time have fractions of a second.
pub(super) fn timestamp(registry: &Registry, opts: Opts) -> Gauge {
    registered(registry, Gauge::with_opts(opts))
}

/// Points in time have fractions of a second.
pub(super) fn timestamp_vec(registry: &Registry, opts: Opts, labels: &[&str]) -> GaugeVec {
    registered(registry, GaugeVec::new(opts, labels))
}

pub(super) fn histogram_vec(registry: &Registry, opts: HistogramOpts, labels: &[&str]) -> HistogramVec {
    registered(registry, HistogramVec::new(opts, labels))
}

#[expect(
    clippy::expect_used,
    reason = "only constants are registered; nothing from outside can fail here"
)]
fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let made = made.expect(REASON);
    registry.register(Box::new(made.clone())).expect(REASON);
    made
}

/// Seconds since 1970, as Prometheus writes points in time.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit in 52 bits for 140,000 years"
)]
pub(super) fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}
