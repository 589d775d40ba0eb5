//! Ledgers in a folder, one file an issuer. Everything here blocks.
//!
//! Beside `NAME.json` its previous generation is kept as `NAME.json.previous`. A write goes to a temporary file, which is
//! synced, then the present file becomes the previous one, then the temporary file the present one, then the folder is
//! synced. Whenever a crash comes, one of the two is whole, and is at least what was last said to be kept.

#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Fault, FolderLock, LockError, name, owner};
use crate::display;
use crate::fs::FileError;
use crate::ring::MAX_DOCUMENT;

/// A folder with ledgers, locked.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Whether it is on the disk that there is such a folder.
    is_synced: AtomicBool,
    lock: Mutex<FolderLock>,
}

/// The name of the lock in it: it may be the state folder itself, which has a lock of its own.
pub(super) const LOCK: &str = "ledgers.lock";

impl Folder {
    /// Makes the folder (for this user alone) where it is missing, and locks it.
    pub fn open(path: &Path) -> Result<Arc<Self>, LockError> {
        let lock = FolderLock::take(path, LOCK)?;
        Ok(Arc::new(Self {
            path: path.to_owned(),
            is_synced: AtomicBool::new(false),
            lock: Mutex::new(lock),
        }))
    }

    /// Makes and locks the folder again, should someone have removed it.
    fn restore(&self) -> io::Result<()> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.path.try_exists()? {
            return Ok(());
        }
        *lock = FolderLock::take(&self.path, LOCK).map_err(io::Error::other)?;
        self.is_synced.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// What was written in it is to outlive a loss of power, and so is the folder. That once is enough, and not at the
    /// start, which would wait for whatever else the disk has to write.
    fn sync(&self) -> io::Result<()> {
        crate::fs::sync_folder(&self.path)?;
        if let Some(parent) = self.path.parent()
            && !self.is_synced.swap(true, Ordering::Relaxed)
        {
            // Nobody but root may be allowed to open it.
            let _ = crate::fs::sync_folder(parent);
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of an issuer, not read yet.
    pub(super) fn ledger(self: &Arc<Self>, issuer: &str) -> LedgerFile {
        LedgerFile {
            path: self.path.join(format!("{}.json", name::of(issuer))),
            folder: Arc::clone(self),
            present: Present::Unknown,
        }
    }
}

/// One issuer's file. Its folder stays locked as long as this lives.
#[derive(Debug)]
pub(super) struct LedgerFile {
    folder: Arc<Folder>,
    path: PathBuf,
    present: Present,
}

/// What is known of the present generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Present {
    /// Not read yet, or not to be touched: nothing is written.
    Unknown,
    /// Whole: it becomes the previous one.
    Whole,
    /// Not there: the previous one, if any, stays.
    Missing,
    /// Not readable: it is set aside before another one takes its place.
    Unreadable,
}

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loaded<T> {
    /// `None`: there is none, or what there was cannot be read.
    pub(super) ledger: Option<T>,
    /// What could not be used, in the order of reading.
    pub(super) unusable: Vec<Unusable>,
}

/// A generation that could not be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    /// Where it was.
    pub(super) path: PathBuf,
    /// Why.
    pub(super) reason: String,
    /// Where it is now, where it was set aside.
    pub(super) aside: Option<PathBuf>,
}

/// Why there is no telling whether there is a ledger.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// A ledger that is not for us: it stays where it is.
    #[error(
        "{}: {reason}; it is left as it is: move it away to start without it",
        display::path(path)
    )]
    Refused { path: PathBuf, reason: String },
    /// It may be readable another time.
    #[error("{} cannot be read: {reason}", display::path(path))]
    Unreadable { path: PathBuf, reason: String },
}

impl LedgerFile {
    /// Reads the present generation, or else the previous one. `judge` says what the octets are.
    pub(super) fn load<T>(
        &mut self,
        judge: impl Fn(&[u8]) -> Result<T, Fault>,
    ) -> Result<Loaded<T>, LoadError> {
        self.present = Present::Unknown;
        let mut unusable = Vec::new();
        let (mut present, mut failure) = (Present::Missing, None);
        for path in [self.path.clone(), self.previous()] {
            let is_present = path == self.path;
            let reason = match read(&path, &judge) {
                Ok(ledger) => {
                    self.present = if is_present { Present::Whole } else { present };
                    let ledger = Some(ledger);
                    return Ok(Loaded { ledger, unusable });
                }
                Err(Bad::Missing) => continue,
                Err(Bad::Refused(reason)) => return Err(LoadError::Refused { path, reason }),
                Err(Bad::Torn(reason)) => {
                    let aside = set_aside(&path).ok();
                    if is_present && aside.is_none() {
                        present = Present::Unreadable;
                    }
                    unusable.push(Unusable { path, reason, aside });
                    continue;
                }
                Err(Bad::Io(reason)) => reason,
            };
            if is_present {
                present = Present::Unreadable;
            }
            let aside = None;
            let (copy, told) = (path.clone(), reason.clone());
            unusable.push(Unusable { path, reason, aside });
            failure.get_or_insert(LoadError::Unreadable {
                path: copy,
                reason: told,
            });
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.present = present;
        Ok(Loaded {
            ledger: None,
            unusable,
        })
    }

    /// What was read is not known to anyone: nothing is written until it is read again.
    pub(super) fn forget(&mut self) {
        self.present = Present::Unknown;
    }

    /// Writes another generation; when this returns, it outlives a loss of power.
    pub(super) fn save(&mut self, ledger: &[u8]) -> io::Result<()> {
        if self.present == Present::Unknown {
            return Err(io::Error::other("what is there already was not read yet"));
        }
        self.folder.restore()?;
        let temporary = with_suffix(&self.path, "tmp");
        // One of a process that was killed. Made anew, so that nothing is written, or given away, through a link.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        // The mount of a pod is root's, and what is in it the service's.
        owner::as_first_of(&file, [&*self.path, &*self.previous(), &*self.folder.path]);
        file.write_all(ledger)?;
        file.sync_all()?;
        drop(file);
        let moved = match self.present {
            Present::Whole => fs::rename(&self.path, self.previous()),
            Present::Unreadable => set_aside(&self.path).map(drop),
            Present::Missing | Present::Unknown => Ok(()),
        };
        match moved {
            // Someone removed it: all the more it is written now.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.present = Present::Missing;
        fs::rename(&temporary, &self.path)?;
        self.present = Present::Whole;
        self.folder.sync()
    }

    fn previous(&self) -> PathBuf {
        with_suffix(&self.path, "previous")
    }
}

enum Bad {
    Missing,
    Torn(String),
    Refused(String),
    Io(String),
}

fn read<T>(path: &Path, judge: impl Fn(&[u8]) -> Result<T, Fault>) -> Result<T, Bad> {
    let bytes = crate::fs::read(path, MAX_DOCUMENT).map_err(|error| match error {
        FileError::Missing => Bad::Missing,
        error @ (FileError::Io(_) | FileError::Late { .. }) => {
            Bad::Io(format!("{error}; check who owns it, and the disk"))
        }
        FileError::Directory | FileError::NotRegular(_) | FileError::TooLarge { .. } => {
            Bad::Torn(error.to_string())
        }
    })?;
    judge(&bytes).map_err(|fault| match fault {
        Fault::Torn(reason) => Bad::Torn(reason),
        Fault::Refused(reason) => Bad::Refused(reason),
    })
}

/// Renames what cannot be read, for a person to look at: `NAME.json.torn-1`.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1..=1000 {
        let aside = with_suffix(path, &format!("torn-{number}"));
        if fs::symlink_metadata(&aside).is_ok() {
            continue;
        }
        fs::rename(path, &aside)?;
        return Ok(aside);
    }
    Err(io::Error::other(
        "a thousand files were set aside already: remove them",
    ))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}
