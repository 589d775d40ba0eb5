//! The DER forms of a key, told apart by their outline: a PEM label says nothing reliable.
//!
//! | outline | form |
//! |---|---|
//! | SEQUENCE { SEQUENCE, BIT STRING } | `SubjectPublicKeyInfo` (RFC 5280) |
//! | SEQUENCE { SEQUENCE, SEQUENCE, BIT STRING } | X.509 certificate |
//! | SEQUENCE { INTEGER, INTEGER } | PKCS#1 public (RFC 8017) |
//! | SEQUENCE { INTEGER, INTEGER, INTEGER … } | PKCS#1 private |
//! | SEQUENCE { INTEGER, SEQUENCE, OCTET STRING } | PKCS#8 private (RFC 5958) |
//! | SEQUENCE { INTEGER, OCTET STRING } | SEC 1 EC private (RFC 5915) |
//! | SEQUENCE { SEQUENCE, OCTET STRING } | encrypted PKCS#8 |
//!
//! Go's code refuses some of what is read here (a certificate with a negative serial number, say): what matters of a
//! form is the key in it. Where Go publishes a key that is not read here, the entry is held back with its reason.
//!
//! Of a private form only the public half is copied; the caller wipes the octets themselves.

use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};

use super::Reason;
use super::der::{BIT_STRING, CONTEXT_0, Der, INTEGER, Malformed, OCTET_STRING, OID, SEQUENCE, dotted};
use super::material::{Curve, Material};
use super::reason::REQUEST;
use super::sniff::ssh;

impl From<Malformed> for Reason {
    fn from(malformed: Malformed) -> Self {
        Self::Der { detail: malformed.0 }
    }
}

/// Reads a key in any of the forms.
pub(super) fn key(octets: &[u8]) -> Result<Material, Reason> {
    let mut document = Der::new(octets);
    let content = match document.peek() {
        Some(SEQUENCE) => document.sequence()?,
        _ if octets.starts_with(b"openssh-key-v1") => {
            return Err(ssh::unpublishable(octets).unwrap_or(Reason::OpenSsh));
        }
        _ => {
            return Err(Reason::Der {
                detail: "the body holds no DER structure",
            });
        }
    };
    let trailing = !document.is_empty();
    match content.outline().as_slice() {
        [SEQUENCE, BIT_STRING, ..] => whole(trailing, spki(content)?),
        [SEQUENCE, SEQUENCE, BIT_STRING, ..] => whole(trailing, certificate(content)?),
        [INTEGER, INTEGER] => whole(trailing, pkcs1_public(content)?),
        [INTEGER, INTEGER, INTEGER, ..] => whole(trailing, pkcs1_private(content)?),
        // Go reads these two although something follows them.
        [INTEGER, SEQUENCE, OCTET_STRING, ..] => pkcs8(content),
        [INTEGER, OCTET_STRING, ..] => sec1(content, None),
        [SEQUENCE, OCTET_STRING] if is_encrypted(content) => Err(Reason::Encrypted),
        _ => Err(Reason::Der {
            detail: "the body has the form of no known kind of key",
        }),
    }
}

/// Reads a `SubjectPublicKeyInfo` and nothing else.
pub(super) fn spki_only(octets: &[u8]) -> Result<Material, Reason> {
    let mut document = Der::new(octets);
    let content = document.sequence()?;
    whole(!document.is_empty(), spki(content)?)
}

/// Whether this has the outline of a certificate.
pub(super) fn is_certificate(octets: &[u8]) -> bool {
    Der::new(octets)
        .sequence()
        .is_ok_and(|content| content.outline() == [SEQUENCE, SEQUENCE, BIT_STRING])
}

/// Reads the key in a certificate request (RFC 2986), which is never published for it.
pub(super) fn request(octets: &[u8]) -> Result<Material, Reason> {
    let mut signed = Der::new(octets).sequence()?.sequence()?;
    for _version_subject in 0..2 {
        signed.any()?;
    }
    spki(signed.sequence()?)
}

fn whole(trailing: bool, material: Material) -> Result<Material, Reason> {
    if trailing {
        return Err(Reason::Der {
            detail: "something follows the key",
        });
    }
    Ok(material)
}

fn spki(mut content: Der<'_>) -> Result<Material, Reason> {
    let algorithm = AlgorithmIdentifier::read(&mut content)?;
    match algorithm.kind() {
        Some("RSA") => {
            if !algorithm.parameters.starts_with(&[5, 0]) {
                return Err(Reason::Der {
                    detail: "the parameters of an RSA key must be NULL",
                });
            }
            pkcs1_public(Der::new(content.bit_string()?).sequence()?)
        }
        Some("EC") => Material::ec_point(curve(algorithm.parameters)?, content.bit_string()?),
        _ => Err(algorithm.unpublishable()),
    }
}

/// Whether this is an `EncryptedPrivateKeyInfo`, from its algorithm: of PKCS#5 or PKCS#12.
fn is_encrypted(mut content: Der<'_>) -> bool {
    AlgorithmIdentifier::read(&mut content).is_ok_and(|algorithm| {
        let families = [
            &b"\x2a\x86\x48\x86\xf7\x0d\x01\x05"[..],
            b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c",
        ];
        families.iter().any(|family| algorithm.oid.starts_with(family))
    })
}

/// Takes the key out of a certificate; validity, extensions and signature say nothing about it.
fn certificate(mut content: Der<'_>) -> Result<Material, Reason> {
    let mut signed = content.sequence()?;
    if signed.peek() == Some(CONTEXT_0) {
        signed.any()?;
    }
    let what = match signed.outline().as_slice() {
        [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] => None,
        [INTEGER, SEQUENCE, SEQUENCE, CONTEXT_0] => Some(REQUEST),
        _ => Some("a revocation list, or another signed object"),
    };
    if let Some(what) = what {
        return Err(Reason::NotAKey { what });
    }
    for _serial_algorithm_issuer_validity_subject in 0..5 {
        signed.any()?;
    }
    spki(signed.sequence()?)
}

fn pkcs1_public(mut content: Der<'_>) -> Result<Material, Reason> {
    Material::rsa(content.positive()?, content.positive()?)
}

fn pkcs1_private(mut content: Der<'_>) -> Result<Material, Reason> {
    if !matches!(content.take(INTEGER)?, [0 | 1] | [0x80..=0xff, ..]) {
        return Err(Reason::Der {
            detail: "an RSA private key of an unknown version",
        });
    }
    let (n, e) = (content.positive()?, content.positive()?);
    if content.outline() == [INTEGER; 3] && e.len() > 8 {
        // version, p, q, g, y, x
        return Err(unpublishable("DSA"));
    }
    let material = Material::rsa(n, e)?;
    let primary = [content.positive()?, content.positive()?, content.positive()?];
    let fits = match content.outline().as_slice() {
        // More than two primes: Go compares nothing here either.
        [INTEGER, INTEGER, INTEGER, SEQUENCE, ..] => true,
        [INTEGER, INTEGER, INTEGER, ..] => {
            let components = KeyPairComponents {
                public_key: PublicKeyComponents { n, e },
                d: primary[0],
                p: primary[1],
                q: primary[2],
                dP: content.positive()?,
                dQ: content.positive()?,
                qInv: content.positive()?,
            };
            KeyPair::from_components(&components).is_ok()
        }
        // Go computes the last three anew where they are not there.
        _ => is_product(n, primary[1], primary[2]),
    };
    if fits {
        Ok(material)
    } else {
        Err(Reason::PrivateMismatch)
    }
}

/// Whether n = p · q, as far as their residues tell: no copy is made of the primes.
fn is_product(n: &[u8], p: &[u8], q: &[u8]) -> bool {
    const PRIME: u128 = (1 << 61) - 1;
    let residue = |number: &[u8]| {
        number
            .iter()
            .fold(0, |sum, octet| (sum * 256 + u128::from(*octet)) % PRIME)
    };
    residue(n) == residue(p) * residue(q) % PRIME
}

fn pkcs8(mut content: Der<'_>) -> Result<Material, Reason> {
    content.take(INTEGER)?;
    let algorithm = AlgorithmIdentifier::read(&mut content)?;
    let mut private = Der::new(content.take(OCTET_STRING)?);
    match algorithm.kind() {
        Some("RSA") => {
            let material = pkcs1_private(private.sequence()?)?;
            whole(!private.is_empty(), material)
        }
        Some("EC") => sec1(private.sequence()?, Some(algorithm.parameters)),
        _ => Err(algorithm.unpublishable()),
    }
}

/// The point is computed from the private number, as Go does: the one that may stand beside it is optional.
fn sec1(mut content: Der<'_>, outer_curve: Option<&[u8]>) -> Result<Material, Reason> {
    if content.take(INTEGER)? != [1] {
        return Err(Reason::Der {
            detail: "an EC private key of an unknown version",
        });
    }
    let number = content.take(OCTET_STRING)?;
    let curve = match outer_curve {
        Some(parameters) if parameters.first() == Some(&OID) => curve(parameters)?,
        _ if content.peek() == Some(CONTEXT_0) => curve(content.any()?.1)?,
        _ => {
            return Err(Reason::Der {
                detail: "an EC private key that does not name its curve",
            });
        }
    };
    Material::ec_private(curve, number)
}

struct AlgorithmIdentifier<'a> {
    oid: &'a [u8],
    /// The whole element, with its tag.
    parameters: &'a [u8],
}

impl<'a> AlgorithmIdentifier<'a> {
    fn read(content: &mut Der<'a>) -> Result<Self, Malformed> {
        let mut identifier = content.sequence()?;
        let oid = identifier.take(OID)?;
        Ok(Self {
            oid,
            parameters: identifier.rest(),
        })
    }

    fn kind(&self) -> Option<&'static str> {
        named(KEY_TYPES, self.oid)
    }

    fn unpublishable(&self) -> Reason {
        match (self.kind(), dotted(self.oid)) {
            (Some(kind), _) => unpublishable(kind),
            (None, Some(oid)) => unpublishable(&format!("a key of unknown type {oid}")),
            (None, None) => unpublishable("a key of unknown type"),
        }
    }
}

fn unpublishable(key_type: &str) -> Reason {
    Reason::KeyType {
        key_type: key_type.to_owned(),
    }
}

/// The curve that parameters (a whole element) name.
fn curve(parameters: &[u8]) -> Result<Curve, Reason> {
    let other = |curve: &str| Reason::Curve {
        curve: curve.to_owned(),
    };
    let mut parameters = Der::new(parameters);
    match parameters.peek() {
        Some(OID) => {}
        Some(SEQUENCE) => return Err(other("a curve given by explicit parameters")),
        _ => return Err(other("a curve without a name")),
    }
    let oid = parameters.take(OID)?;
    let name = named(CURVES, oid);
    let known = Curve::ALL.into_iter().find(|curve| name == Some(curve.as_str()));
    known.ok_or_else(|| match (name, dotted(oid)) {
        (Some(name), _) => other(name),
        (None, Some(oid)) => other(&format!("the curve {oid}")),
        (None, None) => other("an unknown curve"),
    })
}

type Names = &'static [(&'static [u8], &'static str)];

fn named(names: Names, oid: &[u8]) -> Option<&'static str> {
    names
        .iter()
        .find(|(known, _)| *known == oid)
        .map(|(_, name)| *name)
}

const KEY_TYPES: Names = &[
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", "RSA"),
    (b"\x2a\x86\x48\xce\x3d\x02\x01", "EC"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07", "RSA-OAEP"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", "RSA-PSS"),
    (b"\x2a\x86\x48\xce\x38\x04\x01", "DSA"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x03\x01", "Diffie-Hellman"),
    (b"\x2b\x65\x6e", "X25519"),
    (b"\x2b\x65\x6f", "X448"),
    (b"\x2b\x65\x70", "Ed25519"),
    (b"\x2b\x65\x71", "Ed448"),
    (b"\x60\x86\x48\x01\x65\x03\x04\x03\x11", "ML-DSA-44"),
    (b"\x60\x86\x48\x01\x65\x03\x04\x03\x12", "ML-DSA-65"),
    (b"\x60\x86\x48\x01\x65\x03\x04\x03\x13", "ML-DSA-87"),
];

const CURVES: Names = &[
    (b"\x2a\x86\x48\xce\x3d\x03\x01\x07", "P-256"),
    (b"\x2b\x81\x04\x00\x22", "P-384"),
    (b"\x2b\x81\x04\x00\x23", "P-521"),
    (b"\x2b\x81\x04\x00\x21", "P-224"),
    (b"\x2a\x86\x48\xce\x3d\x03\x01\x01", "P-192"),
    (b"\x2b\x81\x04\x00\x0a", "secp256k1"),
    (b"\x2b\x24\x03\x03\x02\x08\x01\x01\x07", "brainpoolP256r1"),
    (b"\x2b\x24\x03\x03\x02\x08\x01\x01\x0b", "brainpoolP384r1"),
    (b"\x2b\x24\x03\x03\x02\x08\x01\x01\x0d", "brainpoolP512r1"),
    (b"\x2a\x81\x1c\xcf\x55\x01\x82\x2d", "SM2"),
];
