//! What one issuer tells about itself. Its rows are made from one consistent state when Prometheus asks,
//! and are gone with the issuer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::rotation::RotationState;
use super::store::{Ask, StoreState};
use crate::key::Algorithm;
use crate::publication::{Document, EntityTag, Publication};
use crate::ring::{KeySet, KeyState, SourceId};

/// Issuers by their URL.
#[derive(Clone, Debug, Default)]
pub(super) struct Issuers(Arc<Mutex<BTreeMap<Arc<str>, IssuerMetrics>>>);

impl Issuers {
    pub(super) fn issuer(&self, issuer: &str) -> IssuerMetrics {
        let mut all = locked(&self.0);
        if let Some(known) = all.get(issuer) {
            return known.clone();
        }
        let name: Arc<str> = issuer.into();
        let new = IssuerMetrics {
            name: Arc::clone(&name),
            state: Arc::default(),
            all: self.clone(),
        };
        all.insert(name, new.clone());
        new
    }

    pub(super) fn len(&self) -> usize {
        locked(&self.0).len()
    }

    /// Sorted by issuer.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&str, &State)) {
        let all: Vec<IssuerMetrics> = locked(&self.0).values().cloned().collect();
        for issuer in all {
            visit(&issuer.name, &locked(&issuer.state));
        }
    }
}

/// What one issuer counts into. Cheap to clone.
#[derive(Clone)]
pub struct IssuerMetrics {
    name: Arc<str>,
    state: Arc<Mutex<State>>,
    all: Issuers,
}

impl IssuerMetrics {
    /// The issuer has these sources now: each has rows from now on, and those of all others are dropped.
    pub fn sources<'a>(&self, sources: impl IntoIterator<Item = &'a SourceId>) {
        let mut state = locked(&self.state);
        let mut before = std::mem::take(&mut state.sources);
        state.sources = sources
            .into_iter()
            .map(|SourceId(id)| (Arc::clone(id), before.remove(id).unwrap_or_default()))
            .collect();
    }

    /// A source was read: successfully, or not and then why (`ReadError::label`).
    pub fn read(&self, SourceId(source): &SourceId, outcome: Result<(), &'static str>, at: Timestamp) {
        let mut state = locked(&self.state);
        let source = state.sources.entry(Arc::clone(source)).or_default();
        match outcome {
            Ok(()) => {
                source.successes += 1;
                source.consecutive_failures = 0;
                source.last_success = Some(at);
            }
            Err(result) => {
                *source.failures.entry(result).or_default() += 1;
                source.consecutive_failures += 1;
            }
        }
    }

    /// What the last read saw of the source's endpoints, where they are asked one by one.
    pub fn endpoints(&self, SourceId(source): &SourceId, endpoints: Option<EndpointState>) {
        let mut state = locked(&self.state);
        state.sources.entry(Arc::clone(source)).or_default().endpoints = endpoints;
    }

    /// The entries that are held back now, by reason (`Reason::label`).
    pub fn quarantined(&self, by_reason: BTreeMap<&'static str, u64>) {
        locked(&self.state).quarantined = by_reason;
    }

    /// This is published now: `keys` as `publication` says them.
    pub fn published(&self, keys: &KeySet, publication: &Publication, now: Timestamp) {
        let mut state = locked(&self.state);
        let mut published = Published::new(keys, publication, now);
        if let Some(before) = &state.published
            && before.discovery.etag == published.discovery.etag
            && before.jwks.etag == published.jwks.etag
        {
            published.changed = before.changed;
        }
        state.published = Some(published);
    }

    /// How far its keys are on their way.
    pub fn rotation(&self, rotation: RotationState) {
        locked(&self.state).rotation = Some(rotation);
    }

    /// Nothing is published any more: the last key was revoked.
    pub fn withdrawn(&self) {
        locked(&self.state).published = None;
    }

    /// Its ledger tells how it is kept.
    pub fn kept(&self, ask: impl Fn() -> StoreState + Send + Sync + 'static) {
        locked(&self.state).store = Some(Ask(Arc::new(ask)));
    }

    /// How many requests for its documents came.
    pub fn requested(&self, requests: impl Fn() -> u64 + Send + Sync + 'static) {
        locked(&self.state).requests = Some(Requests(Arc::new(requests)));
    }

    /// The issuer is gone: its rows are no longer exported, whatever is still counted here.
    pub fn removed(&self) {
        let mut all = locked(&self.all.0);
        if all
            .get(&self.name)
            .is_some_and(|now| Arc::ptr_eq(&now.state, &self.state))
        {
            all.remove(&self.name);
        }
    }
}

impl std::fmt::Debug for IssuerMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuerMetrics({})", self.name)
    }
}

/// All that is exported of one issuer.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) sources: BTreeMap<Arc<str>, SourceState>,
    pub(super) quarantined: BTreeMap<&'static str, u64>,
    pub(super) published: Option<Published>,
    pub(super) rotation: Option<RotationState>,
    pub(super) store: Option<Ask>,
    pub(super) requests: Option<Requests>,
}

/// Where the requests of an issuer are counted.
#[derive(Clone)]
pub(super) struct Requests(pub(super) Arc<dyn Fn() -> u64 + Send + Sync>);

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Requests")
    }
}

#[derive(Debug, Default)]
pub(super) struct SourceState {
    pub(super) successes: u64,
    pub(super) failures: BTreeMap<&'static str, u64>,
    pub(super) consecutive_failures: u64,
    pub(super) last_success: Option<Timestamp>,
    pub(super) endpoints: Option<EndpointState>,
}

/// How many endpoints of a source were asked, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointState {
    /// Those that were read.
    pub read: usize,
    /// Those that could not be read.
    pub silent: usize,
    /// Whether it is known which there are.
    pub is_listed: bool,
}

#[derive(Debug)]
pub(super) struct Published {
    /// In the order of publication.
    pub(super) keys: Vec<KeyRow>,
    pub(super) discovery: DocumentRow,
    pub(super) jwks: DocumentRow,
    pub(super) changed: Timestamp,
}

#[derive(Debug)]
pub(super) struct KeyRow {
    pub(super) kid: Arc<str>,
    pub(super) algorithm: Algorithm,
    pub(super) state: KeyState,
    pub(super) first_seen: Timestamp,
}

#[derive(Debug)]
pub(super) struct DocumentRow {
    pub(super) etag: EntityTag,
    pub(super) bytes: usize,
}

impl Published {
    fn new(keys: &KeySet, publication: &Publication, changed: Timestamp) -> Self {
        let keys = keys.keys.iter().map(|published| KeyRow {
            kid: Arc::clone(&published.key.id().kid),
            algorithm: published.key.algorithm(),
            state: published.state,
            first_seen: published.first_seen,
        });
        Self {
            keys: keys.collect(),
            discovery: DocumentRow::new(&publication.discovery),
            jwks: DocumentRow::new(&publication.jwks),
            changed,
        }
    }
}

impl DocumentRow {
    fn new(document: &Document) -> Self {
        Self {
            etag: document.etag.clone(),
            bytes: document.body.len(),
        }
    }
}

/// What is behind these locks is written in single steps, so a panic elsewhere leaves it whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
