//! How the service starts, and why it does not.

use std::net::TcpListener;

use super::{Folder, Served, key, kid, kids};
use crate::real::http::Http;
use crate::real::pki::Pki;
use crate::real::program::free_port;
use crate::real::service::{OidcIssuer, run};

#[tokio::test]
async fn a_files_keys_are_served_over_https() {
    let served = Served::with(&[]).await;
    let http = served.service.http();
    let jwks = format!("{}/jwks", served.issuer);
    assert_eq!(kids(&http, &jwks).await, [kid(0)]);
    let discovery = http
        .get(&format!("{}/.well-known/openid-configuration", served.issuer))
        .await
        .json();
    assert_eq!(discovery["issuer"], served.issuer);
    assert_eq!(discovery["jwks_uri"], jwks);
}

#[tokio::test]
async fn without_keys_it_runs_answers_503_and_serves_them_as_they_appear() {
    let folder = Folder::new();
    let port = free_port();
    let (issuer, listen) = (format!("https://localhost:{port}"), format!("127.0.0.1:{port}"));
    let service = OidcIssuer::spawn(&[
        "--issuer",
        &issuer,
        "--keys",
        &folder.text("*.pub"),
        "--listen-http",
        &listen,
    ]);
    service
        .logged("the missing files are told", |line| {
            line["level"] == "ERROR" && line.to_string().contains("*.pub")
        })
        .await;
    let (http, url) = (Http::plain(), format!("http://localhost:{port}/jwks"));
    let answer = http.get(&url).await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(service.ask_admin("/livez").await.status, 200);
    assert_eq!(service.ask_admin("/readyz").await.status, 503);
    folder.write("sa.pub", &key(0));
    super::answers(&http, &url, 200).await;
    assert_eq!(service.ask_admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_certificate_by_flags_is_the_one_that_is_served() {
    let folder = Folder::new();
    let pki = Pki::create(&folder.path("tls"), &["localhost"]);
    let (cert, key) = (pki.cert.to_str().unwrap(), pki.key.to_str().unwrap());
    let served = Served::with(&["--tls-cert", cert, "--tls-key", key]).await;
    let http = Http::trusting(&std::fs::read_to_string(&pki.ca).unwrap());
    assert_eq!(kids(&http, &format!("{}/jwks", served.issuer)).await, [kid(0)]);
}

#[tokio::test]
async fn the_embedded_default_publishes_the_same_key_at_each_start() {
    let folder = Folder::new();
    let port = free_port();
    let (listen, state) = (format!("127.0.0.1:{port}"), folder.text("own state"));
    let jwks = format!("https://localhost:{port}/jwks");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut service = OidcIssuer::serve_in(&folder.path("own state"), &["--listen", &listen]).await;
        let http = Http::trusting(&std::fs::read_to_string(folder.path("own state/tls/ca.crt")).unwrap());
        seen.push(kids(&http, &jwks).await);

        let told = service.program().printed();
        for part in [
            "NOT FOR PRODUCTION",
            "curl --cacert",
            "/.well-known/openid-configuration",
            &jwks,
            &format!("oidc-issuer token --listen {listen} --state-dir '{state}' --audience vault"),
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        let token = run(&[
            "token",
            "--listen",
            &listen,
            "--state-dir",
            &state,
            "--audience",
            "vault",
        ]);
        assert_eq!(token.code, Some(0), "{}", token.stderr);
        let file = folder.write("token", &token.stdout);
        let jwks_file = folder.write("jwks.json", &http.get(&jwks).await.body);
        let issuer = format!("https://localhost:{port}");
        let judged = run(&[
            "inspect", &jwks_file, "--token", &file, "--issuer", &issuer, "--output", "json",
        ]);
        let judged: serde_json::Value = serde_json::from_str(&judged.stdout).unwrap();
        assert_eq!(judged["token"]["signatureValid"], true);
        assert_eq!(judged["token"]["issuerPublished"], true);
        assert_eq!(judged["token"]["warnings"], serde_json::json!([]));

        service.program().signal("TERM");
        assert_eq!(service.program().ended().await.code(), Some(0));
    }
    assert_eq!(seen[0].len(), 1);
    assert_eq!(seen[0], seen[1]);
}

/// What `serve` says when it does not start, with its exit code.
fn refused(arguments: &[&str]) -> (i32, String) {
    let folder = Folder::new();
    let keys = folder.write("sa.pub", &key(0));
    let state = folder.text("state");
    let mut all = vec!["serve", "--issuer", "https://localhost", "--keys", &keys];
    all.extend(["--state-dir", &state]);
    all.extend(arguments);
    let output = run(&all);
    (output.code.unwrap_or(-1), output.stderr)
}

#[test]
fn an_address_in_use_ends_it_with_1_and_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, told) = refused(&["--listen-http", &address, "--admin", "127.0.0.1:0"]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains(&address) && told.contains("in use"), "{told}");
    let (code, told) = refused(&["--listen-http", "127.0.0.1:0", "--admin", &address]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains(&address) && told.contains("in use"), "{told}");
}

#[tokio::test]
async fn a_state_folder_in_use_ends_it_with_1_and_the_holder() {
    let mut served = Served::with(&[]).await;
    let state = served.service.state.to_str().unwrap().to_owned();
    let keys = served.folder.text("sa.pub");
    let output = run(&[
        "serve",
        "--issuer",
        "https://localhost",
        "--keys",
        &keys,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--state-dir",
        &state,
    ]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let holder = format!("process {}", served.service.program().id());
    assert!(output.stderr.contains(&holder), "{}", output.stderr);
}

#[test]
fn a_certificate_and_a_key_of_two_pairs_end_it_with_64_and_the_files() {
    let folder = Folder::new();
    let one = Pki::create(&folder.path("one"), &["localhost"]);
    let two = Pki::create(&folder.path("two"), &["localhost"]);
    let (cert, key) = (one.cert.to_str().unwrap(), two.key.to_str().unwrap());
    let (code, told) = refused(&[
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--tls-cert",
        cert,
        "--tls-key",
        key,
    ]);
    assert_eq!(code, 64, "{told}");
    assert!(told.contains(cert) && told.contains(key), "{told}");
}

#[test]
fn a_wrong_configuration_ends_it_with_64_and_every_problem() {
    let folder = Folder::new();
    let file = folder.write("config.yaml", "issuers:\n- isuer: x\nadmin: {address: y}\n");
    let output = run(&["serve", "--config", &file]);
    assert_eq!(output.code, Some(64));
    for told in [
        "issuers[0].isuer: is no field here; did you mean `issuer`?",
        "issuers[0]: has no `sources`",
        "admin.address: `y` is no address",
    ] {
        assert!(output.stderr.contains(told), "{told} is not in {}", output.stderr);
    }
}
