//! Does what follows from an event: keeps the ledger, shows the documents, shares the ledger, tells and counts. What
//! follows is decided in [`super::advance`].

mod rest;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::yield_now;

use super::IssuerSettings;
use super::advance::{Effects, Input, IssuerState, Moment, SourceRead, ids};
use super::ahead;
use super::chronicle::log;
use super::desk;
use super::endpoints::counted;
use super::events::Turn;
use super::memory::{Handover, Memory, SourceState};
use super::owners::Owned;
use super::reader::Reading;
use super::shared::{Published, Shared};
use crate::catalog::Slot;
use crate::key::Quarantined;
use crate::metrics::IssuerMetrics;
use crate::publication;
use crate::representation::Served;
use crate::ring::{Denied, KeySet, Ledger, Outcome, SourceId};
use crate::source::{Cause, ReadError};
use crate::store::{Found, Replica};

/// The clock may jump while we sleep: the time is looked at this often.
const LOOK: Duration = Duration::from_secs(30);

/// So many sources are named where `/readyz` says why an issuer waits.
const MAX_REASONS: usize = 3;

pub(super) use rest::Rested;

/// All that an issuer is made of: made again from this after a panic.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) settings: Arc<IssuerSettings>,
    pub(super) shared: Arc<Shared>,
    pub(super) slot: Arc<Slot>,
    pub(super) published: watch::Sender<Published>,
    pub(super) handover: Handover,
}

/// What is put into the mailbox of an issuer.
#[derive(Debug)]
pub(super) enum Event {
    /// A source was read.
    Reading(Box<Reading>),
    /// Another replica knows something.
    Found(Found),
    /// An operator's command.
    Order(Box<desk::Order>),
    /// Something may change by time alone.
    Due,
}

/// The issuer, and all that its effects reach. Nothing here waits, but for the local copy of its ledger: a second at most.
#[derive(Debug)]
pub(super) struct Issuer {
    parts: Parts,
    replica: Replica,
    name: String,
    ids: Vec<SourceId>,
    sources: Vec<SourceState>,
    state: IssuerState,
    /// When the key set may change by time alone.
    next: Option<Timestamp>,
    /// Whether the documents were written by these settings yet.
    is_written: bool,
    metrics: IssuerMetrics,
    owned: Owned,
    /// Whether what it knows is kept elsewhere.
    has_rested: bool,
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
        let now = parts.shared.clock.steady().now;
        let memory = parts.handover.take();
        if memory.is_none() {
            ahead::log(name, &ledger, now);
        }
        let mut issuer = Self::new(parts, memory, replica, metrics, ledger, now);
        issuer.advance(Input::Opened).await;
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
        let IssuerSettings { profile, sources, .. } = &*parts.settings;
        let name = profile.issuer.as_str().to_owned();
        let ids = ids(&parts.settings);
        metrics.sources(&ids);
        let known = |(index, source)| memory.as_mut()?.source(index, source);
        let states = sources.iter().enumerate().map(known);
        let states = states.map(Option::unwrap_or_default).collect();
        let before = memory.map(|memory| memory.known(sources));
        Self {
            state: IssuerState::new(&parts.settings, before, ledger, now),
            parts,
            replica,
            owned: Owned::default(),
            has_rested: false,
            name,
            ids,
            sources: states,
            next: None,
            is_written: false,
            metrics,
        }
    }

    /// Takes up what came, and does what follows from it. Waits for the local copy of the ledger alone, a second at most.
    pub(super) async fn take(&mut self, event: Event) {
        match event {
            Event::Reading(reading) => {
                self.advance(Input::Reading(*reading)).await;
                self.explain();
            }
            Event::Found(found) => {
                self.advance(Input::Found(&found.ledger)).await;
                // Fails where nobody follows the store any more.
                let _ = found.merged.send(());
            }
            Event::Order(order) if order.is_given_up() => {}
            Event::Order(order) => {
                let (command, by) = order.command();
                let (outcome, now) = self.advance(Input::Command { command, by }).await;
                // Answered when it is kept and published.
                if let Some(outcome) = outcome {
                    order.answer(outcome, now);
                }
            }
            Event::Due => {
                self.advance(Input::Due).await;
            }
        }
    }

    /// How long nothing changes by itself; `None` where nothing ever does.
    pub(super) fn rests_for(&self) -> Option<Duration> {
        let now = moment(&self.parts.shared).now;
        // A little late rather than a little early, which would be once more.
        let until =
            Duration::try_from(now.duration_until(self.next?)).unwrap_or_default() + Duration::from_millis(1);
        Some(until.min(LOOK))
    }

    /// Where its ledger is kept.
    pub(super) fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Lets an event happen, and does what follows from it, in the order that must hold: kept before it is shown, for what
    /// was ever published must be remembered; shared when it is shown, for no store may delay it. What became of a
    /// command, and when.
    async fn advance(&mut self, input: Input<'_>) -> (Option<Result<Outcome, Denied>>, Timestamp) {
        // Each step takes some milliseconds at most: others may have their turn in between.
        yield_now().await;
        let moment = moment(&self.parts.shared);
        let Effects {
            read,
            outcome,
            events,
            rotation,
            next,
        } = self.state.advance(input, &moment);
        self.next = next;
        yield_now().await;
        if let Some(read) = read {
            self.was_read(read, moment.wall);
        }
        self.replica.keep(self.state.ledger()).await;
        self.publish(self.parts.shared.clock.now());
        self.replica.share(self.state.ledger());
        log(&self.name, &events);
        self.metrics.rotation(rotation);
        let held = self.sources.iter().flat_map(|source| &source.quarantined);
        let held = held.chain(&self.state.key_set().quarantined);
        self.metrics.quarantined(by_reason(held));
        (outcome, moment.now)
    }

    /// Tells and counts what a read came to.
    fn was_read(&mut self, read: SourceRead, wall: Timestamp) {
        let SourceRead {
            source,
            outcome,
            survey,
            quarantined,
        } = read;
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
        if let Some(quarantined) = quarantined {
            state.quarantined = quarantined;
        }
        let outcome = outcome.as_ref().copied();
        self.metrics.read(id, outcome.map_err(ReadError::label), wall);
        self.log_read(source, outcome, wall);
    }

    /// Says why nothing is published yet.
    fn explain(&mut self) {
        let is_published = !self.state.key_set().keys.is_empty();
        if is_published || !self.parts.settings.required {
            return;
        }
        let failures = self.ids.iter().zip(&self.sources).filter_map(|(id, source)| {
            let failure = source.health.failure()?;
            Some(format!("{}: {failure}", id.0))
        });
        let failures: Vec<_> = failures.take(MAX_REASONS).collect();
        let why = match failures.as_slice() {
            [] if !self.state.all_heard() => return,
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
            (Turn::Fails, Err(error)) => log_failure(issuer, source, error, self.state.key_set(), None),
            (Turn::Lasts { since, reads }, Err(error)) if self.parts.shared.reminders.is_named(now) => {
                log_failure(issuer, source, error, self.state.key_set(), Some((since, reads)));
            }
            (Turn::Recovered { since, reads }, _) => {
                tracing::info!(issuer, source, %since, failed_reads = reads, "a source can be read again");
            }
            _ => {}
        }
        state.held.now(issuer, source, &state.quarantined);
    }

    /// The same documents stay the same publication: nothing is written, or replaced, without need.
    fn publish(&mut self, now: Timestamp) {
        let key_set = self.state.key_set();
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
        let shared = &self.parts.shared;
        let others = shared
            .owners
            .publishes(&mut self.owned, &self.parts.settings, materials(key_set));
        for shares in others {
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

/// The time: a leap of the wall clock is not taken for time that has passed.
fn moment(shared: &Shared) -> Moment {
    let clock = shared.clock.steady();
    ahead::log_leap(&clock);
    shared.metrics.clock_leaps(clock.leap);
    Moment {
        now: clock.now,
        wall: shared.clock.now(),
        trust: ahead::trust(&clock),
        round: shared.rounds.longest(),
    }
}

fn materials(key_set: &KeySet) -> impl Iterator<Item = [u8; 32]> {
    let keys = key_set.keys.iter();
    keys.map(|published| published.key.id().spki_sha256)
}

impl Drop for Issuer {
    /// The next one goes on from here.
    fn drop(&mut self) {
        if self.has_rested {
            return;
        }
        self.owned.leave(&self.parts.shared.owners, &self.parts.settings);
        let (chronicle, ring) = self.state.leaves();
        self.parts.handover.leave(Memory {
            chronicle,
            sources: std::mem::take(&mut self.sources),
            configured: self.parts.settings.sources.clone(),
            ring: (!std::thread::panicking()).then(|| ring.clone()),
        });
    }
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

fn by_reason<'a>(entries: impl Iterator<Item = &'a Quarantined>) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for entry in entries {
        *counts.entry(entry.reason.label()).or_default() += entry.entries();
    }
    counts
}
