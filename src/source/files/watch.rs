//! Which folders are watched for a set of globs, and which of their events matter.
//!
//! Every existing folder on the way to a file is watched, since any of them may be swapped, removed or come into being:
//! a mounted Secret changes by a swap of its `..data` link, in the folder of the files; a folder that does not exist yet
//! is an event in the one above it. Of the folders above, only events about the next name on the way matter.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::expand;
use super::folders::{FolderWatch, Follower, Identity, Wanted};
use super::glob::is_glob;
use super::interest::Interest;
use super::walk::{Bounds, folders_below, folders_in, named};

/// A file is seldom written in one step: the events of a change are waited for until they pause this long, …
const PAUSE: Duration = Duration::from_millis(50);

/// … but no longer than this.
const PATIENCE: Duration = Duration::from_millis(400);

/// How long folders to be watched are looked for, all together.
const PATIENCE_OF_WALK: Duration = Duration::from_secs(1);

/// Folders watched at most: beyond them, the timer must do.
const MAX_FOLDERS: usize = 500;

/// Tells when the files may have changed.
#[derive(Clone, Debug)]
pub struct Changes(Arc<Notify>);

impl Changes {
    /// Waits for a change, and for its end.
    pub async fn next(&mut self) {
        self.0.notified().await;
        let latest = Instant::now() + PATIENCE;
        while timeout(PAUSE, self.0.notified()).await.is_ok() && Instant::now() < latest {}
    }
}

/// By path: a folder comes before those in it.
type Interests = BTreeMap<PathBuf, Interest>;

/// What one source follows.
#[derive(Debug)]
pub(super) struct Watch(Follower);

impl Watch {
    pub(super) fn over(folders: &FolderWatch) -> (Self, Changes) {
        let notify = Arc::new(Notify::new());
        (Self(folders.follower(Arc::clone(&notify))), Changes(notify))
    }

    /// Watches what leads to these files now.
    pub(super) fn follow(&self, patterns: &[String]) {
        let mut interests = Interests::new();
        let bounds = Bounds::new(MAX_FOLDERS, PATIENCE_OF_WALK);
        for pattern in patterns {
            on_the_way(pattern, &mut interests, bounds);
        }
        for matched in expand(patterns).paths {
            // Where links lead elsewhere, the content changes there.
            if let Some(folder) = matched.path.canonicalize().ok().as_deref().and_then(Path::parent) {
                interests.entry(folder.to_owned()).or_default().all = true;
            }
        }
        let mut wanted = HashMap::<Identity, Wanted>::new();
        for (path, interest) in interests.into_iter().take(MAX_FOLDERS) {
            // In this thread: it is this source alone that waits for a folder that hangs.
            let Ok(at) = path.canonicalize() else { continue };
            let Some(identity) = identity(&at) else { continue };
            let wanted = wanted.entry(identity).or_insert_with(|| Wanted {
                at,
                interest: Interest::default(),
            });
            wanted.interest.add(interest);
        }
        self.0.follow(wanted);
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_dir)?;
    Some((metadata.dev(), metadata.ino()))
}

/// The existing folders on the way to what a glob matches.
fn on_the_way(pattern: &str, wanted: &mut Interests, bounds: Bounds) {
    let components: Vec<Component<'_>> = Path::new(pattern).components().collect();
    let mut folders = vec![PathBuf::new()];
    for (index, component) in components.iter().enumerate() {
        let name = component.as_os_str();
        let is_last = index + 1 == components.len();
        if name == "**" {
            for folder in folders
                .into_iter()
                .flat_map(|folder| folders_below(folder, bounds))
            {
                wanted.entry(folder).or_default().all = true;
            }
            return;
        }
        for folder in folders.iter().filter(|folder| !folder.as_os_str().is_empty()) {
            let interest = wanted.entry(folder.clone()).or_default();
            if is_last {
                interest.all = true;
            } else {
                interest.names.extend(named(name));
            }
        }
        if is_last {
            return;
        }
        folders = folders
            .iter()
            .flat_map(|folder| children(folder, name, bounds))
            .take(MAX_FOLDERS)
            .collect();
    }
}

/// The folders of this name, or that a pattern matches, in a folder.
fn children(folder: &Path, name: &OsStr, bounds: Bounds) -> Vec<PathBuf> {
    match named(name) {
        Some(pattern) if name.to_str().is_some_and(is_glob) => folders_in(folder, &pattern, bounds),
        _ => {
            let path = Some(folder.join(name)).filter(|path| path.is_dir());
            path.into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interests(pattern: &Path) -> Interests {
        let mut wanted = Interests::new();
        let bounds = Bounds::new(MAX_FOLDERS, Duration::from_mins(1));
        on_the_way(pattern.to_str().unwrap(), &mut wanted, bounds);
        wanted
    }

    #[test]
    fn a_busy_folder_above_is_no_reason_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("keys")).unwrap();
        let wanted = interests(&at("keys/*.pem"));
        let concerns = |name: &str| {
            let path = at(name);
            wanted
                .get(path.parent().unwrap())
                .is_some_and(|interest| interest.concerns(&path))
        };
        assert!(concerns("keys"));
        assert!(concerns("keys/..data"));
        assert!(!concerns("other"));
        assert!(!concerns("keys/deep/er"));
    }

    #[test]
    fn all_folders_below_are_watched_once_whatever_links_lead_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("keys/a/b")).unwrap();
        fs::create_dir(at("other")).unwrap();
        std::os::unix::fs::symlink(at("keys"), at("keys/a/b/round")).unwrap();
        std::os::unix::fs::symlink(at("other"), at("keys/linked")).unwrap();
        let wanted = interests(&at("keys/**/*.pem"));
        let below: Vec<_> = wanted
            .keys()
            .filter(|path| path.starts_with(at("keys")))
            .collect();
        assert_eq!(
            below,
            [&at("keys"), &at("keys/a"), &at("keys/a/b"), &at("keys/linked")]
        );
        assert!(below.iter().all(|path| wanted[*path].all));
    }
}
