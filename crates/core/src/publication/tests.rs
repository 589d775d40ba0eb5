//! The wire contract as far as documents go.

use super::*;
use crate::key;

const ISSUER: &str = "https://oidc.example.com/prod";

fn built(key_set: &KeySet) -> Publication {
    build(&fake::profile(ISSUER), key_set).unwrap()
}

#[test]
fn an_empty_key_set_is_never_published() {
    assert_eq!(build(&fake::profile(ISSUER), &KeySet::default()), None);
}

#[test]
fn keys_stand_in_the_order_of_the_key_set_each_as_its_room_wrote_it() {
    let keys = [
        key::fake::key("a", 1),
        key::fake::key_with("b", 2, Algorithm::Es256),
    ];
    let expected = format!("{{\"keys\":[{},{}]}}", keys[0].jwk(), keys[1].jwk());
    assert_eq!(built(&fake::listed(keys)).jwks.body, expected);
}

#[test]
fn equal_keys_make_equal_bytes() {
    assert_eq!(built(&fake::mixed()), built(&fake::mixed()));
}

#[test]
fn a_publication_tells_whether_it_shows_a_key_set() {
    let publication = built(&fake::mixed());
    assert!(publication.shows(&fake::mixed()));
    assert!(!publication.shows(&fake::rsa_only()));
    let mut other_order = fake::mixed();
    other_order.keys.reverse();
    assert!(!publication.shows(&other_order));
    let mut other_material = fake::mixed();
    other_material.keys[0].key = key::fake::key("a", 9);
    assert!(!publication.shows(&other_material));
}

#[test]
fn cache_directives_of_zero_are_left_out() {
    let seconds = SignedDuration::from_secs;
    let policy = |max_age, stale_while_revalidate, stale_if_error| CachePolicy {
        max_age: seconds(max_age),
        stale_while_revalidate: seconds(stale_while_revalidate),
        stale_if_error: seconds(stale_if_error),
    };
    assert_eq!(policy(300, 0, 0).header(), "public, max-age=300");
    assert_eq!(
        policy(300, 60, 0).header(),
        "public, max-age=300, stale-while-revalidate=60"
    );
    assert_eq!(
        policy(300, 0, 86_400).header(),
        "public, max-age=300, stale-if-error=86400"
    );
    assert_eq!(policy(300, 60, 86_400).lifetime(), seconds(86_700));
    assert_eq!(policy(300, 60, 0).lifetime(), seconds(360));
}

#[test]
fn for_a_day_after_a_revocation_the_jwks_is_cached_for_a_minute_and_never_stale() {
    let cached = |key_set: &KeySet| {
        let publication = built(key_set);
        let of = |document: &Document| document.cache.header();
        (of(&publication.jwks), of(&publication.discovery))
    };
    let usual = fake::rsa_only();
    let revoked = KeySet {
        revoked_until: Some(jiff::Timestamp::UNIX_EPOCH),
        ..usual.clone()
    };
    assert_eq!(
        cached(&usual).0,
        "public, max-age=300, stale-while-revalidate=60, stale-if-error=86400"
    );
    assert_eq!(cached(&revoked).0, "public, max-age=60");
    assert_eq!(cached(&revoked).1, cached(&usual).1);
    let publication = built(&usual);
    assert!(publication.shows(&usual) && !publication.shows(&revoked));
    assert!(built(&revoked).shows(&revoked));
    assert_eq!(publication.jwks.etag, built(&revoked).jwks.etag);
}

#[test]
fn a_shorter_max_age_stays_after_a_revocation() {
    let short = CachePolicy {
        max_age: SignedDuration::from_secs(10),
        ..fake::profile(ISSUER).jwks_cache
    };
    assert_eq!(short.after_revocation().header(), "public, max-age=10");
}
