//! Two ledgers into one. Commutative, associative, idempotent; errs towards keeping a key, and revocation wins.
//!
//! Every part is a join: entries by their name, `first_seen` by minimum, presence by its stamp, decisions by
//! union. So replicas that have read the same writes have the same ledger, in whatever order they came.

use super::{Entry, Ledger, Presence};

/// How two presences of one key become one.
pub(super) type PresenceRule = fn(&Presence, &Presence) -> Presence;

impl Ledger {
    /// What both know together.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        self.merge_by(other, Presence::merge)
    }

    /// Whether this ledger knows something that `stored` does not: whether it has to be written there.
    /// What is stored and forgotten here is no reason to write.
    pub fn adds_to(&self, stored: &Self) -> bool {
        stored.merge(self) != *stored
    }

    /// With another rule for presence: the tests show that a wrong one is noticed.
    pub(super) fn merge_by(&self, other: &Self, rule: PresenceRule) -> Self {
        let mut entries = self.entries.clone();
        for (id, theirs) in &other.entries {
            entries
                .entry(id.clone())
                .and_modify(|ours| *ours = ours.merge(theirs, rule))
                .or_insert_with(|| theirs.clone());
        }
        Self {
            entries,
            revocations: self.revocations.merge(&other.revocations),
            approvals: self.approvals.merge(&other.approvals),
            confirmations: self.confirmations.merge(&other.confirmations),
            unknown: self.unknown.merge(&other.unknown),
        }
    }
}

impl Entry {
    fn merge(&self, other: &Self, rule: PresenceRule) -> Self {
        Self {
            key: self.key.clone(),
            first_seen: self.first_seen.min(other.first_seen),
            presence: rule(&self.presence, &other.presence),
            unknown: self.unknown.merge(&other.unknown),
        }
    }
}

impl Presence {
    /// The newer one; of two as new the one that says it is listed. Should they be alike in that: the later
    /// `published_since` (who asks since when every cache has a key must not be told too early), and a kid that
    /// was handed on stays so, and a key that was dismissed.
    pub(super) fn merge(&self, other: &Self) -> Self {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match (self.stamp, self.listed).cmp(&(other.stamp, other.listed)) {
            Greater => *self,
            Less => *other,
            Equal => Self {
                published_since: self.published_since.max(other.published_since),
                replaced: self.replaced || other.replaced,
                dismissed: self.dismissed || other.dismissed,
                ..*self
            },
        }
    }
}
