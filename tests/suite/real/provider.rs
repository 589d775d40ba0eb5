//! The exchange as the walkthrough tells it, with a provider that is nothing but public libraries.

use reqwest::Method;
use tempfile::TempDir;

use super::http::{Answer, Http};
use super::pki::rsa_key;
use super::program::{Program, eventually};
use super::programs::{Programs, servers};
use super::tokens;
use super::world::{AUDIENCE, NAMESPACE, SERVICE_ACCOUNT, World};

const PROGRAMS: &[&str] = &["etcd", "kube-apiserver", "python"];

#[tokio::test]
async fn a_provider_that_knows_only_the_issuer_finds_the_key_and_trades_the_token() {
    let Some(programs) = Programs::find(PROGRAMS) else {
        return;
    };
    // Not shared: all that the service was asked is to be seen.
    let world = World::start(&programs).await;
    let provider = Provider::start(&programs, &world).await;
    assert_eq!(
        world.service.requests(),
        [],
        "nothing is asked before a token comes"
    );

    let answer = provider.post_token(&world.token).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let asked = eventually("both documents are asked for", async || {
        let requests = world.service.requests();
        (requests.len() >= 2).then_some(requests)
    })
    .await;
    let get = |path: &str| ("GET".to_owned(), path.to_owned(), 200);
    assert_eq!(asked, [get("/.well-known/openid-configuration"), get("/jwks")]);

    let access_token = answer.json()["access_token"]
        .as_str()
        .expect("an access token")
        .to_owned();
    let answer = provider.whoami(&access_token).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        answer.json()["subject"],
        format!("system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}")
    );
    assert_eq!(
        provider.whoami(&world.token).await.status,
        401,
        "a pod's token is not an access token"
    );
}

#[tokio::test]
async fn an_issuer_that_the_provider_does_not_trust_causes_no_fetch() {
    let Some(programs) = Programs::find(PROGRAMS) else {
        return;
    };
    let world = World::start(&programs).await;
    let provider = Provider::start(&programs, &world).await;
    let claims = tokens::claims(&world.token);
    let slash = serde_json::json!(format!("{}/", world.issuer));
    let token = tokens::sign(
        &tokens::with(&claims, "iss", slash),
        &world.signing_key(),
        &tokens::kid(&world.token),
    );
    let answer = provider.post_token(&token).await;
    assert_eq!(answer.status, 401);
    assert!(answer.body.contains("untrusted issuer"), "{}", answer.body);

    // Of two requests the first would be seen first: so none came before this one.
    let unpublished = provider
        .post_token(&tokens::sign(&claims, &rsa_key(), "unpublished"))
        .await;
    assert_eq!(unpublished.status, 401);
    assert!(unpublished.body.contains("unpublished"), "{}", unpublished.body);
    let asked = eventually("the documents are asked for", async || {
        let requests = world.service.requests();
        (requests.len() >= 2).then_some(requests)
    })
    .await;
    assert_eq!(
        asked
            .iter()
            .filter(|(_, path, _)| path == "/.well-known/openid-configuration")
            .count(),
        1
    );
}

/// `tests/servers/provider/provider.py`.
struct Provider {
    _program: Program,
    url: String,
    _folder: TempDir,
}

impl Provider {
    async fn start(programs: &Programs, world: &World) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = programs.command("python");
        command
            .arg(servers().join("provider/provider.py"))
            .arg(world.service.ca())
            .args([AUDIENCE, &world.issuer]);
        let program = Program::start("provider", &mut command, folder.path());
        let port = eventually("the provider tells its port", async || {
            program.printed().lines().next()?.parse::<u16>().ok()
        })
        .await;
        Self {
            _program: program,
            url: format!("http://127.0.0.1:{port}"),
            _folder: folder,
        }
    }

    async fn post_token(&self, token: &str) -> Answer {
        self.send(Method::POST, "/token", token).await
    }

    async fn whoami(&self, access_token: &str) -> Answer {
        self.send(Method::GET, "/whoami", access_token).await
    }

    async fn send(&self, method: Method, path: &str, bearer: &str) -> Answer {
        let sent = Http::plain()
            .send(method, &format!("{}{path}", self.url), Some(bearer), None)
            .await;
        sent.expect("the provider answers")
    }
}
