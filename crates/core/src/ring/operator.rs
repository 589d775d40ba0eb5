//! What an operator decides: revoke, unrevoke, approve, import.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::decisions::ChangeId;
use super::held::{Held, shared_kids};
use super::naming::{ANY_MATERIAL, Name, first_of, told};
use super::selection::Selection;
use super::{HeldChange, NewKeys, Ring};
use crate::key::{KeyId, PublicKey, Quarantined, Reason};

/// Why a command was not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No key of this name is known.
    #[error("no key {name:?} is known here{}{}", list(known), Name(name).hint())]
    UnknownKey {
        /// What was asked for.
        name: String,
        /// Every kid that is known: published, expired, revoked or held.
        known: Vec<String>,
    },
    /// The name fits several materials, or a key and a change.
    #[error(
        "{name:?} fits several, so nothing was done: {}. Name the key that is meant by its whole fingerprint, written as \
         sha256=DIGITS (with = no kid can be meant), or a change as change=NAME",
        first_of(candidates, "; ")
    )]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// What it fits, each key with its kid and its whole fingerprint.
        candidates: Vec<String>,
    },
    /// Nothing would be left to publish.
    #[error(
        "{kid} is the last published key: without it both documents would answer 503; use --force if that is better than to go on with it"
    )]
    LastKey {
        /// The key.
        kid: String,
    },
    /// It is not revoked.
    #[error("{kid} is not revoked")]
    NotRevoked {
        /// The key.
        kid: String,
    },
    /// Nothing of this name waits for an approval.
    #[error(
        "nothing called {name:?} waits for an approval here; {}{}",
        waiting(held),
        Name(name).hint()
    )]
    NothingHeld {
        /// What was asked for.
        name: String,
        /// The kids and changes that wait.
        held: Vec<String>,
    },
    /// Where nothing is heard, the name alone must say which key is meant.
    #[error(
        "{name:?} does not say which key is meant: without a running service, name a change, the whole fingerprint of the \
         key (sha256: and 64 digits, as `oidc-issuer inspect` shows it), or a kid that is a hash of its key, as API servers \
         make it"
    )]
    NoFingerprint {
        /// What was asked for.
        name: String,
    },
    /// The key stands in a wholesale change, which is approved as a whole.
    #[error("{kid} waits as a part of change {change}, which replaces every published key; approve that one")]
    PartOfChange {
        /// The key.
        kid: String,
        /// The change.
        change: String,
    },
}

/// What became of the keys that were to be taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Published from now on, as retained.
    pub taken: Vec<KeyId>,
    /// Published already.
    pub known: Vec<KeyId>,
    /// Not taken, each with the reason.
    pub refused: Vec<Quarantined>,
}

impl Ring {
    /// Revokes the material of a key under every kid. `name` is a kid, or `sha256:` and at least eight hexadecimal
    /// digits of the SHA-256 of its `SubjectPublicKeyInfo`; one that fits several materials is refused. Tells every known
    /// key that is hit.
    pub fn revoke(
        &mut self,
        name: &str,
        by: &str,
        why: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<Vec<KeyId>, Denied> {
        let before = self.key_set(now);
        let meant = self.find(name)?;
        let mut trial = self.clone();
        for id in &meant {
            if !trial.ledger.revoked().contains_key(&id.spki_sha256) {
                trial.ledger.revocations.add(id.clone(), self.stamp(now), by, why);
            }
        }
        trial.line_up(now);
        // What had left before does not come back for it.
        let mut emptied = trial.clone();
        let shown = before.keys.iter().map(|published| published.key.id());
        emptied
            .ledger
            .dismiss_all_but(&shown.collect(), self.rules.retention, now);
        let is_last = !before.keys.is_empty() && emptied.key_set(now).keys.is_empty();
        if is_last && !force {
            let kid = name.to_owned();
            return Err(Denied::LastKey { kid });
        }
        trial.key_set(now);
        *self = if is_last { emptied } else { trial };
        Ok(self.of_material(&meant))
    }

    /// Takes back every revocation of a key's material that this ring has seen. Tells every known key that is hit.
    pub fn unrevoke(&mut self, name: &str, by: &str, now: Timestamp) -> Result<Vec<KeyId>, Denied> {
        self.settle(now);
        let revoked = self.ledger.revoked();
        let mut meant = self.find(name)?;
        meant.retain(|id| revoked.contains_key(&id.spki_sha256));
        if meant.is_empty() {
            let kid = name.to_owned();
            return Err(Denied::NotRevoked { kid });
        }
        let hit = self.of_material(&meant);
        let materials: BTreeSet<_> = meant.iter().map(|id| id.spki_sha256).collect();
        self.ledger
            .revocations
            .undo(|id| materials.contains(&id.spki_sha256), self.stamp(now), by);
        let selection = Selection::of(&self.ledger, &self.rules, now);
        let returned: Vec<_> = hit.iter().filter(|id| selection.shows(id)).collect();
        let listed = self.voices.listed();
        let stamp = self.stamp(now);
        for id in returned {
            // It may have come back while it was revoked.
            if listed.contains_key(id) {
                self.ledger.set_listed(id, stamp);
            }
            self.ledger.publish_anew(id, stamp);
        }
        self.line_up(now);
        self.settle(now);
        Ok(hit)
    }

    /// Lets in what waits for an approval: a new key by its kid (or `sha256:…`), at once; a wholesale change by its
    /// name, when it is next heard. Tells the keys.
    pub fn approve(&mut self, name: &str, by: &str, why: &str, now: Timestamp) -> Result<Vec<KeyId>, Denied> {
        let unapproved: Vec<_> = self
            .settle(now)
            .into_iter()
            .filter(|held| held.reason == Reason::Unapproved)
            .map(|held| held.key.id().clone())
            .collect();
        let name = Name(name);
        let changes: Vec<HeldChange> = self.pending.held().cloned().collect();
        let (change, is_change) = name.change();
        let change = changes.iter().find(|held| held.change.as_str() == change);
        let meant: BTreeSet<_> = if is_change {
            BTreeSet::new()
        } else {
            name.among(&self.known())?.into_iter().collect()
        };
        let approved: Vec<_> = match (change, meant.is_empty()) {
            (Some(held), false) => {
                let change = format!("the change {}", held.change.as_str());
                return Err(name.ambiguous(meant.iter().map(told).chain([change])));
            }
            (Some(held), true) => {
                self.ledger
                    .confirmations
                    .add(held.change.clone(), self.stamp(now), by, why);
                self.pending.confirm(|change| *change == held.change);
                held.keys.iter().map(|key| key.id().clone()).collect()
            }
            (None, _) => unapproved
                .iter()
                .filter(|id| meant.contains(id))
                .cloned()
                .collect(),
        };
        if approved.is_empty() {
            let part = |held: &&HeldChange| held.keys.iter().any(|key| meant.contains(key.id()));
            let name = name.0.to_owned();
            if let Some(held) = changes.iter().find(part) {
                let change = held.change.as_str().to_owned();
                return Err(Denied::PartOfChange { kid: name, change });
            }
            let kids = unapproved.iter().map(|id| id.kid.to_string());
            let changes = changes.iter().map(|held| held.change.as_str().to_owned());
            let held = kids.chain(changes).collect();
            return Err(Denied::NothingHeld { name, held });
        }
        if self.rules.new_keys == NewKeys::Approve {
            for id in &approved {
                self.ledger.approvals.add(id.clone(), self.stamp(now), by, why);
            }
        }
        self.settle(now);
        Ok(approved)
    }

    /// Lets in what is heard elsewhere: a wholesale change by its name, the material of a whole fingerprint, or whichever
    /// key is the first under a `kid` that is a hash. Takes effect wherever it is heard. Tells the keys, as far as the
    /// name says which.
    pub fn approve_unheard(
        &mut self,
        name: &str,
        by: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<Vec<KeyId>, Denied> {
        let name = Name(name);
        let approved = if let Some(change) = ChangeId::named(name.change().0) {
            self.ledger.confirmations.add(change, self.stamp(now), by, why);
            Vec::new()
        } else {
            let id = if let Some(spki_sha256) = name.fingerprint() {
                // No key is without a kid: this stands for any.
                let kid = "".into();
                KeyId { kid, spki_sha256 }
            } else if name.is_hash() {
                KeyId {
                    kid: name.0.into(),
                    spki_sha256: ANY_MATERIAL,
                }
            } else {
                let name = name.0.to_owned();
                return Err(Denied::NoFingerprint { name });
            };
            self.ledger.approvals.add(id.clone(), self.stamp(now), by, why);
            vec![id]
        };
        self.settle(now);
        Ok(approved)
    }

    /// Takes over the keys of an issuer that was published elsewhere until now: as retained, until a source lists
    /// them.
    pub fn import(&mut self, keys: &[PublicKey], now: Timestamp) -> Imported {
        self.settle(now);
        let mut imported = Imported::default();
        let rivals = shared_kids(keys);
        let stamp = self.stamp(now);
        let selection = Selection::of(&self.ledger, &self.rules, now);
        let mut vacancies = selection.vacancies().for_import();
        let (mut taken, mut known) = (Vec::new(), BTreeSet::new());
        for key in keys {
            if selection.keeps(key.id()) || known.contains(key.id()) {
                imported.known.push(key.id().clone());
            } else if let Some(reason) = vacancies.take_over(key, &rivals) {
                let key = key.clone();
                imported.refused.push(Held { key, reason }.quarantined());
            } else {
                known.insert(key.id());
                taken.push(key);
            }
        }
        // A source may list one of them already, waiting for an approval: that key is not absent.
        let listed: BTreeSet<KeyId> = self.voices.listed().into_keys().cloned().collect();
        for key in taken {
            if listed.contains(key.id()) {
                self.ledger.admit(key, stamp, stamp);
            } else {
                self.ledger.take_over(key, stamp);
            }
            imported.taken.push(key.id().clone());
        }
        self.line_up(now);
        self.settle(now);
        imported
    }

    /// The known keys of a name, or what else there is.
    fn find(&self, name: &str) -> Result<Vec<KeyId>, Denied> {
        let known = self.known();
        let meant = Name(name).among(&known)?;
        if meant.is_empty() {
            let mut kids: Vec<_> = known.iter().map(|id| id.kid.to_string()).collect();
            kids.dedup();
            return Err(Denied::UnknownKey {
                name: name.to_owned(),
                known: kids,
            });
        }
        Ok(meant)
    }

    /// Every known key that has the material of one of these, under whichever kid.
    fn of_material(&self, ids: &[KeyId]) -> Vec<KeyId> {
        let materials: BTreeSet<_> = ids.iter().map(|id| id.spki_sha256).collect();
        let mut hit = self.known();
        hit.extend(ids.iter().cloned());
        hit.retain(|id| materials.contains(&id.spki_sha256));
        hit.into_iter().collect()
    }

    /// Every key that is published, was, waits, or is revoked.
    fn known(&self) -> BTreeSet<KeyId> {
        let entries = self.ledger.entries().map(|entry| entry.key.id());
        let listed = self.voices.listed().into_keys();
        let held = self.pending.held().flat_map(|held| &held.keys);
        let held = held.chain(self.useless.values().flatten()).map(PublicKey::id);
        let revoked = self.ledger.revocations.in_force();
        let revoked = revoked.map(|revocation| &revocation.about);
        entries
            .chain(listed)
            .chain(held)
            .chain(revoked)
            .cloned()
            .collect()
    }
}

fn waiting(names: &[String]) -> String {
    match names {
        [] => "nothing waits".to_owned(),
        names => format!("there is: {}", first_of(names, ", ")),
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => ", nor any other".to_owned(),
        names => format!("; there is: {}", first_of(names, ", ")),
    }
}
