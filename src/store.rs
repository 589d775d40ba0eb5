//! Adapters that keep ledgers. In this release a ledger lives in memory: it outlives its issuer's task and a reload that
//! drops the issuer, not the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ring::Ledger;

/// The ledgers of this process, by issuer. Cheap to clone: every clone has the same ledgers.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<HashMap<String, Ledger>>>);

impl Memory {
    /// The ledger of an issuer; an empty one where there is none yet.
    pub fn load(&self, issuer: &str) -> Ledger {
        self.locked().get(issuer).cloned().unwrap_or_default()
    }

    /// Keeps a ledger.
    pub fn save(&self, issuer: &str, ledger: &Ledger) {
        let mut all = self.locked();
        if all.get(issuer) != Some(ledger) {
            all.insert(issuer.to_owned(), ledger.clone());
        }
    }

    /// Ledgers are replaced as a whole, so a panic elsewhere leaves them so.
    fn locked(&self) -> MutexGuard<'_, HashMap<String, Ledger>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
