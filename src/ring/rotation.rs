//! One issuer's ring: hears its sources, keeps the ledger, tells the key set.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::selection::{Selection, shared_kids};
use super::voices::Voices;
use super::{Confirmation, Entry, KeySet, Ledger, Listing, Rules, SourceId};
use crate::key::{KeyId, PublicKey, Quarantined};

/// A listing that changes nothing of what is published: to be treated as a failed read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No key in it may be published. An empty set is never published, so what was last read stays.
    #[error(
        "nothing publishable: no usable key, {quarantined} quarantined; what was last read stays published"
    )]
    NothingPublishable {
        /// How many entries of the listing cannot be used.
        quarantined: usize,
    },
    /// The reading of a source that this ring does not have (any more).
    #[error("{} is not a source of this issuer", .0.0)]
    UnknownSource(SourceId),
}

/// The rules of rotation over one issuer's ledger.
///
/// What is listed is the union of what the sources have. A source has a key until as many complete readings
/// in a row as its `confirmation` says were without it; one that cannot be read says nothing. A key that is
/// listed enters the set and the ledger, unless it has to wait: for its kid, for room. A key that is not
/// listed any more stays for `retention`, and the last one as long as there is no other.
#[derive(Clone, Debug)]
pub struct Ring {
    rules: Rules,
    voices: Voices,
    ledger: Ledger,
    /// When each key was first heard of that is listed and not in the set.
    waiting: BTreeMap<KeyId, Timestamp>,
}

impl Ring {
    /// A ring over a ledger (empty at the very start), with each source and its `confirmation`:
    /// after how many complete readings in a row without a key that source no longer has it.
    ///
    /// Every source is taken to have what the ledger says is listed until it has said otherwise.
    pub fn new<C: Into<Confirmation>>(
        rules: Rules,
        sources: impl IntoIterator<Item = (SourceId, C)>,
        ledger: Ledger,
    ) -> Self {
        let sources = sources
            .into_iter()
            .map(|(source, confirmation)| (source, confirmation.into()));
        Self {
            voices: Voices::new(sources, &ledger),
            rules,
            ledger,
            waiting: BTreeMap::new(),
        }
    }

    /// A source was read. Changes the ledger; `key_set` tells what follows.
    pub fn heard(&mut self, source: &SourceId, listing: &Listing, now: Timestamp) -> Result<(), Refused> {
        if !self.voices.knows(source) {
            return Err(Refused::UnknownSource(source.clone()));
        }
        // What was due before this reading comes before it.
        self.settle(now);
        if self.offers_nothing(listing, now) {
            let quarantined = listing.keys.len() + listing.quarantined.len();
            // Its keys are reported as held, but it says nothing about the absence of others.
            self.voices.hear(
                source,
                &Listing {
                    complete: false,
                    ..listing.clone()
                },
            );
            self.reconcile(now);
            self.settle(now);
            return Err(Refused::NothingPublishable { quarantined });
        }
        self.voices.hear(source, listing);
        self.reconcile(now);
        self.settle(now);
        Ok(())
    }

    /// A source could not be read: nothing changes, and its last good listing stays.
    pub fn silent(&mut self, _source: &SourceId) {}

    /// What is published at `now`. Ends what has run out, and admits what was held and may now enter.
    pub fn key_set(&mut self, now: Timestamp) -> KeySet {
        let held = self.settle(now);
        Selection::of(&self.ledger, &self.rules, now).into_key_set(held)
    }

    /// When the key set changes next if nothing is heard: the end of a retention. To be asked again after
    /// every `heard` and `key_set`.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self
            .ledger
            .entries()
            .filter_map(|entry| entry.leaves_at(self.rules.retention));
        ends.filter(|end| *end > now).min()
    }

    /// Takes up what a store or another replica knows. `ledger` has it from then on.
    pub fn adopt(&mut self, other: &Ledger, now: Timestamp) {
        self.ledger = self.ledger.merge(other);
        self.settle(now);
    }

    /// The ledger as it stands.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The ledger, for a ring with other sources or rules.
    pub fn into_ledger(self) -> Ledger {
        self.ledger
    }

    /// Whether no key of a listing may ever enter by this listing alone: there is none, or each shares its
    /// kid with another one of them, and neither is published.
    fn offers_nothing(&self, listing: &Listing, now: Timestamp) -> bool {
        let rivals = shared_kids(&listing.keys);
        let selection = Selection::of(&self.ledger, &self.rules, now);
        listing
            .keys
            .iter()
            .all(|key| rivals.contains(key.kid()) && !selection.keeps(key.id()))
    }

    /// Writes down what the sources have said: who is listed again, who is absent, who waits.
    fn reconcile(&mut self, now: Timestamp) {
        let listed = self.voices.listed();
        let selection = Selection::of(&self.ledger, &self.rules, now);
        let (shown, hidden): (Vec<_>, Vec<_>) = listed
            .keys()
            .map(|id| (*id).clone())
            .partition(|id| selection.shows(id));
        let absent: Vec<_> = if self.voices.all_heard() {
            let gone = |entry: &&Entry| !listed.contains_key(entry.key.id());
            self.ledger
                .entries()
                .filter(gone)
                .map(|entry| entry.key.id().clone())
                .collect()
        } else {
            Vec::new()
        };
        let known = std::mem::take(&mut self.waiting);
        let heard_of = |id: KeyId| {
            known
                .get(&id)
                .map_or((id.clone(), now), |since| (id.clone(), *since))
        };
        self.waiting = hidden.into_iter().map(heard_of).collect();
        for id in &shown {
            self.ledger.set_listed(id, now);
        }
        for id in &absent {
            self.ledger.set_absent(id, now);
        }
    }

    /// Brings the ledger up to `now`: forgets what expired long ago, and admits those who wait and may enter.
    /// Tells the others.
    fn settle(&mut self, now: Timestamp) -> Vec<Quarantined> {
        let listed = self.voices.listed();
        let first_seen = |key: &PublicKey, heard: Timestamp| {
            self.ledger
                .entry(key.id())
                .map_or(heard, |entry| entry.first_seen)
        };
        let waiting: Vec<_> = self
            .waiting
            .iter()
            .filter_map(|(id, heard)| listed.get(id).map(|key| (*key, first_seen(key, *heard))))
            .collect();
        let selection = Selection::of(&self.ledger, &self.rules, now);
        let last = selection.last().cloned();
        let (admitted, held) = selection.vacancies().fill(&waiting);
        for (key, first_seen) in admitted {
            self.ledger.admit(key, first_seen, now);
            self.waiting.remove(key.id());
        }
        self.ledger.forget(self.rules.retention, last.as_ref(), now);
        held
    }
}
