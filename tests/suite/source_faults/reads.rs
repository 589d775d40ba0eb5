//! How a source is read when all is well, and what is odd about it but right.

use std::time::Duration;

use oidc_issuer::client::ApiServerSettings;
use oidc_issuer::key::PublicKey;
use oidc_issuer::ring::Listing;
use oidc_issuer::source::{JwksSettings, ReadError, Source, SourceSettings};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::certificates::{GOOD, self_signed};
use super::server::{End, Reply, Transport, ok, response};
use super::world::{TOKEN, Which, World};
use super::{DOCUMENTS, Service};

fn api_server(world: &World) -> SourceSettings {
    SourceSettings::ApiServer(ApiServerSettings {
        server: Some(world.url()),
        ca_file: Some(world.path("ca.crt")),
        token_file: Some(world.path("token")),
        ..ApiServerSettings::default()
    })
}

fn jwks(world: &World) -> SourceSettings {
    SourceSettings::Jwks(JwksSettings {
        url: format!("{}/some/jwks?version=1", world.url()),
        ca_file: Some(world.path("ca.crt")),
        token_file: None,
        timeout: None,
    })
}

fn kubeconfig(world: &World, allow_exec: bool) -> SourceSettings {
    SourceSettings::ApiServer(ApiServerSettings {
        kubeconfig: Some(world.path("kubeconfig")),
        allow_exec,
        ..ApiServerSettings::default()
    })
}

async fn read(settings: &SourceSettings) -> Result<Listing, ReadError> {
    Source::new(settings).read().await
}

/// The requests since the last time: connection and head.
fn seen(world: &World) -> Vec<(usize, String)> {
    std::mem::take(&mut *world.server.seen.lock().expect("no panic"))
}

#[tokio::test]
async fn both_documents_come_over_one_connection_and_each_read_makes_a_new_one() {
    let world = World::new().await;
    let mut source = Source::new(&api_server(&world));
    for expected in 0..3 {
        let listing = source.read().await.unwrap();
        assert_eq!(listing.issuer.as_deref(), Some(super::ISSUER));
        let requests = seen(&world);
        let paths: Vec<_> = requests
            .iter()
            .map(|(connection, head)| (*connection, head.split(' ').nth(1).unwrap()))
            .collect();
        assert_eq!(
            paths,
            [
                (expected, "/.well-known/openid-configuration"),
                (expected, "/openid/v1/jwks")
            ],
            "a balancer shows all of its replicas, and one read is of one of them"
        );
        for (_, head) in requests {
            let head = head.to_ascii_lowercase();
            assert!(head.starts_with("get "), "{head}");
            assert!(
                head.contains("\r\naccept: */*\r\n"),
                "an API server answers 406 to JSON: {head}"
            );
            assert!(
                head.contains(&format!("\r\nhost: 127.0.0.1:{}\r\n", world.server.port)),
                "{head}"
            );
        }
    }
}

#[tokio::test]
async fn a_server_may_close_the_connection_after_each_answer() {
    let world = World::new().await;
    let discovery = super::world::discovery(super::ISSUER);
    for headers in ["", "connection: close\r\n"] {
        for end in [End::Orderly, End::Abrupt] {
            let reply = |body: &str| Reply::Then(response("200 OK", headers, body), end);
            world.serve(|server| {
                server.discovery = reply(&discovery);
                server.jwks = reply(&world.jwks(&[]));
            });
            read(&api_server(&world))
                .await
                .unwrap_or_else(|error| panic!("{headers:?} {end:?}: {error}"));
        }
    }
    seen(&world);
    // The first answer is not asked for twice.
    world.serve(|server| server.discovery = Reply::Then(Vec::new(), End::Orderly));
    assert_eq!(
        read(&api_server(&world)).await.unwrap_err().label(),
        "interrupted"
    );
    assert_eq!(seen(&world).len(), 1);
}

#[tokio::test]
async fn the_token_is_read_again_for_every_read() {
    let world = World::new().await;
    let mut source = Source::new(&api_server(&world));
    for token in [TOKEN, "another.token.altogether"] {
        world.write("token", format!("{token}\n"));
        source.read().await.unwrap();
        for (_, head) in seen(&world) {
            assert!(
                head.contains(&format!("\r\nauthorization: Bearer {token}\r\n")),
                "{head}"
            );
        }
    }
}

#[tokio::test]
async fn a_path_before_the_documents_is_kept() {
    let world = World::new().await;
    for end in ["", "/"] {
        let SourceSettings::ApiServer(settings) = api_server(&world) else {
            unreachable!()
        };
        let server = Some(format!("{}/k8s/clusters/c-1{end}", world.url()));
        read(&SourceSettings::ApiServer(ApiServerSettings {
            server,
            ..settings
        }))
        .await
        .unwrap();
        assert!(
            seen(&world)[1]
                .1
                .starts_with("GET /k8s/clusters/c-1/openid/v1/jwks HTTP/1.1\r\n")
        );
    }
}

#[tokio::test]
async fn what_is_odd_but_right_is_read() {
    let world = World::new().await;
    let good = world.jwks(&[]);
    let chunked = |body: &str| {
        let (one, two) = body.split_at(body.len() / 2);
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x};a=b\r\n{two}\r\n0\r\nx: y\r\n\r\n",
            one.len(),
            two.len()
        )
        .into_bytes()
    };
    let early = |status: &str| {
        [
            format!("HTTP/1.1 {status}\r\nlink: x\r\n\r\n").as_bytes(),
            &ok(&good),
        ]
        .concat()
    };
    let utf8 = [b"\xef\xbb\xbf".as_slice(), good.as_bytes()].concat();
    let oct = world.jwks(&[
        r#"{"kty":"oct","kid":"s","k":"AAAA"}"#,
        "null",
        r#"{"kty":"AKP"}"#,
    ]);
    let cases: Vec<(&str, Reply)> = vec![
        (
            "chunks with extensions and trailers",
            Reply::Whole(chunked(&good)),
        ),
        ("100 first", Reply::Whole(early("100 Continue"))),
        ("103 first", Reply::Whole(early("103 Early Hints"))),
        ("no length, closed in order", {
            let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
            Reply::Then([head, good.clone().into_bytes()].concat(), End::Orderly)
        }),
        ("HTTP/1.0", {
            let head = b"HTTP/1.0 200 OK\r\n\r\n".to_vec();
            Reply::Then([head, good.clone().into_bytes()].concat(), End::Orderly)
        }),
        ("no content type", Reply::Whole(response("200 OK", "", &good))),
        (
            "text/html on JSON",
            Reply::Whole(response("200 OK", "content-type: text/html\r\n", &good)),
        ),
        (
            "identity",
            Reply::Whole(response("200 OK", "content-encoding: identity\r\n", &good)),
        ),
        ("white space around", Reply::Whole(ok(format!("\n\t {good}\r\n")))),
        ("a byte order mark", Reply::Whole(ok(utf8))),
        (
            "members nobody knows",
            Reply::Whole(ok(good.replace("{\"keys\"", "{\"x\":[{}],\"keys\""))),
        ),
        ("bad keys beside", Reply::Whole(ok(oct))),
        (
            "a cache header that is none",
            Reply::Whole(response("200 OK", "cache-control: \u{b0}=,;max-age\r\n", &good)),
        ),
        (
            "a large document",
            Reply::Whole(ok(format!("{}{good}", " ".repeat((1 << 20) - good.len())))),
        ),
    ];
    let expected = read(&jwks(&world)).await.unwrap();
    for (name, reply) in cases {
        world.serve(|server| server.jwks = reply);
        for settings in [jwks(&world), api_server(&world)] {
            let listing = read(&settings)
                .await
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(listing.keys, expected.keys, "{name}");
            assert!(listing.complete, "{name}");
        }
    }
}

#[tokio::test]
async fn the_rest_of_max_age_is_told() {
    let world = World::new().await;
    for (headers, expected) in [
        ("", None),
        ("cache-control: public, max-age=3600\r\n", Some(3600)),
        ("cache-control: max-age=60\r\nage: 20\r\n", Some(40)),
        ("cache-control: no-store\r\n", Some(0)),
    ] {
        let reply = Reply::Whole(response("200 OK", headers, world.jwks(&[])));
        world.serve(|server| server.jwks = reply);
        let max_age = read(&api_server(&world)).await.unwrap().max_age;
        assert_eq!(max_age.map(|age| age.as_secs()), expected, "{headers}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_its_own_ca_can_be_pinned() {
    let world = World::new().await;
    let (server, pem) = self_signed("127.0.0.1");
    world.serve(|behaviour| behaviour.transport = Transport::Tls(server));
    assert_eq!(read(&jwks(&world)).await.unwrap_err().label(), "tls");
    world.write("ca.crt", &pem);
    read(&jwks(&world)).await.unwrap();

    // It is still checked for its name.
    let (server, pem) = self_signed("other.example");
    world.serve(|behaviour| behaviour.transport = Transport::Tls(server));
    world.write("ca.crt", pem);
    let error = read(&jwks(&world)).await.unwrap_err().to_string();
    assert!(error.contains("not valid for the name 127.0.0.1"), "{error}");
}

#[tokio::test]
async fn another_name_is_checked_where_one_is_given() {
    let world = World::new().await;
    let config = world.ca.server("kubernetes.default.svc", GOOD);
    world.serve(|behaviour| behaviour.transport = Transport::Tls(config));
    let SourceSettings::ApiServer(settings) = api_server(&world) else {
        unreachable!()
    };
    let tls_server_name = Some("kubernetes.default.svc".to_owned());
    read(&SourceSettings::ApiServer(ApiServerSettings {
        tls_server_name,
        ..settings
    }))
    .await
    .unwrap();

    world.kubeconfig(|config| {
        config["clusters"][0]["cluster"]["tls-server-name"] = json!("kubernetes.default.svc");
    });
    read(&kubeconfig(&world, false)).await.unwrap();
}

#[tokio::test]
async fn kubeconfigs_give_every_kind_of_credentials() {
    let world = World::new().await;
    let users = [
        (json!({ "token": TOKEN }), format!("Bearer {TOKEN}")),
        (json!({ "tokenFile": "token" }), format!("Bearer {TOKEN}")),
        (
            json!({ "tokenFile": "gone", "token": "stands.in.for" }),
            "Bearer stands.in.for".to_owned(),
        ),
        (
            json!({ "username": "me", "password": "pw" }),
            "Basic bWU6cHc=".to_owned(),
        ),
    ];
    for (user, expected) in users {
        world.kubeconfig(|config| config["users"][0]["user"] = user);
        read(&kubeconfig(&world, false)).await.unwrap();
        for (_, head) in seen(&world) {
            assert!(
                head.contains(&format!("\r\nauthorization: {expected}\r\n")),
                "{head}"
            );
        }
    }

    let config = world.ca.server_for_clients();
    world.serve(|behaviour| behaviour.transport = Transport::Tls(config));
    world.kubeconfig(|config| {
        config["users"][0]["user"] =
            json!({ "client-certificate": "client.crt", "client-key": "client.key", "as": "x", "as-groups": ["g", "h"] });
    });
    read(&kubeconfig(&world, false)).await.unwrap();
    for (_, head) in seen(&world) {
        let head = head.to_ascii_lowercase();
        let expected = "impersonate-user: x\r\nimpersonate-group: g\r\nimpersonate-group: h\r\n";
        assert!(
            head.contains(expected) && !head.contains("authorization"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_context_is_chosen() {
    let world = World::new().await;
    world.kubeconfig(|config| {
        let mut other = config["contexts"][0].clone();
        other["name"] = json!("other");
        config["contexts"].as_array_mut().unwrap().push(other);
        config["current-context"] = json!("none");
    });
    assert!(read(&kubeconfig(&world, false)).await.is_err());
    let SourceSettings::ApiServer(settings) = kubeconfig(&world, false) else {
        unreachable!()
    };
    let context = Some("other".to_owned());
    read(&SourceSettings::ApiServer(ApiServerSettings {
        context,
        ..settings
    }))
    .await
    .unwrap();
}

#[tokio::test]
async fn a_plugin_is_run_where_it_is_allowed_and_again_after_a_refusal() {
    let world = World::new().await;
    let script = format!(
        "#!/bin/sh\necho run >> '{0}/runs'\necho '{{\"status\":{{\"token\":\"plugin.'$(wc -l < '{0}/runs')'\"}}}}'\n",
        world.path("").display()
    );
    world.write("plugin", script);
    std::fs::set_permissions(
        world.path("plugin"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    world.kubeconfig(|config| {
        config["users"][0]["user"] = json!({ "exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin", "interactiveMode": "Never",
        } });
    });
    let mut source = Source::new(&kubeconfig(&world, true));
    let mut token = async || {
        let read = source.read().await;
        let heads = seen(&world);
        let last = heads
            .last()
            .unwrap()
            .1
            .split("Bearer plugin.")
            .nth(1)
            .unwrap()
            .split("\r\n")
            .next()
            .unwrap();
        (read.is_ok(), last.to_owned())
    };
    assert_eq!(token().await, (true, "1".to_owned()));
    assert_eq!(
        token().await,
        (true, "1".to_owned()),
        "what it gave is used again"
    );
    world.serve(|server| server.discovery = Reply::Whole(response("401 Unauthorized", "", "")));
    assert_eq!(
        token().await,
        (false, "2".to_owned()),
        "a refusal asks it again at once"
    );
}

/// A proxy that connects anywhere, and tells where to.
async fn proxy(wants: &'static str) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let to = head
                    .strip_prefix("CONNECT ")
                    .unwrap()
                    .split(' ')
                    .next()
                    .unwrap()
                    .to_owned();
                let _ = tell.send(to.clone());
                if !head.contains(wants) {
                    let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
                    return drop(client.write_all(refusal).await);
                }
                // Whatever it is called, it is here.
                let port = to.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, told)
}

#[tokio::test]
async fn a_kubeconfig_may_name_a_proxy() {
    let world = World::new().await;
    // Basic me:pw
    let (port, mut told) = proxy("Proxy-Authorization: Basic bWU6cHc=").await;
    let through = |proxy: String| {
        world.kubeconfig(|config| config["clusters"][0]["cluster"]["proxy-url"] = json!(proxy));
    };
    through(format!("http://me:pw@127.0.0.1:{port}"));
    read(&kubeconfig(&world, false)).await.unwrap();
    assert_eq!(
        told.recv().await.unwrap(),
        format!("127.0.0.1:{}", world.server.port)
    );

    through(format!("http://127.0.0.1:{port}"));
    let error = read(&kubeconfig(&world, false)).await.unwrap_err();
    assert_eq!(error.label(), "proxy");
    assert!(
        error.to_string().contains("proxy authorization required"),
        "{error}"
    );
}

#[tokio::test]
async fn the_environment_may_name_a_proxy_and_hosts_without_one() {
    let (port, mut told) = proxy("").await;
    let sources = [Which::Jwks, Which::ApiServer];
    for (source, no_proxy, by_proxy) in [
        (sources[0], "", true),
        (sources[1], "", true),
        (sources[0], "10.0.0.0/8, 127.0.0.1", false),
    ] {
        // With a state folder of its own: nothing is published before it was read.
        let world = World::new().await;
        let environment = [
            ("HTTPS_PROXY", format!("http://127.0.0.1:{port}")),
            ("NO_PROXY", no_proxy.to_owned()),
        ];
        let service = Service::start_with(&world, source, &environment);
        let served = async |service: &Service| {
            service.address("plain HTTP")?;
            (service.get(DOCUMENTS[1]).await.status == 200).then_some(())
        };
        service.until("the documents", served).await.unwrap();
        drop(service);
        assert_eq!(
            told.try_recv().is_ok(),
            by_proxy,
            "{source:?} with NO_PROXY={no_proxy:?}"
        );
        while tokio::time::timeout(Duration::from_millis(200), told.recv())
            .await
            .is_ok()
        {}
    }
}

#[tokio::test]
async fn the_keys_of_a_listing_are_those_of_the_document() {
    let world = World::new().await;
    let listing = read(&api_server(&world)).await.unwrap();
    let keys: Vec<_> = listing.keys.iter().map(PublicKey::jwk).collect();
    assert_eq!(format!("{{\"keys\":[{}]}}", keys.join(",")), world.jwks(&[]));
}
