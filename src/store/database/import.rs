//! Folders of former releases, whose ledgers are merged into the database once.
//!
//! A folder is renamed when all that could be read of it is on the disk, so what is interrupted is done again, and
//! changes nothing then. A ledger that is not for us stays where it is, and so does its folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{LoadFailure, folder_of};
use crate::display;
use crate::ring::Ledger;
use crate::store::folder::{self, Files, Unusable};
use crate::store::{FolderLock, LockError, name};

/// The lock in a folder of ledgers: a former release may still be running.
const LOCK: &str = "ledgers.lock";

#[derive(Debug, Default)]
pub(super) struct Import {
    /// What waits for someone, by the name of its issuer in the folder.
    stopped: BTreeMap<String, (PathBuf, LoadFailure)>,
    /// What could not be used, to be told of its issuer.
    unusable: BTreeMap<String, Vec<Unusable>>,
    /// To be renamed, and how many ledgers were in each.
    taken: Vec<(PathBuf, usize)>,
}

impl Import {
    /// Reads the folders. Nothing is changed in them.
    pub(super) fn read(
        &mut self,
        folders: &[PathBuf],
        mut each: impl FnMut(String, Ledger),
    ) -> Result<(), LoadFailure> {
        *self = Self::default();
        for folder in folders {
            let unreadable = |error: &dyn std::fmt::Display| {
                let folder = display::path(folder);
                LoadFailure::Another(format!(
                    "the folder of former ledgers, {folder}, cannot be read: {error}"
                ))
            };
            let names = folder::names(folder).map_err(|error| unreadable(&error))?;
            if names.is_empty() {
                continue;
            }
            // On a read-only file system there is none to take.
            let lock = FolderLock::take(folder, LOCK);
            if let Err(error @ LockError::Locked { .. }) = &lock {
                return Err(LoadFailure::Another(format!(
                    "the folder of former ledgers, {error}"
                )));
            }
            let count = names.len();
            for name in names {
                self.read_one(folder, name, &mut each);
            }
            if self.stopped.values().all(|(stopped, _)| stopped != folder) {
                self.taken.push((folder.clone(), count));
            }
        }
        Ok(())
    }

    fn read_one(&mut self, folder: &Path, name: String, each: &mut impl FnMut(String, Ledger)) {
        let stopped = match folder::read(folder, &name) {
            Files::None => return,
            Files::Ledger(issuer, ledger, unusable) => {
                each(issuer, ledger);
                if !unusable.is_empty() {
                    self.unusable.insert(name, unusable);
                }
                return;
            }
            Files::Lost(unusable) => {
                self.unusable.insert(name, unusable);
                return;
            }
            Files::Refused(reason) => LoadFailure::Refused(reason),
            Files::Unreadable(reason) => LoadFailure::Another(reason),
        };
        self.stopped.insert(name, (folder.to_owned(), stopped));
    }

    /// What could not be used of an issuer's files, once. Fails as long as there are files that it has to wait for: they
    /// are read again each time.
    pub(super) fn of(
        &mut self,
        issuer: &str,
        mut each: impl FnMut(String, Ledger),
    ) -> Result<Vec<Unusable>, LoadFailure> {
        if self.stopped.is_empty() && self.unusable.is_empty() {
            return Ok(Vec::new());
        }
        let name = name::of(issuer);
        if let Some((folder, _)) = self.stopped.remove(&name) {
            self.read_one(&folder, name.clone(), &mut each);
        }
        match self.stopped.get(&name) {
            Some((_, failure)) => Err(failure.clone()),
            None => Ok(self.unusable.remove(&name).unwrap_or_default()),
        }
    }

    /// All that was read is on the disk: the folders are not read again.
    pub(super) fn is_stored(&mut self, database: &Path) {
        for (folder, count) in self.taken.drain(..) {
            let path = display::path(&folder);
            match put_away(&folder, database) {
                Ok(Some(there)) => tracing::info!(
                    "{count} ledgers of {path} were taken into {}; the folder is {} now, and is not used any more",
                    display::path(database),
                    display::path(&there)
                ),
                Ok(None) => tracing::info!(
                    "{count} ledgers of {path} were taken into {}; their files end with .imported now, and are not used \
                     any more",
                    display::path(database)
                ),
                Err(error) => tracing::warn!(
                    "the ledgers of {path} were taken into {}, and the folder cannot be renamed ({error}): they are merged \
                     again at each start, which changes nothing. Rename or remove the folder",
                    display::path(database)
                ),
            }
        }
    }
}

/// The ledger of an issuer in folders that were not taken over yet, or all of them: for whoever only looks.
pub(in crate::store) fn look_into_folders(
    folders: &[PathBuf],
    issuer: Option<&str>,
) -> Result<BTreeMap<String, Ledger>, String> {
    let mut found: BTreeMap<String, Ledger> = BTreeMap::new();
    for folder in folders {
        let mut names = folder::names(folder).map_err(|error| {
            format!(
                "the folder of ledgers, {}, cannot be read: {error}",
                display::path(folder)
            )
        })?;
        if let Some(issuer) = issuer {
            names.retain(|name| *name == name::of(issuer));
        }
        for name in names {
            match folder::read(folder, &name) {
                Files::Ledger(issuer, ledger, _) => {
                    let known = found.remove(&issuer).unwrap_or_default();
                    found.insert(issuer, known.merge(&ledger));
                }
                // Of all of them, those that can be read.
                _ if issuer.is_none() => {}
                Files::None => {}
                Files::Lost(unusable) => {
                    let told = unusable.iter().map(|Unusable { path, reason, .. }| {
                        let path = display::path(path);
                        format!("{path}: {reason}")
                    });
                    return Err(told.collect::<Vec<_>>().join("; "));
                }
                Files::Refused(reason) | Files::Unreadable(reason) => return Err(reason),
            }
        }
    }
    Ok(found)
}

/// Renames a folder, or the files in it where it cannot be renamed: it may be a mount, or have the database in it. Says
/// what the folder is called now.
fn put_away(folder: &Path, database: &Path) -> io::Result<Option<PathBuf>> {
    let free = |number: u32| {
        let mut name = folder.as_os_str().to_owned();
        name.push(if number == 1 {
            ".imported".to_owned()
        } else {
            format!(".imported-{number}")
        });
        let path = PathBuf::from(name);
        path.symlink_metadata().is_err().then_some(path)
    };
    if !folder_of(database).starts_with(folder)
        && let Some(there) = (1..1000).find_map(free)
        && fs::rename(folder, &there).is_ok()
    {
        return Ok(Some(there));
    }
    for name in folder::names(folder)? {
        for suffix in [".json", ".json.previous"] {
            let path = folder.join(format!("{name}{suffix}"));
            match fs::rename(&path, folder.join(format!("{name}{suffix}.imported"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(None)
}
