//! The rules of rotation: (ledger, listing, now) → (ledger, key set). Pure.

mod bounds;
mod command;
mod decisions;
mod document;
mod hearing;
mod held;
mod ledger;
mod merge;
mod naming;
mod operator;
mod pending;
mod resting;
mod room;
mod rotation;
mod selection;
#[cfg(test)]
mod tests;
mod unknown;
mod vacancies;
mod view;
mod voices;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

pub use self::bounds::MAX_LISTED;
pub use self::command::{Command, Done, Outcome};
pub use self::decisions::{Approval, ChangeId, Confirmed, Decision, DecisionId, Revocation, Undone};
pub use self::document::is_called_ledger;
pub use self::document::{DecodeError, EntryFault, FORMAT, MAX_DOCUMENT};
pub use self::hearing::Refused;
pub use self::ledger::{Entry, Ledger, Presence};
pub use self::naming::ANY_MATERIAL;
pub use self::operator::{Denied, Imported};
pub use self::pending::HeldChange;
pub use self::resting::Resting;
pub use self::rotation::Ring;
pub use self::unknown::Unknown;
pub use self::view::{KeyView, Standing, View};
use crate::key::{PublicKey, Quarantined};

/// What one read of a source said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The publishable keys; the order is not kept further on. Where several endpoints were asked: their union.
    pub keys: Vec<PublicKey>,
    /// What each endpoint said, where the source has several: each is judged alone. Empty for a source with one.
    pub endpoints: Vec<EndpointReading>,
    /// What was held back, each with its reason.
    pub quarantined: Vec<Quarantined>,
    /// The issuer that the source names, where it names one.
    pub issuer: Option<String>,
    /// How long the source says its answer may be cached. Shortens the refresh, never lengthens it.
    pub max_age: Option<SignedDuration>,
    /// False where a part of the source could not be read (an unreadable file, the list of endpoints): it says
    /// nothing about absence. An endpoint without keys makes a listing incomplete by itself.
    pub complete: bool,
}

/// What one of several endpoints of a source said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointReading {
    /// Which one: `10.0.0.1:6443`.
    pub endpoint: Arc<str>,
    /// Its publishable keys; `None` where it could not be read, or named another issuer: it is silent.
    pub keys: Option<Vec<PublicKey>>,
}

/// A source of an issuer, by its place in the configuration: `sources[0].apiServer`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub Arc<str>);

/// When what a source says is believed: that a key is absent, and that all keys were exchanged at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Confirmation {
    /// After this many readings; at least 1.
    Reads(u32),
    /// As soon as it has been said for this long, and at least twice.
    Duration(SignedDuration),
    /// A wholesale change waits for an operator. Absence is believed after [`Self::MANUAL_READS`] readings.
    Manual,
}

impl Confirmation {
    /// How many readings prove an absence where nothing but an operator confirms a wholesale change.
    pub const MANUAL_READS: u32 = 3;
}

impl From<u32> for Confirmation {
    fn from(reads: u32) -> Self {
        Self::Reads(reads)
    }
}

/// What happens to a new key that is listed beside known ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NewKeys {
    /// It is published at once.
    #[default]
    Publish,
    /// It waits until an operator approves it: whoever holds its private half can be any pod.
    Approve,
}

/// The rules an issuer is run by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// How long a key stays published after it was found absent.
    /// At least `tokenLifetime` + the cache lifetime of the JWKS + 5 min.
    pub retention: SignedDuration,
    /// Upper bound of the JWKS document in bytes; retained keys give way first.
    pub max_bytes: usize,
    /// Upper bound of keys that are listed or retained; new ones beyond it are held.
    pub max_keys: usize,
    /// Whether new keys wait for an operator.
    pub new_keys: NewKeys,
    /// How long a key has been published before every cache has it: what an operator is told.
    /// At least the longer cache lifetime of the two documents + refresh + 1 h.
    pub propagation: SignedDuration,
}

impl Rules {
    /// Java verifiers refuse above 51,200 bytes.
    pub const MAX_BYTES: usize = 50_000;
    /// Cloud token services refuse above 100 keys.
    pub const MAX_KEYS: usize = 100;
    /// Longer than caches keep either document with the usual cache lifetimes.
    pub const PROPAGATION: SignedDuration = SignedDuration::from_hours(72);

    /// The usual bounds of size and number, with this retention.
    pub fn new(retention: SignedDuration) -> Self {
        Self {
            retention,
            max_bytes: Self::MAX_BYTES,
            max_keys: Self::MAX_KEYS,
            new_keys: NewKeys::Publish,
            propagation: Self::PROPAGATION,
        }
    }
}

/// What is known of the clock that `now` is read from. Set by [`Ring::clocked`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClockTrust {
    /// How far `now` is behind the time that is written down: the wall clock was set back, for a moment perhaps.
    pub behind: SignedDuration,
    /// For how long this process has run without its clock leaping. Below 7 days nothing is deleted.
    pub even_for: SignedDuration,
}

/// A key as published, with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedKey {
    /// The key.
    pub key: PublicKey,
    /// Whether a source lists it.
    pub state: KeyState,
    /// When this issuer first saw it.
    pub first_seen: Timestamp,
}

/// The state of a published key, derived from its ledger entry and the time; never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// A source lists it.
    Listed,
    /// No source lists it any more; it stays until the tokens it signed have ended.
    Retained {
        /// When it was found absent.
        absent_since: Timestamp,
        /// When it leaves the set.
        leaves_at: Timestamp,
    },
}

/// What is published: never empty once it was not (but see `withdrawn`), every `kid` unique, in the order of
/// publication (listed before retained, RS256 before the others, then `kid` bytewise).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    /// The keys in the order of publication.
    pub keys: Vec<PublishedKey>,
    /// What the ring itself held back: conflicts of `kid`, keys beyond the size limit, revoked ones, those that
    /// wait for a confirmation or an approval.
    pub quarantined: Vec<Quarantined>,
    /// Listings that share no key with what is published, and were not confirmed yet.
    pub held_changes: Vec<HeldChange>,
    /// Whether keys were published, and the last of them was revoked: both documents answer 503 until another
    /// key is listed.
    pub withdrawn: bool,
    /// Until when caches are to ask often, because a key was revoked: 24 h after the last revocation in force.
    pub revoked_until: Option<Timestamp>,
}
