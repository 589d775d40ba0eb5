//! Adapters that keep ledgers: what must outlive the process.

mod copy;
mod direct;
#[cfg(test)]
mod fake;
mod file;
mod lock;
pub(crate) mod name;
mod opening;
mod owner;
mod replica;
mod settings;
mod shared;
mod tracker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use direct::{AmendError, Change, amend, issuers_in};
pub use file::Folder;
pub use lock::{FolderLock, LockError};
pub use replica::{Found, Replica, Status};
pub use settings::{KubernetesSettings, STORE_URLS, StoreSettings, faults};

use crate::client::Connections;
pub(crate) use crate::objects::is_label;
pub use crate::objects::{BUCKET_URLS, Bucket, ObjectStorageSettings};
use crate::ring::Ledger;
use copy::LocalCopy;
use shared::Shared;

/// Why octets are not the ledger that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Half written, or changed since: an older generation may stand in.
    Torn(String),
    /// Another issuer's, or of a newer format: nothing stands in for it.
    Refused(String),
}

/// Where the ledgers of this process are kept. Cheap to clone: every clone has the same ledgers.
#[derive(Clone, Debug)]
pub struct Stores(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: StoreSettings,
    folder: Option<Arc<Folder>>,
    replicas: Mutex<HashMap<String, Replica>>,
    /// To the API server that keeps them, if one does: all issuers ask it every few seconds.
    connections: Connections,
}

impl Stores {
    /// Ledgers that end with the process.
    pub fn memory() -> Self {
        Self::new(StoreSettings::Memory, None)
    }

    /// Takes the folder on this machine, where there is one. Nothing else is done: a shared store may be down.
    pub fn open(settings: StoreSettings) -> Result<Self, LockError> {
        let folder = settings.folder().map(Folder::open).transpose()?;
        Ok(Self::new(settings, folder))
    }

    fn new(settings: StoreSettings, folder: Option<Arc<Folder>>) -> Self {
        Self(Arc::new(Inner {
            settings,
            folder,
            replicas: Mutex::default(),
            connections: Connections::default(),
        }))
    }

    /// For tests: the ledger of this issuer is in a store that others share, and that works.
    #[cfg(test)]
    pub(crate) fn shared_in_memory(issuer: &str) -> Self {
        let stores = Self::memory();
        let replica = Replica::new(issuer, None, Some(Shared::Fake(shared::fake::Fake::default())));
        let mut replicas = stores.0.replicas.lock().unwrap_or_else(PoisonError::into_inner);
        replicas.insert(issuer.to_owned(), replica);
        drop(replicas);
        stores
    }

    /// The ledger of an issuer that rested, and has this one.
    pub fn resumed(&self, issuer: &str, _ledger: &Ledger) -> Replica {
        self.replica(issuer)
    }

    /// The ledger of an issuer: the same one for as long as the process lives, whatever becomes of the issuer's task.
    /// Within a tokio runtime.
    pub fn replica(&self, issuer: &str) -> Replica {
        let Inner {
            settings,
            folder,
            replicas,
            connections,
        } = &*self.0;
        // Entries are added as a whole, so a panic elsewhere leaves them so.
        let mut replicas = replicas.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || {
            let local = folder
                .as_ref()
                .map(|folder| LocalCopy::new(folder.ledger(issuer)));
            Replica::new(issuer, local, Shared::of(settings, issuer, connections))
        };
        replicas.entry(issuer.to_owned()).or_insert_with(made).clone()
    }
}
