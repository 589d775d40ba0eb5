//! What a document keeps, and what is refused.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::key::{self, PublicKey};
use crate::ring::{Listing, Ring, Rules, SourceId};

const ISSUER: &str = "https://oidc.example.com/prod";

/// Three keys with real material: an RSA key, and two on P-256.
fn keys() -> &'static [PublicKey] {
    static KEYS: LazyLock<Vec<PublicKey>> = LazyLock::new(|| {
        let vectors: Value =
            serde_json::from_str(include_str!("../../../../../tests/vectors/kid.json")).unwrap();
        let pems = [0, 1].map(|at| vectors["vectors"][at]["pem"].as_str().unwrap().to_owned());
        let more = rcgen::KeyPair::generate().unwrap().public_key_pem();
        key::parse_file((pems.concat() + &more).as_bytes()).unwrap().keys
    });
    &KEYS
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

/// A ledger with something of everything: listed, absent, replaced, revoked, undone, approved, confirmed.
fn ledger() -> Ledger {
    let source = SourceId("s".into());
    let mut ring = Ring::new(
        Rules::new(SignedDuration::from_hours(1)),
        [(source.clone(), 1)],
        Ledger::default(),
    );
    let keys = keys();
    let listing = |keys: &[PublicKey]| Listing {
        keys: keys.to_vec(),
        complete: true,
        ..Listing::default()
    };
    ring.heard(&source, &listing(&keys[..3]), at(0)).unwrap();
    ring.heard(&source, &listing(&keys[1..3]), at(10)).unwrap();
    ring.revoke(
        keys[0].kid(),
        "ops",
        "leaked: \"x\",\"sha256\":\"0\"",
        false,
        at(20),
    )
    .unwrap();
    ring.revoke(keys[1].kid(), "ops", "by mistake", false, at(30))
        .unwrap();
    ring.unrevoke(keys[1].kid(), "boss", at(40)).unwrap();
    let mut ledger = ring.into_ledger();
    ledger.approvals.add(keys[2].id().clone(), at(50), "ops", "");
    let change = crate::ring::ChangeId::of(&keys[..2]);
    ledger
        .confirmations
        .add(change, at(60), "confirmation", "3 reads");
    ledger.take_over(&keys[0], at(70));
    ledger
}

fn encoded() -> String {
    String::from_utf8(ledger().encode(ISSUER)).unwrap()
}

fn decode(text: &str) -> Result<Ledger, DecodeError> {
    Ledger::decode(text.as_bytes(), ISSUER)
}

/// A document that says something else, under a checksum that is right.
fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(&encoded()).unwrap();
    value.as_object_mut().unwrap().remove("sha256");
    change(&mut value);
    let text = value.to_string();
    let text = text.strip_suffix('}').unwrap();
    format!("{text}{CHECKSUM}{}\"}}", checksum(text.as_bytes()))
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    decode(&changed(change)).unwrap_err().to_string()
}

#[test]
fn a_ledger_is_read_as_it_was_written() {
    assert_eq!(decode(&encoded()).unwrap(), ledger());
    assert_eq!(decode(&changed(|_| {})).unwrap(), ledger());
    assert_eq!(
        Ledger::decode(&Ledger::default().encode(ISSUER), ISSUER).unwrap(),
        Ledger::default()
    );
}

#[test]
fn equal_ledgers_make_equal_documents() {
    let again = Ledger::default().merge(&ledger()).merge(&ledger());
    assert_eq!(again.encode(ISSUER), ledger().encode(ISSUER));
}

#[test]
fn a_document_can_be_read_by_people() {
    let mut value: Value = serde_json::from_str(&encoded()).unwrap();
    assert_eq!(value["kind"], "oidc-issuer ledger");
    assert_eq!(value["format"], 1);
    assert_eq!(value["issuer"], ISSUER);
    let entry = value["entries"][0].take();
    let members: Vec<_> = entry.as_object().unwrap().keys().collect();
    assert_eq!(members, ["jwk", "firstSeen", "listed", "stamp", "publishedSince"]);
    assert_eq!(entry["firstSeen"], "2026-01-01T00:00:00Z");
}

#[test]
fn half_a_document_is_torn_wherever_it_breaks_off() {
    let text = encoded();
    for end in (0..text.len() - 2).step_by(7) {
        let error = Ledger::decode(&text.as_bytes()[..end], ISSUER).unwrap_err();
        assert!(matches!(error, DecodeError::Torn { .. }), "{error}");
        assert!(error.is_damage());
    }
}

#[test]
fn a_changed_octet_is_noticed() {
    let text = encoded();
    let changed = text.replace("leaked", "leeked");
    assert_eq!(
        decode(&changed).unwrap_err().to_string(),
        "the ledger is torn: its checksum is that of another text"
    );
    let unsigned = text.split(CHECKSUM).next().unwrap().to_owned() + "}";
    assert_eq!(decode(&unsigned).unwrap_err().label(), "torn");
}

#[test]
fn the_ledger_of_another_issuer_is_not_ours() {
    let other = Ledger::decode(&ledger().encode("https://other.example.com"), ISSUER).unwrap_err();
    assert_eq!(
        other.to_string(),
        "the ledger is that of issuer https://other.example.com, not of https://oidc.example.com/prod: \
         give each issuer a place of its own"
    );
    assert!(!other.is_damage());
}

#[test]
fn a_newer_format_is_told_whatever_else_it_says() {
    let newer = r#"{"kind":"oidc-issuer ledger","format":2,"everything":"else","crc":1}"#;
    let error = decode(newer).unwrap_err();
    assert_eq!(error, DecodeError::Newer { found: 2 });
    assert!(!error.is_damage());
}

#[test]
fn what_is_no_ledger_is_told_so() {
    for text in [
        "{}",
        "[]",
        "1",
        r#"{"kind":"oidc-issuer ledger"}"#,
        r#"{"kind":"ConfigMap","format":1}"#,
    ] {
        assert_eq!(decode(text).unwrap_err().label(), "not_a_ledger", "{text}");
    }
}

#[test]
fn what_is_too_large_is_not_even_parsed() {
    let bytes = vec![b' '; 50 * 1024 * 1024];
    let error = Ledger::decode(&bytes, ISSUER).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the ledger has 52428800 bytes; at most 4194304 are read"
    );
}

#[test]
fn a_ledger_at_its_bounds_is_far_smaller_than_that() {
    let entry = encoded().len();
    assert!(300 * entry < MAX_DOCUMENT, "{entry}");
}

#[test]
fn a_key_that_is_there_twice_is_named() {
    let twice = refused(|value| {
        let entries = value["entries"].as_array_mut().unwrap();
        let first = entries[0].clone();
        entries.push(first);
    });
    let kid = keys().iter().map(|key| key.kid().to_owned()).min().unwrap();
    assert_eq!(
        twice,
        format!("the ledger cannot be right: entries[3] (kid {kid:?}): it is there twice")
    );
}

#[test]
fn two_materials_under_one_kid_are_no_fault_of_the_ledger() {
    let ledger = decode(&changed(|value| {
        for entry in value["entries"].as_array_mut().unwrap() {
            entry["jwk"]["kid"] = "one".into();
        }
    }))
    .unwrap();
    assert_eq!(ledger.entries().len(), 3);
}

#[test]
fn absurd_times_are_named() {
    for absurd in [
        json!("-000001-01-01T00:00:00Z"),
        json!("1969-12-31T23:59:59Z"),
        json!("2200-01-01T00:00:00Z"),
        json!("9999-12-30T00:00:00Z"),
        json!("yesterday"),
        json!(-1),
        json!(null),
    ] {
        for member in ["firstSeen", "stamp", "publishedSince"] {
            let told = refused(|value| value["entries"][1][member] = absurd.clone());
            assert!(told.contains("entries[1] (kid "), "{told}");
            assert!(
                told.contains(&format!("{member} is {absurd}, not a time between 1970 and 2200")),
                "{told}"
            );
        }
        let told = refused(|value| value["revocations"][0]["when"] = absurd.clone());
        assert!(told.contains("revocations[0]: when is "), "{told}");
    }
}

#[test]
fn a_clock_that_was_never_set_is_not_absurd() {
    let epoch = "1970-01-01T00:00:00Z";
    assert!(decode(&changed(|value| value["entries"][0]["stamp"] = epoch.into())).is_ok());
}

#[test]
fn keys_that_may_not_be_published_are_named_each() {
    let told = refused(|value| {
        value["entries"][0]["jwk"]["d"] = "c2VjcmV0".into();
        value["entries"][1]["jwk"]["kid"] = "weak".into();
        value["entries"][1]["jwk"]["kty"] = "OKP".into();
        value["entries"][2] = 1.into();
    });
    assert!(told.contains("private"), "{told}");
    assert!(told.contains("entries[1] (kid \"weak\"): "), "{told}");
    assert!(told.contains("entries[2]: an object is expected"), "{told}");
    assert!(!told.contains("c2VjcmV0"), "{told}");
}

#[test]
fn only_the_first_faults_are_spelled_out() {
    let told = refused(|value| {
        let many = vec![Value::Null; 100];
        value["revocations"] = many.into();
    });
    assert!(
        told.ends_with("revocations[4]: an object is expected; and 95 more"),
        "{told}"
    );
}

#[test]
fn unknown_members_are_kept_wherever_they_stand() {
    let later = changed(|value| {
        value["added"] = json!({"in": ["a", "later", 1.5e300], "release": null});
        value["entries"][0]["note"] = "kept".into();
        value["revocations"][0]["ticket"] = 7.into();
        for revocation in value["revocations"].as_array_mut().unwrap() {
            if revocation["undone"].is_object() {
                revocation["undone"]["ticket"] = 8.into();
            }
        }
    });
    let read = decode(&later).unwrap();
    let written: Value = serde_json::from_slice(&read.encode(ISSUER)).unwrap();
    let expected: Value = serde_json::from_str(&later).unwrap();
    for path in ["/added", "/entries/0/note", "/revocations/0/ticket"] {
        assert_eq!(written.pointer(path), expected.pointer(path), "{path}");
    }
    assert_eq!(written["revocations"], expected["revocations"]);
    // Also when it meets a ledger that does not have them.
    assert_eq!(ledger().merge(&read), read);
    assert_eq!(read.merge(&ledger()), read);
    assert!(!ledger().adds_to(&read) && read.adds_to(&ledger()));
}

#[test]
fn what_a_clock_that_stands_anywhere_has_stamped_can_be_read_again() {
    for (now, written) in [
        (Timestamp::MIN, "1970-01-01T00:00:00Z"),
        (Timestamp::MAX, "2199-12-31T23:59:59Z"),
    ] {
        let mut ledger = Ledger::default();
        ledger.take_over(&keys()[0], now);
        let read = Ledger::decode(&ledger.encode(ISSUER), ISSUER).unwrap();
        let entry = read.entry(keys()[0].id()).unwrap();
        assert_eq!(entry.first_seen, written.parse().unwrap());
        assert_eq!(Ledger::decode(&read.encode(ISSUER), ISSUER).unwrap(), read);
    }
}
