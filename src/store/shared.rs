//! A store that replicas share: reading what is there, and writing only if it is still there.

#[cfg(test)]
pub(super) mod fake;
pub(super) mod kubernetes;
pub(super) mod objects;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use kubernetes::ConfigMap;
use object_store::UpdateVersion;
use objects::Object;

use super::StoreSettings;
use crate::client::Connections;

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

/// Which generation of the stored ledger is meant: a write that names another one than there is, is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Version {
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
pub(super) enum Read {
    /// The version that was known.
    Unchanged,
    /// Another one.
    Stored(Stored),
}

/// What is stored.
#[derive(Debug)]
pub(super) struct Stored {
    /// `None`: the store says that there is no ledger.
    pub(super) content: Option<Content>,
    /// What the next write has to name.
    pub(super) version: Version,
}

/// What stands where the ledger should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    pub(super) proof: Proof,
}

/// What is known of a content beside itself. What was cut on the way, or is something else's answer, must not be taken for a
/// ledger that is torn in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing.
    None,
    /// The store gives a checksum, and these are all bytes of it.
    Whole,
    /// It is a member of an object that is whole, and marked as ours.
    Ours,
}

/// Why nothing was written.
#[derive(Debug)]
pub(super) enum SaveError {
    /// Another replica was faster: read, merge, try again.
    Lost,
    /// Nobody knows whether it was written.
    Failed(StoreError),
}

/// Why a store cannot be used now. One line: place, cause, remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct StoreError {
    pub(super) message: String,
}

impl StoreError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl Shared {
    /// The shared store of an issuer, if the settings name one. All that are given the same connections share them.
    pub(super) fn of(settings: &StoreSettings, issuer: &str, connections: &Connections) -> Option<Self> {
        match settings {
            StoreSettings::Memory | StoreSettings::File { .. } => None,
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
