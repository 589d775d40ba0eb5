//! A public key: how it is read (PEM, X.509, JWKS), named (`kid`) and written (JWK), and what may be published.
//!
//! Everything else is quarantined: held back with a reason, without costing the rest of the set.
//! Pure: no clock, no network, no files.

use std::fmt;
use std::sync::Arc;

/// The signature algorithms of publishable keys; each follows from the type of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, RSA of 2048 to 8192 bits.
    Rs256,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// ECDSA on P-521.
    Es512,
}

impl Algorithm {
    /// The name in `alg` (RFC 7518 section 3.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
        }
    }
}

/// What tells one key from another: its name and its material. One material under two names is two keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId {
    /// The `kid`: non-empty, at most 1024 bytes, no control characters.
    pub kid: Arc<str>,
    /// SHA-256 of the DER SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
}

/// A key that may be published: checked when it was read, immutable since. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    algorithm: Algorithm,
    jwk: Arc<str>,
}

impl PublicKey {
    /// Name and material.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The `kid`.
    pub fn kid(&self) -> &str {
        &self.id.kid
    }

    /// The algorithm of its signatures.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The JWK as it is published: compact JSON, byte-equal to the API server's.
    pub fn jwk(&self) -> &str {
        &self.jwk
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm.as_str(), self.kid())
    }
}

/// An entry held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Which entry, for a person: `block 2 (line 14)`, `keys[3]`; sources put the file or URL before it.
    pub entry: String,
    /// Its `kid`, where it has one.
    pub kid: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// Why an entry is held back. `Display` is a sentence for a person; never contains key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The same `kid` names other material, here or in what is published.
    #[error("kid {kid} already names another key: the same kid with other material")]
    KidConflict {
        /// The kid in question.
        kid: String,
    },
}

impl Reason {
    /// A short, stable name: the metric label `reason`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::KidConflict { .. } => "kid_conflict",
        }
    }
}

/// What a file or a document holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The publishable keys, in the order of the document, each (kid, material) once.
    pub keys: Vec<PublicKey>,
    /// The entries held back.
    pub quarantined: Vec<Quarantined>,
}

/// A document that is not a key file at all, or not a JWKS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Nothing in it looks like a key.
    #[error("neither a PEM block nor a JWKS was found")]
    NoKeys,
}

/// Reads a key file: PEM (any number of blocks among other text) or a JWKS document, whichever it is.
pub fn parse_file(_bytes: &[u8]) -> Result<Parsed, ParseError> {
    Err(ParseError::NoKeys)
}

/// Reads a JWKS document (RFC 7517 section 5), as served by an API server or another issuer.
pub fn parse_jwks(_bytes: &[u8]) -> Result<Parsed, ParseError> {
    Err(ParseError::NoKeys)
}
