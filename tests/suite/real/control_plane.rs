//! Two API servers with one `etcd`, each on an address of its own and both in the slice `default/kubernetes`.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::api::Api;
use super::apiserver::{ApiServer, Etcd, Keys, Settings};
use super::manifests;
use super::pki::{Pki, rsa_key};
use super::program::eventually;
use super::programs::Programs;

/// Where the API servers are; a test gives itself these (see [`super::namespace`]).
pub(crate) const ADDRESSES: [&str; 2] = ["10.255.0.1", "10.255.0.2"];

const PORT: u16 = 6443;
const NAMESPACE: &str = "oidc-issuer";

/// Both API servers.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    servers: Vec<ApiServer>,
    keys: Vec<Keys>,
    pki: Pki,
    _etcd: Etcd,
    // Last, so that the programs have ended when their folder goes.
    folder: TempDir,
}

impl ControlPlane {
    /// Starts both with one signing key; their tokens name `issuer`.
    pub(crate) async fn start(programs: &Programs, issuer: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let names = [
            "kubernetes.default.svc",
            "localhost",
            "127.0.0.1",
            ADDRESSES[0],
            ADDRESSES[1],
        ];
        let pki = Pki::create(&folder.path().join("pki"), &names);
        let etcd = Etcd::start(programs, folder.path()).await;
        let key = new_key(folder.path(), "first");
        let keys = Keys {
            signing: key.clone(),
            listed: vec![key],
        };
        let settings = |place: usize| {
            let name = format!("kube-apiserver-{}", place + 1);
            std::fs::create_dir(folder.path().join(&name)).expect("a folder");
            Settings {
                folder: folder.path().join(&name),
                name,
                programs: programs.clone(),
                address: ADDRESSES[place].into(),
                port: PORT,
                pki: pki.clone(),
                issuer: issuer.to_owned(),
                flags: Vec::new(),
            }
        };
        let (one, two) = tokio::join!(
            ApiServer::start(settings(0), &etcd, &keys),
            ApiServer::start(settings(1), &etcd, &keys)
        );
        let plane = Self {
            servers: vec![one, two],
            keys: vec![keys.clone(), keys],
            pki,
            _etcd: etcd,
            folder,
        };
        plane.endpoints(&ADDRESSES).await;
        plane
    }

    /// What one of them can be asked.
    pub(crate) fn api(&self, place: usize) -> &Api {
        &self.servers[place].api
    }

    /// `ADDRESS:PORT` of both.
    pub(crate) fn addresses() -> Vec<String> {
        ADDRESSES
            .iter()
            .map(|address| format!("{address}:{PORT}"))
            .collect()
    }

    /// The keys that one of them was started with.
    pub(crate) fn keys(&self, place: usize) -> &Keys {
        &self.keys[place]
    }

    /// Ends one of them and starts it with these keys. After `TERM` it has taken its endpoint back, after `KILL` not.
    pub(crate) async fn restart(&mut self, place: usize, signal: &str, keys: Keys) {
        self.stop(place, signal).await;
        self.keys[place] = keys;
        self.start_again(place).await;
    }

    /// Ends one of them, and starts one of another issuer in its place.
    pub(crate) async fn replace(&mut self, place: usize, issuer: &str, keys: Keys) {
        self.servers[place].names(issuer);
        self.restart(place, "KILL", keys).await;
    }

    /// Ends one of them.
    pub(crate) async fn stop(&mut self, place: usize, signal: &str) {
        self.servers[place].stop(signal).await;
    }

    /// Starts it again.
    pub(crate) async fn start_again(&mut self, place: usize) {
        self.servers[place].start_again(&self.keys[place]).await;
    }

    /// A new private key in a file.
    pub(crate) fn new_key(&self, name: &str) -> PathBuf {
        new_key(self.folder.path(), name)
    }

    /// A file beside the keys.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        std::fs::write(&file, content).expect("a file");
        file
    }

    /// The certificate of the cluster's CA.
    pub(crate) fn ca(&self) -> &Path {
        &self.pki.ca
    }

    /// A certificate of that CA, for the API servers and `localhost`.
    pub(crate) fn pki(&self) -> &Pki {
        &self.pki
    }

    /// Creates the service's account with what the manifests allow it, and a file with its token.
    pub(crate) async fn account(&self) -> PathBuf {
        let api = self.api(0);
        api.create_service_account(NAMESPACE, "oidc-issuer").await;
        manifests::permit(api).await;
        self.renew_token(0).await
    }

    /// Lets one of them sign a new token for the service, as the kubelet does about hourly.
    pub(crate) async fn renew_token(&self, place: usize) -> PathBuf {
        let token = self.api(place).token(NAMESPACE, "oidc-issuer", None, None).await;
        let (file, draft) = (self.folder.path().join("token"), self.folder.path().join("draft"));
        std::fs::write(&draft, token).expect("a file");
        std::fs::rename(&draft, &file).expect("a file");
        file
    }

    /// Waits until the cluster says that these are the endpoints of its API.
    pub(crate) async fn endpoints(&self, addresses: &[&str]) {
        let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
        eventually("the API servers are in their slice", async || {
            for server in &self.servers {
                let Ok(answer) = server.api.try_send(Method::GET, path, None).await else {
                    continue;
                };
                let mut found: Vec<Value> = answer
                    .json()
                    .get("endpoints")?
                    .as_array()?
                    .iter()
                    .flat_map(|endpoint| endpoint["addresses"].as_array().cloned().unwrap_or_default())
                    .collect();
                found.sort_by_key(ToString::to_string);
                return (json!(found) == json!(addresses)).then_some(());
            }
            None
        })
        .await;
    }
}

fn new_key(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(format!("{name}.key"));
    std::fs::write(&file, rsa_key()).expect("a file");
    file
}
