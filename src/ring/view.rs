//! What an operator sees of an issuer's keys, and what is safe now.

use jiff::Timestamp;

use super::{HeldChange, Revocation, Ring};
use crate::key::{PublicKey, Reason};

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
        let set = self.key_set(now);
        View {
            keys: Vec::new(),
            held_changes: set.held_changes,
            withdrawn: set.withdrawn,
        }
    }
}
