//! How an API server with several replicas is read.

use std::collections::BTreeSet;
use std::time::Duration;

use oidc_issuer::ring::Listing;
use oidc_issuer::source::{Accepted, Source, Survey};
use serde_json::json;

use super::ISSUER;
use super::replicas::Replicas;
use super::server::{End, Reply, Server, Transport, ok, response};
use super::world::discovery;
use crate::real::service::run;

/// The requests since the last time, by path.
fn seen(server: &Server) -> Vec<String> {
    let seen = std::mem::take(&mut *server.seen.lock().expect("no panic"));
    seen.iter()
        .map(|(_, head)| head.split(' ').nth(1).unwrap().to_owned())
        .collect()
}

/// Which endpoints were read, and which were not.
fn surveyed(survey: &Survey) -> (Vec<String>, Vec<String>) {
    let names = |silent: bool| {
        let endpoints = survey.endpoints.iter();
        let of = endpoints.filter(|asked| asked.failure.is_some() == silent);
        of.map(|asked| asked.endpoint.to_string()).collect()
    };
    (names(false), names(true))
}

fn source(replicas: &Replicas) -> Source {
    Source::new(&replicas.settings()).accepting(Accepted {
        issuer: ISSUER.to_owned(),
        claims: Vec::new(),
    })
}

fn jwks(listing: &Listing) -> BTreeSet<String> {
    listing.keys.iter().map(|key| key.jwk().to_owned()).collect()
}

#[tokio::test]
async fn each_replica_is_asked_and_the_union_is_listed() {
    let replicas = Replicas::new().await;
    let mut source = source(&replicas);
    let listing = source.read().await.unwrap();
    assert_eq!(listing.keys.len(), 4, "one that all have, and one of each");
    assert_eq!(jwks(&listing).len(), 4);
    assert!(listing.complete);
    assert_eq!(listing.issuer.as_deref(), Some(ISSUER));
    let said: Vec<_> = listing.endpoints.iter().map(|said| &*said.endpoint).collect();
    assert_eq!(said, [0, 1, 2].map(|replica| replicas.name(replica)));
    for said in &listing.endpoints {
        assert_eq!(said.keys.as_ref().unwrap().len(), 2);
    }
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    assert_eq!(seen(&replicas.address), [slice]);
    for server in &replicas.each {
        let documents = ["/.well-known/openid-configuration", "/openid/v1/jwks"];
        assert_eq!(seen(server), documents);
    }
}

#[tokio::test]
async fn they_are_asked_at_once_and_none_waits_for_another() {
    let replicas = Replicas::new().await;
    let mut source = source(&replicas);
    for replica in 0..3 {
        replicas.serve(replica, |server| server.transport = Transport::Silent);
    }
    let start = std::time::Instant::now();
    replicas.serve(2, |_| {});
    let listing = source.read().await.unwrap();
    assert_eq!(listing.keys.len(), 2);
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "2 s are the bound of one: {took:?}"
    );
    let silent: Vec<_> = listing.endpoints.iter().map(|said| said.keys.is_none()).collect();
    assert_eq!(silent, [true, true, false]);
}

#[tokio::test]
async fn one_that_names_another_issuer_is_silent_and_the_others_are_heard() {
    let replicas = Replicas::new().await;
    let mut source = source(&replicas);
    replicas.serve(1, |server| {
        server.discovery = Reply::Whole(ok(discovery("https://foreign.example")));
    });
    let listing = source.read().await.unwrap();
    assert_eq!(listing.keys.len(), 3);
    assert!(listing.endpoints[1].keys.is_none());
    let survey = source.survey().unwrap();
    let error = survey.endpoints[1].failure.as_ref().unwrap();
    assert_eq!(error.label(), "other_issuer");
    assert!(error.to_string().contains(&replicas.name(1)), "{error}");
    assert!(!seen(&replicas.each[1]).contains(&"/openid/v1/jwks".to_owned()));
}

#[tokio::test]
async fn what_an_endpoint_holds_back_is_told_with_its_name() {
    let replicas = Replicas::new().await;
    let body = replicas.jwks.of(2).replace("]}", r#",{"kty":"oct","kid":"s"}]}"#);
    replicas.serve(2, |server| server.jwks = Reply::Whole(ok(body)));
    replicas.serve(1, |server| {
        server.jwks = Reply::Whole(ok(r#"{"keys":[{"kty":"oct","kid":"t"}]}"#));
    });
    let listing = source(&replicas).read().await.unwrap();
    let entries: Vec<_> = listing
        .quarantined
        .iter()
        .map(|held| held.entry.as_str())
        .collect();
    let expected = [
        format!("{}: keys[0]", replicas.name(1)),
        format!("{}: keys[2]", replicas.name(2)),
    ];
    assert_eq!(entries, expected);
    assert!(
        listing.endpoints[1].keys.is_none(),
        "a set with nothing publishable is a failed read"
    );
}

#[tokio::test]
async fn the_shortest_max_age_counts() {
    let replicas = Replicas::new().await;
    for (replica, seconds) in [(0, 3600), (2, 20)] {
        let header = format!("cache-control: max-age={seconds}\r\n");
        replicas.serve(replica, |server| {
            server.jwks = Reply::Whole(response("200 OK", &header, replicas.jwks.of(replica)));
        });
    }
    let max_age = source(&replicas).read().await.unwrap().max_age;
    assert_eq!(max_age.map(|age| age.as_secs()), Some(20));
}

#[tokio::test]
async fn endpoints_that_come_and_go_are_followed() {
    let replicas = Replicas::new().await;
    let mut source = source(&replicas);
    for there in [&[0][..], &[0, 1], &[1, 2], &[2], &[0, 1, 2]] {
        replicas.serve_at_the_address(|server| server.slice = replicas.lists(there));
        let listing = source.read().await.unwrap();
        assert_eq!(listing.keys.len(), there.len() + 1);
        assert!(listing.complete, "one that left the slice no longer counts");
        let names: Vec<_> = there.iter().map(|replica| replicas.name(*replica)).collect();
        assert_eq!(surveyed(source.survey().unwrap()), (names, Vec::new()));
    }
}

#[tokio::test]
async fn while_the_address_is_dead_the_endpoints_say_which_there_are() {
    let replicas = Replicas::new().await;
    let mut source = source(&replicas);
    replicas.serve_at_the_address(|server| server.slice = replicas.lists(&[0, 1]));
    source.read().await.unwrap();
    replicas.serve_at_the_address(|server| server.transport = Transport::Down);
    for replica in 0..3 {
        replicas.serve(replica, |server| server.slice = replicas.lists(&[1, 2]));
    }
    let listing = source.read().await.unwrap();
    let expected = [1, 2].map(|replica| replicas.name(replica)).to_vec();
    assert_eq!(surveyed(source.survey().unwrap()), (expected, Vec::new()));
    assert_eq!(listing.keys.len(), 3, "the one that left is no longer heard");
    assert!(listing.complete);
}

#[tokio::test]
async fn where_nobody_says_which_there_are_those_last_known_are_asked() {
    let replicas = Replicas::new().await;
    let mut source = source(&replicas);
    let expected = source.read().await.unwrap();
    for slice in [
        Reply::Whole(response("500 Internal Server Error", "", "{}")),
        Reply::Whole(ok("garbage")),
        Reply::Whole(ok("{}")),
        Reply::Whole(ok(" ".repeat((1 << 20) + 1))),
        Reply::Then(Vec::new(), End::Orderly),
        Reply::Then(Vec::new(), End::Never),
    ] {
        replicas.serve_at_the_address(|server| server.slice = slice.clone());
        for replica in 0..3 {
            replicas.serve(replica, |server| server.slice = slice.clone());
        }
        let listing = source.read().await.unwrap();
        assert_eq!(jwks(&listing), jwks(&expected));
        assert!(!listing.complete, "who knows who else there is");
        assert!(source.survey().unwrap().unlisted.is_some());
    }
}

#[tokio::test]
async fn without_the_right_to_list_them_the_address_is_read_and_the_remedy_is_said() {
    let replicas = Replicas::new().await;
    let mut source = source(&replicas);
    let message =
        "forbidden: User \\\"system:serviceaccount:ns:reader\\\" cannot get resource \\\"endpointslices\\\"";
    let status = format!("{{\"kind\":\"Status\",\"message\":\"{message}\",\"code\":403}}");
    replicas.serve_at_the_address(|server| {
        server.slice = Reply::Whole(response("403 Forbidden", "", status));
    });
    let mut tries = Vec::new();
    for _ in 0..14 {
        let listing = source.read().await.unwrap();
        assert_eq!((listing.keys.len(), listing.endpoints.len()), (1, 0));
        assert!(listing.complete, "it is the only one asked");
        let error = source.survey().unwrap().unlisted.as_ref().unwrap().to_string();
        for said in [
            "endpointslices/kubernetes: answered 403",
            "--serviceaccount=ns:reader",
            "endpoints: false",
        ] {
            assert!(error.contains(said), "{error}");
        }
        tries.push(seen(&replicas.address).len() == 3);
    }
    let again: Vec<_> = tries
        .iter()
        .enumerate()
        .filter(|(_, tried)| **tried)
        .map(|(read, _)| read)
        .collect();
    assert_eq!(again, [0, 6, 12], "now and then it is tried again");

    replicas.heal();
    for _ in 0..6 {
        source.read().await.unwrap();
    }
    assert!(source.survey().unwrap().unlisted.is_none());
    assert_eq!(
        source.survey().unwrap().endpoints.len(),
        3,
        "a grant is picked up"
    );
}

#[tokio::test]
async fn a_refusal_is_believed_at_once_only_where_no_endpoint_is_known() {
    let replicas = Replicas::new().await;
    let mut source = source(&replicas);
    source.read().await.unwrap();
    for status in ["403 Forbidden", "404 Not Found"] {
        let refused = Reply::Whole(response(status, "", "{}"));
        replicas.serve_at_the_address(|server| server.slice = refused.clone());
        for replica in 0..3 {
            replicas.serve(replica, |server| server.slice = refused.clone());
        }
        let asked = async |source: &mut Source| {
            let listing = source.read().await.unwrap();
            (source.survey().unwrap().endpoints.len(), listing.complete)
        };
        assert_eq!(asked(&mut source).await, (3, false), "{status}");
        assert_eq!(asked(&mut source).await, (3, false), "{status}");
        assert_eq!(asked(&mut source).await, (0, true), "{status}");
        replicas.heal();
        while source.survey().unwrap().endpoints.is_empty() {
            source.read().await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_empty_slice_leaves_the_address() {
    let replicas = Replicas::new().await;
    replicas.serve_at_the_address(|server| server.slice = replicas.lists(&[]));
    let mut source = source(&replicas);
    let listing = source.read().await.unwrap();
    assert_eq!((listing.keys.len(), listing.complete), (1, true));
    assert!(source.survey().unwrap().unlisted.is_none());
}

#[tokio::test]
async fn a_slice_with_something_else_than_addresses_is_said_and_the_rest_is_asked() {
    let replicas = Replicas::new().await;
    let mut slice = replicas.slice(&[0, 1, 2]);
    slice["endpoints"][1]["addresses"] = json!(["api.example.com"]);
    replicas.serve_at_the_address(|server| server.slice = Reply::Whole(ok(slice.to_string())));
    let mut source = source(&replicas);
    let listing = source.read().await.unwrap();
    assert_eq!((listing.endpoints.len(), listing.complete), (2, false));
    let survey = source.survey().unwrap();
    let error = survey.unlisted.as_ref().unwrap().to_string();
    assert!(error.contains("an endpoint without an IP address"), "{error}");
}

#[tokio::test]
async fn where_no_endpoint_can_be_read_the_address_is_the_last_resort() {
    let replicas = Replicas::new().await;
    let mut source = source(&replicas);
    for replica in 0..3 {
        replicas.serve(replica, |server| {
            server.transport = Transport::Tls(replicas.ca.server("other.example", super::certificates::GOOD));
        });
    }
    let listing = source.read().await.unwrap();
    assert_eq!((listing.keys.len(), listing.endpoints.len()), (1, 4));
    assert!(!listing.complete);
    let silent = [0, 1, 2].map(|replica| replicas.name(replica)).to_vec();
    assert_eq!(surveyed(source.survey().unwrap()), (Vec::new(), silent));
}

#[tokio::test]
async fn where_none_can_be_read_at_all_the_most_telling_error_is_told() {
    let replicas = Replicas::new().await;
    let mut source = source(&replicas);
    source.read().await.unwrap();
    replicas.serve_at_the_address(|server| server.transport = Transport::Down);
    replicas.serve(0, |server| server.transport = Transport::Down);
    replicas.serve(1, |server| {
        server.discovery = Reply::Whole(ok(discovery("https://foreign.example")));
    });
    replicas.serve(2, |server| server.jwks = Reply::Whole(response("500 Oh", "", "")));
    let error = source.read().await.unwrap_err();
    assert_eq!(error.label(), "other_issuer", "{error}");
    replicas.serve(1, |server| server.transport = Transport::Down);
    assert_eq!(source.read().await.unwrap_err().label(), "http_status");
    assert_eq!(surveyed(source.survey().unwrap()).1.len(), 3);
}

#[tokio::test]
async fn each_endpoint_is_checked_for_the_name_that_every_api_server_has() {
    let replicas = Replicas::new().await;
    replicas.serve(0, |server| {
        server.transport = Transport::Tls(replicas.ca.server("127.0.0.2", super::certificates::GOOD));
    });
    let mut source = source(&replicas);
    source.read().await.unwrap();
    let survey = source.survey().unwrap();
    let error = survey.endpoints[0].failure.as_ref().unwrap().to_string();
    assert!(
        error.contains("not valid for the name kubernetes.default.svc"),
        "{error}"
    );
}

#[tokio::test]
async fn inspect_tells_in_what_the_replicas_differ() {
    let replicas = Replicas::new().await;
    let kubeconfig = replicas.kubeconfig();
    let inspect = async |further: &'static [&'static str]| {
        let kubeconfig = kubeconfig.clone();
        let inspected = tokio::task::spawn_blocking(move || {
            run(&[&["inspect", "--endpoints", "--kubeconfig", &kubeconfig], further].concat())
        });
        let output = inspected.await.unwrap();
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.stdout
    };
    replicas.serve(1, |server| {
        server.discovery = Reply::Whole(ok(discovery("https://foreign.example")));
    });
    replicas.serve(2, |server| server.transport = Transport::Down);
    let table = inspect(&[]).await;
    let [first, second, third] = [0, 1, 2].map(|replica| replicas.name(replica));
    for said in [
        format!("{first}: issuer {ISSUER}, keys "),
        format!("{second}: issuer https://foreign.example, keys "),
        format!("{third}: not read: https://{third}/: connection refused"),
    ] {
        assert!(table.contains(&said), "{said}: {table}");
    }
    let shown: serde_json::Value = serde_json::from_str(&inspect(&["--output", "json"]).await).unwrap();
    let endpoints = shown["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 3);
    assert_eq!(endpoints[0]["kids"].as_array().unwrap().len(), 2);
    assert_eq!(endpoints[1]["issuer"], "https://foreign.example");
    assert!(endpoints[2]["failed"].is_string());

    replicas.heal();
    for replica in 0..3 {
        replicas.serve(replica, |server| {
            server.jwks = Reply::Whole(ok(replicas.jwks.shared()));
        });
    }
    let table = inspect(&[]).await;
    let same = format!("All replicas say the same (3): {first}, {second}, {third}.");
    assert!(table.contains(&same), "{table}");
}

#[tokio::test]
async fn a_single_address_asks_for_no_endpoints() {
    let replicas = Replicas::new().await;
    let oidc_issuer::source::SourceSettings::ApiServer(mut settings) = replicas.settings() else {
        unreachable!()
    };
    for endpoints in [None, Some(false)] {
        settings.endpoints = endpoints;
        let mut source = Source::new(&oidc_issuer::source::SourceSettings::ApiServer(settings.clone()));
        let listing = source.read().await.unwrap();
        assert_eq!((listing.keys.len(), listing.endpoints.len()), (1, 0));
        assert!(source.survey().is_none());
        assert_eq!(seen(&replicas.address).len(), 2);
    }
}
