//! How a key is written: its DER, its `kid`, its JWK.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rsa::{BigUint, RsaPublicKey};
use sha2::{Digest, Sha256};
use spki::der::Encode;
use spki::der::asn1::BitStringRef;
use spki::{AlgorithmIdentifier, EncodePublicKey, ObjectIdentifier, SubjectPublicKeyInfo};

use super::material::{Curve, Material};

/// `id-ecPublicKey`
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// SHA-256 of the DER `SubjectPublicKeyInfo`; `None` where the encoder refuses, which checked material never meets.
pub(super) fn spki_sha256(material: &Material) -> Option<[u8; 32]> {
    Some(Sha256::digest(spki_der(material)?).into())
}

/// The `kid` of a key that came without one, as the API server derives it (pkg/serviceaccount/jwt.go).
pub(super) fn derived_kid(spki_sha256: &[u8; 32]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(spki_sha256)
}

/// The JWK, with the members in the API server's order and in its spelling.
pub(super) fn jwk(material: &Material, kid: &str) -> String {
    let alg = material.algorithm().as_str();
    let kid = json_string(kid);
    let encode = |octets: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(octets);
    match material {
        Material::Rsa { n, e } => {
            let (n, e) = (encode(n), encode(e));
            format!(r#"{{"use":"sig","kty":"RSA","kid":{kid},"alg":"{alg}","n":"{n}","e":"{e}"}}"#)
        }
        Material::Ec { curve, x, y } => {
            let (crv, x, y) = (curve.as_str(), encode(x), encode(y));
            format!(
                r#"{{"use":"sig","kty":"EC","kid":{kid},"crv":"{crv}","alg":"{alg}","x":"{x}","y":"{y}"}}"#
            )
        }
    }
}

fn spki_der(material: &Material) -> Option<Vec<u8>> {
    match material {
        Material::Rsa { n, e } => {
            let numbers = (BigUint::from_bytes_be(n), BigUint::from_bytes_be(e));
            let key = RsaPublicKey::new_with_max_size(numbers.0, numbers.1, 8 * n.len()).ok()?;
            Some(key.to_public_key_der().ok()?.into_vec())
        }
        Material::Ec { curve, x, y } => {
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            let spki = SubjectPublicKeyInfo {
                algorithm: AlgorithmIdentifier {
                    oid: EC_PUBLIC_KEY,
                    parameters: Some(curve_oid(*curve)),
                },
                subject_public_key: BitStringRef::from_bytes(&point).ok()?,
            };
            spki.to_der().ok()
        }
    }
}

fn curve_oid(curve: Curve) -> ObjectIdentifier {
    const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
    const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
    const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
    match curve {
        Curve::P256 => P256,
        Curve::P384 => P384,
        Curve::P521 => P521,
    }
}

/// A JSON string as Go's `encoding/json` writes it; control characters cannot occur in a `kid`.
fn json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '<' => json.push_str("\\u003c"),
            '>' => json.push_str("\\u003e"),
            '&' => json.push_str("\\u0026"),
            '\u{2028}' => json.push_str("\\u2028"),
            '\u{2029}' => json.push_str("\\u2029"),
            other => json.push(other),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_kid_is_escaped_as_go_does() {
        assert_eq!(
            json_string("a<b>&\"c\\\u{2028}\u{2029}/é😀\u{fffd}"),
            "\"a\\u003cb\\u003e\\u0026\\\"c\\\\\\u2028\\u2029/é😀\u{fffd}\""
        );
    }
}
