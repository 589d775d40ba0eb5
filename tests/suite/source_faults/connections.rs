//! Faults of a connection and of a certificate.

#![expect(clippy::too_many_lines, reason = "tables")]

use super::certificates::{Ca, GOOD, self_signed};
use super::exchanges::{api, both, keys, slow, transport, url};
use super::play;
use super::server::{End, Reply, Transport, ok};
use super::world::discovery;

#[test]
fn a_broken_connection_changes_nothing() {
    play(vec![
        api(
            "down",
            "unreachable",
            &["https://127.0.0.1:", "connection refused", "running"],
            |world| {
                transport(world, Transport::Down);
            },
        ),
        url(
            "down, of a JWKS",
            "unreachable",
            &["/some/jwks?…: connection refused"],
            |world| {
                transport(world, Transport::Down);
            },
        ),
        api(
            "closes what it accepts",
            "interrupted",
            &["closed in the TLS handshake"],
            |world| {
                transport(world, Transport::Close);
            },
        ),
        api(
            "closes in the handshake",
            "interrupted",
            &["closed in the TLS handshake"],
            |world| {
                transport(world, Transport::CloseAfterHello);
            },
        ),
        slow(
            "says nothing",
            &["no answer within 1s (in the TLS handshake)", "timeout"],
            |world| {
                transport(world, Transport::Silent);
            },
        ),
        api(
            "plain HTTP on the port",
            "tls",
            &["does not speak TLS", "Check the port"],
            |world| {
                transport(
                    world,
                    Transport::Say(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
                );
            },
        ),
        api("SSH on the port", "tls", &["does not speak TLS"], |world| {
            transport(world, Transport::Say(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()));
        }),
        slow(
            "hangs before the headers",
            &["while waiting for the response"],
            |world| {
                both(world, Reply::Then(Vec::new(), End::Never));
            },
        ),
        slow(
            "hangs in the headers",
            &["while waiting for the response"],
            |world| {
                both(
                    world,
                    Reply::Then(b"HTTP/1.1 200 OK\r\ncontent-".to_vec(), End::Never),
                );
            },
        ),
        slow("drips", &["while waiting for the response"], |world| {
            both(world, Reply::Drip(ok(discovery(super::ISSUER))));
        }),
        slow(
            "hangs in the body",
            &["/openid/v1/jwks", "in the middle of the response body"],
            |world| {
                keys(
                    world,
                    Reply::Then(
                        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec(),
                        End::Never,
                    ),
                );
            },
        ),
        api(
            "goes on saying 100",
            "malformed",
            &["not HTTP", "interim answers"],
            |world| {
                both(world, Reply::Endless(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()));
            },
        ),
        api(
            "goes on saying 103",
            "malformed",
            &["not HTTP", "interim answers"],
            |world| {
                let hint = b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n".to_vec();
                both(world, Reply::Endless(hint));
            },
        ),
        api(
            "sends chunks of one byte with extensions without end",
            "malformed",
            &["not HTTP"],
            |world| {
                let mut body = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
                body.extend(b"1;a=bcdefghijklmnopqrstuvwxyz\r\n \r\n".repeat(120_000));
                keys(world, Reply::Then(body, End::Never));
            },
        ),
        api(
            "sends trailers without end",
            "malformed",
            &["not HTTP"],
            |world| {
                let good = world.jwks(&[]);
                let mut body = format!(
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{good}\r\n0\r\n",
                    good.len()
                )
                .into_bytes();
                body.extend(b"x: y\r\n".repeat(600_000));
                keys(world, Reply::Then(body, End::Never));
            },
        ),
        api(
            "closes before the headers",
            "interrupted",
            &["closed while waiting for the response"],
            |world| {
                both(world, Reply::Then(Vec::new(), End::Orderly));
            },
        ),
        api(
            "closes in the headers",
            "interrupted",
            &["closed while waiting for the response"],
            |world| {
                both(
                    world,
                    Reply::Then(b"HTTP/1.1 200 OK\r\ncont".to_vec(), End::Orderly),
                );
            },
        ),
        api(
            "breaks off before the headers",
            "interrupted",
            &["closed while waiting"],
            |world| {
                both(world, Reply::Then(Vec::new(), End::Abrupt));
            },
        ),
    ]);
}

#[test]
fn a_wrong_certificate_changes_nothing() {
    play(vec![
        api("another CA", "tls", &["unknown CA", "caFile"], |world| {
            transport(world, Transport::Tls(Ca::new().server("127.0.0.1", GOOD)));
        }),
        url(
            "another CA, of a JWKS",
            "tls",
            &["unknown CA", "caFile"],
            |world| {
                transport(world, Transport::Tls(Ca::new().server("127.0.0.1", GOOD)));
            },
        ),
        api("signed by itself", "tls", &["its certificate"], |world| {
            transport(world, Transport::Tls(self_signed("127.0.0.1").0));
        }),
        api(
            "another name",
            "tls",
            &["not valid for the name 127.0.0.1", "tlsServerName"],
            |world| {
                transport(
                    world,
                    Transport::Tls(world.ca.server("kubernetes.default.svc", GOOD)),
                );
            },
        ),
        api(
            "another address",
            "tls",
            &["not valid for the name 127.0.0.1"],
            |world| {
                transport(world, Transport::Tls(world.ca.server("10.96.0.1", GOOD)));
            },
        ),
        api("expired", "tls", &["has expired", "Renew"], |world| {
            transport(world, Transport::Tls(world.ca.server("127.0.0.1", (2020, 2021))));
        }),
        api("not valid yet", "tls", &["not valid yet", "clock"], |world| {
            transport(world, Transport::Tls(world.ca.server("127.0.0.1", (2080, 2090))));
        }),
        api(
            "wants a client certificate",
            "tls",
            &["refused the TLS handshake", "client certificate"],
            |world| {
                transport(world, Transport::Tls(world.ca.server_for_clients()));
            },
        ),
    ]);
}
