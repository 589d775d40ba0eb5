//! What was decided about keys: revocations, approvals, confirmed changes. Merged by union; an undone one stays so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::Unknown;
use crate::key::{KeyId, PublicKey};

/// An operator took back every key of this material, under whichever `kid`.
pub type Revocation = Decision<KeyId>;

/// An operator let a new key in.
pub type Approval = Decision<KeyId>;

/// A listing that shares no key with what is published was confirmed, by reads or by an operator.
pub type Confirmed = Decision<ChangeId>;

/// The name of a decision: unique for each, so that a key can be revoked again after it was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId(pub(super) Arc<str>);

/// Names the keys of a listing, all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChangeId(pub(super) Arc<str>);

/// Of the names of changes and decisions: hexadecimal ones.
const DIGITS: usize = 16;

impl ChangeId {
    /// The name of a listing with exactly these keys, in any order.
    pub(super) fn of<'k>(keys: impl IntoIterator<Item = &'k PublicKey>) -> Self {
        let mut ids: Vec<_> = keys.into_iter().map(PublicKey::id).collect();
        ids.sort();
        ids.dedup();
        let mut hash = Sha256::new();
        for id in ids {
            hash.update(id.kid.len().to_be_bytes());
            hash.update(id.kid.as_bytes());
            hash.update(id.spki_sha256);
        }
        Self(short(hash))
    }

    /// The name as an operator writes it.
    pub(super) fn named(name: &str) -> Option<Self> {
        let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let is_name = name.len() == DIGITS && name.chars().all(is_digit);
        is_name.then(|| Self(name.into()))
    }

    /// Sixteen hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One decision. Nothing of it changes but `undone`, once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decision<T> {
    /// What was decided about.
    pub about: T,
    /// When.
    pub when: Timestamp,
    /// By whom.
    pub by: Arc<str>,
    /// Why.
    pub why: Arc<str>,
    /// Taken back; for good.
    pub undone: Option<Undone>,
    pub(super) unknown: Unknown,
}

/// When and by whom a decision was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Undone {
    /// When.
    pub when: Timestamp,
    /// By whom.
    pub by: Arc<str>,
    pub(super) unknown: Unknown,
}

/// Decisions of one kind by their names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Decisions<T>(pub(super) BTreeMap<DecisionId, Decision<T>>);

impl<T> Default for Decisions<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// What a decision can be about.
pub(super) trait About: Clone + Ord {
    fn feed(&self, hash: &mut Sha256);
}

impl About for KeyId {
    fn feed(&self, hash: &mut Sha256) {
        hash.update(self.kid.as_bytes());
        hash.update(self.spki_sha256);
    }
}

impl About for ChangeId {
    fn feed(&self, hash: &mut Sha256) {
        hash.update(self.0.as_bytes());
    }
}

impl<T: About> Decisions<T> {
    /// Writes a decision down.
    pub(super) fn add(&mut self, about: T, when: Timestamp, by: &str, why: &str) {
        // Should the clock stand still, the same words make another decision nevertheless.
        let free = |at: &u32| !self.0.contains_key(&name(&about, when, by, why, *at));
        let at = (0..=u32::MAX).find(free).unwrap_or_default();
        self.0.insert(
            name(&about, when, by, why, at),
            Decision {
                about,
                when,
                by: by.into(),
                why: why.into(),
                undone: None,
                unknown: Unknown::default(),
            },
        );
    }

    /// Those that are in force.
    pub(super) fn in_force(&self) -> impl Iterator<Item = &Decision<T>> {
        self.0.values().filter(|decision| decision.undone.is_none())
    }

    /// Takes back those in force that match.
    pub(super) fn undo(&mut self, matches: impl Fn(&T) -> bool, when: Timestamp, by: &str) {
        for decision in self.0.values_mut() {
            if decision.undone.is_none() && matches(&decision.about) {
                decision.undone = Some(Undone {
                    when,
                    by: by.into(),
                    unknown: Unknown::default(),
                });
            }
        }
    }

    /// The union of two.
    pub(super) fn merge(&self, other: &Self) -> Self {
        let mut merged = self.0.clone();
        for (id, theirs) in &other.0 {
            merged
                .entry(id.clone())
                .and_modify(|ours| *ours = ours.merge(theirs))
                .or_insert_with(|| theirs.clone());
        }
        Self(merged)
    }
}

impl<T: Clone + Ord> Decision<T> {
    /// What differs in two of one name besides `undone` is damage; which of the two stays is the same everywhere.
    fn merge(&self, other: &Self) -> Self {
        let words = |decision: &Self| {
            (
                decision.about.clone(),
                decision.when,
                Arc::clone(&decision.by),
                Arc::clone(&decision.why),
            )
        };
        let first = if words(self) <= words(other) { self } else { other };
        let undone = match (&self.undone, &other.undone) {
            (Some(ours), Some(theirs)) => Some(ours.merge(theirs)),
            (ours, theirs) => ours.as_ref().or(theirs.as_ref()).cloned(),
        };
        Self {
            undone,
            unknown: self.unknown.merge(&other.unknown),
            ..first.clone()
        }
    }
}

impl Undone {
    /// The earlier one, and what later releases wrote into either.
    fn merge(&self, other: &Self) -> Self {
        let first = if (self.when, &self.by) <= (other.when, &other.by) {
            self
        } else {
            other
        };
        Self {
            unknown: self.unknown.merge(&other.unknown),
            ..first.clone()
        }
    }
}

fn name<T: About>(about: &T, when: Timestamp, by: &str, why: &str, at: u32) -> DecisionId {
    let mut hash = Sha256::new();
    about.feed(&mut hash);
    hash.update(when.as_nanosecond().to_be_bytes());
    for words in [by, why] {
        hash.update(words.len().to_be_bytes());
        hash.update(words);
    }
    hash.update(at.to_be_bytes());
    DecisionId(short(hash))
}

/// Eight octets of a hash in hexadecimal.
fn short(hash: Sha256) -> Arc<str> {
    hash.finalize()[..DIGITS / 2]
        .iter()
        .fold(String::new(), |mut hex, octet| {
            let _ = write!(hex, "{octet:02x}");
            hex
        })
        .into()
}
