//! The wire contract as far as documents and their headers go.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::key;

const ISSUER: &str = "https://oidc.example.com/prod";

fn built(key_set: &KeySet) -> Publication {
    build(&fake::profile(ISSUER), key_set).unwrap()
}

fn documents(publication: &Publication) -> [&Document; 2] {
    [&publication.discovery, &publication.jwks]
}

fn representations(document: &Document) -> impl Iterator<Item = Representation> {
    [
        Some(document.identity.clone()),
        document.gzip.clone(),
        document.br(),
    ]
    .into_iter()
    .flatten()
}

fn text(headers: &HeaderMap) -> String {
    headers.iter().fold(String::new(), |text, (name, value)| {
        text + &format!("{name}: {}\n", value.to_str().unwrap())
    })
}

#[test]
fn an_empty_key_set_is_never_published() {
    assert_eq!(build(&fake::profile(ISSUER), &KeySet::default()), None);
}

#[test]
fn both_documents_with_their_headers() {
    let publication = built(&fake::mixed());
    let mut whole = String::new();
    for (name, document) in [("discovery", &publication.discovery), ("jwks", &publication.jwks)] {
        let identity = &document.identity;
        let body = str::from_utf8(&identity.body).unwrap();
        let ok = text(&document.ok(identity, true));
        let not_modified = text(&document.not_modified(identity, true));
        writeln!(whole, "{name}: 200\n{ok}\n{body}\n\n{name}: 304\n{not_modified}").unwrap();
    }
    insta::assert_snapshot!(whole);
}

#[test]
fn keys_stand_in_the_order_of_the_key_set_each_as_its_room_wrote_it() {
    let keys = [
        key::fake::key("a", 1),
        key::fake::key_with("b", 2, Algorithm::Es256),
    ];
    let expected = format!("{{\"keys\":[{},{}]}}", keys[0].jwk(), keys[1].jwk());
    assert_eq!(built(&fake::listed(keys)).jwks.identity.body, expected);
}

#[test]
fn every_encoding_says_the_same_and_is_smaller() {
    let publication = built(&fake::mixed());
    for document in documents(&publication) {
        let plain = &document.identity.body;
        let (gzip, br) = (document.gzip.as_ref().unwrap(), &document.br().unwrap());
        let (mut ungzipped, mut unbrotlied) = (Vec::new(), Vec::new());
        flate2::read::GzDecoder::new(&*gzip.body)
            .read_to_end(&mut ungzipped)
            .unwrap();
        brotli::BrotliDecompress(&mut &*br.body, &mut unbrotlied).unwrap();
        assert_eq!((&ungzipped, &unbrotlied), (&plain.to_vec(), &plain.to_vec()));
        assert!(gzip.body.len() < plain.len() && br.body.len() < plain.len());
        assert_eq!(document.ok(gzip, false)[header::CONTENT_ENCODING], "gzip");
        assert_eq!(document.ok(br, false)[header::CONTENT_ENCODING], "br");
    }
}

#[test]
fn an_encoding_that_is_not_smaller_is_left_out() {
    let value = HeaderValue::from_static("x");
    let document = Document::new(b"{}".to_vec(), &value, &value);
    assert_eq!((document.br(), document.gzip), (None, None));
}

#[test]
fn each_encoding_has_an_etag_of_the_octets_that_are_sent() {
    let publication = built(&fake::mixed());
    let mut seen = Vec::new();
    for document in documents(&publication) {
        for representation in representations(document) {
            let expected = format!(
                "\"{}\"",
                URL_SAFE_NO_PAD.encode(Sha256::digest(&representation.body))
            );
            assert_eq!(representation.etag, expected);
            assert_eq!(document.ok(&representation, false)[header::ETAG], expected);
            seen.push(expected);
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 6);
}

#[test]
fn a_304_has_the_headers_of_the_200_less_those_of_the_content() {
    let publication = built(&fake::mixed());
    for document in documents(&publication) {
        for representation in representations(document) {
            for hsts in [false, true] {
                let mut expected = document.ok(&representation, hsts);
                for name in [
                    header::CONTENT_TYPE,
                    header::CONTENT_LENGTH,
                    header::CONTENT_ENCODING,
                ] {
                    expected.remove(name);
                }
                assert_eq!(document.not_modified(&representation, hsts), expected);
            }
        }
    }
}

#[test]
fn hsts_is_there_only_where_it_is_asked_for() {
    let jwks = built(&fake::rsa_only()).jwks;
    for hsts in [false, true] {
        for headers in [
            jwks.ok(&jwks.identity, hsts),
            jwks.not_modified(&jwks.identity, hsts),
        ] {
            assert_eq!(headers.contains_key(header::STRICT_TRANSPORT_SECURITY), hsts);
        }
    }
}

#[test]
fn gzip_is_what_a_gzip_reader_expects() {
    let document = built(&fake::mixed()).jwks;
    let gzip = document.gzip.unwrap().body;
    let header = flate2::read::GzDecoder::new(&*gzip);
    let header = header.header().unwrap();
    assert_eq!(
        (header.mtime(), header.filename(), header.comment()),
        (0, None, None)
    );
    let mut body = Vec::new();
    flate2::read::MultiGzDecoder::new(&*gzip)
        .read_to_end(&mut body)
        .unwrap();
    assert_eq!(body, document.identity.body);
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
        let of = |document: &Document| document.ok(&document.identity, false)[header::CACHE_CONTROL].clone();
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
    assert_eq!(publication.jwks.identity.etag, built(&revoked).jwks.identity.etag);
}

#[test]
fn a_shorter_max_age_stays_after_a_revocation() {
    let short = CachePolicy {
        max_age: SignedDuration::from_secs(10),
        ..fake::profile(ISSUER).jwks_cache
    };
    assert_eq!(short.after_revocation().header(), "public, max-age=10");
}
