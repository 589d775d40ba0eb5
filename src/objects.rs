//! Objects that are written only over the version that was read: `ConfigMap`s of an API server, and objects in a bucket (S3
//! and its look-alikes, Google Cloud Storage, Azure Blob Storage). Bytes and versions go in and out; what the bytes mean is
//! the caller's.

mod bucket;
mod config_map;

use std::path::PathBuf;

use bytes::Bytes;
use object_store::UpdateVersion;

pub use bucket::Bucket;
pub(crate) use bucket::{ObjectStorage, faults};
pub(crate) use config_map::{ConfigMaps, KIND, is_label};

/// How a bucket is written as a URL.
pub const BUCKET_URLS: &str = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX";

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

/// Which generation of an object is meant: a write that names another one than there is, is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// There is none yet.
    Absent,
    /// The `resourceVersion` of an object.
    Resource(String),
    /// ETag and generation of an object in a bucket: the whole of it is named.
    Object(UpdateVersion),
    /// Counted.
    #[cfg(test)]
    Number(u64),
}

/// What a read gave.
#[derive(Debug)]
pub(crate) enum Read {
    /// The version that was known.
    Unchanged,
    /// Another one.
    Stored(Stored),
}

/// What is stored.
#[derive(Debug)]
pub(crate) struct Stored {
    /// `None`: the store says that there is no such object.
    pub(crate) content: Option<Content>,
    /// What the next write has to name.
    pub(crate) version: Version,
}

/// The bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) bytes: Bytes,
    pub(crate) proof: Proof,
}

/// What is known of a content beside itself. What was cut on the way, or is something else's answer, must not be taken for
/// what is damaged in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing.
    None,
    /// The store gives a checksum, and these are all bytes of it.
    Whole,
    /// It is a member of an object that is whole, and marked as ours.
    Ours,
}

/// Why nothing was written.
#[derive(Debug)]
pub(crate) enum SaveError {
    /// Another replica was faster: read, merge, try again.
    Lost,
    /// Nobody knows whether it was written.
    Failed(StoreError),
}

/// Why a store cannot be used now. One line: place, cause, remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct StoreError {
    pub(crate) message: String,
}

impl StoreError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }

    /// The same, with the place before it.
    pub(crate) fn at(self, place: &str) -> Self {
        Self::new(format!("{place}: {}", self.message))
    }
}
