//! Which encoding a request gets; the grammar is tested beside its parser.

use std::io::Read;

use http::header;

use super::vocabulary::{Answer, Issuers};

fn decoded(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    match answer
        .headers
        .get(header::CONTENT_ENCODING)
        .map(|coding| coding.to_str().unwrap())
    {
        None => plain.clone_from(&answer.body),
        Some("gzip") => drop(
            flate2::read::GzDecoder::new(&*answer.body)
                .read_to_end(&mut plain)
                .unwrap(),
        ),
        Some("br") => drop(
            brotli::Decompressor::new(&*answer.body, 4096)
                .read_to_end(&mut plain)
                .unwrap(),
        ),
        Some(other) => panic!("{other}"),
    }
    plain
}

#[test]
fn an_encoding_is_sent_only_to_those_who_name_it() {
    let issuers = Issuers::ordinary();
    let jwks = issuers
        .get("/jwks")
        .answer()
        .assert_no_header(header::CONTENT_ENCODING)
        .body;
    for (line, coding) in [
        ("gzip", Some("gzip")),
        ("br", Some("br")),
        ("gzip, deflate, br", Some("br")),
        ("br;q=0.5, gzip;q=0.7", Some("gzip")),
        ("*", None),
        ("identity;q=0", None),
        ("identity;q=0, *;q=0", None),
        ("deflate", None),
        ("gzip;q=0", None),
    ] {
        let answer = issuers
            .get("/jwks")
            .header(header::ACCEPT_ENCODING, line)
            .answer()
            .assert_status(200);
        assert_eq!(
            answer
                .headers
                .get(header::CONTENT_ENCODING)
                .map(|c| c.to_str().unwrap()),
            coding,
            "{line}"
        );
        assert_eq!(decoded(&answer), jwks, "{line}");
        let length = answer.body.len().to_string();
        answer
            .assert_header(header::CONTENT_LENGTH, &length)
            .assert_header(header::VARY, "Accept-Encoding");
    }
}

#[test]
fn each_encoding_has_an_entity_tag_of_its_own() {
    let issuers = Issuers::ordinary();
    let etag = |coding: &str| {
        let answer = issuers
            .get("/jwks")
            .header(header::ACCEPT_ENCODING, coding)
            .answer();
        let etag = answer.header(&header::ETAG).to_owned();
        assert!(
            etag.starts_with('"') && etag.ends_with('"') && etag.len() == 45,
            "{etag}"
        );
        etag
    };
    let mut etags = ["identity", "gzip", "br"].map(etag);
    etags.sort();
    assert!(etags[0] != etags[1] && etags[1] != etags[2]);
}

#[test]
fn an_error_is_never_encoded() {
    Issuers::ordinary()
        .get("/nowhere")
        .header(header::ACCEPT_ENCODING, "gzip, br")
        .answer()
        .assert_error(404, "not_found")
        .assert_no_header(header::CONTENT_ENCODING);
}
