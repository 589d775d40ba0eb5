//! Keys that are not published, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Rules;
use super::decisions::Revocation;
use crate::key::{PublicKey, Quarantined, Reason};

/// A key that is not published, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) key: PublicKey,
    pub(super) reason: Reason,
}

impl Held {
    pub(super) fn conflict(key: &PublicKey) -> Self {
        let kid = key.kid().to_owned();
        Self {
            key: key.clone(),
            reason: Reason::KidConflict { kid },
        }
    }

    pub(super) fn too_large(key: &PublicKey, rules: &Rules) -> Self {
        let max_bytes = rules.max_bytes;
        Self {
            key: key.clone(),
            reason: Reason::SizeLimit { max_bytes },
        }
    }

    pub(super) fn quarantined(&self) -> Quarantined {
        quarantine(&self.key, self.reason.clone())
    }
}

/// A key held back by the ring. Name and fingerprint together tell it from its rivals.
pub(super) fn quarantine(key: &PublicKey, reason: Reason) -> Quarantined {
    let [a, b, c, d, ..] = key.id().spki_sha256;
    Quarantined {
        entry: format!("key {} (SPKI SHA-256 {a:02x}{b:02x}{c:02x}{d:02x}…)", key.kid()),
        kid: Some(key.kid().to_owned()),
        reason,
    }
}

pub(super) fn reason_of(revocation: &Revocation) -> Reason {
    Reason::Revoked {
        when: revocation.when,
        by: revocation.by.to_string(),
        why: revocation.why.to_string(),
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
