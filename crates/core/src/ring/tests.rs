mod changes;
mod clock;
mod laws;
mod ledgers;
mod limits;
mod model;
mod naming;
mod operator;
mod replicas;
mod story;
mod work;

use self::story::{REFRESH, RETENTION, hours, issuer, issuer_with, key, listing, seconds, source};
use super::*;

#[test]
fn nothing_is_published_before_the_first_good_listing() {
    issuer()
        .publishes("")
        .fails("s")
        .publishes("")
        .counts_as_failed("s", &listing(""))
        .publishes("");
}

#[test]
fn listed_before_retained_then_rs256_before_the_others_then_by_kid() {
    issuer()
        .lists("x b Y a Z")
        .publishes("a b x Y Z")
        .lists("x Y")
        .publishes("x Y ~a ~b ~Z");
}

#[test]
fn a_key_that_leaves_the_listing_stays_for_retention() {
    issuer()
        .lists("a b")
        .after(hours(1))
        .lists("b")
        .publishes("b ~a")
        .after(RETENTION - seconds(1))
        .publishes("b ~a")
        .after(seconds(1))
        .publishes("b");
}

#[test]
fn a_retained_key_says_since_when_and_until_when() {
    let mut story = issuer().lists("a b").after(hours(1)).lists("b").after(hours(2));
    let absent_since = story.now - hours(2);
    let state = story.ring.key_set(story.now).keys[1].state;
    assert_eq!(
        state,
        KeyState::Retained {
            absent_since,
            leaves_at: absent_since + RETENTION
        }
    );
    assert_eq!(story.ring.next_change(story.now), Some(absent_since + RETENTION));
}

#[test]
fn nothing_changes_by_itself_while_every_key_is_listed() {
    let story = issuer().lists("a b");
    assert_eq!(story.ring.next_change(story.now), None);
}

#[test]
fn a_swapped_listing_that_is_believed_at_once_retains_the_old_keys() {
    issuer()
        .lists("a b")
        .lists("c d")
        .publishes("c d ~a ~b")
        .after(RETENTION)
        .publishes("c d");
}

#[test]
fn a_key_that_comes_back_within_retention_is_listed_again() {
    let mut story = issuer()
        .lists("a b")
        .lists("b")
        .after(hours(48))
        .lists("a b")
        .publishes("a b");
    let entry = story.ring.ledger().entry(key("a").id()).unwrap().clone();
    assert_eq!(
        entry.presence.published_since, entry.first_seen,
        "it never left the set"
    );
    story = story.after(hours(100)).publishes("a b");
    assert_eq!(story.ring.next_change(story.now), None);
}

#[test]
fn a_key_that_comes_back_after_it_left_keeps_first_seen_and_is_published_anew() {
    let story = issuer().lists("a b");
    let start = story.now;
    let story = story
        .lists("b")
        .after(hours(60))
        .publishes("b")
        .lists("a b")
        .publishes("a b");
    let entry = story.ring.ledger().entry(key("a").id()).unwrap();
    assert_eq!(
        (entry.first_seen, entry.presence.published_since),
        (start, story.now)
    );
}

#[test]
fn an_expired_entry_is_forgotten_after_ninety_days() {
    let story = issuer()
        .lists("a b")
        .lists("b")
        .after(RETENTION + hours(90 * 24) - seconds(1))
        .publishes("b");
    assert!(story.ring.ledger().entry(key("a").id()).is_some());
    let story = story.after(seconds(1)).publishes("b");
    assert!(story.ring.ledger().entry(key("a").id()).is_none());
}

#[test]
fn a_key_is_absent_only_after_as_many_readings_in_a_row_as_confirmation_says() {
    issuer_with(&[("s", 3)])
        .lists("a b")
        .lists("b")
        .lists("b")
        .publishes("a b")
        .lists("a b")
        .lists("b")
        .lists("b")
        .publishes("a b")
        .lists("b")
        .publishes("b ~a");
}

#[test]
fn failures_and_incomplete_readings_say_nothing_about_absence() {
    let incomplete = Listing {
        complete: false,
        ..listing("b c")
    };
    issuer_with(&[("s", 2)])
        .lists("a b")
        .lists("b")
        .fails("s")
        .says("s", &incomplete)
        .counts_as_failed("s", &listing(""))
        .fails("s")
        .publishes("a b c")
        .lists("b c")
        .publishes("b c ~a");
}

#[test]
fn a_source_that_keeps_failing_changes_nothing_however_long() {
    issuer()
        .lists("a b")
        .fails("s")
        .after(hours(24 * 365))
        .fails("s")
        .publishes("a b");
}

#[test]
fn a_listing_with_nothing_publishable_counts_as_a_failed_read() {
    let mut story = issuer()
        .lists("a")
        .counts_as_failed("s", &listing(""))
        .publishes("a");
    let refused = story
        .ring
        .heard(&source("s"), &listing(""), story.now)
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "nothing publishable: no usable key, 0 quarantined; what was last read stays published"
    );
    story
        .counts_as_failed("s", &listing("b1 b2"))
        .publishes("a")
        .holds("b:kid_conflict b:kid_conflict");
}

#[test]
fn the_reading_of_a_source_that_was_removed_is_refused() {
    let mut story = issuer().lists("a");
    let refused = story.ring.heard(&source("other"), &listing("b"), story.now);
    assert_eq!(refused, Err(Refused::UnknownSource(source("other"))));
    story.publishes("a");
}

#[test]
fn several_sources_publish_their_union() {
    issuer_with(&[("s", 1), ("t", 1)])
        .source_lists("s", "a")
        .source_lists("t", "a b")
        .publishes("a b")
        .source_lists("s", "c")
        .publishes("a b c")
        .source_lists("t", "b")
        .publishes("b c ~a");
}

#[test]
fn a_source_that_was_never_read_may_have_every_key() {
    issuer_with(&[("s", 1), ("t", 1)])
        .source_lists("s", "a")
        .source_lists("s", "b")
        .publishes("a b")
        .source_lists("t", "c")
        .source_lists("s", "b")
        .publishes("b c ~a");
}

#[test]
fn after_a_restart_a_key_is_absent_only_when_every_source_has_said_so() {
    let story = issuer_with(&[("s", 2), ("t", 1)])
        .source_lists("s", "a b")
        .source_lists("t", "c")
        .restarted();
    story
        .publishes("a b c")
        .source_lists("t", "c")
        .source_lists("s", "b")
        .publishes("a b c")
        .source_lists("s", "b")
        .publishes("b c ~a");
}

#[test]
fn two_materials_under_one_kid_where_one_is_published_the_other_waits_until_it_has_left() {
    issuer()
        .lists("a")
        .lists("a a2 b")
        .publishes("a b")
        .holds("a:kid_conflict")
        .lists("a2 b")
        .publishes("b ~a")
        .holds("a:kid_conflict")
        .after(RETENTION)
        .publishes("a2 b")
        .holds("");
}

#[test]
fn who_waited_for_a_kid_enters_before_the_old_key_is_listed_again() {
    issuer()
        .lists("a b")
        .lists("a2 b")
        .after(RETENTION)
        .lists("a a2 b")
        .publishes("a2 b")
        .holds("a:kid_conflict");
}

#[test]
fn two_materials_under_one_kid_where_neither_is_published_both_wait() {
    issuer()
        .lists("a1 a2 b")
        .publishes("b")
        .holds("a:kid_conflict a:kid_conflict")
        .lists("a2 b")
        .publishes("a2 b")
        .holds("");
}

#[test]
fn one_material_under_two_kids_is_two_keys() {
    issuer().lists("a1 b1").publishes("a b").holds("");
}

#[test]
fn the_end_of_retention_never_takes_the_last_key() {
    // Each source offers a key, but under one kid: neither may take the place of what was published.
    let story = issuer_with(&[("s", 1), ("t", 1)])
        .bounded(50_000, 2)
        .source_lists("s", "a")
        .source_lists("t", "b");
    let story = story
        .source_lists("s", "x1")
        .after(hours(1))
        .source_lists("t", "x2");
    story
        .publishes("~a ~b")
        .holds("x:kid_conflict x:kid_conflict")
        .after(RETENTION - seconds(1))
        .publishes("~b")
        .after(hours(24 * 365))
        .publishes("~b")
        .source_lists("t", "b x1")
        .publishes("b x")
        .holds("");
}

#[test]
fn lowering_the_retention_does_not_empty_the_set() {
    issuer()
        .imports("a b")
        .after(hours(2))
        .lists("a c d")
        .after(hours(1))
        .retaining(hours(1))
        .publishes("a c d");
    issuer()
        .imports("a b")
        .after(hours(2))
        .publishes("~a ~b")
        .retaining(hours(1))
        .publishes("~a")
        .after(hours(1000))
        .publishes("~a");
}

#[test]
fn other_sources_over_the_same_ledger_keep_what_was_published() {
    issuer_with(&[("s", 2)])
        .lists("a b")
        .lists("b")
        .lists("b")
        .publishes("b ~a")
        .confirmed_by("t", Confirmation::Reads(2))
        .publishes("b ~a")
        .source_lists("t", "b c")
        .publishes("b c ~a");
}

#[test]
fn the_last_key_goes_as_soon_as_there_is_another() {
    issuer()
        .lists("a")
        .lists("a2 b1 b2")
        .publishes("~a")
        .after(RETENTION)
        .publishes("a2")
        .lists("b1 a2")
        .publishes("a2 b");
}

#[test]
fn a_clock_that_is_set_back_brings_no_kid_twice() {
    issuer()
        .lists("a b")
        .lists("a2 b")
        .after(RETENTION)
        .publishes("a2 b")
        .after(hours(-1))
        .publishes("a2 b")
        .lists("a2 b")
        .publishes("a2 b");
}

#[test]
fn a_stamp_in_the_future_is_taken_as_now() {
    let mut story = issuer().lists("a b").after(hours(1)).lists("b").after(hours(-1));
    let state = story.ring.key_set(story.now).keys[1].state;
    assert_eq!(
        state,
        KeyState::Retained {
            absent_since: story.now,
            leaves_at: story.now + RETENTION
        }
    );
}

#[test]
fn stamps_grow_even_when_the_clock_is_set_back() {
    let story = issuer().lists("a b").after(hours(-1)).lists("b");
    let before = story.now + hours(1) - REFRESH;
    let stamp = story.ring.ledger().entry(key("a").id()).unwrap().presence.stamp;
    assert_eq!(stamp, before + SignedDuration::from_millis(1));
}

#[test]
fn a_reading_that_finds_nothing_new_leaves_the_ledger_as_it_is() {
    let story = issuer().lists("a b").lists("b").publishes("b ~a");
    let before = story.ring.ledger().clone();
    let story = story.after(seconds(10)).lists("b").publishes("b ~a");
    assert_eq!(story.ring.ledger(), &before);
}

#[test]
fn ends_of_time_do_not_overflow() {
    let rules = Rules {
        retention: SignedDuration::MAX,
        ..Rules::new(RETENTION)
    };
    let mut ring = Ring::new(rules, [(source("s"), 0)], Ledger::default());
    for now in [Timestamp::MAX, Timestamp::MIN, Timestamp::MAX] {
        ring.heard(&source("s"), &listing("a b"), now).unwrap();
        ring.heard(&source("s"), &listing("b"), now).unwrap();
        assert!(!ring.key_set(now).keys.is_empty());
        ring.next_change(now);
    }
}

#[test]
fn a_ring_rests_once_all_that_its_sources_list_is_published() {
    let mut story = issuer().lists("a B").after(hours(1)).lists("B c");
    let key_set = story.ring.key_set(story.now);
    let keys: Vec<_> = key_set.keys.iter().map(|published| published.key.jwk()).collect();
    let jwks = format!("{{\"keys\":[{}]}}", keys.join(","));
    let resting = story.ring.rest(&jwks).expect("nothing waits");
    let mut awake = resting
        .wake(story.ring.rules.clone(), [(source("s"), 1)], &jwks)
        .expect("the same document");
    awake.clocked(story.ring.clock);
    assert_eq!(awake, story.ring);
    assert_eq!(
        resting.wake(story.ring.rules.clone(), [(source("s"), 1)], "{}"),
        None,
        "another document"
    );
    let mut counting = issuer_with(&[("s", 3)]).lists("a b").lists("b");
    assert_eq!(told_of(&mut counting), None, "an absence is being counted");
    let mut holding = issuer_with(&[("s", 3)]).lists("a b").lists("c");
    assert_eq!(
        told_of(&mut holding),
        None,
        "another key set waits for its confirmation"
    );
}

fn told_of(story: &mut self::story::Story) -> Option<usize> {
    story.ring.rest("").map(|resting| resting.entries())
}
