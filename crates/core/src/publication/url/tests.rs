use super::*;

#[test]
fn an_issuer_keeps_every_byte_it_was_written_with() {
    for text in [
        "https://oidc.example.com",
        "https://oidc.example.com/",
        "https://oidc.example.com/a/b",
        "https://oidc.example.com/a/b/",
        "https://OIDC.Example.com:8443/A_b-c~d",
        "https://localhost:443",
        "https://192.0.2.1/x",
        "https://[2001:db8::1]:8443/x",
        "https://oidc.example.com./x",
        "https://oidc.example.com/a.b/..c/@x:y;z=1,(2)!$&'*+",
    ] {
        assert_eq!(
            IssuerUrl::parse(text).map(|url| url.as_str().to_owned()),
            Ok(text.to_owned())
        );
    }
}

#[test]
fn the_parts_of_an_issuer_leave_out_the_slash_at_its_end() {
    for (text, base, host, port, path) in [
        ("https://h.example", "https://h.example", "h.example", 443, ""),
        ("https://h.example/", "https://h.example", "h.example", 443, ""),
        (
            "https://h.example:8443/a/b/",
            "https://h.example:8443/a/b",
            "h.example",
            8443,
            "/a/b",
        ),
        (
            "https://[::1]:8443/a",
            "https://[::1]:8443/a",
            "[::1]",
            8443,
            "/a",
        ),
    ] {
        let url = IssuerUrl::parse(text).unwrap();
        assert_eq!(
            (url.base(), url.host(), url.port(), url.path()),
            (base, host, port, path),
            "{text}"
        );
    }
}

#[test]
fn an_issuer_that_verifiers_would_spell_in_two_ways_is_refused() {
    let host = |host: &str| UrlError::Host { host: host.into() };
    let port = |port: &str| UrlError::Port { port: port.into() };
    for (text, error) in [
        ("", UrlError::Empty),
        ("oidc.example.com", UrlError::NotHttps),
        ("http://oidc.example.com", UrlError::NotHttps),
        ("HTTPS://oidc.example.com", UrlError::NotHttps),
        (" https://oidc.example.com", UrlError::Character { found: ' ' }),
        (
            "https://oidc.example.com/a\\b",
            UrlError::Character { found: '\\' },
        ),
        (
            "https://oidc.example.com/a\n",
            UrlError::Character { found: '\n' },
        ),
        ("https://oidc.example.com/[a]", UrlError::Character { found: '[' }),
        ("https://bücher.example", UrlError::NotAscii { found: 'ü' }),
        ("https://user:pass@oidc.example.com", UrlError::Userinfo),
        ("https://@oidc.example.com", UrlError::Userinfo),
        ("https://", UrlError::NoHost),
        ("https:///a", UrlError::NoHost),
        ("https://:8443", UrlError::NoHost),
        ("https://a..b", host("a..b")),
        ("https://-a.example", host("-a.example")),
        ("https://10.0.0.256", host("10.0.0.256")),
        ("https://[::g]", host("[::g]")),
        ("https://[fe80::1%25eth0]/a", host("[fe80::1%25eth0]")),
        ("https://[::1]x", host("[::1]x")),
        ("https://*.example.com", host("*.example.com")),
        ("https://oidc.example.com:", port("")),
        ("https://oidc.example.com:0", port("0")),
        ("https://oidc.example.com:+443", port("+443")),
        ("https://oidc.example.com:65536", port("65536")),
        ("https://oidc.example.com?a=b", UrlError::Query),
        ("https://oidc.example.com/a?", UrlError::Query),
        ("https://oidc.example.com/a#b", UrlError::Fragment),
        ("https://oidc.example.com/a#", UrlError::Fragment),
        ("https://oidc.example.com/a%2fb", UrlError::Percent),
        ("https://oidc.example.com//", UrlError::EmptySegment),
        ("https://oidc.example.com/a//b", UrlError::EmptySegment),
        (
            "https://oidc.example.com/a/./b",
            UrlError::DotSegment { segment: "." },
        ),
        (
            "https://oidc.example.com/a/..",
            UrlError::DotSegment { segment: ".." },
        ),
        (
            "https://oidc.example.com/.well-known/openid-configuration",
            UrlError::WellKnown,
        ),
    ] {
        assert_eq!(IssuerUrl::parse(text), Err(error), "{text}");
    }
    assert_eq!(
        IssuerUrl::parse(&format!("https://h.example/{}", "a".repeat(2000))),
        Err(UrlError::TooLong { length: 2018 })
    );
}

#[test]
fn a_password_in_a_url_is_not_repeated_in_the_error() {
    let error = IssuerUrl::parse("https://user:hunter2@oidc.example.com").unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn the_jwks_is_under_the_issuer_unless_configured() {
    let jwks = |issuer| JwksUri::of(&IssuerUrl::parse(issuer).unwrap());
    assert_eq!(jwks("https://h.example").as_str(), "https://h.example/jwks");
    assert_eq!(
        jwks("https://h.example:8443/a/").as_str(),
        "https://h.example:8443/a/jwks"
    );
    assert_eq!(jwks("https://h.example:8443/a/").path(), "/a/jwks");
    assert_eq!(
        jwks("https://h.example:8443/a/"),
        JwksUri::parse("https://h.example:8443/a/jwks").unwrap()
    );
}

#[test]
fn a_jwks_uri_may_have_a_query_and_a_well_known_path() {
    let jwks = JwksUri::parse("https://cdn.example/.well-known/jwks.json?v=1&w=a%20b//").unwrap();
    assert_eq!(
        (jwks.host(), jwks.port(), jwks.path()),
        ("cdn.example", 443, "/.well-known/jwks.json")
    );
    assert_eq!(
        jwks.as_str(),
        "https://cdn.example/.well-known/jwks.json?v=1&w=a%20b//"
    );
}

#[test]
fn a_jwks_uri_needs_a_path_that_can_be_served() {
    for (text, error) in [
        ("https://cdn.example", UrlError::NoPath),
        ("https://cdn.example/", UrlError::NoPath),
        ("https://cdn.example?x", UrlError::NoPath),
        ("http://cdn.example/jwks", UrlError::NotHttps),
        ("https://cdn.example/jwks#x", UrlError::Fragment),
        ("https://cdn.example/a%20b", UrlError::Percent),
        (
            "https://cdn.example/a/../b",
            UrlError::DotSegment { segment: ".." },
        ),
    ] {
        assert_eq!(JwksUri::parse(text), Err(error), "{text}");
    }
}
