//! Key files by globs: read again when a watched folder changes, and at every turn besides.
//!
//! One file never costs the others anything. A file that cannot be read makes the listing incomplete, for its keys may
//! still be there; a file that is gone does not.

mod doubts;
mod folders;
pub(crate) mod glob;
mod interest;
mod refused;
mod walk;
mod watch;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Asked, Cause, FilesSettings, ReadError};
use crate::client::{Blocking, Phase};
use crate::display;
use crate::fs::{self, FileError};
use crate::key::{self, Quarantined, Reason, parse_file};
use crate::ring::Listing;
pub use folders::FolderWatch;
use glob::is_glob;
use walk::Bounds;
pub use watch::Changes;
use watch::Watch;

/// More files than any cluster has keys.
const MAX_FILES: usize = 1000;

/// How long files are looked for, for all patterns together: each has its share, so that none costs the others.
const SEARCH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Files {
    patterns: Arc<[String]>,
    watch: Arc<Watch>,
    changes: Changes,
    reading: Blocking<Read>,
    /// Doubts that were told already.
    told: HashSet<String>,
}

impl Files {
    pub(super) fn new(settings: &FilesSettings) -> Self {
        let patterns: Arc<[String]> = settings.paths.iter().map(|path| absolute(path)).collect();
        let (watch, changes) = Watch::over(&FolderWatch::default());
        Self {
            patterns,
            watch: Arc::new(watch),
            changes,
            reading: Blocking::default(),
            told: HashSet::new(),
        }
    }

    pub(super) fn watched_by(&mut self, folders: &FolderWatch) {
        let (watch, changes) = Watch::over(folders);
        (self.watch, self.changes) = (Arc::new(watch), changes);
    }

    pub(super) async fn read(&mut self) -> Result<Listing, ReadError> {
        let place = self.patterns.join(", ");
        let (patterns, watch) = (Arc::clone(&self.patterns), Arc::clone(&self.watch));
        let work = move || {
            // Watched first: a change while the files are read is then seen as an event.
            watch.follow(&patterns);
            read(&patterns)
        };
        let failed = |cause| ReadError::new(Asked::Files, place.clone(), cause);
        let Read {
            any, listing, doubts, ..
        } = self
            .reading
            .run(Phase::File, fs::TIMEOUT, work)
            .await
            .map_err(|cause| failed(Cause::Request(cause)))?;
        // A doubt that is gone and comes back is told again.
        self.told.retain(|told| doubts.contains(told));
        for doubt in doubts {
            if self.told.insert(doubt.clone()) {
                tracing::warn!("{doubt}");
            }
        }
        accepted(any, listing, place)
    }

    pub(super) async fn changed(&mut self) {
        self.changes.next().await;
    }

    pub(super) fn changes(&self) -> Changes {
        self.changes.clone()
    }
}

/// Without a file, or without a publishable key, it is a failed read.
fn accepted(any: bool, listing: Listing, place: String) -> Result<Listing, ReadError> {
    if !any {
        return Err(ReadError::new(Asked::Files, place, Cause::NoFiles));
    }
    if listing.keys.is_empty() {
        return Err(ReadError::nothing_publishable(
            Asked::Files,
            place,
            listing.quarantined,
        ));
    }
    Ok(listing)
}

/// What a read gives now, with what is doubtful of the files. Blocks.
pub(super) fn examine(settings: &FilesSettings) -> (Result<Listing, ReadError>, Vec<String>) {
    let patterns: Vec<_> = settings.paths.iter().map(|path| absolute(path)).collect();
    let Read {
        any, listing, doubts, ..
    } = read(&patterns);
    (accepted(any, listing, patterns.join(", ")), doubts)
}

/// What one pass over the files found.
#[derive(Debug, Default)]
struct Read {
    /// Whether any file is there at all.
    any: bool,
    listing: Listing,
    /// Bytes of all files so far.
    bytes: usize,
    /// What is published, and may not be meant to be.
    doubts: Vec<String>,
}

/// What is doubtful of the files now.
pub(super) fn doubts(settings: &FilesSettings) -> Vec<String> {
    let patterns: Vec<_> = settings.paths.iter().map(|path| absolute(path)).collect();
    read(&patterns).doubts
}

fn read(patterns: &[String]) -> Read {
    let mut found = Read {
        listing: Listing {
            complete: true,
            ..Listing::default()
        },
        ..Read::default()
    };
    let mut seen = HashSet::new();
    let Matches { paths, unreadable } = expand(patterns);
    for (path, cause) in unreadable {
        // Files may be there: nobody could look.
        found.any = true;
        found.listing.complete = false;
        found.hold_back(&path, Reason::Unreadable { cause });
    }
    for (index, Match { path, is_literal }) in paths.into_iter().enumerate() {
        if index == MAX_FILES {
            found.listing.complete = false;
            let cause = format!("more than {MAX_FILES} files match; the others are not read");
            found.hold_back(&path, Reason::Unreadable { cause });
            break;
        }
        found.take(&path, is_literal, &mut seen);
    }
    found
}

impl Read {
    fn take(&mut self, path: &Path, is_literal: bool, seen: &mut HashSet<key::KeyId>) {
        let bytes = match fs::read(path, key::MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(FileError::Missing | FileError::Directory) if !is_literal => return,
            Err(error) => {
                let is_gone = matches!(error, FileError::Missing);
                let holds_no_key = matches!(error, FileError::Directory | FileError::NotRegular(_));
                self.any |= !is_gone;
                self.listing.complete &= is_gone || holds_no_key;
                let cause = refused::explain(path, &error);
                return self.hold_back(path, Reason::Unreadable { cause });
            }
        };
        self.any = true;
        self.bytes += bytes.len();
        if self.bytes > key::MAX_BYTES {
            self.bytes -= bytes.len();
            self.listing.complete = false;
            let cause = format!(
                "it is left out, because all files of a source may have {} bytes together: name fewer",
                key::MAX_BYTES
            );
            return self.hold_back(path, Reason::Unreadable { cause });
        }
        let doubts = doubts::of(&bytes).into_iter();
        self.doubts
            .extend(doubts.map(|doubt| format!("{}: {doubt}", display::path(path))));
        match parse_file(&bytes) {
            Ok(parsed) => {
                self.listing.keys.extend(
                    parsed
                        .keys
                        .into_iter()
                        .filter(|key| seen.insert(key.id().clone())),
                );
                for entry in parsed.quarantined {
                    let entry = Quarantined {
                        entry: format!("{}: {}", display::path(path), entry.entry),
                        ..entry
                    };
                    self.listing.quarantined.push(entry);
                }
            }
            Err(error) => self.hold_back(path, Reason::NotAKeyFile(error)),
        }
    }

    fn hold_back(&mut self, path: &Path, reason: Reason) {
        let entry = display::path(path);
        self.listing.quarantined.push(Quarantined {
            entry,
            kid: None,
            reason,
        });
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Match {
    path: PathBuf,
    /// Named as it is, not by a glob.
    is_literal: bool,
}

#[derive(Debug, Default)]
struct Matches {
    paths: BTreeSet<Match>,
    unreadable: Vec<(PathBuf, String)>,
}

/// The files that the patterns match now, at most one more than [`MAX_FILES`] of each.
fn expand(patterns: &[String]) -> Matches {
    let mut matches = Matches::default();
    let is_literal = |pattern: &&String| !is_glob(pattern) || Path::new(pattern).is_file();
    let (literal, globs): (Vec<_>, Vec<_>) = patterns.iter().partition(is_literal);
    for path in literal {
        matches.paths.insert(Match {
            path: path.into(),
            is_literal: true,
        });
    }
    let end = Instant::now() + SEARCH;
    for (index, pattern) in globs.iter().enumerate() {
        if let Err(cause) = glob::check(pattern) {
            let cause = format!("not a glob: {cause}");
            matches.unreadable.push((pattern.into(), cause));
            continue;
        }
        let left = u32::try_from(globs.len() - index).unwrap_or(u32::MAX);
        let share = end.saturating_duration_since(Instant::now()) / left;
        let found = walk::find(pattern, Bounds::new(MAX_FILES + 1, share));
        matches.unreadable.extend(found.unreadable);
        matches.paths.extend(found.paths.into_iter().map(|path| Match {
            path,
            is_literal: false,
        }));
    }
    matches
}

/// The files that a pattern matches now: each for a person, and as a pattern of its own.
pub(crate) fn matched(pattern: &str) -> Vec<(String, String)> {
    let found = walk::find(pattern, Bounds::new(MAX_FILES, SEARCH)).paths;
    found
        .iter()
        .map(|path| (display::path(path), glob::pattern_of(path)))
        .collect()
}

/// Watched paths must stay the same whatever the working directory will be.
fn absolute(path: &str) -> String {
    match std::path::absolute(path) {
        Ok(absolute) => absolute.to_str().map_or_else(|| path.to_owned(), str::to_owned),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
