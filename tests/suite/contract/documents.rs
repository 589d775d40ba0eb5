//! What a 200 is.

use http::{Method, header};

use super::vocabulary::Issuers;

#[test]
fn the_discovery_document_has_exactly_these_members_in_this_order() {
    let answer = Issuers::ordinary()
        .get("/.well-known/openid-configuration")
        .answer()
        .assert_status(200);
    assert_eq!(
        String::from_utf8(answer.body).unwrap(),
        concat!(
            r#"{"issuer":"https://oidc.example.com","jwks_uri":"https://oidc.example.com/jwks","#,
            r#""response_types_supported":["id_token"],"subject_types_supported":["public"],"#,
            r#""id_token_signing_alg_values_supported":["ES256","RS256"]}"#
        )
    );
}

#[test]
fn the_jwks_is_what_was_published_octet_for_octet() {
    let issuers = Issuers::ordinary();
    let answer = issuers.get("/jwks").answer().assert_status(200);
    assert_eq!(answer.body, issuers.publication().jwks.identity.body);
    assert!(
        answer
            .body
            .starts_with(br#"{"keys":[{"use":"sig","kty":"RSA","kid":""#)
    );
}

#[test]
fn a_200_has_these_headers_and_no_others() {
    let issuers = Issuers::ordinary();
    for (path, media_type, cache) in [
        (
            "/.well-known/openid-configuration",
            "application/json",
            "public, max-age=3600, stale-if-error=86400",
        ),
        (
            "/jwks",
            "application/jwk-set+json",
            "public, max-age=300, stale-while-revalidate=60, stale-if-error=86400",
        ),
    ] {
        let answer = issuers.get(path).answer().assert_status(200);
        assert_eq!(
            answer.header_names(),
            [
                "access-control-allow-origin",
                "cache-control",
                "content-length",
                "content-type",
                "etag",
                "vary",
                "x-content-type-options"
            ]
        );
        let length = answer.body.len().to_string();
        answer
            .assert_header(header::CONTENT_TYPE, media_type)
            .assert_header(header::CACHE_CONTROL, cache)
            .assert_header(header::CONTENT_LENGTH, &length)
            .assert_header(header::VARY, "Accept-Encoding")
            .assert_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
            .assert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    }
}

#[test]
fn hsts_is_sent_on_tls_with_every_response() {
    let issuers = Issuers::ordinary();
    for (method, path) in [
        (Method::GET, "/jwks"),
        (Method::OPTIONS, "/jwks"),
        (Method::POST, "/jwks"),
        (Method::GET, "/nowhere"),
    ] {
        issuers
            .ask(method.clone(), path)
            .with_hsts()
            .answer()
            .assert_header(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
        issuers
            .ask(method, path)
            .answer()
            .assert_no_header(header::STRICT_TRANSPORT_SECURITY);
    }
    let etag = issuers
        .publication()
        .jwks
        .identity
        .etag
        .to_str()
        .unwrap()
        .to_owned();
    issuers
        .get("/jwks")
        .header(header::IF_NONE_MATCH, &etag)
        .with_hsts()
        .answer()
        .assert_status(304)
        .assert_header(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
}

#[test]
fn nothing_of_a_request_is_copied_into_a_body() {
    let issuers = Issuers::ordinary();
    let plain = issuers.get("/.well-known/openid-configuration").answer();
    let other = issuers
        .get("/.well-known/openid-configuration?issuer=https://evil.example")
        .host("evil.example")
        .header(header::FORWARDED, "host=evil.example;proto=http")
        .header(
            header::HeaderName::from_static("x-forwarded-host"),
            "evil.example",
        )
        .header(header::HeaderName::from_static("x-forwarded-proto"), "http")
        .header(header::ORIGIN, "https://evil.example")
        .answer()
        .assert_status(200);
    assert_eq!(other.body, plain.body);
    assert_eq!(other.headers, plain.headers);
}

#[test]
fn nothing_that_a_verifier_says_of_itself_changes_the_answer() {
    let issuers = Issuers::ordinary();
    let plain = issuers.get("/jwks").answer();
    for (name, value) in [
        (header::ACCEPT, "text/html"),
        (header::ACCEPT, "application/json;q=0, */*;q=0"),
        (header::ACCEPT_LANGUAGE, "de"),
        (header::ACCEPT_CHARSET, "utf-16"),
        (header::USER_AGENT, ""),
        (header::USER_AGENT, "curl/8"),
        (header::COOKIE, "a=b"),
        (header::AUTHORIZATION, "Bearer x"),
        (header::RANGE, "bytes=0-9"),
        (header::IF_RANGE, "\"x\""),
        (header::TE, "trailers"),
        (header::EXPECT, "100-continue"),
    ] {
        let answer = issuers
            .get("/jwks")
            .header(name.clone(), value)
            .answer()
            .assert_status(200);
        assert_eq!(answer.body, plain.body, "{name}: {value}");
        assert_eq!(answer.headers, plain.headers, "{name}: {value}");
    }
}

#[test]
fn before_the_first_publication_every_document_answers_503_and_when_to_try_again() {
    let issuers = Issuers::awaiting(&["https://oidc.example.com"]);
    for path in [
        "/jwks",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        issuers
            .get(path)
            .header(header::IF_NONE_MATCH, "*")
            .answer()
            .assert_error(503, "not_yet_available")
            .assert_header(header::RETRY_AFTER, "5");
        issuers
            .ask(Method::HEAD, path)
            .answer()
            .assert_status(503)
            .assert_no_body();
    }
    issuers.publish();
    issuers.get("/jwks").answer().assert_status(200);
}
