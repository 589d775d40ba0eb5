//! Finds what a pattern matches, folder by folder.
//!
//! A folder or file is visited once, however many links lead to it, so that links upwards end nowhere. What is visited is
//! bounded in number and time, and a bound that was reached is told: what lies beyond it is not known to be absent, and what
//! was found before it counts.

#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use super::folders::Identity;
use super::glob::{self, Pattern};
use super::refused::explain_io;

/// Names that are looked at for one pattern, at most: far more than any folder of keys has.
pub(super) const MAX_VISITED: usize = 100_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What matches, whatever it is, in the order of names. Nothing twice.
    pub(super) paths: Vec<PathBuf>,
    /// What could not be looked at, and why.
    pub(super) unreadable: Vec<(PathBuf, String)>,
}

/// Bounds of a search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// What is found at most.
    pub(super) paths: usize,
    /// Names looked at.
    pub(super) visited: usize,
    /// When it is given up.
    pub(super) deadline: Instant,
}

impl Bounds {
    /// At most so many paths, within this time.
    pub(super) fn new(paths: usize, within: Duration) -> Self {
        Self {
            paths,
            visited: MAX_VISITED,
            deadline: Instant::now() + within,
        }
    }
}

/// What a path leads to.
enum Target {
    Folder(Identity),
    Other(Identity),
    /// Nothing, or links in a circle.
    Missing,
    /// Not known: it says nothing about absence.
    Unknown(String),
}

fn target(path: &Path) -> Target {
    match fs::metadata(path) {
        Ok(metadata) => {
            let identity = (metadata.dev(), metadata.ino());
            if metadata.is_dir() {
                Target::Folder(identity)
            } else {
                Target::Other(identity)
            }
        }
        Err(error) if is_missing(&error) => Target::Missing,
        Err(error) => Target::Unknown(explain_io(path, &error)),
    }
}

fn is_missing(error: &io::Error) -> bool {
    let is_circle = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    is_circle
        || matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
}

/// Searches for what a pattern matches.
pub(super) fn find(pattern: &str, bounds: Bounds) -> Found {
    let mut components: Vec<_> = Path::new(pattern).components().collect();
    // One `**` after another adds nothing.
    components.dedup_by(|one, other| one == other && one.as_os_str() == "**");
    let mut search = Search::new(pattern, bounds);
    search.descend(PathBuf::new(), &components);
    search.found
}

/// A folder and those below it, each once.
pub(super) fn folders_below(folder: PathBuf, bounds: Bounds) -> Vec<PathBuf> {
    let mut all = Vec::new();
    Search::new("", bounds).below(folder, |search, folder| {
        all.push(folder);
        all.len() < search.bounds.paths
    });
    all
}

/// The folders in a folder whose names match.
pub(super) fn folders_in(folder: &Path, pattern: &Pattern, bounds: Bounds) -> Vec<PathBuf> {
    let mut search = Search::new("", bounds);
    let names = search.names(folder);
    let matching = names.into_iter().filter(|(name, _)| pattern.matches(name));
    let paths = matching.map(|(name, _)| folder.join(name));
    paths.filter(|path| path.is_dir()).take(bounds.paths).collect()
}

struct Search<'a> {
    pattern: &'a str,
    bounds: Bounds,
    visited: usize,
    /// Whether a bound was reached, which is told once: no folder is listed any more.
    is_over: bool,
    /// What was looked at since then, among the names that were listed before.
    looked_after: usize,
    seen: HashSet<Identity>,
    found: Found,
}

impl<'a> Search<'a> {
    fn new(pattern: &'a str, bounds: Bounds) -> Self {
        Self {
            pattern,
            bounds,
            visited: 0,
            is_over: false,
            looked_after: 0,
            seen: HashSet::new(),
            found: Found::default(),
        }
    }

    /// Matches the rest of the pattern against what is in a folder. As deep as the pattern has components.
    fn descend(&mut self, folder: PathBuf, rest: &[Component<'_>]) {
        if self.is_full() {
            return;
        }
        let [first, rest @ ..] = rest else {
            let is_new = match target(&folder) {
                Target::Folder(_) | Target::Missing => false,
                Target::Other(identity) => self.seen.insert(identity),
                // Reading it tells why.
                Target::Unknown(_) => true,
            };
            if is_new {
                self.found.paths.push(folder);
            }
            return;
        };
        let name = first.as_os_str();
        let text = name.to_str().unwrap_or_default();
        if text == "**" {
            // `**` at the end matches folders, which hold no keys.
            if !rest.is_empty() {
                self.below(folder, |search, folder| {
                    search.descend(folder, rest);
                    !search.is_full()
                });
            }
        } else if glob::is_glob(text)
            && let Ok(pattern) = Pattern::new(text)
        {
            for (name, is_folder) in self.names(&folder) {
                if self.is_full() {
                    return;
                }
                if pattern.matches(&name) && (rest.is_empty() || is_folder) {
                    self.descend(folder.join(name), rest);
                }
            }
        } else {
            if !self.may_look() {
                return;
            }
            let path = folder.join(name);
            match target(&path) {
                Target::Unknown(cause) if !rest.is_empty() => self.found.unreadable.push((path, cause)),
                Target::Other(_) if !rest.is_empty() => {}
                Target::Missing => {}
                _ => self.descend(path, rest),
            }
        }
    }

    /// Visits a folder and those below it, each once, whatever links lead to it, until `visit` says that it is enough. As in a
    /// shell, none that starts with a dot. Links to the folders that it is in are not followed: they hold everything.
    fn below(&mut self, folder: PathBuf, mut visit: impl FnMut(&mut Self, PathBuf) -> bool) {
        let mut seen = above(&folder);
        let mut next = VecDeque::new();
        match target(here(&folder)) {
            Target::Folder(identity) => {
                seen.insert(identity);
                next.push_back(folder);
            }
            Target::Unknown(cause) => self.found.unreadable.push((folder, cause)),
            Target::Other(_) | Target::Missing => {}
        }
        while let Some(folder) = next.pop_front() {
            // What is in it, before those below it: a bound then costs the deepest ones first.
            if !visit(self, folder.clone()) {
                return;
            }
            for (name, is_folder) in self.names(&folder) {
                let is_hidden = name.as_encoded_bytes().first() == Some(&b'.');
                if !is_folder || is_hidden {
                    continue;
                }
                let path = folder.join(name);
                match target(&path) {
                    Target::Folder(identity) if seen.insert(identity) => next.push_back(path),
                    Target::Unknown(cause) => self.found.unreadable.push((path, cause)),
                    _ => {}
                }
            }
        }
    }

    /// The names in a folder in order, and whether each leads to a folder.
    fn names(&mut self, folder: &Path) -> Vec<(OsString, bool)> {
        let mut names = Vec::new();
        self.visited += 1;
        if self.is_over() {
            return names;
        }
        let entries = match fs::read_dir(here(folder)) {
            Ok(entries) => entries,
            // It went meanwhile, or is none: nothing is in it.
            Err(error) if is_missing(&error) => return names,
            Err(error) => {
                let cause = explain_io(folder, &error);
                self.found.unreadable.push((folder.to_owned(), cause));
                return names;
            }
        };
        for entry in entries {
            self.visited += 1;
            if self.is_over() {
                break;
            }
            match entry {
                Ok(entry) => {
                    let is_folder = match entry.file_type() {
                        Ok(kind) if kind.is_symlink() => {
                            matches!(target(&entry.path()), Target::Folder(_) | Target::Unknown(_))
                        }
                        Ok(kind) => kind.is_dir(),
                        // Looked at once more, which tells why.
                        Err(_) => true,
                    };
                    names.push((entry.file_name(), is_folder));
                }
                Err(error) => {
                    let cause = explain_io(folder, &error);
                    self.found.unreadable.push((folder.to_owned(), cause));
                    break;
                }
            }
        }
        names.sort();
        names
    }

    /// Whether as many were found as may be; the caller tells.
    fn is_full(&self) -> bool {
        self.found.paths.len() >= self.bounds.paths
    }

    /// Whether another of the names that were listed may be looked at: of those that were found before a bound, as many as
    /// files may be found.
    fn may_look(&mut self) -> bool {
        self.looked_after += usize::from(self.is_over);
        self.looked_after <= self.bounds.paths
    }

    fn is_over(&mut self) -> bool {
        if self.is_over {
            return true;
        }
        let Bounds {
            visited, deadline, ..
        } = self.bounds;
        let reached = if self.visited > visited {
            format!("more than {visited} names would have to be looked at")
        } else if self.visited.is_multiple_of(64) && Instant::now() > deadline {
            "looking through its folders takes too long".to_owned()
        } else {
            return false;
        };
        self.is_over = true;
        let cause = format!(
            "{reached}; what was found before that is read, the rest is not: name the folder more closely"
        );
        self.found.unreadable.push((self.pattern.into(), cause));
        true
    }
}

/// The working directory has no name.
fn here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    }
}

/// The folders that a folder is in.
fn above(folder: &Path) -> HashSet<Identity> {
    let Ok(folder) = here(folder).canonicalize() else {
        return HashSet::new();
    };
    let above = folder.ancestors().skip(1);
    above
        .filter_map(|folder| match target(folder) {
            Target::Folder(identity) => Some(identity),
            _ => None,
        })
        .collect()
}

/// A name as a pattern, where it has no characters of one.
pub(super) fn named(name: &OsStr) -> Option<Pattern> {
    match name.to_str() {
        Some(text) if glob::is_glob(text) => Pattern::new(text).ok(),
        _ => Some(Pattern::literal(name)),
    }
}
