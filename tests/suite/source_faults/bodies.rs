//! Faults of a body, and of the issuer that it names.

#![expect(clippy::too_many_lines, reason = "tables")]

use super::exchanges::{api, body, claims, keys, url};
use super::play;
use super::server::{End, Reply, response};
use super::world::discovery;

#[test]
fn a_wrong_body_changes_nothing() {
    const OCT: &str = r#"{"kty":"oct","kid":"s","k":"U0VDUkVU"}"#;
    play(vec![
        api(
            "HTML",
            "malformed",
            &["/openid/v1/jwks", "an HTML page", "login page"],
            |world| {
                body(world, "<!DOCTYPE html><html><body>Sign in</body></html>");
            },
        ),
        api("a text/html", "malformed", &["an HTML page"], |world| {
            keys(
                world,
                Reply::Whole(response("200 OK", "content-type: text/html\r\n", "Sign in")),
            );
        }),
        url("HTML, of a JWKS", "malformed", &["an HTML page"], |world| {
            body(world, "  <html></html>");
        }),
        api("nothing", "malformed", &["empty"], |world| body(world, "")),
        api("white space", "malformed", &["empty"], |world| {
            body(world, " \r\n\t");
        }),
        api(
            "cut off by a length",
            "interrupted",
            &["in the middle of the response body"],
            |world| {
                let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{\"keys\":[".to_vec();
                keys(world, Reply::Then(cut, End::Orderly));
            },
        ),
        api(
            "cut off in chunks",
            "interrupted",
            &["in the middle of the response body"],
            |world| {
                let cut =
                    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{\"keys\":[\r\n".to_vec();
                keys(world, Reply::Then(cut, End::Orderly));
            },
        ),
        api(
            "cut off without a length",
            "interrupted",
            &["in the middle of the response body"],
            |world| {
                let mut cut = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
                cut.extend_from_slice(world.jwks(&[]).as_bytes());
                keys(world, Reply::Then(cut, End::Abrupt));
            },
        ),
        api("cut off JSON", "malformed", &["not JSON", "line 1"], |world| {
            let good = world.jwks(&[]);
            body(world, &good[..good.len() - 9]);
        }),
        api("JSON and more", "malformed", &["not JSON"], |world| {
            body(world, world.jwks(&[]) + "}");
        }),
        api(
            "too long, as it says",
            "too_large",
            &["larger than 1048576 bytes"],
            |world| {
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec();
                keys(world, Reply::Then(head, End::Never));
            },
        ),
        api(
            "too long, in chunks",
            "too_large",
            &["larger than 1048576 bytes"],
            |world| {
                let mut head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
                for _ in 0..40 {
                    head.extend_from_slice(b"8000\r\n");
                    head.extend_from_slice(&[b' '; 0x8000]);
                    head.extend_from_slice(b"\r\n");
                }
                keys(world, Reply::Then(head, End::Never));
            },
        ),
        api(
            "without end",
            "too_large",
            &["larger than 1048576 bytes"],
            |world| {
                world.serve(|server| {
                    server.discovery =
                        Reply::Endless(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n  ".repeat(100));
                });
            },
        ),
        api("nested deeply", "malformed", &["nested"], |world| {
            body(
                world,
                "{\"keys\":".to_owned() + &"[".repeat(100_000) + &"]".repeat(100_000) + "}",
            );
        }),
        api("a list", "malformed", &["not a JWKS"], |world| body(world, "[]")),
        api("a string", "malformed", &["not a JWKS"], |world| {
            body(world, "\"keys\"");
        }),
        api("null", "malformed", &["JWKS"], |world| body(world, "null")),
        api("no keys member", "malformed", &["not a JWKS"], |world| {
            body(world, "{}");
        }),
        api("keys that are null", "malformed", &["not a JWKS"], |world| {
            body(world, "{\"keys\":null}");
        }),
        api("an error document", "malformed", &["not a JWKS"], |world| {
            body(world, "{\"error\":\"SECRET\"}");
        }),
        api(
            "no key",
            "no_keys",
            &["lists no key", "--service-account-key-file"],
            |world| body(world, "{\"keys\":[]}"),
        ),
        url("no key, of a JWKS", "no_keys", &["lists no key"], |world| {
            body(world, "{\"keys\":[]}");
        }),
        api(
            "symmetric keys alone",
            "no_keys",
            &["keys[0]: a symmetric key"],
            |world| {
                body(world, format!("{{\"keys\":[{OCT}]}}"));
            },
        ),
        api(
            "entries that are no keys",
            "no_keys",
            &["none of its 3 entries"],
            |world| {
                body(world, "{\"keys\":[null,7,{\"kty\":\"AKP\"}]}");
            },
        ),
        api("gzip", "malformed", &["compressed"], |world| {
            keys(
                world,
                Reply::Whole(response(
                    "200 OK",
                    "content-encoding: gzip\r\n",
                    b"\x1f\x8b\x08\0",
                )),
            );
        }),
        api("UTF-16", "malformed", &["UTF-16"], |world| {
            let utf16: Vec<u8> = world
                .jwks(&[])
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect();
            body(world, [b"\xff\xfe".as_slice(), &utf16].concat());
        }),
        api("a token", "malformed", &["a token (JWT)"], |world| {
            body(world, super::TOKEN);
        }),
        api("a private key", "malformed", &["JWKS"], |world| {
            body(
                world,
                "-----BEGIN PRIVATE KEY-----\nU0VDUkVU\n-----END PRIVATE KEY-----\n",
            );
        }),
        api("NUL octets", "malformed", &["/openid/v1/jwks"], |world| {
            body(world, [0; 99]);
        }),
    ]);
}

#[test]
fn a_cluster_that_names_another_issuer_changes_nothing() {
    play(vec![
        api(
            "another issuer",
            "other_issuer",
            &[
                "https://kubernetes.default.svc.cluster.local",
                "--service-account-issuer=https://oidc.example.com/prod",
                "claims",
            ],
            |world| claims(world, discovery("https://kubernetes.default.svc.cluster.local")),
        ),
        api("a slash more", "other_issuer", &["slash at the end"], |world| {
            claims(world, discovery("https://oidc.example.com/prod/"));
        }),
        api(
            "a path less",
            "other_issuer",
            &["https://oidc.example.com"],
            |world| {
                claims(world, discovery("https://oidc.example.com"));
            },
        ),
        api("another case", "other_issuer", &["claims"], |world| {
            claims(world, discovery("https://OIDC.example.com/prod"));
        }),
        api("an issuer of a mile", "other_issuer", &["claims"], |world| {
            claims(
                world,
                discovery(&format!("https://{}.example.com", "a".repeat(100_000))),
            );
        }),
        api(
            "no issuer",
            "malformed",
            &["/.well-known/openid-configuration", "one issuer"],
            |world| {
                claims(world, "{\"jwks_uri\":\"https://x\"}");
            },
        ),
        api("an empty issuer", "malformed", &["issuer is empty"], |world| {
            claims(world, discovery(""));
        }),
        api("a number for an issuer", "malformed", &["one issuer"], |world| {
            claims(world, "{\"issuer\":7}");
        }),
        api("two issuers", "malformed", &["one issuer"], |world| {
            claims(
                world,
                "{\"issuer\":\"https://oidc.example.com/prod\",\"issuer\":\"https://b\"}",
            );
        }),
        api(
            "discovery in HTML",
            "malformed",
            &["/.well-known/openid-configuration", "HTML"],
            |world| {
                claims(world, "<html></html>");
            },
        ),
        api(
            "a list for discovery",
            "malformed",
            &["/.well-known/openid-configuration"],
            |world| claims(world, "[]"),
        ),
        api("discovery cut off", "malformed", &["broken at line 1"], |world| {
            claims(world, "{\"issuer\":");
        }),
        api(
            "discovery nested deeply",
            "malformed",
            &["/.well-known/openid-configuration"],
            |world| {
                claims(world, "[".repeat(200_000));
            },
        ),
        api(
            "discovery too long",
            "too_large",
            &["/.well-known/openid-configuration"],
            |world| {
                claims(world, " ".repeat(2_000_000));
            },
        ),
    ]);
}
