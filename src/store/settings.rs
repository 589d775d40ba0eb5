//! Where ledgers are kept, as configured and validated.

use std::path::PathBuf;

use crate::source::ApiServerSettings;

/// A store. All but memory have a folder on this machine.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreSettings {
    /// In this process alone.
    Memory,
    /// In a folder.
    File {
        /// The folder; one process alone may have it.
        folder: PathBuf,
    },
    /// In `ConfigMap`s, shared by replicas.
    Kubernetes {
        /// Where.
        shared: KubernetesSettings,
        /// The copies of this replica.
        folder: PathBuf,
    },
}

/// `ConfigMap`s of an API server.
#[derive(Clone, Debug, PartialEq)]
pub struct KubernetesSettings {
    /// How it is reached.
    pub access: ApiServerSettings,
    /// Their namespace; `None`: that of this pod.
    pub namespace: Option<String>,
    /// How their names begin.
    pub name_prefix: String,
}
