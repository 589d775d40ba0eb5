//! What must outlive the process: each key that was ever published, and what became of it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::key::{KeyId, PublicKey};

/// Each key that was published, by name and material. An entry is made when its key is first published,
/// so keys that are held never take room in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub(super) entries: BTreeMap<KeyId, Entry>,
}

impl Ledger {
    /// The entries in the order of (kid, material).
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.values()
    }
}

/// What is remembered of one key. Its state follows from this and the time, and is never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key as it was first read; its JWK never changes a byte.
    pub key: PublicKey,
    /// When this issuer first saw it. Never changes.
    pub first_seen: Timestamp,
    /// Whether it is listed, since when.
    pub presence: Presence,
}

/// Whether the sources list a key. Written only when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Listed, or absent.
    pub listed: bool,
    /// As of when: the later of the writer's clock and the replaced stamp + 1 ms, so that of two
    /// presences of one key the greater stamp is always the newer one, whatever the clocks did.
    pub stamp: Timestamp,
    /// Since when it has been in the set without a break: starts anew when a key returns after it had left.
    pub published_since: Timestamp,
}
