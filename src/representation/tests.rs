//! The wire contract as far as headers and encodings go.

use std::fmt::Write as _;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::publication::{MediaType, build, fake};
use crate::ring::KeySet;

const ISSUER: &str = "https://oidc.example.com/prod";

fn built(key_set: &KeySet) -> Served {
    build(&fake::profile(ISSUER), key_set).unwrap().into()
}

fn documents(served: &Served) -> [&Document; 2] {
    [&served.discovery, &served.jwks]
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
fn documents_with_equal_settings_share_one_template_of_headers() {
    let cache = fake::profile(ISSUER).jwks_cache;
    let document = |media_type| Document::new(&publication::Document::new(b"{}".to_vec(), media_type, cache));
    let (first, second) = (document(MediaType::JSON), document(MediaType::JSON));
    let third = document(MediaType::parse("c/d").unwrap());
    assert!(Arc::ptr_eq(&first.headers, &second.headers));
    assert!(!Arc::ptr_eq(&first.headers, &third.headers));
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
    let cache = fake::profile(ISSUER).jwks_cache;
    let document = Document::new(&publication::Document::new(
        b"{}".to_vec(),
        MediaType::JSON,
        cache,
    ));
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
