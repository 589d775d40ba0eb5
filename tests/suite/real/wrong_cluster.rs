//! The source leads to another cluster than it did. What that one lists is not published: never where it names another
//! issuer, and where it claims ours, not before it was confirmed; and the keys that are published stay.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::ADMIN;
use super::cluster::{CLUSTER, Cluster};
use super::program::eventually;
use super::programs::Programs;
use super::replicas::{Replicas, kids};
use super::wire::Wire;

const ISSUER: &str = "https://keys.example";

/// So many reads of the other cluster must agree in the tests that let it in.
const CONFIRMATION: u32 = 6;

/// Two clusters that know nothing of each other, and the service, which was with ours until now.
struct Clusters {
    ours: Cluster,
    other: Cluster,
    wire: Wire,
    replicas: Replicas,
    published: String,
    // Last, so that the service has ended when its files go.
    _folder: tempfile::TempDir,
}

impl Clusters {
    async fn start(programs: &Programs, issuer_of_the_other: &str, confirmation: Value) -> Self {
        let (ours, other) = tokio::join!(
            Cluster::start(programs, ISSUER),
            Cluster::start(programs, issuer_of_the_other)
        );
        let folder = tempfile::tempdir().expect("a folder");
        // Both let the service in: nothing but what they list tells them apart.
        let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
        let (both, token) = (folder.path().join("ca.crt"), folder.path().join("token"));
        std::fs::write(&both, read(ours.ca()) + &read(other.ca())).expect("a file");
        std::fs::write(&token, ADMIN).expect("a file");
        let wire = Wire::to(&[ours.address()]).await;
        let source = json!({ "server": wire.url(), "caFile": both, "tokenFile": token });
        let config = json!({
            "issuers": [{
                "issuer": ISSUER,
                "refresh": "1s",
                "confirmation": confirmation,
                "sources": [{ "apiServer": source }],
            }],
            "store": { "file": {} },
        });
        let replicas = Replicas::start(1, &config, ours.pki()).await;
        let published = replicas.agree("our key", |kids| kids.len() == 1).await.body;
        assert_eq!(published, ours.jwks().await);
        Self {
            ours,
            other,
            wire,
            replicas,
            published,
            _folder: folder,
        }
    }

    async fn body(&self) -> String {
        let answer = self.replicas.document(0, "/jwks").await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// How many reads of the source have succeeded so far.
    async fn reads(&self) -> f64 {
        let reads = self
            .replicas
            .row(0, "oidc_issuer_source_reads_total", "result=\"success\"");
        reads.await.unwrap_or_default()
    }

    async fn metric(&self, name: &str) -> f64 {
        self.replicas.metric(0, name).await.unwrap_or_default()
    }

    /// Waits until so many more reads have succeeded, in which nothing that is published may change.
    async fn unchanged_for(&self, reads: u32) {
        let before = self.reads().await;
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.reads().await < before + f64::from(reads) {
            assert_eq!(self.body().await, self.published);
            assert!(Instant::now() < deadline, "the source is not read any more");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.body().await, self.published);
    }

    /// Waits until the keys of both are published.
    async fn until_both(&self) {
        let theirs = kids(&self.other.jwks().await);
        let body = eventually("the other cluster is confirmed", async || {
            let body = self.body().await;
            theirs.iter().all(|kid| body.contains(kid)).then_some(body)
        })
        .await;
        let ours = kids(&self.published);
        assert!(
            ours.iter().all(|kid| body.contains(kid)),
            "our keys are retained: {body}"
        );
    }
}

#[tokio::test]
async fn a_cluster_of_another_issuer_is_never_published() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let clusters = Clusters::start(&programs, "https://another.example", json!(1)).await;
    clusters.wire.turn_to(&[clusters.other.address()]);
    eventually("reads of the other cluster have failed", async || {
        assert_eq!(clusters.body().await, clusters.published);
        (clusters.metric("oidc_issuer_source_consecutive_failures").await >= 3.0).then_some(())
    })
    .await;

    // Neither where it answers now and then.
    let both = [clusters.ours.address(), clusters.other.address()];
    clusters.wire.turn_to(&both);
    clusters.unchanged_for(5).await;
}

#[tokio::test]
async fn a_cluster_that_claims_our_issuer_is_not_published_before_it_was_confirmed() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let clusters = Clusters::start(&programs, ISSUER, json!(CONFIRMATION)).await;
    clusters.wire.turn_to(&[clusters.other.address()]);
    clusters.unchanged_for(CONFIRMATION - 2).await;
    eventually("the change is told", async || {
        (clusters.metric("oidc_issuer_held_changes").await > 0.0).then_some(())
    })
    .await;
    clusters.until_both().await;
}

#[tokio::test]
async fn a_cluster_that_claims_our_issuer_waits_for_a_person_where_the_configuration_says_so() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let clusters = Clusters::start(&programs, ISSUER, json!("manual")).await;
    clusters.wire.turn_to(&[clusters.other.address()]);
    clusters.unchanged_for(8).await;
    assert!(clusters.metric("oidc_issuer_held_changes").await > 0.0);
    // The mistake is mended: nobody ever noticed.
    clusters.wire.turn_to(&[clusters.ours.address()]);
    clusters.unchanged_for(4).await;
}

#[tokio::test]
async fn two_clusters_behind_one_address_that_answer_in_turn_take_nothing_away() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let clusters = Clusters::start(&programs, ISSUER, json!(CONFIRMATION)).await;
    // Each read is two connections: the documents of one read may be of both.
    let both = [clusters.ours.address(), clusters.other.address()];
    clusters.wire.turn_to(&both);
    clusters.unchanged_for(CONFIRMATION - 2).await;
    clusters.until_both().await;
    // From now on each read lacks a key that the one before had: none of them leaves.
    let now = clusters.body().await;
    let before = clusters.reads().await;
    eventually("more reads", async || {
        assert_eq!(kids(&clusters.body().await).len(), kids(&now).len());
        (clusters.reads().await > before + f64::from(CONFIRMATION)).then_some(())
    })
    .await;
}
