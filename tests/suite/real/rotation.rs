//! The cluster's administrator rotates the signing key of a real API server.

use serde_json::json;

use super::cluster::{CLUSTER, Cluster};
use super::pki::rsa_key;
use super::program::{eventually, free_port};
use super::programs::Programs;
use super::service::OidcIssuer;
use super::tokens;

#[tokio::test]
async fn a_rotation_of_the_api_servers_key_leaves_no_token_without_its_key() {
    let Some(programs) = Programs::find(CLUSTER) else {
        return;
    };
    let address = format!("127.0.0.1:{}", free_port());
    let issuer = address.replace("127.0.0.1", "https://localhost");
    let mut cluster = Cluster::start(&programs, &issuer).await;
    let old = cluster.signing_key.clone();
    let config = json!({
        "issuers": [{
            "issuer": issuer,
            "refresh": "1s",
            "sources": [{ "apiServer": { "kubeconfig": cluster.kubeconfig().await } }],
        }],
        "listeners": [{ "address": address, "tls": { "selfSigned": {} } }],
    });
    let file = old.with_file_name("oidc-issuer.yaml");
    // JSON is YAML.
    std::fs::write(&file, config.to_string()).expect("a file");
    let service = OidcIssuer::serve(&["--config".as_ref(), file.as_os_str()]).await;
    let http = service.http();
    let jwks = async || http.get(&format!("{issuer}/jwks")).await.body;

    let before = jwks().await;
    let token = cluster
        .token("oidc-issuer", "oidc-issuer", Some("vault"), None)
        .await;
    let old_kid = tokens::kid(&token);
    assert!(before.contains(&old_kid), "{before}");

    // The next key is published before it signs …
    let new = old.with_file_name("next.key");
    std::fs::write(&new, rsa_key()).expect("a file");
    cluster.restart_with_keys(&[old.clone(), new.clone()]).await;
    let both = eventually("the next key is published", async || {
        let now = jwks().await;
        (now.matches("\"kid\"").count() == 2).then_some(now)
    })
    .await;
    assert!(both.contains(&old_kid), "{both}");

    // … signs, and the old one goes.
    cluster.signing_key = new.clone();
    cluster.restart_with_keys(&[new]).await;
    // The service's own token was signed with the old key. It reads the file again.
    cluster.renew_token().await;
    eventually("the old key is absent", async || {
        let metrics = service.ask_admin("/metrics").await.body;
        let mut rows = metrics
            .lines()
            .filter(|line| line.starts_with("oidc_issuer_key_info"));
        rows.any(|row| row.contains(&old_kid) && row.contains("state=\"retained\""))
            .then_some(())
    })
    .await;
    let token = cluster
        .token("oidc-issuer", "oidc-issuer", Some("vault"), None)
        .await;
    let after = jwks().await;
    assert!(after.contains(&old_kid), "tokens of the old key live on: {after}");
    assert!(
        after.contains(&tokens::kid(&token)),
        "tokens of the new key are good: {after}"
    );
    let old_jwk = before.trim_start_matches("{\"keys\":[").trim_end_matches("]}");
    assert!(
        after.contains(old_jwk),
        "a published JWK never changes a byte: {after}"
    );
}
