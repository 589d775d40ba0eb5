//! `issuers[].sources[]`: where the keys are.

use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use url::Url;

use super::duration::show;
use super::fields::{Field, Mapping, Setting};
use super::schema;
use super::tree::{Origin, Value};
use crate::client::ApiServerSettings;
use crate::issuer::IssuerSource;
use crate::ring::Confirmation;
use crate::source::{EmbeddedSettings, FilesSettings, JwksSettings, SourceSettings, glob};

/// The bounds of a source's `timeout`.
const TIMEOUT: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(1), SignedDuration::from_secs(60));

/// What sources are read with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folders<'a> {
    /// The folder of the file: relative paths in it start there.
    pub(super) file: &'a Path,
    /// The state folder.
    pub(super) state: &'a Path,
}

impl Folders<'_> {
    /// A path as written: relative to the file that says it, or as a shell would take it.
    pub(super) fn path(&self, field: &Field<'_>) -> Setting<PathBuf> {
        field.text().map(|text| self.resolve(&text, field))
    }

    fn resolve(&self, text: &str, field: &Field<'_>) -> PathBuf {
        match field.node.origin {
            Origin::Line(_) => self.file.join(text),
            Origin::Named(_) => PathBuf::from(text),
        }
    }
}

/// Reads one source; `confirmation` is the issuer's, where it is given.
pub(super) fn read(
    field: &Field<'_>,
    confirmation: Option<Confirmation>,
    folders: Folders<'_>,
) -> Option<IssuerSource> {
    let source = field.mapping(&schema::SOURCE).given()?;
    let claims = source.read("claims", Field::texts);
    let kinds: Vec<_> = schema::SOURCES
        .into_iter()
        .filter_map(|kind| Some((kind, source.get(kind)?)))
        .collect();
    let settings = match kinds.as_slice() {
        [("apiServer", field)] => SourceSettings::ApiServer(api_server(field, folders)?),
        [("files", field)] => SourceSettings::Files(files(field, folders)?),
        [("jwks", field)] => SourceSettings::Jwks(jwks(field, folders)?),
        [(_, field)] => {
            field.mapping(&schema::EMBEDDED).given()?;
            SourceSettings::Embedded(EmbeddedSettings {
                folder: folders.state.join("embedded"),
            })
        }
        [] => {
            source.report.add(
                &source.place,
                format!("names no source: {}", schema::choices(&schema::SOURCES)),
            );
            return None;
        }
        several => {
            let kinds: Vec<_> = several.iter().map(|(kind, _)| *kind).collect();
            source.report.add(
                &source.place,
                format!(
                    "is {} at once: write each as a list entry of its own",
                    kinds.join(" and ")
                ),
            );
            return None;
        }
    };
    let usual = match settings {
        SourceSettings::ApiServer(_) | SourceSettings::Jwks(_) => 3,
        SourceSettings::Files(_) | SourceSettings::Embedded(_) => 1,
    };
    Some(IssuerSource {
        settings,
        claims: claims.or(Vec::new())?,
        confirmation: confirmation.unwrap_or(Confirmation::Reads(usual)),
    })
}

fn api_server(field: &Field<'_>, folders: Folders<'_>) -> Option<ApiServerSettings> {
    let mapping = field.mapping(&schema::API_SERVER).given()?;
    Some(ApiServerSettings {
        endpoints: mapping.read("endpoints", Field::flag).given(),
        ..access(&mapping, folders)
    })
}

/// How an API server is reached: fields that a source and a store have in common.
pub(super) fn access(mapping: &Mapping<'_>, folders: Folders<'_>) -> ApiServerSettings {
    let path = |name| mapping.read(name, |field| folders.path(field)).given();
    let text = |name| mapping.read(name, Field::text).given();
    let settings = ApiServerSettings {
        kubeconfig: path("kubeconfig"),
        context: text("context"),
        allow_exec: mapping.read("allowExec", Field::flag).given().unwrap_or(false),
        server: mapping
            .read("server", |field| field.text_map(https_or_loopback))
            .given(),
        ca_file: path("caFile"),
        token_file: path("tokenFile"),
        tls_server_name: text("tlsServerName"),
        endpoints: None,
        timeout: timeout(mapping),
    };
    for name in ["context", "allowExec"] {
        if let (Some(field), None) = (mapping.get(name), mapping.get("kubeconfig")) {
            field.refuse::<()>("means something only beside `kubeconfig`: name the file, or leave this out");
        }
    }
    if let (Some(field), Some(_)) = (mapping.get("server"), mapping.get("kubeconfig")) {
        field.refuse::<()>("is what the kubeconfig says: leave this out, or leave `kubeconfig` out");
    }
    settings
}

fn files(field: &Field<'_>, folders: Folders<'_>) -> Option<FilesSettings> {
    let mapping = field.mapping(&schema::FILES).given()?;
    let Some(paths) = mapping.get("paths") else {
        mapping.missing("paths", "list the key files (PEM or JWKS), globs allowed");
        return None;
    };
    let wanted = paths.texts().given()?.len();
    let read: Vec<_> = paths
        .list()
        .given()?
        .iter()
        .filter_map(|field| {
            let path = folders.path(field).given()?;
            let Some(pattern) = path.to_str() else {
                field.refuse::<()>("lies in a folder whose name is not UTF-8: rename the folder");
                return None;
            };
            match glob::check(pattern) {
                Ok(()) => Some(pattern.to_owned()),
                Err(error) => field
                    .refuse(format!("is no glob ({error}): escape a literal bracket as `[[]`"))
                    .given(),
            }
        })
        .collect();
    (read.len() == wanted).then_some(FilesSettings { paths: read })
}

fn jwks(field: &Field<'_>, folders: Folders<'_>) -> Option<JwksSettings> {
    let mapping = field.mapping(&schema::JWKS).given()?;
    let path = |name| mapping.read(name, |field| folders.path(field)).given();
    let (ca_file, token_file, timeout) = (path("caFile"), path("tokenFile"), timeout(&mapping));
    let Some(url) = mapping.get("url") else {
        mapping.missing("url", "write the https URL of the JWKS");
        return None;
    };
    Some(JwksSettings {
        url: url.text_map(https_or_loopback).given()?,
        ca_file,
        token_file,
        timeout,
    })
}

fn timeout(mapping: &Mapping<'_>) -> Option<SignedDuration> {
    let field = mapping.get("timeout")?;
    let timeout = field.duration().given()?;
    let (least, most) = TIMEOUT;
    if timeout < least || timeout > most {
        let message = format!(
            "is {}, but should be from {} to {}",
            show(timeout),
            show(least),
            show(most)
        );
        return field.refuse(message).given();
    }
    Some(timeout)
}

/// A URL that keys may be read from: https, or plain http on loopback (a test, a proxy beside us).
pub(super) fn https_or_loopback(text: &str) -> Result<String, String> {
    let url =
        Url::parse(text).map_err(|error| format!("`{text}` is no URL ({error}): write https://host/path"))?;
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err(format!(
            "`{text}` is not https: keys that anyone on the way can replace are worth nothing (http is for loopback only)"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "holds a user name or a password: put a bearer token into `tokenFile` instead".to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// Whether a node is a bare kind: `sources: [embedded]` is a slip for `- embedded: {}`.
pub(super) fn bare_kind(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) if schema::SOURCE.fields.contains(&text.as_str()) => Some(text),
        _ => None,
    }
}
