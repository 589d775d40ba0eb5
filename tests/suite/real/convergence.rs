//! Three replicas of one issuer, each on its own way to the API server and to the store: what one of them learns all
//! publish, to the byte, within one refresh; and one that is cut off takes nothing away when it is back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{CLUSTER, Cluster};
use super::http::Answer;
use super::manifests;
use super::pki::rsa_key;
use super::program::eventually;
use super::programs::Programs;
use super::replicas::{Replicas, kids};
use super::wire::Wire;

const ISSUER: &str = "https://keys.example";
const REPLICAS: usize = 3;
const REFRESH: Duration = Duration::from_secs(2);

/// What a busy machine may add.
const MARGIN: Duration = Duration::from_secs(3);

struct World {
    cluster: Cluster,
    replicas: Replicas,
    sources: Vec<Wire>,
    stores: Vec<Wire>,
}

impl World {
    async fn start(programs: &Programs) -> Self {
        let cluster = Cluster::start(programs, ISSUER).await;
        cluster.kubeconfig().await;
        manifests::permit(&cluster).await;
        let token_file = cluster.renew_token().await;
        let access =
            |wire: &Wire| json!({ "server": wire.url(), "caFile": cluster.ca(), "tokenFile": token_file });
        let (mut sources, mut stores, mut configs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..REPLICAS {
            let source = Wire::to(&[cluster.address()]).await;
            let store = Wire::to(&[cluster.address()]).await;
            let mut in_store = access(&store);
            in_store["namespace"] = json!("oidc-issuer");
            configs.push(json!({
                "issuers": [{
                    "issuer": ISSUER,
                    "refresh": format!("{}s", REFRESH.as_secs()),
                    "sources": [{ "apiServer": access(&source) }],
                }],
                "store": { "kubernetes": in_store },
            }));
            sources.push(source);
            stores.push(store);
        }
        let replicas = Replicas::start_each(configs, cluster.pki()).await;
        Self {
            cluster,
            replicas,
            sources,
            stores,
        }
    }

    /// The API server lists these keys from now on, and signs with the last.
    async fn list(&mut self, names: &[&str]) {
        let files: Vec<_> = names
            .iter()
            .map(|name| {
                let file = self.cluster.signing_key.with_file_name(name);
                if !file.exists() {
                    std::fs::write(&file, rsa_key()).expect("a file");
                }
                file
            })
            .collect();
        self.cluster.signing_key = files.last().expect("a key").clone();
        self.cluster.restart_with_keys(&files).await;
        self.cluster.renew_token().await;
    }

    /// Waits until all publish so many keys, which they do within a refresh after the first of them does.
    async fn converge_on(&self, keys: usize) -> Answer {
        let has_them = async |place: usize| {
            let answer = self.replicas.document(place, "/jwks").await?;
            (kids(&answer.body).len() == keys).then_some(())
        };
        eventually(&format!("one of them publishes {keys} keys"), async || {
            for place in 0..REPLICAS {
                if has_them(place).await.is_some() {
                    return Some(());
                }
            }
            None
        })
        .await;
        let first = Instant::now();
        let what = format!("all of them publish the same {keys} keys");
        let answer = self.replicas.agree(&what, |kids| kids.len() == keys).await;
        let took = first.elapsed();
        assert!(took <= REFRESH + MARGIN, "{what}, but only after {took:?}");
        answer
    }

    /// Waits until this replica says so of its store.
    async fn store_of(&self, place: usize, reachable: f64) {
        eventually("a replica knows how its store is", async || {
            let row = self.replicas.metric(place, "oidc_issuer_store_reachable").await?;
            ((row - reachable).abs() < 0.1).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_one_replica_learns_all_publish_within_a_refresh() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let mut world = World::start(&programs).await;
    world.replicas.agree("one key", |kids| kids.len() == 1).await;

    // Two of them cannot read the API server: they know of the new key by the store alone.
    for wire in &world.sources[1..] {
        wire.cut();
    }
    world.list(&["sa.key", "b.key"]).await;
    world.converge_on(2).await;
    for wire in &world.sources[1..] {
        wire.turn_to(&[world.cluster.address()]);
    }

    // A key that has left is retained by all: nothing is counted twice or forgotten.
    world.list(&["b.key"]).await;
    let absent = "oidc_issuer_key_leaves_timestamp_seconds";
    for place in 0..REPLICAS {
        eventually("the key is absent", async || {
            world.replicas.metric(place, absent).await
        })
        .await;
    }
    world.replicas.are_stored().await;
    world.converge_on(2).await;
}

#[tokio::test]
async fn a_replica_that_is_cut_off_from_its_store_rejoins_without_taking_a_key_away() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let mut world = World::start(&programs).await;
    world.replicas.agree("one key", |kids| kids.len() == 1).await;
    world.replicas.are_stored().await;

    // It goes on by what it reads itself, also after a crash …
    world.stores[2].cut();
    world.store_of(2, 0.0).await;
    world.list(&["sa.key", "b.key"]).await;
    world.converge_on(2).await;
    world.replicas.kill(2).await;
    world.replicas.start_again(2).await;
    let body = world.replicas.document(2, "/jwks").await.expect("an answer").body;
    assert_eq!(kids(&body).len(), 2, "{body}");

    // … and without that, it misses a key that comes and goes, and keeps one that it alone knows as listed.
    world.sources[2].cut();
    world.list(&["b.key", "c.key"]).await;
    eventually("the others have the third key", async || {
        let answer = world.replicas.document(0, "/jwks").await?;
        (kids(&answer.body).len() == 3).then_some(())
    })
    .await;
    let alone = world.replicas.document(2, "/jwks").await.expect("an answer").body;
    assert_eq!(kids(&alone).len(), 2, "{alone}");

    // Back at its store, it knows all, and the others lose nothing to what it believed.
    world.stores[2].turn_to(&[world.cluster.address()]);
    let all = world
        .replicas
        .agree("all keys everywhere", |kids| kids.len() == 3)
        .await;
    world.sources[2].turn_to(&[world.cluster.address()]);
    world.replicas.are_stored().await;
    let after = world
        .replicas
        .agree("the same keys", |kids| kids.len() == 3)
        .await;
    let sorted = |answer: &Answer| {
        let mut kids = kids(&answer.body);
        kids.sort();
        kids
    };
    assert_eq!(sorted(&all), sorted(&after));
    let stored: Value = world
        .cluster
        .get("/api/v1/namespaces/oidc-issuer/configmaps?labelSelector=app.kubernetes.io/component%3Dledger")
        .await
        .json();
    assert_eq!(stored["items"].as_array().map(Vec::len), Some(1), "one ledger");
}
