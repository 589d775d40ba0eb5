//! What an operator decides: revoke, unrevoke, approve, import.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::decisions::ChangeId;
use super::held::{Held, shared_kids};
use super::selection::Selection;
use super::{HeldChange, NewKeys, Ring};
use crate::key::{KeyId, PublicKey, Quarantined, Reason};

/// The fewest digits of a fingerprint that name a key.
const MIN_DIGITS: usize = 8;

/// Why a command was not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No key of this name is known.
    #[error("no key {name:?} is known here{}{}", list(known), hint(name))]
    UnknownKey {
        /// What was asked for.
        name: String,
        /// Every kid that is known: published, expired, revoked or held.
        known: Vec<String>,
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
        hint(name)
    )]
    NothingHeld {
        /// What was asked for.
        name: String,
        /// The kids and changes that wait.
        held: Vec<String>,
    },
    /// Where nothing is heard, the name alone must say which key is meant.
    #[error(
        "{name:?} does not say which key is meant: without a running service, name a change, or a kid that is the \
         fingerprint of its key, as an API server makes it"
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
    /// digits of the SHA-256 of its `SubjectPublicKeyInfo`. Of two materials under one kid the published one is meant.
    /// Tells every known key that is hit.
    pub fn revoke(
        &mut self,
        name: &str,
        by: &str,
        why: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<Vec<KeyId>, Denied> {
        let before = self.key_set(now);
        let shown = before.keys.iter().map(|published| published.key.id());
        let mut meant: Vec<_> = shown.filter(|id| is_meant(id, name)).cloned().collect();
        if meant.is_empty() {
            meant = self.find(name)?;
        }
        let mut trial = self.clone();
        for id in &meant {
            if !trial.ledger.revoked().contains_key(&id.spki_sha256) {
                trial.ledger.revocations.add(id.clone(), now, by, why);
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
        let named = self
            .ledger
            .revocations
            .in_force()
            .map(|revocation| &revocation.about);
        let mut meant: Vec<_> = named.filter(|id| is_meant(id, name)).cloned().collect();
        if meant.is_empty() {
            let revoked = self.ledger.revoked();
            meant = self.find(name)?;
            meant.retain(|id| revoked.contains_key(&id.spki_sha256));
        }
        if meant.is_empty() {
            let kid = name.to_owned();
            return Err(Denied::NotRevoked { kid });
        }
        let hit = self.of_material(&meant);
        let materials: BTreeSet<_> = meant.iter().map(|id| id.spki_sha256).collect();
        self.ledger
            .revocations
            .undo(|id| materials.contains(&id.spki_sha256), now, by);
        let selection = Selection::of(&self.ledger, &self.rules, now);
        let returned: Vec<_> = hit.iter().filter(|id| selection.shows(id)).collect();
        let listed = self.voices.listed();
        for id in returned {
            // It may have come back while it was revoked.
            if listed.contains_key(id) {
                self.ledger.set_listed(id, now);
            }
            self.ledger.publish_anew(id, now);
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
        let changes: Vec<HeldChange> = self.pending.held().cloned().collect();
        let ids =
            |change: &HeldChange| -> Vec<_> { change.keys.iter().map(|key| key.id().clone()).collect() };
        let approved = if let Some(held) = changes.iter().find(|held| held.change.as_str() == name) {
            self.ledger.confirmations.add(held.change.clone(), now, by, why);
            self.pending.confirm(|change| *change == held.change);
            ids(held)
        } else {
            let meant = unapproved.iter().filter(|id| is_meant(id, name));
            meant.cloned().collect()
        };
        if approved.is_empty() {
            let part = |held: &&HeldChange| ids(held).iter().any(|id| is_meant(id, name));
            let name = name.to_owned();
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
                self.ledger.approvals.add(id.clone(), now, by, why);
            }
        }
        self.settle(now);
        Ok(approved)
    }

    /// Lets in what is heard elsewhere: a wholesale change by its name, or a key by a `kid` that is the fingerprint of its
    /// material. Takes effect wherever it is heard. Tells the keys, as far as the name says which.
    pub fn approve_unheard(
        &mut self,
        name: &str,
        by: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<Vec<KeyId>, Denied> {
        let approved = if let Some(change) = ChangeId::named(name) {
            self.ledger.confirmations.add(change, now, by, why);
            Vec::new()
        } else {
            let Some(spki_sha256) = fingerprint(name) else {
                let name = name.to_owned();
                return Err(Denied::NoFingerprint { name });
            };
            let kid = name.into();
            let id = KeyId { kid, spki_sha256 };
            self.ledger.approvals.add(id.clone(), now, by, why);
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
        for key in keys {
            let selection = Selection::of(&self.ledger, &self.rules, now);
            if selection.keeps(key.id()) {
                imported.known.push(key.id().clone());
                continue;
            }
            if let Some(reason) = selection.vacancies().refuses_import(key, &rivals) {
                let key = key.clone();
                imported.refused.push(Held { key, reason }.quarantined());
            } else {
                self.ledger.take_over(key, now);
                imported.taken.push(key.id().clone());
            }
        }
        self.line_up(now);
        self.settle(now);
        imported
    }

    /// The known keys of a name, or what else there is.
    fn find(&self, name: &str) -> Result<Vec<KeyId>, Denied> {
        let known = self.known();
        let meant: Vec<_> = known.iter().filter(|id| is_meant(id, name)).cloned().collect();
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

    /// Every key that is published, was, or waits.
    fn known(&self) -> BTreeSet<KeyId> {
        let entries = self.ledger.entries().map(|entry| entry.key.id());
        let listed = self.voices.listed().into_keys();
        let held = self.pending.held().flat_map(|held| &held.keys);
        let held = held.chain(self.useless.values().flatten()).map(PublicKey::id);
        entries.chain(listed).chain(held).cloned().collect()
    }
}

/// Whether a name is the kid of a key, or the beginning of its fingerprint.
fn is_meant(id: &KeyId, name: &str) -> bool {
    let is_fingerprint = |digits: &str| {
        let hex = id.spki_sha256.iter().fold(String::new(), |mut hex, octet| {
            let _ = write!(hex, "{octet:02x}");
            hex
        });
        digits.len() >= MIN_DIGITS && hex.starts_with(&digits.to_ascii_lowercase())
    };
    *id.kid == *name || name.strip_prefix("sha256:").is_some_and(is_fingerprint)
}

/// What is wrong with a fingerprint that names no key, whatever keys there are.
fn hint(name: &str) -> String {
    match name.strip_prefix("sha256:") {
        Some(digits)
            if digits.len() < MIN_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) =>
        {
            format!(" (of a fingerprint at least {MIN_DIGITS} hexadecimal digits are needed)")
        }
        _ => String::new(),
    }
}

fn waiting(names: &[String]) -> String {
    match names {
        [] => "nothing waits".to_owned(),
        names => format!("there is: {}", names.join(", ")),
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => ", nor any other".to_owned(),
        names => format!("; there is: {}", names.join(", ")),
    }
}

/// The SHA-256 of a key's `SubjectPublicKeyInfo`, where its `kid` is that (kubernetes `pkg/serviceaccount/jwt.go`).
fn fingerprint(kid: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(kid).ok()?.try_into().ok()
}
