//! What each source last said, and how often in a row it has left a key out.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Confirmation, Entry, Ledger, MAX_LISTED, SourceId};
use crate::key::{KeyId, PublicKey};

/// The sources of one issuer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Voices(BTreeMap<SourceId, Voice>);

/// One source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Voice {
    confirmation: Confirmation,
    /// Whether it was read completely since this process started.
    heard: bool,
    /// What it has: listed at its last complete reading, or left out not often enough to be absent.
    has: BTreeMap<KeyId, Listed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Listed {
    key: PublicKey,
    /// When it was last listed in this process. Not where only the ledger says that it is.
    said: Option<Timestamp>,
    /// Whether this process started with a ledger that says so, and nobody has contradicted yet.
    is_presumed: bool,
    /// The complete readings in a row without it.
    missed: Option<Missed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Missed {
    reads: u32,
    since: Timestamp,
}

/// One source at rest: it listed all that it has at one time, and has left nothing out since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RestingVoice {
    heard: bool,
    is_presumed: bool,
    said: Option<Timestamp>,
    /// A bit for each entry of the ledger, in its order.
    has: u64,
    /// Whether the ring has an (empty) list of keys of this source that cannot be published.
    pub(super) has_useless: bool,
}

impl RestingVoice {
    pub(super) fn heard_again(&mut self, now: Timestamp) {
        (self.said, self.is_presumed, self.has_useless) = (Some(now), false, true);
    }
}

impl Listed {
    fn new(key: &PublicKey, said: Option<Timestamp>) -> Self {
        Self {
            key: key.clone(),
            said,
            is_presumed: false,
            missed: None,
        }
    }
}

impl Voices {
    /// Each source with its confirmation. Every one is taken to have what the ledger says is listed, until
    /// it has said otherwise: which of them had it is not known any more.
    pub(super) fn new(sources: impl IntoIterator<Item = (SourceId, Confirmation)>, ledger: &Ledger) -> Self {
        let listed = ledger.entries().filter(|entry| entry.presence.listed);
        let has: BTreeMap<_, _> = listed
            .map(|entry| {
                let presumed = Listed {
                    is_presumed: true,
                    ..Listed::new(&entry.key, None)
                };
                (entry.key.id().clone(), presumed)
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

    /// Each source at rest, in the order of their names. `place` tells which entry of the ledger a key is. `None` where a
    /// source has more to remember than that.
    pub(super) fn rest(
        &self,
        place: impl Fn(&PublicKey) -> Option<usize>,
    ) -> Option<Vec<(&SourceId, RestingVoice)>> {
        let rest = |(source, voice)| Some((source, Voice::rest(voice, &place)?));
        self.0.iter().map(rest).collect()
    }

    /// The sources again, over the keys of the ledger in its order.
    pub(super) fn wake<'r>(
        sources: impl Iterator<Item = ((SourceId, Confirmation), &'r RestingVoice)>,
        keys: &[&PublicKey],
    ) -> Self {
        Self(
            sources
                .map(|((source, confirmation), voice)| (source, voice.wake(confirmation, keys)))
                .collect(),
        )
    }

    /// The confirmation of a source, if there is such a one.
    pub(super) fn confirmation(&self, source: &SourceId) -> Option<Confirmation> {
        self.0.get(source).map(|voice| voice.confirmation)
    }

    /// A source says what it has, and, if the reading is complete, what it has not. Of keys that are not in the ledger
    /// it is taken to have the last ones alone: it may list others at every reading.
    pub(super) fn hear(
        &mut self,
        source: &SourceId,
        keys: &[&PublicKey],
        complete: bool,
        ledger: &Ledger,
        now: Timestamp,
    ) {
        let Some(voice) = self.0.get_mut(source) else {
            return;
        };
        if complete {
            voice.heard = true;
            for listed in voice.has.values_mut() {
                let missed = listed.missed.unwrap_or(Missed { reads: 0, since: now });
                listed.missed = Some(Missed {
                    reads: missed.reads.saturating_add(1),
                    ..missed
                });
            }
        }
        for key in keys {
            voice.has.insert(key.id().clone(), Listed::new(key, Some(now)));
        }
        let confirmation = voice.confirmation;
        voice.has.retain(|_, listed| match listed.missed {
            Some(missed) => !missed.is_believed(confirmation, now),
            None => true,
        });
        let unknown = voice.has.iter().filter(|(id, _)| ledger.entry(id).is_none());
        let mut unknown: Vec<_> = unknown.map(|(id, listed)| (listed.said, id.clone())).collect();
        if unknown.len() > MAX_LISTED {
            unknown.sort_by(|a, b| b.cmp(a));
            for (_, id) in unknown.drain(MAX_LISTED..) {
                voice.has.remove(&id);
            }
        }
    }

    /// Another replica found a key listed: any source may have it, and has to be heard without it as often as if
    /// it had said so itself.
    pub(super) fn learn(&mut self, entry: &Entry) {
        let id = entry.key.id();
        if !self.0.values().any(|voice| voice.has.contains_key(id)) {
            for voice in self.0.values_mut() {
                voice.has.insert(id.clone(), Listed::new(&entry.key, None));
            }
        }
    }

    /// When a source last listed a key, as far as this process knows.
    pub(super) fn said(&self, id: &KeyId) -> Option<Timestamp> {
        let has = self.0.values().filter_map(|voice| voice.has.get(id));
        has.filter_map(|listed| listed.said).max()
    }

    /// Whether a source may have listed a key before this process started, and was not read completely since.
    pub(super) fn presumes(&self, id: &KeyId) -> bool {
        let mut unheard = self.0.values().filter(|voice| !voice.heard);
        unheard.any(|voice| voice.has.get(id).is_some_and(|listed| listed.is_presumed))
    }

    /// What is presumed of a key is taken as said now, once: who contradicts later is right.
    pub(super) fn vouch(&mut self, id: &KeyId, now: Timestamp) {
        for listed in self.0.values_mut().filter_map(|voice| voice.has.get_mut(id)) {
            if std::mem::take(&mut listed.is_presumed) {
                listed.said = Some(now);
            }
        }
    }

    /// Another replica found a key absent: that counts for all, until a source lists it once more.
    pub(super) fn unlearn(&mut self, id: &KeyId) {
        for voice in self.0.values_mut() {
            voice.has.remove(id);
        }
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

impl Voice {
    fn rest(&self, place: impl Fn(&PublicKey) -> Option<usize>) -> Option<RestingVoice> {
        let first = self.has.values().next();
        let said = first.and_then(|listed| listed.said);
        let is_presumed = first.is_some_and(|listed| listed.is_presumed);
        let mut has = 0_u64;
        for listed in self.has.values() {
            let is_same = listed.said == said && listed.is_presumed == is_presumed;
            if listed.missed.is_some() || !is_same {
                return None;
            }
            has |= 1_u64.checked_shl(u32::try_from(place(&listed.key)?).ok()?)?;
        }
        Some(RestingVoice {
            heard: self.heard,
            is_presumed,
            said,
            has,
            has_useless: false,
        })
    }
}

impl RestingVoice {
    fn wake(&self, confirmation: Confirmation, keys: &[&PublicKey]) -> Voice {
        let listed = |(_, key): (u32, &&PublicKey)| {
            let listed = Listed {
                is_presumed: self.is_presumed,
                ..Listed::new(key, self.said)
            };
            (key.id().clone(), listed)
        };
        let has = |(at, _): &(u32, &&PublicKey)| self.has.checked_shr(*at).is_some_and(|bits| bits & 1 == 1);
        Voice {
            confirmation,
            heard: self.heard,
            has: (0..).zip(keys).filter(has).map(listed).collect(),
        }
    }
}

impl Missed {
    fn is_believed(self, confirmation: Confirmation, now: Timestamp) -> bool {
        match confirmation {
            Confirmation::Reads(reads) => self.reads >= reads,
            Confirmation::Duration(duration) => has_lasted(self.reads, self.since, duration, now),
            Confirmation::Manual => self.reads >= Confirmation::MANUAL_READS,
        }
    }
}

/// Whether something was said for a duration: at its end too, not only at its start.
pub(super) fn has_lasted(reads: u32, since: Timestamp, duration: SignedDuration, now: Timestamp) -> bool {
    let lasted = now.duration_since(since) >= duration;
    lasted && (reads > 1 || duration <= SignedDuration::ZERO)
}
