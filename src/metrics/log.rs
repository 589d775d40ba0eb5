//! Lines of the log that nobody read in time.

use prometheus::{IntCounterVec, Opts, Registry};

use super::register::counter_vec;

/// Each has its row from the start.
const LEVELS: [&str; 6] = ["audit", "error", "warn", "info", "debug", "trace"];

/// Counts lines of the log that were dropped.
#[derive(Clone, Debug)]
pub struct LogMetrics(IntCounterVec);

impl LogMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let dropped = counter_vec(
            registry,
            Opts::new(
                "oidc_issuer_log_lines_dropped_total",
                "Lines of the log that were dropped because standard error was not read in time.",
            ),
            &["level"],
        );
        for level in LEVELS {
            let _ = dropped.with_label_values(&[level]);
        }
        Self(dropped)
    }

    /// A line of this level was dropped.
    pub fn dropped(&self, level: &str) {
        if LEVELS.contains(&level) {
            self.0.with_label_values(&[level]).inc();
        }
    }
}
