//! A store that replicas share: reading what is there, and writing only if it is still there.

#[cfg(test)]
pub(super) mod fake;
mod kubernetes;
mod objects;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use kubernetes::ConfigMap;
use objects::Object;

use super::StoreSettings;
use crate::client::Connections;
pub(super) use crate::objects::{Content, Proof, Read, SaveError, StoreError, Stored, Version};

/// Where all replicas keep one issuer's ledger.
#[derive(Debug)]
pub(super) enum Shared {
    /// In the API server.
    Kubernetes(Box<ConfigMap>),
    /// In a bucket.
    Objects(Box<Object>),
    /// In memory, and as bad as a test wants it.
    #[cfg(test)]
    Fake(fake::Fake),
}

impl Shared {
    /// The shared store of an issuer, if the settings name one. All that are given the same connections share them.
    pub(super) fn of(settings: &StoreSettings, issuer: &str, connections: &Connections) -> Option<Self> {
        match settings {
            StoreSettings::Memory | StoreSettings::Sqlite { .. } | StoreSettings::Folder { .. } => None,
            StoreSettings::Kubernetes { shared, .. } => {
                let object = ConfigMap::new(shared, issuer, connections.clone());
                Some(Self::Kubernetes(Box::new(object)))
            }
            StoreSettings::ObjectStorage { shared, .. } => {
                let object = Object::new(shared, issuer, connections.clone());
                Some(Self::Objects(Box::new(object)))
            }
        }
    }

    /// Where it is, for a person.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Kubernetes(object) => object.place(),
            Self::Objects(object) => object.place(),
            #[cfg(test)]
            Self::Fake(_) => "a store in memory".into(),
        }
    }

    /// Reads what is stored, unless it is still what is known.
    pub(super) async fn load(&mut self, known: Option<&Version>) -> Result<Read, StoreError> {
        match self {
            Self::Kubernetes(object) => object.load(known).await,
            Self::Objects(object) => object.load(known).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.load(known).await,
        }
    }

    /// Writes, if what is stored is still `expected`. `previous` is what that was.
    pub(super) async fn save(
        &mut self,
        document: Bytes,
        expected: &Version,
        previous: Option<Bytes>,
    ) -> Result<Version, SaveError> {
        match self {
            Self::Kubernetes(object) => object.save(document, expected, previous).await,
            Self::Objects(object) => object.save(document, expected, previous).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.save(document, expected, previous).await,
        }
    }

    /// The generation before what was read last, where there is one.
    pub(super) async fn previous(&mut self) -> Result<Option<Content>, StoreError> {
        match self {
            Self::Kubernetes(object) => Ok(object.previous()),
            Self::Objects(object) => object.previous().await,
            #[cfg(test)]
            Self::Fake(fake) => fake.previous().await,
        }
    }

    /// Keeps what was read last, and is no ledger, beside it for a person to look at, and tells where.
    pub(super) async fn set_aside(&mut self, stored: &Stored) -> Result<String, StoreError> {
        match self {
            Self::Kubernetes(object) => object.set_aside(stored).await,
            Self::Objects(object) => object.set_aside(stored).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.set_aside(stored).await,
        }
    }
}
