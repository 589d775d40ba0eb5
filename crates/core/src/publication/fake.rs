//! Profiles and key sets for tests.

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};
use serde_json::Map;

use super::{CachePolicy, IssuerUrl, JwksUri, MediaType, Profile};
use crate::key::{Algorithm, PublicKey, fake};
use crate::ring::{KeySet, KeyState, PublishedKey};

thread_local! {
    static MADE: Cell<u32> = const { Cell::new(0) };
}

/// How many publications this thread has made.
pub fn made() -> u32 {
    MADE.get()
}

pub(super) fn one_more() {
    MADE.set(MADE.get() + 1);
}

/// An issuer with everything at its default.
#[expect(clippy::unwrap_used, reason = "for tests alone")]
pub fn profile(issuer: &str) -> Profile {
    let issuer = IssuerUrl::parse(issuer).unwrap();
    let seconds = SignedDuration::from_secs;
    Profile {
        jwks_uri: JwksUri::of(&issuer),
        issuer,
        announced: Vec::new(),
        extra: Map::new(),
        jwks_content_type: MediaType::JWKS,
        jwks_cache: CachePolicy {
            max_age: seconds(300),
            stale_while_revalidate: seconds(60),
            stale_if_error: seconds(86_400),
        },
        discovery_cache: CachePolicy {
            max_age: seconds(3600),
            stale_while_revalidate: seconds(0),
            stale_if_error: seconds(86_400),
        },
    }
}

/// Listed keys in this order.
pub fn listed(keys: impl IntoIterator<Item = PublicKey>) -> KeySet {
    let published = |key| PublishedKey {
        key,
        state: KeyState::Listed,
        first_seen: Timestamp::UNIX_EPOCH,
    };
    KeySet {
        keys: keys.into_iter().map(published).collect(),
        ..KeySet::default()
    }
}

/// One RSA key.
pub fn rsa_only() -> KeySet {
    listed([fake::key("rsa", 1)])
}

/// Two RSA keys and one on P-256.
pub fn mixed() -> KeySet {
    listed([
        fake::key("a", 1),
        fake::key("b", 2),
        fake::key_with("c", 3, Algorithm::Es256),
    ])
}
