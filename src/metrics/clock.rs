//! How the clock of this machine goes.

use prometheus::{Gauge, Opts, Registry};

use super::register::timestamp;

pub(super) fn register(registry: &Registry) -> Gauge {
    timestamp(
        registry,
        Opts::new(
            "oidc_issuer_clock_leap_seconds",
            "How far the wall clock stands from its time at the start and the time elapsed since.",
        ),
    )
}
