//! A ring at rest: what is left of it while nothing waits and nothing is counted, in a tenth of the memory.
//!
//! The JWKs are not kept twice: an entry names its place in the JWKS document that is published. Waking gives the very same
//! ring again, so resting is never visible. A ring that has more to remember (decisions, unconfirmed readings, keys that
//! wait) does not rest.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};

use super::pending::Pending;
use super::voices::{RestingVoice, Voices};
use super::{ClockTrust, Confirmation, Entry, Ledger, Presence, Ring, Rules, SourceId, Unknown};
use crate::key::{KeyId, PublicKey, RestingKey};

/// More entries than this, and a ring does not rest: what a source lists is one bit for each.
const MAX_ENTRIES: usize = u64::BITS as usize;

/// What is left of a [`Ring`] at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resting {
    /// In the order of the ledger.
    entries: Box<[RestingEntry]>,
    /// In the order of the names of the sources.
    voices: Box<[RestingVoice]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct RestingEntry {
    key: RestingKey,
    jwk: Jwk,
    first_seen: Timestamp,
    presence: Presence,
}

/// Where the JWK of an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Jwk {
    /// In the published document: from here, and so long.
    Published(u32, u32),
    /// It is not published any more.
    Kept(Box<str>),
}

impl Ring {
    /// What is to be kept of this ring while nothing happens, if it may rest. `jwks` is the document that is published.
    pub fn rest(&self, jwks: &str) -> Option<Resting> {
        let Self {
            rules: _,
            voices,
            pending,
            ledger,
            waiting,
            useless,
            clock: _,
            late: _,
        } = self;
        let Ledger {
            entries,
            revocations,
            approvals,
            confirmations,
            unknown,
        } = ledger;
        let has_decisions =
            !(revocations.0.is_empty() && approvals.0.is_empty() && confirmations.0.is_empty());
        let has_more = *unknown != Unknown::default() || !pending.is_empty() || !waiting.is_empty();
        if has_decisions || has_more || entries.len() > MAX_ENTRIES {
            return None;
        }
        let places: BTreeMap<&KeyId, usize> = entries.keys().enumerate().map(|(at, id)| (id, at)).collect();
        let same = |key: &PublicKey| {
            let at = *places.get(key.id())?;
            entries
                .get(key.id())
                .filter(|entry| entry.key == *key)
                .map(|_| at)
        };
        let mut voices = voices.rest(same)?;
        for (source, voice) in &mut voices {
            match useless.get(*source).map(Vec::as_slice) {
                None => {}
                Some([]) => voice.has_useless = true,
                Some(_) => return None,
            }
        }
        if useless.len() > voices.iter().filter(|(_, voice)| voice.has_useless).count() {
            return None;
        }
        let entries = entries.values().map(|entry| rest(entry, jwks));
        Some(Resting {
            entries: entries.collect::<Option<_>>()?,
            voices: voices.into_iter().map(|(_, voice)| voice).collect(),
        })
    }
}

fn rest(entry: &Entry, jwks: &str) -> Option<RestingEntry> {
    let Entry {
        key,
        first_seen,
        presence,
        unknown,
    } = entry;
    if *unknown != Unknown::default() {
        return None;
    }
    let text = key.jwk();
    let place = jwks
        .find(text)
        .and_then(|at| Some((u32::try_from(at).ok()?, u32::try_from(text.len()).ok()?)));
    Some(RestingEntry {
        key: key.rest(),
        jwk: place.map_or_else(
            || Jwk::Kept(text.into()),
            |(at, length)| Jwk::Published(at, length),
        ),
        first_seen: *first_seen,
        presence: *presence,
    })
}

impl Resting {
    /// The ring again, less what it knew of the clock. `sources` and `jwks` are those that it had; `None` where they cannot be.
    pub fn wake<C: Into<Confirmation>>(
        &self,
        rules: Rules,
        sources: impl IntoIterator<Item = (SourceId, C)>,
        jwks: &str,
    ) -> Option<Ring> {
        let entries = self.entries.iter().map(|entry| wake(entry, jwks));
        let entries: Vec<Entry> = entries.collect::<Option<_>>()?;
        let sources: BTreeMap<SourceId, Confirmation> = sources
            .into_iter()
            .map(|(source, confirmation)| (source, confirmation.into()))
            .collect();
        if sources.len() != self.voices.len() {
            return None;
        }
        let useless = sources
            .keys()
            .zip(&self.voices)
            .filter(|(_, voice)| voice.has_useless);
        let useless = useless.map(|(source, _)| (source.clone(), Vec::new())).collect();
        let keys: Vec<&PublicKey> = entries.iter().map(|entry| &entry.key).collect();
        let voices = Voices::wake(sources.into_iter().zip(&self.voices), &keys);
        let entries = entries
            .into_iter()
            .map(|entry| (entry.key.id().clone(), entry))
            .collect();
        Some(Ring {
            rules,
            voices,
            pending: Pending::default(),
            ledger: Ledger {
                entries,
                ..Ledger::default()
            },
            waiting: BTreeMap::new(),
            useless,
            clock: ClockTrust::default(),
            late: SignedDuration::ZERO,
        })
    }

    /// A source says once more what it said at its last reading, which was a complete one: as if the ring had heard the same
    /// listing. Valid until the key set changes by itself ([`Ring::next_change`]).
    pub fn heard_again(
        &mut self,
        sources: impl IntoIterator<Item = SourceId>,
        source: &SourceId,
        now: Timestamp,
    ) {
        let sources: std::collections::BTreeSet<_> = sources.into_iter().collect();
        let place = sources.iter().position(|one| one == source);
        if let Some(voice) = place.and_then(|at| self.voices.get_mut(at)) {
            voice.heard_again(now);
        }
    }

    /// How many keys the ledger has.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }
}

fn wake(entry: &RestingEntry, jwks: &str) -> Option<Entry> {
    let jwk = match &entry.jwk {
        Jwk::Kept(jwk) => jwk,
        Jwk::Published(at, length) => {
            let at = usize::try_from(*at).ok()?;
            let range: Range<usize> = at..at.checked_add(usize::try_from(*length).ok()?)?;
            jwks.get(range)?
        }
    };
    Some(Entry {
        key: entry.key.wake(jwk),
        first_seen: entry.first_seen,
        presence: entry.presence,
        unknown: Unknown::default(),
    })
}
