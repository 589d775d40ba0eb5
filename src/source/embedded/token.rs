//! The claims of a pod's token, in the shape that the API server gives them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

/// A token bound to a pod, as the `TokenRequest` API would give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodToken {
    /// `iss`.
    pub issuer: String,
    /// `aud`, always a list.
    pub audience: Vec<String>,
    /// `iat` and `nbf`.
    pub issued_at: Timestamp,
    /// `exp` - `iat`.
    pub expiration: SignedDuration,
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// The pod it is bound to.
    pub pod: Option<String>,
    /// The node the pod runs on.
    pub node: Option<String>,
    /// When a client should have fetched a new one, after `iat`.
    pub warn_after: Option<SignedDuration>,
}

impl PodToken {
    /// The claims. Every `jti` and `uid` is new.
    pub fn claims(&self) -> Value {
        let issued_at = self.issued_at.as_second();
        let mut kubernetes = Map::new();
        kubernetes.insert("namespace".into(), json!(self.namespace));
        let named = |name: &String| json!({ "name": name, "uid": uuid() });
        if let Some(node) = &self.node {
            kubernetes.insert("node".into(), named(node));
        }
        if let Some(pod) = &self.pod {
            kubernetes.insert("pod".into(), named(pod));
        }
        kubernetes.insert("serviceaccount".into(), named(&self.service_account));
        if let Some(after) = self.warn_after {
            kubernetes.insert(
                "warnafter".into(),
                json!(issued_at.saturating_add(after.as_secs())),
            );
        }
        json!({
            "aud": self.audience,
            "exp": issued_at.saturating_add(self.expiration.as_secs()),
            "iat": issued_at,
            "iss": self.issuer,
            "jti": uuid(),
            "kubernetes.io": kubernetes,
            "nbf": issued_at,
            "sub": format!("system:serviceaccount:{}:{}", self.namespace, self.service_account),
        })
    }
}

/// A random UUID (RFC 9562 section 5.4).
fn uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claims_are_those_of_a_token_bound_to_a_pod() {
        let token = PodToken {
            issuer: "https://oidc.example.com".into(),
            audience: vec!["vault".into()],
            issued_at: Timestamp::from_second(1_700_000_000).unwrap(),
            expiration: SignedDuration::from_hours(2),
            namespace: "ci".into(),
            service_account: "build-robot".into(),
            pod: Some("nginx".into()),
            node: None,
            warn_after: Some(SignedDuration::from_mins(57)),
        };
        let mut claims = token.claims();
        let jti = claims["jti"].take();
        assert_eq!(jti.as_str().unwrap().len(), 36);
        for name in ["pod", "serviceaccount"] {
            let uid = claims["kubernetes.io"][name]["uid"].take();
            assert_eq!(uid.as_str().unwrap().as_bytes()[14], b'4', "version 4: {uid}");
        }
        let expected = json!({
            "aud": ["vault"],
            "exp": 1_700_007_200,
            "iat": 1_700_000_000,
            "iss": "https://oidc.example.com",
            "jti": null,
            "kubernetes.io": {
                "namespace": "ci",
                "pod": { "name": "nginx", "uid": null },
                "serviceaccount": { "name": "build-robot", "uid": null },
                "warnafter": 1_700_003_420,
            },
            "nbf": 1_700_000_000,
            "sub": "system:serviceaccount:ci:build-robot",
        });
        assert_eq!(
            claims.to_string(),
            expected.to_string(),
            "in the order of an API server too"
        );
    }
}
