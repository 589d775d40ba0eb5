//! What one issuer tells about itself. Its rows are made from one consistent state when Prometheus asks,
//! and are gone with the issuer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::rotation::{RotationState, Sums};
use super::store::{Ask, StoreState};
use crate::catalog::Slot;
use crate::key::Algorithm;
use crate::publication::{Document, EntityTag, Publication};
use crate::ring::{KeySet, KeyState, SourceId};

/// Issuers by their URL.
#[derive(Clone, Debug, Default)]
pub(super) struct Issuers(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    by_url: BTreeMap<Arc<str>, IssuerMetrics>,
    details: Option<AskDetails>,
}

/// Tells the rows of an issuer at rest.
type AskDetails = Arc<dyn Fn(&str) -> Option<Details> + Send + Sync>;

impl std::fmt::Debug for All {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(&self.by_url).finish()
    }
}

/// What an issuer has rows of, one for each key. It keeps them while it works; at rest they are made when they are asked for.
#[derive(Debug, Default)]
pub struct Details {
    keys: Vec<KeyRow>,
    pub(super) rotation: Option<RotationState>,
}

impl Details {
    /// Of these keys.
    pub fn new(keys: &KeySet, rotation: RotationState) -> Self {
        Self {
            keys: key_rows(keys),
            rotation: Some(rotation),
        }
    }

    pub(super) fn keys(&self) -> &[KeyRow] {
        &self.keys
    }
}

impl Issuers {
    pub(super) fn issuer(&self, issuer: &str) -> IssuerMetrics {
        let mut all = locked(&self.0);
        if let Some(known) = all.by_url.get(issuer) {
            return known.clone();
        }
        let name: Arc<str> = issuer.into();
        let new = IssuerMetrics {
            name: Arc::clone(&name),
            state: Arc::default(),
            all: self.clone(),
        };
        all.by_url.insert(name, new.clone());
        new
    }

    pub(super) fn details_from(&self, ask: AskDetails) {
        locked(&self.0).details = Some(ask);
    }

    pub(super) fn len(&self) -> usize {
        locked(&self.0).by_url.len()
    }

    /// Sorted by issuer.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&str, &State)) {
        let all: Vec<IssuerMetrics> = locked(&self.0).by_url.values().cloned().collect();
        for issuer in all {
            visit(&issuer.name, &locked(&issuer.state));
        }
    }

    /// Shows the rows of an issuer that was at rest a moment ago. Nothing is locked here while it is asked: whoever wakes it
    /// holds its state, and writes here.
    pub(super) fn with_details(&self, issuer: &str, visit: impl FnOnce(&Details)) {
        let (ask, state) = {
            let all = locked(&self.0);
            let state = all.by_url.get(issuer).map(|issuer| Arc::clone(&issuer.state));
            (all.details.clone(), state)
        };
        let (Some(ask), Some(state)) = (ask, state) else {
            return;
        };
        // It may wake and rest in between, but not for ever.
        for _ in 0..5 {
            if let Some(details) = ask(issuer) {
                return visit(&details);
            }
            if let Some(details) = &locked(&state).details {
                return visit(details);
            }
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
        let mut before = std::mem::take(&mut state.sources).into_vec();
        let mut known = |id: &Arc<str>| {
            let at = before.iter().position(|(known, _)| known == id)?;
            Some(before.swap_remove(at).1)
        };
        state.sources = sources
            .into_iter()
            .map(|SourceId(id)| (Arc::clone(id), known(id).unwrap_or_default()))
            .collect();
    }

    /// A source was read: successfully, or not and then why (`ReadError::label`).
    pub fn read(&self, SourceId(source): &SourceId, outcome: Result<(), &'static str>, at: Timestamp) {
        let mut state = locked(&self.state);
        let source = state.source(source);
        match outcome {
            Ok(()) => {
                source.successes += 1;
                source.consecutive_failures = 0;
                source.last_success = Some(at);
            }
            Err(result) => {
                *source.failures.get_or_insert_default().entry(result).or_default() += 1;
                source.consecutive_failures += 1;
            }
        }
    }

    /// What the last read saw of the source's endpoints, where they are asked one by one.
    pub fn endpoints(&self, SourceId(source): &SourceId, endpoints: Option<EndpointState>) {
        let mut state = locked(&self.state);
        state.source(source).endpoints = endpoints.map(Box::new);
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
        state.details.get_or_insert_default().keys = key_rows(keys);
    }

    /// How far its keys are on their way.
    pub fn rotation(&self, rotation: RotationState) {
        let mut state = locked(&self.state);
        state.sums = Some(rotation.sums());
        state.details.get_or_insert_default().rotation = Some(rotation);
    }

    /// The issuer works again: it has these rows of its own.
    pub fn wakes(&self, details: Details) {
        locked(&self.state).details = Some(Box::new(details));
    }

    /// The issuer rests, and its ledger is kept like this: what it has rows of is asked for when it is needed
    /// ([`super::Metrics::details_from`]).
    pub fn rests(&self, store: &StoreState) {
        let mut state = locked(&self.state);
        state.details = None;
        state.store = Some(Ask::AtRest {
            is_durable: store.is_durable,
        });
    }

    /// Nothing is published any more: the last key was revoked.
    pub fn withdrawn(&self) {
        let mut state = locked(&self.state);
        state.published = None;
        if let Some(details) = &mut state.details {
            details.keys.clear();
        }
    }

    /// Its ledger tells how it is kept.
    pub fn kept(&self, ask: impl Fn() -> StoreState + Send + Sync + 'static) {
        locked(&self.state).store = Some(Ask::Of(Arc::new(ask)));
    }

    /// How many requests for its documents came.
    pub fn requested(&self, requests: Arc<dyn CountsRequests>) {
        locked(&self.state).requests = Some(requests);
    }

    /// The issuer is gone: its rows are no longer exported, whatever is still counted here.
    pub fn removed(&self) {
        let mut all = locked(&self.all.0);
        if all
            .by_url
            .get(&self.name)
            .is_some_and(|now| Arc::ptr_eq(&now.state, &self.state))
        {
            all.by_url.remove(&self.name);
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
    pub(super) sources: Box<[(Arc<str>, SourceState)]>,
    pub(super) quarantined: BTreeMap<&'static str, u64>,
    pub(super) published: Option<Published>,
    pub(super) sums: Option<Sums>,
    /// `None` at rest.
    pub(super) details: Option<Box<Details>>,
    pub(super) store: Option<Ask>,
    pub(super) requests: Option<Arc<dyn CountsRequests>>,
}

impl State {
    fn source(&mut self, id: &Arc<str>) -> &mut SourceState {
        let known = self.sources.iter().position(|(known, _)| known == id);
        let at = known.unwrap_or_else(|| {
            let mut sources = std::mem::take(&mut self.sources).into_vec();
            sources.push((Arc::clone(id), SourceState::default()));
            self.sources = sources.into();
            self.sources.len() - 1
        });
        &mut self.sources[at].1
    }
}

/// Where the requests of an issuer are counted.
pub trait CountsRequests: std::fmt::Debug + Send + Sync {
    /// How many there were.
    fn requests(&self) -> u64;
}

impl CountsRequests for Slot {
    fn requests(&self) -> u64 {
        Self::requests(self)
    }
}

#[derive(Debug, Default)]
pub(super) struct SourceState {
    pub(super) successes: u64,
    #[expect(
        clippy::box_collection,
        reason = "most sources never fail: 8 octets instead of 24"
    )]
    pub(super) failures: Option<Box<BTreeMap<&'static str, u64>>>,
    pub(super) consecutive_failures: u64,
    pub(super) last_success: Option<Timestamp>,
    pub(super) endpoints: Option<Box<EndpointState>>,
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
    pub(super) listed: usize,
    pub(super) retained: usize,
    pub(super) discovery: DocumentRow,
    pub(super) jwks: DocumentRow,
    pub(super) changed: Timestamp,
}

/// In the order of publication.
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
        let listed = keys.keys.iter().filter(|key| key.state == KeyState::Listed);
        let listed = listed.count();
        Self {
            listed,
            retained: keys.keys.len() - listed,
            discovery: DocumentRow::new(&publication.discovery),
            jwks: DocumentRow::new(&publication.jwks),
            changed,
        }
    }
}

fn key_rows(keys: &KeySet) -> Vec<KeyRow> {
    let keys = keys.keys.iter().map(|published| KeyRow {
        kid: Arc::clone(&published.key.id().kid),
        algorithm: published.key.algorithm(),
        state: published.state,
        first_seen: published.first_seen,
    });
    keys.collect()
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
