//! Another cluster's API server lets the pods of ours in.

use serde_json::json;

use super::cluster::{CLUSTER, Cluster};
use super::pki::rsa_key;
use super::program::eventually;
use super::programs::Programs;
use super::tokens;
use super::world::{AUDIENCE, World};

#[tokio::test]
async fn another_clusters_api_server_names_the_service_account_of_a_pods_token() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let world = World::shared(&programs).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("authentication.yaml");
    let config = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {
                "url": world.issuer,
                "audiences": [AUDIENCE],
                "certificateAuthority": std::fs::read_to_string(world.service.ca()).expect("the CA"),
            },
            "claimMappings": { "username": { "claim": "sub", "prefix": "ours:" } },
        }],
    });
    // JSON is YAML.
    std::fs::write(&file, config.to_string()).expect("a file");
    let flag = format!("--authentication-config={}", file.display());
    let other = Cluster::start_with(&programs, "https://other.example.com", vec![flag]).await;

    // It reads the documents in the background, and is ready before.
    let answer = eventually("the API server has the keys", async || {
        let answer = other.who_is(&world.token).await;
        (answer.status == 201).then_some(answer)
    })
    .await;
    let (claims, kid) = (tokens::claims(&world.token), tokens::kid(&world.token));
    let name = format!("ours:{}", claims["sub"].as_str().expect("a subject"));
    assert_eq!(answer.json()["status"]["userInfo"]["username"], json!(name));

    let key = world.signing_key();
    let for_another = tokens::with(&claims, "aud", json!(["another"]));
    assert_eq!(
        other.who_is(&tokens::sign(&for_another, &key, &kid)).await.status,
        401
    );
    for unknown in ["a", "b", "c", "d", "e"] {
        let token = tokens::sign(&claims, &rsa_key(), unknown);
        assert_eq!(other.who_is(&token).await.status, 401);
    }
    assert_eq!(
        other
            .who_is(&tokens::sign(&claims, &rsa_key(), &kid))
            .await
            .status,
        401
    );
    assert_eq!(other.who_is(&world.token).await.status, 201);
}
