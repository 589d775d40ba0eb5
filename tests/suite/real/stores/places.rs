//! The real servers, each with an empty place for ledgers.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oidc_issuer::client::ApiServerSettings;
use oidc_issuer::clock::Clock;
use oidc_issuer::store::{Bucket, KubernetesSettings, LocalSettings, ObjectStorageSettings, StoreSettings};
use serde_json::Value;
use tempfile::TempDir;

use super::super::cluster::{CLUSTER, Cluster};
use super::super::http::Http;
use super::super::manifests;
use super::super::pki::Pki;
use super::super::program::{Program, eventually, free_port};
use super::super::programs::Programs;
use super::super::service::binary;
use super::google;

/// A server that keeps ledgers.
pub(super) trait Place {
    /// `store: …` of the configuration.
    fn yaml(&self) -> String;
    /// The same, with a folder for copies that nobody else has.
    fn settings(&self) -> StoreSettings;
    /// What the server has on its disk, or says, of the last write: another one after each.
    async fn last_write(&self) -> String;
    /// Nobody answers any more.
    async fn stop(&mut self);
    /// It is back, with what it kept.
    async fn start_again(&mut self);
}

/// A program that is stopped and started, and its folder.
struct Server {
    program: Program,
    start: Box<dyn Fn() -> Program + Send>,
    ready: String,
    http: Http,
    folder: TempDir,
}

impl Server {
    async fn start(
        folder: TempDir,
        http: Http,
        ready: String,
        start: impl Fn() -> Program + Send + 'static,
    ) -> Self {
        let mut server = Self {
            program: start(),
            start: Box::new(start),
            ready,
            http,
            folder,
        };
        server.wait().await;
        server
    }

    /// Any answer will do: who asks without credentials is refused.
    async fn wait(&mut self) {
        let (http, url) = (&self.http, &self.ready);
        self.program
            .ready(async || http.send(reqwest::Method::GET, url, None, None).await.is_ok())
            .await;
    }

    /// Azurite writes what it has when it is told to end.
    async fn stop(&mut self) {
        self.program.signal("TERM");
        self.program.ended().await;
    }

    async fn start_again(&mut self) {
        self.program = (self.start)();
        self.wait().await;
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Where a replica keeps its copies.
fn copies(folder: &Path) -> LocalSettings {
    LocalSettings {
        file: folder.join("copies/ledgers.db"),
        folders: Vec::new(),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn object_storage(server: &Server, shared: ObjectStorageSettings) -> StoreSettings {
    StoreSettings::ObjectStorage {
        shared,
        local: copies(server.path()),
    }
}

fn shared(url: &str, endpoint: String, credentials: PathBuf) -> ObjectStorageSettings {
    ObjectStorageSettings {
        bucket: Bucket::parse(url).expect("a bucket"),
        endpoint: Some(endpoint),
        region: None,
        account: None,
        ca_file: None,
        credentials_file: Some(credentials),
    }
}

fn yaml(settings: &ObjectStorageSettings, url: &str) -> String {
    let text = |name: &str, value: Option<String>| value.map(|value| format!(", {name}: '{value}'"));
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let fields = [
        text("endpoint", settings.endpoint.clone()),
        text("region", settings.region.clone()),
        text("account", settings.account.clone()),
        text("caFile", path(&settings.ca_file)),
        text("credentialsFile", path(&settings.credentials_file)),
    ];
    let fields: String = fields.into_iter().flatten().collect();
    format!("store: {{objectStorage: {{url: '{url}'{fields}}}}}")
}

/// `versitygw` over HTTPS with a CA of its own.
pub(super) struct S3 {
    server: Server,
    port: u16,
}

impl S3 {
    pub(super) const PROGRAMS: &[&str] = &["versitygw"];
    const URL: &str = "s3://keys/ledgers";

    pub(super) async fn start(programs: &Programs) -> Self {
        let (folder, port) = (folder(), free_port());
        let path = folder.path().to_owned();
        fs::create_dir_all(path.join("root/keys")).expect("a bucket");
        let pki = Pki::create(&path.join("pki"), &["localhost", "127.0.0.1"]);
        fs::write(
            path.join("credentials"),
            "AWS_ACCESS_KEY_ID=tests\nAWS_SECRET_ACCESS_KEY=a-secret-of-the-tests\n",
        )
        .expect("a file");
        let http = Http::trusting(&fs::read_to_string(&pki.ca).expect("the CA"));
        let ready = format!("https://127.0.0.1:{port}/");
        let programs = programs.clone();
        let start = move || {
            let mut command = programs.command("versitygw");
            command
                .args(["--port", &format!("127.0.0.1:{port}"), "--region", "eu-test-1"])
                .args([
                    "--access",
                    "tests",
                    "--secret",
                    "a-secret-of-the-tests",
                    "--quiet",
                ])
                .arg("--cert")
                .arg(&pki.cert)
                .arg("--key")
                .arg(&pki.key)
                .arg("posix")
                .arg(path.join("root"));
            Program::start("versitygw", &mut command, &path)
        };
        Self {
            server: Server::start(folder, http, ready, start).await,
            port,
        }
    }

    fn shared(&self) -> ObjectStorageSettings {
        let endpoint = format!("https://127.0.0.1:{}", self.port);
        let mut shared = shared(Self::URL, endpoint, self.server.path().join("credentials"));
        shared.region = Some("eu-test-1".into());
        shared.ca_file = Some(self.server.path().join("pki/ca.crt"));
        shared
    }
}

/// Azurite.
pub(super) struct Azure {
    server: Server,
    port: u16,
}

impl Azure {
    pub(super) const PROGRAMS: &[&str] = &["azurite", "node"];
    const URL: &str = "az://keys/ledgers";
    const ACCOUNT: &str = "tests";

    pub(super) async fn start(programs: &Programs) -> Self {
        let (folder, port) = (folder(), free_port());
        let path = folder.path().to_owned();
        let key = STANDARD.encode(b"a key of the tests, which is nobody's secret");
        fs::write(
            path.join("credentials"),
            format!("AZURE_STORAGE_ACCOUNT_KEY={key}\n"),
        )
        .expect("a file");
        let programs = programs.clone();
        let accounts = format!("{}:{key}", Self::ACCOUNT);
        let start = move || {
            let mut command = programs.command("azurite");
            command
                .env("AZURITE_ACCOUNTS", &accounts)
                .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
                .args(["--silent", "--disableTelemetry", "--skipApiVersionCheck"])
                .arg("--location")
                .arg(&path);
            Program::start("azurite", &mut command, &path)
        };
        let ready = format!("http://127.0.0.1:{port}/");
        let azure = Self {
            server: Server::start(folder, Http::plain(), ready, start).await,
            port,
        };
        azure.create_container(&key).await;
        azure
    }

    /// Signed with the account's key ("Authorize with Shared Key" of the storage's documentation).
    async fn create_container(&self, key: &str) {
        let account = Self::ACCOUNT;
        let date = Clock::system()
            .now()
            .strftime("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        let headers = format!("x-ms-date:{date}\nx-ms-version:2021-08-06");
        let text =
            format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}\n/{account}/{account}/keys\nrestype:container");
        let key = STANDARD.decode(key).expect("a key");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        let url = format!("http://127.0.0.1:{}/{account}/keys?restype=container", self.port);
        let answer = Http::plain()
            .client()
            .put(url)
            .header("x-ms-date", date)
            .header("x-ms-version", "2021-08-06")
            .header("content-length", "0")
            .header("authorization", format!("SharedKey {account}:{signature}"))
            .send()
            .await
            .expect("an answer");
        let status = answer.status();
        assert_eq!(status, 201, "{}", answer.text().await.unwrap_or_default());
    }

    fn shared(&self) -> ObjectStorageSettings {
        let endpoint = format!("http://127.0.0.1:{}/{}", self.port, Self::ACCOUNT);
        let mut shared = shared(Self::URL, endpoint, self.server.path().join("credentials"));
        shared.account = Some(Self::ACCOUNT.into());
        shared
    }
}

/// `fake-gcs-server`, with the translation of [`google`] in front.
pub(super) struct Google {
    server: Server,
    port: u16,
    translation: tokio::task::JoinHandle<()>,
}

impl Google {
    pub(super) const PROGRAMS: &[&str] = &["fake-gcs-server"];
    const URL: &str = "gs://keys/ledgers";

    pub(super) async fn start(programs: &Programs) -> Self {
        let (folder, behind, port) = (folder(), free_port(), free_port());
        let path = folder.path().to_owned();
        fs::create_dir_all(path.join("root/keys")).expect("a bucket");
        fs::write(path.join("credentials"), "GOOGLE_BEARER_TOKEN=of-the-tests\n").expect("a file");
        let programs = programs.clone();
        let start = move || {
            let mut command = programs.command("fake-gcs-server");
            command
                .args([
                    "-scheme",
                    "http",
                    "-host",
                    "127.0.0.1",
                    "-port",
                    &behind.to_string(),
                ])
                .args(["-public-host", &format!("127.0.0.1:{behind}"), "-data", ""])
                .arg("-filesystem-root")
                .arg(path.join("root"));
            Program::start("fake-gcs-server", &mut command, &path)
        };
        let at = format!("http://127.0.0.1:{behind}");
        let ready = format!("{at}/storage/v1/b");
        Self {
            server: Server::start(folder, Http::plain(), ready, start).await,
            port,
            translation: google::translate(format!("127.0.0.1:{port}"), at).await,
        }
    }

    fn shared(&self) -> ObjectStorageSettings {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        shared(Self::URL, endpoint, self.server.path().join("credentials"))
    }
}

impl Drop for Google {
    fn drop(&mut self) {
        self.translation.abort();
    }
}

/// The files below a folder, and when each was written.
fn written(folder: &Path) -> String {
    let mut lines = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let about = entry.metadata().expect("a file");
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                let at = about.modified().expect("a time");
                lines.push(format!("{:?} {} {at:?}", entry.path(), about.ino()));
            }
        }
    }
    assert!(!lines.is_empty(), "nothing is kept in {}", folder.display());
    lines.sort();
    lines.join("\n")
}

macro_rules! bucket {
    ($kind:ty, $objects:literal) => {
        impl Place for $kind {
            fn yaml(&self) -> String {
                yaml(&self.shared(), Self::URL)
            }

            fn settings(&self) -> StoreSettings {
                object_storage(&self.server, self.shared())
            }

            async fn last_write(&self) -> String {
                written(&self.server.path().join($objects))
            }

            async fn stop(&mut self) {
                self.server.stop().await;
            }

            async fn start_again(&mut self) {
                self.server.start_again().await;
            }
        }
    };
}

bucket!(S3, "root/keys");
bucket!(Azure, "__blobstorage__");
bucket!(Google, "root/keys");

/// The API server, with the Role of the manifests.
pub(super) struct Kubernetes {
    cluster: Cluster,
    kubeconfig: PathBuf,
    folder: TempDir,
}

impl Kubernetes {
    pub(super) const PROGRAMS: &[&str] = CLUSTER;
    const NAMESPACE: &str = "oidc-issuer";

    pub(super) async fn start(programs: &Programs) -> Self {
        let cluster = Cluster::start(programs, "https://keys.example").await;
        let kubeconfig = cluster.kubeconfig().await;
        for kind in ["Role", "RoleBinding"] {
            for object in manifests::of_kind(kind) {
                manifests::accept(&cluster, &object).await;
            }
        }
        Self {
            cluster,
            kubeconfig,
            folder: folder(),
        }
    }

    /// The one `ConfigMap` that is labelled as a ledger.
    pub(super) async fn only_ledger(&self) -> Value {
        let path = format!(
            "/api/v1/namespaces/{}/configmaps?labelSelector=app.kubernetes.io/component%3Dledger",
            Self::NAMESPACE
        );
        // What is published was written to the local copy; the store has it a moment later.
        let mut items = eventually("a ledger in the store", async || {
            let list = self.cluster.get(&path).await.json();
            let items = list["items"].as_array().expect("a list").clone();
            (!items.is_empty()).then_some(items)
        })
        .await;
        assert_eq!(items.len(), 1, "{items:?}");
        items.remove(0)
    }

    /// What `oidc-issuer keys` tells, straight from the store, of whoever has a kubeconfig and no configuration.
    pub(super) async fn keys(&self, arguments: &[&str]) -> Value {
        let mut command = binary();
        command
            .arg("keys")
            .args(arguments)
            .arg(format!("--store=kubernetes://{}", Self::NAMESPACE))
            .arg("--state-dir")
            .arg(self.folder.path())
            .env("KUBECONFIG", &self.kubeconfig);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("no panic").expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

impl Place for Kubernetes {
    fn yaml(&self) -> String {
        format!(
            "store: {{kubernetes: {{kubeconfig: '{}', namespace: {}}}}}",
            self.kubeconfig.display(),
            Self::NAMESPACE
        )
    }

    fn settings(&self) -> StoreSettings {
        StoreSettings::Kubernetes {
            shared: KubernetesSettings {
                access: ApiServerSettings {
                    kubeconfig: Some(self.kubeconfig.clone()),
                    ..ApiServerSettings::default()
                },
                namespace: Some(Self::NAMESPACE.into()),
                name_prefix: "oidc-issuer".into(),
            },
            local: copies(self.folder.path()),
        }
    }

    async fn last_write(&self) -> String {
        self.only_ledger().await["metadata"]["resourceVersion"].to_string()
    }

    async fn stop(&mut self) {
        self.cluster.stop().await;
    }

    async fn start_again(&mut self) {
        self.cluster.start_again().await;
    }
}
