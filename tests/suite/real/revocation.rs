//! A key is revoked while everything is under load: within a refresh no replica has it, and who asks again refuses its
//! tokens; those of the other key are taken all the while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use super::cluster::{CLUSTER, Cluster};
use super::manifests;
use super::pki::rsa_key;
use super::program::{eventually, free_port};
use super::programs::Programs;
use super::replicas::{Balancer, Replicas, kids};
use super::running_verifiers::{self, NAMES, Verifiers};
use super::service::{Output, run};
use super::tokens;
use super::world::{AUDIENCE, NAMESPACE, SERVICE_ACCOUNT};

const REPLICAS: usize = 3;
const REFRESH: Duration = Duration::from_secs(2);

/// What a busy machine may add.
const MARGIN: Duration = Duration::from_secs(3);

/// How many ask for the keys all the time, beside the verifiers.
const CLIENTS: usize = 4;

/// How long jose and `PyJWT` keep a set of keys.
const KEPT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_a_revoked_key_is_gone_from_every_replica_within_a_refresh() {
    let needs = [CLUSTER, running_verifiers::PROGRAMS, &["haproxy"]].concat();
    let Some(programs) = Programs::find(&needs) else {
        return;
    };
    let mut world = World::start(&programs).await;
    let (verifiers, kid) = (Arc::clone(&world.verifiers), tokens::kid(&world.leaked));
    for (place, name) in NAMES.iter().enumerate() {
        for token in [&world.leaked, &world.good] {
            assert_eq!(verifiers.judge(place, token).await, Ok(()), "{name}");
        }
    }

    let load = Load::start(&world);
    let told = world.keys(&["revoke", &kid, "--reason", "it leaked"]);
    let revoked = Instant::now();
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    let after = world.replicas.agree("one key", |kids| !kids.contains(&kid)).await;
    let took = revoked.elapsed();
    assert!(
        took <= REFRESH + MARGIN,
        "gone everywhere, but only after {took:?}"
    );
    load.is_gone(&kid);
    assert_eq!(kids(&after.body), [tokens::kid(&world.good)]);
    assert_eq!(after.headers["cache-control"], "public, max-age=60");

    // Who asks again refuses its tokens, and takes the others.
    for (place, name) in NAMES.iter().enumerate() {
        eventually(&format!("{name} refuses it"), async || {
            // OpenBao asks again only when it meets a key that it does not know.
            let unknown = tokens::sign(&tokens::claims(&world.leaked), &rsa_key(), "unknown");
            let judged = verifiers.judge(place, &unknown).await;
            judged.expect_err("the token of a key that was never published");
            verifiers.judge(place, &world.leaked).await.err()
        })
        .await;
        assert_eq!(verifiers.judge(place, &world.good).await, Ok(()), "{name}");
    }

    // The API server lists it to this day, and a replica that starts does not know better.
    assert!(world.cluster.jwks().await.contains(&kid));
    world.replicas.kill(2).await;
    world.replicas.start_again(2).await;
    for place in 0..REPLICAS {
        let now = world.reads(place).await;
        eventually("more reads", async || {
            (world.reads(place).await >= now + 2.0).then_some(())
        })
        .await;
    }
    world.replicas.agree("the same key", |kids| kids.len() == 1).await;
    let (judged, asked) = load.end();
    eprintln!(
        "gone from every replica {took:?} after it was revoked; meanwhile {judged} valid tokens were judged and {asked} \
         requests answered, none wrongly"
    );
}

/// A cluster with two keys, the service behind its load balancer, and the verifiers.
struct World {
    cluster: Cluster,
    replicas: Replicas,
    verifiers: Arc<Verifiers>,
    issuer: String,
    /// A token of each key.
    leaked: String,
    good: String,
    _balancer: Balancer,
}

impl World {
    async fn start(programs: &Programs) -> Self {
        let port = free_port();
        let issuer = format!("https://localhost:{port}");
        let mut cluster = Cluster::start(programs, &issuer).await;
        cluster.kubeconfig().await;
        manifests::permit(&cluster).await;
        cluster.create_service_account(NAMESPACE, SERVICE_ACCOUNT).await;
        let leaked = token(&cluster).await;
        let next = cluster.signing_key.with_file_name("next.key");
        std::fs::write(&next, rsa_key()).expect("a file");
        let old = std::mem::replace(&mut cluster.signing_key, next.clone());
        cluster.restart_with_keys(&[next, old]).await;
        let good = token(&cluster).await;

        let token_file = cluster.renew_token().await;
        let access = json!({ "server": cluster.url(""), "caFile": cluster.ca(), "tokenFile": token_file });
        let mut in_store = access.clone();
        in_store["namespace"] = json!("oidc-issuer");
        let config = json!({
            "issuers": [{
                "issuer": issuer,
                "refresh": format!("{}s", REFRESH.as_secs()),
                "sources": [{ "apiServer": access }],
            }],
            "store": { "kubernetes": in_store },
        });
        let replicas = Replicas::start(REPLICAS, &config, cluster.pki()).await;
        let before = replicas.agree("both keys", |kids| kids.len() == 2).await;
        let cached = before.headers["cache-control"].to_str().expect("text");
        assert!(cached.contains("max-age=300"), "{cached}");
        replicas.are_stored().await;
        let balancer = Balancer::start(programs, port, &replicas, cluster.pki()).await;
        let verifiers = Verifiers::start(programs, &issuer, cluster.ca(), KEPT).await;
        Self {
            cluster,
            replicas,
            verifiers: Arc::new(verifiers),
            issuer,
            leaked,
            good,
            _balancer: balancer,
        }
    }

    /// What `oidc-issuer keys …` says beside the first replica.
    fn keys(&self, arguments: &[&str]) -> Output {
        let state = self.replicas.state(0);
        let state = state.to_str().expect("a path in UTF-8");
        let place = ["--issuer", &self.issuer, "--state-dir", state];
        run(&[&["keys"], arguments, &place].concat())
    }

    async fn reads(&self, place: usize) -> f64 {
        let reads = "oidc_issuer_source_reads_total";
        let row = self.replicas.row(place, reads, "result=\"success\"");
        row.await.unwrap_or_default()
    }
}

async fn token(cluster: &Cluster) -> String {
    cluster
        .token(NAMESPACE, SERVICE_ACCOUNT, Some(AUDIENCE), None)
        .await
}

/// Verifiers that judge a valid token, and clients that ask for the keys, without a pause.
struct Load {
    tasks: JoinSet<()>,
    judged: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
    /// The key that no answer may have any more.
    gone: Arc<OnceLock<String>>,
}

impl Load {
    fn start(world: &World) -> Self {
        let mut load = Self {
            tasks: JoinSet::new(),
            judged: Arc::default(),
            asked: Arc::default(),
            gone: Arc::default(),
        };
        for (place, name) in NAMES.iter().enumerate() {
            let (verifiers, good) = (Arc::clone(&world.verifiers), world.good.clone());
            let judged = Arc::clone(&load.judged);
            load.tasks.spawn(async move {
                loop {
                    assert_eq!(verifiers.judge(place, &good).await, Ok(()), "{name}");
                    judged.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        for _ in 0..CLIENTS {
            let (http, jwks) = (world.replicas.http().clone(), format!("{}/jwks", world.issuer));
            let asked = Arc::clone(&load.asked);
            let gone = Arc::clone(&load.gone);
            load.tasks.spawn(async move {
                loop {
                    let gone = gone.get();
                    let answer = http.get(&jwks).await;
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    let has_it = gone.is_some_and(|kid| answer.body.contains(kid));
                    assert!(!has_it, "{}", answer.body);
                    asked.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        load
    }

    /// From now on no answer may have this key.
    fn is_gone(&self, kid: &str) {
        self.gone.set(kid.to_owned()).expect("it is told once");
    }

    /// How many tokens were judged and requests answered.
    ///
    /// # Panics
    ///
    /// If one of them was not as it should be.
    fn end(mut self) -> (u64, u64) {
        while let Some(ended) = self.tasks.try_join_next() {
            ended.expect("all was as it should be");
        }
        (
            self.judged.load(Ordering::Relaxed),
            self.asked.load(Ordering::Relaxed),
        )
    }
}
