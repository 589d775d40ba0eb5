//! What happens, in its order.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use super::super::apiserver::Keys;
use super::super::control_plane::ControlPlane;
use super::super::pki::rsa_key;
use super::super::program::{eventually, free_port};
use super::super::programs::Programs;
use super::super::replicas::{Balancer, Replicas, kids};
use super::super::running_verifiers::{NAMES, Verifiers};
use super::super::tokens;
use super::super::wire::Wire;
use super::super::world::{AUDIENCE, NAMESPACE, SERVICE_ACCOUNT};
use super::plan::Plan;
use super::pool::{Minted, Pool};
use super::tally::Tally;

const REPLICAS: usize = 3;
const ROTATIONS: usize = 3;

/// Between two tokens of one verifier.
const PAUSE: Duration = Duration::from_millis(150);

/// Between two looks at a replica.
const LOOK: Duration = Duration::from_millis(300);

struct Story {
    plan: Plan,
    plane: ControlPlane,
    replicas: Replicas,
    store: Wire,
    left: Vec<Old>,
    tally: Arc<Tally>,
}

/// A key that has signed, and signs no more.
struct Old {
    file: PathBuf,
    kid: String,
    /// Lives two hours: only its key can be why it is refused.
    token: String,
    /// From when on no API server lists it.
    removed: Option<Instant>,
}

/// Starts everything, rotates three times, waits for the old keys to leave, and prints what was counted.
pub(super) async fn tell(programs: &Programs, plan: Plan) {
    let began = Instant::now();
    let port = free_port();
    let issuer = format!("https://localhost:{port}");
    let plane = ControlPlane::start(programs, &issuer).await;
    plane
        .api(0)
        .create_service_account(NAMESPACE, SERVICE_ACCOUNT)
        .await;
    let token_file = plane.account().await;
    let service_address = Wire::to(&ControlPlane::addresses()).await;
    let store_wire = Wire::to(&ControlPlane::addresses()).await;
    let access = |wire: &Wire| json!({ "server": wire.url(), "caFile": plane.ca(), "tokenFile": token_file });
    let mut source = access(&service_address);
    source["endpoints"] = json!(true);
    let mut in_store = access(&store_wire);
    in_store["namespace"] = json!("oidc-issuer");
    let config = plan.config(&issuer, &source, &in_store);
    let replicas = Replicas::start(REPLICAS, &config, plane.pki()).await;
    let _balancer = Balancer::start(programs, port, &replicas, plane.pki()).await;
    let verifiers = Verifiers::start(programs, &issuer, plane.ca(), plan.max_age).await;
    let verifiers = Arc::new(verifiers);
    say(began, "everything runs");

    let (tally, pool) = (Arc::new(Tally::new()), Arc::new(Pool::new(plan.token_lifetime)));
    let mut tasks = JoinSet::new();
    for place in 0..2 {
        tasks.spawn(Arc::clone(&pool).mint(place, plane.api(place).clone()));
    }
    for place in 0..NAMES.len() {
        let (verifiers, pool, tally) = (Arc::clone(&verifiers), Arc::clone(&pool), Arc::clone(&tally));
        tasks.spawn(async move { verify(place, &verifiers, &pool, &tally).await });
    }
    for url in replicas.jwks_urls() {
        let (pool, tally, http) = (Arc::clone(&pool), Arc::clone(&tally), replicas.http().clone());
        tasks.spawn(async move { watch(&url, &http, &pool, &tally).await });
    }

    let mut story = Story {
        plan: plan.clone(),
        plane,
        replicas,
        store: store_wire,
        left: Vec::new(),
        tally: Arc::clone(&tally),
    };
    for rotation in 0..ROTATIONS {
        let begins = Instant::now();
        story.rotate(rotation).await;
        say(began, &format!("rotation {} is done", rotation + 1));
        if rotation + 1 < ROTATIONS {
            story.calm(plan.every.saturating_sub(begins.elapsed())).await;
        }
    }
    story.remove_the_last().await;
    for old in &story.left {
        story.leaves(old).await;
        say(began, "an old key has left");
        refused_everywhere(old, &verifiers, &tally, plan.max_age).await;
    }
    story.calm(plan.total.saturating_sub(began.elapsed())).await;
    for old in &story.left {
        refused_everywhere(old, &verifiers, &tally, plan.max_age).await;
    }
    tally.is_clean();
    assert_eq!(
        verifiers.failed_fetches().await,
        0,
        "Envoy got the keys each time"
    );
    for place in 0..2 {
        let (tokens, keys) = pool.minted(place);
        assert_eq!(keys, ROTATIONS + 1, "each API server signed with each key");
        eprintln!(
            "API server {}: {tokens} tokens, signed with {keys} keys",
            place + 1
        );
    }
    // No task ends by itself: one that did has failed.
    assert!(tasks.try_join_next().is_none(), "a task has ended");
    eprintln!(
        "{} s, {ROTATIONS} rotations:\n\n{}",
        began.elapsed().as_secs(),
        tally.table()
    );
}

fn say(began: Instant, what: &str) {
    eprintln!("soak: after {:.1} s {what}", began.elapsed().as_secs_f32());
}

/// One verifier judges one valid token after the other.
async fn verify(place: usize, verifiers: &Verifiers, pool: &Pool, tally: &Tally) {
    loop {
        if let Some(Minted {
            token,
            kid,
            since,
            expires,
            ..
        }) = pool.pick()
        {
            let asked = Instant::now();
            let judged = verifiers.judge(place, &token).await;
            let why = judged.err();
            let why = why.map(|why| format!("a token of {kid}, {:.1} s old: {why}", age(since)));
            match why {
                Some(why) if Instant::now() >= expires => Tally::too_late(place, &why),
                why => tally.judged(place, asked.elapsed(), why),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn age(since: Instant) -> f32 {
    since.elapsed().as_secs_f32()
}

/// Whatever a replica answers has the key of every valid token.
async fn watch(url: &str, http: &super::super::http::Http, pool: &Pool, tally: &Tally) {
    loop {
        let needed = pool.kids();
        let answer = http.send(reqwest::Method::GET, url, None, None).await.ok();
        let answer = answer.filter(|answer| answer.status == 200);
        let published = answer.map(|answer| kids(&answer.body));
        if let Some(published) = &published {
            // Those that ended meanwhile say nothing.
            for kid in needed.intersection(&pool.kids()) {
                if !published.contains(kid) {
                    tally.wrong(&format!("{url} has {published:?}, not {kid} of valid tokens"));
                }
            }
        }
        tally.asked(published.as_deref());
        tokio::time::sleep(LOOK).await;
    }
}

impl Story {
    /// A rotation by the book: publish, wait for the caches, sign, and only then remove (with the next one).
    async fn rotate(&mut self, rotation: usize) {
        let old = self.plane.keys(0).signing.clone();
        let new = self.plane.new_key(&format!("key-{rotation}"));
        let before = self.listed(0).await;
        let of_old = self.plane.api(0);
        let of_old = of_old.mint(NAMESPACE, SERVICE_ACCOUNT, AUDIENCE, 7200).await;
        let of_old = of_old.expect("an API server that runs");

        if rotation == 1 {
            self.store.cut();
        }
        // The key before the old one is removed by the same restarts.
        let listed = vec![old.clone(), new.clone()];
        self.restart_both(Keys {
            signing: old.clone(),
            listed: listed.clone(),
        })
        .await;
        let added: Vec<String> = self.listed(0).await.difference(&before).cloned().collect();
        let [added] = added.try_into().expect("one new key");
        if rotation == 0 {
            self.kill_and_start(0).await;
        }
        if rotation == 1 {
            self.store_is_away().await;
            self.kill_and_start(1).await;
        }
        self.agrees_on("the new key is published", &added).await;
        // The wait is what the configuration says, not a guess.
        tokio::time::sleep(self.plan.propagation()).await;

        self.restart_both(Keys { signing: new, listed }).await;
        self.left.push(Old {
            file: old,
            kid: tokens::kid(&of_old),
            token: of_old,
            removed: None,
        });
        // What the kubelet does for every pod: the service's token was signed with the old key.
        self.plane.renew_token(rotation % 2).await;
        if rotation == 1 {
            self.store.turn_to(&ControlPlane::addresses());
            self.replicas.are_stored().await;
        }
        if rotation == 2 {
            self.kill_and_start(2).await;
        }
        self.tally.is_clean();
    }

    /// The third old key: no other comes after it.
    async fn remove_the_last(&mut self) {
        let signing = self.plane.keys(0).signing.clone();
        let listed = vec![signing.clone()];
        self.restart_both(Keys { signing, listed }).await;
    }

    /// One after the other: one of them always signs. The first takes its endpoint back, the other is cut down.
    async fn restart_both(&mut self, keys: Keys) {
        let mut last = Instant::now();
        for (place, signal) in ["TERM", "KILL"].into_iter().enumerate() {
            last = Instant::now();
            self.plane.restart(place, signal, keys.clone()).await;
        }
        // When the second one ended, nobody listed any more what these keys lack.
        for old in &mut self.left {
            if !keys.listed.contains(&old.file) {
                old.removed.get_or_insert(last);
            }
        }
    }

    /// The kids that an API server lists.
    async fn listed(&self, place: usize) -> BTreeSet<String> {
        kids(&self.plane.api(place).jwks().await).into_iter().collect()
    }

    async fn kill_and_start(&mut self, place: usize) {
        self.replicas.kill(place).await;
        self.replicas.start_again(place).await;
    }

    async fn store_is_away(&self) {
        eventually("every replica says that its store is away", async || {
            for place in 0..REPLICAS {
                let reachable = self.replicas.metric(place, "oidc_issuer_store_reachable").await?;
                (reachable == 0.0).then_some(())?;
            }
            Some(())
        })
        .await;
    }

    async fn agrees_on(&self, what: &str, kid: &String) {
        self.replicas.agree(what, |kids| kids.contains(kid)).await;
    }

    /// Lets the others go on for so long, unless something goes wrong.
    async fn calm(&self, lasts: Duration) {
        let end = Instant::now() + lasts;
        while Instant::now() < end {
            self.tally.is_clean();
            let rest = end.saturating_duration_since(Instant::now());
            tokio::time::sleep(rest.min(Duration::from_secs(5))).await;
        }
    }

    /// Whether any replica has this key.
    async fn is_published(&self, kid: &str) -> bool {
        for place in 0..REPLICAS {
            let answer = self.replicas.document(place, "/jwks").await.expect("an answer");
            if kids(&answer.body).iter().any(|published| published == kid) {
                return true;
            }
        }
        false
    }

    /// Waits until no replica publishes an old key any more, which was not before its time.
    async fn leaves(&self, old: &Old) {
        let removed = old.removed.expect("no API server lists it");
        let due = removed + self.plan.retention;
        self.calm(due.saturating_duration_since(Instant::now())).await;
        // It was found absent some reads after it was removed.
        let deadline = due + Duration::from_secs(30) + 10 * self.plan.refresh;
        while self.is_published(&old.kid).await {
            assert!(Instant::now() < deadline, "{} is still published", old.kid);
            tokio::time::sleep(LOOK).await;
        }
        let seen = self.tally.last_seen(&old.kid).expect("it was published");
        assert!(seen >= due, "{} left {:?} too early", old.kid, due - seen);
    }
}

/// Waits until every verifier refuses the tokens of a key that has left, and says that the key is why.
async fn refused_everywhere(old: &Old, verifiers: &Verifiers, tally: &Tally, max_age: Duration) {
    // It keeps what it knows until it meets a key that it does not know.
    let unknown = tokens::sign(&tokens::claims(&old.token), &rsa_key(), "unknown");
    for (place, name) in NAMES.iter().enumerate() {
        let deadline = Instant::now() + max_age * 2 + Duration::from_secs(20);
        let why = loop {
            verifiers
                .judge(place, &unknown)
                .await
                .expect_err("the token of a key that was never published");
            match verifiers.judge(place, &old.token).await {
                Err(why) => break why,
                Ok(()) => assert!(
                    Instant::now() < deadline,
                    "{name} still takes tokens of {}",
                    old.kid
                ),
            }
            tokio::time::sleep(PAUSE).await;
        };
        assert!(!why.contains("expired"), "{name}: {why}");
        tally.refused_rightly(place);
    }
}
