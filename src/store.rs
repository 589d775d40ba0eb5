//! Adapters that keep ledgers: what must outlive the process.

mod copy;
mod database;
mod direct;
#[cfg(test)]
pub(crate) mod fake;
mod folder;
mod lock;
pub(crate) mod name;
mod opening;
mod owner;
mod replica;
mod settings;
mod shared;
mod tracker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use direct::{AmendError, Change, amend, issuers_in};
pub use lock::{FolderLock, LockError};
pub use replica::{Found, Replica, Status};
pub use settings::{KubernetesSettings, LocalSettings, STORE_URLS, StoreSettings, faults};

use crate::client::Connections;
pub(crate) use crate::objects::is_label;
pub use crate::objects::{BUCKET_URLS, Bucket, ObjectStorageSettings};
use crate::ring::Ledger;
use copy::LocalCopy;
use database::Database;
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
    database: Option<Arc<Database>>,
    replicas: Arc<Replicas>,
    /// To the API server that keeps them, if one does: all issuers ask it every few seconds.
    connections: Connections,
}

type Replicas = Mutex<HashMap<String, Replica>>;

impl Stores {
    /// Ledgers that end with the process.
    pub fn memory() -> Self {
        Self::new(StoreSettings::Memory, None, Arc::default())
    }

    /// Takes the lock of the database on this machine, where there is one. Nothing is waited for: a disk may hang, a shared
    /// store may be down.
    pub fn open(settings: StoreSettings) -> Result<Self, LockError> {
        let replicas = Arc::<Replicas>::default();
        let open = |local: &LocalSettings| {
            let held = Arc::downgrade(&replicas);
            Database::open(local.clone(), Box::new(move |each| show(&held, each))).map(Arc::new)
        };
        let database = settings.local().map(open).transpose()?;
        Ok(Self::new(settings, database, replicas))
    }

    fn new(settings: StoreSettings, database: Option<Arc<Database>>, replicas: Arc<Replicas>) -> Self {
        Self(Arc::new(Inner {
            settings,
            database,
            replicas,
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
            database,
            replicas,
            connections,
        } = &*self.0;
        let made = || {
            let local = database.clone().map(|database| LocalCopy::new(database, issuer));
            Replica::new(issuer, local, Shared::of(settings, issuer, connections))
        };
        // Entries are added as a whole, so a panic elsewhere leaves them so.
        let mut replicas = replicas.lock().unwrap_or_else(PoisonError::into_inner);
        replicas.entry(issuer.to_owned()).or_insert_with(made).clone()
    }
}

/// The ledgers that the process holds.
fn show(replicas: &Weak<Replicas>, each: &mut dyn FnMut(&str, &Ledger)) {
    let Some(replicas) = replicas.upgrade() else {
        return;
    };
    let all: Vec<_> = {
        let replicas = replicas.lock().unwrap_or_else(PoisonError::into_inner);
        replicas.values().cloned().collect()
    };
    for replica in all {
        replica.show(each);
    }
}
