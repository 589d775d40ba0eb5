//! Whose files these are. Root may look at them, or change them by a command, while no service runs; the service that
//! runs as another user must be able to read them afterwards. Otherwise it would go on with the generation before.

use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, chown, fchown};
use std::path::Path;

/// Gives a file that root made in a folder to the owner of the folder.
pub(super) fn as_its_folder(file: &File, folder: &Path) {
    if let Some((user, group)) = other_owner(folder) {
        // Where it cannot be done, it is as before.
        let _ = fchown(file, Some(user), Some(group));
    }
}

/// Gives a folder that root made to the owner of the folder around it.
pub(super) fn as_its_parent(folder: &Path) {
    if let Some((user, group)) = folder.parent().and_then(other_owner) {
        let _ = chown(folder, Some(user), Some(group));
    }
}

/// Who has a folder, where we are root and it is not root's.
fn other_owner(folder: &Path) -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let about = folder.metadata().ok()?;
    (about.uid() != 0).then(|| (about.uid(), about.gid()))
}
