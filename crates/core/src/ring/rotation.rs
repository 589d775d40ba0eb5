//! One issuer's ring: hears its sources, keeps the ledger, tells the key set.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::hearing::{Heard, Hearing, Refused};
use super::held::{Held, reason_of};
use super::ledger::later;
use super::merge::PresenceRule;
use super::pending::Pending;
use super::selection::Selection;
use super::voices::Voices;
use super::{ClockTrust, Confirmation, KeySet, Ledger, Listing, Presence, Rules, SourceId};
use crate::key::{KeyId, PublicKey};

/// No entry is deleted before a process has run for so long with an even clock: one that was wrong at its start, or
/// leapt, is noticed until then.
const FORGETS_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The rules of rotation over one issuer's ledger.
///
/// What is listed is the union of what the sources have. A source has a key until its absence is confirmed by
/// complete readings in a row without it; one that cannot be read says nothing. A key that is listed enters the
/// set and the ledger, unless it has to wait: for its kid, for room, for an approval. A listing that shares no
/// key with what is published waits as a whole. A key that is not listed any more stays for `retention`, and the
/// last one as long as there is no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ring {
    pub(super) rules: Rules,
    pub(super) voices: Voices,
    pub(super) pending: Pending,
    pub(super) ledger: Ledger,
    /// When each key was first heard of that is listed and not in the set.
    pub(super) waiting: BTreeMap<KeyId, Timestamp>,
    /// What each source last listed that cannot be published, where there was nothing else.
    pub(super) useless: BTreeMap<SourceId, Vec<PublicKey>>,
    pub(super) clock: ClockTrust,
    /// How much longer than the refresh it takes until each source was read.
    pub(super) late: SignedDuration,
}

impl Ring {
    /// A ring over a ledger (empty at the very start), with each source and its `confirmation`.
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
            pending: Pending::default(),
            rules,
            ledger,
            waiting: BTreeMap::new(),
            useless: BTreeMap::new(),
            clock: ClockTrust::default(),
            late: SignedDuration::ZERO,
        }
    }

    /// What is known of the clock from now on.
    pub fn clocked(&mut self, clock: ClockTrust) {
        self.clock = clock;
    }

    /// Reads come so much later than the refresh from now on: what is to be done for all issuers takes longer. A new key
    /// may be noticed, and so be in every cache, that much later.
    pub fn reads_late_by(&mut self, late: SignedDuration) {
        self.late = late.max(SignedDuration::ZERO);
    }

    /// The time to write down at `now`.
    pub(super) fn stamp(&self, now: Timestamp) -> Timestamp {
        later(now, self.clock.behind)
    }

    /// The same sources by other rules from now on: what they were heard to say stays, with what was counted of it.
    /// `ledger` is what was kept of this ring's, and what others know.
    #[must_use]
    pub fn under(mut self, rules: Rules, ledger: &Ledger, now: Timestamp) -> Self {
        self.rules = rules;
        self.adopt(ledger, now);
        self.line_up(now);
        self.settle(now);
        self
    }

    /// Whether every source was read completely: what it does not list is absent then, and not only unknown.
    pub fn all_heard(&self) -> bool {
        self.voices.all_heard()
    }

    /// A source was read. Changes the ledger; `key_set` tells what follows.
    pub fn heard(&mut self, source: &SourceId, listing: &Listing, now: Timestamp) -> Result<(), Refused> {
        let Some(confirmation) = self.voices.confirmation(source) else {
            return Err(Refused::UnknownSource(source.clone()));
        };
        // What was due before this reading comes before it.
        self.settle(now);
        let Heard {
            keys,
            useless,
            complete,
            refused,
        } = Hearing {
            ledger: &mut self.ledger,
            pending: &mut self.pending,
            rules: &self.rules,
            now,
        }
        .of(source, confirmation, listing);
        self.voices.hear(source, &keys, complete, &self.ledger, now);
        if refused.is_none() || !useless.is_empty() {
            let useless = useless.into_iter().cloned().collect();
            self.useless.insert(source.clone(), useless);
        }
        self.write_down(&keys.into_iter().map(PublicKey::id).collect(), now);
        self.settle(now);
        refused.map_or(Ok(()), Err)
    }

    /// A source could not be read: nothing changes, and its last good listing stays.
    pub fn silent(&mut self, _source: &SourceId) {}

    /// Takes up what a store or another replica knows; `ledger` has it from then on.
    ///
    /// What another replica found out about a key counts as if it had been found here. It is contradicted only by a
    /// source that listed a key here after it was found absent there; or may have, before a restart, and could not be
    /// asked since: who was cut off takes no key away when it is back.
    pub fn adopt(&mut self, other: &Ledger, now: Timestamp) {
        self.adopt_by(other, Presence::merge, now);
    }

    pub(super) fn adopt_by(&mut self, other: &Ledger, rule: PresenceRule, now: Timestamp) {
        let merged = self.ledger.merge_by(other, rule);
        if merged == self.ledger {
            return;
        }
        let before = std::mem::replace(&mut self.ledger, merged);
        let (mut listed_later, mut presumed) = (Vec::new(), Vec::new());
        for entry in self.ledger.entries() {
            let (id, presence) = (entry.key.id(), entry.presence);
            let was_listed = before.entry(id).map(|entry| entry.presence.listed);
            match (presence.listed, self.voices.said(id)) {
                (listed, _) if was_listed == Some(listed) => {}
                (true, _) => self.voices.learn(entry),
                (false, Some(said)) if said > presence.stamp => listed_later.push((id.clone(), said)),
                (false, None) if self.voices.presumes(id) => presumed.push((id.clone(), now)),
                (false, _) => self.voices.unlearn(id),
            }
        }
        self.stand_by(listed_later, &before, now);
        for id in self.stand_by(presumed, &before, now) {
            self.voices.unlearn(&id);
        }
        let (ledger, retention) = (&self.ledger, self.rules.retention);
        self.pending
            .confirm(|change| ledger.is_confirmed(change, retention, now));
        self.line_up(now);
        self.settle(now);
    }

    /// Keys that are published here, and were listed here after another replica found them absent, are listed; even
    /// if that was so long ago that they have left elsewhere. Unless their kid was given to another key there. Tells
    /// the others.
    fn stand_by(&mut self, later: Vec<(KeyId, Timestamp)>, before: &Ledger, now: Timestamp) -> Vec<KeyId> {
        if later.is_empty() {
            return Vec::new();
        }
        let published = Selection::of(before, &self.rules, now);
        let selection = Selection::of(&self.ledger, &self.rules, now);
        let stays = |id: &KeyId| {
            let is_free = selection.holder(&id.kid).is_none_or(|holder| holder == id);
            published.shows(id) && is_free && selection.revocation(id).is_none()
        };
        let (staying, going): (Vec<_>, Vec<_>) = later.into_iter().partition(|(id, _)| stays(id));
        let gone: Vec<_> = staying.iter().map(|(id, _)| !selection.shows(id)).collect();
        for ((id, said), had_left) in staying.into_iter().zip(gone) {
            self.ledger.set_listed(&id, said);
            self.voices.vouch(&id, said);
            if had_left {
                self.ledger.publish_anew(&id, said);
            }
        }
        going.into_iter().map(|(id, _)| id).collect()
    }

    /// What is published at `now`. Ends what has run out, and admits what was held and may now enter.
    pub fn key_set(&mut self, now: Timestamp) -> KeySet {
        let waiting = self.settle(now);
        let changes = self.pending.held().cloned().collect();
        Selection::of(&self.ledger, &self.rules, now).into_key_set(&waiting, changes)
    }

    /// When the key set changes next if nothing is heard: the end of a retention, or of the short cache lifetimes
    /// after a revocation. To be asked again after every `heard`, `adopt` and `key_set`.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self
            .ledger
            .entries()
            .filter_map(|entry| entry.leaves_at(self.rules.retention));
        let selection = Selection::of(&self.ledger, &self.rules, now);
        ends.filter(|end| *end > now)
            .chain(selection.revoked_until())
            .min()
    }

    /// The ledger as it stands.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The ledger, for a ring with other sources or rules.
    pub fn into_ledger(self) -> Ledger {
        self.ledger
    }

    /// Writes down what a source has said: which keys are listed again, which are absent.
    fn write_down(&mut self, said: &BTreeSet<&KeyId>, now: Timestamp) {
        let stamp = self.stamp(now);
        let selection = Selection::of(&self.ledger, &self.rules, now);
        let shown: Vec<_> = said.iter().filter(|id| selection.shows(id)).collect();
        let absent: Vec<_> = if self.voices.all_heard() {
            let listed = self.voices.listed();
            let ids = self.ledger.entries().map(|entry| entry.key.id());
            ids.filter(|id| !listed.contains_key(id)).cloned().collect()
        } else {
            Vec::new()
        };
        for id in shown {
            self.ledger.set_listed(id, stamp);
        }
        for id in &absent {
            self.ledger.set_absent(id, stamp);
        }
        self.line_up(now);
    }

    /// Those wait that are listed and not in the set.
    pub(super) fn line_up(&mut self, now: Timestamp) {
        let (known, stamp) = (std::mem::take(&mut self.waiting), self.stamp(now));
        let selection = Selection::of(&self.ledger, &self.rules, now);
        let listed = self.voices.listed();
        let hidden = listed.into_keys().filter(|id| !selection.shows(id));
        self.waiting = hidden
            .map(|id| (id.clone(), known.get(id).copied().unwrap_or(stamp)))
            .collect();
    }

    /// Brings the ledger up to `now`: forgets what expired long ago, and admits those who wait and may enter.
    /// Tells the others.
    pub(super) fn settle(&mut self, now: Timestamp) -> Vec<Held> {
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
        let (last, stamp) = (selection.last().cloned(), self.stamp(now));
        let (admitted, mut held) = selection.vacancies().fill(&waiting);
        for (key, first_seen) in admitted {
            self.ledger.admit(key, first_seen, stamp);
            self.waiting.remove(key.id());
        }
        let is_even = self.clock.even_for >= FORGETS_AFTER;
        self.ledger
            .forget(self.rules.retention, last.as_ref(), is_even, now);
        if !self.pending.is_empty() {
            let selection = Selection::of(&self.ledger, &self.rules, now);
            self.pending.prune(|key| selection.keeps(key.id()), now);
        }
        self.tell_useless(&mut held, now);
        held
    }

    /// What could not even wait.
    fn tell_useless(&self, held: &mut Vec<Held>, now: Timestamp) {
        if self.useless.is_empty() {
            return;
        }
        let selection = Selection::of(&self.ledger, &self.rules, now);
        let hidden = self.useless.values().flatten();
        let hidden = hidden.filter(|key| !selection.shows(key.id()) && !self.waiting.contains_key(key.id()));
        held.extend(hidden.map(|key| match selection.revocation(key.id()) {
            Some(revocation) => Held {
                key: key.clone(),
                reason: reason_of(revocation),
            },
            None => Held::conflict(key),
        }));
    }
}
