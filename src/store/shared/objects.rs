//! One object an issuer in a bucket: S3 and its look-alikes, Google Cloud Storage, Azure Blob Storage. Written only
//! over the version that was read, which every one of them can promise by ETag or generation.

mod answers;
mod client;
mod failure;
mod http;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use ::http::Extensions;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, PutMode, PutOptions, PutPayload, UpdateVersion};

use super::{Content, Proof, Read, SaveError, StoreError, Stored, Version};
use crate::client::Connections;
use crate::fs::{self, Blocking, Ended};
use crate::store::{ObjectStorageSettings, name};
use answers::{About, IsWhole};

pub use client::Bucket;

/// The object of an issuer.
#[derive(Debug)]
pub(in crate::store) struct Object {
    settings: ObjectStorageSettings,
    path: Path,
    connections: Connections,
    /// Made at the first use, and anew after a failure: files with CAs and credentials are then read again.
    client: Option<Arc<dyn ObjectStore>>,
    making: Blocking<Result<Arc<dyn ObjectStore>, String>>,
}

impl Object {
    /// Nothing is asked yet.
    pub(in crate::store) fn new(
        settings: &ObjectStorageSettings,
        issuer: &str,
        connections: Connections,
    ) -> Self {
        let name = format!("{}.json", name::of(issuer));
        Self {
            path: settings.bucket.prefix.clone().join(name.as_str()),
            settings: settings.clone(),
            connections,
            client: None,
            making: Blocking::default(),
        }
    }

    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.settings.bucket, self.path)
    }

    pub(super) async fn load(&mut self, known: Option<&Version>) -> Result<Read, StoreError> {
        let tag = match known {
            Some(Version::Object(UpdateVersion { e_tag, .. })) => e_tag.clone(),
            _ => None,
        };
        let found = match self.get(&self.path.clone(), tag.clone()).await {
            Ok(found) => found,
            Err(Error::NotModified { .. }) if tag.is_some() => return Ok(Read::Unchanged),
            // In the storage's own words, about this object: see `answers`.
            Err(Error::NotFound { .. }) => {
                return Ok(match known {
                    Some(Version::Absent) => Read::Unchanged,
                    _ => Read::Stored(Stored {
                        content: None,
                        version: Version::Absent,
                    }),
                });
            }
            Err(error) => return Err(self.failed(&error)),
        };
        if known == Some(&found.version) {
            return Ok(Read::Unchanged);
        }
        Ok(Read::Stored(Stored {
            content: Some(found.content),
            version: found.version,
        }))
    }

    pub(super) async fn save(
        &mut self,
        document: Bytes,
        expected: &Version,
        previous: Option<Bytes>,
    ) -> Result<Version, SaveError> {
        let mode = match expected {
            Version::Object(version) => PutMode::Update(version.clone()),
            _ => PutMode::Create,
        };
        let is_update = matches!(mode, PutMode::Update(_));
        let version = match self.put(&self.path.clone(), document, mode).await {
            Ok(version) => version,
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => return Err(SaveError::Lost),
            // Someone deleted it.
            Err(Error::NotFound { .. }) if is_update => return Err(SaveError::Lost),
            Err(error) => return Err(SaveError::Failed(self.failed(&error))),
        };
        if let Some(previous) = previous {
            // Best effort: each replica has its own copy, and many buckets keep versions.
            let kept = self
                .put(&self.previous_path(), previous, PutMode::Overwrite)
                .await;
            if let Err(error) = kept {
                tracing::debug!("{}: {}", self.place(), self.text(&error));
            }
        }
        Ok(version)
    }

    pub(super) async fn previous(&mut self) -> Result<Option<Content>, StoreError> {
        match self.get(&self.previous_path(), None).await {
            Ok(found) => Ok(Some(found.content)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Keeps what was read beside it.
    pub(super) async fn set_aside(&mut self, stored: &Stored) -> Result<String, StoreError> {
        let Some(content) = &stored.content else {
            return Err(StoreError::new(format!(
                "{} has nothing to set aside",
                self.place()
            )));
        };
        let tag = match &stored.version {
            Version::Object(UpdateVersion { e_tag, version }) => {
                let tag = version.as_ref().or(e_tag.as_ref()).map_or("", String::as_str);
                tag.chars().filter(char::is_ascii_alphanumeric).take(16).collect()
            }
            _ => String::new(),
        };
        let aside = Path::from(format!("{}.torn-{tag}", self.path));
        match self.put(&aside, content.bytes.clone(), PutMode::Overwrite).await {
            Ok(_) => Ok(format!("{}/{aside}", self.settings.bucket)),
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn get(&mut self, path: &Path, unless: Option<String>) -> Result<Found, Error> {
        let client = self.client().await?;
        let options = GetOptions {
            extensions: self.about(path),
            ..GetOptions::new().with_if_none_match(unless)
        };
        let found = client.get_opts(path, options).await?;
        let version = Version::Object(UpdateVersion {
            e_tag: found.meta.e_tag.clone(),
            version: found.meta.version.clone(),
        });
        let is_whole = found.extensions.get::<IsWhole>() == Some(&IsWhole(true));
        let proof = if is_whole { Proof::Whole } else { Proof::None };
        let (said, bytes) = (found.meta.size, found.bytes().await?);
        if said != bytes.len() as u64 {
            return Err(unclear(failure::Failure::Foreign(
                "it has another length than it says",
            )));
        }
        Ok(Found {
            content: Content { bytes, proof },
            version,
        })
    }

    async fn put(&mut self, path: &Path, bytes: Bytes, mode: PutMode) -> Result<Version, Error> {
        let client = self.client().await?;
        let options = PutOptions {
            extensions: self.about(path),
            ..mode.into()
        };
        let put = client.put_opts(path, PutPayload::from(bytes), options).await?;
        Ok(Version::Object(put.into()))
    }

    /// What the answer is judged by.
    fn about(&self, path: &Path) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(About {
            kind: self.settings.bucket.kind,
            bucket: self.settings.bucket.name.clone(),
            key: path.to_string(),
        });
        extensions
    }

    fn previous_path(&self) -> Path {
        Path::from(format!("{}.previous", self.path))
    }

    async fn client(&mut self) -> Result<Arc<dyn ObjectStore>, Error> {
        if let Some(client) = &self.client {
            return Ok(Arc::clone(client));
        }
        let (settings, connections) = (self.settings.clone(), self.connections.clone());
        // It reads files, those of the operating system's CAs among them.
        let made = self
            .making
            .run(fs::TIMEOUT, move || client::client(&settings, connections))
            .await;
        let made = made.unwrap_or_else(|ended| {
            Err(match ended {
                Ended::Late => {
                    "its CA and credentials files were not read in time: does a network mount hang?"
                }
                Ended::Panicked(_) => "a panic, see the log",
            }
            .to_owned())
        });
        let client = made.map_err(|reason| unclear(failure::Failure::Settings(reason)))?;
        Ok(Arc::clone(self.client.insert(client)))
    }

    fn failed(&mut self, error: &Error) -> StoreError {
        self.client = None;
        StoreError::new(format!("{}: {}", self.place(), self.text(error)))
    }

    fn text(&self, error: &Error) -> String {
        failure::text(error, self.settings.bucket.kind)
    }
}

/// An object that was read.
struct Found {
    content: Content,
    version: Version,
}

fn unclear(failure: failure::Failure) -> Error {
    Error::Generic {
        store: "object storage",
        source: Box::new(failure),
    }
}
