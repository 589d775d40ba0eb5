//! Key set → the finished discovery and JWKS responses: bytes, encodings, ETag, cache headers. Pure, immutable.

mod paths;
mod url;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use jiff::SignedDuration;
use serde_json::{Map, Value};

pub use self::paths::{PathsCollide, collisions};
pub use self::url::{IssuerUrl, JwksUri, UrlError};
use crate::key::{Algorithm, KeyId};
use crate::ring::KeySet;

/// What an issuer's documents say beside the keys, and how they are cached. All of it is configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The issuer, exactly as in `iss`.
    pub issuer: IssuerUrl,
    /// Where the JWKS is.
    pub jwks_uri: JwksUri,
    /// Algorithms announced before a key of theirs is published.
    pub announced: Vec<Algorithm>,
    /// Further members of the discovery document, after the five; must name none of [`RESERVED_MEMBERS`].
    pub extra: Map<String, Value>,
    /// `Content-Type` of the JWKS: `application/jwk-set+json`.
    pub jwks_content_type: HeaderValue,
    /// Caching of the JWKS.
    pub jwks_cache: CachePolicy,
    /// Caching of the discovery document.
    pub discovery_cache: CachePolicy,
}

/// `Cache-Control: public, max-age=…, stale-while-revalidate=…, stale-if-error=…` (RFC 9111, RFC 5861).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// `max-age`, whole seconds.
    pub max_age: SignedDuration,
    /// `stale-while-revalidate`; zero leaves it out.
    pub stale_while_revalidate: SignedDuration,
    /// `stale-if-error`; zero leaves it out.
    pub stale_if_error: SignedDuration,
}

impl CachePolicy {
    /// The longest that a cache may answer with an old copy: max-age + the larger of the two others.
    pub fn lifetime(&self) -> SignedDuration {
        self.max_age
            .saturating_add(self.stale_while_revalidate.max(self.stale_if_error))
    }
}

/// The members of the discovery document that follow from the keys and the two URLs: not configurable.
pub const RESERVED_MEMBERS: [&str; 5] = [
    "issuer",
    "jwks_uri",
    "response_types_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
];

/// Both documents of one issuer, finished.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// `/.well-known/openid-configuration`.
    pub discovery: Document,
    /// `/jwks`.
    pub jwks: Document,
    keys: Vec<KeyId>,
}

impl Publication {
    /// Whether these are the documents of this key set: if so (and the profile is the same), building again
    /// would give equal bytes. Cheap.
    pub fn shows(&self, key_set: &KeySet) -> bool {
        self.keys
            .iter()
            .eq(key_set.keys.iter().map(|published| published.key.id()))
    }
}

/// Writes both documents. `None` for an empty key set: it is never published.
pub fn build(_profile: &Profile, _key_set: &KeySet) -> Option<Publication> {
    None
}

/// One document in every encoding that is offered.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// As it is.
    pub identity: Representation,
    /// `Content-Encoding: gzip`, where smaller.
    pub gzip: Option<Representation>,
    /// `Content-Encoding: br`, where smaller.
    pub br: Option<Representation>,
}

/// One document in one encoding: all that a response needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Representation {
    /// The octets sent.
    pub body: Bytes,
    /// Strong entity tag with its quotes: base64url of SHA-256 of `body`.
    pub etag: HeaderValue,
    /// The headers of a 200.
    pub ok: Headers,
    /// The headers of a 304: those of the 200 less `Content-*`.
    pub not_modified: Headers,
}

/// The headers of a response, all but `Date` and what HTTP itself adds: to be cloned, nothing to be added.
#[derive(Clone, Debug, PartialEq)]
pub struct Headers {
    plain: HeaderMap,
    hsts: HeaderMap,
}

impl Headers {
    /// With `Strict-Transport-Security` (on TLS, or where a plain listener is configured so) or without.
    pub fn with_hsts(&self, hsts: bool) -> &HeaderMap {
        if hsts { &self.hsts } else { &self.plain }
    }
}

/// `Strict-Transport-Security` (RFC 6797): a year, this host alone.
pub const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
