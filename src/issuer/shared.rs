//! What the issuers of the process have in common.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::publication::IssuerUrl;
use crate::source::FolderWatch;
use crate::store::Stores;

/// What all issuers have in common.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Where their publications are found.
    pub catalog: Arc<Catalog>,
    /// Where they count.
    pub metrics: Metrics,
    /// The time of day.
    pub clock: Clock,
    /// Where their ledgers are kept.
    pub stores: Stores,
    /// Sees changes of their key files.
    pub folders: FolderWatch,
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
