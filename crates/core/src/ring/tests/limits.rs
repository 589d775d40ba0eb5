//! How many keys, and how many bytes.

use super::*;

#[test]
fn keys_held_beyond_a_limit_enter_when_others_leave() {
    issuer()
        .bounded(50_000, 1)
        .lists("a")
        .lists("b c")
        .publishes("~a")
        .holds("b:key_limit c:key_limit")
        .after(RETENTION)
        .publishes("b")
        .holds("c:key_limit");
}

#[test]
fn beyond_the_limit_of_keys_new_ones_are_held() {
    let names: Vec<_> = (0..=100)
        .map(|number| format!("k{}z", char::from_u32('à' as u32 + number).unwrap()))
        .collect();
    let mut story = issuer().lists(&names.join(" "));
    let key_set = story.ring.key_set(story.now);
    assert_eq!((key_set.keys.len(), key_set.quarantined.len()), (100, 1));
    assert_eq!(key_set.quarantined[0].reason.label(), "key_limit");
    assert_eq!(
        story.ring.ledger().entries().len(),
        100,
        "what is held takes no room in the ledger"
    );
}

#[test]
fn a_source_with_a_new_key_at_every_read_keeps_a_small_ledger() {
    let mut story = issuer().bounded(50_000, 10);
    for number in 0_u8..250 {
        let keys = vec![crate::key::fake::key(&format!("{number:03}"), number), key("a")];
        story = story
            .after(seconds(10))
            .says("s", &Listing { keys, ..listing("") });
    }
    assert_eq!(story.ring.key_set(story.now).keys.len(), 10);
    assert_eq!(story.ring.ledger().entries().len(), 10);
}

/// Room for exactly so many keys of the tests, all of one size.
fn room_for(keys: usize) -> usize {
    r#"{"keys":[]}"#.len() + keys * key("a").jwk().len() + keys - 1
}

#[test]
fn the_size_limit_is_that_of_the_document() {
    let mut story = issuer()
        .bounded(room_for(3), 100)
        .lists("a b c")
        .publishes("a b c");
    let profile = crate::publication::fake::profile("https://oidc.example.com");
    let key_set = story.ring.key_set(story.now);
    let publication = crate::publication::build(&profile, &key_set).unwrap();
    assert_eq!(publication.jwks.body.len(), room_for(3));
    story
        .bounded(room_for(3) - 1, 100)
        .publishes("a b")
        .holds("c:size_limit");
}

#[test]
fn retained_keys_give_way_longest_absent_first_and_come_back_when_there_is_room() {
    issuer()
        .bounded(room_for(3), 100)
        .lists("a b c")
        .after(hours(1))
        .lists("b c")
        .after(hours(1))
        .lists("c")
        .publishes("c ~a ~b")
        .lists("c d")
        .publishes("c d ~b")
        .holds("a:size_limit")
        .lists("c d e")
        .publishes("c d e")
        .after(hours(1))
        .lists("e")
        .publishes("e ~c ~d")
        .after(hours(46) - seconds(1))
        .publishes("e ~c ~d")
        .holds("a:size_limit b:size_limit")
        .after(hours(3) + seconds(1))
        .publishes("e");
}

#[test]
fn a_retained_key_that_gave_way_is_published_again_when_there_is_room() {
    issuer()
        .bounded(room_for(2), 100)
        .lists("a b")
        .lists("b")
        .publishes("b ~a")
        .lists("b c")
        .publishes("b c")
        .after(hours(1))
        .lists("c b")
        .bounded(room_for(3), 100)
        .publishes("b c ~a");
}

#[test]
fn listed_keys_that_alone_are_too_large_are_held_those_first_seen_last() {
    issuer()
        .bounded(room_for(2), 100)
        .lists("y")
        .after(seconds(10))
        .lists("y x")
        .after(seconds(10))
        .lists("y x a")
        .after(seconds(10))
        .publishes("x y")
        .lists("y x a b")
        .publishes("x y")
        .holds("a:size_limit b:size_limit")
        .lists("x a b")
        .publishes("a x")
        .holds("b:size_limit y:size_limit");
}

#[test]
fn a_key_that_returns_does_not_take_the_place_of_a_published_one() {
    issuer()
        .bounded(room_for(2), 100)
        .lists("a b")
        .lists("b")
        .after(hours(60))
        .lists("b c")
        .publishes("b c")
        .lists("a b c")
        .publishes("b c")
        .holds("a:size_limit");
}

#[test]
fn among_listed_keys_the_one_that_was_published_last_is_held_first() {
    issuer()
        .bounded(room_for(3), 100)
        .lists("a b")
        .lists("b")
        .after(hours(60))
        .lists("b c")
        .lists("a b c")
        .publishes("a b c")
        .bounded(room_for(2), 100)
        .publishes("b c")
        .holds("a:size_limit");
}

#[test]
fn a_source_with_another_cluster_at_every_few_reads_keeps_a_small_ledger() {
    let mut story = issuer_with(&[("s", 2)]).bounded(50_000, 10).lists("a");
    for number in 0..250 {
        let keys = vec![crate::key::fake::key(&format!("{number:03}"), 9)];
        let other = Listing { keys, ..listing("") };
        story = story.says("s", &other).says("s", &other);
    }
    assert!(story.ring.ledger().confirmations().len() <= 50);
    assert_eq!(story.ring.ledger().entries().len(), 10);
}
