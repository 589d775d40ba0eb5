//! Whether the configuration in force is the one that was written last.

use jiff::Timestamp;
use prometheus::{Gauge, IntCounter, IntGauge, Opts, Registry};

use super::register::{counter_vec, gauge, seconds, timestamp};

#[derive(Debug)]
pub(super) struct ConfigMetrics {
    successes: IntCounter,
    failures: IntCounter,
    last_successful: IntGauge,
    last_success: Gauge,
}

impl ConfigMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let reloads = counter_vec(
            registry,
            Opts::new(
                "oidc_issuer_config_reloads_total",
                "Reloads of the configuration by result; a refused one changes nothing.",
            ),
            &["result"],
        );
        Self {
            successes: reloads.with_label_values(&["success"]),
            failures: reloads.with_label_values(&["failure"]),
            last_successful: gauge(
                registry,
                Opts::new(
                    "oidc_issuer_config_last_reload_successful",
                    "Whether the configuration that was read last is in force.",
                ),
            ),
            last_success: timestamp(
                registry,
                Opts::new(
                    "oidc_issuer_config_last_reload_success_timestamp_seconds",
                    "When the configuration in force was loaded.",
                ),
            ),
        }
    }

    pub(super) fn loaded(&self, now: Timestamp) {
        self.last_successful.set(1);
        self.last_success.set(seconds(now));
    }

    pub(super) fn reloaded(&self, now: Timestamp) {
        self.successes.inc();
        self.loaded(now);
    }

    pub(super) fn refused(&self) {
        self.failures.inc();
        self.last_successful.set(0);
    }
}
