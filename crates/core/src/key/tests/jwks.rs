//! What is read of a JWKS, and what is held back.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ec, jwks_of, parse, reasons, rsa};
use crate::key::{
    ExponentFault, KidFault, MAX_QUARANTINED, MemberFault, ParseError, PublicKey, Reason, parse_file,
    parse_jwks,
};

fn member(jwk: &str, changes: &[(&str, Value)]) -> Value {
    let mut jwk: Value = serde_json::from_str(jwk).unwrap();
    let object = jwk.as_object_mut().unwrap();
    for (name, value) in changes {
        object.shift_remove(*name);
        if *value != json!("(removed)") {
            object.insert((*name).to_owned(), value.clone());
        }
    }
    jwk
}

fn removed() -> Value {
    json!("(removed)")
}

/// The reason of an RSA key with changed members; the EC key beside it must not be touched.
fn reason(changes: &[(&str, Value)]) -> Reason {
    reason_of(&member(&rsa().jwk, changes).to_string(), &ec().jwk)
}

fn ec_reason(changes: &[(&str, Value)]) -> Reason {
    reason_of(&member(&ec().jwk, changes).to_string(), &rsa().jwk)
}

fn reason_of(bad: &str, good: &str) -> Reason {
    let parsed = parse(format!(r#"{{"keys":[{bad},{good}]}}"#));
    assert_eq!(jwks_of(&parsed), [good], "one bad entry never costs the others");
    assert_eq!(parsed.quarantined[0].entry, "keys[0]");
    assert_eq!(
        PublicKey::from_jwk_str(bad).unwrap_err(),
        parsed.quarantined[0].reason
    );
    let [reason] = reasons(&parsed)[..] else {
        panic!("one entry held back: {parsed:?}");
    };
    reason.clone()
}

fn accepted(jwk: &Value) -> String {
    PublicKey::from_jwk_str(&jwk.to_string())
        .unwrap()
        .jwk()
        .to_owned()
}

fn of(member: &'static str, fault: MemberFault) -> Reason {
    Reason::Member { member, fault }
}

#[test]
fn what_the_api_server_writes_is_published_byte_for_byte() {
    let (rsa, ec) = (rsa().jwk, ec().jwk);
    let parsed = parse_jwks(format!(r#"{{"keys":[{rsa},{ec}]}}"#).as_bytes()).unwrap();
    assert_eq!(jwks_of(&parsed), [rsa, ec]);
    assert!(parsed.quarantined.is_empty());
}

#[test]
fn missing_use_and_alg_are_filled_in() {
    for value in [removed(), Value::Null] {
        let jwk = member(&rsa().jwk, &[("use", value.clone()), ("alg", value)]);
        assert_eq!(accepted(&jwk), rsa().jwk);
    }
}

#[test]
fn a_missing_or_empty_kid_is_derived() {
    for value in [removed(), Value::Null, json!("")] {
        assert_eq!(accepted(&member(&rsa().jwk, &[("kid", value)])), rsa().jwk);
    }
}

#[test]
fn a_kid_is_kept_as_given() {
    let jwk = accepted(&member(&ec().jwk, &[("kid", json!("cluster/a b <1>&é"))]));
    assert!(
        jwk.starts_with(r#"{"use":"sig","kty":"EC","kid":"cluster/a b \u003c1\u003e\u0026é","crv":"P-256","#)
    );
}

#[test]
fn a_kid_has_at_most_1024_bytes_and_no_control_characters() {
    accepted(&member(&ec().jwk, &[("kid", json!("é".repeat(512)))]));
    assert_eq!(
        ec_reason(&[("kid", json!("k".repeat(1025)))]),
        Reason::Kid(KidFault::TooLong { bytes: 1025 })
    );
    for control in ["a\nb", "\u{7f}", "\u{85}", "\0"] {
        assert_eq!(
            ec_reason(&[("kid", json!(control))]),
            Reason::Kid(KidFault::Control)
        );
    }
}

#[test]
fn a_kid_is_shown_without_control_characters_and_not_endless() {
    let shown = |kid: &str| {
        let bad = member(&ec().jwk, &[("kid", json!(kid)), ("use", json!("enc"))]);
        parse(json!({"keys": [bad]}).to_string()).quarantined[0]
            .kid
            .clone()
            .unwrap()
    };
    assert_eq!(shown("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
    assert_eq!(shown(&"x".repeat(2000)), format!("{}…", "x".repeat(100)));
}

#[test]
fn unknown_members_and_their_order_do_not_matter() {
    let mut jwk = json!({"x5c": ["MII", ["deep", {}]], "key_ops": ["verify"], "exp": 1.5e9, "ext": true});
    for (name, value) in member(&rsa().jwk, &[]).as_object().unwrap().iter().rev() {
        jwk[name] = value.clone();
    }
    assert_eq!(accepted(&jwk), rsa().jwk);
}

#[test]
fn leading_zero_octets_of_n_and_e_are_removed() {
    let jwk: Value = serde_json::from_str(&rsa().jwk).unwrap();
    // Four characters are three octets.
    let padded = |name: &str| json!(format!("AAAA{}", jwk[name].as_str().unwrap()));
    let changes = [("n", padded("n")), ("e", padded("e"))];
    assert_eq!(accepted(&member(&rsa().jwk, &changes)), rsa().jwk);
}

#[test]
fn names_may_be_escaped() {
    let escaped = rsa()
        .jwk
        .replace("\"kty\"", "\"\\u006bty\"")
        .replace("\"n\"", "\"\\u006e\"");
    assert_eq!(PublicKey::from_jwk_str(&escaped).unwrap().jwk(), rsa().jwk);
}

#[test]
fn private_keys_are_held_back_and_nothing_of_them_is_shown() {
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
        for value in [json!("c2VjcmV0"), json!(["c2VjcmV0"]), json!(42)] {
            let reason = reason(&[(name, value)]);
            assert_eq!(reason, Reason::Private { member: name });
            assert!(!format!("{reason} {reason:?}").contains("c2VjcmV0"));
        }
        // Left out, in the words of some serializers.
        accepted(&member(&rsa().jwk, &[(name, Value::Null)]));
    }
    let escaped = rsa().jwk.replace("\"n\"", "\"\\u0064\"");
    assert_eq!(
        PublicKey::from_jwk_str(&escaped),
        Err(Reason::Private { member: "d" })
    );
}

#[test]
fn other_types_of_keys_are_held_back() {
    let told = |jwk: Value| reason_of(&jwk.to_string(), &rsa().jwk);
    assert_eq!(told(json!({"kty": "oct", "k": "c2VjcmV0"})), Reason::Symmetric);
    let okp =
        told(json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}));
    assert_eq!(
        okp.to_string(),
        "a key of type OKP (Ed25519): only RSA and EC keys on P-256, P-384 and P-521 can be published"
    );
    let akp = told(json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}));
    assert!(akp.to_string().starts_with("a key of type AKP (ML-DSA-44): "));
    assert_eq!(
        told(json!({"kty": "AKP", "priv": "AAAA"})),
        Reason::Private { member: "priv" }
    );
    let long = told(json!({"kty": "c2VjcmV0c2VjcmV0c2VjcmV0"})).to_string();
    assert!(
        long.starts_with("a key of type of an unknown name") && !long.contains("c2Vj"),
        "{long}"
    );
    assert_eq!(told(json!({})), Reason::MissingMember { member: "kty" });
    assert_eq!(
        told(json!({"kty": 1})),
        of("kty", MemberFault::NotAString { found: "a number" })
    );
    assert!(
        matches!(ec_reason(&[("crv", json!("secp256k1"))]), Reason::Curve { curve } if curve == "secp256k1")
    );
    assert!(matches!(
        ec_reason(&[("crv", json!("P-224"))]),
        Reason::Curve { .. }
    ));
    assert_eq!(
        ec_reason(&[("crv", removed())]),
        Reason::MissingMember { member: "crv" }
    );
}

#[test]
fn weak_and_broken_rsa_is_held_back() {
    assert_eq!(
        reason(&[("n", json!("y8TDPZFKLyLzEr8y0f7YeNiwnnjV0bXuuNWBXIp8"))]).to_string(),
        "RSA of 240 bits: a shortened sample? at least 2048 are needed"
    );
    assert_eq!(
        reason(&[("e", json!("AQAA"))]),
        Reason::RsaExponent(ExponentFault::Even)
    );
    assert_eq!(reason(&[("n", json!(""))]), Reason::RsaTooShort { bits: 0 });
    assert_eq!(reason(&[("n", removed())]), Reason::MissingMember { member: "n" });
    assert_eq!(
        reason(&[("e", json!(65537))]),
        of("e", MemberFault::NotAString { found: "a number" })
    );
}

#[test]
fn only_unpadded_base64url_is_read() {
    assert_eq!(reason(&[("e", json!("AQAB===="))]), of("e", MemberFault::Padding));
    assert_eq!(reason(&[("e", json!("AQ=="))]), of("e", MemberFault::Padding));
    assert_eq!(reason(&[("n", json!("ab+/"))]), of("n", MemberFault::PlainBase64));
    assert_eq!(
        reason(&[("n", json!("ab c"))]),
        of("n", MemberFault::NotBase64Url)
    );
    assert_eq!(
        reason(&[("n", json!("AQABA"))]),
        of("n", MemberFault::NotBase64Url)
    );
    // Unused bits that are not zero: one number in several spellings.
    assert_eq!(reason(&[("e", json!("Bf"))]), of("e", MemberFault::NotBase64Url));
}

#[test]
fn coordinates_have_the_width_of_their_curve() {
    let jwk: Value = serde_json::from_str(&ec().jwk).unwrap();
    let wide = json!(format!("AAAA{}", jwk["x"].as_str().unwrap()));
    let fault = MemberFault::Width {
        found: 35,
        expected: 32,
    };
    assert_eq!(ec_reason(&[("x", wide)]), of("x", fault));
    let fault = MemberFault::Width {
        found: 32,
        expected: 48,
    };
    assert_eq!(ec_reason(&[("crv", json!("P-384"))]), of("x", fault));
}

#[test]
fn a_point_off_its_curve_is_held_back() {
    let jwk: Value = serde_json::from_str(&ec().jwk).unwrap();
    let swapped = [("x", jwk["y"].clone()), ("y", jwk["x"].clone())];
    assert_eq!(ec_reason(&swapped), Reason::OffCurve { curve: "P-256" });
}

#[test]
fn another_alg_or_use_is_held_back() {
    assert_eq!(
        reason(&[("alg", json!("PS256"))]).to_string(),
        "alg \"PS256\", where keys of this kind are published as RS256"
    );
    assert_eq!(reason(&[("alg", json!("RS512"))]).label(), "algorithm");
    assert_eq!(ec_reason(&[("alg", json!("ES384"))]).label(), "algorithm");
    assert_eq!(
        reason(&[("use", json!("enc"))]).to_string(),
        "use \"enc\": only signature keys (use \"sig\") are published"
    );
    assert_eq!(
        reason(&[("use", json!(["sig"]))]),
        of("use", MemberFault::NotAString { found: "an array" })
    );
}

#[test]
fn a_member_given_twice_is_held_back() {
    for (twice, name) in [
        (r#""kid":"a","kid":"b""#, "kid"),
        (r#""kid":"a","\u006bid":"a""#, "kid"),
        (r#""kid":null,"kid":"b""#, "kid"),
        (r#""n":"AA""#, "n"),
        (r#""any":1,"any":1"#, "any"),
    ] {
        let bad = rsa()
            .jwk
            .replace(r#""kid":"rTIyDPbFltiEsFOBulc6uo3dV0m03o9KI6efmondrrI""#, twice);
        let member = name.to_owned();
        assert_eq!(reason_of(&bad, &ec().jwk), Reason::DuplicateMember { member });
    }
}

#[test]
fn text_that_is_no_unicode_costs_only_its_entry() {
    let bad = ec().jwk.replace(r#""kid":"Ubl"#, r#""kid":"\ud800"#);
    assert_eq!(reason_of(&bad, &rsa().jwk), of("kid", MemberFault::NotUnicode));
    let (before, after) = bad.split_once("\\ud800").unwrap();
    let octets = [
        b"{\"keys\":[",
        before.as_bytes(),
        b"\xff",
        after.as_bytes(),
        b",",
        rsa().jwk.as_bytes(),
        b"]}",
    ]
    .concat();
    let parsed = parse(octets);
    assert_eq!(jwks_of(&parsed), [rsa().jwk]);
    assert_eq!(reasons(&parsed), [&of("kid", MemberFault::NotUnicode)]);
    // In a member that is not read it harms nobody.
    let comment = member(&rsa().jwk, &[])
        .to_string()
        .replacen('{', r#"{"comment":"\ud800","\ud800":1,"#, 1);
    assert_eq!(PublicKey::from_jwk_str(&comment).unwrap().jwk(), rsa().jwk);
}

#[test]
fn an_entry_that_is_no_object_is_held_back() {
    let good = rsa().jwk;
    let parsed = parse(format!(r#"{{"keys":[1,null,"{{}}",[[]],true,{good}]}}"#));
    assert_eq!(jwks_of(&parsed), [good]);
    let told: Vec<_> = parsed
        .quarantined
        .iter()
        .map(|q| format!("{}: {}", q.entry, q.reason))
        .collect();
    assert_eq!(told[3], "keys[3]: an array, where a JSON object is expected");
    assert_eq!(told.len(), 5);
}

#[test]
fn a_key_whose_key_ops_do_not_allow_verify_is_held_back() {
    let told = |value: Value| reason(&[("use", removed()), ("key_ops", value)]).to_string();
    let only = |found: &str| {
        format!("key_ops {found}: only keys for verifying signatures (\"verify\") are published")
    };
    assert_eq!(
        told(json!(["encrypt", "wrapKey"])),
        only(r#"["encrypt", "wrapKey"]"#)
    );
    assert_eq!(told(json!(["sign"])), only(r#"["sign"]"#));
    assert_eq!(
        told(json!(["VERIFY", "verify "])),
        only(r#"["VERIFY", one of an unknown name]"#)
    );
    assert_eq!(told(json!([])), only("[]"));
    let many: Vec<_> = (0..50).map(|number| format!("op{number:02}")).collect();
    assert!(told(json!(many)).contains(r#""op07", …]"#));
    // With `use` as without, for every type of key.
    let reason = ec_reason(&[
        ("use", json!("sig")),
        ("key_ops", json!(["deriveKey", "deriveBits"])),
    ]);
    assert_eq!(reason.label(), "key_ops");
}

#[test]
fn key_ops_with_verify_among_others_are_published_where_use_does_not_contradict() {
    let wide = json!(["sign", "verify", "wrapKey", "unwrapKey", "encrypt", "decrypt"]);
    for (r#use, operations) in [
        (removed(), json!(["verify"])),
        (removed(), wide.clone()),
        (removed(), json!(["verify", "of-tomorrow"])),
        (json!("sig"), json!(["verify"])),
        (json!("sig"), json!(["sign", "verify"])),
        (json!(null), json!(null)),
    ] {
        let jwk = member(
            &rsa().jwk,
            &[("use", r#use), ("key_ops", operations), ("ext", json!(true))],
        );
        assert_eq!(accepted(&jwk), rsa().jwk, "it is written as always");
    }
    let escaped = r#""key_ops":["verif\u0079"]"#;
    let jwk = rsa().jwk.replacen(r#""use":"sig""#, escaped, 1);
    assert_eq!(PublicKey::from_jwk_str(&jwk).unwrap().jwk(), rsa().jwk);
    let reason = reason(&[("use", json!("sig")), ("key_ops", wide)]).to_string();
    assert!(reason.contains("contradict each other"), "{reason}");
}

#[test]
fn key_ops_of_another_shape_are_held_back() {
    for (value, fault) in [
        (json!("verify"), MemberFault::NotAnArray { found: "a string" }),
        (
            json!({"verify": true}),
            MemberFault::NotAnArray { found: "an object" },
        ),
        (
            json!(["verify", 1]),
            MemberFault::NotOnlyStrings { found: "a number" },
        ),
        (
            json!([["verify"]]),
            MemberFault::NotOnlyStrings { found: "an array" },
        ),
        (
            json!(["verify", null]),
            MemberFault::NotOnlyStrings { found: "null" },
        ),
        (json!(["verify", "verify"]), MemberFault::ValueTwice),
    ] {
        assert_eq!(reason(&[("key_ops", value)]), of("key_ops", fault));
    }
    let twice = rsa()
        .jwk
        .replacen('{', r#"{"key_ops":["verify"],"key_ops":["encrypt"],"#, 1);
    assert_eq!(reason_of(&twice, &ec().jwk).label(), "duplicate_member");
}

#[test]
fn the_same_key_twice_is_one_key() {
    let good = rsa().jwk;
    let unnamed = member(&good, &[("kid", removed())]);
    let renamed = accepted(&member(&good, &[("kid", json!("other"))]));
    let parsed = parse(format!(r#"{{"keys":[{good},{unnamed},{renamed},{good}]}}"#));
    assert_eq!(jwks_of(&parsed), [good, renamed]);
    assert!(parsed.quarantined.is_empty());
}

#[test]
fn one_kid_with_two_materials_is_left_to_the_ring() {
    let other = accepted(&member(
        &ec().jwk,
        &[("kid", json!("rTIyDPbFltiEsFOBulc6uo3dV0m03o9KI6efmondrrI"))],
    ));
    let parsed = parse(format!(r#"{{"keys":[{},{other}]}}"#, rsa().jwk));
    assert_eq!(jwks_of(&parsed), [rsa().jwk, other]);
}

#[test]
fn an_empty_jwks_holds_no_key() {
    assert_eq!(parse(r#"{"keys":[]}"#), crate::key::Parsed::default());
}

#[test]
fn a_byte_order_mark_and_white_space_are_ignored() {
    let document = format!(
        "\u{feff}\r\n\t {{ \"more\": {{}},\n\"keys\" : [ {} ] }}\n\n",
        rsa().jwk
    );
    assert_eq!(jwks_of(&parse(&document)), [rsa().jwk]);
    assert_eq!(parse_jwks(document.as_bytes()), parse_file(document.as_bytes()));
}

#[test]
fn json_that_is_no_jwks_is_told_what_it_is() {
    let told = |document: &str| parse_file(document.as_bytes()).unwrap_err().to_string();
    let not = |found: &str| format!("it is not a JWKS (an object with an array `keys`): it is {found}");
    assert_eq!(
        told(&rsa().jwk),
        not("a single JWK: convert it with jq '{keys: [.]}' FILE")
    );
    assert_eq!(
        told(r#"{"issuer":"https://a","jwks_uri":"https://a/jwks"}"#),
        not("a discovery document: its jwks_uri says where the JWKS is")
    );
    assert_eq!(
        told(r#"{"kind":"Status","apiVersion":"v1"}"#),
        not("a Kubernetes object")
    );
    assert_eq!(told("{}"), not("an object without `keys`"));
    assert_eq!(told("[]"), not("another kind of JSON value"));
    assert_eq!(told(r#"{"keys":{}}"#), not("one whose `keys` is no array"));
    assert_eq!(
        told(r#"{"keys":[],"keys":[]}"#),
        not("one with two members `keys`")
    );
    assert_eq!(
        parse_jwks(rsa().pem.as_bytes()),
        Err(ParseError::NotAJwks { found: "PEM text" })
    );
    assert_eq!(parse_jwks(b"<html>"), Err(ParseError::Html));
    assert_eq!(parse_jwks(b" "), Err(ParseError::Empty));
    assert_eq!(
        parse_jwks(b"not found").unwrap_err().to_string(),
        "it is not JSON: a value is expected at line 1, column 1"
    );
}

#[test]
fn a_truncated_jwks_is_told_where_it_ends() {
    let document = format!("{{\"keys\":[\n{}]}}", rsa().jwk);
    for end in 1..document.len() {
        assert!(parse_file(&document.as_bytes()[..end]).is_err(), "{end}");
    }
    assert_eq!(
        parse_file(&document.as_bytes()[..45]).unwrap_err().to_string(),
        "it is not JSON: it ends within a string at line 2, column 36"
    );
    assert!(parse_file(format!("{document} x").as_bytes()).is_err());
}

#[test]
fn nesting_and_entries_are_bounded() {
    let deep = format!(r#"{{"keys":[{{"x5c":{}"#, "[".repeat(500_000));
    assert_eq!(parse_file(deep.as_bytes()), Err(ParseError::TooDeep));
    let entries = |count: usize| format!(r#"{{"keys":[{}{{}}]}}"#, "{},".repeat(count - 1));
    for (count, told, more) in [(200, 200, 0), (201, 201, 1), (300_000, 201, 299_800)] {
        let held = parse(entries(count)).quarantined;
        assert_eq!(held.len(), told, "{count}");
        let last = held.last().unwrap();
        assert_eq!(last.reason.label() == "too_many", more > 0, "{count}");
        assert!(more == 0 || last.entries() == more, "{count}: {last:?}");
    }
}

#[test]
fn a_key_is_found_wherever_it_stands_among_thousands_of_other_entries() {
    let key = rsa();
    let document = format!(r#"{{"keys":[{}{}]}}"#, "{},".repeat(100_000), key.jwk);
    let parsed = parse(document);
    assert_eq!(
        (parsed.keys.len(), parsed.quarantined.len()),
        (1, MAX_QUARANTINED + 1)
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(kid in "\\PC{1,40}", of_ec: bool) {
        let source = if of_ec { ec().jwk } else { rsa().jwk };
        let key = PublicKey::from_jwk_str(&member(&source, &[("kid", json!(kid))]).to_string()).unwrap();
        prop_assert_eq!(key.kid(), &kid);
        prop_assert_eq!(&PublicKey::from_jwk_str(key.jwk()).unwrap(), &key);
        let value: Value = serde_json::from_str(key.jwk()).unwrap();
        prop_assert_eq!(value["kid"].as_str().unwrap(), kid);
    }

    #[test]
    fn arbitrary_json_never_panics_and_never_costs_a_good_key(entry in "[\\[\\]{}\",:a-z0-9]{0,40}") {
        let good = rsa().jwk;
        let document = format!(r#"{{"keys":[{good},{entry}]}}"#);
        if let Ok(parsed) = parse_file(document.as_bytes()) {
            prop_assert_eq!(jwks_of(&parsed)[0], good);
        }
    }

    #[test]
    fn nothing_of_a_private_member_is_ever_shown(
        name in prop::sample::select(vec!["d", "p", "q", "dp", "dq", "qi", "k", "priv"]),
        kty in prop::sample::select(vec!["RSA", "EC", "OKP", "oct", "AKP", "?"]),
        secret in "[A-Za-z0-9_-]{22,200}",
        cut in 0_usize..400,
    ) {
        let jwk = member(&rsa().jwk, &[("kty", json!(kty)), (name, json!(secret))]);
        let document = json!({"keys": [jwk]}).to_string();
        let cut = cut.min(document.len());
        for document in [&document[..], &document[..cut]] {
            let shown = format!("{:?}", parse_file(document.as_bytes()));
            prop_assert!(!shown.contains(&secret[..22]), "{shown}");
            prop_assert!(!parse_file(document.as_bytes()).is_ok_and(|parsed| !parsed.keys.is_empty()));
        }
    }
}
