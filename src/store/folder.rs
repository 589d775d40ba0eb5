//! A folder of ledgers as former releases kept them, one file an issuer and its previous generation. It is only read.
//!
//! `NAME.json` has the ledger of the issuer whose name in stores that is ([`name::of`]), `NAME.json.previous` the one
//! before. A crash may have left either alone.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::name;
use crate::display;
use crate::fs::FileError;
use crate::ring::{Ledger, MAX_DOCUMENT};

/// What could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    /// Where it was.
    pub(super) path: PathBuf,
    /// Why.
    pub(super) reason: String,
    /// Where it is now, where it was set aside.
    pub(super) aside: Option<PathBuf>,
}

/// What the files of one name are.
#[derive(Debug, PartialEq)]
pub(super) enum Files {
    /// There are none.
    None,
    /// This ledger, of both generations where both can be read; and what cannot.
    Ledger(String, Ledger, Vec<Unusable>),
    /// None of them can be read any more.
    Lost(Vec<Unusable>),
    /// A ledger that is not for us.
    Refused(String),
    /// They may be readable another time.
    Unreadable(String),
}

/// The names for which there are files; none where there is no folder.
pub(super) fn names(folder: &Path) -> io::Result<BTreeSet<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let file = entry?.file_name();
        let Some(file) = file.to_str() else { continue };
        let name = file
            .strip_suffix(".json")
            .or_else(|| file.strip_suffix(".json.previous"));
        names.extend(name.map(ToOwned::to_owned));
    }
    Ok(names)
}

/// Reads the files of a name. The previous generation is merged: what is older changes nothing in a newer ledger.
pub(super) fn read(folder: &Path, name: &str) -> Files {
    let mut unusable = Vec::new();
    let present = folder.join(format!("{name}.json"));
    let previous = folder.join(format!("{name}.json.previous"));
    let mut found: Option<(String, Ledger)> = None;
    for path in [present, previous] {
        match (generation(&path, name), &mut found) {
            (Files::Ledger(_, older, _), Some((_, ledger))) => *ledger = ledger.merge(&older),
            (Files::Ledger(issuer, ledger, _), None) => found = Some((issuer, ledger)),
            (Files::Lost(why), None) => unusable.extend(why),
            (failure @ (Files::Refused(_) | Files::Unreadable(_)), None) => return failure,
            // The present one is enough.
            _ => {}
        }
    }
    match found {
        Some((issuer, ledger)) => Files::Ledger(issuer, ledger, unusable),
        None if unusable.is_empty() => Files::None,
        None => Files::Lost(unusable),
    }
}

/// The issuer that a document says it belongs to.
pub(super) fn issuer_of(document: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Head {
        issuer: String,
    }
    let head: Head = serde_json::from_slice(document).ok()?;
    Some(head.issuer)
}

fn generation(path: &Path, name: &str) -> Files {
    let lost = |reason| {
        let (path, aside) = (path.to_owned(), None);
        Files::Lost(vec![Unusable { path, reason, aside }])
    };
    let document = match crate::fs::read(path, MAX_DOCUMENT) {
        Ok(document) => document,
        Err(FileError::Missing) => return Files::None,
        Err(error @ (FileError::Io(_) | FileError::Late { .. })) => {
            let path = display::path(path);
            return Files::Unreadable(format!(
                "{path} cannot be read: {error}; check who owns it, and the disk"
            ));
        }
        Err(error) => return lost(error.to_string()),
    };
    let issuer = issuer_of(&document).unwrap_or_default();
    match Ledger::decode(&document, &issuer) {
        Ok(_) if name::of(&issuer) != name => Files::Refused(format!(
            "{}: the ledger is that of issuer {issuer}, and has the name of another one; it is left as it is: move it \
             away to start without it",
            display::path(path)
        )),
        Ok(ledger) => Files::Ledger(issuer, ledger, Vec::new()),
        Err(error) if error.is_damage() => lost(error.to_string()),
        Err(error) => Files::Refused(format!(
            "{}: {error}; it is left as it is: move it away to start without it",
            display::path(path)
        )),
    }
}
