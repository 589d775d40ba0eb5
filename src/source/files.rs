//! Key files by globs: read again when a watched folder changes, and at every turn besides.
//!
//! One file never costs the others anything. A file that cannot be read makes the listing incomplete, for its keys may
//! still be there; a file that is gone does not.

mod folders;
mod interest;
mod watch;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::MatchOptions;

use super::local::Blocking;
use super::{Asked, Cause, FilesSettings, Phase, ReadError};
use crate::fs::{self, FileError};
use crate::key::{self, Quarantined, Reason, parse_file};
use crate::ring::Listing;
pub use folders::FolderWatch;
use watch::{Changes, Watch};

/// More files than any cluster has keys.
const MAX_FILES: usize = 1000;

/// As a shell expands: `*` matches no `/`, and no dot at the start of a name (`..data`).
const SHELL: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

#[derive(Debug)]
pub(super) struct Files {
    patterns: Arc<[String]>,
    watch: Arc<Watch>,
    changes: Changes,
    reading: Blocking<Read>,
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
        let Read { any, listing, .. } = self
            .reading
            .run(Phase::File, fs::TIMEOUT, work)
            .await
            .map_err(failed)?;
        if !any {
            return Err(failed(Cause::NoFiles));
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

    pub(super) async fn changed(&mut self) {
        self.changes.next().await;
    }
}

/// What one pass over the files found.
#[derive(Debug, Default)]
struct Read {
    /// Whether any file is there at all.
    any: bool,
    listing: Listing,
    /// Bytes of all files so far.
    bytes: usize,
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
                let hint = if error == FileError::Directory {
                    ": name the files in it, as in DIR/*.pem"
                } else {
                    ""
                };
                return self.hold_back(
                    path,
                    Reason::Unreadable {
                        cause: format!("{error}{hint}"),
                    },
                );
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
                        entry: format!("{}: {}", path.display(), entry.entry),
                        ..entry
                    };
                    self.listing.quarantined.push(entry);
                }
            }
            Err(error) => self.hold_back(path, Reason::NotAKeyFile(error)),
        }
    }

    fn hold_back(&mut self, path: &Path, reason: Reason) {
        let entry = path.display().to_string();
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

/// The files that the patterns match now, at most one more than [`MAX_FILES`].
fn expand(patterns: &[String]) -> Matches {
    let mut matches = Matches::default();
    for pattern in patterns {
        let literal = Path::new(pattern);
        if !is_glob(pattern) || literal.is_file() {
            matches.paths.insert(Match {
                path: literal.to_owned(),
                is_literal: true,
            });
            continue;
        }
        let found = match glob::glob_with(pattern, SHELL) {
            Ok(found) => found,
            Err(error) => {
                matches
                    .unreadable
                    .push((literal.to_owned(), format!("not a glob: {error}")));
                continue;
            }
        };
        for entry in found.take(MAX_FILES + 1) {
            match entry {
                Ok(path) => drop(matches.paths.insert(Match {
                    path,
                    is_literal: false,
                })),
                Err(error) => {
                    matches
                        .unreadable
                        .push((error.path().to_owned(), error.error().to_string()));
                }
            }
        }
    }
    matches
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
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
