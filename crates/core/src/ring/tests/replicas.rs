//! What must always hold where several replicas share a store: over random histories of readings, faults, restarts,
//! clocks that are set, writes that are lost, and operators.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::ledgers::real;
use super::story::{RETENTION, source, told};
use crate::key::{KeyId, PublicKey};
use crate::publication;
use crate::ring::*;

/// How far each clock may be from the true time, to either side.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Materials differ, so that a revocation takes one of them; `a` and `a2` are rivals for a kid.
const OURS: [&str; 5] = ["a1", "a2", "b3", "C4", "d5"];
const FOREIGN: [&str; 2] = ["x8", "y9"];
const REPLICAS: usize = 3;
const CONFIRMATION: u32 = 3;
const ISSUER: &str = "https://oidc.example.com";

/// Real material, since ledgers are written and read.
fn key(name: &str) -> PublicKey {
    static KEYS: LazyLock<BTreeMap<&str, PublicKey>> = LazyLock::new(|| {
        let made = |name: &&'static str| (*name, real(&name[..1], name[1..].parse().unwrap()));
        OURS.iter().chain(&FOREIGN).map(made).collect()
    });
    KEYS[name].clone()
}

#[derive(Clone, Debug)]
enum Event {
    /// A source is read; `None` where it cannot be. Without a part of it, it is incomplete.
    Read(usize, Option<Vec<&'static str>>, bool),
    /// Both endpoints of a source are asked; `None` for one that is silent.
    Asked(usize, [Option<Vec<&'static str>>; 2]),
    /// Reads the store, and writes what it adds.
    Sync(usize),
    /// Reads the store, and its own write loses the race.
    LostRace(usize),
    /// A new process.
    Restarted(usize, From),
    Passed(SignedDuration),
    ClockSet(usize, SignedDuration),
    Revoked(usize, &'static str),
    Unrevoked(usize, &'static str),
    Approved(usize, &'static str),
    Imported(usize, &'static str),
}

/// What a new process starts with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    /// The local copy.
    Local,
    /// The generation of it before the last, since that was torn.
    Previous,
    /// What is in the store.
    Store,
}

fn read() -> impl Strategy<Value = Event> {
    let names = prop_oneof![
        6 => subsequence(OURS.to_vec(), 1..=3).prop_map(Some),
        2 => Just(Some(FOREIGN.to_vec())),
        1 => Just(Some(Vec::new())),
        1 => Just(None),
    ];
    let whole = (0..REPLICAS, names.clone(), proptest::bool::weighted(0.9))
        .prop_map(|(replica, names, complete)| Event::Read(replica, names, complete));
    let parts = (0..REPLICAS, names.clone(), names)
        .prop_map(|(replica, one, other)| Event::Asked(replica, [one, other]));
    prop_oneof![3 => whole, 1 => parts]
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
        1 => (0..REPLICAS, select(vec![From::Local, From::Local, From::Previous, From::Store]))
            .prop_map(|(replica, from)| Event::Restarted(replica, from)),
    ]
}

/// One replica revokes: two that do so at once can take the last key between them.
fn revoked() -> impl Strategy<Value = Event> {
    select(OURS.to_vec()).prop_map(|name| Event::Revoked(0, name))
}

fn unrevoked() -> impl Strategy<Value = Event> {
    (0..REPLICAS, select(OURS.to_vec())).prop_map(|(replica, name)| Event::Unrevoked(replica, name))
}

fn let_in() -> impl Strategy<Value = Event> {
    let kind = select(vec![Event::Approved as fn(_, _) -> _, Event::Imported]);
    (0..REPLICAS, select(OURS.to_vec()), kind).prop_map(|(replica, name, event)| event(replica, name))
}

fn history() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![12 => read(), 6 => clock(), 8 => store(), 1 => revoked(), 1 => let_in()];
    proptest::collection::vec(event, 1..80)
}

fn history_with_unrevokes() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![12 => read(), 6 => clock(), 8 => store(), 1 => revoked(), 1 => unrevoked(), 1 => let_in()];
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
    /// The newest generation on its disk and the one before, and what was known to be revoked.
    generations: [(Ledger, BTreeSet<[u8; 32]>); 2],
}

struct World {
    new_keys: NewKeys,
    replicas: Vec<Replica>,
    store: Ledger,
    store_revoked: BTreeSet<[u8; 32]>,
    time: Timestamp,
    /// Whether the foreign set was confirmed anywhere, or came when nothing was published.
    foreign_allowed: bool,
}

fn ring(new_keys: NewKeys, ledger: &Ledger) -> Ring {
    let rules = Rules {
        new_keys,
        ..Rules::new(RETENTION)
    };
    Ring::new(rules, [(source("s"), CONFIRMATION)], written(ledger))
}

/// A ledger after it was written and read.
fn written(ledger: &Ledger) -> Ledger {
    Ledger::decode(&ledger.encode(ISSUER), ISSUER).unwrap()
}

impl World {
    fn new(new_keys: NewKeys) -> Self {
        let replica = || Replica {
            ring: ring(new_keys, &Ledger::default()),
            clock_error: SignedDuration::ZERO,
            listed_at: BTreeMap::new(),
            revoked: BTreeSet::new(),
            foreign_reads: 0,
            generations: Default::default(),
        };
        Self {
            new_keys,
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
        self.does(event);
        for replica in &mut self.replicas {
            if *replica.ring.ledger() != replica.generations[0].0 {
                replica.generations.swap(0, 1);
                replica.generations[0] = (replica.ring.ledger().clone(), replica.revoked.clone());
            }
        }
    }

    fn does(&mut self, event: &Event) {
        match event {
            Event::Read(at, None, _) => self.replicas[*at].ring.silent(&source("s")),
            Event::Read(at, Some(names), complete) => {
                let said = Listing {
                    keys: names.iter().map(|name| key(name)).collect(),
                    complete: *complete,
                    ..Listing::default()
                };
                self.reads(*at, &said, names == FOREIGN.as_slice());
            }
            Event::Asked(at, answers) => {
                let keys = |names: &Vec<&str>| names.iter().map(|name| key(name)).collect::<Vec<_>>();
                let endpoints = answers
                    .iter()
                    .zip(["1", "2"])
                    .map(|(names, endpoint)| EndpointReading {
                        endpoint: endpoint.into(),
                        keys: names.as_ref().map(keys),
                    });
                let said = Listing {
                    endpoints: endpoints.collect(),
                    keys: answers.iter().flatten().flat_map(keys).collect(),
                    complete: true,
                    ..Listing::default()
                };
                let is_foreign = answers.iter().flatten().any(|names| names == FOREIGN.as_slice());
                self.reads(*at, &said, is_foreign);
            }
            Event::Sync(at) => {
                self.adopts(*at);
                let replica = &mut self.replicas[*at];
                if replica.ring.ledger().adds_to(&self.store) {
                    self.store = written(replica.ring.ledger());
                }
                self.store_revoked.clone_from(&replica.revoked);
            }
            Event::LostRace(at) => self.adopts(*at),
            Event::Restarted(at, from) => {
                let replica = &mut self.replicas[*at];
                replica.foreign_reads = 0;
                if *from != From::Local {
                    replica.listed_at.clear();
                }
                let ledger = match from {
                    From::Local => replica.ring.ledger(),
                    From::Previous => {
                        replica.revoked.clone_from(&replica.generations[1].1);
                        &replica.generations[1].0
                    }
                    From::Store => {
                        replica.revoked.clone_from(&self.store_revoked);
                        &self.store
                    }
                };
                replica.ring = ring(self.new_keys, ledger);
            }
            Event::Approved(at, name) => {
                let replica = &mut self.replicas[*at];
                let now = self.time + replica.clock_error;
                let _ = replica.ring.approve(key(name).kid(), "ops", "looked at", now);
            }
            Event::Imported(at, name) => {
                let replica = &mut self.replicas[*at];
                replica.ring.import(&[key(name)], self.time + replica.clock_error);
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

    fn reads(&mut self, at: usize, said: &Listing, is_foreign: bool) {
        let was_empty = self.key_set(at).keys.is_empty();
        let replica = &mut self.replicas[at];
        let now = self.time + replica.clock_error;
        let heard = replica.ring.heard(&source("s"), said, now);
        if is_foreign {
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
        let text = |document: &publication::Document| format!("{:?} {:?}", document.etag, document.body);
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
    new_keys: NewKeys,
    history: &[Event],
    mut check: impl FnMut(&World, usize, &Event, &KeySet, &KeySet) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut world = World::new(new_keys);
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

/// A restart without the last local copy, which is what a ledger is for: it may know less than before.
fn forgot(event: &Event, at: usize) -> bool {
    matches!(event, Event::Restarted(restarted, from) if *restarted == at && *from != From::Local)
}

fn new_keys() -> impl Strategy<Value = NewKeys> {
    prop_oneof![3 => Just(NewKeys::Publish), 1 => Just(NewKeys::Approve)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn invariant_2_a_key_set_is_never_empty_again(new_keys in new_keys(), history in history()) {
        throughout(new_keys, &history, |_, at, event, before, after| {
            prop_assert!(before.keys.is_empty() || !after.keys.is_empty() || forgot(event, at));
            Ok(())
        })?;
    }

    #[test]
    fn invariant_3_a_published_key_stays_until_retention_after_it_was_listed(new_keys in new_keys(), history in history()) {
        throughout(new_keys, &history, |world, at, event, before, after| {
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
    fn invariant_4_revocation_wins_over_every_listing_on_every_replica_that_has_heard_of_it(new_keys in new_keys(), history in history()) {
        throughout(new_keys, &history, |world, at, _, _, after| {
            for published in &after.keys {
                let id = published.key.id();
                prop_assert!(!world.replicas[at].revoked.contains(&id.spki_sha256), "{} is published", id.kid);
            }
            Ok(())
        })?;
    }

    #[test]
    fn invariant_6_a_source_that_fails_changes_nothing_that_is_served(new_keys in new_keys(), history in history_with_unrevokes()) {
        throughout(new_keys, &history, |_, at, event, before, after| {
            match event {
                Event::Read(reader, None, _) if *reader == at => prop_assert_eq!(&before.keys, &after.keys),
                Event::Read(reader, Some(names), _) if *reader == at && names.is_empty() => {
                    prop_assert_eq!(&before.keys, &after.keys);
                }
                Event::Asked(reader, answers) if *reader == at => {
                    let is_nothing = |names: &Option<Vec<_>>| names.as_ref().is_none_or(Vec::is_empty);
                    if answers.iter().all(is_nothing) {
                        prop_assert_eq!(&before.keys, &after.keys);
                    }
                    if answers.iter().any(is_nothing) {
                        prop_assert!(ids(before).is_subset(&ids(after)), "a part of it says nothing about absence");
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
    }

    #[test]
    fn invariant_7_a_listing_that_shares_no_key_is_held_until_a_replica_heard_it_often(new_keys in new_keys(), history in history()) {
        throughout(new_keys, &history, |world, _, _, _, after| {
            let foreign: BTreeSet<_> = FOREIGN.iter().map(|name| key(name).id().clone()).collect();
            prop_assert!(world.foreign_allowed || ids(after).is_disjoint(&foreign), "{}", told(after));
            Ok(())
        })?;
    }

    #[test]
    fn invariant_9_replicas_with_one_store_converge_to_identical_bodies(new_keys in new_keys(), history in history_with_unrevokes()) {
        let mut world = World::new(new_keys);
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
    fn invariant_10_within_a_set_every_kid_is_unique(new_keys in new_keys(), history in history_with_unrevokes()) {
        throughout(new_keys, &history, |_, _, _, _, after| {
            let kids: BTreeSet<_> = after.keys.iter().map(|published| published.key.kid()).collect();
            prop_assert_eq!(kids.len(), after.keys.len());
            Ok(())
        })?;
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent(new_keys in new_keys(), history in history_with_unrevokes()) {
        let mut world = World::new(new_keys);
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
    fn a_merge_errs_towards_keeping_and_revocation_wins(new_keys in new_keys(), history in history()) {
        let mut world = World::new(new_keys);
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
