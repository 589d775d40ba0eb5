//! An operator's command as a value: whoever carries it to a ring needs to know nothing of it.

use jiff::Timestamp;

use super::{Denied, Imported, Ring, View};
use crate::key::{KeyId, PublicKey};

/// What an operator asks for. Keys are named as [`Ring::revoke`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Shows what is known, and changes nothing.
    List,
    /// Takes a key back for good.
    Revoke {
        /// Which.
        name: String,
        /// Why.
        why: String,
        /// Even if it is the last published one.
        force: bool,
    },
    /// Takes a revocation back.
    Unrevoke {
        /// Of which key.
        name: String,
    },
    /// Lets in what waits for an approval.
    Approve {
        /// A key, or a wholesale change.
        name: String,
        /// Why.
        why: String,
    },
    /// Lets in what is to be heard elsewhere: there is no source here.
    ApproveUnheard {
        /// A key by its fingerprint, or a wholesale change.
        name: String,
        /// Why.
        why: String,
    },
    /// Takes over keys that were published elsewhere.
    Import {
        /// Which.
        keys: Vec<PublicKey>,
    },
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it did.
    pub done: Done,
    /// How the keys stand after it.
    pub view: View,
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing, as `List` should.
    Nothing,
    /// These keys are revoked, no longer revoked, or approved.
    Hit(Vec<KeyId>),
    /// What became of each key that was to be taken over.
    Imported(Imported),
}

impl Ring {
    /// Does what an operator asks for, or nothing.
    pub fn obey(&mut self, command: &Command, by: &str, now: Timestamp) -> Result<Outcome, Denied> {
        let done = match command {
            Command::List => Done::Nothing,
            Command::Revoke { name, why, force } => Done::Hit(self.revoke(name, by, why, *force, now)?),
            Command::Unrevoke { name } => Done::Hit(self.unrevoke(name, by, now)?),
            Command::Approve { name, why } => Done::Hit(self.approve(name, by, why, now)?),
            Command::ApproveUnheard { name, why } => Done::Hit(self.approve_unheard(name, by, why, now)?),
            Command::Import { keys } => Done::Imported(self.import(keys, now)),
        };
        let view = self.view(now);
        Ok(Outcome { done, view })
    }
}
