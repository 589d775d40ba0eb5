//! A real API server that gives no keys, or no longer.

use reqwest::Method;
use serde_json::Value;

use super::cluster::{CLUSTER, Cluster};
use super::program::{eventually, free_port};
use super::programs::Programs;
use super::service::OidcIssuer;
use super::world::World;

#[tokio::test]
async fn an_api_server_that_is_gone_changes_nothing_that_is_served() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let mut world = World::start(&programs).await;
    let http = world.service.http();
    let documents =
        ["/.well-known/openid-configuration", "/jwks"].map(|path| format!("{}{path}", world.issuer));
    let before = [http.get(&documents[0]).await, http.get(&documents[1]).await];
    world.cluster.stop().await;
    let failures = "oidc_issuer_source_consecutive_failures";
    eventually("a read has failed", async || {
        let metrics = world.service.ask_admin("/metrics").await.body;
        let mut rows = metrics.lines().filter(|line| line.starts_with(failures));
        rows.any(|row| !row.ends_with(" 0")).then_some(())
    })
    .await;
    for (url, before) in documents.iter().zip(before) {
        let now = http.get(url).await;
        assert_eq!((now.status, now.body), (200, before.body));
        assert_eq!(now.headers["etag"], before.headers["etag"]);
    }
    assert_eq!(world.service.ask_admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn an_api_server_that_forbids_reading_is_told_by_the_role_that_is_missing() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let address = format!("127.0.0.1:{}", free_port());
    let cluster = Cluster::start(&programs, &url(&address)).await;
    let binding =
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:service-account-issuer-discovery";
    assert_eq!(cluster.send(Method::DELETE, binding, None).await.status, 200);
    let said = refused(&cluster, &address, &url(&address)).await;
    assert!(said.contains("system:service-account-issuer-discovery"), "{said}");
}

#[tokio::test]
async fn an_api_server_of_another_issuer_is_published_only_if_the_source_claims_that_issuer() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let address = format!("127.0.0.1:{}", free_port());
    let cluster = Cluster::start(&programs, "https://another.example").await;
    let said = refused(&cluster, &address, &url(&address)).await;
    for word in ["https://another.example", "--service-account-issuer", "claims"] {
        assert!(said.contains(word), "{word}: {said}");
    }

    // Before the cluster is switched, its keys are published under the name that it will have.
    let kubeconfig = cluster.kubeconfig_file();
    let mut arguments = vec![
        "--issuer".into(),
        url(&address),
        "--listen".into(),
        address.clone(),
    ];
    arguments.extend(["--kubeconfig".into(), kubeconfig.display().to_string()]);
    arguments.extend(["--source-claims".into(), "https://another.example".into()]);
    let service = OidcIssuer::serve(&arguments).await;
    let jwks = service.http().get(&format!("{}/jwks", url(&address))).await;
    assert_eq!((jwks.status, jwks.body), (200, cluster.jwks().await));
    let discovery = service
        .http()
        .get(&format!("{}/.well-known/openid-configuration", url(&address)))
        .await;
    assert_eq!(discovery.json()["issuer"], url(&address));
}

/// Starts a service that gets no keys: its edge answers 503, it lives but is not ready. Returns what it logs of it.
async fn refused(cluster: &Cluster, address: &str, issuer: &str) -> String {
    let kubeconfig = cluster.kubeconfig().await;
    let kubeconfig = kubeconfig.to_str().expect("a path in UTF-8");
    let service = OidcIssuer::spawn(&[
        "--issuer",
        issuer,
        "--kubeconfig",
        kubeconfig,
        "--listen",
        address,
    ]);
    let failed = |line: &Value| line.get("source").is_some() && line.get("error").is_some();
    let said = service.logged("a read that fails is logged", failed).await;
    for path in ["/.well-known/openid-configuration", "/jwks"] {
        let answer = service.http().get(&format!("{issuer}{path}")).await;
        assert_eq!(answer.status, 503, "{path}: {}", answer.body);
        assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
    }
    assert_eq!(service.ask_admin("/livez").await.status, 200);
    assert_eq!(service.ask_admin("/readyz").await.status, 503);
    said.to_string()
}

fn url(address: &str) -> String {
    address.replace("127.0.0.1", "https://localhost")
}
