//! What an operator sees of an issuer's keys, and what is safe now.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::decisions::Revocation;
use super::held::Held;
use super::ledger::later;
use super::selection::Selection;
use super::{Entry, HeldChange, KeySet, KeyState, PublishedKey, Ring};
use crate::key::{KeyId, PublicKey, Reason};

/// Every key that is known, and the changes that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Published ones in the order of publication; then the others by kid.
    pub keys: Vec<KeyView>,
    /// Listings that wait for their confirmation.
    pub held_changes: Vec<HeldChange>,
    /// Whether the last published key was revoked: both documents answer 503.
    pub withdrawn: bool,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyView {
    /// The key.
    pub key: PublicKey,
    /// When this issuer first saw it.
    pub first_seen: Timestamp,
    /// How it stands.
    pub standing: Standing,
}

/// How a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Published, and a source lists it.
    Listed {
        /// Since when it has been published without a break.
        published_since: Timestamp,
        /// From when it may sign: every cache has it by then.
        may_sign_from: Timestamp,
    },
    /// Published, and no source lists it any more.
    Retained {
        /// When it was found absent.
        absent_since: Timestamp,
        /// When it leaves the set: no token that it signed is valid then.
        leaves_at: Timestamp,
    },
    /// Not published: it has had its retention.
    Expired {
        /// When it was found absent.
        absent_since: Timestamp,
        /// When it left.
        left_at: Timestamp,
    },
    /// Not published: its material is revoked.
    Revoked(Revocation),
    /// Not published: listed or retained, but something stands in its way.
    Held(Reason),
}

impl Ring {
    /// What is known of every key at `now`.
    pub fn view(&mut self, now: Timestamp) -> View {
        self.look(now).1
    }

    /// What is published at `now`, and what is known of every key.
    pub fn look(&mut self, now: Timestamp) -> (KeySet, View) {
        let waiting = self.settle(now);
        let changes = self.pending.held().cloned().collect();
        let set = Selection::of(&self.ledger, &self.rules, now).into_key_set(&waiting, changes);
        let view = self.view_of(&set, waiting, now);
        (set, view)
    }

    fn view_of(&self, set: &KeySet, waiting: Vec<Held>, now: Timestamp) -> View {
        let selection = Selection::of(&self.ledger, &self.rules, now);
        let changes = set.held_changes.iter().flat_map(|change| {
            let held = |key: &PublicKey| Held {
                key: key.clone(),
                reason: change.reason(),
            };
            change.keys.iter().map(held)
        });
        let held: BTreeMap<KeyId, Held> = changes
            .chain(selection.held().iter().cloned())
            .chain(waiting)
            .map(|held| (held.key.id().clone(), held))
            .collect();
        let first_of_all = self.ledger.entries().map(|entry| entry.first_seen).min();
        let mut keys: Vec<_> = set
            .keys
            .iter()
            .filter_map(|published| self.published(published, first_of_all))
            .collect();
        let shown: BTreeSet<_> = set.keys.iter().map(|published| published.key.id()).collect();
        let gone = self
            .ledger
            .entries()
            .filter(|entry| !shown.contains(entry.key.id()));
        let mut others: BTreeMap<KeyId, KeyView> = gone
            .map(|entry| (entry.key.id().clone(), self.gone(entry, &selection, &held, now)))
            .collect();
        let first_heard = self.first_heard(&set.held_changes);
        for (id, Held { key, reason }) in &held {
            if !shown.contains(id) && !others.contains_key(id) {
                let standing = match selection.revocation(id) {
                    Some(revocation) => Standing::Revoked(revocation.clone()),
                    None => Standing::Held(reason.clone()),
                };
                let first_seen = first_heard.get(id).copied().unwrap_or(now);
                let key = key.clone();
                others.insert(
                    id.clone(),
                    KeyView {
                        key,
                        first_seen,
                        standing,
                    },
                );
            }
        }
        keys.extend(others.into_values());
        View {
            keys,
            held_changes: set.held_changes.clone(),
            withdrawn: set.withdrawn,
        }
    }

    fn published(&self, published: &PublishedKey, first: Option<Timestamp>) -> Option<KeyView> {
        let entry = self.ledger.entry(published.key.id())?;
        let standing = match published.state {
            KeyState::Listed => Standing::Listed {
                published_since: entry.presence.published_since,
                may_sign_from: self.may_sign_from(entry, first),
            },
            KeyState::Retained {
                absent_since,
                leaves_at,
            } => Standing::Retained {
                absent_since,
                leaves_at,
            },
        };
        Some(KeyView {
            key: entry.key.clone(),
            first_seen: entry.first_seen,
            standing,
        })
    }

    /// The very first keys of an issuer may sign at once: no cache holds a set without them.
    fn may_sign_from(&self, entry: &Entry, first: Option<Timestamp>) -> Timestamp {
        let since = entry.presence.published_since;
        if since == entry.first_seen && first == Some(since) {
            since
        } else {
            later(since, self.rules.propagation.saturating_add(self.late))
        }
    }

    fn gone(
        &self,
        entry: &Entry,
        selection: &Selection<'_>,
        held: &BTreeMap<KeyId, Held>,
        now: Timestamp,
    ) -> KeyView {
        let id = entry.key.id();
        let left_at = entry
            .leaves_at(self.rules.retention)
            .filter(|left_at| *left_at <= now);
        let standing = match (selection.revocation(id), held.get(id), left_at) {
            (Some(revocation), _, _) => Standing::Revoked(revocation.clone()),
            (None, Some(held), _) => Standing::Held(held.reason.clone()),
            // Published, held, revoked or expired: an entry is one of these.
            (None, None, left_at) => Standing::Expired {
                absent_since: entry.presence.stamp,
                left_at: left_at.unwrap_or(now),
            },
        };
        KeyView {
            key: entry.key.clone(),
            first_seen: entry.first_seen,
            standing,
        }
    }

    /// When each key was first heard of that waits.
    fn first_heard(&self, changes: &[HeldChange]) -> BTreeMap<KeyId, Timestamp> {
        let mut first = self.waiting.clone();
        for change in changes {
            for key in &change.keys {
                let heard = first.entry(key.id().clone()).or_insert(change.first_heard);
                *heard = change.first_heard.min(*heard);
            }
        }
        first
    }
}
