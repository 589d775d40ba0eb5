//! One replica of three in trouble, or the list of them: what the others say is published, and no key is lost.

use super::certificates::{Ca, GOOD};
use super::replicas::Replicas;
use super::server::{Behaviour, End, Reply, Transport, ok, response};
use super::world::{TOKEN, discovery};
use super::{DOCUMENTS, Service, at_once, check};

/// A fault of the second replica.
struct OfOne {
    name: &'static str,
    /// What the log must say of it, beside its address.
    says: &'static str,
    breaks: fn(&Replicas, &mut Behaviour),
}

const fn one(name: &'static str, says: &'static str, breaks: fn(&Replicas, &mut Behaviour)) -> OfOne {
    OfOne { name, says, breaks }
}

#[test]
fn one_endpoint_in_trouble_silences_no_other_and_takes_no_key() {
    at_once(
        vec![
            one("refuses", "connection refused", |_, server| {
                server.transport = Transport::Down;
            }),
            one("closes", "closed in the TLS handshake", |_, server| {
                server.transport = Transport::Close;
            }),
            one(
                "hangs",
                "no answer within 1s (in the TLS handshake)",
                |_, server| {
                    server.transport = Transport::Silent;
                },
            ),
            one(
                "hangs in the body",
                "in the middle of the response body",
                |_, server| {
                    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec();
                    server.jwks = Reply::Then(head, End::Never);
                },
            ),
            one("drips", "while waiting for the response", |_, server| {
                server.discovery = Reply::Drip(ok(discovery(super::ISSUER)));
            }),
            one("speaks something else", "does not speak TLS", |_, server| {
                server.transport = Transport::Say(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec());
            }),
            one("has a foreign certificate", "unknown CA", |_, server| {
                server.transport = Transport::Tls(Ca::new().server("kubernetes.default.svc", GOOD));
            }),
            one(
                "has a certificate of another name",
                "not valid for the name kubernetes.default.svc",
                |replicas, server| {
                    server.transport = Transport::Tls(replicas.ca.server("127.0.0.3", GOOD));
                },
            ),
            one("is of another issuer", "names another issuer", |_, server| {
                server.discovery = Reply::Whole(ok(discovery("https://foreign.example")));
            }),
            one("does not know us", "answered 401", |_, server| {
                let refusal = Reply::Whole(response("401 Unauthorized", "", "{}"));
                (server.discovery, server.jwks) = (refusal.clone(), refusal);
            }),
            one("answers 500", "answered 500", |_, server| {
                server.jwks = Reply::Whole(response("500 Internal Server Error", "", "{}"));
            }),
            one("answers garbage", "the answer is not", |_, server| {
                server.discovery = Reply::Whole(ok("\0\u{1}\u{2}"));
            }),
            one("says no HTTP", "not HTTP", |_, server| {
                server.discovery = Reply::Then(b"garbage\r\n\r\n".to_vec(), End::Orderly);
            }),
            one("is huge", "larger than 1048576 bytes", |_, server| {
                server.jwks = Reply::Whole(ok(" ".repeat((1 << 20) + 1)));
            }),
            one("never ends", "larger than 1048576 bytes", |_, server| {
                let body = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[b' '; 60_000]].concat();
                server.jwks = Reply::Endless(body);
            }),
            one("lists nothing", "lists no key", |_, server| {
                server.jwks = Reply::Whole(ok(r#"{"keys":[]}"#));
            }),
            one(
                "lists nothing publishable",
                "keys[0]: a symmetric key",
                |_, server| {
                    server.jwks = Reply::Whole(ok(r#"{"keys":[{"kty":"oct","kid":"s"}]}"#));
                },
            ),
        ],
        |fault| fault.name,
        one_played,
    );
}

async fn one_played(fault: OfOne) -> Result<(), String> {
    let replicas = Replicas::new().await;
    let breaks = || replicas.serve(1, |server| (fault.breaks)(&replicas, server));
    breaks();
    // After a single complete reading without it a key would be absent.
    let service = Service::run(&replicas.path("state"), &replicas.issuer(1), &[]);

    // Cold.
    service
        .until("the documents", async |service| service.keys(3).await)
        .await?;
    let line = service
        .until("a warning", async |service| service.warning(&replicas.name(1)))
        .await?;
    check(line.contains(fault.says), || {
        format!("the log should say {:?}: {line}", fault.says)
    })?;
    check(service.endpoints().await == [2, 1], || "not one is silent".into())?;
    check(service.admin("/readyz").await.status == 200, || {
        "not ready".into()
    })?;

    // Healed.
    replicas.heal();
    service
        .until("all keys", async |service| service.keys(4).await)
        .await?;
    check(service.endpoints().await == [3, 0], || {
        "one is still silent".into()
    })?;
    let healed = "can be read again";
    service
        .until("that it was healed", async |service| service.said(healed))
        .await?;

    // Warm.
    breaks();
    service
        .until("a silent endpoint", async |service| {
            (service.endpoints().await == [2, 1]).then_some(())
        })
        .await?;
    service.nothing_changes_for_five_reads().await?;
    let times = service
        .log()
        .matches("the endpoints of the API server are these now")
        .count();
    check(times == 1, || format!("they are told {times} times"))?;
    service.tells_no_secret()
}

#[test]
fn the_keys_of_a_foreign_endpoint_that_names_our_issuer_are_held() {
    at_once(
        vec![()],
        |()| "a foreign cluster of our name",
        async |()| {
            let replicas = Replicas::new().await;
            let service = Service::run(&replicas.path("state"), &replicas.issuer(1000), &[]);
            service
                .until("all keys", async |service| service.keys(4).await)
                .await?;
            replicas.serve(1, |server| {
                server.jwks = Reply::Whole(ok(replicas.jwks.foreign()));
            });
            let line = service
                .until("that its keys are held", async |service| {
                    service.warning("lists none of the published keys")
                })
                .await?;
            check(line.contains(&replicas.name(1)), || {
                format!("which of them? {line}")
            })?;
            check(service.endpoints().await == [3, 0], || "it was read".into())?;
            service.nothing_changes_for_five_reads().await
        },
    );
}

/// A fault of the list of endpoints.
struct OfList {
    name: &'static str,
    says: &'static [&'static str],
    slice: fn(&Replicas) -> Reply,
    /// Whether it is taken for "there is none for you", after which the address alone is read.
    is_final: bool,
}

const fn list(name: &'static str, says: &'static [&'static str], slice: fn(&Replicas) -> Reply) -> OfList {
    OfList {
        name,
        says,
        slice,
        is_final: false,
    }
}

#[test]
fn a_list_of_endpoints_that_cannot_be_read_takes_no_key() {
    let refused = |name, says, slice| OfList {
        is_final: true,
        ..list(name, says, slice)
    };
    at_once(
        vec![
            refused(
                "forbidden",
                &[
                    "answered 403",
                    "create role oidc-issuer-endpoints",
                    "endpoints: false",
                ],
                |_| Reply::Whole(response("403 Forbidden", "", "{}")),
            ),
            refused("not there", &["answered 404", "endpoints: false"], |_| {
                Reply::Whole(response("404 Not Found", "", "{}"))
            }),
            list("unauthorized", &["answered 401"], |_| {
                Reply::Whole(response("401 Unauthorized", "", "{}"))
            }),
            list("an error", &["answered 500"], |_| {
                Reply::Whole(response("500 Internal Server Error", "", "{}"))
            }),
            list("garbage", &["no EndpointSlice"], |_| Reply::Whole(ok("\0\u{1}"))),
            list("another object", &["no EndpointSlice"], |_| {
                Reply::Whole(ok(r#"{"kind":"Status","apiVersion":"v1"}"#))
            }),
            list("no port", &["without a port named https"], |replicas| {
                let mut slice = replicas.slice(&[0, 1, 2]);
                slice["ports"] = serde_json::json!([]);
                Reply::Whole(ok(slice.to_string()))
            }),
            list("huge", &["larger than 1048576 bytes"], |_| {
                Reply::Whole(ok(" ".repeat((1 << 20) + 1)))
            }),
            list("cut off", &["closed"], |_| {
                Reply::Then(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec(),
                    End::Orderly,
                )
            }),
            list("silence", &["no answer within 1s"], |_| {
                Reply::Then(Vec::new(), End::Never)
            }),
        ],
        |fault| fault.name,
        list_played,
    );
}

async fn list_played(fault: OfList) -> Result<(), String> {
    let replicas = Replicas::new().await;
    let breaks = || {
        let slice = (fault.slice)(&replicas);
        replicas.serve_at_the_address(|server| server.slice = slice.clone());
        for replica in 0..3 {
            replicas.serve(replica, |server| server.slice = slice.clone());
        }
    };
    breaks();
    let service = Service::run(&replicas.path("state"), &replicas.issuer(1), &[]);

    // Cold: the address alone.
    service
        .until("the documents", async |service| service.keys(1).await)
        .await?;
    let line = service
        .until("a warning", async |service| {
            service.warning("its one address is read instead")
        })
        .await?;
    for text in fault.says {
        check(line.contains(text), || {
            format!("the log should say {text:?}: {line}")
        })?;
    }
    let successes = service.successes().await;
    service
        .until("some more reads", async |service| {
            (service.successes().await > successes + 1.0).then_some(())
        })
        .await?;
    let times = service.log().matches("its one address is read instead").count();
    check(times == 1, || format!("it is said {times} times"))?;
    check(service.listed().await == Some(0.0), || "it is no list".into())?;

    // Healed.
    replicas.heal();
    service
        .until("all keys", async |service| service.keys(4).await)
        .await?;
    check(service.listed().await == Some(1.0), || "it is a list".into())?;
    check(service.endpoints().await == [3, 0], || "not all are read".into())?;

    // Warm: those known are asked, for a while or for good.
    breaks();
    let known = "those last known are asked";
    service
        .until("a warning", async |service| service.warning(known))
        .await?;
    if fault.is_final {
        let is_by_address = async |service: &Service| (service.endpoints().await == [0, 0]).then_some(());
        service.until("the address alone", is_by_address).await?;
        check(service.keys(4).await.is_some(), || "a key is gone".into())?;
    } else {
        check(service.endpoints().await == [3, 0], || "not all are read".into())?;
        service.nothing_changes_for_five_reads().await?;
    }
    service.tells_no_secret()
}

#[test]
fn an_address_that_is_dead_costs_nothing_once_the_endpoints_are_known() {
    at_once(
        vec![()],
        |()| "the address is dead",
        async |()| {
            let replicas = Replicas::new().await;
            let service = Service::run(&replicas.path("state"), &replicas.issuer(1), &[]);
            service
                .until("all keys", async |service| service.keys(4).await)
                .await?;
            let dead = || replicas.serve_at_the_address(|server| server.transport = Transport::Down);
            dead();
            service.nothing_changes_for_five_reads().await?;
            check(service.endpoints().await == [3, 0], || "they are read".into())?;
            check(service.listed().await == Some(1.0), || {
                "one of them has the list".into()
            })?;

            // A replica ends meanwhile: the others say so, and what it alone listed is retained.
            for replica in [0, 2] {
                replicas.serve(replica, |server| server.slice = replicas.lists(&[0, 2]));
            }
            replicas.serve(1, |server| server.transport = Transport::Down);
            let retained = async |service: &Service| {
                (service.metric("oidc_issuer_keys{", "retained").await == Some(1.0)).then_some(())
            };
            service.until("a retained key", retained).await?;
            check(service.keys(4).await.is_some(), || "a key is gone".into())
        },
    );
}

impl Service {
    /// Once so many keys are published.
    async fn keys(&self, count: usize) -> Option<()> {
        self.started()?;
        let jwks = self.get(DOCUMENTS[1]).await;
        (jwks.status == 200 && jwks.body.matches("\"kid\"").count() == count).then_some(())
    }

    /// The warning that holds this.
    fn warning(&self, holds: &str) -> Option<String> {
        let log = self.log();
        let line = log
            .lines()
            .find(|line| line.contains("\"WARN\"") && line.contains(holds))?;
        Some(line.replace("\\\"", "\""))
    }

    fn said(&self, text: &str) -> Option<()> {
        self.log().contains(text).then_some(())
    }

    /// How many were read, and how many were silent.
    async fn endpoints(&self) -> [usize; 2] {
        let mut states = [0; 2];
        for (state, count) in ["read", "silent"].into_iter().zip(&mut states) {
            let holds = format!("state=\"{state}\"");
            let value = self.metric("oidc_issuer_source_endpoints{", &holds).await;
            *count = value.map_or(9, |value| format!("{value}").parse().unwrap_or(9));
        }
        states
    }

    async fn listed(&self) -> Option<f64> {
        self.metric("oidc_issuer_source_endpoints_listed{", "").await
    }

    async fn successes(&self) -> f64 {
        self.failures("success").await.unwrap_or_default()
    }

    async fn nothing_changes_for_five_reads(&self) -> Result<(), String> {
        let (before, reads) = (self.documents().await, self.successes().await);
        self.until("five reads", async |service| {
            (service.successes().await >= reads + 5.0).then_some(())
        })
        .await?;
        check(self.documents().await == before, || {
            "the documents changed".into()
        })?;
        let retained = self.metric("oidc_issuer_keys{", "retained").await;
        check(retained == Some(0.0), || "a key counts as absent".into())?;
        check(self.admin("/readyz").await.status == 200, || {
            "no longer ready".into()
        })
    }

    fn tells_no_secret(&self) -> Result<(), String> {
        let log = self.log();
        check(!log.contains(TOKEN) && !log.contains("panic"), || {
            format!("the log tells: {log}")
        })
    }
}
