use std::time::Duration;

use jiff::SignedDuration;

use super::*;
use crate::issuer::IssuerSource;
use crate::key::{PublicKey, parse_file};
use crate::publication;
use crate::publication::fake::profile;
use crate::ring::{Confirmation, Done, Rules};
use crate::source::{FilesSettings, SourceSettings};

const RETENTION: SignedDuration = SignedDuration::from_hours(49);

fn settings() -> IssuerSettings {
    IssuerSettings {
        profile: profile("https://oidc.example.com"),
        required: true,
        sources: vec![IssuerSource {
            settings: SourceSettings::Files(FilesSettings { paths: Vec::new() }),
            claims: Vec::new(),
            confirmation: Confirmation::Reads(1),
        }],
        refresh: SignedDuration::from_secs(10),
        rules: Rules::new(RETENTION),
        token_lifetime: SignedDuration::from_hours(24),
    }
}

fn at(second: i64) -> Moment {
    let now = Timestamp::from_second(1_700_000_000 + second).unwrap();
    Moment {
        now,
        wall: now,
        trust: ClockTrust::default(),
        round: SignedDuration::ZERO,
    }
}

fn key() -> PublicKey {
    let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
    parse_file(pem.as_bytes()).unwrap().keys[0].clone()
}

fn reading(keys: &[PublicKey]) -> Input<'static> {
    Input::Reading(Reading {
        source: 0,
        outcome: Ok(Listing {
            keys: keys.to_vec(),
            complete: true,
            ..Listing::default()
        }),
        survey: None,
    })
}

fn opened() -> IssuerState {
    let mut issuer = IssuerState::new(&settings(), None, Ledger::default(), at(0).now);
    issuer.advance(Input::Opened, &at(0));
    issuer
}

#[test]
fn the_same_state_event_and_moment_give_the_same_effects() {
    let keys = [key(), key(), key()];
    let mut one = opened();
    let mut other = one.clone();
    for (second, listed) in [&keys[..1], &keys[..2], &keys[1..], &keys[2..]]
        .into_iter()
        .enumerate()
    {
        let moment = at(10 * i64::try_from(second).unwrap());
        let effects = one.advance(reading(listed), &moment);
        let again = other.advance(reading(listed), &moment);
        assert_eq!(format!("{effects:?}"), format!("{again:?}"));
        assert_eq!(one.key_set(), other.key_set());
        assert_eq!(one.ledger(), other.ledger());
    }
}

#[test]
fn a_read_that_fails_changes_neither_what_is_published_nor_the_ledger() {
    let mut issuer = opened();
    issuer.advance(reading(&[key()]), &at(1));
    let (key_set, ledger) = (issuer.key_set().clone(), issuer.ledger().clone());
    let failed = crate::issuer::reader::panicked(0);
    let effects = issuer.advance(Input::Reading(failed), &at(2));
    assert!(effects.read.unwrap().outcome.is_err());
    assert_eq!(effects.events, []);
    assert_eq!(issuer.key_set(), &key_set);
    assert_eq!(issuer.ledger(), &ledger);
    // Nor does a listing without any key.
    let effects = issuer.advance(reading(&[]), &at(3));
    assert!(effects.read.unwrap().outcome.is_err());
    assert_eq!(issuer.key_set(), &key_set);
}

#[test]
fn an_issuer_is_due_when_a_retained_key_leaves() {
    let (old, new) = (key(), key());
    let mut issuer = opened();
    let effects = issuer.advance(reading(&[old.clone(), new.clone()]), &at(0));
    assert_eq!(effects.next, None, "nothing changes by time alone");
    let effects = issuer.advance(reading(std::slice::from_ref(&new)), &at(10));
    let next = effects.next.unwrap();
    assert_eq!(next, at(10).now + RETENTION);
    let moment = Moment {
        now: next + Duration::from_millis(1),
        ..at(10)
    };
    let effects = issuer.advance(Input::Due, &moment);
    assert_eq!(effects.events.len(), 1, "{:?}", effects.events);
    let kids: Vec<_> = issuer.key_set().keys.iter().map(|key| key.key.kid()).collect();
    assert_eq!(kids, [new.kid()]);
}

#[test]
fn a_command_is_answered_with_what_the_ledger_has_by_then() {
    let (one, other) = (key(), key());
    let mut issuer = opened();
    issuer.advance(reading(&[one.clone(), other]), &at(0));
    let command = Command::Revoke {
        name: one.kid().to_owned(),
        why: "leaked".to_owned(),
        force: false,
    };
    let revoke = Input::Command {
        command: &command,
        by: "tester",
    };
    let effects = issuer.advance(revoke, &at(1));
    let outcome = effects.outcome.unwrap().unwrap();
    assert!(!matches!(outcome.done, Done::Nothing), "{outcome:?}");
    assert_eq!(issuer.ledger().revocations().count(), 1);
    assert_eq!(issuer.key_set().keys.len(), 1);
}

#[test]
fn what_another_replica_knows_is_published() {
    let mut elsewhere = opened();
    elsewhere.advance(reading(&[key()]), &at(0));
    let mut issuer = opened();
    issuer.advance(Input::Found(elsewhere.ledger()), &at(1));
    assert_eq!(issuer.key_set().keys.len(), 1);
    assert!(elsewhere.ledger() == issuer.ledger());
}

#[test]
fn a_reading_of_a_source_that_there_is_not_changes_nothing() {
    let mut issuer = opened();
    let Input::Reading(mut foreign) = reading(&[key()]) else {
        unreachable!()
    };
    foreign.source = 7;
    let effects = issuer.advance(Input::Reading(foreign), &at(1));
    assert!(effects.read.is_none());
    assert!(issuer.key_set().keys.is_empty());
}

#[test]
fn a_round_that_takes_longer_than_the_refresh_stands_in_its_place_where_a_key_may_sign() {
    let (first, second) = (key(), key());
    let mut issuer = opened();
    issuer.advance(reading(std::slice::from_ref(&first)), &at(0));
    let listed = [first, second.clone()];
    let mut may_sign_from = |round| {
        let moment = Moment {
            round: SignedDuration::from_secs(round),
            ..at(10)
        };
        let effects = issuer.advance(reading(&listed), &moment);
        let view = issuer.ring.view(moment.now);
        drop(effects);
        let key = view.keys.iter().find(|view| view.key == second).unwrap();
        match key.standing {
            crate::ring::Standing::Listed { may_sign_from, .. } => may_sign_from,
            ref other => panic!("{other:?}"),
        }
    };
    let usual = at(10).now + Rules::PROPAGATION;
    assert_eq!(may_sign_from(0), usual);
    assert_eq!(
        may_sign_from(10),
        usual,
        "as long as the refresh, which is in it already"
    );
    assert_eq!(may_sign_from(70), usual + SignedDuration::from_secs(60));
    assert_eq!(may_sign_from(0), usual, "as soon as there is no hurry");
}

/// Whatever happens to it, an issuer that rests after each event is the one that never did.
#[test]
fn rest_changes_nothing_of_what_follows() {
    let keys = [key(), key(), key()];
    let settings = settings();
    let hours = |hours: i64| Moment {
        now: at(0).now + SignedDuration::from_hours(hours),
        wall: at(0).now + SignedDuration::from_hours(hours),
        ..at(0)
    };
    let listed: [&[PublicKey]; 6] = [&keys[..1], &keys[..2], &keys[1..2], &keys[1..], &[], &keys[2..]];
    let (mut wakeful, mut sleeper) = (opened(), opened());
    let mut rests = 0;
    for (step, listed) in (0..).zip(listed) {
        let moment = hours(20 * step);
        for due in [false, true] {
            let input = || if due { Input::Due } else { reading(listed) };
            let one = wakeful.advance(input(), &moment);
            let other = sleeper.advance(input(), &moment);
            assert_eq!(format!("{one:?}"), format!("{other:?}"), "after step {step}");
            assert_eq!(wakeful.key_set(), sleeper.key_set());
            assert_eq!(wakeful.ledger(), sleeper.ledger());
            let published = publication::build(&settings.profile, sleeper.key_set()).unwrap();
            let jwks = str::from_utf8(&published.jwks.body).unwrap();
            if let Some(resting) = sleeper.rest(jwks) {
                let woken = IssuerState::wake(&settings, &resting, jwks, &moment).unwrap();
                assert_eq!(woken.next, other.next);
                assert_eq!(woken.rotation, other.rotation);
                sleeper = woken.state;
                rests += 1;
            }
        }
    }
    assert!(rests >= 4, "rested {rests} times");
}
