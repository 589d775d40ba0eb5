//! Wrong clocks: what has left is forgotten by time that really passed, and a leap takes no key away.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::story::{RETENTION, hours, issuer, listing, source};
use crate::key::KeyId;
use crate::ring::*;
use crate::steady::Steady;

const DAY: i64 = 24;

#[test]
fn nothing_is_forgotten_before_a_process_has_run_evenly_for_seven_days() {
    let gone = issuer().lists("a b").lists("b").after(hours(100 * DAY));
    let young = gone
        .clone()
        .restarted()
        .clocked(hours(0), hours(7 * DAY - 1))
        .publishes("b");
    assert_eq!(young.ring.ledger().entries().len(), 2);
    let old = gone.restarted().clocked(hours(0), hours(7 * DAY)).publishes("b");
    assert_eq!(old.ring.ledger().entries().len(), 1);
}

#[test]
fn a_key_that_expired_by_a_wrong_clock_at_the_start_is_back_when_the_clock_is_right() {
    let two_years = hours(2 * 365 * DAY);
    issuer()
        .lists("a b")
        .lists("b")
        .after(two_years)
        .restarted()
        .clocked(hours(0), hours(0))
        .publishes("b")
        .lists("b")
        .after(-two_years)
        .publishes("b ~a");
}

#[test]
fn a_key_found_absent_while_the_clock_is_set_back_keeps_its_whole_retention() {
    let back = hours(365 * DAY);
    issuer()
        .lists("a b")
        .after(hours(30 * DAY) - back)
        .clocked(back, hours(0))
        .lists("b")
        .after(back)
        .clocked(hours(0), hours(0))
        .publishes("b ~a")
        .after(RETENTION - hours(1))
        .publishes("b ~a")
        .after(hours(1))
        .publishes("b");
}

#[test]
fn a_revocation_while_the_clock_is_set_back_is_one_of_now() {
    let back = hours(365 * DAY);
    let story = issuer()
        .lists("a b3")
        .after(-back)
        .clocked(back, hours(0))
        .revokes("a");
    let mut story = story.after(back).clocked(hours(0), hours(0));
    assert!(story.ring.key_set(story.now).revoked_until.is_some());
}

#[test]
fn a_replica_with_a_wrong_clock_takes_no_key_from_the_others() {
    let two_years = hours(2 * 365 * DAY);
    for wrong in [-two_years, two_years] {
        let mut here = issuer().lists("a b").after(hours(60 * DAY)).lists("a b");
        let there = here.clone().restarted().after(wrong).lists("a");
        here.ring.adopt(there.ring.ledger(), here.now);
        let published = kids(&mut here.ring, here.now).len();
        assert_eq!(published, 2, "{wrong:#}");
        let here = here.lists("a b").publishes("a b");
        here.lists("a")
            .publishes("a ~b")
            .after(RETENTION - hours(1))
            .publishes("a ~b");
    }
}

#[derive(Clone, Debug)]
enum Event {
    Read(Vec<&'static str>),
    Passed(i64),
    /// The wall clock is set to so many minutes beside the true time.
    Set(i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let two_years = 2 * 365 * DAY * 60;
    let names = proptest::sample::subsequence(vec!["a1", "b2", "c3", "d4"], 1..=3);
    let event = prop_oneof![
        4 => names.prop_map(Event::Read),
        3 => (1..20 * 60_i64).prop_map(Event::Passed),
        2 => (-two_years..two_years).prop_map(Event::Set),
        2 => Just(Event::Set(0)),
    ];
    proptest::collection::vec(event, 1..60)
}

fn ring() -> Ring {
    Ring::new(Rules::new(RETENTION), [(source("s"), 1)], Ledger::default())
}

fn kids(ring: &mut Ring, now: Timestamp) -> Vec<KeyId> {
    let set = ring.key_set(now);
    set.keys
        .iter()
        .map(|published| published.key.id().clone())
        .collect()
}

proptest! {
    /// The same history with a clock that leaps, each time for less than a day, and with one that is right.
    #[test]
    fn no_leap_deletes_or_withdraws_a_key_that_the_time_elapsed_would_keep(events in events()) {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let (mut steady, mut leaping, mut right) = (Steady::start(start, Duration::ZERO), ring(), ring());
        let (mut time, mut beside, mut set_at) = (SignedDuration::ZERO, SignedDuration::ZERO, SignedDuration::ZERO);
        for event in events {
            match &event {
                Event::Passed(minutes) => time += SignedDuration::from_mins(*minutes),
                Event::Set(minutes) => (beside, set_at) = (SignedDuration::from_mins(*minutes), time),
                Event::Read(_) => {}
            }
            if time - set_at >= hours(DAY - 1) {
                beside = SignedDuration::ZERO;
            }
            let reading = steady.read(start + time + beside, time.unsigned_abs());
            leaping.clocked(ClockTrust {
                behind: reading.expected.duration_since(reading.now),
                even_for: reading.even_for.try_into().unwrap(),
            });
            right.clocked(ClockTrust { even_for: time, ..ClockTrust::default() });
            if let Event::Read(names) = &event {
                let said = listing(&names.join(" "));
                leaping.heard(&source("s"), &said, reading.now).unwrap();
                right.heard(&source("s"), &said, start + time).unwrap();
            }
            let (published, expected) = (kids(&mut leaping, reading.now), kids(&mut right, start + time));
            for id in &expected {
                prop_assert!(published.contains(id), "{id:?} at {time:#}, {beside:#} beside");
            }
            for entry in right.ledger().entries() {
                prop_assert!(leaping.ledger().entry(entry.key.id()).is_some());
            }
        }
        let mut time = start + time;
        for _ in 0..3 {
            time += hours(1);
            prop_assert!(kids(&mut right, time).iter().all(|id| kids(&mut leaping, time).contains(id)));
        }
    }
}
