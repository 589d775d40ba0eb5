//! `issuers[]`: the public identities.

mod confirmation;
mod lifetimes;
mod members;

use serde_json::Map;

use self::lifetimes::{Caches, Lifetimes};
use super::fields::{Field, Mapping, Setting};
use super::schema;
use super::sources::{self, Folders};
use super::tree::{Node, Origin, Value};
use crate::issuer::{IssuerSettings, IssuerSource};
use crate::key::Algorithm;
use crate::publication::{IssuerUrl, JwksUri, MediaType, Profile};
use crate::ring::{Confirmation, NewKeys, Rules};

const NEW_KEYS: [(&str, NewKeys); 2] = [("publish", NewKeys::Publish), ("approve", NewKeys::Approve)];

/// Reads one issuer.
pub(super) fn read(field: &Field<'_>, folders: Folders<'_>) -> Option<IssuerSettings> {
    let issuer = field.mapping(&schema::ISSUER).given()?;
    let required = issuer.read("required", Field::flag).or(true);
    let confirmation = issuer.read("confirmation", confirmation::read);
    let new_keys = issuer
        .read("newKeys", |field| field.word(&NEW_KEYS))
        .or(NewKeys::Publish);
    let sources = read_sources(&issuer, confirmation.given(), folders);
    let caches = Caches::read(&issuer);
    let profile = profile(&issuer, &caches);
    let lifetimes = Lifetimes::read(&issuer, &caches);
    Some(IssuerSettings {
        profile: profile?,
        required: required?,
        sources: sources?,
        refresh: lifetimes.refresh?,
        rules: Rules {
            new_keys: new_keys?,
            propagation: lifetimes.propagation?,
            ..Rules::new(lifetimes.retention?)
        },
        token_lifetime: lifetimes.token_lifetime?,
    })
}

fn read_sources(
    issuer: &Mapping<'_>,
    confirmation: Option<Confirmation>,
    folders: Folders<'_>,
) -> Option<Vec<IssuerSource>> {
    let Some(field) = issuer.get("sources") else {
        issuer.missing(
            "sources",
            "say where its keys are: a list of apiServer, files, jwks or embedded",
        );
        return None;
    };
    let entries = field.list().given()?;
    if entries.is_empty() {
        return field
            .refuse(match field.node.origin {
                Origin::Line(_) => "is an empty list: say where the keys are (apiServer, files, jwks or embedded)",
                Origin::Named(_) => {
                    "needs a source: add --keys GLOB, --kubeconfig FILE or --from-jwks URL|FILE, or write a file for \
                     --config; in a pod it would be the API server of the pod's cluster"
                }
            })
            .given();
    }
    let mut read = Vec::with_capacity(entries.len());
    for entry in &entries {
        match sources::bare_kind(&entry.node.value) {
            Some(kind) => {
                entry.refuse::<()>(format!("is text: write `- {kind}: {{}}`"));
            }
            None => read.extend(sources::read(entry, confirmation, folders)),
        }
    }
    Some(read)
}

fn profile(issuer: &Mapping<'_>, caches: &Caches) -> Option<Profile> {
    let name = issuer.get("issuer");
    if name.is_none() {
        issuer.missing(
            "issuer",
            "write its URL, exactly as in the `iss` of the cluster's tokens",
        );
    }
    let name = name.map_or(Setting::Absent, |field| match &field.node {
        Node {
            value: Value::Text(text),
            origin: Origin::Named(_),
        } if text.is_empty() => {
            field.refuse("is missing: name the issuer, exactly as in the `iss` of the cluster's tokens")
        }
        _ => field.text_map(|text| IssuerUrl::parse(text).map_err(|error| error.to_string())),
    });
    let jwks_uri = issuer.read("jwksUri", |field| {
        field.text_map(|text| JwksUri::parse(text).map_err(|error| error.to_string()))
    });
    let announced = issuer.read("announcedAlgorithms", algorithms).or(Vec::new());
    let extra = issuer.read("discovery", members::read).or(Map::new());
    let content_type = issuer.read("jwksContentType", content_type).or(MediaType::JWKS);
    let name = name.given()?;
    let jwks_uri = jwks_uri.or(JwksUri::of(&name))?;
    Some(Profile {
        issuer: name,
        jwks_uri,
        announced: announced?,
        extra: extra?,
        jwks_content_type: content_type?,
        jwks_cache: caches.jwks?,
        discovery_cache: caches.discovery?,
    })
}

fn algorithms(field: &Field<'_>) -> Setting<Vec<Algorithm>> {
    let Setting::Given(entries) = field.list() else {
        return Setting::Invalid;
    };
    let known = [
        Algorithm::Rs256,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
    ];
    let words = known.map(|algorithm| (algorithm.as_str(), algorithm));
    let read: Vec<_> = entries
        .iter()
        .filter_map(|entry| entry.word(&words).given())
        .collect();
    if read.len() < entries.len() {
        return Setting::Invalid;
    }
    Setting::Given(read)
}

fn content_type(field: &Field<'_>) -> Setting<MediaType> {
    field.text_map(|text| {
        MediaType::parse(text).ok_or_else(|| {
            format!("`{text}` is no media type: write application/jwk-set+json or application/json")
        })
    })
}
