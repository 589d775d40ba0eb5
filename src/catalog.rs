//! Request path → publication. Readers never lock, and never wait for a writer.
//!
//! Two kinds of snapshots, each replaced as a whole: the shards of the table of routes, when an issuer comes or goes,
//! and each issuer's publication, when its keys change. So both cost the same with one issuer and with a hundred
//! thousand.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};

pub use crate::publication::Endpoint;
use crate::publication::{IssuerUrl, JwksUri, Place, bare_host, places};
use crate::representation::Served;

/// Where one issuer's task puts its publication, and requests find it.
#[derive(Debug, Default)]
pub struct Slot {
    current: ArcSwapOption<Served>,
    requests: AtomicU64,
}

impl Slot {
    /// A request for one of its documents came.
    pub fn requested(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests for its documents came.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// A slot without a publication: requests get 503.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows a publication from now on.
    pub fn publish(&self, publication: Arc<Served>) {
        self.current.store(Some(publication));
    }

    /// Shows none any more: the last key was revoked, by force.
    pub fn withdraw(&self) {
        self.current.store(None);
    }

    /// The publication, once there was one.
    pub fn current(&self) -> Option<Arc<Served>> {
        self.current.load_full()
    }
}

/// One issuer in the catalog.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its URL.
    pub issuer: IssuerUrl,
    /// Where its JWKS is.
    pub jwks_uri: JwksUri,
    /// Its publication.
    pub slot: Arc<Slot>,
}

/// What a request's path and host lead to.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which document.
    pub endpoint: Endpoint,
    /// Whose.
    pub route: Arc<Route>,
}

impl Found {
    /// Whether both mean one document of one issuer.
    fn is(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint && Arc::ptr_eq(&self.route, &other.route)
    }
}

/// How many parts the table has: a change copies the parts that its paths are in, so at a hundred thousand issuers a
/// few hundred entries each.
const SHARDS: usize = 1024;

/// All that is served. A change of one issuer copies the shards that its paths are in, and nothing else.
#[derive(Debug)]
pub struct Catalog {
    shards: Box<[ArcSwap<Shard>]>,
    hasher: RandomState,
    /// What is served now. Writers take turns by this lock; readers never see it.
    routes: Mutex<HashMap<IssuerUrl, Arc<Route>>>,
}

/// Paths, each with those who are served there.
type Shard = HashMap<Arc<str>, Candidates>;

impl Default for Catalog {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            hasher: RandomState::new(),
            routes: Mutex::default(),
        }
    }
}

impl Catalog {
    /// A catalog of these issuers, which [`collisions`](crate::publication::collisions) was asked about:
    /// of two that cannot be told apart the first is served.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let catalog = Self::default();
        catalog.replace(routes);
        catalog
    }

    /// Serves these issuers from now on, and no others. Costs what all of them cost: for one issuer there are
    /// [`Self::upsert`] and [`Self::remove`].
    pub fn replace(&self, routes: impl IntoIterator<Item = Route>) {
        let mut known = self.locked();
        known.clear();
        let mut contests: Vec<HashMap<Arc<str>, Contest>> = Vec::new();
        contests.resize_with(SHARDS, HashMap::new);
        for route in routes.into_iter().map(Arc::new) {
            for place in places(&route.issuer, &route.jwks_uri) {
                if let Some(contests) = contests.get_mut(self.shard_of(&place.path)) {
                    let path = Arc::from(&*place.path);
                    contests.entry(path).or_default().enter(&route, &place);
                }
            }
            known.entry(route.issuer.clone()).or_insert(route);
        }
        for (shard, contests) in self.shards.iter().zip(contests) {
            let decided = |(path, contest): (_, Contest)| Some((path, contest.decide()?));
            shard.store(Arc::new(contests.into_iter().filter_map(decided).collect()));
        }
    }

    /// Serves an issuer from now on, in the place of what was served of it. A path that it had and keeps is never
    /// without a document meanwhile.
    pub fn upsert(&self, route: Route) {
        let mut known = self.locked();
        let route = Arc::new(route);
        let before = known.insert(route.issuer.clone(), Arc::clone(&route));
        self.change(before.as_ref(), Some(&route));
    }

    /// Serves an issuer no longer: its paths are 404.
    pub fn remove(&self, issuer: &IssuerUrl) {
        let mut known = self.locked();
        if let Some(before) = known.remove(issuer) {
            self.change(Some(&before), None);
        }
    }

    /// What is served at a path, exactly as it stands in the request. `host` (with or without port) chooses
    /// only where issuers share the path. `None` is a 404. Allocates nothing.
    pub fn lookup(&self, path: &str, host: Option<&str>) -> Option<Found> {
        let shard = self.shards.get(self.shard_of(path))?.load();
        shard.get(path)?.choose(host).cloned()
    }

    fn change(&self, before: Option<&Arc<Route>>, after: Option<&Arc<Route>>) {
        let of = |route: &'_ Arc<Route>| -> Vec<(usize, Arc<str>)> {
            let places = places(&route.issuer, &route.jwks_uri);
            let at = |place: Place<'_>| (self.shard_of(&place.path), Arc::from(&*place.path));
            places.into_iter().map(at).collect()
        };
        let mut changed = BTreeMap::<usize, BTreeSet<Arc<str>>>::new();
        for (shard, path) in before.into_iter().chain(after).flat_map(of) {
            changed.entry(shard).or_default().insert(path);
        }
        for (index, paths) in changed {
            let Some(slot) = self.shards.get(index) else {
                continue;
            };
            let mut shard = Shard::clone(&slot.load());
            for path in paths {
                let mut contest = shard
                    .get(&path)
                    .map_or_else(Contest::default, |served| served.contest(&path));
                if let Some(before) = before {
                    contest.leave(before);
                }
                if let Some(after) = after {
                    contest.enter_at(after, &path);
                }
                match contest.decide() {
                    Some(candidates) => drop(shard.insert(path, candidates)),
                    None => drop(shard.remove(&path)),
                }
            }
            slot.store(Arc::new(shard));
        }
    }

    fn shard_of(&self, path: &str) -> usize {
        // In range, so nothing is cut off.
        usize::try_from(self.hasher.hash_one(path) % SHARDS as u64).unwrap_or_default()
    }

    /// The table is changed after the lock is taken and in whole steps, so a panic elsewhere leaves it whole.
    fn locked(&self) -> MutexGuard<'_, HashMap<IssuerUrl, Arc<Route>>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a host is compared: without case, port and final dot.
fn key(host: &str) -> Box<str> {
    bare_host(host).to_ascii_lowercase().into()
}

/// Who claims one path. One who claims it twice (by two hosts, say) is in it twice.
#[derive(Clone, Debug, Default)]
struct Contest {
    /// By the host of the document's own URL; of several the first is served.
    by_host: BTreeMap<Box<str>, Vec<Found>>,
    /// By a host that a proxy may ask for it at; nobody is served where that could mean two.
    by_other_host: BTreeMap<Box<str>, Vec<Found>>,
}

impl Contest {
    fn enter(&mut self, route: &Arc<Route>, place: &Place<'_>) {
        let found = Found {
            endpoint: place.endpoint,
            route: Arc::clone(route),
        };
        if let Some(host) = place.or_host {
            let claims = self.by_other_host.entry(key(host)).or_default();
            claims.push(found.clone());
        }
        self.by_host.entry(key(place.host)).or_default().push(found);
    }

    fn enter_at(&mut self, route: &Arc<Route>, path: &str) {
        for place in places(&route.issuer, &route.jwks_uri) {
            if place.path == path {
                self.enter(route, &place);
            }
        }
    }

    fn leave(&mut self, route: &Arc<Route>) {
        for claims in [&mut self.by_host, &mut self.by_other_host] {
            claims.retain(|_, found| {
                found.retain(|found| !Arc::ptr_eq(&found.route, route));
                !found.is_empty()
            });
        }
    }

    /// `None` where nobody is left.
    fn decide(self) -> Option<Candidates> {
        let mut all = self.by_host.values().flatten();
        let first = all.next()?;
        if all.all(|found| found.is(first)) {
            return Some(Candidates::Only(first.clone()));
        }
        Some(Candidates::ByHost(Arc::new(self)))
    }
}

/// Who is served at one path.
#[derive(Clone, Debug)]
enum Candidates {
    /// One issuer, whatever the host.
    Only(Found),
    /// Several. A change of one copies the hosts of this path.
    ByHost(Arc<Contest>),
}

impl Candidates {
    /// The claims at this path.
    fn contest(&self, path: &str) -> Contest {
        match self {
            Self::Only(found) => {
                let mut contest = Contest::default();
                contest.enter_at(&found.route, path);
                contest
            }
            Self::ByHost(contest) => Contest::clone(contest),
        }
    }

    fn choose(&self, host: Option<&str>) -> Option<&Found> {
        let contest = match self {
            Self::Only(found) => return Some(found),
            Self::ByHost(contest) => contest,
        };
        // On the stack: a name has 253 characters at most (RFC 1035 section 2.3.4).
        let host = bare_host(host?).as_bytes();
        let mut lower = [0; 255];
        let lower = lower.get_mut(..host.len())?;
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        let host = str::from_utf8(lower).ok()?;
        match (contest.by_host.get(host), contest.by_other_host.get(host)) {
            (Some(own), _) => own.first(),
            (None, Some(others)) => {
                let first = others.first()?;
                others.iter().all(|found| found.is(first)).then_some(first)
            }
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests;
