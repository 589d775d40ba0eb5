//! Public libraries verify a pod's token with what the running service publishes.

use std::process::{Command, Stdio};

use super::pki::rsa_key;
use super::programs::{Programs, servers};
use super::tokens;
use super::world::{AUDIENCE, World};

const PYTHON: &[&str] = &["etcd", "kube-apiserver", "python"];
const NODE: &[&str] = &["etcd", "kube-apiserver", "node", "verifiers"];

#[tokio::test]
async fn pyjwt_verifies_a_pods_token() {
    python("pyjwt").await;
}

#[tokio::test]
async fn joserfc_verifies_a_pods_token() {
    python("joserfc").await;
}

#[tokio::test]
async fn authlib_verifies_a_pods_token() {
    python("authlib").await;
}

#[tokio::test]
async fn google_auth_verifies_a_pods_token() {
    python("google-auth").await;
}

#[tokio::test]
async fn jose_verifies_a_pods_token() {
    node("jose").await;
}

#[tokio::test]
async fn openid_client_discovers_the_issuer() {
    node("openid-client").await;
}

#[tokio::test]
async fn jwks_rsa_finds_the_key_of_a_pods_token() {
    node("jwks-rsa").await;
}

#[tokio::test]
async fn aws_jwt_verify_verifies_a_pods_token() {
    node("aws-jwt-verify").await;
}

#[tokio::test]
async fn oauth4webapi_verifies_a_pods_token() {
    node("oauth4webapi").await;
}

async fn python(library: &str) {
    let Some(programs) = Programs::find(PYTHON) else {
        return;
    };
    let world = World::shared(&programs).await;
    judge(&world, |audience| {
        let ca = world.service.ca();
        let mut command = programs.command("python");
        // google-auth fetches the keys a second time, through PyJWT and the default certificates.
        command
            .env("SSL_CERT_FILE", &ca)
            .args(["-W", "ignore"])
            .arg(servers().join("verifiers/verify.py"));
        command.args([library, &world.issuer, audience]).arg(&ca);
        command
    });
}

async fn node(library: &str) {
    let Some(programs) = Programs::find(NODE) else {
        return;
    };
    let world = World::shared(&programs).await;
    // Node looks for packages beside the script.
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("verify.mjs");
    std::fs::copy(servers().join("verifiers/verify.mjs"), &script).expect("the script");
    std::os::unix::fs::symlink(programs.path("verifiers"), folder.path().join("node_modules"))
        .expect("a link");
    judge(&world, |audience| {
        let mut command = programs.command("node");
        command
            .env("NODE_EXTRA_CA_CERTS", world.service.ca())
            .arg(&script);
        command.args([library, &world.issuer, audience]);
        command
    });
}

/// The pod's token is verified; another audience and an unpublished key are refused.
fn judge(world: &World, verifier: impl Fn(&str) -> Command) {
    let claims = verdict(verifier(AUDIENCE), &world.token).expect("the pod's token is verified");
    let claims: serde_json::Value = serde_json::from_str(&claims).expect("claims");
    assert_eq!(claims["sub"], tokens::claims(&world.token)["sub"]);

    let refusal = verdict(verifier("another"), &world.token).expect_err("a token for another audience");
    assert!(refusal.to_ascii_lowercase().contains("aud"), "{refusal}");

    let forged = tokens::sign(
        &tokens::claims(&world.token),
        &rsa_key(),
        &tokens::kid(&world.token),
    );
    let refusal = verdict(verifier(AUDIENCE), &forged).expect_err("a forged token");
    assert!(refusal.to_ascii_lowercase().contains("signature"), "{refusal}");
}

/// What a verifier printed for a token, or why it refused it.
fn verdict(mut verifier: Command, token: &str) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), token).expect("a file");
    let output = verifier
        .stdin(Stdio::from(file.reopen().expect("the same file")))
        .output()
        .expect("the verifier runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}
