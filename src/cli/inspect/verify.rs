//! Checks the signature of a token with a published key (RFC 7515 section 5.2).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::key::{Algorithm, PublicKey};

/// Whether `signature` is this key's over `message`.
pub(super) fn is_signed_by(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let Ok(jwk) = serde_json::from_str::<Value>(key.jwk()) else {
        return false;
    };
    let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok();
    let curve: &'static EcdsaVerificationAlgorithm = match key.algorithm() {
        Algorithm::Rs256 => {
            let (Some(n), Some(e)) = (member("n"), member("e")) else {
                return false;
            };
            return RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok();
        }
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::Es512 => &ECDSA_P521_SHA512_FIXED,
    };
    let (Some(x), Some(y)) = (member("x"), member("y")) else {
        return false;
    };
    // An uncompressed point (SEC 1 section 2.3.3).
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    UnparsedPublicKey::new(curve, point)
        .verify(message, signature)
        .is_ok()
}
