//! What an API server says about a request that it did not do: a `Status` object (`meta/v1`), never more than its shape
//! allows.

use std::fmt;

use http::StatusCode;
use serde::Deserialize;

use super::quote::quote;

/// A `Status` that reports a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Status {
    kind: String,
    api_version: String,
    #[serde(rename = "status")]
    outcome: String,
    code: u16,
    /// `NotFound`, `Conflict`, `AlreadyExists`, `Forbidden`, …
    pub(crate) reason: String,
    message: String,
    details: Details,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Details {
    name: String,
    kind: String,
}

impl Status {
    /// `None` where the body of this answer is anything else.
    pub(crate) fn of(code: StatusCode, body: &[u8]) -> Option<Self> {
        let status: Self = serde_json::from_slice(body).ok()?;
        (status.kind == "Status" && status.code == code.as_u16()).then_some(status)
    }

    /// Whether it is complete, and gives this reason.
    pub(crate) fn says(&self, reason: &str) -> bool {
        self.api_version == "v1" && self.outcome == "Failure" && self.reason == reason
    }

    /// Whether its details name this object: `configmaps`, and its name.
    pub(crate) fn names(&self, kind: &str, name: &str) -> bool {
        self.details.kind == kind && self.details.name == name
    }

    /// Whether its details name no other object than this.
    pub(crate) fn may_name(&self, kind: &str, name: &str) -> bool {
        let is = |detail: &str, own: &str| detail.is_empty() || detail == own;
        is(&self.details.kind, kind) && is(&self.details.name, name)
    }

    /// Whether its details name an object of this kind.
    pub(crate) fn is_about(&self, kind: &str) -> bool {
        self.details.kind == kind
    }

    /// What it says, for a message. `secrets` were sent, and are left out.
    pub(crate) fn refusal(&self, secrets: &[&str]) -> Refusal {
        Refusal {
            grounds: Grounds::of(self),
            message: quote(&self.message, secrets),
        }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

/// Why an API server refused a request, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// By which of its rules.
    pub(crate) grounds: Grounds,
    /// The message: bounded, escaped, without secrets.
    message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", saying: {}", self.message)
    }
}

/// What made an API server refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grounds {
    /// No rule of RBAC allows it: `User "…" cannot get …`.
    Rights,
    /// A `ResourceQuota` is used up.
    Quota,
    /// The namespace is being deleted.
    Terminating,
    /// There is no such namespace.
    NoNamespace,
    /// An admission webhook.
    Webhook,
    /// A webhook that did not answer.
    WebhookFailed,
    /// A `ValidatingAdmissionPolicy`, pod security, or another admission plugin.
    Policy,
    /// The object, or its data, is immutable.
    Immutable,
    /// The server is overloaded, or limits this client.
    Overload,
    /// etcd behind it does not answer, or is full.
    Etcd,
    /// None that has a remedy of its own.
    Other,
}

impl Grounds {
    fn of(status: &Status) -> Self {
        let message = status.message.as_str();
        let has = |words: &str| message.contains(words);
        let is_refused_user = message
            .split_once("User \"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .is_some_and(|(_, rest)| rest.starts_with(" cannot "));
        if is_refused_user {
            Self::Rights
        } else if has("exceeded quota") || has("failed quota") {
            Self::Quota
        } else if has("because it is being terminated") || has("is being terminated") {
            Self::Terminating
        } else if has("admission webhook") && has("denied the request") {
            Self::Webhook
        } else if has("failed calling webhook") || has("failed to call webhook") {
            Self::WebhookFailed
        } else if has("ValidatingAdmissionPolicy")
            || has("violates PodSecurity")
            || has("violates")
            || has("denied request:")
        {
            Self::Policy
        } else if status.is_about("namespaces") && status.reason == "NotFound" {
            Self::NoNamespace
        } else if has("immutable") {
            Self::Immutable
        } else if has("etcdserver") || has("etcd") {
            Self::Etcd
        } else if ["TooManyRequests", "ServerTimeout", "Timeout"].contains(&status.reason.as_str()) {
            Self::Overload
        } else {
            Self::Other
        }
    }

    /// What to do, where that is not about rights, and the same for all who ask.
    pub(crate) fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::Rights | Self::Other => return None,
            Self::Quota => {
                "Raise the ResourceQuota of the namespace that it names, or remove objects that nobody needs"
            }
            Self::Terminating => {
                "The namespace is being deleted: name another one, or create it anew once it is gone"
            }
            Self::NoNamespace => "Create the namespace, or correct its name",
            Self::Webhook => {
                "An admission webhook of the cluster refuses it: satisfy its rule, or exempt this namespace in its \
                 configuration"
            }
            Self::WebhookFailed => {
                "An admission webhook of the cluster does not answer: check the service that it names, or exempt this \
                 namespace in its configuration"
            }
            Self::Policy => {
                "An admission policy of the cluster refuses it: satisfy its rule, or exempt this namespace from it"
            }
            Self::Immutable => "Remove `immutable: true` from the object: delete it, and it is created anew",
            Self::Overload => {
                "It is asked less often until it answers; check the load of the API server, and its limits"
            }
            Self::Etcd => "Check the health and the free space of etcd behind the API server",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grounds(reason: &str, message: &str) -> Grounds {
        Grounds::of(&Status {
            reason: reason.into(),
            message: message.into(),
            ..Status::default()
        })
    }

    #[test]
    fn why_a_request_was_refused_is_what_the_server_says() {
        for (reason, message, expected) in [
            (
                "Forbidden",
                r#"configmaps "a" is forbidden: User "system:serviceaccount:x:y" cannot get resource "configmaps" in API group "" in the namespace "x""#,
                Grounds::Rights,
            ),
            (
                "Forbidden",
                r#"configmaps "a" is forbidden: exceeded quota: cap, requested: count/configmaps=1"#,
                Grounds::Quota,
            ),
            (
                "Forbidden",
                r#"configmaps "a" is forbidden: unable to create new content in namespace x because it is being terminated"#,
                Grounds::Terminating,
            ),
            (
                "Forbidden",
                r#"admission webhook "validate.kyverno.svc-fail" denied the request: label team is required"#,
                Grounds::Webhook,
            ),
            (
                "InternalError",
                r#"Internal error occurred: failed calling webhook "x.y": no endpoints available"#,
                Grounds::WebhookFailed,
            ),
            (
                "Invalid",
                r#"configmaps "a" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"#,
                Grounds::Policy,
            ),
            (
                "Forbidden",
                r#"pods "a" is forbidden: violates PodSecurity "restricted:latest""#,
                Grounds::Policy,
            ),
            (
                "Invalid",
                "data: Forbidden: field is immutable when `immutable` is set",
                Grounds::Immutable,
            ),
            ("TooManyRequests", "too many requests", Grounds::Overload),
            (
                "InternalError",
                "etcdserver: mvcc: database space exceeded",
                Grounds::Etcd,
            ),
            ("Forbidden", "no", Grounds::Other),
        ] {
            assert_eq!(grounds(reason, message), expected, "{message}");
        }
    }

    #[test]
    fn only_a_status_of_this_answer_counts() {
        let of = |body: &str| Status::of(StatusCode::NOT_FOUND, body.as_bytes());
        for body in [
            "",
            "{}",
            "404 page not found",
            r#"{"kind":"Status"}"#,
            r#"{"kind":"Status","code":403}"#,
            r#"{"kind":"ConfigMap","code":404}"#,
        ] {
            assert_eq!(of(body), None, "{body}");
        }
        let whole = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,
            "message":"m","details":{"name":"a","kind":"configmaps"}}"#;
        let status = of(whole).unwrap();
        assert!(status.says("NotFound") && status.names("configmaps", "a"));
        assert!(!status.names("configmaps", "b") && !status.names("namespaces", "a"));
        let without = of(&whole.replace("\"v1\"", "\"v2\"")).unwrap();
        assert!(!without.says("NotFound"));
    }
}
