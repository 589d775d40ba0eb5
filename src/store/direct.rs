//! A ledger is changed where it is kept, by a command, while no service may be there to do it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::database::{Database, LookError, NotKept, look, look_into_folders};
use super::opening::{Judged, judge, judge_stored};
use super::shared::{Read, SaveError, Shared};
use super::{Fault, LocalSettings, LockError, StoreSettings};
use crate::client::Connections;
use crate::display;
use crate::ring::Ledger;

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
    /// A running service has the database, or its lock cannot be taken.
    #[error("the folder of the ledgers {0}")]
    Lock(LockError),
    /// The store, or what is in it, cannot be used: place, cause, remedy.
    #[error("{0}")]
    Store(String),
}

impl<E> From<LookError> for AmendError<E> {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Lock(error) => Self::Lock(error),
            LookError::Unusable(reason) => Self::Store(reason),
        }
    }
}

/// Changes the ledger of an issuer in its store, over the version that was read: a race that is lost is run again.
/// `change` gets `None` where the store says that there is no ledger.
pub async fn amend<T, E>(
    settings: &StoreSettings,
    issuer: &str,
    mut change: impl FnMut(Option<Ledger>) -> Result<Change<T>, E>,
) -> Result<T, AmendError<E>> {
    match settings {
        StoreSettings::Memory => Err(AmendError::Store(
            "the store is `memory`: it lives and ends with the service, use its control socket".into(),
        )),
        StoreSettings::Folder { folder } => in_folder(folder, issuer, &mut change),
        StoreSettings::Sqlite { local } => in_database(local, issuer, &mut change).await,
        StoreSettings::Kubernetes { .. } | StoreSettings::ObjectStorage { .. } => {
            match Shared::of(settings, issuer, &Connections::default()) {
                Some(shared) => in_shared(shared, issuer, &mut change).await,
                None => Err(AmendError::Store("the store is shared by nobody".into())),
            }
        }
    }
}

/// The issuers that have ledgers in a store on this machine, so far as they can be read; none are known of a shared one.
pub fn issuers_in(settings: &StoreSettings) -> Result<Vec<String>, AmendError<Infallible>> {
    let (mut issuers, folders) = match settings {
        StoreSettings::Sqlite { local } => {
            let found = look(&local.file, None)?.unwrap_or_default();
            let issuers = found.into_iter().map(|(issuer, _)| issuer).collect();
            (issuers, local.folders.as_slice())
        }
        StoreSettings::Folder { folder } => (BTreeSet::new(), std::slice::from_ref(folder)),
        StoreSettings::Memory | StoreSettings::Kubernetes { .. } | StoreSettings::ObjectStorage { .. } => {
            return Ok(Vec::new());
        }
    };
    let kept = look_into_folders(folders, None).map_err(AmendError::Store)?;
    issuers.extend(kept.into_keys());
    Ok(issuers.into_iter().collect())
}

/// A folder of a former release is only read.
fn in_folder<T, E>(
    folder: &Path,
    issuer: &str,
    change: &mut impl FnMut(Option<Ledger>) -> Result<Change<T>, E>,
) -> Result<T, AmendError<E>> {
    let found = look_into_folders(&[folder.to_owned()], Some(issuer)).map_err(AmendError::Store)?;
    match change(found.into_values().next()).map_err(AmendError::Refused)? {
        (None, told) => Ok(told),
        (Some(_), _) => Err(AmendError::Store(format!(
            "{} is a folder of a former release, which is only read: name the database, by --store=sqlite:FILE",
            display::path(folder)
        ))),
    }
}

/// Looks first: what only looks changes nothing, and makes nothing.
async fn in_database<T, E>(
    local: &LocalSettings,
    issuer: &str,
    change: &mut impl FnMut(Option<Ledger>) -> Result<Change<T>, E>,
) -> Result<T, AmendError<E>> {
    let place = format!("the ledger in {}", display::path(&local.file));
    let stored = look(&local.file, Some(issuer))?.unwrap_or_default();
    let mut found = look_into_folders(&local.folders, Some(issuer)).map_err(AmendError::Store)?;
    let mut found = found.remove(issuer);
    for (_, document) in stored {
        let ledger = judge(&document, issuer).map_err(|fault| {
            let (Fault::Torn(reason) | Fault::Refused(reason)) = fault;
            AmendError::Store(format!("{place}: {reason}; it is left as it is"))
        })?;
        found = Some(found.unwrap_or_default().merge(&ledger));
    }
    let (None, told) = change(found).map_err(AmendError::Refused)? else {
        return in_open_database(local, issuer, change).await;
    };
    Ok(told)
}

/// As a service does it, after it has taken over what former releases left.
async fn in_open_database<T, E>(
    local: &LocalSettings,
    issuer: &str,
    change: &mut impl FnMut(Option<Ledger>) -> Result<Change<T>, E>,
) -> Result<T, AmendError<E>> {
    let database = Database::open(local.clone(), Box::new(|_| {})).map_err(AmendError::Lock)?;
    let changed = async {
        let loaded = database.load(issuer, PATIENCE).await;
        let loaded = loaded.map_err(|failure| AmendError::Store(failure.to_string()))?;
        let (ledger, told) = change(loaded.ledger).map_err(AmendError::Refused)?;
        let Some(ledger) = ledger else { return Ok(told) };
        let late = Instant::now() + PATIENCE;
        let mut kept = database.keep(issuer, ledger.encode(issuer).into()).await;
        while kept == Err(NotKept::Late) && Instant::now() < late {
            sleep(PAUSE).await;
            if database.is_kept(issuer) {
                kept = Ok(());
            }
        }
        kept.map_err(|not| {
            AmendError::Store(format!(
                "the ledger in {} cannot be written: {not}",
                display::path(&local.file)
            ))
        })?;
        Ok(told)
    };
    let changed = changed.await;
    database.end(PATIENCE).await;
    changed
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
    use std::fs;

    use super::*;
    use crate::store::fake::{self, ledger};

    const ISSUER: &str = "https://a.example";

    fn sqlite(folder: &Path) -> StoreSettings {
        let local = fake::local(folder);
        StoreSettings::Sqlite { local }
    }

    /// The files in a folder, with their sizes.
    fn files(folder: &Path) -> Vec<(String, u64)> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Vec::new();
        };
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (
                    entry.file_name().into_string().unwrap(),
                    entry.metadata().unwrap().len(),
                )
            })
            .collect();
        files.sort();
        files
    }

    #[tokio::test]
    async fn a_change_is_written_and_a_look_makes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("state");
        let settings = sqlite(&folder);
        assert_eq!(issuers_in(&settings).unwrap(), Vec::<String>::new());
        let refused = amend(&settings, ISSUER, |found| {
            assert_eq!(found, None);
            Err::<Change<()>, _>("nothing here")
        });
        assert!(matches!(refused.await, Err(AmendError::Refused("nothing here"))));
        assert!(!folder.exists(), "not made for nothing");

        let write = |_| Ok::<_, ()>((Some(ledger(&["a"])), ()));
        amend(&settings, ISSUER, write).await.unwrap();
        // As one that was copied here: without a lock.
        fs::remove_file(folder.join("ledgers.db.lock")).unwrap();
        let before = files(&folder);
        assert_eq!(issuers_in(&settings).unwrap(), [ISSUER]);
        let found = amend(&settings, ISSUER, |found| Ok::<_, ()>((None, found))).await;
        assert_eq!(found.unwrap(), Some(ledger(&["a"])));
        assert_eq!(files(&folder), before);
    }

    #[tokio::test]
    async fn what_a_service_wrote_before_it_was_killed_is_seen() {
        let home = tempfile::tempdir().unwrap();
        let (running, killed) = (home.path().join("running"), home.path().join("killed"));
        let service = fake::database(&running);
        service.load(ISSUER, PATIENCE).await.unwrap();
        let document = ledger(&["a"]).encode(ISSUER);
        fake::kept(&service, ISSUER, document).await;
        fs::create_dir(&killed).unwrap();
        for (file, _) in files(&running) {
            fs::copy(running.join(&file), killed.join(&file)).unwrap();
        }
        assert!(
            killed.join("ledgers.db-wal").metadata().unwrap().len() > 0,
            "it is in the log"
        );
        assert_eq!(issuers_in(&sqlite(&killed)).unwrap(), [ISSUER]);
        let found = amend(&sqlite(&killed), ISSUER, |found| Ok::<_, ()>((None, found))).await;
        assert_eq!(found.unwrap(), Some(ledger(&["a"])));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_looked_into_is_not_taken_for_one_that_is_not_there() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("file"), "").unwrap();
        // As one of another user, but for root too.
        let settings = sqlite(&home.path().join("file").join("state"));
        let look = |found| Ok::<_, ()>((None, found));
        let error = amend(&settings, ISSUER, look).await.unwrap_err();
        assert!(matches!(error, AmendError::Store(_)), "{error:?}");
        issuers_in(&settings).unwrap_err();
    }

    #[tokio::test]
    async fn a_database_that_a_service_has_is_said_to_be_in_use_and_never_to_be_empty() {
        let home = tempfile::tempdir().unwrap();
        let service = fake::database(home.path());
        service.load(ISSUER, PATIENCE).await.unwrap();
        let settings = sqlite(home.path());
        let write = |_| Ok::<_, ()>((Some(ledger(&["a"])), ()));
        let error = amend(&settings, ISSUER, write).await.unwrap_err();
        assert!(
            matches!(error, AmendError::Lock(LockError::Locked { .. })),
            "{error:?}"
        );
        let error = issuers_in(&settings).unwrap_err();
        assert!(
            matches!(error, AmendError::Lock(LockError::Locked { .. })),
            "{error:?}"
        );
        // Whoever took the lock away does not get in.
        fs::remove_file(home.path().join("ledgers.db.lock")).unwrap();
        let error = issuers_in(&settings).unwrap_err();
        assert!(error.to_string().contains("has it open"), "{error:?}");
    }

    #[tokio::test]
    async fn a_damaged_database_stays_for_the_service_to_report() {
        let home = tempfile::tempdir().unwrap();
        let write = |_| Ok::<_, ()>((Some(ledger(&["a"])), ()));
        amend(&sqlite(home.path()), ISSUER, write).await.unwrap();
        let file = home.path().join("ledgers.db");
        fs::write(&file, "{").unwrap();
        let error = amend(&sqlite(home.path()), ISSUER, write).await.unwrap_err();
        assert!(matches!(error, AmendError::Store(_)), "{error:?}");
        issuers_in(&sqlite(home.path())).unwrap_err();
        assert_eq!(fs::read_to_string(&file).unwrap(), "{");
    }

    #[tokio::test]
    async fn a_folder_of_a_former_release_is_read_and_not_written() {
        let home = tempfile::tempdir().unwrap();
        let file = home
            .path()
            .join(format!("{}.json", crate::store::name::of(ISSUER)));
        fs::write(file, ledger(&["a"]).encode(ISSUER)).unwrap();
        let folder = home.path().to_owned();
        let settings = StoreSettings::Folder { folder };
        let before = files(home.path());
        assert_eq!(issuers_in(&settings).unwrap(), [ISSUER]);
        let found = amend(&settings, ISSUER, |found| Ok::<_, ()>((None, found))).await;
        assert_eq!(found.unwrap(), Some(ledger(&["a"])));
        let write = |_| Ok::<_, String>((Some(ledger(&["b"])), ()));
        let error = amend(&settings, ISSUER, write).await.unwrap_err();
        assert!(error.to_string().contains("only read"), "{error}");
        assert_eq!(files(home.path()), before);
    }

    #[tokio::test]
    async fn a_revocation_before_the_first_start_of_this_release_is_of_what_the_folder_has() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("ledgers");
        fs::create_dir(&folder).unwrap();
        let file = folder.join(format!("{}.json", crate::store::name::of(ISSUER)));
        fs::write(file, ledger(&["a"]).encode(ISSUER)).unwrap();
        assert_eq!(issuers_in(&sqlite(home.path())).unwrap(), [ISSUER]);
        let add = |found: Option<Ledger>| {
            let found = found.expect("the one in the folder");
            Ok::<_, ()>((Some(found.merge(&ledger(&["b"]))), ()))
        };
        amend(&sqlite(home.path()), ISSUER, add).await.unwrap();
        assert!(!folder.exists(), "it was taken over");
        let found = amend(&sqlite(home.path()), ISSUER, |found| Ok::<_, ()>((None, found))).await;
        assert_eq!(found.unwrap(), Some(ledger(&["a", "b"])));
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
