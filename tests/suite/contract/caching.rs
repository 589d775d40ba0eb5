//! Conditional requests (RFC 9110 section 13).

use http::{Method, header};

use super::house::House;

fn etag(house: &House, coding: &str) -> String {
    let answer = house
        .get("/jwks")
        .header(header::ACCEPT_ENCODING, coding)
        .answer();
    answer.header(&header::ETAG).to_owned()
}

#[test]
fn a_client_that_has_the_document_gets_304_with_the_headers_of_the_200_less_content() {
    let house = House::ordinary();
    let ok = house.get("/jwks").answer();
    let etag = ok.header(&header::ETAG).to_owned();
    for value in [
        etag.clone(),
        format!("W/{etag}"),
        "*".to_owned(),
        format!("\"other\", {etag}"),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let not_modified = house
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
    house
        .get("/jwks")
        .header(header::IF_NONE_MATCH, "\"other\"")
        .answer()
        .assert_status(200);
    house
        .get("/jwks")
        .header(header::IF_NONE_MATCH, "\"other\"")
        .header(header::IF_NONE_MATCH, &etag)
        .answer()
        .assert_status(304);
}

#[test]
fn the_entity_tag_of_another_encoding_is_another_one() {
    let house = House::ordinary();
    let gzip = etag(&house, "gzip");
    house
        .get("/jwks")
        .header(header::IF_NONE_MATCH, &gzip)
        .answer()
        .assert_status(200);
    house
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
    let house = House::ordinary();
    let etag = etag(&house, "identity");
    for value in [etag.clone(), "*".to_owned(), format!("\"other\", {etag}")] {
        house
            .get("/jwks")
            .header(header::IF_MATCH, &value)
            .answer()
            .assert_status(200);
    }
    for value in ["\"other\"".to_owned(), format!("W/{etag}"), String::new()] {
        house
            .get("/jwks")
            .header(header::IF_MATCH, &value)
            .answer()
            .assert_error(412, "precondition_failed");
    }
    house
        .ask(Method::HEAD, "/jwks")
        .header(header::IF_MATCH, "\"other\"")
        .answer()
        .assert_status(412)
        .assert_no_body();
}

#[test]
fn if_match_is_asked_before_if_none_match() {
    let house = House::ordinary();
    let etag = etag(&house, "identity");
    let ask = |if_match: &str, if_none_match: &str| {
        let answer = house
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
    let house = House::ordinary();
    let tomorrow = "Sun, 06 Nov 2094 08:49:37 GMT";
    house
        .get("/jwks")
        .header(header::IF_MODIFIED_SINCE, tomorrow)
        .answer()
        .assert_status(200)
        .assert_no_header(header::LAST_MODIFIED);
    let long_ago = "Sun, 06 Nov 1994 08:49:37 GMT";
    house
        .get("/jwks")
        .header(header::IF_UNMODIFIED_SINCE, long_ago)
        .answer()
        .assert_status(200);
}

#[test]
fn a_range_is_ignored() {
    House::ordinary()
        .get("/jwks")
        .header(header::RANGE, "bytes=0-1")
        .answer()
        .assert_status(200)
        .assert_no_header(header::ACCEPT_RANGES)
        .assert_no_header(header::CONTENT_RANGE);
}

#[test]
fn preconditions_are_not_asked_of_what_is_refused() {
    let house = House::ordinary();
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        house
            .get("/nowhere")
            .header(name.clone(), "*")
            .answer()
            .assert_status(404);
        house
            .ask(Method::OPTIONS, "/jwks")
            .header(name, "\"other\"")
            .answer()
            .assert_status(204);
    }
}
