//! Envoy's `jwt_authn` filter, in front of an API.

use std::path::Path;

use reqwest::Method;
use tempfile::TempDir;

use super::http::{Answer, Http};
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
    let envoy = Envoy::start(&programs, &world.issuer, &world.service.ca()).await;

    let ask = async |token: Option<&str>| {
        let answer = envoy.ask(token).await;
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

    assert_eq!(envoy.failed_fetches().await, 0);
}

/// Envoy, which asks for the keys once a second.
#[derive(Debug)]
pub(crate) struct Envoy {
    _program: Program,
    port: u16,
    admin: u16,
    http: Http,
    // Last, so that the program has ended when its folder goes.
    _folder: TempDir,
}

impl Envoy {
    /// Starts it in front of an API for tokens of this issuer, which is at a port of `localhost`.
    pub(crate) async fn start(programs: &Programs, issuer: &str, ca: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, admin) = (free_port(), free_port());
        let issuer_port = issuer.rsplit(':').next().expect("a port");
        let config = std::fs::read_to_string(servers().join("envoy/envoy.yaml"))
            .expect("the configuration")
            .replace("@ADMIN_PORT@", &admin.to_string())
            .replace("@PORT@", &port.to_string())
            .replace("@ISSUER_PORT@", issuer_port)
            .replace("@ISSUER@", issuer)
            .replace("@JWKS_URI@", &format!("{issuer}/jwks"))
            .replace("@AUDIENCE@", AUDIENCE)
            .replace("@CA@", ca.to_str().expect("a path in UTF-8"));
        let file = folder.path().join("envoy.yaml");
        std::fs::write(&file, config).expect("a file");
        let mut program = Program::start(
            "envoy",
            // Several Envoys on one machine share memory unless each has an id of its own.
            programs.command("envoy").arg("--config-path").arg(&file).args([
                "--concurrency",
                "1",
                "--use-dynamic-base-id",
            ]),
            folder.path(),
        );
        let (http, ready) = (Http::plain(), format!("http://127.0.0.1:{admin}/ready"));
        program.ready(async || http.is_ok(&ready, None).await).await;
        Self {
            _program: program,
            port,
            admin,
            http,
            _folder: folder,
        }
    }

    /// What it answers to the bearer of this token.
    pub(crate) async fn ask(&self, token: Option<&str>) -> Answer {
        let url = format!("http://127.0.0.1:{}/", self.port);
        let sent = self.http.send(Method::GET, &url, token, None).await;
        sent.expect("Envoy answers")
    }

    /// How often it did not get the keys.
    pub(crate) async fn failed_fetches(&self) -> u64 {
        let url = format!("http://127.0.0.1:{}/stats?filter=jwks_fetch_failed", self.admin);
        let stats = self.http.get(&url).await.body;
        let count = stats
            .trim()
            .rsplit(' ')
            .next()
            .and_then(|count| count.parse().ok());
        count.unwrap_or_else(|| panic!("no number in {stats}"))
    }
}
