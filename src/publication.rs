//! Key set → the finished discovery and JWKS responses: bytes, encodings, ETag, cache headers. Pure, immutable.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use jiff::SignedDuration;
use serde_json::{Map, Value};

use crate::key::Algorithm;

/// What an issuer's documents say beside the keys, and how they are cached. All of it is configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The issuer, exactly as in `iss`.
    pub issuer: String,
    /// Where the JWKS is.
    pub jwks_uri: String,
    /// Algorithms announced before a key of theirs is published.
    pub announced: Vec<Algorithm>,
    /// Further members of the discovery document.
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

/// Both documents of one issuer, finished.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// `/.well-known/openid-configuration`.
    pub discovery: Document,
    /// `/jwks`.
    pub jwks: Document,
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
    /// The headers of a 200, all but `Date`, HSTS and what HTTP itself adds.
    pub headers: HeaderMap,
    /// The headers of a 304: those of the 200 less `Content-*`.
    pub not_modified: HeaderMap,
}
