//! Where ledgers are kept, as configured and validated.

use std::path::{Path, PathBuf};

use crate::client::ApiServerSettings;
use crate::objects::ObjectStorageSettings;

/// How any store but memory is written as a URL.
pub const STORE_URLS: &str =
    "file:///FOLDER, kubernetes://NAMESPACE, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX";

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
    /// In object storage, shared by replicas.
    ObjectStorage {
        /// Where.
        shared: ObjectStorageSettings,
        /// The copies of this replica.
        folder: PathBuf,
    },
}

impl StoreSettings {
    /// The folder on this machine.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Memory => None,
            Self::File { folder } | Self::Kubernetes { folder, .. } | Self::ObjectStorage { folder, .. } => {
                Some(folder)
            }
        }
    }
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
