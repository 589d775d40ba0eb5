//! Envoy's `jwt_authn` filter, in front of an API.

use reqwest::Method;

use super::http::Http;
use super::pki::rsa_key;
use super::program::{Program, free_port};
use super::programs::{Programs, servers};
use super::tokens;
use super::world::{AUDIENCE, NAMESPACE, SERVICE_ACCOUNT, World};

#[tokio::test]
async fn envoy_lets_a_pods_token_through_and_no_other() {
    let Some(programs) = Programs::find(&["etcd", "kube-apiserver", "envoy"]) else {
        return;
    };
    let world = World::shared(&programs).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (port, admin) = (free_port(), free_port());
    let issuer_port = world.issuer.rsplit(':').next().expect("a port");
    let config = std::fs::read_to_string(servers().join("envoy/envoy.yaml"))
        .expect("the configuration")
        .replace("@ADMIN_PORT@", &admin.to_string())
        .replace("@PORT@", &port.to_string())
        .replace("@ISSUER_PORT@", issuer_port)
        .replace("@ISSUER@", &world.issuer)
        .replace("@JWKS_URI@", &format!("{}/jwks", world.issuer))
        .replace("@AUDIENCE@", AUDIENCE)
        .replace("@CA@", world.service.ca().to_str().expect("a path in UTF-8"));
    let file = folder.path().join("envoy.yaml");
    std::fs::write(&file, config).expect("a file");
    let mut envoy = Program::start(
        "envoy",
        // Several Envoys on one machine share memory unless each has an id of its own.
        programs.command("envoy").arg("--config-path").arg(&file).args([
            "--concurrency",
            "1",
            "--use-dynamic-base-id",
        ]),
        folder.path(),
    );
    let http = Http::plain();
    envoy
        .ready(async || http.is_ok(&format!("http://127.0.0.1:{admin}/ready"), None).await)
        .await;

    let ask = async |token: Option<&str>| {
        let sent = http
            .send(Method::GET, &format!("http://127.0.0.1:{port}/"), token, None)
            .await;
        let answer = sent.expect("Envoy answers");
        (answer.status, answer.body)
    };
    assert_eq!(ask(Some(&world.token)).await, (200, "let through\n".to_owned()));
    assert_eq!(ask(None).await, (401, "Jwt is missing".to_owned()));
    let for_another = world
        .cluster
        .token(NAMESPACE, SERVICE_ACCOUNT, Some("another"), None)
        .await;
    assert_eq!(
        ask(Some(&for_another)).await,
        (403, "Audiences in Jwt are not allowed".to_owned())
    );
    let (claims, kid) = (tokens::claims(&world.token), tokens::kid(&world.token));
    let forged = tokens::sign(&claims, &rsa_key(), &kid);
    assert_eq!(
        ask(Some(&forged)).await,
        (401, "Jwt verification fails".to_owned())
    );
    let expired = tokens::sign(&tokens::expired(&claims), &world.signing_key(), &kid);
    assert_eq!(ask(Some(&expired)).await, (401, "Jwt is expired".to_owned()));

    let stats = http
        .get(&format!(
            "http://127.0.0.1:{admin}/stats?filter=jwks_fetch_failed"
        ))
        .await
        .body;
    assert!(stats.contains("jwks_fetch_failed: 0"), "{stats}");
}
