//! What must always hold where several replicas share a store: over random histories of readings, faults, restarts,
//! clocks that are set, writes that are lost, and operators.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::story::{RETENTION, key, listing, source, told};
use crate::key::KeyId;
use crate::publication;
use crate::ring::*;

/// How far each clock may be from the true time, to either side.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Materials differ, so that a revocation takes one of them; `a` and `a2` are rivals for a kid.
const OURS: [&str; 5] = ["a1", "a2", "b3", "C4", "d5"];
const FOREIGN: [&str; 2] = ["x8", "y9"];
const REPLICAS: usize = 3;
const CONFIRMATION: u32 = 3;

#[derive(Clone, Debug)]
enum Event {
    /// A source is read; `None` where it cannot be. An endpoint that is silent makes it incomplete.
    Read(usize, Option<Vec<&'static str>>, bool),
    /// Reads the store, and writes what it adds.
    Sync(usize),
    /// Reads the store, and its own write loses the race.
    LostRace(usize),
    /// A new process with the local copy, or without one.
    Restarted(usize, bool),
    Passed(SignedDuration),
    ClockSet(usize, SignedDuration),
    Revoked(usize, &'static str),
    Unrevoked(usize, &'static str),
}

fn read() -> impl Strategy<Value = Event> {
    let names = prop_oneof![
        6 => subsequence(OURS.to_vec(), 1..=3).prop_map(Some),
        2 => Just(Some(FOREIGN.to_vec())),
        1 => Just(Some(Vec::new())),
        1 => Just(None),
    ];
    (0..REPLICAS, names, proptest::bool::weighted(0.9))
        .prop_map(|(replica, names, complete)| Event::Read(replica, names, complete))
}

fn clock() -> impl Strategy<Value = Event> {
    let minutes = prop_oneof![4 => 1..30 * 60_i64, 1 => 48 * 60..55 * 60_i64];
    let passed = minutes.prop_map(|minutes| Event::Passed(SignedDuration::from_mins(minutes)));
    let set = (0..REPLICAS, -60..=60_i64)
        .prop_map(|(replica, minutes)| Event::ClockSet(replica, SignedDuration::from_mins(minutes)));
    prop_oneof![3 => passed, 1 => set]
}

fn store() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..REPLICAS).prop_map(Event::Sync),
        1 => (0..REPLICAS).prop_map(Event::LostRace),
        1 => (0..REPLICAS, any::<bool>()).prop_map(|(replica, local)| Event::Restarted(replica, local)),
    ]
}

/// One replica revokes: two that do so at once can take the last key between them.
fn revoked() -> impl Strategy<Value = Event> {
    select(OURS.to_vec()).prop_map(|name| Event::Revoked(0, name))
}

fn unrevoked() -> impl Strategy<Value = Event> {
    (0..REPLICAS, select(OURS.to_vec())).prop_map(|(replica, name)| Event::Unrevoked(replica, name))
}

fn history() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![12 => read(), 6 => clock(), 8 => store(), 1 => revoked()];
    proptest::collection::vec(event, 1..80)
}

fn history_with_unrevokes() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![12 => read(), 6 => clock(), 8 => store(), 1 => revoked(), 1 => unrevoked()];
    proptest::collection::vec(event, 1..80)
}

/// What one replica is and has seen.
struct Replica {
    ring: Ring,
    clock_error: SignedDuration,
    /// When each key was last listed here, in true time.
    listed_at: BTreeMap<KeyId, Timestamp>,
    /// Which materials it has heard are revoked.
    revoked: BTreeSet<[u8; 32]>,
    /// How many readings of the foreign set it has heard since it started.
    foreign_reads: u32,
}

struct World {
    replicas: Vec<Replica>,
    store: Ledger,
    store_revoked: BTreeSet<[u8; 32]>,
    time: Timestamp,
    /// Whether the foreign set was confirmed anywhere, or came when nothing was published.
    foreign_allowed: bool,
}

fn ring(ledger: Ledger) -> Ring {
    Ring::new(Rules::new(RETENTION), [(source("s"), CONFIRMATION)], ledger)
}

impl World {
    fn new() -> Self {
        let replica = || Replica {
            ring: ring(Ledger::default()),
            clock_error: SignedDuration::ZERO,
            listed_at: BTreeMap::new(),
            revoked: BTreeSet::new(),
            foreign_reads: 0,
        };
        Self {
            replicas: std::iter::repeat_with(replica).take(REPLICAS).collect(),
            store: Ledger::default(),
            store_revoked: BTreeSet::new(),
            time: "2026-01-01T00:00:00Z".parse().unwrap(),
            foreign_allowed: false,
        }
    }

    fn key_set(&mut self, at: usize) -> KeySet {
        let replica = &mut self.replicas[at];
        replica.ring.key_set(self.time + replica.clock_error)
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Read(at, None, _) => self.replicas[*at].ring.silent(&source("s")),
            Event::Read(at, Some(names), complete) => self.reads(*at, names, *complete),
            Event::Sync(at) => {
                self.adopts(*at);
                let replica = &mut self.replicas[*at];
                if replica.ring.ledger().adds_to(&self.store) {
                    self.store = replica.ring.ledger().clone();
                }
                self.store_revoked.clone_from(&replica.revoked);
            }
            Event::LostRace(at) => self.adopts(*at),
            Event::Restarted(at, local) => {
                let replica = &mut self.replicas[*at];
                replica.foreign_reads = 0;
                let ledger = if *local {
                    replica.ring.ledger().clone()
                } else {
                    replica.listed_at.clear();
                    replica.revoked.clone_from(&self.store_revoked);
                    self.store.clone()
                };
                replica.ring = ring(ledger);
            }
            Event::Passed(duration) => self.time += *duration,
            Event::ClockSet(at, error) => self.replicas[*at].clock_error = *error,
            Event::Revoked(at, name) => {
                let replica = &mut self.replicas[*at];
                let now = self.time + replica.clock_error;
                let id = key(name).id().clone();
                let [a, b, c, d, ..] = id.spki_sha256;
                let name = format!("sha256:{a:02x}{b:02x}{c:02x}{d:02x}");
                if replica.ring.revoke(&name, "ops", "leaked", false, now).is_ok() {
                    replica.revoked.insert(id.spki_sha256);
                }
            }
            Event::Unrevoked(at, name) => {
                let replica = &mut self.replicas[*at];
                let now = self.time + replica.clock_error;
                let _ = replica.ring.unrevoke(key(name).kid(), "ops", now);
            }
        }
    }

    fn adopts(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        replica.ring.adopt(&self.store, self.time + replica.clock_error);
        replica.revoked.extend(&self.store_revoked);
    }

    fn reads(&mut self, at: usize, names: &[&str], complete: bool) {
        let was_empty = self.key_set(at).keys.is_empty();
        let said = Listing {
            complete,
            ..listing(&names.join(" "))
        };
        let replica = &mut self.replicas[at];
        let now = self.time + replica.clock_error;
        let heard = replica.ring.heard(&source("s"), &said, now);
        if names == FOREIGN {
            replica.foreign_reads += 1;
            self.foreign_allowed |= was_empty || replica.foreign_reads >= CONFIRMATION;
        }
        let published = ids(&self.key_set(at));
        if heard.is_ok() {
            let accepted = said.keys.iter().filter(|key| published.contains(key.id()));
            let accepted = accepted.map(|key| (key.id().clone(), self.time));
            self.replicas[at].listed_at.extend(accepted);
        }
    }

    /// Nothing is in flight any more, and every clock is right: each replica reads the store after the last write.
    fn settles(&mut self) -> bool {
        for replica in &mut self.replicas {
            replica.clock_error = SignedDuration::ZERO;
        }
        for _ in 0..6 {
            let before = self.store.clone();
            for at in 0..REPLICAS {
                self.key_set(at);
                self.happens(&Event::Sync(at));
            }
            if self.store == before {
                return true;
            }
        }
        false
    }

    fn body(&mut self, at: usize) -> Option<(String, String)> {
        let profile = publication::fake::profile("https://oidc.example.com");
        let publication = publication::build(&profile, &self.key_set(at))?;
        let text = |document: &publication::Document| {
            let identity = &document.identity;
            format!("{:?} {:?}", identity.etag, identity.body)
        };
        Some((text(&publication.discovery), text(&publication.jwks)))
    }
}

fn ids(key_set: &KeySet) -> BTreeSet<KeyId> {
    key_set
        .keys
        .iter()
        .map(|published| published.key.id().clone())
        .collect()
}

/// Runs a history and shows each state of each replica to `check`, with its key set before and after.
fn throughout(
    history: &[Event],
    mut check: impl FnMut(&World, usize, &Event, &KeySet, &KeySet) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut world = World::new();
    let mut before: Vec<_> = (0..REPLICAS).map(|at| world.key_set(at)).collect();
    for event in history {
        world.happens(event);
        for (at, before) in before.iter_mut().enumerate() {
            let after = world.key_set(at);
            check(&world, at, event, before, &after)?;
            *before = after;
        }
    }
    Ok(())
}

/// A restart without the local copy, which is what a ledger is for: it may know less than before.
fn forgot(event: &Event, at: usize) -> bool {
    matches!(event, Event::Restarted(restarted, false) if *restarted == at)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn invariant_2_a_key_set_is_never_empty_again(history in history()) {
        throughout(&history, |_, at, event, before, after| {
            prop_assert!(before.keys.is_empty() || !after.keys.is_empty() || forgot(event, at));
            Ok(())
        })?;
    }

    #[test]
    fn invariant_3_a_published_key_stays_until_retention_after_it_was_listed(history in history()) {
        throughout(&history, |world, at, event, before, after| {
            let replica = &world.replicas[at];
            let kids: BTreeSet<_> = after.keys.iter().map(|published| published.key.kid()).collect();
            for gone in ids(before).difference(&ids(after)) {
                // Of two replicas that each published another key under one kid, one has to give way.
                let is_replaced = kids.contains(&*gone.kid);
                let is_revoked = replica.revoked.contains(&gone.spki_sha256);
                if is_replaced || is_revoked || forgot(event, at) {
                    continue;
                }
                if let Some(listed_at) = replica.listed_at.get(gone) {
                    let since = world.time.duration_since(*listed_at);
                    prop_assert!(since >= RETENTION - SKEW - SKEW, "{} left after {since:#}", gone.kid);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn invariant_4_revocation_wins_over_every_listing_on_every_replica_that_has_heard_of_it(history in history()) {
        throughout(&history, |world, at, _, _, after| {
            for published in &after.keys {
                let id = published.key.id();
                prop_assert!(!world.replicas[at].revoked.contains(&id.spki_sha256), "{} is published", id.kid);
            }
            Ok(())
        })?;
    }

    #[test]
    fn invariant_6_a_source_that_fails_changes_nothing_that_is_served(history in history_with_unrevokes()) {
        throughout(&history, |_, at, event, before, after| {
            match event {
                Event::Read(reader, None, _) if *reader == at => prop_assert_eq!(&before.keys, &after.keys),
                Event::Read(reader, Some(names), _) if *reader == at && names.is_empty() => {
                    prop_assert_eq!(&before.keys, &after.keys);
                }
                _ => {}
            }
            Ok(())
        })?;
    }

    #[test]
    fn invariant_7_a_listing_that_shares_no_key_is_held_until_a_replica_heard_it_often(history in history()) {
        throughout(&history, |world, _, _, _, after| {
            let foreign: BTreeSet<_> = FOREIGN.iter().map(|name| key(name).id().clone()).collect();
            prop_assert!(world.foreign_allowed || ids(after).is_disjoint(&foreign), "{}", told(after));
            Ok(())
        })?;
    }

    #[test]
    fn invariant_9_replicas_with_one_store_converge_to_identical_bodies(history in history_with_unrevokes()) {
        let mut world = World::new();
        for event in &history {
            world.happens(event);
        }
        prop_assert!(world.settles(), "there is no end of writes");
        let first = world.body(0);
        for at in 1..REPLICAS {
            prop_assert_eq!(&world.body(at), &first, "replica {}", at);
        }
    }

    #[test]
    fn invariant_10_within_a_set_every_kid_is_unique(history in history_with_unrevokes()) {
        throughout(&history, |_, _, _, _, after| {
            let kids: BTreeSet<_> = after.keys.iter().map(|published| published.key.kid()).collect();
            prop_assert_eq!(kids.len(), after.keys.len());
            Ok(())
        })?;
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent(history in history_with_unrevokes()) {
        let mut world = World::new();
        for event in &history {
            world.happens(event);
        }
        let ledgers: Vec<_> = world.replicas.iter().map(|replica| replica.ring.ledger()).collect();
        let (a, b, c) = (ledgers[0], ledgers[1], ledgers[2]);
        prop_assert_eq!(a.merge(b), b.merge(a));
        prop_assert_eq!(a.merge(b).merge(c), a.merge(&b.merge(c)));
        prop_assert_eq!(&a.merge(a), a);
        prop_assert_eq!(a.merge(b).merge(b), a.merge(b));
        prop_assert!(!a.adds_to(&a.merge(b)));
    }

    #[test]
    fn a_merge_errs_towards_keeping_and_revocation_wins(history in history()) {
        let mut world = World::new();
        for event in &history {
            world.happens(event);
        }
        let (a, b) = (world.replicas[0].ring.ledger(), world.replicas[1].ring.ledger());
        let merged = a.merge(b);
        for entry in a.entries().chain(b.entries()) {
            let presence = merged.entry(entry.key.id()).unwrap().presence;
            prop_assert!(presence.stamp >= entry.presence.stamp);
            prop_assert!(presence.listed || !entry.presence.listed || presence.stamp > entry.presence.stamp);
            prop_assert!(merged.entry(entry.key.id()).unwrap().first_seen <= entry.first_seen);
        }
        for revocation in a.revocations().chain(b.revocations()) {
            prop_assert!(merged.revoked().contains_key(&revocation.about.spki_sha256));
        }
    }
}
