//! Key set → the finished discovery and JWKS documents: bytes, media type, cache policy, entity tag. Pure, immutable.

mod discovery;
mod document;
#[cfg(any(test, feature = "test-support"))]
#[doc(hidden)]
pub mod fake;
mod paths;
mod url;

use std::fmt::Write as _;

use jiff::SignedDuration;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

pub use self::discovery::{folded, reserved};
pub use self::document::{Document, EntityTag, MediaType};
pub use self::paths::{Endpoint, PathsCollide, Place, bare_host, collisions, places, same_host};
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
    /// Further members of the discovery document, after the five; none of which may be one of them in any spelling ([`reserved`]).
    pub extra: Map<String, Value>,
    /// `Content-Type` of the JWKS: `application/jwk-set+json`.
    pub jwks_content_type: MediaType,
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

    /// After a revocation: caches ask every minute at least, and answer with nothing stale.
    #[must_use]
    pub fn after_revocation(&self) -> Self {
        Self {
            max_age: self.max_age.min(SignedDuration::from_mins(1)),
            stale_while_revalidate: SignedDuration::ZERO,
            stale_if_error: SignedDuration::ZERO,
        }
    }

    /// The value of `Cache-Control`.
    pub fn header(&self) -> String {
        let mut value = format!("public, max-age={}", self.max_age.as_secs().max(0));
        for (directive, duration) in [
            ("stale-while-revalidate", self.stale_while_revalidate),
            ("stale-if-error", self.stale_if_error),
        ] {
            if duration.as_secs() > 0 {
                let _ = write!(value, ", {directive}={}", duration.as_secs());
            }
        }
        value
    }
}

/// Both documents of one issuer, finished.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// `/.well-known/openid-configuration`.
    pub discovery: Document,
    /// `/jwks`.
    pub jwks: Document,
    /// A hash of the names of the keys, in their order.
    keys: [u8; 32],
    after_revocation: bool,
}

impl Publication {
    /// Whether these are the documents of this key set: if so (and the profile is the same), building again
    /// would give equal bytes. Cheap.
    pub fn shows(&self, key_set: &KeySet) -> bool {
        self.after_revocation == key_set.revoked_until.is_some() && self.keys == names(key_set)
    }
}

/// Writes both documents; the JWKS with short cache lifetimes while a revocation is young. `None` for an empty key set: it is never published.
pub fn build(profile: &Profile, key_set: &KeySet) -> Option<Publication> {
    if key_set.keys.is_empty() {
        return None;
    }
    #[cfg(any(test, feature = "test-support"))]
    fake::one_more();
    let discovery = Document::new(
        discovery::write(profile, key_set),
        MediaType::JSON,
        profile.discovery_cache,
    );
    let after_revocation = key_set.revoked_until.is_some();
    let jwks_cache = if after_revocation {
        profile.jwks_cache.after_revocation()
    } else {
        profile.jwks_cache
    };
    let jwks = Document::new(jwks(key_set), profile.jwks_content_type.clone(), jwks_cache);
    Some(Publication {
        discovery,
        jwks,
        keys: names(key_set),
        after_revocation,
    })
}

/// The names and materials of the keys, in 32 bytes: a fleet keeps this for each issuer.
fn names(key_set: &KeySet) -> [u8; 32] {
    let mut hash = Sha256::new();
    for published in &key_set.keys {
        let KeyId { kid, spki_sha256 } = published.key.id();
        hash.update(kid.len().to_be_bytes());
        hash.update(kid.as_bytes());
        hash.update(spki_sha256);
    }
    hash.finalize().into()
}

/// The JWKS (RFC 7517 section 5). Each key is written by its own room, and never changes a byte.
fn jwks(key_set: &KeySet) -> Vec<u8> {
    let jwks: Vec<_> = key_set.keys.iter().map(|published| published.key.jwk()).collect();
    format!("{{\"keys\":[{}]}}", jwks.join(",")).into_bytes()
}

#[cfg(test)]
mod tests;
