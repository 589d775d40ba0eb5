//! `ConfigMap`s of one namespace. Created by POST, which fails where another replica was faster, and updated by PUT of the
//! object as it was read: its `resourceVersion` makes the API server refuse what is no longer current, and whatever
//! others wrote beside ours (labels, owners) stays.

use std::path::Path;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use super::{SaveError, StoreError, Version};
use crate::client::{ApiServerSettings, Connections, Reach, Reply, Status};
use crate::fs;

/// Where a pod finds its namespace.
const NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// As details of a `Status` call them.
pub(crate) const KIND: &str = "configmaps";

/// The `ConfigMap`s of a namespace. An error names the object that it is about.
#[derive(Debug)]
pub(crate) struct ConfigMaps {
    reach: Reach,
    /// As configured; otherwise that of the pod.
    namespace: Option<String>,
}

impl ConfigMaps {
    /// Nothing is asked yet.
    pub(crate) fn new(
        access: ApiServerSettings,
        namespace: Option<String>,
        connections: Connections,
    ) -> Self {
        Self {
            reach: Reach::sharing(access, connections),
            namespace,
        }
    }

    /// Where an object is, for a person.
    pub(crate) fn place(&self, name: &str) -> String {
        let namespace = self.namespace.as_deref().unwrap_or("(the pod's namespace)");
        format!("ConfigMap {namespace}/{name}")
    }

    /// Reads an object. `None`: the API server says that there is none.
    pub(crate) async fn get(&mut self, name: &str) -> Result<Option<(Value, Version)>, StoreError> {
        let reply = self.send(Method::GET, Some(name), None).await?;
        if reply.status == StatusCode::NOT_FOUND {
            // Only in the API server's own words, about this object: anything in front of it answers 404 too.
            let status = Status::of(reply.status, &reply.body);
            if !status.is_some_and(|status| status.says("NotFound") && status.names(KIND, name)) {
                return Err(self.refused(name, &reply));
            }
            return Ok(None);
        }
        self.versioned(name, &reply).map(Some)
    }

    /// Creates an object, if there is none of that name, and gives it back as it was stored.
    pub(crate) async fn create(&mut self, name: &str, object: &Value) -> Result<(Value, Version), SaveError> {
        let body = Bytes::from(object.to_string());
        let sent = self.send(Method::POST, None, Some(body)).await;
        self.written(name, &sent.map_err(SaveError::Failed)?, object)
    }

    /// Replaces an object, if it still has the `resourceVersion` that this one has, and gives it back as it was stored.
    pub(crate) async fn replace(
        &mut self,
        name: &str,
        object: &Value,
    ) -> Result<(Value, Version), SaveError> {
        let body = Bytes::from(object.to_string());
        let sent = self.send(Method::PUT, Some(name), Some(body)).await;
        self.written(name, &sent.map_err(SaveError::Failed)?, object)
    }

    /// The object as it was stored, if the answer is about a write of what was sent.
    fn written(&self, name: &str, reply: &Reply, sent: &Value) -> Result<(Value, Version), SaveError> {
        let is_new = sent["metadata"]["resourceVersion"].is_null();
        match reply.status {
            StatusCode::OK | StatusCode::CREATED => {}
            _ if is_lost(name, reply, is_new) => return Err(SaveError::Lost),
            _ => return Err(SaveError::Failed(self.refused(name, reply))),
        }
        let (written, version) = self.versioned(name, reply).map_err(SaveError::Failed)?;
        let same = |member: &str| written["metadata"][member] == sent["metadata"][member];
        let error = if !is_new && !same("uid") {
            "was answered with another object of that name (its uid differs)"
        } else if !is_new && same("resourceVersion") {
            "was answered with the version that was there before, so nothing was written"
        } else {
            return Ok((written, version));
        };
        let error = self.error(
            name,
            &format!("{error}. Check what is in front of the API server"),
        );
        Err(SaveError::Failed(error))
    }

    fn versioned(&self, name: &str, reply: &Reply) -> Result<(Value, Version), StoreError> {
        let object = self.object(name, reply)?;
        let version = Self::version(&object).ok_or_else(|| self.error(name, "has no resourceVersion"))?;
        Ok((object, version))
    }

    /// The version of an object that was read.
    pub(crate) fn version(object: &Value) -> Option<Version> {
        let metadata = object.get("metadata")?;
        let version = metadata.get("resourceVersion")?.as_str()?;
        if version.is_empty() {
            return None;
        }
        Some(Version::Resource(version.to_owned()))
    }

    /// What a refusal means: what the API server said, and what to do about that.
    pub(crate) fn refused(&self, name: &str, reply: &Reply) -> StoreError {
        let code = reply.status;
        let Some(status) = Status::of(code, &reply.body) else {
            return self.error(name, &format!(
                "answered {code}, which is not the API server's own answer. Check what is in front of it (a proxy, an ingress \
                 without endpoints), and its address"
            ));
        };
        let said = status.refusal(&[]);
        let remedy = match said.grounds.remedy() {
            Some(remedy) => format!(". {remedy}"),
            None if code == StatusCode::PAYLOAD_TOO_LARGE => {
                ". It is too large for this API server: use store.objectStorage".into()
            }
            None => String::new(),
        };
        self.error(name, &format!("answered {code}{said}{remedy}"))
    }

    /// Sends one request about the object of that name, or about all of them.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        name: Option<&str>,
        body: Option<Bytes>,
    ) -> Result<Reply, StoreError> {
        let namespace = match &self.namespace {
            Some(namespace) => namespace,
            None => self.namespace.insert(pods_namespace().await?),
        };
        let mut path = format!("/api/v1/namespaces/{namespace}/configmaps");
        if let Some(name) = name {
            path.push('/');
            path.push_str(name);
        }
        let sent = self.reach.send(method, &path, body).await;
        sent.map_err(|error| StoreError::new(error.to_string()))
    }

    fn object(&self, name: &str, reply: &Reply) -> Result<Value, StoreError> {
        let unexpected = || {
            self.error(
                name,
                "was not answered with that object. Check what is in front of the API server",
            )
        };
        if !reply.status.is_success() {
            return Err(self.refused(name, reply));
        }
        let object: Value = serde_json::from_slice(&reply.body).map_err(|_| unexpected())?;
        let metadata = &object["metadata"];
        // An API server always names it.
        let namespace = metadata["namespace"].as_str();
        let is_here = namespace.is_some() && namespace == self.namespace.as_deref();
        let has_uid = metadata["uid"].as_str().is_some_and(|uid| !uid.is_empty());
        let is_kind = object["kind"] == "ConfigMap" && object["apiVersion"] == "v1";
        if !is_kind || metadata["name"] != *name || !is_here || !has_uid {
            return Err(unexpected());
        }
        Ok(object)
    }

    fn error(&self, name: &str, what: &str) -> StoreError {
        StoreError::new(format!("{} {what}", self.place(name)))
    }
}

/// Whether another replica was faster, or someone deleted it: in the API server's own words.
fn is_lost(name: &str, reply: &Reply, is_new: bool) -> bool {
    Status::of(reply.status, &reply.body).is_some_and(|status| match reply.status {
        StatusCode::CONFLICT => {
            (status.says("AlreadyExists") || status.says("Conflict")) && status.may_name(KIND, name)
        }
        StatusCode::NOT_FOUND => !is_new && status.says("NotFound") && status.names(KIND, name),
        _ => false,
    })
}

async fn pods_namespace() -> Result<String, StoreError> {
    let read = tokio::task::spawn_blocking(|| fs::read(Path::new(NAMESPACE), 1024)).await;
    let unknown = |reason: String| {
        StoreError::new(format!(
            "the namespace of this pod cannot be read from {NAMESPACE}: {reason}. Name it as store.kubernetes.namespace"
        ))
    };
    let octets = read
        .map_err(|_| unknown("the read panicked".into()))?
        .map_err(|error| unknown(error.to_string()))?;
    let namespace = String::from_utf8_lossy(&octets).trim().to_owned();
    if is_label(&namespace, 63) {
        Ok(namespace)
    } else {
        Err(unknown("it is no name".into()))
    }
}

/// Whether this is a name as Kubernetes takes it (RFC 1123 label), of at most `most` characters.
pub(crate) fn is_label(name: &str, most: usize) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=most).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_object_than_was_asked_for_is_not_taken_for_it() {
        let maps = ConfigMaps::new(
            ApiServerSettings::default(),
            Some("home".into()),
            Connections::default(),
        );
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a", "namespace": "home", "uid": "u" },
        });
        let reply = Reply {
            status: StatusCode::OK,
            body: object.to_string().into(),
        };
        assert!(maps.object("a", &reply).is_ok());
        let error = maps.object("b", &reply).unwrap_err().to_string();
        assert!(error.contains("was not answered with that object"), "{error}");
        for (member, value) in [
            ("namespace", json!("other")),
            ("namespace", json!(null)),
            ("name", json!(null)),
            ("uid", json!(null)),
            ("uid", json!("")),
        ] {
            let mut object = object.clone();
            object["metadata"][member] = value;
            let reply = Reply {
                status: StatusCode::OK,
                body: object.to_string().into(),
            };
            assert!(maps.object("a", &reply).is_err(), "{object}");
        }
    }
}
