//! Keys for the tests of other rooms: made of their parts, without any cryptography.

use std::sync::Arc;

use super::{Algorithm, KeyId, PublicKey};

/// An RSA key by name and material. Equal arguments make equal keys.
pub fn key(kid: &str, material: u8) -> PublicKey {
    key_with(kid, material, Algorithm::Rs256)
}

/// A key of any algorithm. Its JWK has the right members, but no real material.
pub fn key_with(kid: &str, material: u8, algorithm: Algorithm) -> PublicKey {
    let kid_json = serde_json::Value::from(kid);
    let alg = algorithm.as_str();
    let jwk = match algorithm {
        Algorithm::Rs256 => {
            format!(
                r#"{{"use":"sig","kty":"RSA","kid":{kid_json},"alg":"{alg}","n":"n{material:03}","e":"AQAB"}}"#
            )
        }
        _ => format!(
            r#"{{"use":"sig","kty":"EC","kid":{kid_json},"crv":"P","alg":"{alg}","x":"x{material:03}","y":"y{material:03}"}}"#
        ),
    };
    PublicKey {
        id: KeyId {
            kid: kid.into(),
            spki_sha256: [material; 32],
        },
        algorithm,
        rsa_bits: (algorithm == Algorithm::Rs256).then_some(2048),
        jwk: Arc::from(jwk),
    }
}

/// An RSA key with any fingerprint.
pub fn with_fingerprint(kid: &str, spki_sha256: [u8; 32]) -> PublicKey {
    let key = key(kid, spki_sha256[0]);
    let id = KeyId {
        kid: kid.into(),
        spki_sha256,
    };
    PublicKey { id, ..key }
}

thread_local! {
    static LOOKS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Somebody looks at the name of a key.
pub fn count_look() {
    LOOKS.set(LOOKS.get() + 1);
}

/// How often names of keys were looked at in this thread: the measure of work that depends on no machine.
pub fn looks() -> u64 {
    LOOKS.get()
}
