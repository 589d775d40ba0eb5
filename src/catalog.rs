//! Request path → publication. Readers never lock, and never wait for a writer.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::publication::{Document, IssuerUrl, JwksUri, Publication};

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

/// Which document a path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The discovery document at `…/.well-known/openid-configuration`, in either place (OpenID Connect
    /// Discovery 1.0 section 4, RFC 8414 section 5).
    Discovery,
    /// The same document at `/.well-known/oauth-authorization-server…` (RFC 8414 section 3).
    OauthAuthorizationServer,
    /// The JWKS.
    Jwks,
}

impl Endpoint {
    /// This endpoint's document.
    pub fn document(self, publication: &Publication) -> &Document {
        match self {
            Self::Discovery | Self::OauthAuthorizationServer => &publication.discovery,
            Self::Jwks => &publication.jwks,
        }
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

/// All that is served: replaced as a whole when the issuers change, never when one of them publishes.
#[derive(Debug, Default)]
pub struct Catalog {}

impl Catalog {
    /// A catalog of these issuers.
    pub fn new(_routes: impl IntoIterator<Item = Route>) -> Self {
        Self {}
    }

    /// Serves these issuers from now on, and no others: one swap.
    pub fn replace(&self, _routes: impl IntoIterator<Item = Route>) {}

    /// What is served at a path, exactly as it stands in the request. `host` (with or without port) chooses
    /// only where issuers share the path. `None` is a 404.
    pub fn lookup(&self, _path: &str, _host: Option<&str>) -> Option<Found> {
        None
    }
}
