//! One object an issuer in a bucket: S3 and its look-alikes, Google Cloud Storage, Azure Blob Storage. Written only
//! over the version that was read, which every one of them can promise by ETag or generation.

mod client;
#[cfg(test)]
mod tests;
mod told;

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, UpdateVersion};

use super::{Content, Read, SaveError, StoreError, Stored, Version};
use crate::ring::MAX_DOCUMENT;
use crate::store::{ObjectStorageSettings, name};

pub use client::Bucket;

/// The object of an issuer.
#[derive(Debug)]
pub(in crate::store) struct Object {
    settings: ObjectStorageSettings,
    path: Path,
    /// Made at the first use, and anew after a failure: files with CAs and credentials are then read again.
    client: Option<Arc<dyn ObjectStore>>,
}

impl Object {
    /// Nothing is asked yet.
    pub(in crate::store) fn new(settings: &ObjectStorageSettings, issuer: &str) -> Self {
        let name = format!("{}.json", name::of(issuer));
        Self {
            path: settings.bucket.prefix.clone().join(name.as_str()),
            settings: settings.clone(),
            client: None,
        }
    }

    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.settings.bucket, self.path)
    }

    pub(super) async fn load(&mut self, known: Option<&Version>) -> Result<Read, StoreError> {
        let client = self.client().await?;
        let options = GetOptions::new().with_if_none_match(match known {
            Some(Version::Object(UpdateVersion { e_tag, .. })) => e_tag.clone(),
            _ => None,
        });
        let found = match client.get_opts(&self.path, options).await {
            Ok(found) => found,
            Err(Error::NotModified { .. }) => return Ok(Read::Unchanged),
            Err(error @ Error::NotFound { .. }) if !told::is_bucket_missing(&error) => {
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
        let version = Version::Object(UpdateVersion {
            e_tag: found.meta.e_tag.clone(),
            version: found.meta.version.clone(),
        });
        if known == Some(&version) {
            return Ok(Read::Unchanged);
        }
        let content = if found.meta.size > MAX_DOCUMENT as u64 {
            Content::TooLarge(found.meta.size)
        } else {
            Content::Octets(found.bytes().await.map_err(|error| self.failed(&error))?)
        };
        Ok(Read::Stored(Stored {
            content: Some(content),
            version,
        }))
    }

    pub(super) async fn save(
        &mut self,
        document: Bytes,
        expected: &Version,
        previous: Option<Bytes>,
    ) -> Result<Version, SaveError> {
        let client = self.client().await.map_err(SaveError::Failed)?;
        let mode = match expected {
            Version::Object(version) => PutMode::Update(version.clone()),
            _ => PutMode::Create,
        };
        let is_update = matches!(mode, PutMode::Update(_));
        let put = client
            .put_opts(&self.path, PutPayload::from(document), mode.into())
            .await;
        let version = match put {
            Ok(put) => Version::Object(put.into()),
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => return Err(SaveError::Lost),
            // Someone deleted it.
            Err(error @ Error::NotFound { .. }) if is_update && !told::is_bucket_missing(&error) => {
                return Err(SaveError::Lost);
            }
            Err(error) => return Err(SaveError::Failed(self.failed(&error))),
        };
        if let Some(previous) = previous {
            // Best effort: each replica has its own copy, and many buckets keep versions.
            let kept = client.put(&self.previous_path(), previous.into()).await;
            if let Err(error) = kept {
                tracing::debug!("{}: {}", self.place(), told::told(&error));
            }
        }
        Ok(version)
    }

    pub(super) async fn previous(&mut self) -> Result<Option<Bytes>, StoreError> {
        let client = self.client().await?;
        match client.get(&self.previous_path()).await {
            Ok(found) if found.meta.size > MAX_DOCUMENT as u64 => Ok(None),
            Ok(found) => found.bytes().await.map(Some).map_err(|error| self.failed(&error)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Copied within the bucket, whatever its size.
    pub(super) async fn set_aside(&mut self, version: &Version) -> Result<String, StoreError> {
        let client = self.client().await?;
        let tag = match version {
            Version::Object(UpdateVersion { e_tag, version }) => {
                let tag = version.as_ref().or(e_tag.as_ref()).map_or("", String::as_str);
                tag.chars().filter(char::is_ascii_alphanumeric).take(16).collect()
            }
            _ => String::new(),
        };
        let aside = Path::from(format!("{}.torn-{tag}", self.path));
        match client.copy(&self.path, &aside).await {
            Ok(()) => Ok(format!("{}/{aside}", self.settings.bucket)),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn previous_path(&self) -> Path {
        Path::from(format!("{}.previous", self.path))
    }

    async fn client(&mut self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        if let Some(client) = &self.client {
            return Ok(Arc::clone(client));
        }
        let settings = self.settings.clone();
        // It reads files, those of the operating system's CAs among them.
        let made = tokio::task::spawn_blocking(move || client::client(&settings)).await;
        let made = made.map_err(|_| StoreError::new(format!("{}: a panic, see the log", self.place())))?;
        let client = made.map_err(|reason| StoreError::new(format!("{}: {reason}", self.place())))?;
        Ok(Arc::clone(self.client.insert(client)))
    }

    fn failed(&mut self, error: &Error) -> StoreError {
        self.client = None;
        StoreError::new(format!("{}: {}", self.place(), told::told(error)))
    }
}
