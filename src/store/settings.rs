//! Where ledgers are kept, as configured and validated.

use std::path::PathBuf;

use crate::client::{self, ApiServerSettings};
use crate::objects::{self, ObjectStorageSettings};

/// How any store but memory is written as a URL.
pub const STORE_URLS: &str = "sqlite:FILE, file:FOLDER (of a former release, only read), kubernetes://NAMESPACE, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX";

/// A store. All but memory have a database on this machine.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreSettings {
    /// In this process alone.
    Memory,
    /// In a database on this machine.
    Sqlite {
        /// Where.
        local: LocalSettings,
    },
    /// In a folder of a former release: for looking at it alone.
    Folder {
        /// The folder.
        folder: PathBuf,
    },
    /// In `ConfigMap`s, shared by replicas.
    Kubernetes {
        /// Where.
        shared: KubernetesSettings,
        /// The copies of this replica.
        local: LocalSettings,
    },
    /// In object storage, shared by replicas.
    ObjectStorage {
        /// Where.
        shared: ObjectStorageSettings,
        /// The copies of this replica.
        local: LocalSettings,
    },
}

impl StoreSettings {
    /// The database on this machine.
    pub fn local(&self) -> Option<&LocalSettings> {
        match self {
            Self::Memory | Self::Folder { .. } => None,
            Self::Sqlite { local } | Self::Kubernetes { local, .. } | Self::ObjectStorage { local, .. } => {
                Some(local)
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
        StoreSettings::Memory | StoreSettings::Sqlite { .. } | StoreSettings::Folder { .. } => Vec::new(),
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

/// A database of ledgers on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSettings {
    /// The file; one process alone may have it.
    pub file: PathBuf,
    /// Folders of former releases, whose ledgers are taken over.
    pub folders: Vec<PathBuf>,
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
