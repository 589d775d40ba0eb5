//! What must outlive the process: each key that was ever published, and what became of it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::key::{KeyId, PublicKey};

/// How long an expired entry is remembered: until then a key that returns keeps its `first_seen`.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Each key that was published, by name and material. An entry is made when its key is first published,
/// so keys that are held never take room in a store.
///
/// Everything in it can be merged with the ledger of another replica: entries by their id, `first_seen` by
/// minimum, presence by its stamp. What an operator decides (revocations, approvals) has its place beside
/// the entries, since it is about ids and may come before the entry does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    entries: BTreeMap<KeyId, Entry>,
}

impl Ledger {
    /// The entries in the order of (kid, material).
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.values()
    }

    /// The entry of a key.
    pub fn entry(&self, id: &KeyId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// A key enters the set, for the first time or again.
    pub(super) fn admit(&mut self, key: &PublicKey, first_seen: Timestamp, now: Timestamp) {
        let entered = |stamp| Presence {
            listed: true,
            stamp,
            published_since: stamp,
        };
        self.entries
            .entry(key.id().clone())
            .and_modify(|entry| entry.presence = entered(entry.presence.next_stamp(now)))
            .or_insert_with(|| Entry {
                key: key.clone(),
                first_seen,
                presence: entered(now),
            });
    }

    /// The sources list a key of the set again.
    pub(super) fn set_listed(&mut self, id: &KeyId, now: Timestamp) {
        self.set_presence(id, true, now);
    }

    /// No source lists a key any more.
    pub(super) fn set_absent(&mut self, id: &KeyId, now: Timestamp) {
        self.set_presence(id, false, now);
    }

    fn set_presence(&mut self, id: &KeyId, listed: bool, now: Timestamp) {
        if let Some(Entry { presence, .. }) = self.entries.get_mut(id)
            && presence.listed != listed
        {
            *presence = Presence {
                listed,
                stamp: presence.next_stamp(now),
                ..*presence
            };
        }
    }

    /// Drops the entries that expired long ago, all but `last`, which is still published.
    pub(super) fn forget(&mut self, retention: SignedDuration, last: Option<&KeyId>, now: Timestamp) {
        self.entries.retain(|id, entry| match entry.leaves_at(retention) {
            Some(left) => now < later(left, REMEMBERED) || Some(id) == last,
            None => true,
        });
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

impl Entry {
    /// When an absent key leaves the set.
    pub(super) fn leaves_at(&self, retention: SignedDuration) -> Option<Timestamp> {
        (!self.presence.listed).then(|| later(self.presence.stamp, retention))
    }

    /// Whether an absent key has had its retention.
    pub(super) fn is_expired(&self, retention: SignedDuration, now: Timestamp) -> bool {
        self.leaves_at(retention)
            .is_some_and(|leaves_at| leaves_at <= now)
    }
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

impl Presence {
    fn next_stamp(&self, now: Timestamp) -> Timestamp {
        now.max(later(self.stamp, SignedDuration::from_millis(1)))
    }
}

/// A moment after another; the last one that can be told where there is none.
pub(super) fn later(moment: Timestamp, duration: SignedDuration) -> Timestamp {
    moment.checked_add(duration).unwrap_or(Timestamp::MAX)
}
