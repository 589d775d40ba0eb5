//! The copy of one issuer's ledger on this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::database::{Database, LoadFailure, Loaded, NotKept};
use crate::ring::Ledger;

/// One issuer's row of the database.
#[derive(Debug)]
pub(super) struct LocalCopy {
    database: Arc<Database>,
    issuer: String,
    /// Until it was read, nothing is written over it.
    is_read: AtomicBool,
}

impl LocalCopy {
    /// Nothing is read yet.
    pub(super) fn new(database: Arc<Database>, issuer: &str) -> Self {
        Self {
            database,
            issuer: issuer.to_owned(),
            is_read: AtomicBool::new(false),
        }
    }

    /// Reads what is there; until this has succeeded, nothing is written.
    pub(super) async fn load(&self, within: Duration) -> Result<Loaded, LoadFailure> {
        let loaded = self.database.load(&self.issuer, within).await?;
        self.is_read.store(true, Ordering::Relaxed);
        Ok(loaded)
    }

    /// What is there is known: it was written by this process.
    pub(super) fn resume(&self) {
        self.is_read.store(true, Ordering::Relaxed);
    }

    /// Writes a ledger, and waits for it: a second at most, and not at all while an earlier write hangs. What could not
    /// be written is tried again until it is, or until there is a newer one.
    pub(super) async fn keep(&self, ledger: &Ledger) -> Result<(), NotKept> {
        if !self.is_read.load(Ordering::Relaxed) {
            return Err(NotKept::Failed("what is there already was not read yet".into()));
        }
        let document = ledger.encode(&self.issuer);
        self.database.keep(&self.issuer, document.into()).await
    }

    /// Whether the newest ledger is on the disk.
    pub(super) fn is_kept(&self) -> bool {
        self.is_read.load(Ordering::Relaxed) && self.database.is_kept(&self.issuer)
    }

    /// An operator decided something that no source would list again.
    pub(super) fn is_precious(&self) {
        self.database.copy_soon();
    }
}
