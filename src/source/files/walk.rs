//! Finds what a pattern matches, folder by folder.
//!
//! A folder or file is visited once, however many links lead to it, so that links upwards end nowhere. What is visited is
//! bounded in number and time, and a bound that was reached is told: what lies beyond it is not known to be absent.

use std::collections::HashSet;
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
    let mut all = Search::new("", bounds).all_below(folder);
    all.truncate(bounds.paths);
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
    /// Whether a bound was reached, which is told once.
    is_over: bool,
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
            seen: HashSet::new(),
            found: Found::default(),
        }
    }

    /// Matches the rest of the pattern against what is in a folder. As deep as the pattern has components.
    fn descend(&mut self, folder: PathBuf, rest: &[Component<'_>]) {
        let [first, rest @ ..] = rest else {
            let is_new = match target(&folder) {
                Target::Folder(_) | Target::Missing => false,
                Target::Other(identity) => self.seen.insert(identity),
                // Reading it tells why.
                Target::Unknown(_) => true,
            };
            if is_new && !self.is_over() {
                self.found.paths.push(folder);
            }
            return;
        };
        let name = first.as_os_str();
        let text = name.to_str().unwrap_or_default();
        if text == "**" {
            for folder in self.all_below(folder) {
                if self.is_over() {
                    return;
                }
                // `**` at the end matches folders, which hold no keys.
                if !rest.is_empty() {
                    self.descend(folder, rest);
                }
            }
        } else if glob::is_glob(text)
            && let Ok(pattern) = Pattern::new(text)
        {
            for (name, is_folder) in self.names(&folder) {
                if self.is_over() {
                    return;
                }
                if pattern.matches(&name) && (rest.is_empty() || is_folder) {
                    self.descend(folder.join(name), rest);
                }
            }
        } else {
            let path = folder.join(name);
            match target(&path) {
                Target::Unknown(cause) if !rest.is_empty() => self.found.unreadable.push((path, cause)),
                Target::Other(_) if !rest.is_empty() => {}
                Target::Missing => {}
                _ => self.descend(path, rest),
            }
        }
    }

    /// A folder and those below it, each once, whatever links lead to it. As in a shell, none that starts with a dot.
    fn all_below(&mut self, folder: PathBuf) -> Vec<PathBuf> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        if let Target::Folder(identity) = target(&folder) {
            seen.insert(identity);
            all.push(folder);
        }
        let mut next = 0;
        while let Some(folder) = all.get(next).cloned() {
            for (name, is_folder) in self.names(&folder) {
                let is_hidden = name.as_encoded_bytes().first() == Some(&b'.');
                if !is_folder || is_hidden {
                    continue;
                }
                let path = folder.join(name);
                match target(&path) {
                    Target::Folder(identity) if seen.insert(identity) => all.push(path),
                    Target::Unknown(cause) => self.found.unreadable.push((path, cause)),
                    _ => {}
                }
            }
            if self.is_over() {
                break;
            }
            next += 1;
        }
        all
    }

    /// The names in a folder in order, and whether each leads to a folder.
    fn names(&mut self, folder: &Path) -> Vec<(OsString, bool)> {
        let here = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let mut names = Vec::new();
        let entries = match fs::read_dir(here) {
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
                        Err(_) => false,
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

    fn is_over(&mut self) -> bool {
        if self.is_over {
            return true;
        }
        let Bounds {
            paths,
            visited,
            deadline,
        } = self.bounds;
        let reached = if self.visited > visited {
            format!("more than {visited} names would have to be looked at")
        } else if self.found.paths.len() >= paths && !self.pattern.is_empty() {
            // The caller tells.
            self.is_over = true;
            return true;
        } else if self.visited.is_multiple_of(64) && Instant::now() > deadline {
            "looking through its folders takes too long".to_owned()
        } else {
            return false;
        };
        self.is_over = true;
        let cause = format!("{reached}; the rest is not read: name the folder more closely");
        self.found.unreadable.push((self.pattern.into(), cause));
        true
    }
}

/// A name as a pattern, where it has no characters of one.
pub(super) fn named(name: &OsStr) -> Option<Pattern> {
    match name.to_str() {
        Some(text) if glob::is_glob(text) => Pattern::new(text).ok(),
        _ => Some(Pattern::literal(name)),
    }
}
