use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::key::fake;
use crate::ring::{Confirmation, Listing, NewKeys, Ring, Rules, SourceId};

const RETENTION: SignedDuration = SignedDuration::from_hours(49);

/// A ring, and what is told of it.
struct Story {
    ring: Ring,
    chronicle: Chronicle,
    /// Whether the chronicle is older than the ring.
    recalls: bool,
    now: Timestamp,
    rules: Rules,
    confirmation: Confirmation,
}

fn source() -> SourceId {
    SourceId("sources[0].apiServer".into())
}

/// A letter is a key; `a'` is other material under the same kid.
fn keys(names: &str) -> Vec<crate::key::PublicKey> {
    let key = |name: &str| {
        let (kid, other) = name.strip_suffix('\'').map_or((name, false), |kid| (kid, true));
        let material = kid.bytes().fold(0_u8, u8::wrapping_add);
        fake::key(kid, material ^ if other { 0x80 } else { 0 })
    };
    names.split_whitespace().map(key).collect()
}

impl Story {
    fn new(confirmation: impl Into<Confirmation>) -> Self {
        Self::with(Rules::new(RETENTION), confirmation.into(), &Ledger::default())
    }

    fn with(rules: Rules, confirmation: Confirmation, ledger: &Ledger) -> Self {
        Self {
            ring: Ring::new(rules.clone(), [(source(), confirmation)], ledger.clone()),
            chronicle: Chronicle::since(ledger),
            recalls: false,
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            rules,
            confirmation,
        }
    }

    /// A reading of these keys, and what is told then.
    fn lists(&mut self, names: &str) -> Vec<String> {
        self.now += SignedDuration::from_secs(10);
        let listing = Listing {
            keys: keys(names),
            complete: true,
            ..Listing::default()
        };
        let _ = self.ring.heard(&source(), &listing, self.now);
        self.told()
    }

    fn after(&mut self, time: SignedDuration) -> Vec<String> {
        self.now += time;
        self.told()
    }

    fn told(&mut self) -> Vec<String> {
        let view = self.ring.view(self.now);
        let events = self
            .chronicle
            .next(&view, self.ring.ledger(), !self.recalls || self.ring.all_heard());
        log("https://oidc.example.com", &events);
        events.iter().map(summary).collect()
    }

    /// The same issuer in a new process.
    fn restarted(&self) -> Self {
        let mut new = Self::with(self.rules.clone(), self.confirmation, self.ring.ledger());
        new.now = self.now;
        new
    }

    /// Its task has panicked, or its sources are others.
    fn recalled(self) -> Self {
        Self {
            chronicle: self.chronicle,
            recalls: true,
            ..Self::with(self.rules, self.confirmation, self.ring.ledger())
        }
        .at(self.now)
    }

    fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }
}

fn summary(event: &Event) -> String {
    let name = format!("{event:?}");
    let name = name.split(['(', ' ', '{']).next().unwrap_or_default();
    let rest = match event {
        Event::Published(key)
        | Event::Retained(key, _)
        | Event::ListedAgain(key)
        | Event::Left(key)
        | Event::GaveWay(key)
        | Event::RoomAgain(key)
        | Event::LostKid(key)
        | Event::Held(key)
        | Event::AwaitsApproval(key) => key.key.kid().to_owned(),
        Event::NotListedAnyMore(id) => id.kid.to_string(),
        Event::Revoked { kids, revocation } => format!("{kids} by {}", revocation.by),
        Event::Unrevoked { kids, by } => format!("{kids} by {by}"),
        Event::ChangeHeld(held) | Event::ChangeGone(held) => held.keys[0].kid().to_owned(),
        Event::ChangeConfirmed(held, confirmed) => format!("{} by {}", held.keys[0].kid(), confirmed.by),
        Event::ManyChanges(count)
        | Event::ManyKeys(count)
        | Event::FewKeys(count)
        | Event::TooManyKeys(count) => count.to_string(),
        Event::NotTooManyKeys | Event::Withdrawn => String::new(),
    };
    format!("{name} {rest}").trim_end().to_owned()
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn the_way_of_a_key_is_told_once_each() {
    let mut story = Story::new(1);
    assert_eq!(story.lists("a b"), ["Published a", "Published b"]);
    assert_eq!(
        story.lists("a b"),
        nothing(),
        "none for a read that finds nothing new"
    );
    assert_eq!(story.lists("b"), ["Retained a"]);
    assert_eq!(story.lists("a b"), ["ListedAgain a"]);
    assert_eq!(story.lists("b"), ["Retained a"]);
    assert_eq!(story.after(RETENTION), ["Left a"]);
    assert_eq!(story.after(RETENTION), nothing());
    assert_eq!(story.lists("a b"), ["Published a"]);
}

#[test]
fn a_change_of_all_keys_is_told_when_it_is_held_and_when_it_is_confirmed() {
    let mut story = Story::new(3);
    story.lists("a b");
    assert_eq!(story.lists("x y"), ["ChangeHeld x"], "once, not for each key");
    assert_eq!(story.lists("x y"), nothing());
    assert_eq!(
        story.lists("x y"),
        ["ChangeConfirmed x by confirmation", "Published x", "Published y"]
    );
}

#[test]
fn a_change_that_is_not_listed_any_more_is_told_when_it_is_forgotten() {
    let mut story = Story::new(Confirmation::Manual);
    story.lists("a");
    assert_eq!(story.lists("x"), ["ChangeHeld x"]);
    assert_eq!(story.lists("a"), nothing());
    assert_eq!(story.after(SignedDuration::from_hours(25)), ["ChangeGone x"]);
}

#[test]
fn a_source_with_other_keys_at_every_read_is_told_as_such() {
    let mut story = Story::new(3);
    story.lists("a");
    let told: Vec<_> = (0..100).flat_map(|n| story.lists(&format!("x{n}"))).collect();
    assert_eq!(
        told[..5],
        [
            "ChangeHeld x0",
            "ChangeHeld x1",
            "ChangeHeld x2",
            "ChangeHeld x3",
            "ManyChanges 5"
        ]
    );
    let gone = ["ChangeGone x0", "ChangeGone x1", "ChangeGone x2", "ChangeGone x3"];
    assert_eq!(told[5..], gone, "and no word of the others");
    assert_eq!(story.lists("x99"), nothing());
    assert_eq!(
        story.lists("x99"),
        ["ChangeConfirmed x99 by confirmation", "Published x99"],
        "told all the same"
    );
}

#[test]
fn what_an_operator_approves_is_told_with_the_name() {
    let mut story = Story::new(Confirmation::Manual);
    story.lists("a");
    story.lists("x");
    let change = story.ring.key_set(story.now).held_changes[0].change.clone();
    story
        .ring
        .approve(change.as_str(), "ann", "planned", story.now)
        .unwrap();
    assert_eq!(story.told(), ["ChangeConfirmed x by ann"]);
    assert_eq!(story.lists("x"), ["Published x"]);
}

#[test]
fn a_new_key_that_waits_for_an_approval_is_told_once() {
    let rules = Rules {
        new_keys: NewKeys::Approve,
        ..Rules::new(RETENTION)
    };
    let mut story = Story::with(rules, Confirmation::Reads(1), &Ledger::default());
    assert_eq!(story.lists("a"), ["Published a"]);
    assert_eq!(story.lists("a b"), ["AwaitsApproval b"]);
    assert_eq!(story.lists("a b"), nothing());
    story.ring.approve("b", "ann", "planned", story.now).unwrap();
    assert_eq!(story.told(), ["Published b"]);
    assert_eq!(story.lists("a b c"), ["AwaitsApproval c"]);
    assert_eq!(story.lists("a b"), ["NotListedAnyMore c"]);
}

#[test]
fn a_revocation_is_told_wherever_it_was_made_and_taken_back() {
    let mut story = Story::new(1);
    story.lists("a b");
    let mut other = Story::with(story.rules.clone(), story.confirmation, story.ring.ledger());
    other.ring.revoke("a", "ann", "leaked", false, story.now).unwrap();
    story.ring.adopt(other.ring.ledger(), story.now);
    assert_eq!(story.told(), ["Revoked a by ann"]);
    assert_eq!(
        story.lists("a b"),
        nothing(),
        "a source that lists it on changes nothing"
    );
    assert_eq!(
        story.restarted().told(),
        ["Published b"],
        "not told again by a new process"
    );
    other.ring.unrevoke("a", "bob", story.now).unwrap();
    story.ring.adopt(other.ring.ledger(), story.now);
    assert_eq!(story.told(), ["Unrevoked a by bob", "Published a"]);
}

#[test]
fn the_revocation_of_the_last_key_says_that_nothing_is_served() {
    let mut story = Story::new(1);
    story.lists("a");
    story.ring.revoke("a", "ann", "leaked", true, story.now).unwrap();
    assert_eq!(story.told(), ["Revoked a by ann", "Withdrawn"]);
    assert_eq!(story.told(), nothing());
    assert_eq!(story.lists("a b"), ["Published b"]);
}

#[test]
fn a_merge_that_withdraws_a_key_says_so() {
    let mut story = Story::new(1);
    let mut other = Story::new(1);
    other.lists("a b");
    story.after(SignedDuration::from_mins(1));
    story.lists("a' c");
    story.ring.adopt(other.ring.ledger(), story.now);
    let told = story.told();
    assert!(told.contains(&"LostKid a".to_owned()), "{told:?}");
    assert!(
        told.contains(&"Published a".to_owned()),
        "the other one: {told:?}"
    );
}

#[test]
fn the_same_kid_with_other_material_is_told() {
    let mut story = Story::new(1);
    story.lists("a b");
    assert_eq!(story.lists("a a' b"), ["Held a"]);
    assert_eq!(story.lists("a a' b"), nothing());
    assert_eq!(story.lists("a b"), ["NotListedAnyMore a"]);
}

#[test]
fn a_key_that_gives_way_to_the_size_limit_and_comes_back_is_told() {
    let jwk = keys("a")[0].jwk().len() + 1;
    let rules = Rules {
        max_bytes: 2 * jwk + 10,
        ..Rules::new(RETENTION)
    };
    let mut story = Story::with(rules, Confirmation::Reads(1), &Ledger::default());
    story.lists("a b");
    assert_eq!(story.lists("b"), ["Retained a"]);
    assert_eq!(story.lists("b c"), ["Published c", "GaveWay a"]);
    story.ring.revoke("c", "ann", "leaked", false, story.now).unwrap();
    assert_eq!(story.told(), ["Revoked c by ann", "RoomAgain a"]);
}

#[test]
fn too_many_keys_are_told_as_one() {
    let rules = Rules {
        max_keys: 3,
        ..Rules::new(RETENTION)
    };
    let mut story = Story::with(rules, Confirmation::Reads(1), &Ledger::default());
    story.lists("a b c");
    assert_eq!(story.lists("a b c d e"), ["TooManyKeys 2"]);
    assert_eq!(story.lists("a b c d f"), nothing());
    assert_eq!(story.lists("a b c"), ["NotTooManyKeys"]);
}

#[test]
fn more_than_ten_published_keys_are_told() {
    let mut story = Story::new(1);
    story.lists("a b c d e f g h i j");
    assert_eq!(
        story.lists("a b c d e f g h i j k"),
        ["Published k", "ManyKeys 11"]
    );
    story.lists("a b c d e f g h i j");
    assert_eq!(story.after(RETENTION), ["Left k", "FewKeys 10"]);
}

#[test]
fn what_was_told_is_not_told_again_where_the_ring_is_made_anew() {
    let rules = Rules {
        new_keys: NewKeys::Approve,
        ..Rules::new(RETENTION)
    };
    let mut story = Story::with(rules, Confirmation::Manual, &Ledger::default());
    story.lists("a");
    assert_eq!(story.lists("a b"), ["AwaitsApproval b"]);
    assert_eq!(story.lists("x"), ["ChangeHeld x"]);
    let mut story = story.recalled();
    assert_eq!(story.told(), nothing(), "it has not heard of it yet");
    assert_eq!(story.lists("x"), nothing());
    assert_eq!(story.lists("a b"), nothing());
    let mut story = story.recalled();
    assert_eq!(story.told(), nothing());
    assert_eq!(story.lists("a"), ["ChangeGone x", "NotListedAnyMore b"]);
}
