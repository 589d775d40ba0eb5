//! Ledgers on this machine: one SQLite file for all issuers.
//!
//! One thread has the file open and nobody else: [`writer`]. It is asked by closures, and changes wait for it in a
//! queue that it empties by one commit. A file system that hangs holds up that thread alone. Whoever publishes waits no
//! longer than a second for a commit, and not at all while one is late.
//!
//! A change stays in the queue until it is on the disk. What could not be written is tried again until it is, or until
//! there is a newer one.

mod file;
mod import;
mod queue;
mod repair;
#[cfg(test)]
mod tests;
mod writer;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::folder::Unusable;
use super::{FolderLock, LocalSettings, LockError};
use crate::ring::Ledger;
use queue::Queue;
use writer::Writer;

pub(super) use file::{LookError, look};
pub(super) use import::look_into_folders;

/// Publishing waits this long for a write.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows each ledger that the process holds: what a file that was damaged or removed while it runs is filled from.
pub(super) type Held = dyn Fn(&mut dyn FnMut(&str, &Ledger)) + Send + Sync;

/// The database of one process. The thread that writes ends, with all that waits written, when the last one is dropped.
#[derive(Debug)]
pub(super) struct Database {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
}

/// What a read gave.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Loaded {
    /// `None`: there is none, or what there was cannot be read.
    pub(super) ledger: Option<Ledger>,
    /// What could not be used.
    pub(super) unusable: Vec<Unusable>,
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LoadFailure {
    /// It is there, and not for us.
    #[error("{0}")]
    Refused(String),
    /// It may be readable another time.
    #[error("{0}")]
    Another(String),
}

/// Why a ledger is not on the disk: what is published now might be forgotten by a crash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotKept {
    /// The write goes on.
    #[error("the write took more than {} s", PATIENCE.as_secs())]
    Late,
    /// It is tried again.
    #[error("{0}")]
    Failed(String),
}

impl Database {
    /// Takes the lock, and starts the thread. The file is made, opened and read by that thread: nothing waits for it here.
    /// `held` is asked should the file have to be made again.
    pub(super) fn open(settings: LocalSettings, held: Box<Held>) -> Result<Self, LockError> {
        let lock = take_lock(&settings.file)?;
        let queue = Arc::<Queue>::default();
        let writer = Writer::start(settings, lock, held, Arc::clone(&queue))?;
        let writer = Some(writer);
        Ok(Self { queue, writer })
    }

    /// Closes the file, and waits for it.
    pub(super) async fn end(mut self, within: Duration) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            let _ = timeout(within, tokio::task::spawn_blocking(|| writer.join())).await;
        }
    }

    /// Reads the ledger of an issuer, after all that was said to be kept. Until this has succeeded, nothing may be kept
    /// for this issuer: nobody knows what would be written over.
    pub(super) async fn load(&self, issuer: &str, within: Duration) -> Result<Loaded, LoadFailure> {
        let issuer = issuer.to_owned();
        self.ask(within, move |writer| writer.load(&issuer)).await
    }

    /// Reads many ledgers: those after an issuer, or from the first one on, in the order of issuers, with their documents
    /// as they are stored. None after the last one. An issuer that is not among them is to be asked for by
    /// [`Self::load`], which knows whether its ledger was lost; so is one whose document cannot be decoded.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the start of many issuers will use it")
    )]
    pub(super) async fn load_after(
        &self,
        issuer: Option<&str>,
        within: Duration,
    ) -> Result<Vec<(String, Vec<u8>)>, LoadFailure> {
        let issuer = issuer.map(ToOwned::to_owned);
        self.ask(within, move |writer| writer.load_after(issuer.as_deref()))
            .await
    }

    /// Keeps the document of a ledger, and waits until it outlives a loss of power: a second at most, and not at all while
    /// an earlier write is late.
    pub(super) async fn keep(&self, issuer: &str, document: Arc<[u8]>) -> Result<(), NotKept> {
        let (tell, told) = oneshot::channel();
        if self.queue.push(issuer, document, tell) {
            return Err(NotKept::Late);
        }
        match timeout(PATIENCE, told).await {
            Ok(Ok(written)) => written.map_err(NotKept::Failed),
            Ok(Err(_)) => Err(NotKept::Failed("writing ended by a panic, see the log".into())),
            Err(_) => {
                self.queue.is_late(issuer);
                Err(NotKept::Late)
            }
        }
    }

    /// Whether the newest ledger of an issuer is on the disk.
    pub(super) fn is_kept(&self, issuer: &str) -> bool {
        !self.queue.has(issuer)
    }

    /// Makes a copy of the file soon: something was decided that nobody could make up for.
    pub(super) fn copy_soon(&self) {
        self.queue.ask(Box::new(Writer::copy_soon));
    }

    /// How many changes there were.
    #[cfg(test)]
    pub(super) fn pushed(&self) -> u64 {
        self.queue.pushed()
    }

    async fn ask<T: Send + 'static>(
        &self,
        within: Duration,
        question: impl FnOnce(&mut Writer) -> Result<T, LoadFailure> + Send + 'static,
    ) -> Result<T, LoadFailure> {
        let (tell, told) = oneshot::channel();
        self.queue.ask(Box::new(move |writer: &mut Writer| {
            // Nobody waits any more where the send fails.
            let _ = tell.send(question(writer));
        }));
        match timeout(within, told).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(LoadFailure::Another(
                "the database of the ledgers could not be read, see the log".into(),
            )),
            Err(_) => Err(LoadFailure::Another(format!(
                "the database of the ledgers was not read within {} s: a disk or network mount that hangs?",
                within.as_secs()
            ))),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Makes the folder (for this user alone) where it is missing, and locks the file in it.
fn take_lock(file: &Path) -> Result<FolderLock, LockError> {
    FolderLock::take(folder_of(file), lock_name(file))
}

/// The same for whoever only looks: where there is no lock nobody has it, and none is made.
fn take_lock_that_is_there(file: &Path) -> Result<Option<FolderLock>, LockError> {
    let lock = folder_of(file).join(lock_name(file));
    if lock.symlink_metadata().is_ok() {
        return take_lock(file).map(Some);
    }
    Ok(None)
}

fn lock_name(file: &Path) -> OsString {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    name
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

/// The path of what belongs to a file: `ledgers.db` and `-wal`.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
