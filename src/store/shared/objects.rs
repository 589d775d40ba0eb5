//! One object an issuer in a bucket, and beside it the generation before.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use object_store::UpdateVersion;
use object_store::path::Path;

use super::{Content, Read, SaveError, StoreError, Stored, Version};
use crate::client::Connections;
use crate::objects::{ObjectStorage, ObjectStorageSettings};
use crate::ring::MAX_DOCUMENT;
use crate::store::name;

/// The object of an issuer.
#[derive(Debug)]
pub(in crate::store) struct Object {
    storage: ObjectStorage,
    path: Path,
}

impl Object {
    /// Nothing is asked yet.
    pub(in crate::store) fn new(
        settings: &ObjectStorageSettings,
        issuer: &str,
        connections: Connections,
    ) -> Self {
        let storage = ObjectStorage::new(settings, MAX_DOCUMENT, connections);
        Self {
            path: storage.path(&format!("{}.json", name::of(issuer))),
            storage,
        }
    }

    pub(super) fn place(&self) -> String {
        self.storage.place(&self.path)
    }

    pub(super) async fn load(&mut self, known: Option<&Version>) -> Result<Read, StoreError> {
        let read = self.storage.load(&self.path, known).await;
        read.map_err(|error| error.at(&self.place()))
    }

    pub(super) async fn save(
        &mut self,
        document: Bytes,
        expected: &Version,
        previous: Option<Bytes>,
    ) -> Result<Version, SaveError> {
        let version = match self.storage.save(&self.path, document, expected).await {
            Err(SaveError::Failed(error)) => return Err(SaveError::Failed(error.at(&self.place()))),
            saved => saved?,
        };
        if let Some(previous) = previous {
            // Best effort: each replica has its own copy, and many buckets keep versions.
            let kept = self.storage.overwrite(&self.previous_path(), previous).await;
            if let Err(error) = kept {
                tracing::debug!("{}", error.at(&self.place()));
            }
        }
        Ok(version)
    }

    pub(super) async fn previous(&mut self) -> Result<Option<Content>, StoreError> {
        match self.storage.load(&self.previous_path(), None).await {
            Ok(Read::Stored(stored)) => Ok(stored.content),
            Ok(Read::Unchanged) => Ok(None),
            Err(error) => Err(error.at(&self.place())),
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
        match self.storage.overwrite(&aside, content.bytes.clone()).await {
            Ok(_) => Ok(self.storage.place(&aside)),
            Err(error) => Err(error.at(&self.place())),
        }
    }

    fn previous_path(&self) -> Path {
        Path::from(format!("{}.previous", self.path))
    }
}
