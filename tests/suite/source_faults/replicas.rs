//! An API server of three replicas, each of which can be broken, behind one address.

use std::io;
use std::path::PathBuf;

use oidc_issuer::client::ApiServerSettings;
use oidc_issuer::key::parse_file;
use oidc_issuer::source::SourceSettings;
use serde_json::json;
use tempfile::TempDir;

use super::ISSUER;
use super::certificates::{Ca, GOOD};
use super::server::{Behaviour, Reply, Server, Transport, ok};
use super::world::{TOKEN, discovery};

/// The address that leads to all of them, and each of them.
pub(super) struct Replicas {
    folder: TempDir,
    pub(super) ca: Ca,
    /// Listens on 127.0.0.1.
    pub(super) address: Server,
    /// They listen on one port of 127.0.0.2, 127.0.0.3, and 127.0.0.4.
    pub(super) each: Vec<Server>,
    good: Behaviour,
    pub(super) jwks: Jwks,
}

/// Keys as they are listed.
pub(super) struct Jwks {
    shared: String,
    own: Vec<String>,
    foreign: String,
}

impl Jwks {
    fn new() -> Self {
        Self {
            shared: jwk(),
            own: (0..3).map(|_| jwk()).collect(),
            foreign: jwk(),
        }
    }

    /// What this replica lists: the key that all have, and its own.
    pub(super) fn of(&self, replica: usize) -> String {
        format!("{{\"keys\":[{},{}]}}", self.shared, self.own[replica])
    }

    /// A set of which no key is known.
    pub(super) fn foreign(&self) -> String {
        format!("{{\"keys\":[{}]}}", self.foreign)
    }

    pub(super) fn shared(&self) -> String {
        format!("{{\"keys\":[{}]}}", self.shared)
    }
}

fn jwk() -> String {
    let key = rcgen::KeyPair::generate().expect("a key").public_key_pem();
    parse_file(key.as_bytes()).expect("a key").keys[0]
        .jwk()
        .to_owned()
}

impl Replicas {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (ca, jwks) = (Ca::new(), Jwks::new());
        std::fs::write(folder.path().join("ca.crt"), &ca.pem).expect("a file");
        std::fs::write(folder.path().join("token"), TOKEN).expect("a file");
        let good = Behaviour {
            transport: Transport::Tls(ca.server("kubernetes.default.svc", GOOD)),
            discovery: Reply::Whole(ok(discovery(ISSUER))),
            jwks: Reply::Whole(ok(jwks.shared())),
            slice: Reply::Whole(ok("{}")),
        };
        let each = loop {
            // Some other test may have the port on one of the addresses.
            if let Ok(each) = on_one_port(&good).await {
                break each;
            }
        };
        let address = Server::start(good.clone()).await;
        let replicas = Self {
            folder,
            ca,
            address,
            each,
            good,
            jwks,
        };
        replicas.heal();
        replicas
    }

    /// All is well again.
    pub(super) fn heal(&self) {
        self.serve_at_the_address(|_| {});
        for replica in 0..self.each.len() {
            self.serve(replica, |_| {});
        }
    }

    /// The replica does something else.
    pub(super) fn serve(&self, replica: usize, change: impl FnOnce(&mut Behaviour)) {
        let mut behaviour = self.good.clone();
        behaviour.jwks = Reply::Whole(ok(self.jwks.of(replica)));
        behaviour.slice = self.lists(&[0, 1, 2]);
        change(&mut behaviour);
        self.each[replica].behave(behaviour);
    }

    /// The address does something else.
    pub(super) fn serve_at_the_address(&self, change: impl FnOnce(&mut Behaviour)) {
        let mut behaviour = self.good.clone();
        behaviour.transport = Transport::Tls(self.ca.server("127.0.0.1", GOOD));
        behaviour.slice = self.lists(&[0, 1, 2]);
        change(&mut behaviour);
        self.address.behave(behaviour);
    }

    /// A slice of these replicas.
    pub(super) fn lists(&self, replicas: &[usize]) -> Reply {
        Reply::Whole(ok(self.slice(replicas).to_string()))
    }

    pub(super) fn slice(&self, replicas: &[usize]) -> serde_json::Value {
        let endpoint =
            |replica: &usize| json!({ "addresses": [ip(*replica)], "conditions": { "ready": true } });
        json!({
            "kind": "EndpointSlice",
            "apiVersion": "discovery.k8s.io/v1",
            "metadata": { "name": "kubernetes", "namespace": "default" },
            "addressType": "IPv4",
            "endpoints": replicas.iter().map(endpoint).collect::<Vec<_>>(),
            "ports": [{ "name": "https", "protocol": "TCP", "port": self.each[0].port }],
        })
    }

    /// How a replica is named.
    pub(super) fn name(&self, replica: usize) -> String {
        format!("{}:{}", ip(replica), self.each[0].port)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.address.port)
    }

    /// An issuer that is read from here, and its `confirmation`.
    pub(super) fn issuer(&self, confirmation: u32) -> serde_json::Value {
        let source = json!({ "apiServer": {
            "server": self.url(),
            "caFile": self.path("ca.crt"),
            "tokenFile": self.path("token"),
            "endpoints": true,
            "timeout": "1s",
        } });
        json!({ "issuer": ISSUER, "refresh": "1s", "confirmation": confirmation, "sources": [source] })
    }

    /// Writes a kubeconfig, and tells where.
    pub(super) fn kubeconfig(&self) -> String {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "a",
            "contexts": [{ "name": "a", "context": { "cluster": "c", "user": "u" } }],
            "clusters": [{ "name": "c", "cluster": { "server": self.url(), "certificate-authority": "ca.crt" } }],
            "users": [{ "name": "u", "user": { "tokenFile": "token" } }],
        });
        let path = self.path("kubeconfig");
        // JSON is YAML.
        std::fs::write(&path, config.to_string()).expect("a file");
        path.to_str().expect("a path").to_owned()
    }

    pub(super) fn settings(&self) -> SourceSettings {
        SourceSettings::ApiServer(ApiServerSettings {
            server: Some(self.url()),
            ca_file: Some(self.path("ca.crt")),
            token_file: Some(self.path("token")),
            endpoints: Some(true),
            timeout: Some(jiff::SignedDuration::from_secs(2)),
            ..ApiServerSettings::default()
        })
    }
}

fn ip(replica: usize) -> String {
    format!("127.0.0.{}", replica + 2)
}

async fn on_one_port(behaviour: &Behaviour) -> io::Result<Vec<Server>> {
    let first = Server::start_at("127.0.0.2:0", behaviour.clone()).await?;
    let mut all = vec![first];
    for replica in 1..3 {
        let address = format!("{}:{}", ip(replica), all[0].port);
        all.push(Server::start_at(&address, behaviour.clone()).await?);
    }
    Ok(all)
}
