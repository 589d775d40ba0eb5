//! A public key: how it is read (PEM, X.509, JWKS), named (`kid`) and written (JWK), and what may be published.
//!
//! Everything else is quarantined: held back with a reason, without costing the rest of the set.
//! Pure: no clock, no network, no files.

#[cfg(test)]
pub(crate) mod fake;
mod reason;

use std::fmt;
use std::sync::Arc;

pub use reason::{ExponentFault, KidFault, MemberFault, ParseError, PemFault, Reason};

/// The largest document that is read, in bytes: what a Secret or a ConfigMap holds at most.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The most entries (PEM blocks, JWKs) that one document may have.
pub const MAX_ENTRIES: usize = 1000;

/// How deep the JSON of a JWKS may be nested.
pub const MAX_DEPTH: usize = 64;

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
    /// SHA-256 of the DER `SubjectPublicKeyInfo`.
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
    /// Reads one JWK: the same rules as for an entry of a JWKS. A document that is no JSON object is a reason too.
    pub fn from_jwk_str(_jwk: &str) -> Result<Self, Reason> {
        Err(Reason::NotAnObject { found: "nothing" })
    }

    /// Reads a DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1); the `kid` is derived from it.
    pub fn from_spki_der(_der: &[u8]) -> Result<Self, Reason> {
        Err(Reason::Der {
            detail: "the data ends early",
        })
    }

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

    /// Type and size for a person: `RSA 2048`, `EC P-256`.
    pub fn describe(&self) -> String {
        String::new()
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

/// What a file or a document holds.
///
/// `keys` may hold one `kid` twice with different material: which of the two stays depends on what is published,
/// so the ring decides (and holds back both where neither is).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The publishable keys, in the order of the document, each (kid, material) once.
    pub keys: Vec<PublicKey>,
    /// The entries held back.
    pub quarantined: Vec<Quarantined>,
}

/// Reads a key file: PEM (any number of blocks among other text) or a JWKS document, whichever it is.
pub fn parse_file(_bytes: &[u8]) -> Result<Parsed, ParseError> {
    Err(ParseError::NoKeys)
}

/// Reads a JWKS document (RFC 7517 section 5), as served by an API server or another issuer.
pub fn parse_jwks(_bytes: &[u8]) -> Result<Parsed, ParseError> {
    Err(ParseError::NoKeys)
}
