//! Request path → publication. Readers never lock, and never wait for a writer.
//!
//! Two snapshots, each replaced as a whole: the table of routes, when the issuers change, and each issuer's
//! publication, when its keys do. So publishing costs the same with one issuer and with thousands.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

pub use crate::publication::Endpoint;
use crate::publication::{IssuerUrl, JwksUri, Publication, bare_host, places};

/// Where one issuer's task puts its publication, and requests find it.
#[derive(Debug, Default)]
pub struct Slot {
    current: ArcSwapOption<Publication>,
}

impl Slot {
    /// A slot without a publication: requests get 503.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows a publication from now on.
    pub fn publish(&self, publication: Arc<Publication>) {
        self.current.store(Some(publication));
    }

    /// Shows none any more: the last key was revoked, by force.
    pub fn withdraw(&self) {
        self.current.store(None);
    }

    /// The publication, once there was one.
    pub fn current(&self) -> Option<Arc<Publication>> {
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

/// All that is served: replaced as a whole when the issuers change, never when one of them publishes.
#[derive(Debug, Default)]
pub struct Catalog {
    table: ArcSwap<Table>,
}

impl Catalog {
    /// A catalog of these issuers, which [`collisions`](crate::publication::collisions) was asked about:
    /// of two that cannot be told apart the first is served.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::new(routes)),
        }
    }

    /// Serves these issuers from now on, and no others: one swap.
    pub fn replace(&self, routes: impl IntoIterator<Item = Route>) {
        self.table.store(Arc::new(Table::new(routes)));
    }

    /// What is served at a path, exactly as it stands in the request. `host` (with or without port) chooses
    /// only where issuers share the path. `None` is a 404. Allocates nothing.
    pub fn lookup(&self, path: &str, host: Option<&str>) -> Option<Found> {
        self.table.load().paths.get(path)?.choose(host).cloned()
    }
}

/// Every path, each with those who are served there.
#[derive(Debug, Default)]
struct Table {
    paths: HashMap<Box<str>, Candidates>,
}

impl Table {
    fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let mut paths = HashMap::<Box<str>, Contest>::new();
        for route in routes.into_iter().map(Arc::new) {
            for place in places(&route.issuer, &route.jwks_uri) {
                let found = Found {
                    endpoint: place.endpoint,
                    route: Arc::clone(&route),
                };
                let contest = paths.entry(place.path.into()).or_default();
                if let Some(host) = place.or_host {
                    let entry = contest.by_other_host.entry(key(host));
                    entry
                        .and_modify(|other| *other = None)
                        .or_insert_with(|| Some(found.clone()));
                }
                contest.by_host.entry(key(place.host)).or_insert(found);
            }
        }
        Self {
            paths: paths
                .into_iter()
                .map(|(path, contest)| (path, contest.into()))
                .collect(),
        }
    }
}

/// How a host is compared: without case, port and final dot.
fn key(host: &str) -> Box<str> {
    bare_host(host).to_ascii_lowercase().into()
}

/// Who is served at one path, while the table is made.
#[derive(Default)]
struct Contest {
    /// By the host of the document's own URL.
    by_host: BTreeMap<Box<str>, Found>,
    /// By a host that a proxy may ask for it at; nobody where that could mean two.
    by_other_host: BTreeMap<Box<str>, Option<Found>>,
}

/// Who is served at one path.
#[derive(Debug)]
enum Candidates {
    /// One issuer, whatever the host.
    Only(Found),
    /// Several. Sorted, for there may be thousands, each with a host of its own.
    ByHost(Box<[(Box<str>, Found)]>),
}

impl From<Contest> for Candidates {
    fn from(contest: Contest) -> Self {
        let Contest {
            mut by_host,
            by_other_host,
        } = contest;
        let mut all = by_host.values();
        if let Some(first) = all.next()
            && all.all(|found| found.is(first))
        {
            return Self::Only(first.clone());
        }
        for (host, found) in by_other_host {
            if let Some(found) = found {
                by_host.entry(host).or_insert(found);
            }
        }
        Self::ByHost(by_host.into_iter().collect())
    }
}

impl Candidates {
    fn choose(&self, host: Option<&str>) -> Option<&Found> {
        match self {
            Self::Only(found) => Some(found),
            Self::ByHost(sorted) => {
                let host = bare_host(host?).bytes().map(|byte| byte.to_ascii_lowercase());
                let place = sorted
                    .binary_search_by(|(name, _)| name.bytes().cmp(host.clone()))
                    .ok()?;
                sorted.get(place).map(|(_, found)| found)
            }
        }
    }
}

#[cfg(test)]
mod tests;
