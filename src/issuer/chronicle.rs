//! What became of an issuer's keys since it was last looked at: one event for each thing that an operator would act on
//! or look for later, whichever replica or source it came from. None for a read that changes nothing.

mod event;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use self::event::{Event, log};
use crate::key::{KeyId, Reason};
use crate::ring::{ChangeId, HeldChange, KeyView, Ledger, Revocation, Standing, View};

/// More published keys than some verifiers read.
const MANY_KEYS: usize = 10;

/// More changes that are held at once are not told one by one: a source may have another at every read.
const MANY_CHANGES: usize = 4;

/// What was known when it was last looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Chronicle {
    standings: BTreeMap<KeyId, Standing>,
    changes: BTreeMap<ChangeId, (HeldChange, Told)>,
    revocations: BTreeSet<Revocation>,
    withdrawn: bool,
}

/// Whether a change was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told(bool);

impl Chronicle {
    /// Begins with what the ledger says: what was decided before this process is not told as if it happened now.
    pub(super) fn since(ledger: &Ledger) -> Self {
        Self {
            revocations: in_force(ledger),
            ..Self::default()
        }
    }

    /// Goes on where all of this was told.
    pub(super) fn at(view: &View, ledger: &Ledger) -> Self {
        let standings = view
            .keys
            .iter()
            .map(|key| (key.key.id().clone(), key.standing.clone()));
        Self {
            standings: standings.collect(),
            withdrawn: view.withdrawn,
            ..Self::since(ledger)
        }
    }

    /// What is new, in the order in which it is to be told. As long as not every source was heard (after a panic, or a
    /// change of the sources), what was held is not known to be gone.
    pub(super) fn next(&mut self, view: &View, ledger: &Ledger, all_heard: bool) -> Vec<Event> {
        let mut now: BTreeMap<_, _> = view
            .keys
            .iter()
            .map(|key| (key.key.id().clone(), key.standing.clone()))
            .collect();
        if !all_heard {
            let unheard = self
                .standings
                .iter()
                .filter(|(id, standing)| matches!(standing, Standing::Held(_)) && !now.contains_key(id));
            let unheard: Vec<_> = unheard
                .map(|(id, standing)| (id.clone(), standing.clone()))
                .collect();
            now.extend(unheard);
        }
        let mut events = self.decisions(view, ledger);
        events.extend(self.changes(view, ledger, all_heard));
        events.extend(view.keys.iter().filter_map(|key| self.key(key)));
        let forgotten = self.standings.iter().filter(|(id, _)| !now.contains_key(id));
        events.extend(forgotten.filter_map(|(id, standing)| match standing {
            Standing::Held(reason) if told_by_key(reason) => Some(Event::NotListedAnyMore(id.clone())),
            _ => None,
        }));
        events.extend(self.numbers(&now));
        if view.withdrawn != self.withdrawn {
            events.extend(view.withdrawn.then_some(Event::Withdrawn));
            self.withdrawn = view.withdrawn;
        }
        self.standings = now;
        events
    }

    /// Revocations, made or taken back.
    fn decisions(&mut self, view: &View, ledger: &Ledger) -> Vec<Event> {
        let now = in_force(ledger);
        let kids = |revocation: &Revocation| {
            let same = |key: &&KeyView| key.key.id().spki_sha256 == revocation.about.spki_sha256;
            let mut kids: BTreeSet<_> = view
                .keys
                .iter()
                .filter(same)
                .map(|key| key.key.id().kid.to_string())
                .collect();
            kids.insert(revocation.about.kid.to_string());
            kids.into_iter().collect::<Vec<_>>().join(", ")
        };
        let made = now
            .difference(&self.revocations)
            .map(|revocation| Event::Revoked {
                kids: kids(revocation),
                revocation: revocation.clone(),
            });
        let undone = self
            .revocations
            .difference(&now)
            .map(|revocation| Event::Unrevoked {
                kids: kids(revocation),
                by: undone_by(ledger, revocation),
            });
        let events = made.chain(undone).collect();
        self.revocations = now;
        events
    }

    /// Listings that share no key with what is published.
    fn changes(&mut self, view: &View, ledger: &Ledger, all_heard: bool) -> Vec<Event> {
        let before = std::mem::take(&mut self.changes);
        let are_many = view.held_changes.len() > MANY_CHANGES;
        let mut events = Vec::new();
        for held in &view.held_changes {
            let told = before.get(&held.change).map(|(_, told)| *told);
            if told.is_none() && !are_many {
                events.push(Event::ChangeHeld(held.clone()));
            }
            let told = told.unwrap_or(Told(!are_many));
            self.changes.insert(held.change.clone(), (held.clone(), told));
        }
        if are_many && before.len() <= MANY_CHANGES {
            events.push(Event::ManyChanges(self.changes.len()));
        }
        let confirmed = |change: &ChangeId| {
            let confirmed = ledger.confirmations();
            let confirmed = confirmed.filter(|confirmed| confirmed.about == *change);
            confirmed.max_by_key(|confirmed| confirmed.when).cloned()
        };
        for (change, (held, told)) in before {
            if self.changes.contains_key(&change) {
                continue;
            }
            match confirmed(&change) {
                Some(confirmed) => events.push(Event::ChangeConfirmed(held, confirmed)),
                None if !all_heard => drop(self.changes.insert(change, (held, told))),
                None => events.extend((told == Told(true)).then_some(Event::ChangeGone(held))),
            }
        }
        events
    }

    /// What became of one key.
    fn key(&self, key: &KeyView) -> Option<Event> {
        let before = self.standings.get(key.key.id());
        let key = || key.clone();
        match (before, &key().standing) {
            (Some(Standing::Listed { .. }), Standing::Retained { leaves_at, .. }) => {
                Some(Event::Retained(key(), *leaves_at))
            }
            (Some(Standing::Retained { .. }), Standing::Listed { .. }) => Some(Event::ListedAgain(key())),
            (Some(before), now) if is_published(before) == is_published(now) => match (before, now) {
                (Standing::Held(before), Standing::Held(now)) if before.label() == now.label() => None,
                (_, Standing::Held(reason)) => held(key(), reason),
                (Standing::Held(reason), Standing::Expired { .. }) if told_by_key(reason) => {
                    Some(Event::NotListedAnyMore(key().key.id().clone()))
                }
                _ => None,
            },
            (Some(Standing::Held(Reason::SizeLimit { .. })), now) if is_published(now) => {
                Some(Event::RoomAgain(key()))
            }
            (_, now) if is_published(now) => Some(Event::Published(key())),
            (Some(_), Standing::Held(Reason::SizeLimit { .. })) => Some(Event::GaveWay(key())),
            (Some(_), Standing::Held(Reason::KidConflict { .. })) => Some(Event::LostKid(key())),
            (Some(_), Standing::Expired { .. }) => Some(Event::Left(key())),
            (_, Standing::Held(reason)) => held(key(), reason),
            // Told by the revocation.
            (_, _) => None,
        }
    }

    /// How many there are of a kind, where that matters more than which.
    fn numbers(&self, now: &BTreeMap<KeyId, Standing>) -> Vec<Event> {
        let published = |all: &BTreeMap<KeyId, Standing>| {
            let published = all.values().filter(|standing| is_published(standing));
            published.count()
        };
        let beyond = |all: &BTreeMap<KeyId, Standing>| {
            let beyond = |standing: &&Standing| matches!(standing, Standing::Held(Reason::KeyLimit { .. }));
            all.values().filter(beyond).count()
        };
        let many = match (published(&self.standings), published(now)) {
            (before, now) if before <= MANY_KEYS && now > MANY_KEYS => Some(Event::ManyKeys(now)),
            (before, now) if before > MANY_KEYS && now <= MANY_KEYS => Some(Event::FewKeys(now)),
            _ => None,
        };
        let limit = match (beyond(&self.standings), beyond(now)) {
            (0, now @ 1..) => Some(Event::TooManyKeys(now)),
            (1.., 0) => Some(Event::NotTooManyKeys),
            _ => None,
        };
        many.into_iter().chain(limit).collect()
    }
}

/// The event of a key that is held from now on.
fn held(key: KeyView, reason: &Reason) -> Option<Event> {
    match reason {
        Reason::Unapproved => Some(Event::AwaitsApproval(key)),
        reason if told_by_key(reason) => Some(Event::Held(key)),
        _ => None,
    }
}

/// Whether each key that is held so is told. Of a change that is held as a whole the change is; and who meets the limit
/// of keys may bring new ones at every read.
fn told_by_key(reason: &Reason) -> bool {
    !matches!(reason, Reason::Unconfirmed { .. } | Reason::KeyLimit { .. })
}

fn is_published(standing: &Standing) -> bool {
    matches!(standing, Standing::Listed { .. } | Standing::Retained { .. })
}

fn in_force(ledger: &Ledger) -> BTreeSet<Revocation> {
    let in_force = ledger
        .revocations()
        .filter(|revocation| revocation.undone.is_none());
    in_force.cloned().collect()
}

/// Who took a revocation back, if the ledger still says so.
fn undone_by(ledger: &Ledger, revocation: &Revocation) -> String {
    let words = |one: &Revocation| (one.about.clone(), one.when, one.by.clone(), one.why.clone());
    let now = ledger.revocations().find(|now| words(now) == words(revocation));
    let undone = now.and_then(|now| now.undone.as_ref());
    undone.map_or_else(|| "someone".to_owned(), |undone| undone.by.to_string())
}
