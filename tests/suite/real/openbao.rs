//! OpenBao, the open Vault, as the external identity provider: a pod's token buys a secret.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::Http;
use super::pki::rsa_key;
use super::program::{Program, free_port};
use super::programs::Programs;
use super::tokens;
use super::world::{AUDIENCE, NAMESPACE, SERVICE_ACCOUNT, World};

const PROGRAMS: &[&str] = &["etcd", "kube-apiserver", "bao"];
const ROOT: &str = "root";

#[tokio::test]
async fn openbao_finds_the_keys_and_sells_a_secret_for_a_pods_token() {
    let Some(programs) = Programs::find(PROGRAMS) else {
        return;
    };
    let world = World::shared(&programs).await;
    let bao = OpenBao::start(&programs).await;
    bao.trust(&world.issuer, &world.service.ca());
    let access_token = bao.login(&world.token).expect("an access token");
    let secret = bao.run(
        &access_token,
        &["kv", "get", "-field=answer", "secret/build-robot"],
    );
    assert_eq!(secret.as_deref(), Ok("42"));
    let other = bao
        .run(&access_token, &["kv", "get", "secret/other"])
        .expect_err("another secret");
    assert!(other.contains("permission denied"), "{other}");
}

#[tokio::test]
async fn openbao_refuses_every_other_token_and_says_why() {
    let Some(programs) = Programs::find(PROGRAMS) else {
        return;
    };
    let world = World::shared(&programs).await;
    let bao = OpenBao::start(&programs).await;
    bao.trust(&world.issuer, &world.service.ca());

    let (key, kid) = (world.signing_key(), tokens::kid(&world.token));
    let claims = tokens::claims(&world.token);
    let signed = |claims: &Value| tokens::sign(claims, &key, &kid);
    bao.login(&signed(&claims))
        .expect("what the test signs is as good as the API server's");

    world
        .cluster
        .create_service_account(NAMESPACE, "other-robot")
        .await;
    let of_another = world
        .cluster
        .token(NAMESPACE, "other-robot", Some(AUDIENCE), None)
        .await;
    let for_another = world
        .cluster
        .token(NAMESPACE, SERVICE_ACCOUNT, Some("another"), None)
        .await;
    let slash = json!(format!("{}/", world.issuer));

    let refused = [
        (
            "for another audience",
            for_another,
            "invalid audience (aud) claim",
        ),
        ("expired", signed(&tokens::expired(&claims)), "token is expired"),
        (
            "of an unpublished key",
            tokens::sign(&claims, &rsa_key(), "unpublished"),
            "error verifying token signature",
        ),
        (
            "of another key under a published kid",
            tokens::sign(&claims, &rsa_key(), &kid),
            "error verifying token signature",
        ),
        (
            "of an issuer with a slash more",
            signed(&tokens::with(&claims, "iss", slash)),
            "invalid issuer (iss) claim",
        ),
        (
            "of another service account",
            of_another,
            "invalid subject (sub) claim",
        ),
    ];
    for (what, token, reason) in refused {
        let answer = bao.login(&token).expect_err(what);
        assert!(answer.contains(reason), "a token {what}: {answer}");
    }
}

/// `bao server -dev`.
#[derive(Debug)]
pub(crate) struct OpenBao {
    _program: Program,
    programs: Programs,
    address: String,
    http: Http,
    folder: TempDir,
}

impl OpenBao {
    /// Starts it.
    pub(crate) async fn start(programs: &Programs) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listen = format!("127.0.0.1:{}", free_port());
        let mut program = Program::start(
            "bao",
            programs
                .command("bao")
                .env("HOME", folder.path())
                .args(["server", "-dev", "-dev-no-store-token"])
                .arg(format!("-dev-root-token-id={ROOT}"))
                .arg(format!("-dev-listen-address={listen}")),
            folder.path(),
        );
        let (http, address) = (Http::plain(), format!("http://{listen}"));
        // Unsealed is not enough: the key-value store is mounted a moment later.
        let mounted = format!("{address}/v1/secret/config");
        let header = Some(ROOT);
        program.ready(async || http.is_ok(&mounted, header).await).await;
        Self {
            _program: program,
            programs: programs.clone(),
            address,
            http,
            folder,
        }
    }

    /// What `docs/walkthrough.md` tells to do, once.
    pub(crate) fn trust(&self, url: &str, ca: &Path) {
        let subject = format!("bound_subject=system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}");
        self.configure(&["auth", "enable", "jwt"]);
        self.configure(&[
            "write",
            "auth/jwt/config",
            &format!("oidc_discovery_url={url}"),
            &format!("oidc_discovery_ca_pem=@{}", ca.display()),
            // Without it OpenBao does not compare `iss`.
            &format!("bound_issuer={url}"),
        ]);
        let policy = self.folder.path().join("policy.hcl");
        std::fs::write(
            &policy,
            "path \"secret/data/build-robot\" { capabilities = [\"read\"] }",
        )
        .expect("a file");
        self.configure(&[
            "policy",
            "write",
            "build-robot",
            policy.to_str().expect("a path in UTF-8"),
        ]);
        self.configure(&[
            "write",
            "auth/jwt/role/build-robot",
            "role_type=jwt",
            "user_claim=sub",
            &format!("bound_audiences={AUDIENCE}"),
            &subject,
            "token_policies=build-robot",
        ]);
        self.configure(&["kv", "put", "secret/build-robot", "answer=42"]);
    }

    fn configure(&self, arguments: &[&str]) {
        self.run(ROOT, arguments)
            .unwrap_or_else(|error| panic!("bao {}: {error}", arguments.join(" ")));
    }

    /// An access token for a pod's token, or the reason why not.
    fn login(&self, token: &str) -> Result<String, String> {
        self.run(
            "",
            &[
                "write",
                "-field=token",
                "auth/jwt/login",
                "role=build-robot",
                &format!("jwt={token}"),
            ],
        )
    }

    /// The same without the costs of a process.
    pub(crate) async fn login_over_http(&self, token: &str) -> Result<(), String> {
        let body = json!({ "role": "build-robot", "jwt": token }).to_string();
        let url = format!("{}/v1/auth/jwt/login", self.address);
        match self.http.send(Method::POST, &url, None, Some(body)).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.body),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    /// What a `bao` command printed, or why it failed.
    fn run(&self, token: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command: Command = self.programs.command("bao");
        command
            .env("HOME", self.folder.path())
            .env("BAO_ADDR", &self.address)
            .env("BAO_TOKEN", token);
        let output = command.args(arguments).output().expect("bao runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }
}
