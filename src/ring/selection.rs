//! Which entries of a ledger are published at a time: what has run out, who holds a kid, what there is room for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::ledger::later;
use super::{Entry, KeySet, KeyState, Ledger, PublishedKey, Rules};
use crate::key::{Algorithm, KeyId, PublicKey, Quarantined, Reason};

/// What follows from a ledger at a time; nothing of it is stored.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    now: Timestamp,
    rules: &'a Rules,
    /// What is published, in no order.
    shown: Vec<&'a Entry>,
    /// What the ledger has and the set has not: its kid is another key's, or there is no room.
    held: Vec<Quarantined>,
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
        let (expired, unexpired): (Vec<_>, Vec<_>) = ledger
            .entries()
            .partition(|entry| entry.is_expired(rules.retention, now));
        let mut selection = Self {
            now,
            rules,
            shown: Vec::new(),
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
        selection
    }

    /// One holder for each kid. Two can meet only when the ledgers of two replicas do, or when a clock was
    /// set back: a key that was published after another had run out replaced it for good; of others the one
    /// that was seen first stays.
    fn settle_kids(&mut self, unexpired: Vec<&'a Entry>) -> Vec<&'a Entry> {
        let mut by_kid: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in unexpired {
            by_kid.entry(entry.key.kid()).or_default().push(entry);
        }
        let replaced = |old: &Entry, rivals: &[&Entry]| {
            let left = old.leaves_at(self.rules.retention);
            left.is_some_and(|left| rivals.iter().any(|rival| rival.presence.published_since >= left))
        };
        let mut holders = Vec::new();
        for (kid, rivals) in by_kid {
            let order =
                |entry: &&&Entry| (replaced(entry, &rivals), entry.first_seen, entry.key.id().clone());
            let Some(holder) = rivals.iter().min_by_key(order) else {
                continue;
            };
            self.holders.insert(kid, holder.key.id());
            holders.push(*holder);
            let others = rivals.iter().filter(|entry| entry.key.id() != holder.key.id());
            self.held.extend(others.map(|entry| conflict(&entry.key)));
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
                self.held.push(too_large(&entry.key, self.rules));
            }
        }
        let mut bytes = self.listed_bytes;
        for entry in retained {
            if self.has_room(bytes, &entry.key) {
                bytes += in_document(&entry.key);
                self.shown.push(entry);
            } else {
                self.held.push(too_large(&entry.key, self.rules));
            }
        }
    }

    fn has_room(&self, bytes: usize, key: &PublicKey) -> bool {
        ENVELOPE + bytes + in_document(key) <= self.rules.max_bytes
    }

    /// Whether a key is published.
    pub(super) fn shows(&self, id: &KeyId) -> bool {
        self.shown.iter().any(|entry| entry.key.id() == id)
    }

    /// Whether a key is published, or will be as soon as there is room.
    pub(super) fn keeps(&self, id: &KeyId) -> bool {
        self.holders.get(&*id.kid) == Some(&id) || self.last == Some(id)
    }

    /// The key that stays beyond its retention, because it is the last.
    pub(super) fn last(&self) -> Option<&'a KeyId> {
        self.last
    }

    /// Room for those who wait.
    pub(super) fn vacancies(&self) -> Vacancies {
        Vacancies {
            rules: self.rules.clone(),
            holders: self
                .holders
                .iter()
                .map(|(kid, id)| (Arc::from(*kid), (*id).clone()))
                .collect(),
            unexpired: self.unexpired,
            listed_bytes: self.listed_bytes,
        }
    }

    /// In the order of publication, with what else is held back.
    pub(super) fn into_key_set(self, mut held: Vec<Quarantined>) -> KeySet {
        let mut keys: Vec<_> = self.shown.iter().map(|entry| self.published(entry)).collect();
        keys.sort_by(|a, b| place(a).cmp(&place(b)));
        held.extend(self.held);
        held.sort_by(|a, b| a.entry.cmp(&b.entry));
        held.dedup();
        KeySet {
            keys,
            quarantined: held,
            ..KeySet::default()
        }
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

/// `{"keys":[` and `]}`, less the comma that the first key does not have.
const ENVELOPE: usize = r#"{"keys":[]}"#.len() - 1;

/// What a key adds to the document: its JWK and a comma.
fn in_document(key: &PublicKey) -> usize {
    key.jwk().len() + 1
}

/// What keeps a key that is listed from entering the set.
#[derive(Debug)]
pub(super) struct Vacancies {
    rules: Rules,
    holders: BTreeMap<Arc<str>, KeyId>,
    unexpired: usize,
    listed_bytes: usize,
}

impl Vacancies {
    /// Those who may enter now, in the order in which they were first seen; and the others, with the reason.
    pub(super) fn fill<'k>(
        mut self,
        waiting: &[(&'k PublicKey, Timestamp)],
    ) -> (Vec<(&'k PublicKey, Timestamp)>, Vec<Quarantined>) {
        let mut queue = waiting.to_vec();
        queue.sort_by_key(|(key, first_seen)| (*first_seen, key.id()));
        let rivals = shared_kids(queue.iter().map(|(key, _)| *key));
        let (mut admitted, mut held) = (Vec::new(), Vec::new());
        for (key, first_seen) in queue {
            match self.refuses(key, &rivals) {
                Some(reason) => held.push(quarantined(key, reason)),
                None => admitted.push((key, first_seen)),
            }
        }
        (admitted, held)
    }

    fn refuses(&mut self, key: &PublicKey, rivals: &BTreeSet<Arc<str>>) -> Option<Reason> {
        let holder = self.holders.get(key.kid());
        let is_holder = holder == Some(key.id());
        if !is_holder && (holder.is_some() || rivals.contains(key.kid())) {
            return Some(Reason::KidConflict {
                kid: key.kid().to_owned(),
            });
        }
        if !is_holder && self.unexpired >= self.rules.max_keys {
            return Some(Reason::KeyLimit {
                max_keys: self.rules.max_keys,
            });
        }
        if ENVELOPE + self.listed_bytes + in_document(key) > self.rules.max_bytes {
            return Some(Reason::SizeLimit {
                max_bytes: self.rules.max_bytes,
            });
        }
        self.listed_bytes += in_document(key);
        self.unexpired += usize::from(!is_holder);
        None
    }
}

/// The kids under which there is more than one material.
pub(super) fn shared_kids<'k>(keys: impl IntoIterator<Item = &'k PublicKey>) -> BTreeSet<Arc<str>> {
    let (mut seen, mut shared) = (BTreeMap::new(), BTreeSet::new());
    for key in keys {
        let id = key.id();
        if *seen.entry(&id.kid).or_insert(id) != id {
            shared.insert(Arc::clone(&id.kid));
        }
    }
    shared
}

fn conflict(key: &PublicKey) -> Quarantined {
    quarantined(
        key,
        Reason::KidConflict {
            kid: key.kid().to_owned(),
        },
    )
}

fn too_large(key: &PublicKey, rules: &Rules) -> Quarantined {
    quarantined(
        key,
        Reason::SizeLimit {
            max_bytes: rules.max_bytes,
        },
    )
}

/// A key held back by the ring. Name and fingerprint together tell it from its rivals.
fn quarantined(key: &PublicKey, reason: Reason) -> Quarantined {
    let [a, b, c, d, ..] = key.id().spki_sha256;
    Quarantined {
        entry: format!("key {} (SPKI SHA-256 {a:02x}{b:02x}{c:02x}{d:02x}…)", key.kid()),
        kid: Some(key.kid().to_owned()),
        reason,
    }
}
