//! Request path → publication. Readers never lock, and never wait for a writer.
//!
//! Two snapshots, each replaced as a whole: the table of routes, when the issuers change, and each issuer's
//! publication, when its keys do. So publishing costs the same with one issuer and with thousands.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

pub use crate::publication::Endpoint;
use crate::publication::{IssuerUrl, JwksUri, Publication, places, same_host};

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
        let mut paths = HashMap::<Box<str>, Candidates>::new();
        for route in routes.into_iter().map(Arc::new) {
            for place in places(&route.issuer, &route.jwks_uri) {
                let found = Found {
                    endpoint: place.endpoint,
                    route: Arc::clone(&route),
                };
                let candidates = paths.entry(place.path.into()).or_default();
                candidates.by_host.push((place.host.into(), found.clone()));
                candidates
                    .by_other_host
                    .extend(place.or_host.map(|host| (host.into(), found)));
            }
        }
        Self { paths }
    }
}

/// Who is served at one path.
#[derive(Debug, Default)]
struct Candidates {
    /// By the host of the document's own URL.
    by_host: Vec<(Box<str>, Found)>,
    /// By a host that a proxy may ask for it at: only where no URL says otherwise, and only one issuer has it.
    by_other_host: Vec<(Box<str>, Found)>,
}

impl Candidates {
    /// The only one, whatever the host; of several the one that the host means.
    fn choose(&self, host: Option<&str>) -> Option<&Found> {
        let (_, first) = self.by_host.first()?;
        if self.by_host.iter().all(|(_, found)| found.is(first)) {
            return Some(first);
        }
        let host = host?;
        let mut matching = self.by_host.iter().filter(|(name, _)| same_host(name, host));
        if let Some((_, found)) = matching.next() {
            return Some(found);
        }
        let mut matching = self
            .by_other_host
            .iter()
            .filter(|(name, _)| same_host(name, host));
        let (_, found) = matching.next()?;
        matching.next().is_none().then_some(found)
    }
}

#[cfg(test)]
mod tests;
