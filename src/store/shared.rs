//! A store that replicas share: reading what is there, and writing only if it is still there.

#[cfg(test)]
pub(super) mod fake;
pub(super) mod kubernetes;

use bytes::Bytes;

use kubernetes::ConfigMap;

/// Where all replicas keep one issuer's ledger.
#[derive(Debug)]
pub(super) enum Shared {
    /// In the API server.
    Kubernetes(Box<ConfigMap>),
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
    pub(super) document: Option<Bytes>,
    /// The generation before it, where the store keeps it at hand.
    pub(super) previous: Option<Bytes>,
    /// What the next write has to name.
    pub(super) version: Version,
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
    /// Where it is, for a person.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Kubernetes(object) => object.place(),
            #[cfg(test)]
            Self::Fake(_) => "a store in memory".into(),
        }
    }

    /// Reads what is stored, unless it is still what is known.
    pub(super) async fn load(&mut self, known: Option<&Version>) -> Result<Read, StoreError> {
        match self {
            Self::Kubernetes(object) => object.load(known).await,
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
            #[cfg(test)]
            Self::Fake(fake) => fake.save(document, expected, previous).await,
        }
    }

    /// Keeps octets that are no ledger beside it, for a person to look at, and tells where.
    pub(super) async fn set_aside(&mut self, document: Bytes) -> Result<String, StoreError> {
        match self {
            Self::Kubernetes(object) => object.set_aside(document).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.set_aside(document).await,
        }
    }
}
