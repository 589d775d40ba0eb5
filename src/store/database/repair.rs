//! What is saved from a file that is damaged or gone: what can be read of it, and of its copy. Each document proves itself
//! by its own checksum and says whose it is, whatever is wrong around it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beside;
use super::file::salvage;
use crate::display;
use crate::ring::{DecodeError, Ledger};
use crate::store::folder::{Unusable, issuer_of};

/// As many damaged files are kept; then the last one is replaced.
const ASIDE: u32 = 9;

/// Ledgers that are not in the file: documents by issuer.
#[derive(Debug, Default)]
pub(super) struct Documents(pub(super) BTreeMap<String, Arc<[u8]>>);

impl Documents {
    /// Merges a ledger.
    pub(super) fn merge(&mut self, issuer: &str, ledger: &Ledger) {
        let known = self.0.get(issuer).map(|known| Ledger::decode(known, issuer));
        let merged = match known {
            None => ledger.encode(issuer),
            Some(Ok(known)) => known.merge(ledger).encode(issuer),
            // Of a later release.
            Some(Err(_)) => return,
        };
        self.0.insert(issuer.to_owned(), merged.into());
    }

    /// Merges a document, if it is one; one of a later release stays as it is.
    fn save(&mut self, document: &[u8]) {
        let Some(issuer) = issuer_of(document) else { return };
        match Ledger::decode(document, &issuer) {
            Ok(ledger) => self.merge(&issuer, &ledger),
            Err(DecodeError::Newer { .. }) => drop(self.0.entry(issuer).or_insert_with(|| document.into())),
            Err(_) => {}
        }
    }
}

/// What happened to the file, for the issuers that are read afterwards.
#[derive(Debug)]
pub(super) struct Damage {
    pub(super) reason: String,
    /// What the damaged file is called now.
    pub(super) aside: Option<PathBuf>,
    /// Whose ledgers are from the copy, and how many are from the file.
    older: BTreeSet<String>,
    saved: usize,
    told: BTreeSet<String>,
}

impl Damage {
    /// Saves what can be read.
    pub(super) fn rescue(file: &Path, copy: &Path, reason: String, into: &mut Documents) -> Self {
        let mut documents = Documents::default();
        // What cannot be read cannot be read: the reason of the damage is known.
        let _ = salvage(file, false, |document| documents.save(document));
        let from_file: BTreeSet<_> = documents.0.keys().cloned().collect();
        let _ = salvage(copy, true, |document| documents.save(document));
        let older = documents
            .0
            .keys()
            .filter(|issuer| !from_file.contains(*issuer))
            .cloned();
        let older = older.collect();
        for (issuer, document) in documents.0 {
            match into.0.entry(issuer) {
                Entry::Vacant(vacant) => drop(vacant.insert(document)),
                Entry::Occupied(_) => into.save(&document),
            }
        }
        Self {
            reason,
            aside: None,
            older,
            saved: from_file.len(),
            told: BTreeSet::new(),
        }
    }

    /// What is to be told of an issuer, once: that its ledger is from the copy, or lost.
    pub(super) fn of(&mut self, file: &Path, issuer: &str, is_found: bool) -> Option<Unusable> {
        let is_news = if is_found {
            self.older.remove(issuer)
        } else {
            self.told.insert(issuer.to_owned())
        };
        is_news.then(|| Unusable {
            path: file.to_owned(),
            reason: self.reason.clone(),
            aside: self.aside.clone(),
        })
    }

    pub(super) fn tell(&self, file: &Path) {
        let aside = self.aside.as_ref();
        let aside = aside.map(|aside| format!(" and was set aside as {}", display::path(aside)));
        tracing::error!(
            "the database of the ledgers, {}, cannot be used ({}){}: it was made again, with {} ledgers from what can be read \
             of it, and {} from its copy. What is in neither is lost, and told of its issuer",
            display::path(file),
            self.reason,
            aside.unwrap_or_default(),
            self.saved,
            self.older.len()
        );
    }
}

/// Puts the new file in the place of the damaged one, and says what that is called now. Should this be interrupted after the
/// damaged one was moved, [`finish`] goes on.
pub(super) fn exchange(new: &Path, file: &Path) -> io::Result<Option<PathBuf>> {
    let mut aside = None;
    if file.symlink_metadata().is_ok() {
        let name = |number| beside(file, &format!(".damaged-{number}"));
        let free = (1..ASIDE).map(name).find(|path| path.symlink_metadata().is_err());
        let there = free.unwrap_or_else(|| name(ASIDE));
        fs::rename(file, &there)?;
        // Its log is of no use to another file, and does harm there.
        match fs::rename(beside(file, "-wal"), beside(&there, "-wal")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        aside = Some(there);
    }
    finish(new, file)?;
    Ok(aside)
}

/// Gives the new file its name.
pub(super) fn finish(new: &Path, file: &Path) -> io::Result<()> {
    super::file::remove(file)?;
    fs::rename(new, file)?;
    crate::fs::sync_folder(super::folder_of(file))
}
