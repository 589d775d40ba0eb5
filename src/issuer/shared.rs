//! What the issuers of the process have in common.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::{KeyOwners, ReadLimits, Reminders, Rounds};
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
    /// What was told again of sources that cannot be read.
    pub reminders: Reminders,
    /// Which of them publishes which key.
    pub owners: KeyOwners,
    /// How many sources are read at once.
    pub reads: ReadLimits,
    /// How long it takes until all of them were read.
    pub rounds: Rounds,
}

/// How far the issuers are: what `/readyz` waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Required issuers of the start that were never published yet. Those added by a reload never count, those
    /// that a reload drops leave.
    pub waiting: BTreeSet<IssuerUrl>,
    /// Why, as far as it is known.
    pub reasons: BTreeMap<IssuerUrl, String>,
    /// Whether any issuer is published.
    pub any: bool,
}

impl Published {
    /// This issuer is not waited for any more; whether it was.
    pub(super) fn leaves(&mut self, issuer: &IssuerUrl) -> bool {
        self.reasons.remove(issuer);
        self.waiting.remove(issuer)
    }

    /// No issuer but these is waited for any more; whether any was.
    pub(super) fn leave_all_but(&mut self, required: &HashSet<&IssuerUrl>) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| required.contains(waiting));
        self.reasons.retain(|waiting, _| required.contains(waiting));
        self.waiting.len() != before
    }

    /// Why this issuer waits, where it is waited for.
    pub(super) fn reason(&mut self, issuer: &IssuerUrl, reason: Option<String>) {
        match reason {
            Some(reason) if self.waiting.contains(issuer) => {
                self.reasons.insert(issuer.clone(), reason);
            }
            _ => {
                self.reasons.remove(issuer);
            }
        }
    }
}
