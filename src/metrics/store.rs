//! How an issuer's ledger is kept: asked of the ledger itself when Prometheus asks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus::proto::MetricFamily;

use super::family::{Family, count, flag};

/// How a ledger is kept at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreState {
    /// Whether it was read, so that the issuer may publish.
    pub is_open: bool,
    /// Ledgers that could not be read any more.
    pub lost: u64,
    /// Whether the newest change is on this machine's disk; `None` where nothing is kept there.
    pub is_durable: Option<bool>,
    /// The store that replicas share, if there is one.
    pub shared: Option<SharedStoreState>,
}

/// How a replica and the shared store get on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedStoreState {
    /// Whether it was last read or written without trouble.
    pub is_reachable: bool,
    /// The age of the oldest change that is not written to it.
    pub lag: Duration,
    /// How long ago it was last known to have the same ledger; `None` before the first time.
    pub agreed: Option<Duration>,
    /// Reads that gave another ledger than was known.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Writes that another replica was faster than.
    pub conflicts: u64,
    /// Reads and writes that failed.
    pub failures: u64,
}

/// Tells how a ledger is kept now.
#[derive(Clone)]
pub(super) enum Ask {
    /// It is asked.
    Of(Arc<dyn Fn() -> StoreState + Send + Sync>),
    /// The issuer rests, which it does only while nothing is wrong with its ledger.
    AtRest { is_durable: Option<bool> },
}

impl Ask {
    pub(super) fn now(&self) -> StoreState {
        match self {
            Self::Of(ask) => ask(),
            Self::AtRest { is_durable } => StoreState {
                is_open: true,
                is_durable: *is_durable,
                ..StoreState::default()
            },
        }
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

pub(super) struct StoreRows {
    open: Family,
    lost: Family,
    durable: Family,
    reachable: Family,
    lag: Family,
    agreed: Family,
    operations: Family,
}

impl StoreRows {
    pub(super) fn new() -> Self {
        Self {
            open: Family::gauge(
                "oidc_issuer_store_ledger_loaded",
                "Whether the ledger was read, before which nothing is published.",
            ),
            lost: Family::counter(
                "oidc_issuer_store_ledgers_lost_total",
                "Ledgers that could not be read any more: revocations may be lost.",
            ),
            durable: Family::gauge(
                "oidc_issuer_store_durable",
                "Whether all that is published is on this machine's disk; if not a crash might take a key too early.",
            ),
            reachable: Family::gauge(
                "oidc_issuer_store_reachable",
                "Whether the shared store was last read or written without trouble.",
            ),
            lag: Family::gauge(
                "oidc_issuer_store_lag_seconds",
                "Age of the oldest change that is not written to the shared store.",
            ),
            agreed: Family::gauge(
                "oidc_issuer_store_agreement_age_seconds",
                "How long ago this replica and the shared store were last known to have the same ledger.",
            ),
            operations: Family::counter(
                "oidc_issuer_store_operations_total",
                "What was done with the shared store, by result.",
            ),
        }
    }

    pub(super) fn issuer(&mut self, issuer: &str, state: &StoreState) {
        let labels = [("issuer", issuer)];
        self.open.row(&labels, flag(state.is_open));
        self.lost.row(&labels, count(state.lost));
        if let Some(is_durable) = state.is_durable {
            self.durable.row(&labels, flag(is_durable));
        }
        let Some(shared) = &state.shared else { return };
        self.reachable.row(&labels, flag(shared.is_reachable));
        self.lag.row(&labels, shared.lag.as_secs_f64());
        if let Some(agreed) = shared.agreed {
            self.agreed.row(&labels, agreed.as_secs_f64());
        }
        for (result, number) in [
            ("read", shared.reads),
            ("written", shared.writes),
            ("conflict", shared.conflicts),
            ("failed", shared.failures),
        ] {
            self.operations
                .row(&[labels[0], ("result", result)], count(number));
        }
    }

    pub(super) fn into_families(self) -> impl Iterator<Item = MetricFamily> {
        [
            self.open,
            self.lost,
            self.durable,
            self.reachable,
            self.lag,
            self.agreed,
            self.operations,
        ]
        .into_iter()
        .filter_map(Family::finish)
    }
}
