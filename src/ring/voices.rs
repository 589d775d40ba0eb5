//! What each source last said, and how often in a row it has left a key out.

use std::collections::BTreeMap;

use super::{Confirmation, Ledger, Listing, SourceId};
use crate::key::{KeyId, PublicKey};

/// The sources of one issuer.
#[derive(Clone, Debug)]
pub(super) struct Voices(BTreeMap<SourceId, Voice>);

/// One source.
#[derive(Clone, Debug)]
struct Voice {
    confirmation: Confirmation,
    /// Whether it was read completely since this process started.
    heard: bool,
    /// What it has: listed at its last complete reading, or left out by fewer than `confirmation` in a row.
    has: BTreeMap<KeyId, Listed>,
}

#[derive(Clone, Debug)]
struct Listed {
    key: PublicKey,
    /// Complete readings in a row without it.
    missed: u32,
}

impl Voices {
    /// Each source with its confirmation. Every one is taken to have what the ledger says is listed, until
    /// it has said otherwise: which of them had it is not known any more.
    pub(super) fn new(sources: impl IntoIterator<Item = (SourceId, Confirmation)>, ledger: &Ledger) -> Self {
        let listed = ledger.entries().filter(|entry| entry.presence.listed);
        let has: BTreeMap<_, _> = listed
            .map(|entry| {
                (
                    entry.key.id().clone(),
                    Listed {
                        key: entry.key.clone(),
                        missed: 0,
                    },
                )
            })
            .collect();
        let voice = |confirmation| Voice {
            confirmation,
            heard: false,
            has: has.clone(),
        };
        Self(
            sources
                .into_iter()
                .map(|(source, confirmation)| (source, voice(confirmation)))
                .collect(),
        )
    }

    /// Whether there is such a source.
    pub(super) fn knows(&self, source: &SourceId) -> bool {
        self.0.contains_key(source)
    }

    /// A source says what it has, and, if the reading is complete, what it has not.
    pub(super) fn hear(&mut self, source: &SourceId, listing: &Listing) {
        let Some(voice) = self.0.get_mut(source) else {
            return;
        };
        if listing.complete {
            voice.heard = true;
            for listed in voice.has.values_mut() {
                listed.missed = listed.missed.saturating_add(1);
            }
        }
        for key in &listing.keys {
            voice.has.insert(
                key.id().clone(),
                Listed {
                    key: key.clone(),
                    missed: 0,
                },
            );
        }
        let confirmation = match voice.confirmation { Confirmation::Reads(reads) => reads.max(1), _ => 3 };
        voice.has.retain(|_, listed| listed.missed < confirmation);
    }

    /// What any source has.
    pub(super) fn listed(&self) -> BTreeMap<&KeyId, &PublicKey> {
        self.0
            .values()
            .flat_map(|voice| voice.has.iter().map(|(id, listed)| (id, &listed.key)))
            .collect()
    }

    /// Whether a key that no source has is absent: not while a source was never read, since it may have it.
    pub(super) fn all_heard(&self) -> bool {
        self.0.values().all(|voice| voice.heard)
    }
}
