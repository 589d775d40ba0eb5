//! A cluster as far as its tokens go: a real `kube-apiserver` on a real `etcd`.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::api::Api;
use super::apiserver::{ApiServer, Etcd, Keys, Settings};
use super::pki::{Pki, rsa_key};
use super::program::free_port;
use super::programs::Programs;

/// The programs that a cluster needs.
pub(crate) const CLUSTER: &[&str] = &["etcd", "kube-apiserver"];

/// A `kube-apiserver` and its `etcd`, on loopback. What its API can be asked, the cluster can be asked.
#[derive(Debug)]
pub(crate) struct Cluster {
    apiserver: ApiServer,
    _etcd: Etcd,
    pki: Pki,
    /// The private key that its tokens are signed with, PKCS#8 in PEM.
    pub(crate) signing_key: PathBuf,
    // Last, so that the programs have ended when their folder goes.
    folder: TempDir,
}

impl Deref for Cluster {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.apiserver.api
    }
}

impl Cluster {
    /// Starts one whose tokens name `issuer`, with a signing key of its own.
    pub(crate) async fn start(programs: &Programs, issuer: &str) -> Self {
        Self::start_with(programs, issuer, Vec::new()).await
    }

    /// The same, with more flags for its API server.
    pub(crate) async fn start_with(programs: &Programs, issuer: &str, mut flags: Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let signing_key = folder.path().join("sa.key");
        std::fs::write(&signing_key, rsa_key()).expect("a file");
        let names = ["kubernetes.default.svc", "localhost", "127.0.0.1"];
        let pki = Pki::create(&folder.path().join("pki"), &names);
        let etcd = Etcd::start(programs, folder.path()).await;
        // It refuses to tell others a loopback address.
        flags.push("--endpoint-reconciler-type=none".into());
        let settings = Settings {
            name: "kube-apiserver".into(),
            programs: programs.clone(),
            folder: folder.path().to_owned(),
            address: "127.0.0.1".into(),
            port: free_port(),
            pki: pki.clone(),
            issuer: issuer.to_owned(),
            flags,
        };
        let keys = Keys {
            signing: signing_key.clone(),
            listed: vec![signing_key.clone()],
        };
        Self {
            apiserver: ApiServer::start(settings, &etcd, &keys).await,
            _etcd: etcd,
            pki,
            signing_key,
            folder,
        }
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
        let keys = Keys {
            signing: self.signing_key.clone(),
            listed: key_files.to_vec(),
        };
        self.apiserver.start_again(&keys).await;
    }

    /// Ends the API server; nobody answers at its address any more.
    pub(crate) async fn stop(&mut self) {
        self.apiserver.stop("KILL").await;
    }

    /// The certificate of the cluster's CA.
    pub(crate) fn ca(&self) -> &Path {
        &self.pki.ca
    }

    /// A certificate of that CA, for `localhost`.
    pub(crate) fn pki(&self) -> &Pki {
        &self.pki
    }

    /// `ADDRESS:PORT` of its API server.
    pub(crate) fn address(&self) -> String {
        self.url("").trim_start_matches("https://").to_owned()
    }

    /// Writes a kubeconfig of a service account that may do nothing but what every service account may.
    pub(crate) async fn kubeconfig(&self) -> PathBuf {
        self.create_service_account("oidc-issuer", "oidc-issuer").await;
        let token_file = self.renew_token().await;
        let path = self.kubeconfig_file();
        write_kubeconfig(&path, &self.url(""), self.ca(), &token_file);
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
}

/// Writes a kubeconfig of the bearer of the token in a file.
pub(crate) fn write_kubeconfig(path: &Path, server: &str, ca: &Path, token_file: &Path) {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": server, "certificate-authority": ca } }],
        "users": [{ "name": "oidc-issuer", "user": { "tokenFile": token_file } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "oidc-issuer" } }],
    });
    // JSON is YAML.
    std::fs::write(path, config.to_string()).expect("a file");
}
