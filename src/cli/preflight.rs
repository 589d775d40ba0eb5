//! The files that a configuration names, judged before anything runs.
//!
//! `serve` refuses to start by the same function by which `config check` fails, so the two cannot differ. Files of sources
//! and stores are only warned of: `serve` starts without them and tries again, so they may come later.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use jiff::Timestamp;

use super::flags::Asked;
use crate::config::{Problem, Problems, Settings};
use crate::display;
use crate::edge::{EdgeError, TlsSettings, check_certificate};
use crate::fs::{self, FileError};
use crate::issuer::shared_keys;
use crate::source::{self, Examined};
use crate::store;

/// The files of the listeners: without them nothing is served.
#[derive(Debug, Default)]
pub(super) struct Listening {
    /// Wrong, whatever the machine.
    pub(super) wrong: Vec<Problem>,
    /// Not on this machine; on the one that serves they may be.
    pub(super) missing: Vec<Problem>,
    /// What clients may stumble over.
    pub(super) doubts: Vec<String>,
}

impl Listening {
    /// Reads every certificate, key and client CA that the listeners of the edge and of control need.
    pub(super) fn judge(asked: &Asked, settings: &Settings, now: Timestamp) -> Self {
        let mut judged = Self::default();
        for (index, listener) in settings.listeners.iter().enumerate() {
            let Some(TlsSettings::Files { cert, key }) = &listener.tls else {
                continue;
            };
            let checked = check_certificate(cert, key, now).map_err(|errors| {
                errors
                    .into_iter()
                    .map(|error| (error.field(key), error))
                    .collect()
            });
            judged.take(asked, &format!("listeners[{index}]"), cert, checked);
        }
        if let Some(control) = &settings.control {
            judged.take(asked, "control", &control.cert, control.check(now));
        }
        // Several listeners may show one certificate.
        judged.doubts.dedup();
        judged
    }

    fn take(
        &mut self,
        asked: &Asked,
        place: &str,
        cert: &Path,
        checked: Result<Option<String>, Vec<(&'static str, EdgeError)>>,
    ) {
        match checked {
            Ok(doubt) => {
                let doubt = doubt.map(|doubt| format!("{}: {doubt}", display::path(cert)));
                self.doubts.extend(doubt);
            }
            Err(errors) => {
                for (field, error) in errors {
                    let is_missing = matches!(
                        error,
                        EdgeError::Unreadable {
                            error: FileError::Missing,
                            ..
                        }
                    );
                    let problem = Problem {
                        place: asked.place(format!("{place}.{field}")),
                        line: None,
                        message: error.to_string(),
                    };
                    let list = if is_missing {
                        &mut self.missing
                    } else {
                        &mut self.wrong
                    };
                    // The flags name one certificate for all listeners.
                    if !list.contains(&problem) {
                        list.push(problem);
                    }
                }
            }
        }
    }

    /// What a start says: here the files have to be.
    pub(super) fn refused(self, asked: &Asked) -> Result<(), Problems> {
        problems(asked, self.missing.into_iter().chain(self.wrong).collect())
    }
}

/// All of them, if there are any.
pub(super) fn problems(asked: &Asked, list: Vec<Problem>) -> Result<(), Problems> {
    if list.is_empty() {
        return Ok(());
    }
    let file = asked.file.as_deref().map(display::path);
    Err(Problems { file, list })
}

/// What is wrong with the files of sources, stores and the audit, each with its field. A message that fields have in common
/// is there once: a fleet may have one kubeconfig a hundred thousand times.
pub(super) fn later(asked: &Asked, settings: &Settings) -> Vec<String> {
    let mut found = Found::default();
    let mut listed = Vec::new();
    for (index, issuer) in settings.issuers.iter().enumerate() {
        let mut keys = HashSet::new();
        for (at, source) in issuer.sources.iter().enumerate() {
            let place = format!("issuers[{index}].sources[{at}].{}", source.settings.kind());
            let of_source = source.settings.clone();
            let examined = fs::soon(move || source::examine(&of_source)).unwrap_or_else(|late| Examined {
                faults: vec![("", format!("its files: {late}"))],
                ..Examined::default()
            });
            for (field, message) in examined.faults {
                let dot = if field.is_empty() { "" } else { "." };
                found.add(asked.place(format!("{place}{dot}{field}")), message);
            }
            keys.extend(examined.keys.iter().map(|key| key.id().spki_sha256));
        }
        listed.push((issuer, keys));
    }
    let of_store = settings.store.clone();
    let of_store = fs::soon(move || store::faults(&of_store));
    for (place, message) in
        of_store.unwrap_or_else(|late| vec![("store".to_owned(), format!("its files: {late}"))])
    {
        found.add(place, message);
    }
    if let Some(message) = settings.audit.as_deref().and_then(cannot_append) {
        found.add("audit.file".to_owned(), message);
    }
    found.messages().chain(shared_keys(listed)).collect()
}

/// Why nothing could be appended to a file that need not be there. Nothing is made or written.
fn cannot_append(file: &Path) -> Option<String> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if file.is_dir() {
        return Some(format!("{} is a folder: name a file in it", display::path(file)));
    }
    (!folder.is_dir()).then(|| {
        format!(
            "{} cannot be written: there is no folder {}; make it, owned by the user of the service",
            display::path(file),
            display::path(folder)
        )
    })
}

/// Messages in the order in which they were found.
#[derive(Debug, Default)]
struct Found {
    /// Each with the places that have it, of which only the first are kept, and how many these are.
    list: Vec<(String, Vec<String>, usize)>,
    known: HashMap<String, usize>,
}

impl Found {
    const SHOWN: usize = 20;

    fn add(&mut self, place: String, message: String) {
        if let Some((_, places, count)) = self.known.get(&message).and_then(|at| self.list.get_mut(*at)) {
            *count += 1;
            if places.len() < Self::SHOWN {
                places.push(place);
            }
        } else {
            self.known.insert(message.clone(), self.list.len());
            self.list.push((message, vec![place], 1));
        }
    }

    fn messages(self) -> impl Iterator<Item = String> {
        self.list.into_iter().map(|(message, places, count)| {
            let shown = places.join(", ");
            match count - places.len() {
                0 => format!("{shown}: {message}"),
                more => format!("{shown} and {more} more: {message}"),
            }
        })
    }
}
