//! The whole picture: a cluster, and the service that publishes its keys under the cluster's issuer.

use std::sync::{Arc, Weak};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::cluster::Cluster;
use super::program::free_port;
use super::programs::Programs;
use super::service::OidcIssuer;

/// The namespace of the story.
pub(crate) const NAMESPACE: &str = "build";
/// Its service account.
pub(crate) const SERVICE_ACCOUNT: &str = "build-robot";
/// Who its tokens are for.
pub(crate) const AUDIENCE: &str = "vault";

/// A cluster whose tokens name the service, the service, and a Pod with its token.
#[derive(Debug)]
pub(crate) struct World {
    /// The service.
    pub(crate) service: OidcIssuer,
    /// The cluster.
    pub(crate) cluster: Cluster,
    /// The URL of both.
    pub(crate) issuer: String,
    /// The token in the Pod's volume.
    pub(crate) token: String,
}

impl World {
    /// A world of its own, for a test that looks at all that the service was asked.
    pub(crate) async fn start(programs: &Programs) -> Self {
        // The API server's flag names the service's port, so the port is chosen first.
        let address = format!("127.0.0.1:{}", free_port());
        let issuer = address.replace("127.0.0.1", "https://localhost");
        let cluster = Cluster::start(programs, &issuer).await;
        let kubeconfig = cluster.kubeconfig().await;
        let kubeconfig = kubeconfig.to_str().expect("a path in UTF-8");
        let service = OidcIssuer::serve(&[
            "--issuer",
            &issuer,
            "--kubeconfig",
            kubeconfig,
            "--listen",
            &address,
        ])
        .await;
        cluster.create_service_account(NAMESPACE, SERVICE_ACCOUNT).await;
        let pod = cluster
            .create(&format!("/api/v1/namespaces/{NAMESPACE}/pods"), &pod())
            .await;
        let token = cluster
            .token(NAMESPACE, SERVICE_ACCOUNT, Some(AUDIENCE), Some(&pod))
            .await;
        Self {
            service,
            cluster,
            issuer,
            token,
        }
    }

    /// One world for all tests that run at the same time; it ends with the last of them.
    pub(crate) async fn shared(programs: &Programs) -> Arc<Self> {
        static SHARED: Mutex<Weak<World>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(world) = shared.upgrade() {
            return world;
        }
        let world = Arc::new(Self::start(programs).await);
        *shared = Arc::downgrade(&world);
        world
    }

    /// The private key that the cluster signs with, in PEM.
    pub(crate) fn signing_key(&self) -> String {
        std::fs::read_to_string(&self.cluster.signing_key).expect("the key")
    }
}

/// A Pod that mounts a token for an audience.
fn pod() -> Value {
    json!({
        "metadata": { "name": "nginx" },
        "spec": {
            "serviceAccountName": SERVICE_ACCOUNT,
            "containers": [{
                "name": "nginx",
                "image": "nginx",
                "volumeMounts": [{ "name": "vault-token", "mountPath": "/var/run/secrets/tokens" }],
            }],
            "volumes": [{
                "name": "vault-token",
                "projected": { "sources": [{
                    "serviceAccountToken": { "path": "vault-token", "audience": AUDIENCE, "expirationSeconds": 7200 },
                }] },
            }],
        },
    })
}
