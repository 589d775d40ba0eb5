//! One issuer's state: what its sources said goes into the ring, and what the ring says is published.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, yield_now};
use tokio_util::sync::CancellationToken;

use super::ahead;
use super::chronicle::{Chronicle, log};
use super::desk::{self, Inbox};
use super::endpoints::counted;
use super::events::Turn;
use super::guard::{Work, restarted};
use super::memory::{Handover, Memory, SourceState};
use super::owners::Owned;
use super::reader::{Order, Reading, read_on};
use super::shared::{Published, Shared};
use super::{IssuerSettings, IssuerSource};
use crate::catalog::Slot;
use crate::client;
use crate::key::Quarantined;
use crate::metrics::{IssuerMetrics, RotationState};
use crate::publication;
use crate::representation::Served;
use crate::ring::{KeySet, Ledger, Listing, Refused, Ring, SourceId};
use crate::source::{Accepted, Asked, Cause, ReadError};
use crate::store::{Found, Replica};

/// The clock may jump while we sleep: the time is looked at this often.
const LOOK: Duration = Duration::from_secs(30);

/// So many sources are named where `/readyz` says why an issuer waits.
const MAX_REASONS: usize = 3;

/// All that an issuer's task is made of: made again from this after a panic.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) settings: Arc<IssuerSettings>,
    pub(super) shared: Shared,
    pub(super) slot: Arc<Slot>,
    pub(super) published: watch::Sender<Published>,
    pub(super) inbox: Inbox,
    pub(super) handover: Handover,
}

/// The state of one issuer. Nothing here waits, but for the local copy of its ledger: a second at most.
#[derive(Debug)]
pub(super) struct Issuer {
    parts: Parts,
    replica: Replica,
    name: String,
    ids: Vec<SourceId>,
    sources: Vec<SourceState>,
    ring: Ring,
    key_set: KeySet,
    chronicle: Chronicle,
    /// Whether the chronicle is older than the ring, which may not have heard all yet.
    recalls: bool,
    /// Whether the documents were written by these settings yet.
    is_written: bool,
    metrics: IssuerMetrics,
    owned: Owned,
}

impl Issuer {
    /// Waits for the ledger, and publishes at once what it says.
    pub(super) async fn open(parts: Parts) -> Self {
        let name = parts.settings.profile.issuer.as_str();
        let replica = parts.shared.stores.replica(name);
        let metrics = parts.shared.metrics.issuer(name);
        let asked = replica.clone();
        metrics.kept(move || asked.state());
        let ledger = replica.open().await;
        let clock = parts.shared.clock.steady();
        let now = clock.now;
        let memory = parts.handover.take();
        if memory.is_none() {
            ahead::log(name, &ledger, now);
        }
        let mut issuer = Self::new(parts, memory, replica, metrics, ledger, now);
        issuer.ring.clocked(ahead::trust(&clock));
        issuer.settle(now).await;
        issuer
    }

    fn new(
        parts: Parts,
        mut memory: Option<Memory>,
        replica: Replica,
        metrics: IssuerMetrics,
        ledger: Ledger,
        now: Timestamp,
    ) -> Self {
        let IssuerSettings {
            profile,
            sources,
            rules,
            ..
        } = &*parts.settings;
        let name = profile.issuer.as_str().to_owned();
        let ids: Vec<_> = sources
            .iter()
            .enumerate()
            .map(|(index, source)| source.id(index))
            .collect();
        metrics.sources(&ids);
        let confirmations = ids
            .iter()
            .cloned()
            .zip(sources.iter().map(|source| source.confirmation));
        let known = |(index, source)| memory.as_mut()?.source(index, source);
        let states = sources.iter().enumerate().map(known);
        let states = states.map(Option::unwrap_or_default).collect();
        // What was counted of confirmations and absences counts on.
        let before = memory.as_mut().and_then(|memory| memory.ring(sources));
        let recalls = memory.is_some();
        let chronicle = memory.map_or_else(|| Chronicle::since(&ledger), |memory| memory.chronicle);
        let ring = match before {
            Some(ring) => ring.under(rules.clone(), &ledger, now),
            None => Ring::new(rules.clone(), confirmations, ledger),
        };
        let owned = parts.shared.owners.of(&name, sources);
        Self {
            parts,
            replica,
            owned,
            name,
            ids,
            sources: states,
            ring,
            key_set: KeySet::default(),
            chronicle,
            recalls,
            is_written: false,
            metrics,
        }
    }

    /// Reads the sources and the shared store, and does what follows from it, until it is dropped.
    pub(super) async fn run(mut self) {
        let (readings, mut heard) = mpsc::channel(16);
        let (found, mut merges) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        for order in self.orders() {
            tasks.spawn(read_guarded(self.name.clone(), order, readings.clone()));
        }
        let refresh = self.parts.settings.refresh.try_into().unwrap_or_default();
        tasks.spawn(follow_guarded(
            self.name.clone(),
            self.replica.clone(),
            refresh,
            found,
        ));
        let Inbox(inbox) = self.parts.inbox.clone();
        let mut orders = inbox.lock().await;
        loop {
            let now = self.now();
            tokio::select! {
                Some(reading) = heard.recv() => {
                    let now = self.now();
                    self.heard(*reading, now).await;
                }
                Some(found) = merges.recv() => {
                    let now = self.now();
                    self.merge(found, now).await;
                }
                Some(order) = orders.recv() => {
                    let now = self.now();
                    self.obey(*order, now).await;
                }
                () = tokio::time::sleep(self.until_next_change(now)) => {
                    let now = self.now();
                    self.settle(now).await;
                }
            }
        }
    }

    /// The time that the ring goes by: a leap of the wall clock is not taken for time that has passed.
    fn now(&mut self) -> Timestamp {
        let clock = self.parts.shared.clock.steady();
        ahead::log_leap(&clock);
        self.parts.shared.metrics.clock_leaps(clock.leap);
        self.ring.clocked(ahead::trust(&clock));
        clock.now
    }

    /// The time for metrics and log lines, which are compared with other clocks.
    fn wall(&self) -> Timestamp {
        self.parts.shared.clock.now()
    }

    /// Another replica knows something.
    async fn merge(&mut self, found: Found, now: Timestamp) {
        self.ring.adopt(&found.ledger, now);
        self.settle(now).await;
        // Fails where nobody follows the store any more.
        let _ = found.merged.send(());
    }

    /// An operator decides. Answered when it is kept and published.
    async fn obey(&mut self, order: desk::Order, now: Timestamp) {
        if order.is_given_up() {
            return;
        }
        let (command, by) = order.command();
        let outcome = self.ring.obey(command, by, now);
        self.settle(now).await;
        order.answer(outcome, now);
    }

    fn orders(&self) -> Vec<Order> {
        let IssuerSettings { sources, refresh, .. } = &*self.parts.settings;
        let order = |(index, source): (usize, &IssuerSource)| Order {
            index,
            settings: source.settings.clone(),
            accepted: Accepted {
                issuer: self.name.clone(),
                claims: source.claims.clone(),
            },
            refresh: (*refresh).try_into().unwrap_or_default(),
            folders: self.parts.shared.folders.clone(),
        };
        sources.iter().enumerate().map(order).collect()
    }

    fn until_next_change(&self, now: Timestamp) -> Duration {
        let Some(next) = self.ring.next_change(now) else {
            return LOOK;
        };
        // A little late rather than a little early, which would be once more.
        let until =
            Duration::try_from(now.duration_until(next)).unwrap_or_default() + Duration::from_millis(1);
        until.min(LOOK)
    }

    /// A source was read.
    async fn heard(
        &mut self,
        Reading {
            source,
            outcome,
            survey,
        }: Reading,
        now: Timestamp,
    ) {
        let wall = self.wall();
        let (Some(id), Some(state)) = (self.ids.get(source), self.sources.get_mut(source)) else {
            return;
        };
        if let Some(survey) = &survey {
            let reminders = &self.parts.shared.reminders;
            state
                .endpoints
                .surveyed(&self.name, &id.0, survey, reminders, wall);
        }
        self.metrics.endpoints(id, survey.as_ref().map(counted));
        let outcome = match outcome {
            Ok(listing) => {
                let listing = self.ring.bounded(listing, now);
                state.quarantined.clone_from(&listing.quarantined);
                self.ring
                    .heard(id, &listing, now)
                    .map_err(|refused| refused_reading(id, &refused))
            }
            Err(error) => {
                if !error.quarantined().is_empty() {
                    let quarantined = error.quarantined().to_vec();
                    let held = Listing {
                        quarantined,
                        ..Listing::default()
                    };
                    state.quarantined = self.ring.bounded(held, now).quarantined;
                }
                self.ring.silent(id);
                Err(error)
            }
        };
        let result = outcome.as_ref().copied().map_err(ReadError::label);
        self.metrics.read(id, result, wall);
        self.log_read(source, outcome.as_ref().copied(), wall);
        self.settle(now).await;
        self.explain();
    }

    /// Says why nothing is published yet.
    fn explain(&mut self) {
        let is_published = !self.key_set.keys.is_empty();
        if is_published || !self.parts.settings.required {
            return;
        }
        let failures = self.ids.iter().zip(&self.sources).filter_map(|(id, source)| {
            let failure = source.health.failure()?;
            Some(format!("{}: {failure}", id.0))
        });
        let failures: Vec<_> = failures.take(MAX_REASONS).collect();
        let why = match failures.as_slice() {
            [] if !self.ring.all_heard() => return,
            [] => "no key that its sources list may be published yet; oidc-issuer keys list shows why"
                .to_owned(),
            failures => failures.join("; "),
        };
        let issuer = &self.parts.settings.profile.issuer;
        self.parts.published.send_if_modified(|published| {
            let is_new = published.reasons.get(issuer) != Some(&why);
            if is_new {
                published.reason(issuer, Some(why));
            }
            is_new
        });
    }

    fn log_read(&mut self, source: usize, outcome: Result<(), &ReadError>, now: Timestamp) {
        let (Some(id), Some(state)) = (self.ids.get(source), self.sources.get_mut(source)) else {
            return;
        };
        let (issuer, source) = (self.name.as_str(), &*id.0);
        match (state.health.read(outcome, now), outcome) {
            (Turn::Fails, Err(error)) => log_failure(issuer, source, error, &self.key_set, None),
            (Turn::Lasts { since, reads }, Err(error)) if self.parts.shared.reminders.is_named(now) => {
                log_failure(issuer, source, error, &self.key_set, Some((since, reads)));
            }
            (Turn::Recovered { since, reads }, _) => {
                tracing::info!(issuer, source, %since, failed_reads = reads, "a source can be read again");
            }
            _ => {}
        }
        state.held.now(issuer, source, &state.quarantined);
    }

    /// Brings what is published in line with the ring.
    async fn settle(&mut self, now: Timestamp) {
        // Each step takes some milliseconds at most: others may have their turn in between.
        yield_now().await;
        let (key_set, view) = self.ring.look(now);
        yield_now().await;
        // Kept before it is shown: what was ever published must be remembered.
        self.replica.keep(self.ring.ledger()).await;
        self.publish(&key_set, self.wall());
        self.replica.share(self.ring.ledger());
        yield_now().await;
        let ledger = self.ring.ledger();
        self.recalls &= !self.ring.all_heard();
        let events = self.chronicle.next(&view, ledger, !self.recalls);
        log(&self.name, &events);
        self.metrics
            .rotation(RotationState::of(&view, ledger, now, self.wall()));
        self.metrics.quarantined(by_reason(
            self.sources
                .iter()
                .flat_map(|source| &source.quarantined)
                .chain(&key_set.quarantined),
        ));
        self.key_set = key_set;
    }

    /// The same documents stay the same publication: nothing is written, or replaced, without need.
    fn publish(&mut self, key_set: &KeySet, now: Timestamp) {
        let IssuerSettings { profile, .. } = &*self.parts.settings;
        let slot = &self.parts.slot;
        let current = slot.current();
        let publication = match current {
            Some(current) if self.is_written && current.publication.shows(key_set) => current,
            current => {
                let Some(written) = publication::build(profile, key_set) else {
                    if key_set.withdrawn {
                        slot.withdraw();
                        self.metrics.withdrawn();
                    }
                    return;
                };
                self.is_written = true;
                match current {
                    Some(current) if current.publication == written => current,
                    _ => {
                        let written = Arc::new(Served::from(written));
                        slot.publish(Arc::clone(&written));
                        written
                    }
                }
            }
        };
        self.metrics.published(key_set, &publication.publication, now);
        let keys = key_set
            .keys
            .iter()
            .map(|published| published.key.id().spki_sha256);
        for shares in self.owned.publishes(keys.collect()) {
            let (name, message) = (&self.name, shares.message(&self.name));
            if shares.is_one_source {
                tracing::info!(issuer = %name, "{message}");
            } else {
                tracing::warn!(issuer = %name, "{message}");
            }
        }
        self.parts.published.send_if_modified(|published| {
            let was_awaited = published.leaves(&profile.issuer);
            let is_first = !std::mem::replace(&mut published.any, true);
            is_first || was_awaited
        });
    }
}

impl Drop for Issuer {
    /// The next one goes on from here.
    fn drop(&mut self) {
        self.parts.handover.leave(Memory {
            chronicle: std::mem::take(&mut self.chronicle),
            sources: std::mem::take(&mut self.sources),
            configured: self.parts.settings.sources.clone(),
            ring: (!std::thread::panicking()).then(|| self.ring.clone()),
        });
    }
}

/// Follows the shared store.
async fn follow_guarded(issuer: String, replica: Replica, refresh: Duration, found: mpsc::Sender<Found>) {
    let what = format!("following the store of issuer {issuer}");
    let start = || -> Work {
        let (replica, found) = (replica.clone(), found.clone());
        Box::pin(async move { replica.follow(refresh, found).await })
    };
    restarted(&what, &CancellationToken::new(), start).await;
}

/// Reads a source; should that panic, it counts as a failed read.
async fn read_guarded(issuer: String, order: Order, readings: mpsc::Sender<Box<Reading>>) {
    let what = format!("reading source {} of issuer {issuer}", order.index);
    let mut is_first = true;
    let start = || reading(order.clone(), readings.clone(), std::mem::take(&mut is_first));
    // It ends with the issuer's task, which drops it.
    restarted(&what, &CancellationToken::new(), start).await;
}

fn reading(order: Order, readings: mpsc::Sender<Box<Reading>>, is_first: bool) -> Work {
    Box::pin(async move {
        if !is_first {
            let cause = client::Cause::Internal {
                reason: "a panic, see the log".into(),
            };
            let error = ReadError::new(Asked::Files, "source", cause);
            let _ = readings
                .send(Box::new(Reading {
                    source: order.index,
                    outcome: Err(error),
                    survey: None,
                }))
                .await;
        }
        read_on(order, readings).await;
    })
}

/// What a failed read means depends on why it failed, and on why nothing is published if nothing is.
/// `lasting`: since when, and for how many reads, where it was told before.
fn log_failure(
    issuer: &str,
    source: &str,
    error: &ReadError,
    key_set: &KeySet,
    lasting: Option<(Timestamp, u64)>,
) {
    let since = lasting.map(|(since, _)| tracing::field::display(since));
    let failed_reads = lasting.map(|(_, reads)| reads);
    let is_revoked = matches!(error.cause(), Cause::AllRevoked { .. });
    match (is_revoked, key_set.keys.is_empty(), key_set.withdrawn) {
        (true, true, _) => tracing::error!(
            issuer, source, since, failed_reads, %error,
            "every listed key is revoked: both documents answer 503 until a source lists another key"
        ),
        (true, false, _) => tracing::warn!(
            issuer, source, since, failed_reads, %error,
            "a source lists revoked keys alone: what else is published stays as it is"
        ),
        (false, true, true) => tracing::error!(
            issuer, source, since, failed_reads, %error,
            "a source cannot be read, and the last published key was revoked: both documents answer 503 until a source \
             lists another key"
        ),
        (false, true, false) => tracing::error!(
            issuer, source, since, failed_reads, %error,
            "a source cannot be read, and nothing was published yet: both documents answer 503"
        ),
        (false, false, _) => tracing::warn!(
            issuer, source, since, failed_reads, %error,
            "a source cannot be read: what was published stays as it is"
        ),
    }
}

fn refused_reading(SourceId(id): &SourceId, refused: &Refused) -> ReadError {
    let said = refused.to_string();
    let cause = match refused {
        Refused::AllRevoked { .. } => Cause::AllRevoked { said },
        Refused::NothingPublishable { quarantined } => Cause::NothingPublishable {
            count: *quarantined,
            first: said,
            remedy: String::new(),
        },
        _ => Cause::NothingPublishable {
            count: 0,
            first: said,
            remedy: String::new(),
        },
    };
    ReadError::new(Asked::Jwks, &**id, cause)
}

fn by_reason<'a>(entries: impl Iterator<Item = &'a Quarantined>) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for entry in entries {
        *counts.entry(entry.reason.label()).or_default() += entry.entries();
    }
    counts
}
