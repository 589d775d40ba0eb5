//! Where ledgers are kept, as configured and validated.

use std::path::{Path, PathBuf};

use super::shared::objects::Bucket;
use crate::client::ApiServerSettings;

/// How a bucket is written as a URL.
pub const BUCKET_URLS: &str = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX";

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

/// A bucket or container.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectStorageSettings {
    /// Which, and the folder in it.
    pub bucket: Bucket,
    /// Where it is served, if not by the cloud that its kind belongs to.
    pub endpoint: Option<String>,
    /// The region of an S3 bucket.
    pub region: Option<String>,
    /// The storage account of an Azure container.
    pub account: Option<String>,
    /// The CA that must have signed the certificate of the endpoint (PEM), beside those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// Lines `NAME=VALUE`: variables in the place of those of the environment.
    pub credentials_file: Option<PathBuf>,
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
