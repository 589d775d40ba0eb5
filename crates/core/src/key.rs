//! A public key: how it is read (PEM, X.509, JWKS), named (`kid`) and written (JWK), and what may be published.
//!
//! Everything else is quarantined: held back with a reason, without costing the rest of the set.
//! Pure: no clock, no network, no files.

mod der;
#[cfg(any(test, feature = "test-support"))]
#[doc(hidden)]
pub mod fake;
mod forms;
mod json;
mod jwk;
mod jwks;
mod material;
mod pem;
mod reason;
mod sniff;
mod write;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use material::Material;
pub use pem::near::{markers, normal};
pub use pem::{Found as Armoured, blocks as armoured};
pub use reason::{ExponentFault, KidFault, MemberFault, ParseError, PemFault, Reason};

/// The largest document that is read, in bytes: what a Kubernetes Secret holds at most.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The most keys that are taken at once where nothing says which of them matter: from a file to be imported.
pub const MAX_ENTRIES: usize = 1000;

/// The most entries of one document that are held back with a reason of their own; those beyond are counted.
pub const MAX_QUARANTINED: usize = 200;

/// The longest `kid` in bytes: the bound of the API server.
const MAX_KID_BYTES: usize = 1024;

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
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    id: KeyId,
    algorithm: Algorithm,
    rsa_bits: Option<usize>,
    jwk: Arc<str>,
}

impl PublicKey {
    /// Reads one JWK: the same rules as for an entry of a JWKS.
    pub fn from_jwk_str(jwk: &str) -> Result<Self, Reason> {
        let mut reader = json::Reader::new(jwk.as_bytes());
        let key = jwk::read(&mut reader, "").and_then(|key| reader.end().map(|()| key));
        match key {
            Ok(key) => key.map_err(|quarantined| quarantined.reason),
            Err(_) => Err(Reason::NotAnObject {
                found: "something that is not JSON",
            }),
        }
    }

    /// Reads a DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1); the `kid` is derived from it.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Reason> {
        Self::new(&forms::spki_only(der)?, None)
    }

    /// Names checked material. An empty `kid` counts as none.
    fn new(material: &Material, kid: Option<&str>) -> Result<Self, Reason> {
        let spki_sha256 = write::spki_sha256(material).ok_or(Reason::Der {
            detail: "it cannot be written again",
        })?;
        let kid: Arc<str> = match kid {
            None | Some("") => write::derived_kid(&spki_sha256).into(),
            Some(kid) if kid.len() > MAX_KID_BYTES => {
                let bytes = kid.len();
                return Err(Reason::Kid(KidFault::TooLong { bytes }));
            }
            Some(kid) if kid.contains(char::is_control) => return Err(Reason::Kid(KidFault::Control)),
            Some(kid) => kid.into(),
        };
        Ok(Self {
            algorithm: material.algorithm(),
            rsa_bits: material.rsa_bits(),
            jwk: write::jwk(material, &kid).into(),
            id: KeyId { kid, spki_sha256 },
        })
    }

    /// Name and material.
    pub fn id(&self) -> &KeyId {
        #[cfg(test)]
        fake::count_look();
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
        match (self.rsa_bits, self.algorithm) {
            (Some(bits), _) => format!("RSA {bits}"),
            (None, Algorithm::Es384) => "EC P-384".to_owned(),
            (None, Algorithm::Es512) => "EC P-521".to_owned(),
            (None, _) => "EC P-256".to_owned(),
        }
    }

    /// The JWK as it is published: compact JSON, byte-equal to the API server's.
    pub fn jwk(&self) -> &str {
        &self.jwk
    }
}

/// A key less its JWK, in little memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RestingKey {
    /// `None`: derived from the material.
    kid: Option<Box<str>>,
    spki_sha256: [u8; 32],
    algorithm: Algorithm,
    rsa_bits: Option<u16>,
}

impl PublicKey {
    /// All but the JWK. Sizes of RSA keys are bounded (8192 bits), so that they fit.
    pub(crate) fn rest(&self) -> RestingKey {
        let spki_sha256 = self.id.spki_sha256;
        let is_derived = *self.id.kid == write::derived_kid(&spki_sha256);
        RestingKey {
            kid: (!is_derived).then(|| (*self.id.kid).into()),
            spki_sha256,
            algorithm: self.algorithm,
            rsa_bits: self.rsa_bits.and_then(|bits| u16::try_from(bits).ok()),
        }
    }
}

impl RestingKey {
    /// The key again; `jwk` is its own, so nothing of it is checked anew.
    pub(crate) fn wake(&self, jwk: &str) -> PublicKey {
        let spki_sha256 = self.spki_sha256;
        let kid = match &self.kid {
            Some(kid) => (**kid).into(),
            None => write::derived_kid(&spki_sha256).into(),
        };
        PublicKey {
            id: KeyId { kid, spki_sha256 },
            algorithm: self.algorithm,
            rsa_bits: self.rsa_bits.map(usize::from),
            jwk: jwk.into(),
        }
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

/// Holds no more of these than a person reads: what exceeds `most`, and was counted before, is the last one, with a count.
pub fn bound_quarantined(quarantined: &mut Vec<Quarantined>, most: usize, left_out: usize) {
    let mut more = left_out;
    quarantined.retain(|held| match held.reason {
        Reason::TooMany { more: counted, .. } => {
            more += counted;
            false
        }
        _ => true,
    });
    more += quarantined.len().saturating_sub(most);
    quarantined.truncate(most);
    if more > 0 {
        quarantined.push(Quarantined {
            entry: "further entries".to_owned(),
            kid: None,
            reason: Reason::TooMany { most, more },
        });
    }
}

impl Quarantined {
    /// How many entries it stands for.
    pub fn entries(&self) -> u64 {
        match self.reason {
            Reason::TooMany { more, .. } => more as u64,
            _ => 1,
        }
    }
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
///
/// PEM is read as the API server reads `--service-account-key-file` (k8s.io/client-go/util/keyutil), and PKCS#1 public
/// and PKCS#8 EC keys beside. A byte order mark before either is ignored. Private keys are reduced to their public
/// half, and every copy made here is wiped; wiping `bytes` itself is up to the caller.
pub fn parse_file(bytes: &[u8]) -> Result<Parsed, ParseError> {
    match sniff::kind(bytes)? {
        (sniff::Kind::Json, document) => {
            jwks::read(document).map_err(|error| sniff::explain_json(document, error))
        }
        (sniff::Kind::Pem, text) => parse_pem(text),
    }
}

/// The certificates in a PEM file whose keys would be published: the line of each, and its DER.
pub fn certificates(bytes: &[u8]) -> Vec<(usize, zeroize::Zeroizing<Vec<u8>>)> {
    let Ok((sniff::Kind::Pem, text)) = sniff::kind(bytes) else {
        return Vec::new();
    };
    pem::blocks(text)
        .take(MAX_ENTRIES)
        .filter_map(|found| Some((found.line, found.block.ok()?.body)))
        .filter(|(_, body)| forms::is_certificate(body))
        .collect()
}

/// Reads a JWKS document (RFC 7517 section 5), as served by an API server or another issuer.
pub fn parse_jwks(bytes: &[u8]) -> Result<Parsed, ParseError> {
    match sniff::kind(bytes) {
        Ok((sniff::Kind::Pem, _)) => Err(ParseError::NotAJwks { found: "PEM text" }),
        Ok((sniff::Kind::Json, document)) => {
            jwks::read(document).map_err(|error| sniff::explain_json(document, error))
        }
        // Nothing known: what the JSON reader says of it tells more.
        Err(ParseError::NoKeys) => jwks::read(bytes),
        Err(error) => Err(error),
    }
}

fn parse_pem(text: &[u8]) -> Result<Parsed, ParseError> {
    let mut collected = Collected::default();
    let (mut taken, mut told) = (Vec::new(), HashSet::new());
    for (at, found) in pem::blocks(text).enumerate() {
        match &found.block {
            Ok(block) => taken.push(block.span.clone()),
            Err(_) => drop(told.insert(found.line)),
        }
        let key = match found.block {
            Ok(block) => forms::key(&block.body)
                .and_then(|material| PublicKey::new(&material, None))
                .map_err(|reason| block.explain(reason)),
            Err(fault) => Err(Some(Reason::Pem(fault))),
        };
        let entry = match key {
            Ok(key) => Ok(key),
            Err(Some(reason)) => Err(Quarantined {
                entry: format!("block {} (line {})", at + 1, found.line),
                kid: None,
                reason,
            }),
            Err(None) => continue,
        };
        collected.push(entry);
    }
    for (line, fault) in pem::near::strays(text, &taken, &told) {
        collected.push(Err(Quarantined {
            entry: format!("line {line}"),
            kid: None,
            reason: Reason::Pem(fault),
        }));
    }
    match collected.into_parsed() {
        Parsed { keys, quarantined } if keys.is_empty() && quarantined.is_empty() => Err(ParseError::NoKeys),
        parsed => Ok(parsed),
    }
}

/// Gathers the entries of a document: each (kid, material) once. How many a document has is bounded by its bytes alone, since
/// a key that is published may stand anywhere in it; the ring decides which of many it looks at.
#[derive(Default)]
struct Collected {
    parsed: Parsed,
    seen: HashSet<KeyId>,
    left_out: usize,
}

impl Collected {
    fn push(&mut self, entry: Result<PublicKey, Quarantined>) {
        match entry {
            Ok(key) if self.seen.insert(key.id.clone()) => self.parsed.keys.push(key),
            Ok(_) => {}
            Err(_) if self.parsed.quarantined.len() == MAX_QUARANTINED => self.left_out += 1,
            Err(quarantined) => self.parsed.quarantined.push(quarantined),
        }
    }

    fn into_parsed(mut self) -> Parsed {
        bound_quarantined(&mut self.parsed.quarantined, MAX_QUARANTINED, self.left_out);
        self.parsed
    }
}

#[cfg(test)]
mod tests;
