//! What must always hold, over random histories of listings, failures, restarts, and clocks that are set.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::story::{RETENTION, key, listing, source, told};
use crate::key::{Algorithm, KeyId};
use crate::ring::*;

/// How far the clock may be from the true time, to either side.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

const NAMES: [&str; 8] = ["a1", "a2", "a3", "b1", "b2", "C1", "d1", "E1"];
const SOURCES: [&str; 2] = ["s", "t"];

#[derive(Clone, Debug)]
enum Event {
    /// A source is read.
    Read {
        source: usize,
        names: Vec<&'static str>,
        complete: bool,
    },
    /// A source cannot be read, or has nothing to publish.
    Failed { source: usize, empty: bool },
    /// Time passes.
    Passed(SignedDuration),
    /// The clock is set, to this much beside the true time.
    ClockSet(SignedDuration),
    /// A new process with the same ledger, or a reload.
    Restarted,
}

fn read() -> impl Strategy<Value = Event> {
    // A few names alone often, so that they meet in every way.
    let names = prop_oneof![
        proptest::sample::subsequence(NAMES.to_vec(), 1..=4),
        proptest::sample::subsequence(NAMES[..3].to_vec(), 1..=2),
    ];
    (0..SOURCES.len(), names, proptest::bool::weighted(0.9)).prop_map(|(source, names, complete)| {
        Event::Read {
            source,
            names,
            complete,
        }
    })
}

fn failed() -> impl Strategy<Value = Event> {
    (0..SOURCES.len(), any::<bool>()).prop_map(|(source, empty)| Event::Failed { source, empty })
}

fn passed() -> impl Strategy<Value = Event> {
    // Up to a day and more than a retention: in between is less worth.
    let minutes = prop_oneof![4 => 1..30 * 60_i64, 1 => 48 * 60..55 * 60_i64];
    minutes.prop_map(|minutes| Event::Passed(SignedDuration::from_mins(minutes)))
}

fn clock_set() -> impl Strategy<Value = Event> {
    (-60..=60_i64).prop_map(|minutes| Event::ClockSet(SignedDuration::from_mins(minutes)))
}

fn history() -> impl Strategy<Value = Vec<Event>> {
    let event =
        prop_oneof![6 => read(), 2 => failed(), 3 => passed(), 1 => clock_set(), 1 => Just(Event::Restarted)];
    proptest::collection::vec(event, 1..60)
}

/// One kid for all, so that the keys that are listed often stand in each other's way.
fn history_of_rivals() -> impl Strategy<Value = Vec<Event>> {
    let name = proptest::sample::select(vec!["a1", "a2", "a3"]);
    let read = (0..SOURCES.len(), name).prop_map(|(source, name)| Event::Read {
        source,
        names: vec![name],
        complete: true,
    });
    let event =
        prop_oneof![4 => read, 1 => failed(), 2 => passed(), 1 => clock_set(), 1 => Just(Event::Restarted)];
    proptest::collection::vec(event, 1..60)
}

/// A ring, the true time, and what its sources last said.
struct World {
    ring: Ring,
    rules: Rules,
    confirmation: u32,
    time: Timestamp,
    clock_error: SignedDuration,
    lists: [BTreeSet<KeyId>; 2],
    last_listed: BTreeMap<KeyId, Timestamp>,
    /// What each source said at its last reading, where that was a complete one.
    last_heard: [Option<Listing>; 2],
}

impl World {
    fn new(rules: Rules, confirmation: u32) -> Self {
        Self {
            ring: Self::ring(&rules, confirmation, Ledger::default()),
            rules,
            confirmation,
            time: "2026-01-01T00:00:00Z".parse().unwrap(),
            clock_error: SignedDuration::ZERO,
            lists: Default::default(),
            last_listed: BTreeMap::new(),
            last_heard: Default::default(),
        }
    }

    fn ring(rules: &Rules, confirmation: u32, ledger: Ledger) -> Ring {
        Ring::new(
            rules.clone(),
            SOURCES.map(|name| (source(name), confirmation)),
            ledger,
        )
    }

    fn clock(&self) -> Timestamp {
        self.time + self.clock_error
    }

    fn key_set(&mut self) -> KeySet {
        self.ring.key_set(self.clock())
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Read {
                source,
                names,
                complete,
            } => self.reads(*source, names, *complete),
            Event::Failed {
                source: place,
                empty: false,
            } => self.ring.silent(&source(SOURCES[*place])),
            Event::Failed {
                source: place,
                empty: true,
            } => {
                let refused = self
                    .ring
                    .heard(&source(SOURCES[*place]), &listing(""), self.clock());
                assert!(refused.is_err());
            }
            Event::Passed(duration) => self.time += *duration,
            Event::ClockSet(error) => self.clock_error = *error,
            Event::Restarted => {
                let ledger = self.ring.ledger().clone();
                self.ring = Self::ring(&self.rules, self.confirmation, ledger);
                self.lists = Default::default();
                self.last_heard = Default::default();
            }
        }
        for id in self.lists.iter().flatten() {
            self.last_listed.insert(id.clone(), self.time);
        }
    }

    /// Whether a listing waits for its confirmation: it says nothing then. Nor does one with nothing to publish.
    fn is_held(&mut self, said: &Listing) -> bool {
        let changes = self.key_set().held_changes;
        changes.iter().any(|change| change.keys == said.keys)
    }

    fn reads(&mut self, place: usize, names: &[&str], complete: bool) {
        let said = Listing {
            complete,
            ..listing(&names.join(" "))
        };
        let heard = self.ring.heard(&source(SOURCES[place]), &said, self.clock());
        if heard.is_err() || self.is_held(&said) {
            self.last_heard[place] = None;
            return;
        }
        self.last_heard[place] = complete.then(|| said.clone());
        if complete {
            self.lists[place].clear();
        }
        self.lists[place].extend(said.keys.iter().map(|key| key.id().clone()));
    }
}

/// The document of a key set.
fn document(key_set: &KeySet) -> String {
    let keys: Vec<_> = key_set.keys.iter().map(|published| published.key.jwk()).collect();
    format!("{{\"keys\":[{}]}}", keys.join(","))
}

fn ids(key_set: &KeySet) -> BTreeSet<KeyId> {
    key_set
        .keys
        .iter()
        .map(|published| published.key.id().clone())
        .collect()
}

/// Runs a history and shows each state of the world to `check`, with the key set before and after the event.
fn throughout(
    mut world: World,
    history: &[Event],
    mut check: impl FnMut(&World, &KeySet, &KeySet) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut before = world.key_set();
    for event in history {
        world.happens(event);
        let after = world.key_set();
        check(&world, &before, &after)?;
        before = after;
    }
    Ok(())
}

fn usual() -> impl Strategy<Value = World> {
    (1..=3_u32).prop_map(|confirmation| World::new(Rules::new(RETENTION), confirmation))
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World with confirmation {}", self.confirmation)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn invariant_2_a_key_set_is_never_empty_again(
        world in usual(),
        history in prop_oneof![history(), history_of_rivals()],
    ) {
        throughout(world, &history, |_, before, after| {
            prop_assert!(before.keys.is_empty() || !after.keys.is_empty());
            Ok(())
        })?;
    }

    #[test]
    fn invariant_3_a_published_key_stays_until_retention_after_it_was_found_absent(
        world in usual(),
        history in prop_oneof![history(), history_of_rivals()],
    ) {
        throughout(world, &history, |world, before, after| {
            for gone in ids(before).difference(&ids(after)) {
                let since = world.time.duration_since(world.last_listed[gone]);
                prop_assert!(since >= RETENTION - SKEW - SKEW, "{} left after {since}", gone.kid);
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_retained_key_leaves_when_it_says_unless_it_is_the_last(world in usual(), history in history()) {
        throughout(world, &history, |world, _, after| {
            for published in &after.keys {
                if let KeyState::Retained { leaves_at, absent_since } = published.state {
                    prop_assert!(leaves_at > world.clock() || after.keys.len() == 1);
                    prop_assert!(absent_since <= world.clock());
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn what_any_source_lists_is_listed_or_held_for_its_kid(world in usual(), history in history()) {
        throughout(world, &history, |world, _, after| {
            let listed = |published: &&PublishedKey| published.state == KeyState::Listed;
            let listed: BTreeSet<_> = after.keys.iter().filter(listed).map(|key| key.key.id()).collect();
            let held: BTreeSet<_> = after.quarantined.iter().filter_map(|held| held.kid.as_deref()).collect();
            for id in world.lists.iter().flatten() {
                prop_assert!(listed.contains(id) || held.contains(&*id.kid), "{} is neither", id.kid);
            }
            Ok(())
        })?;
    }

    #[test]
    fn invariant_6_a_source_that_fails_changes_nothing_that_is_served(
        confirmation in 1..=3_u32,
        history in history(),
    ) {
        let unset = |event: &&Event| !matches!(event, Event::ClockSet(_));
        let history: Vec<_> = history.iter().filter(unset).cloned().collect();
        let mut troubled = World::new(Rules::new(RETENTION), confirmation);
        let mut untroubled = World::new(Rules::new(RETENTION), confirmation);
        for event in &history {
            let before = troubled.key_set();
            troubled.happens(event);
            if matches!(event, Event::Failed { .. }) {
                prop_assert_eq!(&troubled.key_set(), &before);
            } else {
                untroubled.happens(event);
            }
            prop_assert_eq!(troubled.key_set(), untroubled.key_set());
        }
    }

    #[test]
    fn invariant_10_within_a_set_every_kid_is_unique(
        world in usual(),
        history in prop_oneof![history(), history_of_rivals()],
    ) {
        throughout(world, &history, |_, _, after| {
            let kids: BTreeSet<_> = after.keys.iter().map(|published| published.key.kid()).collect();
            prop_assert_eq!(kids.len(), after.keys.len());
            Ok(())
        })?;
    }

    #[test]
    fn keys_are_listed_before_retained_then_rs256_before_the_others_then_by_kid(
        world in usual(),
        history in history(),
    ) {
        throughout(world, &history, |_, _, after| {
            let place = |published: &PublishedKey| {
                let state = u8::from(published.state != KeyState::Listed);
                let kind = u8::from(published.key.algorithm() != Algorithm::Rs256);
                (state, kind, published.key.kid().as_bytes().to_vec())
            };
            prop_assert!(after.keys.is_sorted_by_key(place), "{}", told(after));
            Ok(())
        })?;
    }

    #[test]
    fn a_ring_that_rested_is_the_same_ring(
        world in usual(),
        history in prop_oneof![history(), history_of_rivals()],
    ) {
        throughout(world, &history, |world, _, after| {
            let jwks = document(after);
            let Some(resting) = world.ring.rest(&jwks) else { return Ok(()) };
            let sources = SOURCES.map(|name| (source(name), world.confirmation));
            let awake = resting.wake(world.rules.clone(), sources.clone(), &jwks);
            prop_assert_eq!(awake.as_ref(), Some(&world.ring));
            // A source that says the same once more need not wake it.
            for (place, said) in world.last_heard.iter().enumerate() {
                let Some(listing) = said else { continue };
                let said = source(SOURCES[place]);
                let now = world.clock() + SignedDuration::from_secs(10);
                let is_due = world.ring.next_change(world.clock()).is_some_and(|next| next <= now);
                if is_due {
                    continue;
                }
                let (mut awake, mut resting) = (world.ring.clone(), resting.clone());
                prop_assert_eq!(awake.heard(&said, listing, now), Ok(()));
                resting.heard_again(SOURCES.map(source), &said, now);
                prop_assert_eq!(resting.wake(world.rules.clone(), sources.clone(), &jwks), Some(awake));
            }
            Ok(())
        })?;
    }

    #[test]
    fn first_seen_never_changes(world in usual(), history in history()) {
        let mut first_seen = BTreeMap::new();
        throughout(world, &history, |_, _, after| {
            for published in &after.keys {
                let known = *first_seen.entry(published.key.id().clone()).or_insert(published.first_seen);
                prop_assert_eq!(known, published.first_seen);
            }
            Ok(())
        })?;
    }

    #[test]
    fn the_next_change_is_told(world in usual(), history in history()) {
        throughout(world, &history, |world, _, after| {
            let now = world.clock();
            let next = world.ring.next_change(now).unwrap_or(Timestamp::MAX);
            let just_before = next - SignedDuration::from_nanos(1);
            let later = world.ring.clone().key_set(just_before.max(now));
            prop_assert_eq!(ids(&later), ids(after));
            Ok(())
        })?;
    }

    #[test]
    fn the_document_is_never_larger_than_allowed_and_listed_keys_keep_their_place(
        room in 1..5_usize,
        history in history(),
    ) {
        // All keys but the EC ones are of one size; those are larger.
        let max_bytes = r#"{"keys":[]}"#.len() + room * (key("E1").jwk().len() + 1);
        let world = World::new(Rules { max_bytes, ..Rules::new(RETENTION) }, 1);
        throughout(world, &history, |world, before, after| {
            let jwks: Vec<_> = after.keys.iter().map(|published| published.key.jwk()).collect();
            let document = format!("{{\"keys\":[{}]}}", jwks.join(","));
            prop_assert!(document.len() <= max_bytes);
            prop_assert!(before.keys.is_empty() || !after.keys.is_empty());
            let after = ids(after);
            for published in &before.keys {
                let id = published.key.id();
                let still = world.lists.iter().any(|list| list.contains(id));
                prop_assert!(
                    published.state != KeyState::Listed || !still || after.contains(id),
                    "{} was listed, and had to give way",
                    id.kid
                );
            }
            Ok(())
        })?;
    }
}
