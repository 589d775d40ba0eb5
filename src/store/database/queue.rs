//! What waits for the thread that writes: questions, and the newest document of each issuer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::writer::Writer;

/// The most that one commit writes: it bounds the log of SQLite, and so the size of the folder.
const AT_ONCE: usize = 256;

/// Pauses between attempts to write what failed: doubled each time.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What the writer is asked to do.
pub(super) type Question = Box<dyn FnOnce(&mut Writer) + Send>;

/// Whom to tell that a document was written, or why not.
type Tell = oneshot::Sender<Result<(), String>>;

#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    news: Condvar,
}

#[derive(Default)]
struct Inner {
    questions: Vec<Question>,
    changes: BTreeMap<String, Change>,
    number: u64,
    /// Somebody waited for a write in vain, and none has ended since.
    is_late: bool,
    is_closed: bool,
    /// Questions had the last turn.
    has_answered: bool,
    retry: Option<Instant>,
    pause: Duration,
}

/// A document that is not on the disk.
struct Change {
    document: Arc<[u8]>,
    number: u64,
    /// Not tried since it came, or since the last pause.
    is_fresh: bool,
    waits: Vec<(u64, Tell)>,
}

/// What the writer takes to write: issuer, number and document.
pub(super) type Batch = Vec<(String, u64, Arc<[u8]>)>;

/// What to do now.
pub(super) enum Turn {
    Answer(Vec<Question>),
    Write(Batch),
    /// The time that was given has come.
    Nothing,
    /// Nobody is left who could ask.
    End,
}

impl Queue {
    /// Whether a write is late, so that it is no use to wait for this one.
    pub(super) fn push(&self, issuer: &str, document: Arc<[u8]>, tell: Tell) -> bool {
        let mut inner = self.lock();
        inner.number += 1;
        let number = inner.number;
        let is_late = inner.is_late;
        let change = inner.changes.entry(issuer.to_owned()).or_insert_with(|| Change {
            document: Arc::default(),
            number,
            is_fresh: true,
            waits: Vec::new(),
        });
        (change.document, change.number, change.is_fresh) = (document, number, true);
        if !is_late {
            change.waits.push((number, tell));
        }
        drop(inner);
        self.news.notify_one();
        is_late
    }

    /// Somebody gave up waiting for this issuer's ledger.
    pub(super) fn is_late(&self, issuer: &str) {
        let mut inner = self.lock();
        // It may have been written just now.
        inner.is_late |= inner.changes.contains_key(issuer);
    }

    pub(super) fn has(&self, issuer: &str) -> bool {
        self.lock().changes.contains_key(issuer)
    }

    /// The document of an issuer that is not on the disk yet.
    pub(super) fn newest(&self, issuer: &str) -> Option<Arc<[u8]>> {
        self.lock()
            .changes
            .get(issuer)
            .map(|change| Arc::clone(&change.document))
    }

    #[cfg(test)]
    pub(super) fn pushed(&self) -> u64 {
        self.lock().number
    }

    pub(super) fn ask(&self, question: Question) {
        self.lock().questions.push(question);
        self.news.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.news.notify_one();
    }

    /// What to do next; waits for it until then. Questions and changes take turns.
    pub(super) fn next(&self, until: Option<Instant>) -> Turn {
        let mut inner = self.lock();
        loop {
            let now = Instant::now();
            if inner.retry.is_some_and(|retry| retry <= now) {
                inner.retry = None;
                inner
                    .changes
                    .values_mut()
                    .for_each(|change| change.is_fresh = true);
            }
            let changes_come_first =
                inner.has_answered && inner.changes.values().any(|change| change.is_fresh);
            if !changes_come_first && !inner.questions.is_empty() {
                inner.has_answered = true;
                return Turn::Answer(std::mem::take(&mut inner.questions));
            }
            let fresh = inner.changes.iter().filter(|(_, change)| change.is_fresh);
            let batch: Batch = fresh
                .take(AT_ONCE)
                .map(|(issuer, change)| (issuer.clone(), change.number, Arc::clone(&change.document)))
                .collect();
            if !batch.is_empty() {
                inner.has_answered = false;
                return Turn::Write(batch);
            }
            if inner.is_closed {
                return Turn::End;
            }
            let until = [until, inner.retry].into_iter().flatten().min();
            if until.is_some_and(|until| until <= now) {
                return Turn::Nothing;
            }
            let wait = until.map_or(Duration::from_hours(24), |until| until - now);
            inner = self
                .news
                .wait_timeout(inner, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// A batch was written, but for these; all others are told.
    pub(super) fn wrote(&self, batch: &Batch, failed: &BTreeMap<String, String>) {
        let mut inner = self.lock();
        inner.is_late = false;
        for (issuer, number, _) in batch {
            let Some(change) = inner.changes.get_mut(issuer) else {
                continue;
            };
            let is_newest = change.number == *number;
            let told = |(_, tell): (u64, Tell)| {
                // Whoever gave up is not told.
                let _ = tell.send(failed.get(issuer).map_or(Ok(()), |reason| Err(reason.clone())));
            };
            change
                .waits
                .extract_if(.., |(waits_for, _)| *waits_for <= *number)
                .for_each(told);
            match failed.contains_key(issuer) {
                true => change.is_fresh &= !is_newest,
                false if is_newest => drop(inner.changes.remove(issuer)),
                false => {}
            }
        }
        if inner.changes.values().all(|change| change.is_fresh) {
            return;
        }
        if failed.len() < batch.len() {
            // Something could be written: so may be what could not.
            inner.pause = PAUSE.0;
        }
        let pause = inner.pause.max(PAUSE.0);
        inner.pause = (pause * 2).min(PAUSE.1);
        inner.retry = Some(Instant::now() + pause);
    }

    /// Entries are added and removed as a whole, so a panic elsewhere leaves them so.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("changes", &self.changes.len())
            .field("is_late", &self.is_late)
            .finish_non_exhaustive()
    }
}
