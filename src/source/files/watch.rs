//! Which folders are watched for a set of globs, and which of their events matter.
//!
//! Every existing folder on the way to a file is watched, since any of them may be swapped, removed or come into being:
//! a mounted Secret changes by a swap of its `..data` link, in the folder of the files; a folder that does not exist yet
//! is an event in the one above it. Of the folders above, only events about the next name on the way matter.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use glob::Pattern;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::folders::{FolderWatch, Follower, Identity, Wanted};
use super::interest::Interest;
use super::{SHELL, expand, is_glob};

/// A file is seldom written in one step: the events of a change are waited for until they pause this long, …
const PAUSE: Duration = Duration::from_millis(50);

/// … but no longer than this.
const PATIENCE: Duration = Duration::from_millis(400);

/// Folders watched at most: beyond them, the timer must do.
const MAX_FOLDERS: usize = 500;

/// Tells when the files may have changed.
#[derive(Debug)]
pub(super) struct Changes(Arc<Notify>);

impl Changes {
    /// Waits for a change, and for its end.
    pub(super) async fn next(&mut self) {
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
        for pattern in patterns {
            on_the_way(pattern, &mut interests);
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
fn on_the_way(pattern: &str, wanted: &mut Interests) {
    let components: Vec<Component<'_>> = Path::new(pattern).components().collect();
    let mut folders = vec![PathBuf::new()];
    for (index, component) in components.iter().enumerate() {
        let name = component.as_os_str().to_string_lossy();
        let is_last = index + 1 == components.len();
        if name == "**" {
            for folder in folders.into_iter().flat_map(all_below) {
                wanted.entry(folder).or_default().all = true;
            }
            return;
        }
        for folder in folders.iter().filter(|folder| !folder.as_os_str().is_empty()) {
            let interest = wanted.entry(folder.clone()).or_default();
            if is_last {
                interest.all = true;
            } else {
                let escaped = if is_glob(&name) {
                    name.to_string()
                } else {
                    Pattern::escape(&name)
                };
                interest.names.extend(Pattern::new(&escaped));
            }
        }
        if is_last {
            return;
        }
        folders = folders
            .iter()
            .flat_map(|folder| children(folder, &name))
            .take(MAX_FOLDERS)
            .collect();
    }
}

/// A folder and those below it, each once, whatever links lead to it. Where one comes, it is an event in that above.
fn all_below(folder: PathBuf) -> Vec<PathBuf> {
    let mut seen: HashSet<Identity> = identity(&folder).into_iter().collect();
    let mut found = vec![folder];
    let mut next = 0;
    while next < found.len() && found.len() < MAX_FOLDERS {
        let below = children(&found[next], "*");
        found.extend(
            below
                .into_iter()
                .filter(|path| identity(path).is_some_and(|identity| seen.insert(identity))),
        );
        next += 1;
    }
    found
}

/// The folders of this name, or that a glob matches, in a folder.
fn children(folder: &Path, name: &str) -> Vec<PathBuf> {
    if !is_glob(name) {
        return Some(folder.join(name))
            .filter(|path| path.is_dir())
            .into_iter()
            .collect();
    }
    let pattern = format!("{}/{name}", Pattern::escape(&folder.to_string_lossy()));
    let Ok(found) = glob::glob_with(&pattern, SHELL) else {
        return Vec::new();
    };
    found
        .flatten()
        .filter(|path| path.is_dir())
        .take(MAX_FOLDERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interests(pattern: &Path) -> Interests {
        let mut wanted = Interests::new();
        on_the_way(pattern.to_str().unwrap(), &mut wanted);
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
