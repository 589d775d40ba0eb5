//! What is read of key files, compared with what the API server's own code reads of them.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde::Deserialize;

use super::{Vector, ec, jwks_of, parse, reasons, rsa, vectors};
use crate::key::{MAX_QUARANTINED, PemFault, PublicKey, Reason, parse_file};

#[derive(Deserialize)]
struct Fixture {
    keys: Vec<serde_json::Value>,
    cases: Vec<Case>,
}

/// A key file; keys by their `kid`.
#[derive(Deserialize)]
struct Case {
    name: String,
    text: Option<String>,
    base64: Option<String>,
    api_server: Vec<String>,
    published: Option<Vec<String>>,
    #[serde(default)]
    held: Vec<String>,
    refused: Option<String>,
}

impl Case {
    fn octets(&self) -> Vec<u8> {
        match (&self.text, &self.base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(base64)) => BASE64_STANDARD.decode(base64).unwrap(),
            (None, None) => panic!("{}: neither text nor base64", self.name),
        }
    }
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../../../../tests/vectors/key-files.json")).unwrap()
}

fn case(name: &str) -> Vec<u8> {
    let case = fixture().cases.into_iter().find(|case| case.name == name);
    case.unwrap().octets()
}

#[test]
fn key_files_are_read_as_the_api_server_reads_them() {
    let fixture = fixture();
    let jwks: HashMap<_, _> = fixture
        .keys
        .iter()
        .map(|jwk| (jwk["kid"].as_str().unwrap(), jwk.to_string()))
        .collect();
    for case in &fixture.cases {
        let name = &case.name;
        let (keys, held) = match parse_file(&case.octets()) {
            Ok(parsed) => {
                let held = parsed
                    .quarantined
                    .iter()
                    .map(|held| format!("{}: {}", held.entry, held.reason));
                (parsed.keys.clone(), held.collect())
            }
            Err(error) => {
                assert_eq!(Some(error.to_string()), case.refused, "{name}");
                (vec![], vec![])
            }
        };
        assert_eq!(held, case.held, "{name}");
        let published = case.published.as_ref().unwrap_or(&case.api_server);
        let kids: Vec<_> = keys.iter().map(PublicKey::kid).collect();
        assert_eq!(&kids, published, "{name}");
        for key in keys {
            assert_eq!(key.jwk(), jwks[key.kid()], "{name}");
        }
        let lacking = case
            .api_server
            .iter()
            .filter(|kid| !published.contains(kid))
            .count();
        assert!(
            lacking <= held.len(),
            "{name}: a key of the API server is missing without a reason"
        );
    }
}

#[test]
fn a_private_key_is_reduced_to_its_public_half() {
    let public = |name: &str| parse(case(name)).keys.swap_remove(0);
    let rsa = public("base-rsa2048.crt");
    for form in ["base-rsa2048.pem", "base-rsa2048.trad", "p1-nocrt", "p8-rsa"] {
        assert_eq!(public(form), rsa, "{form}");
    }
    let ec = public("base-ec-prime256v1.crt");
    for form in [
        "base-ec-prime256v1.sec1",
        "base-ec-prime256v1.nopub",
        "base-ec-prime256v1.p8",
        "sec1-wrongpub",
    ] {
        assert_eq!(public(form), ec, "{form}");
    }
}

#[test]
fn a_pem_file_with_a_byte_order_mark_is_read() {
    let parsed = parse(format!("\u{feff}{}", rsa().pem));
    assert_eq!(jwks_of(&parsed), [rsa().jwk]);
}

#[test]
fn blocks_are_counted_and_told_by_their_line() {
    let broken = "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n";
    let parsed = parse(format!("# keys\n{broken}{}\r\n\n{broken}", rsa().pem));
    let told: Vec<_> = parsed
        .quarantined
        .iter()
        .map(|held| held.entry.as_str())
        .collect();
    assert_eq!(told, ["block 1 (line 2)", "block 3 (line 16)"]);
    assert_eq!(reasons(&parsed), [&Reason::Pem(PemFault::Base64); 2]);
}

#[test]
fn lines_that_were_meant_as_begin_or_end_are_told_beside_good_keys() {
    let (good, other) = (rsa(), ec());
    let begin = "-----BEGIN PUBLIC KEY-----";
    let lines = other.pem.trim_end().lines().count();
    for line in [
        "\u{2014}BEGIN PUBLIC KEY\u{2014}",
        "\u{2013}\u{2013}BEGIN PUBLIC KEY\u{2013}\u{2013}",
        "\u{2212}\u{2212}\u{2212}\u{2212}\u{2212}BEGIN PUBLIC KEY\u{2212}\u{2212}\u{2212}\u{2212}\u{2212}",
        "----BEGIN PUBLIC KEY----",
        "------BEGIN PUBLIC KEY------",
        "---- BEGIN PUBLIC KEY ----",
        "-----begin public key-----",
        "-----BEGINPUBLIC KEY-----",
        "BEGIN PUBLIC KEY",
        "  ----BEGIN PUBLIC KEY----",
        "  -----BEGIN PUBLIC KEY-----",
        "\t\u{2014}BEGIN PUBLIC KEY\u{2014}",
        "\u{feff}-----BEGIN PUBLIC KEY-----",
    ] {
        // Both of its lines, its first alone, its last alone.
        let end = line.replace("BEGIN", "END").replace("begin", "end");
        let last = "-----END PUBLIC KEY-----";
        for (is_first, is_last) in [(true, true), (true, false), (false, true)] {
            let mut bad = other.pem.replace('\r', "");
            if is_first {
                bad = bad.replace(begin, line);
            }
            if is_last {
                bad = bad.replace(last, &end);
            }
            // (One END line with two BEGIN lines before it is that of the nearest.)
            for (text, from) in [
                (format!("{}{bad}", good.pem), good.pem.lines().count()),
                (
                    format!("{}# a comment\n{bad}", good.pem),
                    good.pem.lines().count() + 1,
                ),
            ] {
                let parsed = parse(&text);
                assert_eq!(jwks_of(&parsed), [&*good.jwk], "{text}");
                let told: Vec<_> = parsed.quarantined.iter().map(|held| held.entry.clone()).collect();
                // A block that is indented as a whole is told once.
                let is_whole = is_first && line == "  -----BEGIN PUBLIC KEY-----";
                for (is_bad, number) in [(is_first, from + 1), (is_last && !is_whole, from + lines)] {
                    let is_told = told.iter().any(|told| {
                        told.ends_with(&format!("line {number}"))
                            || told.ends_with(&format!("(line {number})"))
                    });
                    assert!(!is_bad || is_told, "{number} is not in {told:?}: {text}");
                }
                assert!(told.len() <= 2, "{told:?}: {text}");
            }
        }
    }
}

#[test]
fn a_key_that_lost_its_begin_and_end_is_told_beside_good_ones_and_other_base64_is_not() {
    let good = rsa();
    for other in vectors().iter().take(4) {
        let bare: Vec<_> = other.pem.lines().filter(|line| !line.starts_with('-')).collect();
        for bare in [bare.join("\n"), bare.concat()] {
            let texts = [
                format!("{}{bare}\n", good.pem),
                format!("{bare}\n\n{}", good.pem),
                format!("{}{bare}", good.pem),
            ];
            for text in texts {
                let parsed = parse(&text);
                assert_eq!(jwks_of(&parsed), [&*good.jwk], "{text}");
                assert_eq!(reasons(&parsed), [&Reason::Pem(PemFault::Bare)], "{text}");
            }
        }
    }
    for prose in [
        "see -----BEGIN PUBLIC KEY----- above",
        "# -----BEGIN PUBLIC KEY-----",
        "the end of the file; begin with the first",
        "END",
        "Bag Attributes\n    friendlyName: x",
        "signature:\nQUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3ODk=",
        "----------------------------------------",
    ] {
        let parsed = parse(format!("{prose}\n{}{prose}\n", good.pem));
        assert_eq!(
            (jwks_of(&parsed), &*parsed.quarantined),
            (vec![&*good.jwk], &[][..]),
            "{prose}"
        );
    }
}

#[test]
fn a_file_of_nothing_but_lines_that_were_meant_as_pem_is_told_with_them() {
    let text = "\u{2014}BEGIN PUBLIC KEY\u{2014}\nAAAA\n\u{2014}END PUBLIC KEY\u{2014}\n";
    let parsed = parse(text);
    assert_eq!(reasons(&parsed), [&Reason::Pem(PemFault::Marker); 2]);
    assert_eq!(parsed.quarantined[1].entry, "line 3");
}

#[test]
fn a_key_is_found_behind_thousands_of_blocks_that_are_none_and_these_are_counted() {
    let block = "-----BEGIN X-----\n-----END X-----\n";
    assert_eq!(
        parse(block.repeat(MAX_QUARANTINED)).quarantined.len(),
        MAX_QUARANTINED
    );
    let parsed = parse(format!("{}{}", block.repeat(5000), rsa().pem));
    assert_eq!(
        (parsed.keys.len(), parsed.quarantined.len()),
        (1, MAX_QUARANTINED + 1)
    );
    assert_eq!(parsed.quarantined.last().unwrap().entries(), 4800);
}

#[test]
fn a_key_is_read_from_its_spki() {
    for Vector { pem, jwk } in vectors() {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let mut der = BASE64_STANDARD.decode(body).unwrap();
        assert_eq!(PublicKey::from_spki_der(&der).unwrap().jwk(), jwk);
        der.push(0);
        assert!(PublicKey::from_spki_der(&der).is_err());
    }
}

#[test]
fn a_key_is_described_by_type_and_size() {
    let described = |vector: Vector| parse(vector.pem).keys[0].describe();
    assert_eq!(described(rsa()), "RSA 2048");
    assert_eq!(described(ec()), "EC P-256");
}

/// A file that holds a private key, and where its private numbers begin in the base64 of its body.
fn private() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let files = [
        ("base-rsa2048.trad", 366),
        ("base-rsa2048.pem", 402),
        ("sec1-nopub", 10),
        ("base-ec-prime256v1.p8", 48),
    ];
    prop::sample::select(files.map(|(name, at)| (case(name), at)).to_vec())
}

/// A change to a file: octets taken out at a place, others put there.
fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, Vec<u8>)>> {
    let structural = prop::sample::select(vec![
        "\n",
        "\r",
        " ",
        "-----BEGIN ",
        "-----END ",
        "-----",
        ":",
        "=",
        "-",
        "\n-----END X-----\n",
        "A",
        "\0",
        "\\n",
    ]);
    let put = prop_oneof![
        structural.prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, put), 0..6)
}

fn edited(mut file: Vec<u8>, edits: Vec<(prop::sample::Index, usize, Vec<u8>)>) -> Vec<u8> {
    for (at, taken, put) in edits {
        let at = at.index(file.len() + 1);
        file.splice(at..(at + taken).min(file.len()), put);
    }
    file
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_file(&octets);
    }

    #[test]
    fn an_edited_file_never_panics_and_never_costs_the_key_after_it(changes in edits()) {
        let file = edited(ec().pem.into_bytes(), changes);
        let parsed = parse([&file[..], b"\n", rsa().pem.as_bytes()].concat());
        prop_assert_eq!(parsed.keys.last().unwrap().jwk(), rsa().jwk);
    }

    #[test]
    fn any_der_is_a_key_or_a_reason(at: prop::sample::Index, octet: u8, name in prop::sample::select(vec![
        "base-rsa2048.crt", "base-rsa2048.trad", "base-ec-prime256v1.sec1", "base-ec-secp521r1.pub", "der-rsa-e3",
    ])) {
        let text = String::from_utf8(case(name)).unwrap();
        let block = text.split("-----BEGIN ").find(|block| block.len() > 150).unwrap();
        let body: String = block.lines().skip(1).take_while(|line| !line.starts_with('-')).collect();
        let mut der = BASE64_STANDARD.decode(body).unwrap();
        let at = at.index(der.len());
        der[at] = octet;
        let parsed = parse(format!("-----BEGIN X-----\n{}\n-----END X-----\n{}", BASE64_STANDARD.encode(der), ec().pem));
        prop_assert_eq!(parsed.keys.len() + parsed.quarantined.len(), 2);
        prop_assert_eq!(parsed.keys.last().unwrap().jwk(), ec().jwk);
    }

    #[test]
    fn nothing_of_a_private_key_is_ever_shown((file, start) in private(), changes in edits()) {
        let text = String::from_utf8(file.clone()).unwrap();
        let block = text.split("-----BEGIN ").find(|block| !block.starts_with("EC PARAM") && block.len() > 60).unwrap();
        let body: String = block.lines().skip(1).take_while(|line| !line.starts_with('-')).collect();
        let shown = match parse_file(&edited(file, changes)) {
            Ok(parsed) => {
                let reasons = parsed.quarantined.iter().map(|held| format!("{} {held:?}", held.reason));
                format!("{:?} {:?} {:?}", parsed, jwks_of(&parsed), reasons.collect::<Vec<_>>())
            }
            Err(error) => format!("{error} {error:?}"),
        };
        for window in body.as_bytes()[start..].windows(12) {
            let secret = std::str::from_utf8(window).unwrap();
            let url_safe = secret.replace('+', "-").replace('/', "_");
            prop_assert!(!shown.contains(secret) && !shown.contains(&url_safe), "{shown}");
        }
        prop_assert!(!shown.contains(&BASE64_URL_SAFE_NO_PAD.encode(b"-----BEGIN")));
    }
}
