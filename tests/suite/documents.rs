//! The wire contract of both documents: what a key file becomes on its way through ring and publication.

use jiff::{SignedDuration, Timestamp};
use oidc_issuer::key::{Parsed, parse_file};
use oidc_issuer::publication::{CachePolicy, IssuerUrl, JwksUri, MediaType, Profile, Publication, build};
use oidc_issuer::ring::{KeySet, Ledger, Listing, Ring, Rules, SourceId};
use serde_json::{Map, Value, json};

const RETENTION: SignedDuration = SignedDuration::from_hours(49);

/// The public keys of the vectors: RFC 7638 (RSA), RFC 7517 (P-256), and others.
fn vectors() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../vectors/kid.json")).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

/// A key file of the PEM blocks at these places of the vectors.
fn pem(places: &[usize]) -> String {
    places
        .iter()
        .map(|place| vectors()[*place]["pem"].as_str().unwrap().to_owned())
        .collect()
}

fn profile(issuer: &str) -> Profile {
    let issuer = IssuerUrl::parse(issuer).unwrap();
    let cache = |max_age, stale_while_revalidate| CachePolicy {
        max_age: SignedDuration::from_secs(max_age),
        stale_while_revalidate: SignedDuration::from_secs(stale_while_revalidate),
        stale_if_error: SignedDuration::from_secs(86_400),
    };
    Profile {
        jwks_uri: JwksUri::of(&issuer),
        issuer,
        announced: Vec::new(),
        extra: Map::new(),
        jwks_content_type: MediaType::JWKS,
        jwks_cache: cache(300, 60),
        discovery_cache: cache(3600, 0),
    }
}

/// An issuer with one source, whose files are read one after the other, an hour apart.
fn key_set_of(files: &[String]) -> KeySet {
    let source = SourceId("sources[0].files".into());
    let mut ring = Ring::new(Rules::new(RETENTION), [(source.clone(), 1)], Ledger::default());
    let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for file in files {
        let Parsed {
            keys, quarantined, ..
        } = parse_file(file.as_bytes()).unwrap();
        let listing = Listing {
            keys,
            quarantined,
            complete: true,
            ..Listing::default()
        };
        ring.heard(&source, &listing, now).unwrap();
        now += SignedDuration::from_hours(1);
    }
    ring.key_set(now)
}

fn published(files: &[String]) -> Publication {
    build(&profile("https://oidc.example.com/prod"), &key_set_of(files)).unwrap()
}

fn text(body: &[u8]) -> &str {
    str::from_utf8(body).unwrap()
}

#[test]
fn a_key_file_becomes_both_documents() {
    let every: Vec<_> = (0..vectors().len()).collect();
    let publication = published(&[pem(&every)]);
    let documents = [&publication.discovery, &publication.jwks];
    insta::assert_snapshot!(documents.map(|document| text(&document.body)).join("\n\n"));
}

#[test]
fn with_one_key_the_jwks_is_byte_equal_to_that_of_the_api_server() {
    for (place, vector) in vectors().iter().enumerate() {
        // The members of the vectors stand in the API server's own order.
        let expected = format!("{{\"keys\":[{}]}}", vector["jwk"]);
        assert_eq!(
            text(&published(&[pem(&[place])]).jwks.body),
            expected,
            "{}",
            vector["source"]
        );
    }
}

#[test]
fn equal_keys_make_equal_bytes_whichever_way_they_came() {
    let at_once = published(&[pem(&[0, 1])]);
    for other in [
        published(&[pem(&[1, 0])]),
        published(&[pem(&[0, 1, 0])]),
        published(&[pem(&[1]), pem(&[0, 1])]),
        published(&[pem(&[0]), pem(&[1]), pem(&[0, 1])]),
    ] {
        assert_eq!(other, at_once);
    }
}

#[test]
fn a_jwk_never_changes_a_byte_while_it_is_published() {
    let jwk = |publication: &Publication, kid: &str| {
        let document: Value = serde_json::from_slice(&publication.jwks.body).unwrap();
        let keys = document["keys"].as_array().unwrap();
        keys.iter().find(|key| key["kid"] == kid).unwrap().to_string()
    };
    let kid = vectors()[0]["jwk"]["kid"].as_str().unwrap().to_owned();
    let first = jwk(&published(&[pem(&[0])]), &kid);
    for files in [
        vec![pem(&[0, 1])],
        vec![pem(&[0]), pem(&[1])],
        vec![pem(&[0]), pem(&[1]), pem(&[1, 0])],
    ] {
        assert_eq!(jwk(&published(&files), &kid), first);
    }
}

#[test]
fn a_retained_key_is_written_like_a_listed_one_and_after_it() {
    let publication = published(&[pem(&[0]), pem(&[1])]);
    let expected = format!("{{\"keys\":[{},{}]}}", vectors()[1]["jwk"], vectors()[0]["jwk"]);
    assert_eq!(text(&publication.jwks.body), expected);
    let discovery: Value = serde_json::from_slice(&publication.discovery.body).unwrap();
    assert_eq!(
        discovery["id_token_signing_alg_values_supported"],
        json!(["ES256", "RS256"])
    );
}

#[test]
fn what_is_quarantined_costs_the_others_nothing() {
    let damaged = "-----BEGIN PUBLIC KEY-----\nbm90IGEga2V5\n-----END PUBLIC KEY-----\n";
    let publication = published(&[format!("{damaged}{}{damaged}", pem(&[0, 1]))]);
    assert_eq!(publication, published(&[pem(&[0, 1])]));
}

#[test]
fn a_hundred_keys_of_the_usual_size_are_within_the_bound_of_java_verifiers() {
    let jwk = vectors()[0]["jwk"].to_string();
    let kid = vectors()[0]["jwk"]["kid"].as_str().unwrap().to_owned();
    let keys: Vec<_> = (0..100)
        .map(|number| jwk.replace(&kid, &format!("{number:043}")))
        .collect();
    let key_set = key_set_of(&[format!("{{\"keys\":[{}]}}", keys.join(","))]);
    assert_eq!((key_set.keys.len(), key_set.quarantined.len()), (100, 0));
    let publication = build(&profile("https://oidc.example.com"), &key_set).unwrap();
    assert!(publication.jwks.body.len() <= Rules::MAX_BYTES);
}
