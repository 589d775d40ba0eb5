//! The token that everything else is about, as the API server makes it.

use serde_json::json;

use super::cluster::{CLUSTER, Cluster};
use super::programs::Programs;
use super::tokens;

#[tokio::test]
async fn a_token_bound_to_a_pod_names_its_namespace_pod_and_service_account() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let cluster = Cluster::start(&programs, "https://keys.example").await;
    cluster.create_service_account("build", "build-robot").await;
    let pod = json!({
        "metadata": { "name": "nginx" },
        "spec": { "serviceAccountName": "build-robot", "containers": [{ "name": "nginx", "image": "nginx" }] },
    });
    let pod = cluster.create("/api/v1/namespaces/build/pods", &pod).await;
    let token = cluster
        .token("build", "build-robot", Some("vault"), Some(&pod))
        .await;
    let claims = tokens::claims(&token);
    assert_eq!(claims["aud"], json!(["vault"]));
    assert_eq!(claims["iss"], "https://keys.example");
    assert_eq!(claims["sub"], "system:serviceaccount:build:build-robot");
    for time in ["iat", "nbf", "exp"] {
        assert!(claims[time].is_u64(), "{time}: {claims}");
    }
    let about = &claims["kubernetes.io"];
    assert_eq!(about["namespace"], "build");
    assert_eq!(
        about["pod"],
        json!({ "name": "nginx", "uid": pod["metadata"]["uid"] })
    );
    assert_eq!(about["serviceaccount"]["name"], "build-robot");
    assert!(
        cluster.jwks().await.contains(&tokens::kid(&token)),
        "its key is among the cluster's"
    );
}
