//! An issuer that a reload dropped is not followed in the shared store: what the other replicas decided meanwhile is
//! asked for when it comes back, before anything of it is published.

use std::sync::atomic::Ordering;

use super::super::opening::Said;
use super::{AT_START, Replica};
use crate::ring::Ledger;

impl Replica {
    /// Nobody follows the shared store any more, until it is opened again.
    pub fn rests(&self) {
        self.0.has_rested.store(true, Ordering::Relaxed);
    }

    /// The ledger of this process, with what the shared store has learned since it was last followed. Where that does not
    /// answer in time, as at the start, this one is enough.
    pub(super) async fn caught_up(&self, ledger: Ledger) -> Ledger {
        let Some(link) = &self.0.shared else {
            return ledger;
        };
        if !self.0.has_rested.load(Ordering::Relaxed) {
            return ledger;
        }
        let said = self.shared_says(&mut *link.lock().await, AT_START).await;
        self.0.has_rested.store(false, Ordering::Relaxed);
        match said {
            Said::Ledger(shared) => {
                let merged = ledger.merge(&shared);
                self.keep(&merged).await;
                merged
            }
            Said::Nothing | Said::Lost | Said::Refused(_) | Said::Silent(_) => ledger,
        }
    }
}
