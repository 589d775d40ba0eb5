//! The copy of a ledger on this machine: written behind the back of the issuer's task, which waits no longer than a
//! second for it. A disk that hangs holds up nothing but itself, and gets the newest ledger when it is back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, oneshot, watch};

use super::Fault;
use super::file::{LedgerFile, LoadError, Loaded};
use crate::fs::panic_message;

/// Publishing waits this long for a write.
const PATIENCE: Duration = Duration::from_secs(1);

/// Pauses between attempts to write what failed: doubled each time.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The local copy of one issuer's ledger. Writes go on when it is dropped, until the newest is written.
pub(super) struct LocalCopy {
    file: Arc<Mutex<LedgerFile>>,
    wanted: watch::Sender<Wanted>,
    done: watch::Receiver<Done>,
}

/// The newest ledger, and how many there were before it.
#[derive(Clone, Default)]
struct Wanted {
    number: u64,
    ledger: Arc<[u8]>,
}

#[derive(Clone, Debug, Default)]
struct Done {
    /// Up to this one all is written.
    kept: u64,
    /// Why the one with this number was not.
    failed: Option<(u64, String)>,
}

/// Why a ledger is not on the disk: what is published now might be forgotten by a crash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotKept {
    #[error("the write took more than {} s", PATIENCE.as_secs())]
    Late,
    #[error("{0}")]
    Failed(String),
}

impl LocalCopy {
    /// Nothing is read yet. Within a tokio runtime.
    pub(super) fn new(file: LedgerFile) -> Self {
        let file = Arc::new(Mutex::new(file));
        let (wanted, newest) = watch::channel(Wanted::default());
        let (tell, done) = watch::channel(Done::default());
        tokio::spawn(write_on(Arc::clone(&file), newest, tell));
        Self { file, wanted, done }
    }

    /// Reads what is there; until this has succeeded, nothing is written.
    pub(super) async fn load<T: Send + 'static>(
        &self,
        within: Duration,
        judge: impl Fn(&[u8]) -> Result<T, Fault> + Send + 'static,
    ) -> Result<Loaded<T>, LoadFailure> {
        let file = Arc::clone(&self.file);
        let (tell, mut read) = oneshot::channel();
        tokio::spawn(async move {
            let mut file = file.lock_owned().await;
            tokio::task::spawn_blocking(move || {
                let loaded = file.load(judge);
                if tell.send(loaded).is_err() {
                    // Too late: nobody knows what it was, so nothing may be written over it.
                    file.forget();
                }
            });
        });
        let loaded = if let Ok(loaded) = tokio::time::timeout(within, &mut read).await {
            loaded.ok()
        } else {
            // It may have come just now.
            read.close();
            read.try_recv().ok()
        };
        match loaded {
            Some(loaded) => Ok(loaded?),
            None => Err(LoadFailure::Another(format!(
                "the local copy was not read within {} s: a disk or network mount that hangs?",
                within.as_secs()
            ))),
        }
    }

    /// Writes a ledger, and waits for it: a second at most, and not at all while an earlier write hangs. What could not
    /// be written is tried again until it is, or until there is a newer one.
    pub(super) async fn keep(&self, ledger: Arc<[u8]>) -> Result<(), NotKept> {
        let hangs = {
            let done = self.done.borrow();
            done.kept < self.wanted.borrow().number && done.failed.is_none()
        };
        let mut number = 0;
        self.wanted.send_modify(|wanted| {
            wanted.number += 1;
            wanted.ledger = ledger;
            number = wanted.number;
        });
        if hangs {
            return Err(NotKept::Late);
        }
        let mut done = self.done.clone();
        let decided = done.wait_for(|done| done.kept >= number || done.failure_of(number).is_some());
        match tokio::time::timeout(PATIENCE, decided).await {
            Err(_) => Err(NotKept::Late),
            Ok(Err(_)) => Err(NotKept::Failed("writing ended by a panic, see the log".into())),
            Ok(Ok(done)) => match done.failure_of(number) {
                Some(reason) if done.kept < number => Err(NotKept::Failed(reason.to_owned())),
                _ => Ok(()),
            },
        }
    }

    /// Whether the newest ledger is on the disk.
    pub(super) fn is_kept(&self) -> bool {
        self.done.borrow().kept >= self.wanted.borrow().number
    }
}

impl Done {
    fn failure_of(&self, number: u64) -> Option<&str> {
        let (failed, reason) = self.failed.as_ref()?;
        (*failed >= number).then_some(reason)
    }
}

impl fmt::Debug for LocalCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalCopy")
            .field("done", &*self.done.borrow())
            .finish_non_exhaustive()
    }
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadFailure {
    /// It is there, and not for us.
    #[error("{0}")]
    Refused(String),
    /// It may be readable another time.
    #[error("{0}")]
    Another(String),
}

impl From<LoadError> for LoadFailure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Refused { .. } => Self::Refused(error.to_string()),
            LoadError::Unreadable { .. } => Self::Another(error.to_string()),
        }
    }
}

async fn write_on(
    file: Arc<Mutex<LedgerFile>>,
    mut newest: watch::Receiver<Wanted>,
    tell: watch::Sender<Done>,
) {
    let mut pause = PAUSE.0;
    // The last one is still seen after the sender is gone.
    while newest.changed().await.is_ok() {
        loop {
            let Wanted { number, ledger } = newest.borrow_and_update().clone();
            let mut file = Arc::clone(&file).lock_owned().await;
            let written = tokio::task::spawn_blocking(move || file.save(&ledger).map_err(|e| e.to_string()));
            let outcome = written.await.map_err(panic_message).flatten();
            let Err(reason) = outcome else {
                pause = PAUSE.0;
                tell.send_replace(Done {
                    kept: number,
                    failed: None,
                });
                break;
            };
            tell.send_modify(|done| done.failed = Some((number, reason)));
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
                newer = newest.changed() => if newer.is_err() {
                    // Nobody is left who could tell.
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::Folder;

    const SOON: Duration = Duration::from_secs(10);

    #[expect(clippy::unnecessary_wraps, reason = "as a judge is called")]
    fn any(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(bytes.to_vec())
    }

    fn copy(folder: &Path) -> LocalCopy {
        LocalCopy::new(Folder::open(folder).unwrap().ledger("https://oidc.example.com"))
    }

    async fn loaded(folder: &Path) -> Option<Vec<u8>> {
        copy(folder).load(SOON, any).await.unwrap().ledger
    }

    #[tokio::test]
    async fn what_is_kept_is_there_after_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let first = copy(home.path());
        assert_eq!(first.load(SOON, any).await.unwrap().ledger, None);
        first.keep(b"one".as_slice().into()).await.unwrap();
        first.keep(b"two".as_slice().into()).await.unwrap();
        assert!(first.is_kept());
        drop(first);
        // The lock goes with the last write.
        while Folder::open(home.path()).is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(loaded(home.path()).await.as_deref(), Some(b"two".as_slice()));
    }

    #[tokio::test]
    async fn a_write_that_fails_is_told_and_made_up_for() {
        let home = tempfile::tempdir().unwrap();
        let copy = copy(home.path());
        copy.load(SOON, any).await.unwrap();
        // A folder in its place: no file can be made there.
        let name = crate::store::name::of("https://oidc.example.com");
        let temporary = home.path().join(format!("{name}.json.tmp"));
        std::fs::create_dir(&temporary).unwrap();
        let failure = copy.keep(b"one".as_slice().into()).await.unwrap_err();
        assert!(matches!(failure, NotKept::Failed(_)), "{failure:?}");
        assert!(!copy.is_kept());
        std::fs::remove_dir(&temporary).unwrap();
        let mut done = copy.done.clone();
        let written = tokio::time::timeout(SOON, done.wait_for(|done| done.kept == 1));
        written.await.unwrap().unwrap();
        assert!(copy.is_kept());
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_delays_by_a_second_once() {
        let home = tempfile::tempdir().unwrap();
        let copy = copy(home.path());
        copy.load(SOON, any).await.unwrap();
        let hanging = Arc::clone(&copy.file).lock_owned().await;
        let start = tokio::time::Instant::now();
        assert_eq!(copy.keep(b"one".as_slice().into()).await, Err(NotKept::Late));
        assert_eq!(start.elapsed(), PATIENCE);
        assert_eq!(copy.keep(b"two".as_slice().into()).await, Err(NotKept::Late));
        assert_eq!(start.elapsed(), PATIENCE, "not once more");
        drop(hanging);
        let mut done = copy.done.clone();
        done.wait_for(|done| done.kept == 2).await.unwrap();
        assert!(copy.is_kept());
    }

    #[tokio::test]
    async fn nothing_is_written_over_what_was_not_read() {
        let home = tempfile::tempdir().unwrap();
        let copy = copy(home.path());
        let failure = copy.keep(b"one".as_slice().into()).await.unwrap_err();
        assert!(failure.to_string().contains("not read yet"), "{failure}");
    }
}
