//! Paths, methods and hosts.

use http::{Method, Version, header};

use super::vocabulary::Issuers;

#[test]
fn an_issuer_with_a_path_is_served_below_it_and_at_both_rfc_8414_paths() {
    let issuers = Issuers::publishing(&["https://oidc.example.com/a/b"]);
    for path in [
        "/a/b/.well-known/openid-configuration",
        "/.well-known/openid-configuration/a/b",
        "/.well-known/oauth-authorization-server/a/b",
    ] {
        let answer = issuers.get(path).answer().assert_status(200);
        assert_eq!(
            answer.body,
            issuers.publication().discovery.identity.body,
            "{path}"
        );
    }
    let jwks = issuers.get("/a/b/jwks").answer().assert_status(200);
    assert_eq!(jwks.body, issuers.publication().jwks.identity.body);
    for path in ["/jwks", "/.well-known/openid-configuration", "/a/jwks", "/a/b"] {
        issuers.get(path).answer().assert_error(404, "not_found");
    }
}

#[test]
fn an_issuer_without_a_path_has_three_documents() {
    let issuers = Issuers::ordinary();
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/jwks",
    ] {
        issuers.get(path).answer().assert_status(200);
    }
}

#[test]
fn a_slash_at_the_end_of_an_issuer_stays_in_the_document_and_out_of_the_paths() {
    let issuers = Issuers::publishing(&["https://oidc.example.com/a/"]);
    let answer = issuers
        .get("/a/.well-known/openid-configuration")
        .answer()
        .assert_status(200);
    assert!(answer.body.starts_with(
        br#"{"issuer":"https://oidc.example.com/a/","jwks_uri":"https://oidc.example.com/a/jwks","#
    ));
    issuers.get("/a/jwks").answer().assert_status(200);
    issuers.get("/a//jwks").answer().assert_status(404);
}

#[test]
fn a_jwks_uri_elsewhere_is_served_here_too() {
    let issuers = Issuers::publishing_with_jwks_uri(
        "https://oidc.example.com",
        "https://cdn.example.net/keys/prod?v=1",
    );
    for path in ["/keys/prod", "/jwks"] {
        issuers.get(path).answer().assert_status(200);
    }
}

#[test]
fn a_request_path_with_a_slash_at_its_end_is_another_path() {
    let issuers = Issuers::ordinary();
    for path in ["/jwks/", "/.well-known/openid-configuration/", "/"] {
        issuers
            .get(path)
            .answer()
            .assert_error(404, "not_found")
            .assert_no_header(header::LOCATION);
    }
}

#[test]
fn a_path_in_another_spelling_is_another_path_and_never_a_redirect() {
    let issuers = Issuers::publishing(&["https://oidc.example.com/a"]);
    for path in [
        "/A/jwks",
        "/a/JWKS",
        "//a/jwks",
        "/a//jwks",
        "/a/./jwks",
        "/a/../a/jwks",
        "/a/jwks/.",
        "/a/jwks/..",
        "/./a/jwks",
        "/%61/jwks",
        "/a%2Fjwks",
        "/a%2fjwks",
        "/a/jwks%00",
        "/a/jwks%20",
        "/a/jwks;x=1",
        "/a/jwks.json",
        "/a/%2e%2e/a/jwks",
        "/a/.well-known/openid-configuration/a",
        "/a\\jwks",
        "*",
    ] {
        issuers
            .get(path)
            .answer()
            .assert_error(404, "not_found")
            .assert_no_header(header::LOCATION);
    }
}

#[test]
fn a_query_is_ignored() {
    let issuers = Issuers::ordinary();
    for path in [
        "/jwks?",
        "/jwks?kid=x",
        "/jwks?a=/../b",
        "/.well-known/openid-configuration?p=/x",
    ] {
        issuers.get(path).answer().assert_status(200);
    }
}

#[test]
fn head_is_get_without_the_body() {
    let issuers = Issuers::ordinary();
    for (path, encoding) in [
        ("/jwks", ""),
        ("/jwks", "gzip"),
        ("/.well-known/openid-configuration", "br"),
    ] {
        let get = issuers
            .get(path)
            .header(header::ACCEPT_ENCODING, encoding)
            .answer();
        let head = issuers
            .ask(Method::HEAD, path)
            .header(header::ACCEPT_ENCODING, encoding)
            .answer();
        assert_eq!(head.headers, get.headers);
        head.assert_status(200).assert_no_body();
    }
    let get = issuers.get("/nowhere").answer();
    let head = issuers.ask(Method::HEAD, "/nowhere").answer().assert_status(404);
    assert_eq!(head.headers, get.headers);
    head.assert_no_body();
}

#[test]
fn options_answers_204_with_what_is_allowed_and_to_whom() {
    let issuers = Issuers::awaiting(&["https://oidc.example.com"]);
    issuers
        .ask(Method::OPTIONS, "/jwks")
        .header(header::ORIGIN, "https://app.example")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "if-none-match")
        .answer()
        .assert_status(204)
        .assert_no_body()
        .assert_no_header(header::CONTENT_LENGTH)
        .assert_header(header::ALLOW, "GET, HEAD, OPTIONS")
        .assert_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .assert_header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS")
        .assert_header(header::ACCESS_CONTROL_ALLOW_HEADERS, "*")
        .assert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
}

#[test]
fn any_other_method_is_refused_with_what_is_allowed() {
    let awaiting = Issuers::awaiting(&["https://oidc.example.com"]);
    for issuers in [Issuers::ordinary(), awaiting] {
        for method in [
            "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "GETS",
        ] {
            issuers
                .ask(method.parse().unwrap(), "/jwks")
                .header(header::IF_MATCH, "\"other\"")
                .answer()
                .assert_error(405, "method_not_allowed")
                .assert_header(header::ALLOW, "GET, HEAD, OPTIONS");
        }
    }
}

#[test]
fn an_unknown_path_is_404_whatever_the_method() {
    let issuers = Issuers::ordinary();
    for method in ["GET", "POST", "OPTIONS", "DELETE", "BREW"] {
        issuers
            .ask(method.parse().unwrap(), "/nowhere")
            .answer()
            .assert_error(404, "not_found");
    }
    issuers
        .ask(Method::OPTIONS, "*")
        .answer()
        .assert_error(404, "not_found");
    issuers
        .ask(Method::CONNECT, "oidc.example.com:443")
        .answer()
        .assert_error(404, "not_found");
}

#[test]
fn a_host_that_is_missing_empty_repeated_or_invalid_is_refused_before_all_else() {
    let issuers = Issuers::ordinary();
    for path in ["/jwks", "/nowhere"] {
        issuers
            .get(path)
            .no_host()
            .answer()
            .assert_error(400, "bad_request")
            .assert_header(header::CONNECTION, "close");
        issuers
            .get(path)
            .header(header::HOST, "oidc.example.com")
            .answer()
            .assert_error(400, "bad_request");
        for host in ["", "a b", "a/b", "me@a", "a:b", "[::1", "<a>"] {
            issuers
                .get(path)
                .host(host)
                .answer()
                .assert_error(400, "bad_request");
        }
    }
    issuers
        .ask(Method::POST, "/jwks")
        .no_host()
        .answer()
        .assert_error(400, "bad_request");
}

#[test]
fn http_1_0_and_http_2_need_no_host() {
    let issuers = Issuers::ordinary();
    issuers
        .get("/jwks")
        .no_host()
        .version(Version::HTTP_10)
        .answer()
        .assert_status(200);
    issuers
        .get("/jwks")
        .no_host()
        .version(Version::HTTP_2)
        .answer()
        .assert_status(200);
    issuers
        .get("https://oidc.example.com/jwks")
        .no_host()
        .version(Version::HTTP_2)
        .answer()
        .assert_status(200);
}

#[test]
fn any_host_is_served_where_a_path_is_not_shared() {
    let issuers = Issuers::ordinary();
    for host in [
        "10.0.0.1:8443",
        "[::1]:8443",
        "localhost",
        "oidc-issuer.oidc.svc.cluster.local",
    ] {
        issuers.get("/jwks").host(host).answer().assert_status(200);
    }
}

#[test]
fn where_issuers_share_a_path_the_host_chooses_and_an_unknown_one_gets_404() {
    let issuers = Issuers::publishing(&["https://a.example.com", "https://b.example.com"]);
    let issuer_for = |host| {
        let answer = issuers
            .get("/.well-known/openid-configuration")
            .host(host)
            .answer()
            .assert_status(200);
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        json["issuer"].as_str().unwrap().to_owned()
    };
    assert_eq!(issuer_for("a.example.com"), "https://a.example.com");
    assert_eq!(issuer_for("b.example.com"), "https://b.example.com");
    for host in [
        "B.Example.COM",
        "b.example.com:8443",
        "b.example.com.",
        "b.example.com.:443",
    ] {
        assert_eq!(issuer_for(host), "https://b.example.com");
    }
    for host in ["c.example.com", "10.0.0.1", "example.com", "xa.example.com"] {
        issuers
            .get("/.well-known/openid-configuration")
            .host(host)
            .answer()
            .assert_error(404, "not_found");
    }
    issuers
        .get("/jwks")
        .no_host()
        .version(Version::HTTP_10)
        .answer()
        .assert_error(404, "not_found");
}

#[test]
fn an_absolute_target_is_served_and_its_authority_stands_for_host() {
    let issuers = Issuers::publishing(&["https://a.example.com", "https://b.example.com"]);
    let answer = issuers
        .get("http://b.example.com/.well-known/openid-configuration")
        .host("a.example.com")
        .answer()
        .assert_status(200);
    assert!(answer.body.starts_with(br#"{"issuer":"https://b.example.com""#));
    issuers
        .get("https://b.example.com:8443/jwks")
        .host("x")
        .answer()
        .assert_status(200);
    issuers
        .get("http://c.example.com/jwks")
        .host("a.example.com")
        .answer()
        .assert_status(404);
    issuers
        .get("http://a.example.com/jwks")
        .no_host()
        .answer()
        .assert_error(400, "bad_request");
    issuers
        .get("ftp://a.example.com/jwks")
        .host("a.example.com")
        .answer()
        .assert_status(404);
}
