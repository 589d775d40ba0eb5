//! Conditional requests (RFC 9110 section 13).

use http::{Method, header};

use super::vocabulary::Issuers;

fn etag(issuers: &Issuers, coding: &str) -> String {
    let answer = issuers
        .get("/jwks")
        .header(header::ACCEPT_ENCODING, coding)
        .answer();
    answer.header(&header::ETAG).to_owned()
}

#[test]
fn a_client_that_has_the_document_gets_304_with_the_headers_of_the_200_less_content() {
    let issuers = Issuers::ordinary();
    let ok = issuers.get("/jwks").answer();
    let etag = ok.header(&header::ETAG).to_owned();
    for value in [
        etag.clone(),
        format!("W/{etag}"),
        "*".to_owned(),
        format!("\"other\", {etag}"),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let not_modified = issuers
                .ask(method, "/jwks")
                .header(header::IF_NONE_MATCH, &value)
                .answer()
                .assert_status(304)
                .assert_no_body();
            let mut expected = ok.headers.clone();
            expected.remove(header::CONTENT_TYPE);
            expected.remove(header::CONTENT_LENGTH);
            assert_eq!(not_modified.headers, expected, "{value}");
        }
    }
    issuers
        .get("/jwks")
        .header(header::IF_NONE_MATCH, "\"other\"")
        .answer()
        .assert_status(200);
    issuers
        .get("/jwks")
        .header(header::IF_NONE_MATCH, "\"other\"")
        .header(header::IF_NONE_MATCH, &etag)
        .answer()
        .assert_status(304);
}

#[test]
fn the_entity_tag_of_another_encoding_is_another_one() {
    let issuers = Issuers::ordinary();
    let gzip = etag(&issuers, "gzip");
    issuers
        .get("/jwks")
        .header(header::IF_NONE_MATCH, &gzip)
        .answer()
        .assert_status(200);
    issuers
        .get("/jwks")
        .header(header::IF_NONE_MATCH, &gzip)
        .header(header::ACCEPT_ENCODING, "gzip")
        .answer()
        .assert_status(304)
        .assert_header(header::ETAG, &gzip)
        .assert_no_header(header::CONTENT_ENCODING);
}

#[test]
fn if_match_is_strong_and_fails_with_412() {
    let issuers = Issuers::ordinary();
    let etag = etag(&issuers, "identity");
    for value in [etag.clone(), "*".to_owned(), format!("\"other\", {etag}")] {
        issuers
            .get("/jwks")
            .header(header::IF_MATCH, &value)
            .answer()
            .assert_status(200);
    }
    for value in ["\"other\"".to_owned(), format!("W/{etag}"), String::new()] {
        issuers
            .get("/jwks")
            .header(header::IF_MATCH, &value)
            .answer()
            .assert_error(412, "precondition_failed");
    }
    issuers
        .ask(Method::HEAD, "/jwks")
        .header(header::IF_MATCH, "\"other\"")
        .answer()
        .assert_status(412)
        .assert_no_body();
}

#[test]
fn if_match_is_asked_before_if_none_match() {
    let issuers = Issuers::ordinary();
    let etag = etag(&issuers, "identity");
    let ask = |if_match: &str, if_none_match: &str| {
        let answer = issuers
            .get("/jwks")
            .header(header::IF_MATCH, if_match)
            .header(header::IF_NONE_MATCH, if_none_match)
            .answer();
        answer.status.as_u16()
    };
    assert_eq!(ask("\"other\"", &etag), 412);
    assert_eq!(ask(&etag, &etag), 304);
    assert_eq!(ask(&etag, "\"other\""), 200);
}

#[test]
fn dates_are_ignored_since_there_is_no_last_modified() {
    let issuers = Issuers::ordinary();
    let tomorrow = "Sun, 06 Nov 2094 08:49:37 GMT";
    issuers
        .get("/jwks")
        .header(header::IF_MODIFIED_SINCE, tomorrow)
        .answer()
        .assert_status(200)
        .assert_no_header(header::LAST_MODIFIED);
    let long_ago = "Sun, 06 Nov 1994 08:49:37 GMT";
    issuers
        .get("/jwks")
        .header(header::IF_UNMODIFIED_SINCE, long_ago)
        .answer()
        .assert_status(200);
}

#[test]
fn a_range_is_ignored() {
    Issuers::ordinary()
        .get("/jwks")
        .header(header::RANGE, "bytes=0-1")
        .answer()
        .assert_status(200)
        .assert_no_header(header::ACCEPT_RANGES)
        .assert_no_header(header::CONTENT_RANGE);
}

#[test]
fn preconditions_are_not_asked_of_what_is_refused() {
    let issuers = Issuers::ordinary();
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        issuers
            .get("/nowhere")
            .header(name.clone(), "*")
            .answer()
            .assert_status(404);
        issuers
            .ask(Method::OPTIONS, "/jwks")
            .header(name, "\"other\"")
            .answer()
            .assert_status(204);
    }
}
