//! A cluster as far as its tokens go: a real `kube-apiserver` on a real `etcd`.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Answer, Http};
use super::pki::{Pki, rsa_key};
use super::program::{Program, free_port};
use super::programs::Programs;

/// The programs that a cluster needs.
pub(crate) const CLUSTER: &[&str] = &["etcd", "kube-apiserver"];

/// Is of the group `system:masters`.
const ADMIN: &str = "the-administrators-token";

/// A `kube-apiserver` and its `etcd`, on loopback.
#[derive(Debug)]
pub(crate) struct Cluster {
    apiserver: Program,
    etcd: Etcd,
    programs: Programs,
    port: u16,
    pki: Pki,
    http: Http,
    flags: Vec<String>,
    /// The issuer that its tokens name.
    pub(crate) issuer: String,
    /// The private key that its tokens are signed with, PKCS#8 in PEM.
    pub(crate) signing_key: PathBuf,
    // Last, so that the programs have ended when their folder goes.
    folder: TempDir,
}

/// `etcd`, without durability.
#[derive(Debug)]
struct Etcd {
    _program: Program,
    url: String,
}

impl Etcd {
    async fn start(programs: &Programs, folder: &Path) -> Self {
        let (url, peer) = (loopback(free_port()), loopback(free_port()));
        let mut program = Program::start(
            "etcd",
            programs
                .command("etcd")
                .arg("--unsafe-no-fsync")
                .arg("--data-dir")
                .arg(folder.join("etcd"))
                .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
                .args([
                    "--listen-peer-urls",
                    &peer,
                    "--initial-advertise-peer-urls",
                    &peer,
                ])
                .args(["--initial-cluster", &format!("default={peer}")]),
            folder,
        );
        let (http, health) = (Http::plain(), format!("{url}/health"));
        program.ready(async || http.is_ok(&health, None).await).await;
        Self {
            _program: program,
            url,
        }
    }
}

impl Cluster {
    /// Starts one whose tokens name `issuer`, with a signing key of its own.
    pub(crate) async fn start(programs: &Programs, issuer: &str) -> Self {
        Self::start_with(programs, issuer, Vec::new()).await
    }

    /// The same, with more flags for its API server.
    pub(crate) async fn start_with(programs: &Programs, issuer: &str, flags: Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let signing_key = folder.path().join("sa.key");
        std::fs::write(&signing_key, rsa_key()).expect("a file");
        let names = ["kubernetes.default.svc", "localhost", "127.0.0.1"];
        let pki = Pki::create(&folder.path().join("pki"), &names);
        let http = Http::trusting(&std::fs::read_to_string(&pki.ca).expect("the CA"));
        let etcd = Etcd::start(programs, folder.path()).await;
        let port = free_port();
        let key_files = vec![signing_key.clone()];
        let apiserver = apiserver(
            programs,
            folder.path(),
            &etcd,
            &pki,
            port,
            issuer,
            &signing_key,
            &key_files,
            &flags,
        );
        let mut cluster = Self {
            apiserver,
            etcd,
            programs: programs.clone(),
            port,
            pki,
            http,
            flags,
            issuer: issuer.to_owned(),
            signing_key,
            folder,
        };
        cluster.wait().await;
        cluster
    }

    /// Restarts the API server with other files of `--service-account-key-file`: it reads them only at its start.
    pub(crate) async fn restart_with_keys(&mut self, key_files: &[PathBuf]) {
        self.stop().await;
        self.start_with_keys(key_files).await;
    }

    /// Starts the API server again that was stopped, with all that it knew.
    pub(crate) async fn start_again(&mut self) {
        let keys = [self.signing_key.clone()];
        self.start_with_keys(&keys).await;
    }

    async fn start_with_keys(&mut self, key_files: &[PathBuf]) {
        let (folder, issuer, key) = (self.folder.path(), &self.issuer, &self.signing_key);
        self.apiserver = apiserver(
            &self.programs,
            folder,
            &self.etcd,
            &self.pki,
            self.port,
            issuer,
            key,
            key_files,
            &self.flags,
        );
        self.wait().await;
    }

    /// Ends the API server; nobody answers at its address any more.
    pub(crate) async fn stop(&mut self) {
        self.apiserver.signal("KILL");
        self.apiserver.ended().await;
    }

    async fn wait(&mut self) {
        let (http, url) = (&self.http, self.url("/readyz"));
        self.apiserver
            .ready(async || http.is_ok(&url, Some(ADMIN)).await)
            .await;
    }

    /// The API server's address, with this path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// The certificate of the cluster's CA.
    pub(crate) fn ca(&self) -> &Path {
        &self.pki.ca
    }

    /// What the API server answers to the administrator.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// Creates an object, as the administrator.
    ///
    /// # Panics
    ///
    /// If the API server refuses it: with its reason.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Value {
        let answer = self.send(Method::POST, path, Some(object)).await;
        assert!(
            [200, 201].contains(&answer.status),
            "{path}: {}: {}",
            answer.status,
            answer.body
        );
        answer.json()
    }

    /// Any request, as the administrator.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let url = self.url(path);
        let sent = self
            .http
            .send(method, &url, Some(ADMIN), body.map(Value::to_string))
            .await;
        sent.unwrap_or_else(|error| panic!("{url}: {error:?}"))
    }

    /// Who the API server says that the bearer of this token is: `kubectl auth whoami`.
    pub(crate) async fn who_is(&self, token: &str) -> Answer {
        let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
        let url = self.url("/apis/authentication.k8s.io/v1/selfsubjectreviews");
        let sent = self
            .http
            .send(Method::POST, &url, Some(token), Some(review.to_string()))
            .await;
        sent.unwrap_or_else(|error| panic!("{url}: {error:?}"))
    }

    /// Creates a namespace with one service account.
    pub(crate) async fn create_service_account(&self, namespace: &str, name: &str) {
        let found = self.get(&format!("/api/v1/namespaces/{namespace}")).await;
        if found.status == 404 {
            self.create(
                "/api/v1/namespaces",
                &json!({ "metadata": { "name": namespace } }),
            )
            .await;
        }
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        self.create(&path, &json!({ "metadata": { "name": name } })).await;
    }

    /// A token of a service account, bound to a Pod where one is given; without an audience, for the API server itself.
    pub(crate) async fn token(
        &self,
        namespace: &str,
        name: &str,
        audience: Option<&str>,
        pod: Option<&Value>,
    ) -> String {
        let mut spec = json!({ "expirationSeconds": 7200 });
        if let Some(audience) = audience {
            spec["audiences"] = json!([audience]);
        }
        if let Some(pod) = pod {
            let metadata = &pod["metadata"];
            spec["boundObjectRef"] = json!({ "kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"] });
        }
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let answer = self.create(&path, &json!({ "spec": spec })).await;
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// Writes a kubeconfig of a service account that may do nothing but what every service account may.
    pub(crate) async fn kubeconfig(&self) -> PathBuf {
        self.create_service_account("oidc-issuer", "oidc-issuer").await;
        let token_file = self.renew_token().await;
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": self.url(""), "certificate-authority": self.ca() } }],
            "users": [{ "name": "oidc-issuer", "user": { "tokenFile": token_file } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "oidc-issuer" } }],
        });
        let path = self.kubeconfig_file();
        // JSON is YAML.
        std::fs::write(&path, config.to_string()).expect("a file");
        path
    }

    /// Where `kubeconfig` has written it.
    pub(crate) fn kubeconfig_file(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Writes a new token of the kubeconfig's service account, as the kubelet does about hourly.
    pub(crate) async fn renew_token(&self) -> PathBuf {
        let token = self.token("oidc-issuer", "oidc-issuer", None, None).await;
        let file = self.folder.path().join("oidc-issuer.token");
        std::fs::write(&file, token).expect("a file");
        file
    }

    /// The body of its own `/openid/v1/jwks`.
    pub(crate) async fn jwks(&self) -> String {
        let answer = self.get("/openid/v1/jwks").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

#[expect(clippy::too_many_arguments, reason = "each is one of its flags")]
fn apiserver(
    programs: &Programs,
    folder: &Path,
    etcd: &Etcd,
    pki: &Pki,
    port: u16,
    issuer: &str,
    signing_key: &Path,
    key_files: &[PathBuf],
    flags: &[String],
) -> Program {
    let tokens = folder.join("tokens.csv");
    std::fs::write(&tokens, format!("{ADMIN},admin,admin,\"system:masters\"\n")).expect("a file");
    let mut command = programs.command("kube-apiserver");
    command
        .arg(format!("--etcd-servers={}", etcd.url))
        .arg(format!("--service-account-issuer={issuer}"))
        .arg(format!(
            "--service-account-jwks-uri={}/jwks",
            issuer.trim_end_matches('/')
        ))
        .arg("--service-account-signing-key-file")
        .arg(signing_key)
        .arg("--tls-cert-file")
        .arg(&pki.cert)
        .arg("--tls-private-key-file")
        .arg(&pki.key)
        .arg("--cert-dir")
        .arg(folder.join("certs"))
        .arg("--token-auth-file")
        .arg(&tokens)
        .arg(format!("--secure-port={port}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .arg("--service-cluster-ip-range=10.0.0.0/24")
        .arg("--authorization-mode=RBAC")
        // It would want a controller that creates `default` in every namespace.
        .arg("--disable-admission-plugins=ServiceAccount")
        .arg("--endpoint-reconciler-type=none")
        .args(flags);
    for file in key_files {
        command.arg("--service-account-key-file").arg(file);
    }
    Program::start("kube-apiserver", &mut command, folder)
}

fn loopback(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
