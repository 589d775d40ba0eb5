//! Listings that share no key with what is published: another cluster's, perhaps. They wait to be confirmed.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::decisions::ChangeId;
use super::ledger::later;
use super::voices::has_lasted;
use super::{Confirmation, MAX_LISTED, SourceId};
use crate::key::{PublicKey, Reason};

/// How many are remembered, those heard last.
const MAX_PENDING: usize = 16;

/// How many keys they have together, of those heard last; one is remembered however many it has.
const MAX_PENDING_KEYS: usize = 4 * MAX_LISTED;

/// A listing that was not heard again for this long is forgotten.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// A listing that shares no unrevoked key with what is published, and is not published before it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeldChange {
    /// Its name, for an operator to approve it.
    pub change: ChangeId,
    /// Which source gave it.
    pub source: SourceId,
    /// Which of its endpoints, where it has several: the one that gave it last.
    pub endpoint: Option<Arc<str>>,
    /// All of its keys.
    pub keys: Vec<PublicKey>,
    /// When it was first heard.
    pub first_heard: Timestamp,
    /// When it was last heard.
    pub last_heard: Timestamp,
    /// How many readings had it. Readings of the published keys in between change nothing.
    pub reads: u32,
    /// What it waits for.
    pub confirmation: Confirmation,
}

impl HeldChange {
    /// The source, and the endpoint if there are several.
    pub fn place(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{} at {endpoint}", self.source.0),
            None => self.source.0.to_string(),
        }
    }

    /// Whether it has been heard often enough, or for long enough.
    fn is_confirmed(&self) -> bool {
        match self.confirmation {
            Confirmation::Reads(reads) => self.reads >= reads,
            Confirmation::Duration(duration) => {
                has_lasted(self.reads, self.first_heard, duration, self.last_heard)
            }
            Confirmation::Manual => false,
        }
    }

    /// What each of its keys is held for.
    pub(super) fn reason(&self) -> Reason {
        Reason::Unconfirmed {
            place: self.place(),
            change: self.change.as_str().to_owned(),
        }
    }
}

/// The changes that wait, of all sources of one issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Pending(BTreeMap<(SourceId, ChangeId), Change>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Change {
    held: HeldChange,
    is_confirmed: bool,
}

/// What hearing a change once more has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It waits on.
    Held,
    /// It is confirmed by this reading, having waited until now.
    ConfirmedNow,
    /// It was confirmed before, or need not wait.
    Confirmed,
}

impl Pending {
    /// A reading of `source` has such a listing. To be called once for each reading, even if several endpoints
    /// have it.
    pub(super) fn hear(
        &mut self,
        source: &SourceId,
        endpoint: Option<&Arc<str>>,
        keys: &[&PublicKey],
        confirmation: Confirmation,
        now: Timestamp,
    ) -> Heard {
        let id = ChangeId::of(keys.iter().copied());
        let change = self
            .0
            .entry((source.clone(), id.clone()))
            .or_insert_with(|| Change {
                held: HeldChange {
                    change: id,
                    source: source.clone(),
                    endpoint: None,
                    keys: keys.iter().map(|key| (*key).clone()).collect(),
                    first_heard: now,
                    last_heard: now,
                    reads: 0,
                    confirmation,
                },
                is_confirmed: false,
            });
        let held = &mut change.held;
        held.endpoint = endpoint.cloned();
        held.last_heard = now;
        held.reads = held.reads.saturating_add(1);
        let was_confirmed = change.is_confirmed;
        change.is_confirmed |= held.is_confirmed();
        match (was_confirmed, change.is_confirmed) {
            (_, false) => Heard::Held,
            (false, true) if held.reads > 1 => Heard::ConfirmedNow,
            _ => Heard::Confirmed,
        }
    }

    /// Someone else confirmed a change: it waits no longer.
    pub(super) fn confirm(&mut self, is_confirmed: impl Fn(&ChangeId) -> bool) {
        for ((_, id), change) in &mut self.0 {
            change.is_confirmed |= is_confirmed(id);
        }
    }

    /// Forgets those that are published by now, those not heard for long, and the oldest if there are too many.
    pub(super) fn prune(&mut self, is_published: impl Fn(&PublicKey) -> bool, now: Timestamp) {
        self.0.retain(|_, change| {
            let lives = now < later(change.held.last_heard, FORGOTTEN_AFTER);
            lives && !change.held.keys.iter().all(&is_published)
        });
        let mut by_age: Vec<_> = self
            .0
            .iter()
            .map(|(id, change)| (change.held.last_heard, id.clone()))
            .collect();
        by_age.sort_by(|(a, _), (b, _)| b.cmp(a));
        let mut keys = 0;
        for (at, (_, id)) in by_age.into_iter().enumerate() {
            keys += self.0.get(&id).map_or(0, |change| change.held.keys.len());
            if at >= MAX_PENDING || at > 0 && keys > MAX_PENDING_KEYS {
                self.0.remove(&id);
            }
        }
    }

    /// A listing is none of strangers any more.
    pub(super) fn forget(&mut self, source: &SourceId, change: &ChangeId) {
        self.0.remove(&(source.clone(), change.clone()));
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that wait.
    pub(super) fn held(&self) -> impl Iterator<Item = &HeldChange> {
        let held = self.0.values().filter(|change| !change.is_confirmed);
        held.map(|change| &change.held)
    }
}
