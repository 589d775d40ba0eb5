//! How much a source can make a ring do: whatever it lists, a reading costs so much and no more.

use super::*;
use crate::key::{PublicKey, fake};

/// Another key for each number.
fn other(number: usize) -> PublicKey {
    let mut fingerprint = [7; 32];
    fingerprint[..8].copy_from_slice(&number.to_be_bytes());
    fake::with_fingerprint(&format!("other-{number:06}"), fingerprint)
}

/// What so many endpoints list together, each this many keys that no other reading has; the first lists `a` at its end.
fn reading(number: usize, endpoints: usize, keys: usize) -> Listing {
    let mut listing = listing("");
    for endpoint in 0..endpoints {
        let first = (number * endpoints + endpoint) * keys;
        let mut keys: Vec<_> = (first..first + keys).map(other).collect();
        if endpoint == 0 {
            keys.push(key("a"));
        }
        listing.keys.extend(keys.iter().cloned());
        listing.endpoints.push(EndpointReading {
            endpoint: format!("10.0.0.{endpoint}:6443").into(),
            keys: Some(keys),
        });
    }
    listing
}

/// How often keys are looked at in a reading, once many such readings were heard.
fn work(endpoints: usize, keys: usize) -> u64 {
    let mut story = issuer_with(&[("s", 3)]).lists("a");
    let mut before = 0;
    for number in 0..30 {
        before = fake::looks();
        story.now += REFRESH;
        let heard = story.ring.bounded(reading(number, endpoints, keys), story.now);
        story.ring.heard(&source("s"), &heard, story.now).unwrap();
        story.ring.look(story.now);
        assert!(story.ring.look(story.now).1.keys.len() < 2000);
    }
    assert!(story.ring.ledger().entry(key("a").id()).unwrap().presence.listed);
    fake::looks() - before
}

#[test]
fn the_work_of_a_reading_grows_with_what_it_lists_and_not_with_the_square_of_it() {
    for endpoints in [1, 20] {
        let (half, whole) = (work(endpoints, 100 / endpoints), work(endpoints, 199 / endpoints));
        assert!(
            whole < half * 5 / 2,
            "{endpoints} endpoints: {half}, twice as many: {whole}"
        );
        assert!(whole < 60_000, "{endpoints} endpoints: {whole}");
    }
}

#[test]
fn what_exceeds_the_bound_costs_no_more_than_being_counted() {
    let (bound, beyond) = (work(20, 10), work(20, 100));
    let counted = 4 * 20 * 100;
    assert!(
        beyond < bound * 5 / 4 + 8 * counted,
        "{bound}, ten times as many: {beyond}"
    );
}

#[test]
fn published_keys_are_recognised_wherever_they_stand_and_of_others_each_endpoint_has_its_share() {
    let story = issuer().lists("a b2");
    let mut said = reading(1, 4, 500);
    said.endpoints[3].keys.as_mut().unwrap().push(key("b2"));
    said.keys.push(key("b2"));
    let bounded = story.ring.bounded(said, story.now);
    assert_eq!(bounded.keys.len(), MAX_LISTED);
    assert!(!bounded.complete, "what was not looked at is not absent");
    let lists = |endpoint: usize| bounded.endpoints[endpoint].keys.clone().unwrap();
    assert!(lists(0).contains(&key("a")) && lists(3).contains(&key("b2")));
    assert!((0..4).all(|endpoint| lists(endpoint).len() >= 49));
    let held = bounded.quarantined.last().unwrap();
    assert_eq!((held.reason.label(), held.entries()), ("too_many", 2002 - 200));
    assert_eq!(bounded.quarantined.len(), 1, "they are counted, not listed");
    story.says("s", &bounded).publishes_listed("a b2");
}

#[test]
fn what_is_within_the_bound_stays_as_it_is() {
    let story = issuer();
    for said in [listing("a b c"), reading(0, 3, 60), Listing::default()] {
        assert_eq!(story.ring.bounded(said.clone(), story.now), said);
    }
}

#[test]
fn entries_that_are_held_back_are_counted_beyond_the_bound() {
    let held = |number| crate::key::Quarantined {
        entry: format!("keys[{number}]"),
        kid: None,
        reason: crate::key::Reason::Symmetric,
    };
    let said = Listing {
        quarantined: (0..900).map(held).collect(),
        ..listing("a")
    };
    let bounded = issuer().ring.bounded(said, issuer().now);
    assert_eq!(bounded.quarantined.len(), MAX_LISTED + 1);
    assert_eq!(bounded.quarantined[MAX_LISTED].entries(), 700);
    assert!(bounded.complete, "all keys were looked at");
    // What a file or an endpoint has counted already is counted along.
    let mut said = listing("a");
    for _ in 0..3 {
        said.quarantined.extend(bounded.quarantined.iter().cloned());
    }
    let bounded = issuer().ring.bounded(said, issuer().now);
    assert_eq!(bounded.quarantined.len(), MAX_LISTED + 1);
    assert_eq!(bounded.quarantined[MAX_LISTED].entries(), 3 * 900 - 200);
}

#[test]
fn a_source_that_lists_other_keys_at_each_incomplete_reading_fills_no_memory() {
    let mut story = issuer_with(&[("s", 3)]).approving().lists("a");
    for number in 0..20 {
        let mut said = reading(number, 1, 150);
        said.complete = false;
        story = story.says("s", &said);
    }
    assert!(story.ring.look(story.now).1.keys.len() <= 1 + 2 * MAX_LISTED);
}
