//! A ledger is changed where it is kept, by a command, while no service may be there to do it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::file::LOCK;
use super::opening::{Judged, judge, judge_stored};
use super::shared::{Read, SaveError, Shared};
use super::{Fault, Folder, LockError, StoreSettings, name};
use crate::client::Connections;
use crate::display;
use crate::ring::{Ledger, MAX_DOCUMENT};

/// Bound of one read or write of a shared store.
const PATIENCE: Duration = Duration::from_secs(10);

/// After so many lost races something else is wrong.
const ATTEMPTS: u32 = 10;

/// After a lost race; longer after each.
const PAUSE: Duration = Duration::from_millis(50);

/// What a change makes of a ledger: the one to write, if any, and what to tell.
pub type Change<T> = (Option<Ledger>, T);

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AmendError<E> {
    /// The change itself was refused.
    #[error(transparent)]
    Refused(E),
    /// A running service has the folder.
    #[error("the folder of the ledgers {0}")]
    Lock(LockError),
    /// The store, or what is in it, cannot be used: place, cause, remedy.
    #[error("{0}")]
    Store(String),
}

/// Changes the ledger of an issuer in its store, over the version that was read: a race that is lost is run again.
/// `change` gets `None` where the store says that there is no ledger.
pub async fn amend<T, E>(
    settings: &StoreSettings,
    issuer: &str,
    mut change: impl FnMut(Option<Ledger>) -> Result<Change<T>, E>,
) -> Result<T, AmendError<E>> {
    let Some(shared) = Shared::of(settings, issuer, &Connections::default()) else {
        return match settings.folder() {
            Some(folder) => in_folder(folder, issuer, change),
            None => Err(AmendError::Store(
                "the store is `memory`: it lives and ends with the service, use its control socket".into(),
            )),
        };
    };
    in_shared(shared, issuer, &mut change).await
}

/// The issuers that have ledgers in the folder of a store of files, so far as they can be read.
pub fn issuers_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let issuer = |path: &Path| {
        let document = crate::fs::read(path, MAX_DOCUMENT).ok()?;
        let document: serde_json::Value = serde_json::from_slice(&document).ok()?;
        Some(document.get("issuer")?.as_str()?.to_owned())
    };
    let mut issuers: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .filter_map(|path| issuer(&path))
        .collect();
    issuers.sort();
    issuers.dedup();
    issuers
}

fn in_folder<T, E>(
    folder: &Path,
    issuer: &str,
    mut change: impl FnMut(Option<Ledger>) -> Result<Change<T>, E>,
) -> Result<T, AmendError<E>> {
    match folder.try_exists() {
        Ok(true) => {}
        // Not made for nothing.
        Ok(false) => drop(change(None).map_err(AmendError::Refused)?),
        Err(error) => {
            let (folder, verb) = (folder.to_owned(), "entered");
            return Err(AmendError::Lock(LockError::Unusable { folder, verb, error }));
        }
    }
    // As long as nobody has locked it, nobody writes there: what only looks leaves nothing behind.
    if folder.is_dir() && !folder.join(LOCK).exists() {
        let found = look(folder, issuer).map_err(AmendError::Store)?;
        let is_new = found.is_none();
        let (None, told) = change(found).map_err(AmendError::Refused)? else {
            if is_new && !is_for_ledgers(folder) {
                return Err(AmendError::Store(format!(
                    "{} has files, and no ledgers: nothing is written there. Correct --store, or name an empty folder",
                    display::path(folder)
                )));
            }
            return in_locked_folder(folder, issuer, change);
        };
        return Ok(told);
    }
    in_locked_folder(folder, issuer, change)
}

/// The ledger of an issuer in a folder that nobody has locked, without a lock.
fn look(folder: &Path, issuer: &str) -> Result<Option<Ledger>, String> {
    let path = folder.join(format!("{}.json", name::of(issuer)));
    if !path.exists() {
        return Ok(None);
    }
    let place = display::path(&path);
    let document =
        crate::fs::read(&path, MAX_DOCUMENT).map_err(|error| format!("{place} cannot be read: {error}"))?;
    let ledger = judge(&document, issuer).map_err(|fault| {
        let (Fault::Torn(reason) | Fault::Refused(reason)) = fault;
        format!("{place}: {reason}")
    })?;
    Ok(Some(ledger))
}

/// Whether a folder has ledgers, or nothing at all.
fn is_for_ledgers(folder: &Path) -> bool {
    let is_empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    is_empty || !issuers_in(folder).is_empty()
}

fn in_locked_folder<T, E>(
    folder: &Path,
    issuer: &str,
    mut change: impl FnMut(Option<Ledger>) -> Result<Change<T>, E>,
) -> Result<T, AmendError<E>> {
    let mut file = Folder::open(folder).map_err(AmendError::Lock)?.ledger(issuer);
    let is_it = |document: &[u8]| {
        // A service would go on with an older one, and say so where people look: not here.
        judge(document, issuer).map_err(|fault| match fault {
            Fault::Torn(reason) => Fault::Refused(format!(
                "{reason}; a service that starts goes on with the generation before it, if there is one"
            )),
            Fault::Refused(reason) => Fault::Refused(reason),
        })
    };
    let loaded = file
        .load(is_it)
        .map_err(|error| AmendError::Store(error.to_string()))?;
    let (ledger, told) = change(loaded.ledger).map_err(AmendError::Refused)?;
    if let Some(ledger) = ledger {
        let saved = file.save(&ledger.encode(issuer));
        saved.map_err(|error| {
            AmendError::Store(format!(
                "the ledger in {} cannot be written: {error}",
                display::path(folder)
            ))
        })?;
    }
    Ok(told)
}

pub(super) async fn in_shared<T, E>(
    mut shared: Shared,
    issuer: &str,
    change: &mut impl FnMut(Option<Ledger>) -> Result<Change<T>, E>,
) -> Result<T, AmendError<E>> {
    let place = shared.place();
    let late = || {
        AmendError::Store(format!(
            "{place}: no answer within {} s. Check the network between, and the store's health",
            PATIENCE.as_secs()
        ))
    };
    let failed = |error: &dyn std::fmt::Display| AmendError::Store(error.to_string());
    for attempt in 1..=ATTEMPTS {
        let read = timeout(PATIENCE, shared.load(None)).await.map_err(|_| late())?;
        let stored = match read.map_err(|error| failed(&error))? {
            Read::Stored(stored) => stored,
            Read::Unchanged => {
                return Err(AmendError::Store(format!(
                    "{place}: it says that nothing has changed, which was not asked. Check what is in front of the store"
                )));
            }
        };
        let (ledger, previous) = match stored.content {
            None => (None, None),
            Some(content) => match judge_stored(&content, issuer) {
                Judged::Ledger(ledger) => (Some(ledger), Some(content.bytes)),
                Judged::Torn(reason) | Judged::Refused(reason) => {
                    return Err(AmendError::Store(format!(
                        "{place}: {reason}; it is left as it is"
                    )));
                }
                Judged::Foreign(reason) => {
                    return Err(AmendError::Store(format!(
                        "{place}: what was answered is no ledger, and no damaged one ({reason}). Check what is in front of \
                         the store"
                    )));
                }
            },
        };
        let (ledger, told) = change(ledger).map_err(AmendError::Refused)?;
        let Some(ledger) = ledger else {
            return Ok(told);
        };
        let document = Bytes::from(ledger.encode(issuer));
        let save = shared.save(document, &stored.version, previous);
        match timeout(PATIENCE, save).await.map_err(|_| late())? {
            Ok(_) => return Ok(told),
            // The others need a moment too.
            Err(SaveError::Lost) => sleep(PAUSE.saturating_mul(attempt)).await,
            Err(SaveError::Failed(error)) => return Err(failed(&error)),
        }
    }
    Err(AmendError::Store(format!(
        "{place}: replicas wrote it first {ATTEMPTS} times in a row; try again"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fake::ledger;

    const ISSUER: &str = "https://a.example";

    fn files(folder: &Path) -> StoreSettings {
        StoreSettings::File {
            folder: folder.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_change_is_written_and_a_look_is_not() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("ledgers");
        let settings = files(&folder);
        let refused = amend(&settings, ISSUER, |found| {
            assert_eq!(found, None);
            Err::<Change<()>, _>("nothing here")
        });
        assert!(matches!(refused.await, Err(AmendError::Refused("nothing here"))));
        assert!(!folder.exists(), "not made for nothing");

        let write = |_| Ok::<_, ()>((Some(ledger(&["a"])), ()));
        amend(&settings, ISSUER, write).await.unwrap();
        assert_eq!(issuers_in(&folder), [ISSUER]);
        let file = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let file = file
            .into_iter()
            .find(|path| path.extension().unwrap() == "json")
            .unwrap();
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        let found = amend(&settings, ISSUER, |found| Ok::<_, ()>((None, found))).await;
        assert_eq!(found.unwrap(), Some(ledger(&["a"])));
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_looked_into_is_not_taken_for_one_that_is_not_there() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("file"), "").unwrap();
        // As one of another user, but for root too.
        let settings = files(&home.path().join("file").join("ledgers"));
        let look = |found| Ok::<_, ()>((None, found));
        let error = amend(&settings, ISSUER, look).await.unwrap_err();
        assert!(
            matches!(error, AmendError::Lock(LockError::Unusable { .. })),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn what_only_looks_creates_nothing_and_what_writes_refuses_a_folder_without_ledgers() {
        let home = tempfile::tempdir().unwrap();
        let names = || {
            let mut names: Vec<_> = fs::read_dir(home.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let settings = files(home.path());
        let look = |found| Ok::<_, ()>((None, found));
        let write = |_| Ok::<_, ()>((Some(ledger(&["a"])), ()));
        let refuse = |_| Err::<Change<()>, _>("no such key");
        assert_eq!(amend(&settings, ISSUER, look).await.unwrap(), None);
        assert_eq!(names(), [""; 0], "an empty folder stays empty");
        for text in ["{}", "[Match]"] {
            fs::write(home.path().join("other.json"), text).unwrap();
            assert_eq!(amend(&settings, ISSUER, look).await.unwrap(), None);
            assert!(amend(&settings, ISSUER, refuse).await.is_err());
            let error = format!("{:?}", amend(&settings, ISSUER, write).await.unwrap_err());
            assert!(error.contains("no ledgers"), "{error}");
            assert_eq!(names(), ["other.json"]);
        }
        fs::remove_file(home.path().join("other.json")).unwrap();
        amend(&settings, ISSUER, write).await.unwrap();
        fs::remove_file(home.path().join(LOCK)).unwrap();
        let before = names();
        let found = amend(&settings, ISSUER, look).await.unwrap();
        assert_eq!(found, Some(ledger(&["a"])), "a copy that was never locked");
        assert_eq!(names(), before);
    }

    #[tokio::test]
    async fn a_folder_that_a_service_has_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let _service = Folder::open(home.path()).unwrap();
        let write = |_| Ok::<_, ()>((Some(ledger(&["a"])), ()));
        let error = amend(&files(home.path()), ISSUER, write).await.unwrap_err();
        assert!(
            matches!(error, AmendError::Lock(LockError::Locked { .. })),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_torn_ledger_stays_for_the_service_to_report() {
        let home = tempfile::tempdir().unwrap();
        let write = |_| Ok::<_, ()>((Some(ledger(&["a"])), ()));
        amend(&files(home.path()), ISSUER, write).await.unwrap();
        let entries = fs::read_dir(home.path()).unwrap();
        let file = entries
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().unwrap() == "json");
        let file = file.unwrap();
        fs::write(&file, "{").unwrap();
        let error = amend(&files(home.path()), ISSUER, write).await.unwrap_err();
        assert!(matches!(error, AmendError::Store(_)), "{error:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "{");
    }

    #[tokio::test]
    async fn a_lost_race_is_run_again_over_what_the_other_wrote() {
        let fake = crate::store::shared::fake::Fake::holding(ledger(&["a"]).encode(ISSUER));
        fake.now().rival = Some(ledger(&["a", "b"]).encode(ISSUER).into());
        let mut calls = 0;
        let mut write = |found: Option<Ledger>| {
            calls += 1;
            let found = found.unwrap_or_default();
            Ok::<_, ()>((Some(found.merge(&ledger(&["c"]))), ()))
        };
        in_shared(Shared::Fake(fake.clone()), ISSUER, &mut write)
            .await
            .unwrap();
        assert_eq!(calls, 2);
        let stored = fake.now().document.clone().unwrap();
        let stored = Ledger::decode(&stored, ISSUER).unwrap();
        assert_eq!(stored, ledger(&["a", "b", "c"]));
    }
}
