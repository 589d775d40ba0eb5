//! One issuer's ledger in this process: in memory, in the copy on this machine, and in the store that replicas share.
//!
//! The issuer's task opens it, keeps each change in the local copy before it publishes, and shares it afterwards. The
//! shared store is read and written beside that, by [`Replica::follow`]: whatever it does, nothing waits for it.

mod reading;
mod rest;
mod status;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

pub use status::Status;

use super::copy::LocalCopy;
use super::database::{LoadFailure, NotKept};
use super::opening::{Opening, Said, opening};
use super::shared::{SaveError, Shared, StoreError};
use super::tracker::{Seen, Step, Tracker};
use crate::ring::Ledger;

/// How long the start waits for each place; then the other one is enough.
const AT_START: Duration = Duration::from_secs(2);

/// Bound of one read or write of the shared store.
const AT_WORK: Duration = Duration::from_secs(10);

/// Pauses between attempts to open: doubled each time.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// One issuer's ledger. Lives as long as the process, whatever becomes of the issuer's task. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Replica(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    issuer: String,
    local: Option<LocalCopy>,
    shared: Option<tokio::sync::Mutex<Link>>,
    /// The newest ledger; `None` before it was opened.
    newest: Mutex<Option<Ledger>>,
    /// Whether the copy on this machine did not answer at the start, and is still to be read.
    is_unread: AtomicBool,
    /// Whether the shared store was not followed for a while.
    has_rested: AtomicBool,
    /// What the shared store is to have: what was published.
    published: watch::Sender<Ledger>,
    /// What is known to be in the shared store.
    stored: watch::Sender<Ledger>,
    /// Whether the issuer waits for its ledger, since it cannot be had now.
    waits: watch::Sender<bool>,
    status: Mutex<Status>,
}

/// The shared store, and what is known of it.
#[derive(Debug)]
struct Link {
    shared: Shared,
    tracker: Tracker,
    /// The generation before a torn one, as long as nothing was written over that.
    rescued: Option<Ledger>,
    /// Of the content that was found torn last: what is found again is counted once.
    torn: Option<[u8; 32]>,
}

/// A ledger that was found somewhere: to be merged into the ring.
#[derive(Debug)]
pub struct Found {
    /// It.
    pub ledger: Ledger,
    /// To be told when it is merged, kept and shared.
    pub merged: oneshot::Sender<()>,
}

impl Replica {
    /// Within a tokio runtime. Without either place the ledger lives in memory alone.
    pub(super) fn new(issuer: &str, local: Option<LocalCopy>, shared: Option<Shared>) -> Self {
        let link = |shared| {
            tokio::sync::Mutex::new(Link {
                shared,
                tracker: Tracker::new(Instant::now()),
                rescued: None,
                torn: None,
            })
        };
        Self(Arc::new(Inner {
            issuer: issuer.to_owned(),
            local,
            shared: shared.map(link),
            newest: Mutex::default(),
            is_unread: AtomicBool::new(false),
            has_rested: AtomicBool::new(false),
            published: watch::Sender::default(),
            stored: watch::Sender::default(),
            waits: watch::Sender::default(),
            status: Mutex::default(),
        }))
    }

    /// The ledger to start with. Waits until there is one to be had, or a store has said that there is none.
    pub async fn open(&self) -> Ledger {
        // The issuer's task starts anew after a reload, or a panic.
        let newest = self.newest().clone();
        if let Some(ledger) = newest {
            return self.caught_up(ledger).await;
        }
        let (mut pause, mut within) = (AGAIN.0, AT_START);
        loop {
            let reason = match self.opening(within).await {
                Opening::With(ledger) => {
                    self.status().waits = None;
                    self.0.waits.send_replace(false);
                    *self.newest() = Some(ledger.clone());
                    return ledger;
                }
                Opening::Wait(reason) | Opening::Refused(reason) => reason,
            };
            let issuer = &self.0.issuer;
            if self.status().waits.replace(reason.clone()).as_ref() != Some(&reason) {
                tracing::error!(
                    issuer,
                    "nothing is published before the ledger is read, both documents answer 503: {reason}"
                );
            }
            self.0.waits.send_replace(true);
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN.1);
            within = AT_WORK;
        }
    }

    /// Ends as soon as [`Self::open`] has found that the ledger cannot be had now; never where it can.
    pub async fn waits(&self) {
        let mut waits = self.0.waits.subscribe();
        // Its sender lives as long as this.
        let _ = waits.wait_for(|waits| *waits).await;
    }

    async fn opening(&self, within: Duration) -> Opening {
        let local = async {
            match &self.0.local {
                Some(local) => Some(self.local_says(local, within).await),
                None => None,
            }
        };
        let shared = async {
            match &self.0.shared {
                Some(link) => Some(self.shared_says(&mut *link.lock().await, within).await),
                None => None,
            }
        };
        let (local, shared) = tokio::join!(local, shared);
        let silent = match &shared {
            Some(Said::Silent(reason)) => Some(reason.clone()),
            _ => None,
        };
        let opening = opening(local.clone(), shared);
        if let (Opening::With(_), Some(reason)) = (&opening, silent) {
            self.tell_unreachable(&reason);
        }
        if let (Opening::With(ledger), Some(copy), Some(said)) = (&opening, &self.0.local, local) {
            match said {
                Said::Ledger(here) if here == *ledger => {}
                // It stays as it is, since nobody knows what is in it yet.
                Said::Silent(reason) => {
                    self.0.is_unread.store(true, Ordering::Relaxed);
                    self.durable(Err(NotKept::Failed(reason)));
                }
                _ if ledger.is_empty() => {}
                _ => self.durable(copy.keep(ledger).await),
            }
        }
        opening
    }

    async fn local_says(&self, local: &LocalCopy, within: Duration) -> Said {
        match local.load(within).await {
            Ok(loaded) => {
                self.report(&loaded.unusable, loaded.ledger.is_some());
                match loaded.ledger {
                    Some(ledger) => Said::Ledger(ledger),
                    None if loaded.unusable.is_empty() => Said::Nothing,
                    None => Said::Lost,
                }
            }
            Err(LoadFailure::Refused(reason)) => Said::Refused(reason),
            Err(LoadFailure::Another(reason)) => Said::Silent(reason),
        }
    }

    async fn shared_says(&self, link: &mut Link, within: Duration) -> Said {
        match self.read(link, within).await {
            Ok(Some(Said::Ledger(ledger))) => Said::Ledger(ledger),
            Ok(Some(said)) => said,
            // Only where it was read before, and the local copy was what was missing.
            Ok(None) => {
                let known = link.rescued.clone().or_else(|| link.tracker.seen());
                known.map_or(Said::Nothing, Said::Ledger)
            }
            Err(error) => {
                // Told where it is known what follows from it.
                self.is_newly_unreachable(&error, false);
                Said::Silent(error)
            }
        }
    }

    /// Keeps a ledger in this process and on this machine: before it is published. Returns within a second.
    pub async fn keep(&self, ledger: &Ledger) {
        if self.newest().as_ref() == Some(ledger) {
            return;
        }
        let before = self.newest().replace(ledger.clone()).unwrap_or_default();
        let Some(local) = &self.0.local else { return };
        self.durable(local.keep(ledger).await);
        if !ledger.revocations().eq(before.revocations()) {
            local.is_precious();
        }
    }

    /// Goes on with the ledger of an issuer that rested: it is the one that is kept.
    pub fn resume(&self, ledger: &Ledger) {
        let mut newest = self.newest();
        if newest.is_none() {
            *newest = Some(ledger.clone());
            if let Some(local) = &self.0.local {
                local.resume();
            }
        }
    }

    /// Whether all that it knows is where it is kept, so that its issuer may rest.
    pub fn may_rest(&self) -> bool {
        let status = self.status_now();
        let is_clean = status.waits.is_none() && status.not_durable.is_none() && status.lost == 0;
        let is_kept = self.0.local.as_ref().is_none_or(LocalCopy::is_kept);
        self.0.shared.is_none() && is_clean && is_kept && !self.0.is_unread.load(Ordering::Relaxed)
    }

    /// Whether other replicas share its store.
    pub fn is_shared(&self) -> bool {
        self.0.shared.is_some()
    }

    /// What was published goes to the shared store.
    pub fn share(&self, ledger: &Ledger) {
        self.0.published.send_if_modified(|published| {
            let is_new = published != ledger;
            if is_new {
                published.clone_from(ledger);
            }
            is_new
        });
    }

    /// Follows the shared store until it is dropped, or nobody listens to `found`: reads it at every refresh, and
    /// writes what it lacks. At once where there is none to follow.
    pub async fn follow(&self, refresh: Duration, found: mpsc::Sender<Found>) {
        let Some(link) = &self.0.shared else { return };
        tokio::select! {
            () = self.follow_link(link, refresh, &found) => {}
            () = self.make_up_for_local(&found) => {}
        }
    }

    /// Reads the copy on this machine as soon as that is possible, if it was not at the start: it may have what no
    /// other place has, and is not written before. Then rests for good.
    async fn make_up_for_local(&self, found: &mpsc::Sender<Found>) {
        let mut pause = AGAIN.0;
        while let Some(local) = &self.0.local
            && self.0.is_unread.load(Ordering::Relaxed)
        {
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN.1);
            let ledger = match self.local_says(local, AT_WORK).await {
                Said::Silent(_) => continue,
                Said::Refused(reason) => {
                    self.durable(Err(NotKept::Failed(reason)));
                    continue;
                }
                Said::Ledger(ledger) => Some(ledger),
                Said::Nothing | Said::Lost => None,
            };
            self.0.is_unread.store(false, Ordering::Relaxed);
            if let Some(ledger) = ledger {
                let (merged, done) = oneshot::channel();
                if found.send(Found { ledger, merged }).await.is_err() || done.await.is_err() {
                    return;
                }
            }
            // What was not kept so far.
            let newest = self.newest().clone().unwrap_or_default();
            self.durable(local.keep(&newest).await);
        }
        std::future::pending::<()>().await;
    }

    async fn follow_link(
        &self,
        link: &tokio::sync::Mutex<Link>,
        refresh: Duration,
        found: &mpsc::Sender<Found>,
    ) {
        // The task before, of a reload, has ended or is about to.
        let mut link = link.lock().await;
        link.tracker.every(refresh);
        let mut published = self.0.published.subscribe();
        loop {
            let mine = published.borrow_and_update().clone();
            let step = link.tracker.next(&mine, Instant::now());
            self.status()
                .tracked(link.tracker.behind_since(), link.tracker.agreed());
            if link.tracker.behind_since().is_none() {
                self.0.stored.send_if_modified(|stored| {
                    let is_new = *stored != mine;
                    if is_new {
                        stored.clone_from(&mine);
                    }
                    is_new
                });
            }
            let news = match step {
                Step::Rest(wait) => {
                    tokio::select! {
                        () = sleep(wait) => {}
                        changed = published.changed() => if changed.is_err() { return },
                    }
                    None
                }
                Step::Read => self.follow_read(&mut link).await,
                Step::Write(seen) => {
                    self.follow_write(&mut link, &mine, seen).await;
                    None
                }
            };
            for ledger in news.into_iter().filter(|news| news.adds_to(&mine)) {
                let (merged, done) = oneshot::channel();
                if found.send(Found { ledger, merged }).await.is_err() {
                    return;
                }
                // What is written next must have it in it.
                if done.await.is_err() {
                    return;
                }
            }
        }
    }

    async fn follow_read(&self, link: &mut Link) -> Option<Ledger> {
        let read = self.read(link, AT_WORK).await;
        let now = Instant::now();
        match read {
            Ok(Some(Said::Ledger(ledger))) => Some(ledger),
            Ok(Some(Said::Refused(reason) | Said::Silent(reason))) | Err(reason) => {
                self.unreachable(&reason, false);
                link.tracker.failed(now);
                None
            }
            Ok(Some(Said::Nothing | Said::Lost) | None) => None,
        }
    }

    async fn follow_write(&self, link: &mut Link, mine: &Ledger, seen: Seen) {
        let document = Bytes::from(mine.encode(&self.0.issuer));
        let place = link.shared.place();
        let save = link.shared.save(document.clone(), &seen.version, seen.document);
        let saved = timeout(AT_WORK, save).await;
        let now = Instant::now();
        match saved.unwrap_or_else(|_| Err(SaveError::Failed(late(&place, AT_WORK)))) {
            Ok(version) => {
                let seen = Seen {
                    ledger: mine.clone(),
                    document: Some(document),
                    version,
                };
                link.tracker.written(seen, now);
                link.rescued = None;
                self.status().writes += 1;
                self.reached(true);
            }
            Err(SaveError::Lost) => {
                link.tracker.lost_race(now);
                self.status().conflicts += 1;
            }
            Err(SaveError::Failed(error)) => {
                link.tracker.not_written(now);
                self.unreachable(&error.to_string(), true);
            }
        }
    }

    /// Shows the ledger, if there is one yet.
    pub(super) fn show(&self, each: &mut dyn FnMut(&str, &Ledger)) {
        let newest = self.newest().clone();
        if let Some(ledger) = newest {
            each(&self.0.issuer, &ledger);
        }
    }

    /// Ledgers are replaced as a whole, so a panic elsewhere leaves them so.
    fn newest(&self) -> MutexGuard<'_, Option<Ledger>> {
        self.0.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn late(place: &str, within: Duration) -> StoreError {
    StoreError::new(format!(
        "{place}: no answer within {} s. Check the network between, and the store's health",
        within.as_secs()
    ))
}
