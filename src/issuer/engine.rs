//! The issuers of the process as values in a table: none of them has a task, a timer or a channel while nothing happens.
//!
//! What happens to an issuer is an event in its mailbox. Where nobody works for that issuer, a task begins that takes up its
//! events one by one, and ends when there is none. What is to be done later is in one queue for all. Reads run beside, as
//! many at once as there are [`Places`]. So an issuer's trouble costs its own place and its own task, and a panic its own state,
//! which is made again from its ledger.

mod reading;

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Duration, Instant};

use super::ahead;
use super::due::{Due, DueQueue, IssuerId, What};
use super::entry::{Companion, Entry};
use super::places::Places;
use super::shared::Shared;
use super::state::{Event, Issuer, Parts};
use crate::fs::panic_text;
use crate::store::Found;

/// The clocks are looked at this often, also where no issuer does anything: they may be set, or the machine may sleep.
const LOOK: Duration = Duration::from_secs(30);

/// The first pause before an issuer that panicked is made again; it doubles each time.
const PANIC_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Ledgers that are read and written at the same time.
const OPENING_AT_ONCE: usize = 64;

/// The engine. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    table: Mutex<Table>,
    next_id: AtomicU64,
    due: DueQueue,
    places: Places,
    opening: Arc<Semaphore>,
    /// Issuers whose ledgers were not asked for yet.
    starting: AtomicUsize,
    started: Notify,
}

#[derive(Debug, Default)]
struct Table {
    by_url: BTreeMap<Arc<str>, Arc<Entry>>,
    by_id: HashMap<IssuerId, Arc<Entry>>,
}

impl Engine {
    /// Within a tokio runtime. It stops working when the last clone is dropped.
    pub(super) fn start(shared: Shared) -> Self {
        let inner = Arc::new(Inner {
            places: Places::new(shared.reads, shared.rounds.clone()),
            shared: Arc::new(shared),
            table: Mutex::default(),
            next_id: AtomicU64::new(0),
            due: DueQueue::default(),
            opening: Arc::new(Semaphore::new(OPENING_AT_ONCE)),
            starting: AtomicUsize::new(0),
            started: Notify::new(),
        });
        let asked = Arc::downgrade(&inner);
        inner.shared.metrics.details_from(move |url| {
            let entry = asked.upgrade()?.table().by_url.get(url).cloned();
            entry?.details()
        });
        let asked = Arc::downgrade(&inner);
        inner.shared.stores.at_rest_from(move |each| {
            let Some(inner) = asked.upgrade() else { return };
            let all: Vec<_> = inner.table().by_id.values().cloned().collect();
            for entry in all {
                if let Some(ledger) = entry.ledger_at_rest() {
                    each(entry.parts.settings.profile.issuer.as_str(), &ledger);
                }
            }
        });
        tokio::spawn(clockwork(Arc::downgrade(&inner)));
        tokio::spawn(look_at_clocks(Arc::downgrade(&inner)));
        Self(inner)
    }

    /// What all issuers have in common.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Adds an issuer, and begins with its ledger. One with the same URL must have ended.
    pub(super) fn add(&self, parts: Parts) -> Arc<Entry> {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let readers = reading::readers(&parts);
        let entry = Arc::new(Entry::new(id, parts, readers));
        let url: Arc<str> = entry.parts.settings.profile.issuer.as_str().into();
        {
            let mut table = self.0.table();
            table.by_id.insert(id, Arc::clone(&entry));
            table.by_url.insert(url, Arc::clone(&entry));
        }
        for (source, reader) in (0_u32..).zip(&*entry.readers()) {
            Inner::watch(&self.0, &entry, source, reader.source.as_deref());
        }
        self.0.starting.fetch_add(1, Ordering::AcqRel);
        Inner::open(&self.0, &entry, Some(Starting(Arc::clone(&self.0))));
        entry
    }

    /// The issuer of this URL.
    pub(super) fn find(&self, url: &str) -> Option<Arc<Entry>> {
        self.0.table().by_url.get(url).cloned()
    }

    /// Whether there is exactly one issuer, and which.
    pub(super) fn only(&self) -> Option<Arc<Entry>> {
        let table = self.0.table();
        let mut all = table.by_url.values();
        let only = all.next().cloned();
        only.filter(|_| all.next().is_none())
    }

    /// How many there are, and the URLs of the first of them.
    pub(super) fn known(&self, most: usize) -> (usize, Vec<String>) {
        let table = self.0.table();
        let urls = table.by_url.keys().take(most).map(ToString::to_string);
        (table.by_url.len(), urls.collect())
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        self.0.table().by_url.values().cloned().collect()
    }

    /// Takes an issuer out of the table; it is to be ended.
    pub(super) fn remove(&self, entry: &Arc<Entry>) {
        let mut table = self.0.table();
        table.by_id.remove(&entry.id);
        let url = entry.parts.settings.profile.issuer.as_str();
        if table.by_url.get(url).is_some_and(|now| now.id == entry.id) {
            table.by_url.remove(url);
        }
        let entries = table.by_id.len();
        if table.by_id.capacity() > 1024 && entries < table.by_id.capacity() / 4 {
            table.by_id.shrink_to_fit();
        }
        // What the queue has of those that have left.
        if self.0.due.len() > 1024 + 8 * entries {
            let by_id = &table.by_id;
            self.0.due.retain(|due| by_id.contains_key(&due.issuer));
        }
    }

    /// Waits until what each ledger says is published, or it is known that the ledger cannot be had now.
    pub(super) async fn started(&self) {
        loop {
            let mut told = pin!(self.0.started.notified());
            told.as_mut().enable();
            if self.0.starting.load(Ordering::Acquire) == 0 {
                return;
            }
            told.await;
        }
    }

    /// An event of an issuer.
    pub(super) fn push(&self, entry: &Arc<Entry>, event: Event) {
        Inner::push(&self.0, entry, event);
    }
}

impl Inner {
    /// Entries are added and removed in single steps, so a panic elsewhere leaves it whole.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(inner: &Arc<Self>, entry: &Arc<Entry>, event: Event) {
        let work = |issuer| tokio::spawn(guarded(Arc::clone(inner), Arc::clone(entry), issuer, None));
        entry.push(event, work);
    }

    fn open(inner: &Arc<Self>, entry: &Arc<Entry>, starting: Option<Starting>) {
        let work = || tokio::spawn(guarded(Arc::clone(inner), Arc::clone(entry), None, starting));
        entry.open(work);
    }

    /// Does what is due.
    fn fire(inner: &Arc<Self>, due: Due) {
        let Some(entry) = inner.table().by_id.get(&due.issuer).cloned() else {
            return;
        };
        match due.what {
            What::Read(source) => Self::read(inner, &entry, source, due.number),
            What::Settle if entry.is_appointed(due.number) => Self::push(inner, &entry, Event::Due),
            What::Settle => {}
            What::Restart => Self::open(inner, &entry, None),
        }
    }
}

/// Works for one issuer until there is nothing to do. A panic costs its state, which is made again later.
async fn guarded(
    inner: Arc<Inner>,
    entry: Arc<Entry>,
    issuer: Option<Box<Issuer>>,
    starting: Option<Starting>,
) {
    let Err(panic) = catch(Box::pin(work(&inner, &entry, issuer, starting))).await else {
        return;
    };
    let issuer = &entry.parts.settings.profile.issuer;
    tracing::error!(
        %panic,
        "the task of issuer {issuer} panicked and starts again: please report this defect"
    );
    if let Some(panics) = entry.panicked() {
        let pause = PANIC_BACKOFF
            .0
            .saturating_mul(1 << panics.min(16))
            .min(PANIC_BACKOFF.1);
        inner.due.add(Due {
            at: Instant::now() + pause,
            issuer: entry.id,
            what: What::Restart,
            number: 0,
        });
    }
}

async fn work(
    inner: &Arc<Inner>,
    entry: &Arc<Entry>,
    issuer: Option<Box<Issuer>>,
    starting: Option<Starting>,
) {
    let mut issuer = if let Some(issuer) = issuer {
        issuer
    } else {
        let issuer = open(inner, entry, starting).await;
        for (source, _) in (0_u32..).zip(&entry.parts.settings.sources) {
            inner.appoint_read(entry, source, Duration::ZERO);
        }
        follow(inner, entry, &issuer);
        issuer
    };
    loop {
        let next = issuer.rests_for();
        let number = entry.appoint();
        if let Some(wait) = next {
            inner.due.add(Due {
                at: Instant::now() + wait,
                issuer: entry.id,
                what: What::Settle,
                number,
            });
        }
        let Some((event, mine)) = entry.next(issuer) else {
            return;
        };
        issuer = mine;
        issuer.take(event).await;
    }
}

/// Makes the state of an issuer from its ledger, and publishes what it says. Waits for as long as the ledger cannot be had.
async fn open(inner: &Arc<Inner>, entry: &Arc<Entry>, starting: Option<Starting>) -> Box<Issuer> {
    let parts = entry.parts.clone();
    let url = parts.settings.profile.issuer.clone();
    let published = parts.published.clone();
    let place = Arc::clone(&inner.opening).acquire_owned().await.ok();
    let replica = parts.shared.stores.replica(url.as_str());
    let mut opening = Box::pin(Issuer::open(parts));
    let opened = tokio::select! {
        issuer = &mut opening => Some(issuer),
        () = replica.waits() => None,
    };
    if let Some(reason) = replica.status_now().waits {
        let reason = format!("its ledger cannot be read: {reason}");
        published.send_modify(|published| published.reason(&url, Some(reason)));
    }
    drop((place, starting));
    match opened {
        Some(issuer) => Box::new(issuer),
        None => Box::new(opening.await),
    }
}

/// Follows the shared store, where there is one, for as long as the issuer is here.
fn follow(inner: &Arc<Inner>, entry: &Arc<Entry>, issuer: &Issuer) {
    let replica = issuer.replica().clone();
    if !replica.is_shared() {
        return;
    }
    let refresh = entry.parts.settings.refresh.try_into().unwrap_or_default();
    let (weak_inner, weak_entry) = (Arc::downgrade(inner), Arc::downgrade(entry));
    let (tell, mut found) = mpsc::channel::<Found>(1);
    let follower = tokio::spawn(async move {
        let follow = async {
            loop {
                let followed = catch(Box::pin(replica.follow(refresh, tell.clone()))).await;
                let Err(panic) = followed else { return };
                tracing::error!(%panic, "following a store panicked and starts again: please report this defect");
                tokio::time::sleep(PANIC_BACKOFF.0).await;
            }
        };
        let pass_on = async {
            while let Some(found) = found.recv().await {
                let (Some(inner), Some(entry)) = (weak_inner.upgrade(), weak_entry.upgrade()) else {
                    return;
                };
                Inner::push(&inner, &entry, Event::Found(found));
            }
        };
        tokio::select! {
            () = follow => {}
            () = pass_on => {}
        }
    });
    entry.accompany(Companion::Store, follower);
}

/// Counts an issuer as one that starts, until it is dropped.
#[derive(Debug)]
struct Starting(Arc<Inner>);

impl Drop for Starting {
    fn drop(&mut self) {
        if self.0.starting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.started.notify_waiters();
        }
    }
}

/// Waits for what is due, for all issuers.
async fn clockwork(inner: Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        for due in strong.due.next().await {
            Inner::fire(&strong, due);
        }
    }
}

async fn look_at_clocks(inner: Weak<Inner>) {
    loop {
        {
            let Some(inner) = inner.upgrade() else { return };
            let clock = inner.shared.clock.steady();
            ahead::log_leap(&clock);
            inner.shared.metrics.clock_leaps(clock.leap);
            inner.shared.metrics.reading_round(inner.shared.rounds.longest());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Runs something to its end, or to its panic, which it tells.
async fn catch<T>(work: Pin<Box<impl Future<Output = T> + ?Sized>>) -> Result<T, String> {
    let mut work = work;
    std::future::poll_fn(move |context| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Err(panic) => Poll::Ready(Err(panic_text(&*panic))),
        }
    })
    .await
}
