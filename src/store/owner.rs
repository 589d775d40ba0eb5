//! Whose files these are. Root may look at them, or change them by a command, while no service runs; the service that
//! runs as another user must be able to read them afterwards. Otherwise it would go on with the generation before.
//!
//! That user may have put links there: what is given away is made anew before, and never found by following one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use crate::display;
use rustix::fs::OFlags;

/// Opens a file for reading and writing; or makes it, for whoever has the folder.
pub(super) fn open_or_make(path: &Path, folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    // Whoever has the folder may have put something else there.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed());
    match options.clone().create_new(true).open(path) {
        Ok(made) => {
            as_first_of(&made, [folder]);
            Ok(made)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = options.open(path)?;
            if !file.metadata()?.is_file() {
                let name = display::path(path.file_name().unwrap_or_default());
                return Err(io::Error::other(format!(
                    "{name} in it is not a regular file: remove it"
                )));
            }
            Ok(file)
        }
        Err(error) => Err(error),
    }
}

/// Gives a file that root made to the first owner of these who is not root: of the file before it, of its folder.
pub(super) fn as_first_of<'p>(made: &File, like: impl IntoIterator<Item = &'p Path>) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let others = |path| fs::symlink_metadata(path).ok().filter(|like| like.uid() != 0);
    if let Some(like) = like.into_iter().find_map(others) {
        // Where it cannot be done, it is as before.
        let _ = fchown(made, Some(like.uid()), Some(like.gid()));
    }
}

/// Gives a folder that root made to the owner of the folder around it.
pub(super) fn as_its_parent(folder: &Path) {
    let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(folder);
    if let (Ok(opened), Some(parent)) = (opened, folder.parent()) {
        as_first_of(&opened, [parent]);
    }
}
