//! How the reads of all sources get on.

use jiff::SignedDuration;
use prometheus::{Gauge, Opts, Registry};

use super::register::timestamp;

/// How long a round takes, and how long it may.
#[derive(Clone, Debug)]
pub(super) struct ReadMetrics {
    round: Gauge,
    smallest_max_age: Gauge,
}

impl ReadMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            round: timestamp(
                registry,
                Opts::new(
                    "oidc_issuer_reading_round_seconds",
                    "How long a round over all sources takes: the longest wait of one for its turn in the last minutes.",
                ),
            ),
            smallest_max_age: timestamp(
                registry,
                Opts::new(
                    "oidc_issuer_smallest_max_age_seconds",
                    "The smallest max-age of the configured issuers' JWKS.",
                ),
            ),
        }
    }

    pub(super) fn round(&self, round: SignedDuration) {
        self.round.set(round.as_secs_f64());
    }

    pub(super) fn smallest_max_age(&self, max_age: SignedDuration) {
        self.smallest_max_age.set(max_age.as_secs_f64());
    }
}
