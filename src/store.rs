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
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

pub use direct::{AmendError, Change, amend, issuers_in};
pub use lock::{FolderLock, LockError};
pub use replica::{Found, Replica, Status};
pub use settings::{KubernetesSettings, LocalSettings, STORE_URLS, StoreSettings, faults};

use crate::client::Connections;
pub(crate) use crate::objects::is_label;
pub use crate::objects::{BUCKET_URLS, Bucket, ObjectStorageSettings};
use crate::ring::Ledger;
use copy::LocalCopy;
use database::{Database, Held};
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
    /// Shows the ledgers of issuers at rest, which have no replica.
    at_rest: Arc<AtRest>,
    /// To the API server that keeps them, if one does: all issuers ask it every few seconds.
    connections: Connections,
}

/// Shows the ledgers of issuers at rest.
#[derive(Default)]
struct AtRest(OnceLock<Box<Held>>);

impl fmt::Debug for AtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtRest")
    }
}

type Replicas = Mutex<HashMap<String, Replica>>;

impl Stores {
    /// Ledgers that end with the process.
    pub fn memory() -> Self {
        Self::new(StoreSettings::Memory, None, Arc::default(), Arc::default())
    }

    /// Takes the lock of the database on this machine, where there is one. Nothing is waited for: a disk may hang, a shared
    /// store may be down.
    pub fn open(settings: StoreSettings) -> Result<Self, LockError> {
        let (replicas, at_rest) = (Arc::<Replicas>::default(), Arc::<AtRest>::default());
        let open = |local: &LocalSettings| {
            let (held, at_rest) = (Arc::downgrade(&replicas), Arc::downgrade(&at_rest));
            let show = move |each: &mut dyn FnMut(&str, &Ledger)| {
                show(&held, each);
                if let Some(at_rest) = at_rest.upgrade()
                    && let Some(show) = at_rest.0.get()
                {
                    show(each);
                }
            };
            Database::open(local.clone(), Box::new(show)).map(Arc::new)
        };
        let database = settings.local().map(open).transpose()?;
        Ok(Self::new(settings, database, replicas, at_rest))
    }

    fn new(
        settings: StoreSettings,
        database: Option<Arc<Database>>,
        replicas: Arc<Replicas>,
        at_rest: Arc<AtRest>,
    ) -> Self {
        Self(Arc::new(Inner {
            settings,
            database,
            replicas,
            at_rest,
            connections: Connections::default(),
        }))
    }

    /// Where the ledgers of issuers at rest are, should the database have to be made again. The first one counts.
    pub(crate) fn at_rest_from(&self, show: impl Fn(&mut dyn FnMut(&str, &Ledger)) + Send + Sync + 'static) {
        let _ = self.0.at_rest.0.set(Box::new(show));
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
    pub fn resumed(&self, issuer: &str, ledger: &Ledger) -> Replica {
        let replica = self.replica(issuer);
        replica.resume(ledger);
        replica
    }

    /// The issuer needs its ledger no longer for now: it is let go where it can be had from the database again.
    pub fn release(&self, issuer: &str) {
        let mut replicas = self.0.replicas.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.database.is_some() && replicas.get(issuer).is_some_and(Replica::may_rest) {
            replicas.remove(issuer);
            if replicas.capacity() > 1024 && replicas.len() < replicas.capacity() / 4 {
                replicas.shrink_to_fit();
            }
        }
    }

    /// The issuer is no longer here: nobody follows its shared store, until it is back.
    pub fn left(&self, issuer: &str) {
        let replica = {
            let replicas = self.0.replicas.lock().unwrap_or_else(PoisonError::into_inner);
            replicas.get(issuer).cloned()
        };
        if let Some(replica) = replica {
            replica.rests();
        }
        self.release(issuer);
    }

    /// The ledger of an issuer: the same one for as long as the process lives, whatever becomes of the issuer's task.
    /// Within a tokio runtime.
    pub fn replica(&self, issuer: &str) -> Replica {
        let Inner {
            settings,
            database,
            replicas,
            connections,
            at_rest: _,
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
