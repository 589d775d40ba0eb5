//! Where ledgers are kept, as configured and validated.

use std::path::{Path, PathBuf};

use crate::client::{self, ApiServerSettings};
use crate::objects::{self, ObjectStorageSettings};

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

/// What is wrong with the files that a shared store needs, each with its field. They are read as the store reads them.
/// Blocks.
pub fn faults(settings: &StoreSettings) -> Vec<(String, String)> {
    let at = |kind: &str, field: &str| {
        let dot = if field.is_empty() { "" } else { "." };
        format!("store.{kind}{dot}{field}")
    };
    match settings {
        StoreSettings::Memory | StoreSettings::File { .. } => Vec::new(),
        StoreSettings::Kubernetes { shared, .. } => client::faults(&shared.access)
            .into_iter()
            .map(|(field, cause)| (at("kubernetes", field), cause.to_string()))
            .collect(),
        StoreSettings::ObjectStorage { shared, .. } => objects::faults(shared)
            .into_iter()
            .map(|(field, reason)| (at("objectStorage", field), reason))
            .collect(),
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
