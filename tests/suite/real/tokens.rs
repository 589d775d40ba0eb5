//! Tokens as the API server makes them, and as an attacker would.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use oidc_issuer::clock::Clock;
use serde_json::{Value, json};

/// The claims of a token, unverified.
pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

/// The `kid` of a token, unverified.
pub(crate) fn kid(token: &str) -> String {
    part(token, 0)["kid"].as_str().expect("a kid").to_owned()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a token of three parts");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Signs claims with a private RSA key in PEM, under this `kid`.
pub(crate) fn sign(claims: &Value, key: &str, kid: &str) -> String {
    let header = Header {
        typ: None,
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::RS256)
    };
    let key = EncodingKey::from_rsa_pem(key.as_bytes()).expect("a private RSA key");
    jsonwebtoken::encode(&header, claims, &key).expect("a token")
}

/// The same claims with one of them replaced.
pub(crate) fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

/// The same claims, but of an hour that ended an hour ago.
pub(crate) fn expired(claims: &Value) -> Value {
    let now = Clock::system().now().as_second();
    let mut claims = claims.clone();
    claims["iat"] = json!(now - 7200);
    claims["nbf"] = json!(now - 7200);
    claims["exp"] = json!(now - 3600);
    claims
}
