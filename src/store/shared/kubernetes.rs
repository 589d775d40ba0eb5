//! One `ConfigMap` an issuer. Created by POST, which fails where another replica was faster, and updated by PUT of the
//! object as it was read: its `resourceVersion` makes the API server refuse what is no longer current, and whatever
//! others wrote beside the ledger (labels, owners) stays.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{Content, Proof, Read, SaveError, StoreError, Stored, Version};
use crate::client::{Connections, Status};
use crate::display::hex;
use crate::objects::{ConfigMaps, KIND};
use crate::store::{KubernetesSettings, name};

/// What the data of a `ConfigMap` may have (kubernetes `pkg/apis/core/validation`, `MaxSecretSize`).
const MAX_DATA: usize = 1 << 20;

const LEDGER: &str = "ledger.json";
const PREVIOUS: &str = "previous.json";

/// Says whose object it is.
const OWNER: (&str, &str) = ("app.kubernetes.io/managed-by", "oidc-issuer");

/// The `ConfigMap` of an issuer.
#[derive(Debug)]
pub(in crate::store) struct ConfigMap {
    maps: ConfigMaps,
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
            maps: ConfigMaps::new(settings.access.clone(), settings.namespace.clone(), connections),
            name: format!("{}-{}", settings.name_prefix, name::of(issuer)),
            issuer: issuer.to_owned(),
            object: None,
        }
    }

    pub(super) fn place(&self) -> String {
        self.maps.place(&self.name)
    }

    pub(super) async fn load(&mut self, known: Option<&Version>) -> Result<Read, StoreError> {
        let Some((object, version)) = self.maps.get(&self.name).await? else {
            self.object = None;
            return Ok(match known {
                Some(Version::Absent) => Read::Unchanged,
                _ => Read::Stored(Stored {
                    content: None,
                    version: Version::Absent,
                }),
            });
        };
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
        if document.is_none() && is_recorded(&object, LEDGER) {
            return Err(self.error(
                "was answered without the ledger that the API server's own records (managedFields) say it has. Check what is in \
                 front of the API server",
            ));
        }
        // Ours, and someone emptied it: as a ledger of which nothing is left.
        let document = document.or_else(|| is_ours(&object).then(Bytes::new));
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
            (Some(object), expected) if ConfigMaps::version(object).as_ref() == Some(expected) => {
                object.clone()
            }
            // What is to be replaced is not what was read.
            _ => return Err(SaveError::Lost),
        };
        self.write_into(&mut object, &document, previous.as_deref())
            .map_err(SaveError::Failed)?;
        let (written, version) = if self.object.is_none() {
            self.maps.create(&self.name, &object).await?
        } else {
            self.maps.replace(&self.name, &object).await?
        };
        if value(&written, LEDGER).as_deref() != Some(&*document) {
            return Err(SaveError::Failed(self.error(
                "was answered without what was written. Check what is in front of the API server, and whether a webhook \
                 changes it",
            )));
        }
        self.object = Some(written);
        Ok(version)
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
            .maps
            .send(Method::POST, None, Some(object.to_string().into()))
            .await?;
        match reply.status {
            StatusCode::OK | StatusCode::CREATED => {
                let made: Option<Value> = serde_json::from_slice(&reply.body).ok();
                let is_made =
                    made.is_some_and(|made| made["kind"] == "ConfigMap" && made["metadata"]["name"] == *name);
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
                let refused = self.maps.refused(&self.name, &reply);
                Err(StoreError::new(format!(
                    "{refused} (while it was copied to ConfigMap {name})"
                )))
            }
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

    fn error(&self, what: &str) -> StoreError {
        StoreError::new(format!("{} {what}", self.place()))
    }
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

fn value(object: &Value, name: &str) -> Option<Bytes> {
    let text = object.get("data")?.get(name)?.as_str()?;
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

/// Whether the API server has written down that the data has this member: it forgets that when the member is removed.
fn is_recorded(object: &Value, name: &str) -> bool {
    let member = format!("f:{name}");
    let managers = object["metadata"]["managedFields"].as_array();
    managers.is_some_and(|managers| {
        let has = |manager: &Value| manager["fieldsV1"]["f:data"].get(&member).is_some();
        managers.iter().any(has)
    })
}

fn is_ours(object: &Value) -> bool {
    object["metadata"]["labels"][OWNER.0] == OWNER.1
}

/// Only what has our mark is known to be an object of ours, and not what something else made of it.
fn proof(object: &Value) -> Proof {
    if is_ours(object) { Proof::Ours } else { Proof::None }
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
