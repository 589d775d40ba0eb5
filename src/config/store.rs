//! `store`: where ledgers are kept.

use std::path::Path;

use super::fields::{Field, Mapping, Setting};
use super::schema;
use super::sources::{Folders, access, https_or_loopback};
use crate::store::{
    BUCKET_URLS, Bucket, KubernetesSettings, LocalSettings, ObjectStorageSettings, StoreSettings, is_label,
};

/// How the names of `ConfigMap`s begin.
const NAME_PREFIX: &str = "oidc-issuer";

/// What is added to a prefix makes no more than 63 characters of it.
const MAX_PREFIX: usize = 15;

/// Reads `store`; where there is none, ledgers are in a database in the state folder. What a former release kept there is
/// taken over. And whether it is called `file`, as in former releases.
pub(super) fn read(root: &Mapping<'_>, folders: Folders<'_>) -> Option<(StoreSettings, bool)> {
    let local = local(folders.state);
    let Some(field) = root.get("store") else {
        return Some((StoreSettings::Sqlite { local }, false));
    };
    let store = field.mapping(&schema::STORE).given()?;
    let kinds: Vec<_> = schema::STORE
        .fields
        .iter()
        .filter_map(|kind| Some((*kind, store.get(kind)?)))
        .collect();
    let is_file = matches!(kinds.as_slice(), [("file", _)]);
    let store = match kinds.as_slice() {
        [("memory", field)] => {
            field.mapping(&schema::MEMORY).given()?;
            Some(StoreSettings::Memory)
        }
        [("sqlite", field)] => {
            let sqlite = field.mapping(&schema::SQLITE).given()?;
            let file = sqlite
                .read("file", |field| folders.path(field))
                .or(local.file.clone())?;
            let local = LocalSettings { file, ..local };
            Some(StoreSettings::Sqlite { local })
        }
        // As it was called before there was a database.
        [("file", field)] => {
            let file = field.mapping(&schema::FILE).given()?;
            let mut local = local;
            match file.read("folder", |field| folders.path(field)) {
                Setting::Given(folder) if !local.folders.contains(&folder) => local.folders.push(folder),
                Setting::Given(_) | Setting::Absent => {}
                Setting::Invalid => return None,
            }
            Some(StoreSettings::Sqlite { local })
        }
        [("kubernetes", field)] => {
            let shared = kubernetes(field, folders)?;
            Some(StoreSettings::Kubernetes { shared, local })
        }
        [(_, field)] => {
            let shared = object_storage(field, folders)?;
            Some(StoreSettings::ObjectStorage { shared, local })
        }
        [] => field
            .refuse(format!("names no store: {}", schema::STORE.choices()))
            .given(),
        several => {
            let kinds: Vec<_> = several.iter().map(|(kind, _)| *kind).collect();
            let message = format!("is {} at once: {}", kinds.join(" and "), schema::STORE.choices());
            field.refuse(message).given()
        }
    };
    Some((store?, is_file))
}

/// The database in a state folder.
pub(crate) fn local(state: &Path) -> LocalSettings {
    LocalSettings {
        file: state.join("ledgers.db"),
        folders: vec![state.join("ledgers")],
    }
}

fn kubernetes(field: &Field<'_>, folders: Folders<'_>) -> Option<KubernetesSettings> {
    let mapping = field.mapping(&schema::KUBERNETES).given()?;
    let access = access(&mapping, folders);
    let namespace = mapping.read("namespace", |field| {
        field.text_map(|text| label(text, 63, "the namespace"))
    });
    let prefix = mapping.read("namePrefix", |field| {
        field.text_map(|text| label(text, MAX_PREFIX, "the beginning of names"))
    });
    let is_elsewhere = access.kubeconfig.is_some() || access.server.is_some();
    if is_elsewhere && mapping.get("namespace").is_none() {
        mapping.missing(
            "namespace",
            "write the namespace of the ConfigMaps; only in a pod it is known",
        );
        return None;
    }
    Some(KubernetesSettings {
        access,
        namespace: match namespace {
            Setting::Given(namespace) => Some(namespace),
            Setting::Absent => None,
            Setting::Invalid => return None,
        },
        name_prefix: prefix.or(NAME_PREFIX.to_owned())?,
    })
}

/// A name as Kubernetes takes it (RFC 1123 label).
fn label(text: &str, most: usize, what: &str) -> Result<String, String> {
    if is_label(text, most) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` cannot be {what}: write at most {most} small letters, digits and hyphens, without a hyphen at either end"
    ))
}

fn object_storage(field: &Field<'_>, folders: Folders<'_>) -> Option<ObjectStorageSettings> {
    let mapping = field.mapping(&schema::OBJECT_STORAGE).given()?;
    let text = |name| mapping.read(name, Field::text).given();
    let path = |name| mapping.read(name, |field| folders.path(field)).given();
    let (region, account) = (text("region"), text("account"));
    let (ca_file, credentials_file) = (path("caFile"), path("credentialsFile"));
    let endpoint = mapping.read("endpoint", |field| field.text_map(endpoint)).given();
    let Some(url) = mapping.get("url") else {
        mapping.missing("url", &format!("write {BUCKET_URLS}"));
        return None;
    };
    let bucket = url.text_map(Bucket::parse).given()?;
    if let (Some(field), false) = (mapping.get("region"), bucket.has_region()) {
        field.refuse::<()>("means something only with an s3 URL: leave it out");
    }
    if let (Some(field), false) = (mapping.get("account"), bucket.has_account()) {
        field.refuse::<()>("means something only with an az URL: leave it out");
    }
    Some(ObjectStorageSettings {
        bucket,
        endpoint,
        region,
        account,
        ca_file,
        credentials_file,
    })
}

/// Ledgers are written over it.
fn endpoint(text: &str) -> Result<String, String> {
    let wrong = "write https://HOST[:PORT][/PATH] (http is for loopback only; credentials come from the environment or \
                 `credentialsFile`)";
    https_or_loopback(text).map_err(|_| format!("cannot be used: {wrong}"))
}
