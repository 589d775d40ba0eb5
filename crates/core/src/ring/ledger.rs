//! What must outlive the process: each key that was ever published, what became of it, and what was decided.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::Unknown;
use super::decisions::{Approval, ChangeId, Confirmed, Decisions, Revocation};
use crate::key::{KeyId, PublicKey};

/// How long an expired entry is remembered: until then a key that returns keeps its `first_seen`.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(90 * 24);

/// How many expired entries are remembered, those that left last: a source with ever new keys must not fill
/// a store.
const REMEMBERED_ENTRIES: usize = 200;

/// How long the confirmation of a wholesale change holds: until its keys are published, on every replica.
/// Should the same keys come and go again later, they are strangers once more.
const CONFIRMED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// How many confirmations are remembered, the last ones: a source that lists another cluster's keys every minute
/// must not fill a store either.
const REMEMBERED_CONFIRMATIONS: usize = 50;

/// Each key that was published, by name and material, and the decisions about keys. An entry is made when its
/// key is first published, so keys that are held never take room in a store.
///
/// Everything in it can be merged with the ledger of another replica. Decisions stand beside the entries, since
/// they may come before the entry does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    pub(super) entries: BTreeMap<KeyId, Entry>,
    pub(super) revocations: Decisions<KeyId>,
    pub(super) approvals: Decisions<KeyId>,
    pub(super) confirmations: Decisions<ChangeId>,
    pub(super) unknown: Unknown,
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

    /// Every revocation, undone or not.
    pub fn revocations(&self) -> impl ExactSizeIterator<Item = &Revocation> {
        self.revocations.0.values()
    }

    /// Every approval of a key.
    pub fn approvals(&self) -> impl ExactSizeIterator<Item = &Approval> {
        self.approvals.0.values()
    }

    /// Every wholesale change that was confirmed lately.
    pub fn confirmations(&self) -> impl ExactSizeIterator<Item = &Confirmed> {
        self.confirmations.0.values()
    }

    /// Whether nothing was ever written into it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The materials that are revoked, each with the earliest revocation in force.
    pub(super) fn revoked(&self) -> BTreeMap<&[u8; 32], &Revocation> {
        let mut revoked = BTreeMap::new();
        for revocation in self.revocations.in_force() {
            let first = revoked.entry(&revocation.about.spki_sha256).or_insert(revocation);
            if (revocation.when, revocation) < (first.when, *first) {
                *first = revocation;
            }
        }
        revoked
    }

    /// Whether a wholesale change was confirmed, here or by another replica.
    pub(super) fn is_confirmed(&self, change: &ChangeId, retention: SignedDuration, now: Timestamp) -> bool {
        self.confirmed(change, retention, now).next().is_some()
    }

    /// The confirmations of a wholesale change that hold.
    pub(super) fn confirmed<'l>(
        &'l self,
        change: &'l ChangeId,
        retention: SignedDuration,
        now: Timestamp,
    ) -> impl Iterator<Item = &'l Confirmed> {
        let lasts = CONFIRMED_FOR.min(retention);
        let holds =
            move |confirmed: &&Confirmed| confirmed.about == *change && now < later(confirmed.when, lasts);
        self.confirmations.in_force().filter(holds)
    }

    /// Approves keys as a part of a change that an operator approved. The same words everywhere, so that it is one
    /// approval of each in whichever replica the key is heard.
    pub(super) fn approve_by<'k>(&mut self, ids: impl Iterator<Item = &'k KeyId>, change: &Confirmed) {
        let approved: BTreeSet<_> = self
            .approvals
            .in_force()
            .map(|approval| &approval.about)
            .collect();
        let new: Vec<_> = ids.filter(|id| !approved.contains(id)).cloned().collect();
        for id in new {
            self.approvals.add(id, change.when, &change.by, &change.why);
        }
    }

    /// A key enters the set, for the first time or again.
    pub(super) fn admit(&mut self, key: &PublicKey, first_seen: Timestamp, now: Timestamp) {
        self.enter(key, first_seen, now, true);
    }

    /// A key enters the set that no source lists: it was published elsewhere until now.
    pub(super) fn take_over(&mut self, key: &PublicKey, now: Timestamp) {
        self.enter(key, now, now, false);
    }

    fn enter(&mut self, key: &PublicKey, first_seen: Timestamp, now: Timestamp, listed: bool) {
        let entered = |stamp| Presence {
            listed,
            stamp,
            published_since: stamp,
            replaced: false,
            dismissed: false,
        };
        self.entries
            .entry(key.id().clone())
            .and_modify(|entry| entry.presence = entered(entry.presence.next_stamp(now)))
            .or_insert_with(|| Entry {
                key: key.clone(),
                first_seen,
                presence: entered(now),
                unknown: Unknown::default(),
            });
        self.hand_kid_to(key.id());
    }

    /// Whoever had the kid before does not get it back as long as its new holder is published, not even should
    /// the retention be raised, or a revocation be undone.
    fn hand_kid_to(&mut self, id: &KeyId) {
        for (other, entry) in &mut self.entries {
            if other.kid == id.kid && other != id {
                entry.presence.replaced = true;
            }
        }
    }

    /// What has left does not come back because there is nothing else; but `shown` is published.
    pub(super) fn dismiss_all_but(
        &mut self,
        shown: &BTreeSet<&KeyId>,
        retention: SignedDuration,
        now: Timestamp,
    ) {
        let revoked: BTreeSet<_> = self.revoked().into_keys().copied().collect();
        for (id, entry) in &mut self.entries {
            let has_left = entry.is_expired(retention, now) && !shown.contains(id);
            entry.presence.dismissed |= has_left && !revoked.contains(&id.spki_sha256);
        }
    }

    /// The sources list a key of the set again.
    pub(super) fn set_listed(&mut self, id: &KeyId, now: Timestamp) {
        if self.set_presence(id, true, now) {
            self.hand_kid_to(id);
        }
    }

    /// No source lists a key any more.
    pub(super) fn set_absent(&mut self, id: &KeyId, now: Timestamp) {
        self.set_presence(id, false, now);
    }

    fn set_presence(&mut self, id: &KeyId, listed: bool, now: Timestamp) -> bool {
        let Some(Entry { presence, .. }) = self.entries.get_mut(id) else {
            return false;
        };
        if presence.listed == listed {
            return false;
        }
        *presence = Presence {
            listed,
            stamp: presence.next_stamp(now),
            replaced: presence.replaced && !listed,
            dismissed: presence.dismissed && !listed,
            ..*presence
        };
        true
    }

    /// A key that is listed all the time enters the set anew: it was not published in between.
    pub(super) fn publish_anew(&mut self, id: &KeyId, now: Timestamp) {
        if let Some(Entry { presence, .. }) = self.entries.get_mut(id)
            && presence.listed
        {
            let stamp = presence.next_stamp(now);
            presence.stamp = stamp;
            presence.published_since = stamp;
        }
    }

    /// Drops the entries that expired long ago, and of those that expired lately the oldest if there are many;
    /// never one that is revoked, nor `last`, which is still published. Confirmations go when they no longer hold.
    /// Where the clock is not known to be right, time alone drops no entry.
    pub(super) fn forget(
        &mut self,
        retention: SignedDuration,
        last: Option<&KeyId>,
        is_clock_right: bool,
        now: Timestamp,
    ) {
        let over =
            |confirmed: &Confirmed| later(confirmed.when, CONFIRMED_FOR.saturating_add(CONFIRMED_FOR)) <= now;
        self.confirmations.0.retain(|_, confirmed| !over(confirmed));
        if let Some(more @ 1..) = self.confirmations.0.len().checked_sub(REMEMBERED_CONFIRMATIONS) {
            let mut by_age: Vec<_> = self
                .confirmations
                .0
                .iter()
                .map(|(id, confirmed)| (confirmed.when, id.clone()))
                .collect();
            by_age.sort();
            for (_, id) in by_age.drain(..more) {
                self.confirmations.0.remove(&id);
            }
        }
        let ended = |entry: &Entry| entry.leaves_at(retention).filter(|left| *left <= now);
        if !self.entries.values().any(|entry| ended(entry).is_some()) {
            return;
        }
        let revoked: BTreeSet<[u8; 32]> = self
            .revocations
            .0
            .values()
            .map(|it| it.about.spki_sha256)
            .collect();
        let mut expired: Vec<_> = self
            .entries
            .iter()
            .filter(|(id, _)| !revoked.contains(&id.spki_sha256) && Some(*id) != last)
            .filter_map(|(id, entry)| ended(entry).map(|left| (left, id.clone())))
            .collect();
        expired.sort_by_key(|(left, id)| (Reverse(*left), id.clone()));
        let kept = expired
            .iter()
            .take(REMEMBERED_ENTRIES)
            .take_while(|(left, _)| !is_clock_right || now < later(*left, REMEMBERED))
            .count();
        for (_, id) in expired.drain(kept..) {
            self.entries.remove(&id);
        }
    }
}

/// What is remembered of one key. Its state follows from this and the time, and is never stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The key as it was first read; its JWK never changes a byte.
    pub key: PublicKey,
    /// When this issuer first saw it. Never changes.
    pub first_seen: Timestamp,
    /// Whether it is listed, since when.
    pub presence: Presence,
    pub(super) unknown: Unknown,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Presence {
    /// Listed, or absent.
    pub listed: bool,
    /// As of when: the later of the writer's clock and the replaced stamp + 1 ms, so that of two
    /// presences of one key the greater stamp is always the newer one, whatever the clocks did.
    pub stamp: Timestamp,
    /// Since when it has been in the set without a break: starts anew when a key returns after it had left.
    pub published_since: Timestamp,
    /// Whether it had left when another key got its kid: it waits as long as that one is published.
    pub replaced: bool,
    /// Whether it had left when the last published key was revoked: it is not published again before it is listed.
    pub dismissed: bool,
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
