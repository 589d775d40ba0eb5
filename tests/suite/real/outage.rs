//! The cold outage: every API server is down, and every replica was killed. What a replica says first is right.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::cluster::{CLUSTER, Cluster};
use super::http::Answer;
use super::manifests;
use super::pki::rsa_key;
use super::program::eventually;
use super::programs::Programs;
use super::replicas::Replicas;
use super::wire::Wire;

const ISSUER: &str = "https://keys.example";
const DOCUMENTS: [&str; 2] = ["/.well-known/openid-configuration", "/jwks"];
const REPLICAS: usize = 3;

/// How the API server fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// Nobody is at its address.
    Gone,
    /// Connections to it are made, and nothing comes back.
    Silent,
}

#[tokio::test]
async fn after_a_cold_outage_the_first_answer_is_the_right_one_with_the_file_store() {
    if let Some(programs) = Programs::find(CLUSTER) {
        starts_cold(&programs, Outage::Gone, |_| json!({ "file": {} })).await;
    }
}

#[tokio::test]
async fn after_a_cold_outage_the_first_answer_is_the_right_one_with_the_kubernetes_store() {
    if let Some(programs) = Programs::find(CLUSTER) {
        starts_cold(&programs, Outage::Gone, kubernetes).await;
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_delays_the_first_answer_and_does_not_change_it() {
    if let Some(programs) = Programs::find(CLUSTER) {
        starts_cold(&programs, Outage::Silent, kubernetes).await;
    }
}

fn kubernetes(access: &Value) -> Value {
    let mut store = access.clone();
    store["namespace"] = json!("oidc-issuer");
    json!({ "kubernetes": store })
}

async fn starts_cold(programs: &Programs, outage: Outage, store: impl Fn(&Value) -> Value) {
    let mut cluster = Cluster::start(programs, ISSUER).await;
    cluster.kubeconfig().await;
    manifests::permit(&cluster).await;
    let wire = Wire::to(&[cluster.address()]).await;
    let token_file = cluster.renew_token().await;
    let access = json!({ "server": wire.url(), "caFile": cluster.ca(), "tokenFile": token_file });
    let config = json!({
        "issuers": [{ "issuer": ISSUER, "refresh": "1s", "sources": [{ "apiServer": access }] }],
        "store": store(&access),
    });
    let mut replicas = Replicas::start(REPLICAS, &config, cluster.pki()).await;
    replicas.agree("the key", |kids| kids.len() == 1).await;

    // One key is listed, another only retained: whoever asked the API server could not know it.
    let next = cluster.signing_key.with_file_name("next.key");
    std::fs::write(&next, rsa_key()).expect("a file");
    let old = std::mem::replace(&mut cluster.signing_key, next.clone());
    cluster.restart_with_keys(&[next.clone(), old]).await;
    cluster.renew_token().await;
    replicas.agree("both keys", |kids| kids.len() == 2).await;
    cluster.restart_with_keys(&[next]).await;
    for place in 0..REPLICAS {
        eventually("a key that has left is retained", async || {
            let leaves = "oidc_issuer_key_leaves_timestamp_seconds";
            replicas.metric(place, leaves).await
        })
        .await;
    }
    if config["store"]["kubernetes"].is_object() {
        replicas.are_stored().await;
    }
    let mut before = Vec::new();
    for path in DOCUMENTS {
        before.push(replicas.document(0, path).await.expect("an answer"));
    }

    for place in 0..REPLICAS {
        replicas.kill(place).await;
    }
    match outage {
        Outage::Gone => cluster.stop().await,
        Outage::Silent => wire.swallow(),
    }
    for place in 0..REPLICAS {
        let asked = DOCUMENTS[place % DOCUMENTS.len()];
        let began = Instant::now();
        replicas.spawn_again(place);
        let first = first_answer(&replicas, place, asked).await;
        same(&first, &before[place % DOCUMENTS.len()], "the first answer");
        // Its start takes a moment as well, on a machine that does much else.
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    // It is not the last one either.
    for place in 0..REPLICAS {
        eventually("reads have failed", async || {
            let failures = "oidc_issuer_source_consecutive_failures";
            (replicas.metric(place, failures).await? >= 2.0).then_some(())
        })
        .await;
        for (path, before) in DOCUMENTS.iter().zip(&before) {
            let now = replicas.document(place, path).await.expect("an answer");
            same(&now, before, path);
        }
        replicas.ready(place).await;
    }

    // And all is well when it is over.
    match outage {
        Outage::Gone => cluster.start_again().await,
        Outage::Silent => wire.turn_to(&[cluster.address()]),
    }
    replicas.agree("the same keys", |kids| kids.len() == 2).await;
    for (path, before) in DOCUMENTS.iter().zip(&before) {
        same(
            &replicas.document(0, path).await.expect("an answer"),
            before,
            path,
        );
    }
}

/// The first answer of any kind that a process gives to this request.
async fn first_answer(replicas: &Replicas, place: usize, path: &str) -> Answer {
    let url = replicas.url(place, path);
    eventually("an answer", async || {
        replicas.http().send(Method::GET, &url, None, None).await.ok()
    })
    .await
}

fn same(now: &Answer, before: &Answer, what: &str) {
    assert_eq!((now.status, &now.body), (200, &before.body), "{what}");
    for header in ["etag", "cache-control", "content-type"] {
        assert_eq!(now.headers[header], before.headers[header], "{what}: {header}");
    }
}
