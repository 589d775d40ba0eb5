//! Replicas of the real service, with one store.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::super::http::{Answer, Http};
use super::super::program::{eventually, free_port};
use super::super::service::{OidcIssuer, run};
use super::places::Place;

pub(super) const ISSUER: &str = "https://oidc.example.com/prod";

/// What replicas have in common: the configuration, and the folder of their key files.
pub(super) struct Fleet {
    folder: TempDir,
    store: String,
}

/// One replica.
pub(super) struct Replica {
    service: OidcIssuer,
    config: String,
    jwks: String,
}

impl Fleet {
    pub(super) fn new(place: &impl Place) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("keys")).expect("a folder");
        Self {
            folder,
            store: place.yaml(),
        }
    }

    /// The cluster lists a new key.
    pub(super) fn list(&self, name: &str) {
        let pem = rcgen::KeyPair::generate().expect("a key").public_key_pem();
        let draft = self.folder.path().join("draft");
        fs::write(&draft, pem).expect("a file");
        fs::rename(draft, self.key(name)).expect("a file");
    }

    /// The cluster lists it no longer.
    fn drop(&self, name: &str) {
        fs::remove_file(self.key(name)).expect("a file");
    }

    fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("keys/{name}.pem"))
    }

    /// Starts a replica with a state folder of this name.
    pub(super) async fn replica(&self, name: &str) -> Replica {
        let mut replica = self.spawn(name);
        let (http, url) = (Http::plain(), replica.service.admin("/readyz"));
        let program = replica.service.program();
        program.ready(async || http.is_ok(&url, None).await).await;
        replica
    }

    /// The same, without waiting.
    fn spawn(&self, name: &str) -> Replica {
        let port = free_port();
        let keys = self.folder.path().join("keys/*.pem");
        let config = format!(
            "issuers:\n- issuer: {ISSUER}\n  refresh: 1s\n  sources: [{{files: {{paths: ['{}']}}}}]\n\
             {}\nlisteners: [{{address: '127.0.0.1:{port}'}}]\n",
            keys.display(),
            self.store
        );
        let file = self.folder.path().join(format!("{name}-{port}.yaml"));
        fs::write(&file, config).expect("a file");
        let state = self.folder.path().join(format!("state-{name}"));
        let config = file.to_str().expect("a path").to_owned();
        let service = OidcIssuer::spawn_in(&state, &["--config", &config]);
        Replica {
            service,
            config,
            jwks: format!("http://127.0.0.1:{port}/prod/jwks"),
        }
    }
}

impl Replica {
    async fn answer(&self) -> Option<Answer> {
        let http = Http::plain();
        let asked = http.send(reqwest::Method::GET, &self.jwks, None, None);
        asked.await.ok()
    }

    /// Waits until it publishes so many keys.
    pub(super) async fn publishes(&self, keys: usize) {
        eventually(&format!("{keys} keys"), async || {
            let answer = self.answer().await?;
            let is_so = answer.status == 200 && answer.json()["keys"].as_array()?.len() == keys;
            is_so.then_some(())
        })
        .await;
    }

    async fn metric(&self, name: &str) -> f64 {
        let page = self.service.ask_admin("/metrics").await.body;
        let row = page.lines().find(|line| line.starts_with(&format!("{name}{{")));
        let row = row.unwrap_or_else(|| panic!("no {name} in {page}"));
        row.rsplit(' ')
            .next()
            .and_then(|value| value.parse().ok())
            .expect("a number")
    }

    async fn is_stored(&self) {
        eventually("all is in the shared store", async || {
            let reachable = self.metric("oidc_issuer_store_reachable").await > 0.0;
            let lag = self.metric("oidc_issuer_store_lag_seconds").await;
            (reachable && lag == 0.0).then_some(())
        })
        .await;
    }

    /// Gives a command, which is done, and tells what it complained of.
    async fn keys(&self, arguments: &[&str]) -> String {
        let (state, config) = (self.service.state.clone(), self.config.clone());
        let mut all = vec!["keys".to_owned()];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        all.extend(["--config".to_owned(), config]);
        all.extend(["--state-dir".to_owned(), state.display().to_string()]);
        // A store may be served by this very thread.
        let output = tokio::task::spawn_blocking(move || run(&all))
            .await
            .expect("it runs");
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.stderr
    }

    /// As a power cut does.
    async fn kill(mut self) {
        self.service.program().signal("KILL");
        self.service.program().ended().await;
    }

    fn kids(answer: &Answer) -> Vec<Value> {
        let keys = answer.json()["keys"].as_array().cloned().unwrap_or_default();
        keys.into_iter().map(|key| key["kid"].clone()).collect()
    }
}

/// Waits until all answer the same octets, with so many keys.
async fn same(replicas: &[&Replica], keys: usize) -> Answer {
    eventually(&format!("the same {keys} keys everywhere"), async || {
        let mut first: Option<Answer> = None;
        for replica in replicas {
            let answer = replica.answer().await.filter(|answer| answer.status == 200)?;
            let etag = &answer.headers["etag"];
            match &first {
                Some(first) if first.body == answer.body && first.headers["etag"] == *etag => {}
                Some(_) => return None,
                None => first = Some(answer),
            }
        }
        first.filter(|answer| Replica::kids(answer).len() == keys)
    })
    .await
}

/// Nothing is written as long as there is nothing new, however often all is read. Tells the last write.
async fn rests(place: &impl Place, replicas: &[&Replica]) -> String {
    let (before, start) = (place.last_write().await, Instant::now());
    for replica in replicas {
        let reads = async || replica.metric("oidc_issuer_source_reads_total").await;
        let until = reads().await + 3.0;
        eventually("its source and the store were read again", async || {
            // A read of the store is what it last agreed by.
            let age = replica.metric("oidc_issuer_store_agreement_age_seconds").await;
            (reads().await >= until && age < start.elapsed().as_secs_f64()).then_some(())
        })
        .await;
    }
    assert_eq!(place.last_write().await, before);
    before
}

/// The whole story with one kind of store.
pub(super) async fn agrees(mut place: impl Place) {
    let fleet = Fleet::new(&place);
    fleet.list("a");
    fleet.list("b");
    let (one, two) = tokio::join!(fleet.replica("1"), fleet.replica("2"));
    same(&[&one, &two], 2).await;
    one.is_stored().await;

    // A key that has left is known to a replica that never saw it listed.
    fleet.drop("a");
    fleet.list("c");
    let retained = same(&[&one, &two], 3).await;
    one.is_stored().await;
    two.is_stored().await;
    let three = fleet.replica("3").await;
    assert_eq!(same(&[&one, &two, &three], 3).await.body, retained.body);

    three.is_stored().await;
    let written = rests(&place, &[&one, &two, &three]).await;

    // The store is gone: everything goes on, a replica that comes back answers from its copy.
    place.stop().await;
    fleet.drop("b");
    fleet.list("d");
    let alone = same(&[&one, &two], 4).await;
    eventually("it says that the store lags behind", async || {
        (one.metric("oidc_issuer_store_lag_seconds").await > 0.0).then_some(())
    })
    .await;
    // The disk of a machine that does much else may take more than a second.
    eventually("it is kept on this machine", async || {
        (one.metric("oidc_issuer_store_durable").await > 0.9).then_some(())
    })
    .await;
    two.kill().await;
    let two = fleet.replica("2").await;
    assert_eq!(same(&[&one, &two], 4).await.body, alone.body, "after a crash");
    // One that has neither a copy nor an answer publishes nothing.
    let four = fleet.spawn("4");
    four.service
        .logged("it waits for its ledger", |line| {
            line.to_string()
                .contains("nothing is published before the ledger is read")
        })
        .await;
    let refused = four.answer().await.expect("an answer");
    assert_eq!(refused.status, 503, "{}", refused.body);

    // What is revoked meanwhile holds here, and says that the others do not know it.
    let leaked = Replica::kids(&alone)[0].as_str().expect("a kid").to_owned();
    let told = one.keys(&["revoke", &leaked, "--reason", "leaked"]).await;
    assert!(told.contains("not in the shared store yet"), "{told}");
    assert_eq!(
        same(&[&one], 3).await.headers["cache-control"],
        "public, max-age=60"
    );

    place.start_again().await;
    for replica in [&one, &two, &three] {
        replica.is_stored().await;
    }
    assert_ne!(place.last_write().await, written, "what is new is written");
    let all = [&one, &two, &three, &four];
    let without = same(&all, 3).await;
    assert!(!without.body.contains(&leaked), "{}", without.body);

    // Straight in the store, and by any replica: the others follow.
    let told = one.keys(&["unrevoke", &leaked, "--store"]).await;
    assert!(told.contains("audit: unrevoke"), "{told}");
    assert_eq!(same(&all, 4).await.body, alone.body);
    let told = three
        .keys(&["revoke", &leaked, "--reason", "leaked after all"])
        .await;
    assert!(!told.contains("warning"), "{told}");
    assert_eq!(same(&all, 3).await.body, without.body);
}
