//! One `ConfigMap` an issuer. Created by POST, which fails where another replica was faster, and updated by PUT of the
//! object as it was read: its `resourceVersion` makes the API server refuse what is no longer current, and whatever
//! others wrote beside the ledger (labels, owners) stays.

#[cfg(test)]
mod tests;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{Content, Read, SaveError, StoreError, Stored, Version};
use crate::source::{Connections, Reach, Reply, local};
use crate::store::KubernetesSettings;
use crate::store::name::{self, hex};

/// Where a pod finds its namespace.
const NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// What the data of a `ConfigMap` may have (kubernetes `pkg/apis/core/validation`, `MaxSecretSize`).
const MAX_DATA: usize = 1 << 20;

const LEDGER: &str = "ledger.json";
const PREVIOUS: &str = "previous.json";

/// Says whose object it is.
const OWNER: (&str, &str) = ("app.kubernetes.io/managed-by", "oidc-issuer");

/// The `ConfigMap` of an issuer.
#[derive(Debug)]
pub(in crate::store) struct ConfigMap {
    reach: Reach,
    /// As configured; otherwise that of the pod.
    namespace: Option<String>,
    name: String,
    issuer: String,
    /// As it was last read or written.
    object: Option<Value>,
}

impl ConfigMap {
    /// Nothing is asked yet.
    pub(in crate::store) fn new(
        settings: &KubernetesSettings,
        issuer: &str,
        connections: Connections,
    ) -> Self {
        Self {
            reach: Reach::sharing(settings.access.clone(), connections),
            namespace: settings.namespace.clone(),
            name: format!("{}-{}", settings.name_prefix, name::of(issuer)),
            issuer: issuer.to_owned(),
            object: None,
        }
    }

    pub(super) fn place(&self) -> String {
        let namespace = self.namespace.as_deref().unwrap_or("(the pod's namespace)");
        format!("ConfigMap {namespace}/{}", self.name)
    }

    pub(super) async fn load(&mut self, known: Option<&Version>) -> Result<Read, StoreError> {
        let reply = self.send(Method::GET, true, None).await?;
        if reply.status == StatusCode::NOT_FOUND {
            self.object = None;
            return Ok(match known {
                Some(Version::Absent) => Read::Unchanged,
                _ => Read::Stored(Stored {
                    content: None,
                    version: Version::Absent,
                }),
            });
        }
        let object = self.object(&reply)?;
        let version = version(&object).ok_or_else(|| self.error("has no resourceVersion"))?;
        if known == Some(&version) {
            return Ok(Read::Unchanged);
        }
        let document = value(&object, LEDGER);
        if document.is_none() && !is_ours(&object) && has_data(&object) {
            return Err(self.error(
                "belongs to something else: it has data, but no ledger and no label \
                 app.kubernetes.io/managed-by: oidc-issuer. Choose another store.kubernetes.namePrefix, or remove it",
            ));
        }
        self.object = Some(object);
        Ok(Read::Stored(Stored {
            content: document.map(Content::Octets),
            version,
        }))
    }

    pub(super) async fn save(
        &mut self,
        document: Bytes,
        expected: &Version,
        previous: Option<Bytes>,
    ) -> Result<Version, SaveError> {
        let mut object = match (&self.object, expected) {
            (None, Version::Absent) => json!({ "apiVersion": "v1", "kind": "ConfigMap" }),
            (Some(object), expected) if version(object).as_ref() == Some(expected) => object.clone(),
            // What is to be replaced is not what was read.
            _ => return Err(SaveError::Lost),
        };
        self.write_into(&mut object, &document, previous.as_deref())
            .map_err(SaveError::Failed)?;
        let is_new = self.object.is_none();
        let method = if is_new { Method::POST } else { Method::PUT };
        let body = Bytes::from(object.to_string());
        let reply = self
            .send(method, !is_new, Some(body))
            .await
            .map_err(SaveError::Failed)?;
        let failed = |what: &str| Err(SaveError::Failed(self.error(what)));
        match reply.status {
            StatusCode::OK | StatusCode::CREATED => {}
            // Another replica was faster, or someone deleted it.
            StatusCode::CONFLICT => return Err(SaveError::Lost),
            StatusCode::NOT_FOUND if !is_new => return Err(SaveError::Lost),
            StatusCode::NOT_FOUND => {
                return failed(
                    "cannot be created: there is no such namespace. Create it, or correct store.kubernetes.namespace",
                );
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                return failed("is too large for this API server: use store.objectStorage");
            }
            _ => {
                return failed(
                    "was refused as invalid (422). Check that it is not immutable, and what admission \
                     policies of the cluster say",
                );
            }
        }
        let written = self.object(&reply).map_err(SaveError::Failed)?;
        let version = version(&written);
        self.object = Some(written);
        version.ok_or_else(|| SaveError::Failed(self.error("has no resourceVersion")))
    }

    pub(super) fn previous(&self) -> Option<Bytes> {
        value(self.object.as_ref()?, PREVIOUS)
    }

    pub(super) async fn set_aside(&mut self, stored: &Stored) -> Result<String, StoreError> {
        // More than that is never read.
        let Some(Content::Octets(document)) = &stored.content else {
            return Err(self.error("has nothing to set aside"));
        };
        let sum = hex(&Sha256::digest(document)[..4]);
        let name = format!("{}-torn-{sum}", self.name);
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "labels": labels("torn-ledger"),
                "annotations": { "oidc-issuer/issuer": self.issuer },
            },
            "binaryData": { "torn": STANDARD.encode(document) },
        });
        let reply = self
            .send(Method::POST, false, Some(object.to_string().into()))
            .await?;
        match reply.status {
            // The same octets have the same name.
            StatusCode::OK | StatusCode::CREATED | StatusCode::CONFLICT => Ok(format!("ConfigMap {name}")),
            status => Err(self.error(&format!(
                "could not be copied to ConfigMap {name}: answered {status}"
            ))),
        }
    }

    /// Puts the ledger and our marks into an object, and leaves everything else in it.
    fn write_into(
        &self,
        object: &mut Value,
        document: &[u8],
        previous: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let text = |octets| std::str::from_utf8(octets).ok();
        let document = text(document).ok_or_else(|| self.error("cannot take octets that are no text"))?;
        if document.len() > MAX_DATA {
            return Err(self.error(&format!(
                "is too small for the ledger of {} bytes (a ConfigMap has room for {MAX_DATA}): use store.objectStorage",
                document.len()
            )));
        }
        let previous = previous.and_then(text);
        let previous = previous.filter(|previous| previous.len() + document.len() + 1024 < MAX_DATA);
        let broken = || self.error("is no object");
        let metadata = members(object, "metadata").ok_or_else(broken)?;
        // The API server keeps its own; ours might be old.
        metadata.remove("managedFields");
        metadata.insert("name".into(), self.name.as_str().into());
        let annotations = inner(metadata, "annotations").ok_or_else(broken)?;
        annotations.insert("oidc-issuer/issuer".into(), self.issuer.as_str().into());
        let marks = inner(metadata, "labels").ok_or_else(broken)?;
        for (name, value) in labels("ledger") {
            marks.insert(name, value);
        }
        let data = members(object, "data").ok_or_else(broken)?;
        data.insert(LEDGER.into(), document.into());
        match previous {
            Some(previous) => drop(data.insert(PREVIOUS.into(), previous.into())),
            None => drop(data.remove(PREVIOUS)),
        }
        Ok(())
    }

    async fn send(
        &mut self,
        method: Method,
        is_named: bool,
        body: Option<Bytes>,
    ) -> Result<Reply, StoreError> {
        let namespace = match &self.namespace {
            Some(namespace) => namespace,
            None => self.namespace.insert(pods_namespace().await?),
        };
        let mut path = format!("/api/v1/namespaces/{namespace}/configmaps");
        if is_named {
            path.push('/');
            path.push_str(&self.name);
        }
        let sent = self.reach.send(method, &path, body).await;
        sent.map_err(|error| StoreError::new(error.to_string()))
    }

    fn object(&self, reply: &Reply) -> Result<Value, StoreError> {
        let unexpected =
            || self.error("was not answered with that object. Check what is in front of the API server");
        if !reply.status.is_success() {
            return Err(self.error(&format!("answered {}", reply.status)));
        }
        let object: Value = serde_json::from_slice(&reply.body).map_err(|_| unexpected())?;
        if object["kind"] != "ConfigMap" || object["metadata"]["name"] != self.name {
            return Err(unexpected());
        }
        Ok(object)
    }

    fn error(&self, what: &str) -> StoreError {
        StoreError::new(format!("{} {what}", self.place()))
    }
}

async fn pods_namespace() -> Result<String, StoreError> {
    let read = tokio::task::spawn_blocking(|| local::read(Path::new(NAMESPACE), 1024)).await;
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

fn labels(component: &str) -> Map<String, Value> {
    [
        ("app.kubernetes.io/name", "oidc-issuer"),
        ("app.kubernetes.io/component", component),
        OWNER,
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.into()))
    .collect()
}

fn version(object: &Value) -> Option<Version> {
    let metadata = object.get("metadata")?;
    let version = metadata.get("resourceVersion")?.as_str()?;
    Some(Version::Resource(version.to_owned()))
}

fn value(object: &Value, name: &str) -> Option<Bytes> {
    let text = object.get("data")?.get(name)?.as_str()?;
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

fn is_ours(object: &Value) -> bool {
    object["metadata"]["labels"][OWNER.0] == OWNER.1
}

fn has_data(object: &Value) -> bool {
    ["data", "binaryData"]
        .iter()
        .any(|name| object[name].as_object().is_some_and(|data| !data.is_empty()))
}

/// The members of a member; made where it is missing.
fn members<'a>(object: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    inner(object.as_object_mut()?, name)
}

fn inner<'a>(object: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    let inner = object.entry(name).or_insert(Value::Null);
    if inner.is_null() {
        *inner = Value::Object(Map::new());
    }
    inner.as_object_mut()
}
