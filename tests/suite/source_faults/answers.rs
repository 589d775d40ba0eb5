//! Faults of an answer before its body.

use super::exchanges::{api, both, forbidden, keys, refused, status, url};
use super::server::{End, Reply, response};
use super::world::Which;
use super::{Fault, play};

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn any_status_but_200_changes_nothing() {
    play(vec![
        api("401", "unauthorized", &["401", "has not expired"], |world| {
            status(world, "401 Unauthorized", "");
        }),
        Fault {
            name: "401 without a token",
            source: Which::NoToken,
            result: "unauthorized",
            says: &["401", "Give credentials", "tokenFile"],
            breaks: |world| status(world, "401 Unauthorized", ""),
        },
        url(
            "401, of a JWKS",
            "unauthorized",
            &["401", "Give a bearer token as tokenFile"],
            |world| {
                status(world, "401 Unauthorized", "");
            },
        ),
        api(
            "403 to an account",
            "forbidden",
            &[
                "403 Forbidden to system:serviceaccount:ns:reader",
                "--clusterrole=system:service-account-issuer-discovery --serviceaccount=ns:reader",
            ],
            |world| forbidden(world, "system:serviceaccount:ns:reader"),
        ),
        api(
            "403 to nobody",
            "forbidden",
            &["403", "anonymous", "system:service-account-issuer-discovery"],
            |world| {
                forbidden(world, "system:anonymous");
            },
        ),
        api(
            "403 that echoes the token",
            "forbidden",
            &["403", "system:service-account-issuer-discovery"],
            |world| {
                forbidden(world, super::TOKEN);
            },
        ),
        api(
            "403 of a proxy",
            "forbidden",
            &["system:service-account-issuer-discovery"],
            |world| {
                both(
                    world,
                    Reply::Whole(response("403 Forbidden", "", "<html>no</html>")),
                );
            },
        ),
        api(
            "403 of a webhook",
            "forbidden",
            &[
                "saying: admission webhook \"x.example\" denied the request: no team",
                "satisfy its rule",
            ],
            |world| {
                refused(
                    world,
                    "403 Forbidden",
                    403,
                    "admission webhook \\\"x.example\\\" denied the request: no team",
                );
            },
        ),
        api(
            "403 for a reason of its own",
            "forbidden",
            &["saying: not today", "no missing right"],
            |world| refused(world, "403 Forbidden", 403, "not today"),
        ),
        api(
            "401 with a reason",
            "unauthorized",
            &["saying: the token of … is not known", "has not expired"],
            |world| {
                let message = format!("the token of {} is not known", super::TOKEN);
                refused(world, "401 Unauthorized", 401, &message);
            },
        ),
        api(
            "503 with a reason",
            "http_status",
            &["saying: etcdserver: request timed out", "etcd behind"],
            |world| {
                refused(
                    world,
                    "503 Service Unavailable",
                    503,
                    "etcdserver: request timed out",
                );
            },
        ),
        url("403, of a JWKS", "forbidden", &["403", "tokenFile"], |world| {
            status(world, "403 Forbidden", "");
        }),
        api(
            "404",
            "not_found",
            &["404", "--service-account-issuer is not an https URL", "P-224"],
            |world| {
                status(world, "404 Not Found", "");
            },
        ),
        api(
            "404 of the keys",
            "not_found",
            &["/openid/v1/jwks: answered 404"],
            |world| {
                keys(world, Reply::Whole(response("404 Not Found", "", "")));
            },
        ),
        url(
            "404, of a JWKS",
            "not_found",
            &["404", "path of the URL"],
            |world| {
                status(world, "404 Not Found", "");
            },
        ),
        api("406", "http_status", &["406", "*/*"], |world| {
            status(world, "406 Not Acceptable", "");
        }),
        api("429", "http_status", &["429", "refresh"], |world| {
            status(world, "429 Too Many Requests", "retry-after: 1\r\n");
        }),
        api("500", "http_status", &["500", "health"], |world| {
            status(world, "500 Internal Server Error", "");
        }),
        api("502", "http_status", &["502"], |world| {
            status(world, "502 Bad Gateway", "");
        }),
        api("503", "http_status", &["503"], |world| {
            status(world, "503 Service Unavailable", "");
        }),
        api(
            "500 of discovery alone",
            "http_status",
            &["/.well-known/openid-configuration: answered 500"],
            |world| {
                let reply = Reply::Whole(response("500 Internal Server Error", "", ""));
                world.serve(|server| server.discovery = reply);
            },
        ),
        api("201", "http_status", &["201"], |world| {
            status(world, "201 Created", "");
        }),
        api("203", "http_status", &["203", "Only 200"], |world| {
            let good = world.jwks(&[]);
            keys(
                world,
                Reply::Whole(response("203 Non-Authoritative Information", "", good)),
            );
        }),
        api("204", "http_status", &["204"], |world| {
            both(world, Reply::Whole(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()));
        }),
        api("206", "http_status", &["206"], |world| {
            let good = world.jwks(&[]);
            keys(
                world,
                Reply::Whole(response(
                    "206 Partial Content",
                    "content-range: bytes 0-9/99\r\n",
                    good,
                )),
            );
        }),
        api(
            "301",
            "redirect",
            &["301, a redirect to https://login.example/x", "not followed"],
            |world| {
                status(
                    world,
                    "301 Moved Permanently",
                    "location: https://login.example/x\r\n",
                );
            },
        ),
        api(
            "302 with a token",
            "redirect",
            &["302, a redirect to https://a.example/?…"],
            |world| {
                status(
                    world,
                    "302 Found",
                    "location: https://me:SECRET@a.example/?t=SECRET\r\n",
                );
            },
        ),
        url("307 to a good one", "redirect", &["307", "final URL"], |world| {
            let location = format!("location: {}/elsewhere\r\n", world.url());
            status(world, "307 Temporary Redirect", &location);
        }),
        api(
            "304",
            "http_status",
            &["304", "cache or proxy in front"],
            |world| {
                both(world, Reply::Whole(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()));
            },
        ),
        api("101", "http_status", &["101"], |world| {
            both(
                world,
                Reply::Whole(
                    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_vec(),
                ),
            );
        }),
    ]);
}

#[test]
fn what_is_not_http_changes_nothing() {
    play(vec![
        api(
            "garbage",
            "malformed",
            &["not HTTP", "another kind of server"],
            |world| {
                both(world, Reply::Then(vec![0xff; 64], End::Orderly));
            },
        ),
        api("HTTP/0.9", "malformed", &["not HTTP"], |world| {
            both(world, Reply::Then(world.jwks(&[]).into_bytes(), End::Orderly));
        }),
        api("HTTP/2 frames", "malformed", &["not HTTP"], |world| {
            both(world, Reply::Then(b"\0\0\0\x04\0\0\0\0\0".to_vec(), End::Never));
        }),
        api("a status of letters", "malformed", &["not HTTP"], |world| {
            both(world, Reply::Whole(b"HTTP/1.1 abc OK\r\n\r\n".to_vec()));
        }),
        api("two lengths", "malformed", &["not HTTP"], |world| {
            both(
                world,
                Reply::Whole(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}".to_vec()),
            );
        }),
        api("a length below nothing", "malformed", &["not HTTP"], |world| {
            both(
                world,
                Reply::Whole(b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}".to_vec()),
            );
        }),
        api("a thousand headers", "malformed", &["not HTTP"], |world| {
            both(
                world,
                Reply::Whole(response("200 OK", &"x: y\r\n".repeat(1000), "{}")),
            );
        }),
        api("a header without end", "malformed", &["not HTTP"], |world| {
            both(
                world,
                Reply::Endless(
                    b"HTTP/1.1 200 OK\r\nx: "
                        .iter()
                        .copied()
                        .chain([b'y'; 60_000])
                        .collect(),
                ),
            );
        }),
        api(
            "a control character in a header",
            "malformed",
            &["not HTTP"],
            |world| {
                both(
                    world,
                    Reply::Whole(b"HTTP/1.1 200 OK\r\nx: \0\r\n\r\n{}".to_vec()),
                );
            },
        ),
        api(
            "broken chunks",
            "interrupted",
            &["in the middle of the response body"],
            |world| {
                keys(
                    world,
                    Reply::Whole(
                        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n".to_vec(),
                    ),
                );
            },
        ),
    ]);
}
