//! Which entries of a ledger are published at a time: what has run out, who holds a kid, what there is room for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::decisions::Revocation;
use super::held::{Held, quarantine, reason_of};
use super::ledger::later;
use super::naming::ANY_MATERIAL;
use super::room::{ENVELOPE, in_document};
use super::vacancies::{Allowed, Vacancies};
use super::{Entry, HeldChange, KeySet, KeyState, Ledger, NewKeys, PublishedKey, Rules};
use crate::key::{Algorithm, KeyId, PublicKey};

/// How long caches are to ask often after a revocation.
const ALERT: SignedDuration = SignedDuration::from_hours(24);

/// What follows from a ledger at a time; nothing of it is stored.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    now: Timestamp,
    ledger: &'a Ledger,
    rules: &'a Rules,
    /// The revocation of each material that is revoked.
    revoked: BTreeMap<&'a [u8; 32], &'a Revocation>,
    /// What is published, in no order.
    shown: Vec<&'a Entry>,
    shown_ids: HashSet<&'a KeyId>,
    /// What the ledger has and the set has not: its kid is another key's, or there is no room.
    held: Vec<Held>,
    /// Who holds each kid.
    holders: BTreeMap<&'a str, &'a KeyId>,
    /// How many keys are listed or retained.
    unexpired: usize,
    /// Bytes of the listed keys that are shown.
    listed_bytes: usize,
    /// The key that stays beyond its retention, because it is the last.
    last: Option<&'a KeyId>,
}

impl<'a> Selection<'a> {
    pub(super) fn of(ledger: &'a Ledger, rules: &'a Rules, now: Timestamp) -> Self {
        let revoked = ledger.revoked();
        let in_force = ledger
            .entries()
            .filter(|entry| !revoked.contains_key(&entry.key.id().spki_sha256) && !entry.presence.dismissed);
        let (expired, unexpired): (Vec<_>, Vec<_>) =
            in_force.partition(|entry| entry.is_expired(rules.retention, now));
        let mut selection = Self {
            now,
            ledger,
            rules,
            revoked,
            shown: Vec::new(),
            shown_ids: HashSet::new(),
            held: Vec::new(),
            holders: BTreeMap::new(),
            unexpired: unexpired.len(),
            listed_bytes: 0,
            last: None,
        };
        let holders = selection.settle_kids(unexpired);
        selection.fit(holders);
        if selection.shown.is_empty() {
            let last = expired
                .into_iter()
                .max_by_key(|entry| (entry.leaves_at(rules.retention), Reverse(entry.key.id())));
            selection.last = last.map(|entry| entry.key.id());
            selection.shown.extend(last);
        }
        selection.shown_ids = selection.shown.iter().map(|entry| entry.key.id()).collect();
        selection
    }

    /// One holder for each kid. Two meet when the ledgers of two replicas do, when a clock was set back, the
    /// retention raised or a revocation undone: a key that got the kid of one that had left replaced it for good;
    /// of others the one that was seen first stays.
    fn settle_kids(&mut self, unexpired: Vec<&'a Entry>) -> Vec<&'a Entry> {
        let mut by_kid: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in unexpired {
            by_kid.entry(entry.key.kid()).or_default().push(entry);
        }
        let mut holders = Vec::new();
        for (kid, rivals) in by_kid {
            let order = |entry: &&&Entry| (entry.presence.replaced, entry.first_seen, entry.key.id().clone());
            let Some(holder) = rivals.iter().min_by_key(order) else {
                continue;
            };
            self.holders.insert(kid, holder.key.id());
            holders.push(*holder);
            let others = rivals.iter().filter(|entry| entry.key.id() != holder.key.id());
            self.held.extend(others.map(|entry| Held::conflict(&entry.key)));
        }
        holders
    }

    /// What there is room for: listed keys first, in the order in which they were published; then retained
    /// ones, the longest absent last. One that does not fit costs a smaller one nothing.
    fn fit(&mut self, holders: Vec<&'a Entry>) {
        let (mut listed, mut retained): (Vec<_>, Vec<_>) =
            holders.into_iter().partition(|entry| entry.presence.listed);
        listed.sort_by_key(|entry| (entry.presence.published_since, entry.first_seen));
        retained.sort_by_key(|entry| Reverse(entry.presence.stamp));
        for entry in listed {
            if self.has_room(self.listed_bytes, &entry.key) {
                self.listed_bytes += in_document(&entry.key);
                self.shown.push(entry);
            } else {
                self.held.push(Held::too_large(&entry.key, self.rules));
            }
        }
        let mut bytes = self.listed_bytes;
        for entry in retained {
            if self.has_room(bytes, &entry.key) {
                bytes += in_document(&entry.key);
                self.shown.push(entry);
            } else {
                self.held.push(Held::too_large(&entry.key, self.rules));
            }
        }
    }

    fn has_room(&self, bytes: usize, key: &PublicKey) -> bool {
        ENVELOPE + bytes + in_document(key) <= self.rules.max_bytes
    }

    /// Whether a key is published.
    pub(super) fn shows(&self, id: &KeyId) -> bool {
        self.shown_ids.contains(id)
    }

    /// Whether a key is published, or will be as soon as there is room.
    pub(super) fn keeps(&self, id: &KeyId) -> bool {
        self.holders.get(&*id.kid) == Some(&id) || self.last == Some(id)
    }

    /// Who holds a kid.
    pub(super) fn holder(&self, kid: &str) -> Option<&'a KeyId> {
        self.holders.get(kid).copied()
    }

    /// The key that stays beyond its retention, because it is the last.
    pub(super) fn last(&self) -> Option<&'a KeyId> {
        self.last
    }

    /// Whether anything is published.
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// The revocation in force of a key's material.
    pub(super) fn revocation(&self, id: &KeyId) -> Option<&'a Revocation> {
        self.revoked.get(&id.spki_sha256).copied()
    }

    /// What the ledger has and the set has not, though it is neither expired nor revoked.
    pub(super) fn held(&self) -> &[Held] {
        &self.held
    }

    /// Room for those who wait.
    pub(super) fn vacancies(&self) -> Vacancies {
        let asks = self.rules.new_keys == NewKeys::Approve && !self.is_empty();
        let allowed = || {
            let approved = || self.ledger.approvals.in_force().map(|approval| &approval.about);
            let entries = || self.ledger.entries().map(|entry| entry.key.id());
            let taken: BTreeSet<_> = entries().map(|id| &id.kid).collect();
            let kids = approved().filter(|id| id.spki_sha256 == ANY_MATERIAL);
            let materials = approved().filter(|id| id.kid.is_empty());
            Allowed {
                keys: entries().chain(approved()).cloned().collect(),
                materials: materials.map(|id| id.spki_sha256).collect(),
                kids: kids
                    .map(|id| &id.kid)
                    .filter(|kid| !taken.contains(kid))
                    .cloned()
                    .collect(),
            }
        };
        Vacancies {
            rules: self.rules.clone(),
            holders: self
                .holders
                .iter()
                .map(|(kid, id)| (Arc::from(*kid), (*id).clone()))
                .collect(),
            unexpired: self.unexpired,
            listed_bytes: self.listed_bytes,
            revoked: self
                .revoked
                .iter()
                .map(|(material, revocation)| (**material, reason_of(revocation)))
                .collect(),
            allowed: asks.then(allowed),
        }
    }

    /// In the order of publication, with what else is held back.
    pub(super) fn into_key_set(self, waiting: &[Held], changes: Vec<HeldChange>) -> KeySet {
        let mut keys: Vec<_> = self.shown.iter().map(|entry| self.published(entry)).collect();
        keys.sort_by(|a, b| place(a).cmp(&place(b)));
        let mut quarantined: Vec<_> = waiting.iter().chain(&self.held).map(Held::quarantined).collect();
        for change in &changes {
            let reason = change.reason();
            quarantined.extend(change.keys.iter().map(|key| quarantine(key, reason.clone())));
        }
        quarantined.sort_by(|a, b| a.entry.cmp(&b.entry));
        quarantined.dedup();
        KeySet {
            quarantined,
            withdrawn: keys.is_empty() && self.ledger.entries().len() > 0,
            revoked_until: self.revoked_until(),
            held_changes: changes,
            keys,
        }
    }

    /// Until when caches are to ask often. A revocation of the future is taken as one of now.
    pub(super) fn revoked_until(&self) -> Option<Timestamp> {
        let times = self
            .ledger
            .revocations
            .in_force()
            .map(|revocation| revocation.when);
        let last = times.max()?.min(self.now);
        Some(later(last, ALERT)).filter(|until| *until > self.now)
    }

    fn published(&self, entry: &Entry) -> PublishedKey {
        let state = if entry.presence.listed {
            KeyState::Listed
        } else {
            // A stamp in the future is taken as now.
            let absent_since = entry.presence.stamp.min(self.now);
            KeyState::Retained {
                absent_since,
                leaves_at: later(absent_since, self.rules.retention),
            }
        };
        PublishedKey {
            key: entry.key.clone(),
            state,
            first_seen: entry.first_seen,
        }
    }
}

/// The order of publication: listed before retained, RS256 before the others, then kid bytewise.
fn place(published: &PublishedKey) -> (bool, bool, &str) {
    let retained = published.state != KeyState::Listed;
    (
        retained,
        published.key.algorithm() != Algorithm::Rs256,
        published.key.kid(),
    )
}
