//! Which folders are watched for a set of globs, and which of their events matter.
//!
//! Every existing folder on the way to a file is watched, since any of them may be swapped, removed or come into being:
//! a mounted Secret changes by a swap of its `..data` link, in the folder of the files; a folder that does not exist yet
//! is an event in the one above it. Of the folders above, only events about the next name on the way matter.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use glob::Pattern;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

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

/// What matters in a folder.
#[derive(Clone, Debug, Default)]
struct Interest {
    /// Everything.
    all: bool,
    /// Everything below, too.
    deep: bool,
    /// Names on the way to a file.
    names: Vec<Pattern>,
}

type Interests = HashMap<PathBuf, Interest>;

#[derive(Debug)]
pub(super) struct Watch {
    /// `None` where the system has no watch to give: then the timer alone must do.
    watcher: Option<RecommendedWatcher>,
    interests: Arc<Mutex<Interests>>,
    /// Watched folders, and which folder that was: a path may come to mean another.
    watched: HashMap<PathBuf, (u64, u64)>,
}

impl Watch {
    pub(super) fn new() -> (Self, Changes) {
        let notify = Arc::new(Notify::new());
        let interests = Arc::new(Mutex::new(Interests::new()));
        let (tell, of_interest) = (Arc::clone(&notify), Arc::clone(&interests));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let matters = match event {
                Ok(event) => is_change(&event) && locked(&of_interest).concern(&event),
                Err(_) => true,
            };
            if matters {
                tell.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| {
                tracing::warn!(
                    %error,
                    "key files cannot be watched; they are read at every refresh instead (raise fs.inotify.max_user_instances)"
                );
            })
            .ok();
        (
            Self {
                watcher,
                interests,
                watched: HashMap::new(),
            },
            Changes(notify),
        )
    }

    /// Watches what leads to these files now.
    pub(super) fn follow(&mut self, patterns: &[String]) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut wanted = Interests::new();
        for pattern in patterns {
            on_the_way(pattern, &mut wanted);
        }
        for matched in expand(patterns).paths {
            // Where links lead elsewhere, the content changes there.
            if let Some(folder) = matched.path.canonicalize().ok().as_deref().and_then(Path::parent) {
                wanted.entry(folder.to_owned()).or_default().all = true;
            }
        }
        locked(&self.interests).clone_from(&wanted);

        self.watched.retain(|path, was| {
            let stays = wanted.contains_key(path) && identity(path) == Some(*was);
            if !stays {
                // It is gone with its folder already, mostly.
                let _ = watcher.unwatch(path);
            }
            stays
        });
        for (path, interest) in wanted {
            if self.watched.contains_key(&path) || self.watched.len() >= MAX_FOLDERS {
                continue;
            }
            let Some(identity) = identity(&path) else { continue };
            let mode = if interest.deep {
                RecursiveMode::Recursive
            } else {
                RecursiveMode::NonRecursive
            };
            match watcher.watch(&path, mode) {
                Ok(()) => drop(self.watched.insert(path, identity)),
                Err(error) => {
                    tracing::debug!(folder = %path.display(), %error, "a folder cannot be watched");
                }
            }
        }
    }
}

trait Concern {
    fn concern(&self, event: &Event) -> bool;
}

impl Concern for Interests {
    fn concern(&self, event: &Event) -> bool {
        if event.need_rescan() {
            return true;
        }
        event.paths.iter().any(|path| {
            let is_watched_itself = matches!(
                event.kind,
                EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
            ) && self.contains_key(path);
            is_watched_itself
                || path.ancestors().skip(1).enumerate().any(|(distance, folder)| {
                    self.get(folder).is_some_and(|interest| match distance {
                        0 => interest.all || interest.names(path),
                        _ => interest.deep,
                    })
                })
        })
    }
}

impl Interest {
    fn names(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.names
            .iter()
            .any(|pattern| pattern.matches_with(&name, SHELL))
    }
}

/// Reading a file is an event as well, which must not lead to the next reading.
fn is_change(event: &Event) -> bool {
    !matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
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
        for folder in folders.iter().filter(|folder| !folder.as_os_str().is_empty()) {
            let interest = wanted.entry(folder.clone()).or_default();
            if name == "**" {
                (interest.all, interest.deep) = (true, true);
            } else if is_last {
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
        if is_last || name == "**" {
            return;
        }
        folders = folders
            .iter()
            .flat_map(|folder| children(folder, &name))
            .take(MAX_FOLDERS)
            .collect();
    }
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

/// What is behind this lock is replaced as a whole, so a panic elsewhere leaves it so.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use notify::event::CreateKind;

    use super::*;

    #[test]
    fn a_busy_folder_above_is_no_reason_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("keys")).unwrap();
        let mut wanted = Interests::new();
        on_the_way(at("keys/*.pem").to_str().unwrap(), &mut wanted);
        let concerns =
            |name: &str| wanted.concern(&Event::new(EventKind::Create(CreateKind::Any)).add_path(at(name)));
        assert!(concerns("keys"));
        assert!(concerns("keys/..data"));
        assert!(!concerns("other"));
        assert!(!concerns("keys/deep/er"));
    }
}
