//! One process alone has a folder. The kernel takes the lock back when the process ends, however it ends.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::owner;
use crate::display;

/// Why a folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is in use by {holder}", display::path(folder))]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// `process 17 on node-a`, as far as it said so.
        holder: String,
    },
    /// It cannot be made, or not be written.
    #[error("{} cannot be {verb}: {error}", display::path(folder))]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What failed: `made`, `written`, `locked`.
        verb: &'static str,
        /// Why.
        error: io::Error,
    },
}

/// A folder that this process has, as long as this lives.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    path: PathBuf,
}

impl FolderLock {
    /// Makes the folder (for this user alone) where it is missing, and locks it by a file of this name in it.
    pub fn take(folder: &Path, name: impl AsRef<Path>) -> Result<Self, LockError> {
        let unusable = |verb| {
            move |error| LockError::Unusable {
                folder: folder.to_owned(),
                verb,
                error,
            }
        };
        make(folder).map_err(unusable("made"))?;
        let path = folder.join(name);
        let mut file = owner::open_or_make(&path, folder).map_err(unusable("written"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut file);
                return Err(LockError::Locked {
                    folder: folder.to_owned(),
                    holder,
                });
            }
            Err(TryLockError::Error(error)) => return Err(unusable("locked")(error)),
        }
        // Who holds it is a help, not a need.
        let _ = sign(&mut file);
        Ok(Self { file, path })
    }

    /// Whether the folder is still the one that was locked: not when it was removed or replaced, and its lock with it.
    pub fn is_held(&self) -> bool {
        let here = self.file.metadata().map(|ours| (ours.dev(), ours.ino()));
        let there = self.path.metadata().map(|there| (there.dev(), there.ino()));
        here.is_ok_and(|here| there.is_ok_and(|there| there == here))
    }
}

/// Makes what is missing of a folder, for this user alone; or for whoever has the folder that it is made in.
fn make(folder: &Path) -> io::Result<()> {
    if folder.metadata().is_ok_and(|there| !there.is_dir()) {
        return Err(io::Error::other("it is there, and is no folder"));
    }
    let missing = |path: &&Path| path.try_exists().is_ok_and(|exists| !exists);
    let mut made: Vec<_> = folder.ancestors().take_while(missing).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    while let Some(path) = made.pop() {
        owner::as_its_parent(path);
    }
    Ok(())
}

/// The folder may be on a network mount: the number of a process alone would say nothing.
fn sign(file: &mut File) -> io::Result<()> {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{} on {host}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut holder = String::new();
    let _ = Read::by_ref(file).take(128).read_to_string(&mut holder);
    match holder.trim() {
        "" => "another process".to_owned(),
        process => format!("process {process}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_which_process_has_the_folder_and_a_removed_folder_is_not_held() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        let held = FolderLock::take(&folder, "lock").unwrap();
        let error = FolderLock::take(&folder, "lock").unwrap_err().to_string();
        let told = format!("in use by process {} on ", std::process::id());
        assert!(error.contains(&told), "{error}");
        FolderLock::take(&folder, "another").unwrap();
        drop(held);
        let held = FolderLock::take(&folder, "lock").unwrap();
        assert!(held.is_held());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(!held.is_held(), "it was removed");
        let again = FolderLock::take(&folder, "lock").unwrap();
        assert!(again.is_held() && !held.is_held());
    }
}
