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

use super::{Content, Proof, Read, SaveError, StoreError, Stored, Version};
use crate::client::{Connections, Reach, Reply, Status};
use crate::fs;
use crate::store::KubernetesSettings;
use crate::store::name::{self, hex};

/// Where a pod finds its namespace.
const NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// What the data of a `ConfigMap` may have (kubernetes `pkg/apis/core/validation`, `MaxSecretSize`).
const MAX_DATA: usize = 1 << 20;

/// As details of a `Status` call them.
const KIND: &str = "configmaps";

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
            // Only in the API server's own words, about this object: anything in front of it answers 404 too.
            let status = Status::of(reply.status, &reply.body);
            if !status.is_some_and(|status| status.says("NotFound") && status.names(KIND, &self.name)) {
                return Err(self.refused(&reply));
            }
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
        let proof = proof(&object);
        self.object = Some(object);
        Ok(Read::Stored(Stored {
            content: document.map(|bytes| Content { bytes, proof }),
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
        match reply.status {
            StatusCode::OK | StatusCode::CREATED => {}
            _ if self.is_lost(&reply, is_new) => return Err(SaveError::Lost),
            _ => return Err(SaveError::Failed(self.refused(&reply))),
        }
        let written = self.object(&reply).map_err(SaveError::Failed)?;
        if value(&written, LEDGER).as_deref() != Some(&*document) {
            return Err(SaveError::Failed(self.error(
                "was answered without what was written. Check what is in front of the API server, and whether a webhook \
                 changes it",
            )));
        }
        let version = version(&written);
        self.object = Some(written);
        version.ok_or_else(|| SaveError::Failed(self.error("has no resourceVersion")))
    }

    pub(super) fn previous(&self) -> Option<Content> {
        let object = self.object.as_ref()?;
        let (bytes, proof) = (value(object, PREVIOUS)?, proof(object));
        Some(Content { bytes, proof })
    }

    pub(super) async fn set_aside(&mut self, stored: &Stored) -> Result<String, StoreError> {
        let Some(Content { bytes: document, .. }) = &stored.content else {
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
            StatusCode::OK | StatusCode::CREATED => {
                let made: Option<Value> = serde_json::from_slice(&reply.body).ok();
                let is_made = made.is_some_and(|made| made["metadata"]["name"] == *name);
                let not_made = || {
                    self.error(&format!(
                        "could not be copied to ConfigMap {name}: that was not answered. Check what is in front of the API \
                         server"
                    ))
                };
                is_made.then(|| format!("ConfigMap {name}")).ok_or_else(not_made)
            }
            // The same octets have the same name.
            StatusCode::CONFLICT
                if Status::of(reply.status, &reply.body)
                    .is_some_and(|status| status.says("AlreadyExists") && status.may_name(KIND, &name)) =>
            {
                Ok(format!("ConfigMap {name}"))
            }
            _ => {
                let refused = self.refused(&reply);
                Err(StoreError::new(format!(
                    "{refused} (while it was copied to ConfigMap {name})"
                )))
            }
        }
    }

    /// Whether another replica was faster, or someone deleted it: in the API server's own words.
    fn is_lost(&self, reply: &Reply, is_new: bool) -> bool {
        Status::of(reply.status, &reply.body).is_some_and(|status| match reply.status {
            StatusCode::CONFLICT => {
                (status.says("AlreadyExists") || status.says("Conflict")) && status.may_name(KIND, &self.name)
            }
            StatusCode::NOT_FOUND => !is_new && status.says("NotFound") && status.names(KIND, &self.name),
            _ => false,
        })
    }

    /// What a refusal means: what the API server said, and what to do about that.
    fn refused(&self, reply: &Reply) -> StoreError {
        let code = reply.status;
        let Some(status) = Status::of(code, &reply.body) else {
            return self.error(&format!(
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
        self.error(&format!("answered {code}{said}{remedy}"))
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
            return Err(self.refused(reply));
        }
        let object: Value = serde_json::from_slice(&reply.body).map_err(|_| unexpected())?;
        let metadata = &object["metadata"];
        let is_here =
            metadata["namespace"].is_null() || metadata["namespace"].as_str() == self.namespace.as_deref();
        if object["kind"] != "ConfigMap" || metadata["name"] != self.name || !is_here {
            return Err(unexpected());
        }
        Ok(object)
    }

    fn error(&self, what: &str) -> StoreError {
        StoreError::new(format!("{} {what}", self.place()))
    }
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

/// The object was read as JSON: nothing of it is missing.
fn proof(object: &Value) -> Proof {
    if is_ours(object) {
        Proof::Ours
    } else {
        Proof::Whole
    }
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
