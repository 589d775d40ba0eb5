//! Adapters that keep ledgers: what must outlive the process.

mod copy;
#[cfg(test)]
mod fake;
mod file;
mod lock;
mod name;
mod opening;
mod replica;
mod settings;
mod shared;
mod tracker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use file::Folder;
pub use lock::{FolderLock, LockError};
pub use replica::{Found, Replica, Status};
pub use settings::{KubernetesSettings, ObjectStorageSettings, StoreSettings};
pub use shared::objects::Bucket;

use crate::ring::Ledger;

/// Why octets are not the ledger that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Half written, or changed since: an older generation may stand in.
    Torn(String),
    /// Another issuer's, or of a newer format: nothing stands in for it.
    Refused(String),
}

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
