//! Objects in a bucket: S3 and its look-alikes, Google Cloud Storage, Azure Blob Storage. Written only over the version
//! that was read, which every one of them can promise by ETag or generation.

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

use super::{Content, ObjectStorageSettings, Proof, Read, SaveError, StoreError, Stored, Version};
use crate::client::Connections;
use crate::fs::{self, Blocking, Ended};
use answers::{About, IsWhole};

pub use client::Bucket;
pub(crate) use client::faults;

/// The objects of a bucket below its prefix. An error says cause and remedy; the place is added by whoever asked.
#[derive(Debug)]
pub(crate) struct ObjectStorage {
    settings: ObjectStorageSettings,
    /// What an object may have, in bytes.
    limit: usize,
    connections: Connections,
    /// Made at the first use, and anew after a failure: files with CAs and credentials are then read again.
    client: Option<Arc<dyn ObjectStore>>,
    making: Blocking<Result<Arc<dyn ObjectStore>, String>>,
}

impl ObjectStorage {
    /// Nothing is asked yet. Answers of more than `limit` bytes are refused.
    pub(crate) fn new(settings: &ObjectStorageSettings, limit: usize, connections: Connections) -> Self {
        Self {
            settings: settings.clone(),
            limit,
            connections,
            client: None,
            making: Blocking::default(),
        }
    }

    /// The same, over a client that a test has.
    #[cfg(test)]
    pub(crate) fn over(mut self, client: Arc<dyn ObjectStore>) -> Self {
        self.client = Some(client);
        self
    }

    /// The path of an object of this name.
    pub(crate) fn path(&self, name: &str) -> Path {
        self.settings.bucket.prefix.clone().join(name)
    }

    /// Where an object is, for a person.
    pub(crate) fn place(&self, path: &Path) -> String {
        format!("{}/{path}", self.settings.bucket)
    }

    /// Reads an object, unless it is still what is known.
    pub(crate) async fn load(&mut self, path: &Path, known: Option<&Version>) -> Result<Read, StoreError> {
        let tag = match known {
            Some(Version::Object(UpdateVersion { e_tag, .. })) => e_tag.clone(),
            _ => None,
        };
        let found = match self.get(path, tag.clone()).await {
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

    /// Writes an object, if what is stored is still `expected`.
    pub(crate) async fn save(
        &mut self,
        path: &Path,
        bytes: Bytes,
        expected: &Version,
    ) -> Result<Version, SaveError> {
        let mode = match expected {
            Version::Object(version) => PutMode::Update(version.clone()),
            _ => PutMode::Create,
        };
        let is_update = matches!(mode, PutMode::Update(_));
        match self.put(path, bytes, mode).await {
            Ok(version) if is_same(expected, &version) => {
                let failure = failure::Failure::Foreign(
                    "it says that the object was written, with the version that was there before",
                );
                Err(SaveError::Failed(self.failed(&unclear(failure))))
            }
            Ok(version) => Ok(version),
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => Err(SaveError::Lost),
            // Someone deleted it.
            Err(Error::NotFound { .. }) if is_update => Err(SaveError::Lost),
            Err(error) => Err(SaveError::Failed(self.failed(&error))),
        }
    }

    /// Writes an object over whatever is there.
    pub(crate) async fn overwrite(&mut self, path: &Path, bytes: Bytes) -> Result<Version, StoreError> {
        let put = self.put(path, bytes, PutMode::Overwrite).await;
        put.map_err(|error| self.failed(&error))
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

    async fn client(&mut self) -> Result<Arc<dyn ObjectStore>, Error> {
        if let Some(client) = &self.client {
            return Ok(Arc::clone(client));
        }
        let (settings, limit) = (self.settings.clone(), self.limit);
        let connections = self.connections.clone();
        // It reads files, those of the operating system's CAs among them.
        let made = self
            .making
            .run(fs::TIMEOUT, move || client::client(&settings, limit, connections))
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
        StoreError::new(failure::text(error, self.settings.bucket.kind))
    }
}

/// An object that was read.
struct Found {
    content: Content,
    version: Version,
}

/// Whether a write gave the version that it was to replace: then nothing was written.
fn is_same(before: &Version, after: &Version) -> bool {
    let (Version::Object(before), Version::Object(after)) = (before, after) else {
        return false;
    };
    match (&before.version, &after.version) {
        // A bucket that keeps no versions any more calls all of them `null`.
        (Some(before), Some(after)) if before != "null" || after != "null" => before == after,
        _ => {
            let strong = |tag: &Option<String>| {
                let tag = tag.as_deref()?;
                Some(tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').to_owned())
            };
            strong(&before.e_tag).is_some() && strong(&before.e_tag) == strong(&after.e_tag)
        }
    }
}

fn unclear(failure: failure::Failure) -> Error {
    Error::Generic {
        store: "object storage",
        source: Box::new(failure),
    }
}
