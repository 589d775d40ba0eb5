//! What operators asked for, and what came of it.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::register::counter_vec;

/// Every command and every result has its row from the start.
const COMMANDS: [&str; 5] = ["list", "revoke", "unrevoke", "approve", "import"];
const RESULTS: [&str; 3] = ["done", "denied", "failed"];

#[derive(Debug)]
pub(super) struct ControlMetrics {
    commands: IntCounterVec,
    audit_failures: IntCounter,
}

impl ControlMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let commands = counter_vec(
            registry,
            Opts::new(
                "oidc_issuer_control_commands_total",
                "Commands of operators by command and result.",
            ),
            &["command", "result"],
        );
        for command in COMMANDS {
            for result in RESULTS {
                let _ = commands.with_label_values(&[command, result]);
            }
        }
        let audit_failures = counter_vec(
            registry,
            Opts::new(
                "oidc_issuer_audit_failures_total",
                "Commands that could not be written to the audit file.",
            ),
            &[],
        );
        Self {
            commands,
            audit_failures: audit_failures.with_label_values::<&str>(&[]),
        }
    }

    pub(super) fn command(&self, command: &str, result: &str) {
        if COMMANDS.contains(&command) && RESULTS.contains(&result) {
            self.commands.with_label_values(&[command, result]).inc();
        }
    }

    pub(super) fn audit_failed(&self) {
        self.audit_failures.inc();
    }
}
