//! A service, its source, and the folder of all their files: healed as a whole, broken in one place.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oidc_issuer::key::parse_file;
use serde_json::json;
use tempfile::TempDir;

use super::certificates::{Ca, GOOD};
use super::server::{Behaviour, Reply, Server, Transport, ok, response};

pub(super) const ISSUER: &str = "https://oidc.example.com/prod";

/// Must never be seen anywhere but in a request.
pub(super) const TOKEN: &str = "eyJhbGciOiJub25lIn0.c2VjcmV0.T0tFTi1TRUNSRVQ";

pub(super) struct World {
    folder: TempDir,
    pub(super) ca: Ca,
    pub(super) server: Server,
    good: Behaviour,
    key: String,
    jwk: String,
    client: (String, String),
}

impl World {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = Ca::new();
        let key = rcgen::KeyPair::generate().expect("a key").public_key_pem();
        let jwk = parse_file(key.as_bytes()).expect("a key").keys[0]
            .jwk()
            .to_owned();
        let good = Behaviour {
            transport: Transport::Tls(ca.server("127.0.0.1", GOOD)),
            discovery: Reply::Whole(ok(discovery(ISSUER))),
            jwks: Reply::Whole(ok(format!("{{\"keys\":[{jwk}]}}"))),
            slice: Reply::Whole(response("404 Not Found", "", "{}")),
        };
        let server = Server::start(good.clone()).await;
        let client = ca.client();
        let world = Self {
            folder,
            ca,
            server,
            good,
            key,
            jwk,
            client,
        };
        world.heal();
        world
    }

    /// All is well again.
    pub(super) fn heal(&self) {
        let folder = self.folder.path();
        for entry in fs::read_dir(folder).expect("the folder").flatten() {
            let path = entry.path();
            // What a service keeps is not of the source.
            if path.is_dir() && entry.file_name() != "state" {
                fs::remove_dir_all(path).expect("gone");
            } else if path.is_file() || !path.exists() || is_fifo(&path) {
                let _ = fs::remove_file(path);
            }
        }
        self.write("ca.crt", &self.ca.pem);
        self.write("token", TOKEN);
        self.write("client.crt", &self.client.0);
        self.write("client.key", &self.client.1);
        self.write("keys/sa.pub", &self.key);
        self.kubeconfig(|_| {});
        self.server.behave(self.good.clone());
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of these octets, or none.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        // Seen as a whole, or not at all.
        let draft = self.path(".draft");
        fs::write(&draft, content).expect("a file");
        fs::rename(draft, path).expect("a file");
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("gone");
    }

    /// Puts something else in the place of a file.
    pub(super) fn replace(&self, name: &str, kind: Kind) {
        self.remove(name);
        match kind {
            Kind::Folder => fs::create_dir(self.path(name)).expect("a folder"),
            Kind::Fifo => {
                let made = std::process::Command::new("mkfifo").arg(self.path(name)).status();
                assert!(made.expect("mkfifo").success());
            }
            Kind::Dangling => {
                std::os::unix::fs::symlink("/nonexistent", self.path(name)).expect("a link");
            }
        }
    }

    /// The server does something else.
    pub(super) fn serve(&self, change: impl FnOnce(&mut Behaviour)) {
        let mut behaviour = self.good.clone();
        change(&mut behaviour);
        self.server.behave(behaviour);
    }

    /// A JWKS of the good key and these entries.
    pub(super) fn jwks(&self, others: &[&str]) -> String {
        let all: Vec<_> = std::iter::once(self.jwk.as_str())
            .chain(others.iter().copied())
            .collect();
        format!("{{\"keys\":[{}]}}", all.join(","))
    }

    pub(super) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.server.port)
    }

    /// Writes the kubeconfig, changed.
    pub(super) fn kubeconfig(&self, change: impl FnOnce(&mut serde_json::Value)) {
        let data = |text: &str| STANDARD.encode(text);
        let mut config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "a",
            "contexts": [{ "name": "a", "context": { "cluster": "c", "user": "u" } }],
            "clusters": [{
                "name": "c",
                "cluster": { "server": self.url(), "certificate-authority-data": data(&self.ca.pem) },
            }],
            "users": [{ "name": "u", "user": { "token": TOKEN } }],
        });
        change(&mut config);
        // JSON is YAML.
        self.write("kubeconfig", config.to_string());
    }

    /// The `sources` of the configuration.
    pub(super) fn sources(&self, source: Which) -> serde_json::Value {
        let (ca, token) = (self.path("ca.crt"), self.path("token"));
        match source {
            Which::ApiServer => {
                json!([{ "apiServer": { "server": self.url(), "caFile": ca, "tokenFile": token, "timeout": "30s" } }])
            }
            Which::Hasty => {
                json!([{ "apiServer": { "server": self.url(), "caFile": ca, "tokenFile": token, "timeout": "1s" } }])
            }
            Which::NoToken => {
                json!([{ "apiServer": { "server": self.url(), "caFile": ca, "timeout": "1s" } }])
            }
            Which::Kubeconfig => {
                json!([{ "apiServer": { "kubeconfig": self.path("kubeconfig") } }])
            }
            Which::Jwks => json!([{
                "jwks": { "url": format!("{}/some/jwks?key=QUERY-SECRET", self.url()), "caFile": ca },
            }]),
            Which::Files => json!([{ "files": { "paths": [self.path("keys/*.pub")] } }]),
            Which::OneFile => json!([{ "files": { "paths": [self.path("keys/sa.pub")] } }]),
        }
    }
}

/// Which source a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    ApiServer,
    /// Which waits a second only.
    Hasty,
    NoToken,
    Kubeconfig,
    Jwks,
    Files,
    OneFile,
}

/// What stands where a file was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Folder,
    Fifo,
    Dangling,
}

pub(super) fn discovery(issuer: &str) -> String {
    json!({ "issuer": issuer, "jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks" }).to_string()
}

fn is_fifo(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}
