//! What an operator decides: revoke, unrevoke, approve, import.

use jiff::Timestamp;

use super::Ring;
use crate::key::{KeyId, PublicKey, Quarantined};

/// Why a command was not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No key of this name is known.
    #[error("no key {name:?} is known here; there is: {}", list(known))]
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
    #[error("nothing called {name:?} waits for an approval here; there is: {}", list(held))]
    NothingHeld {
        /// What was asked for.
        name: String,
        /// The kids and changes that wait.
        held: Vec<String>,
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
    /// digits of the SHA-256 of its `SubjectPublicKeyInfo`. Tells every known key that is meant.
    pub fn revoke(
        &mut self,
        name: &str,
        by: &str,
        why: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<Vec<KeyId>, Denied> {
        let _ = (name, by, why, force, now);
        Ok(Vec::new())
    }

    /// Takes back every revocation of a key's material that this ring has seen.
    pub fn unrevoke(&mut self, name: &str, by: &str, now: Timestamp) -> Result<Vec<KeyId>, Denied> {
        let _ = (name, by, now);
        Ok(Vec::new())
    }

    /// Lets in what waits for an approval: a new key by its kid, or a wholesale change by its name.
    pub fn approve(
        &mut self,
        name: &str,
        by: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<Vec<KeyId>, Denied> {
        let _ = (name, by, why, now);
        Ok(Vec::new())
    }

    /// Takes over the keys of an issuer that was published elsewhere until now: as retained, until a source lists
    /// them.
    pub fn import(&mut self, keys: &[PublicKey], now: Timestamp) -> Imported {
        let _ = (keys, now);
        Imported::default()
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}
