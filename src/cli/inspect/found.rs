//! A key that would be published.

use serde_json::{Value, json};

use crate::key::PublicKey;

/// A key that would be published.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: PublicKey,
    /// The files or sources that list it.
    pub(super) from: Vec<String>,
}

impl Found {
    /// For scripts.
    pub(super) fn to_json(&self) -> Value {
        let jwk: Value = serde_json::from_str(self.key.jwk()).unwrap_or_default();
        let mut found = json!({
            "kid": self.key.kid(),
            "alg": self.key.algorithm().as_str(),
            "kty": jwk["kty"],
        });
        let described = self.key.describe();
        let bits = described
            .strip_prefix("RSA ")
            .and_then(|bits| bits.parse::<u32>().ok());
        let size = match bits {
            Some(bits) => ("bits", json!(bits)),
            None => ("crv", jwk["crv"].clone()),
        };
        if let Some(found) = found.as_object_mut() {
            found.insert(size.0.to_owned(), size.1);
            found.insert("from".to_owned(), json!(self.from));
            found.insert("jwk".to_owned(), jwk);
        }
        found
    }
}
