//! The claims of a pod's token, in the shape that the API server gives them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

/// A token bound to a pod, as TokenRequest would give it.
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
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
