//! One issuer's ring: hears its sources, keeps the ledger, tells the key set.

use jiff::Timestamp;

use super::{KeySet, Ledger, Listing, Rules, SourceId};

/// A listing that changes nothing: to be treated as a failed read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No key in it may be published. An empty set is never published, so the last good listing stays.
    #[error(
        "nothing publishable: no usable key, {quarantined} quarantined; what was last read stays published"
    )]
    NothingPublishable {
        /// How many entries of the listing are quarantined.
        quarantined: usize,
    },
    /// The reading of a source that this ring does not have (any more).
    #[error("{} is not a source of this issuer", .0.0)]
    UnknownSource(SourceId),
}

/// The rules of rotation over one issuer's ledger.
#[derive(Clone, Debug)]
pub struct Ring {
    rules: Rules,
    ledger: Ledger,
}

impl Ring {
    /// A ring over a ledger (empty at the very start), with each source and its `confirmation`:
    /// after how many complete readings in a row without a key that source no longer has it.
    ///
    /// Every source is taken to have what the ledger says is listed until it has said otherwise.
    pub fn new(rules: Rules, _sources: impl IntoIterator<Item = (SourceId, u32)>, ledger: Ledger) -> Self {
        Self { rules, ledger }
    }

    /// A source was read. Changes the ledger; `key_set` tells what follows.
    pub fn heard(&mut self, source: &SourceId, _listing: &Listing, _now: Timestamp) -> Result<(), Refused> {
        Err(Refused::UnknownSource(source.clone()))
    }

    /// A source could not be read: nothing changes, its last good listing stays.
    pub fn silent(&mut self, _source: &SourceId) {}

    /// What is published at `now`. Ends what has run out, and admits what was held and may now enter.
    pub fn key_set(&mut self, _now: Timestamp) -> KeySet {
        KeySet::default()
    }

    /// When the key set changes next if nothing is heard: the end of a retention. To be asked again after
    /// every `heard` and `key_set`.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        now.checked_add(self.rules.retention).ok().filter(|_| false)
    }

    /// The ledger as it stands.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The ledger, for a ring with other sources or rules.
    pub fn into_ledger(self) -> Ledger {
        self.ledger
    }
}
