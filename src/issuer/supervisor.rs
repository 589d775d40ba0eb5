//! All issuers of the process: started, changed by a reload, stopped.

use std::sync::Arc;

use tokio::sync::watch;

use super::IssuerSettings;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::publication::IssuerUrl;

/// What all issuers have in common.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Where their publications are found.
    pub catalog: Arc<Catalog>,
    /// Where they count.
    pub metrics: Metrics,
    /// The time of day.
    pub clock: Clock,
}

/// How far the issuers are: what `/readyz` waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Required issuers of the start that were never published yet. Those added by a reload never count, those
    /// that a reload drops leave.
    pub waiting: Vec<IssuerUrl>,
    /// Whether any issuer is published.
    pub any: bool,
}

/// The issuers of the process, each with a task of its own: one issuer's trouble never touches another.
#[derive(Debug)]
pub struct Issuers {
    published: watch::Receiver<Published>,
}

impl Issuers {
    /// Starts an issuer's task for each, within a tokio runtime, and serves them by the catalog.
    pub fn start(_shared: Shared, _settings: Vec<IssuerSettings>) -> Self {
        let (_, published) = watch::channel(Published::default());
        Self { published }
    }

    /// Takes over a reloaded configuration. An issuer that is no longer there is withdrawn at once (404), and its
    /// ledger kept; one that comes back is published again from it; one whose sources changed keeps it; one that
    /// did not change is not disturbed.
    pub async fn apply(&mut self, _settings: Vec<IssuerSettings>) {}

    /// How far they are.
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }

    /// Stops reading. What is published stays in the catalog.
    pub async fn shutdown(self) {}
}
