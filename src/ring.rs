//! The rules of rotation: (ledger, listing, now) → (ledger, key set). Pure.

mod ledger;
mod rotation;
mod selection;
#[cfg(test)]
mod tests;
mod voices;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

pub use self::ledger::{Entry, Ledger, Presence};
pub use self::rotation::{Refused, Ring};
use crate::key::{PublicKey, Quarantined};

/// What one read of a source said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The publishable keys; the order is not kept further on.
    pub keys: Vec<PublicKey>,
    /// What was held back, each with its reason.
    pub quarantined: Vec<Quarantined>,
    /// The issuer that the source names, where it names one.
    pub issuer: Option<String>,
    /// How long the source says its answer may be cached. Shortens the refresh, never lengthens it.
    pub max_age: Option<SignedDuration>,
    /// False where a part of the source could not be read (an unreadable file): it says nothing about absence.
    pub complete: bool,
}

/// A source of an issuer, by its place in the configuration: `sources[0].apiServer`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub Arc<str>);

/// The rules an issuer is run by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a key stays published after it was found absent.
    /// At least `tokenLifetime` + the cache lifetime of the JWKS + 5 min.
    pub retention: SignedDuration,
    /// Upper bound of the JWKS document in bytes; retained keys give way first.
    pub max_bytes: usize,
    /// Upper bound of keys that are listed or retained; new ones beyond it are held.
    pub max_keys: usize,
}

impl Rules {
    /// Java verifiers refuse above 51,200 bytes.
    pub const MAX_BYTES: usize = 50_000;
    /// Cloud token services refuse above 100 keys.
    pub const MAX_KEYS: usize = 100;

    /// The usual bounds of size and number, with this retention.
    pub fn new(retention: SignedDuration) -> Self {
        Self {
            retention,
            max_bytes: Self::MAX_BYTES,
            max_keys: Self::MAX_KEYS,
        }
    }
}

/// A key as published, with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedKey {
    /// The key.
    pub key: PublicKey,
    /// Whether a source lists it.
    pub state: KeyState,
    /// When this issuer first saw it.
    pub first_seen: Timestamp,
}

/// The state of a published key, derived from its ledger entry and the time; never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// A source lists it.
    Listed,
    /// No source lists it any more; it stays until the tokens it signed have ended.
    Retained {
        /// When it was found absent.
        absent_since: Timestamp,
        /// When it leaves the set.
        leaves_at: Timestamp,
    },
}

/// What is published: never empty once it was not, every `kid` unique, in the order of publication
/// (listed before retained, RS256 before the others, then `kid` bytewise).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    /// The keys in the order of publication.
    pub keys: Vec<PublishedKey>,
    /// What the ring itself held back: conflicts of `kid`, keys beyond the size limit.
    pub quarantined: Vec<Quarantined>,
}
