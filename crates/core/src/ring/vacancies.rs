//! Who of those that wait may enter the set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::Rules;
use super::held::{Held, shared_kids};
use super::room::{ENVELOPE, in_document};
use crate::key::{KeyId, PublicKey, Reason};

/// What keeps a key that is listed from entering the set.
#[derive(Clone, Debug)]
pub(super) struct Vacancies {
    pub(super) rules: Rules,
    /// Who holds each kid.
    pub(super) holders: BTreeMap<Arc<str>, KeyId>,
    /// How many keys are listed or retained.
    pub(super) unexpired: usize,
    /// Bytes of the listed keys that are published.
    pub(super) listed_bytes: usize,
    /// The materials that are revoked.
    pub(super) revoked: BTreeMap<[u8; 32], Reason>,
    /// Who may enter, where others need an approval.
    pub(super) allowed: Option<Allowed>,
}

/// Which keys need no approval any more.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    /// Those that were approved, or published before.
    pub(super) keys: BTreeSet<KeyId>,
    /// The materials that were approved before they were heard, under whichever kid.
    pub(super) materials: BTreeSet<[u8; 32]>,
    /// The kids that were approved before they were heard, and that no key has had yet.
    pub(super) kids: BTreeSet<Arc<str>>,
}

impl Allowed {
    fn has(&self, id: &KeyId) -> bool {
        self.keys.contains(id) || self.materials.contains(&id.spki_sha256) || self.kids.contains(&id.kid)
    }
}

impl Vacancies {
    /// Those who may enter now, in the order in which they were first seen; and the others, with the reason.
    pub(super) fn fill<'k>(
        mut self,
        waiting: &[(&'k PublicKey, Timestamp)],
    ) -> (Vec<(&'k PublicKey, Timestamp)>, Vec<Held>) {
        let mut queue = waiting.to_vec();
        queue.sort_by_key(|(key, first_seen)| (*first_seen, key.id()));
        let rivals = shared_kids(
            queue
                .iter()
                .map(|(key, _)| *key)
                .filter(|key| !self.revoked.contains_key(&key.id().spki_sha256)),
        );
        let (mut admitted, mut held) = (Vec::new(), Vec::new());
        for (key, first_seen) in queue {
            match self.refuses(key, &rivals) {
                Some(reason) => held.push(Held {
                    key: key.clone(),
                    reason,
                }),
                None => admitted.push((key, first_seen)),
            }
        }
        (admitted, held)
    }

    /// As they are for keys that no source lists: an operator says so, and retained keys give way where there is no room.
    pub(super) fn for_import(mut self) -> Self {
        self.rules.max_bytes = usize::MAX;
        self.allowed = None;
        self
    }

    /// Takes a key over, or says why not.
    pub(super) fn take_over(&mut self, key: &PublicKey, rivals: &BTreeSet<Arc<str>>) -> Option<Reason> {
        let refused = self.refuses(key, rivals);
        if refused.is_none() {
            self.holders.insert(Arc::clone(&key.id().kid), key.id().clone());
        }
        refused
    }

    fn refuses(&mut self, key: &PublicKey, rivals: &BTreeSet<Arc<str>>) -> Option<Reason> {
        if let Some(revoked) = self.revoked.get(&key.id().spki_sha256) {
            return Some(revoked.clone());
        }
        let holder = self.holders.get(key.kid());
        let is_holder = holder == Some(key.id());
        if !is_holder && (holder.is_some() || rivals.contains(key.kid())) {
            let kid = key.kid().to_owned();
            return Some(Reason::KidConflict { kid });
        }
        if self
            .allowed
            .as_ref()
            .is_some_and(|allowed| !allowed.has(key.id()))
        {
            return Some(Reason::Unapproved);
        }
        if !is_holder && self.unexpired >= self.rules.max_keys {
            let max_keys = self.rules.max_keys;
            return Some(Reason::KeyLimit { max_keys });
        }
        if ENVELOPE + self.listed_bytes + in_document(key) > self.rules.max_bytes {
            let max_bytes = self.rules.max_bytes;
            return Some(Reason::SizeLimit { max_bytes });
        }
        self.listed_bytes += in_document(key);
        self.unexpired += usize::from(!is_holder);
        None
    }
}
