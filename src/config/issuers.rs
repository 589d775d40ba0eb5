//! `issuers[]`: the public identities, and the arithmetic that their durations must satisfy.

use http::HeaderValue;
use jiff::SignedDuration;
use serde_json::{Map, Number, Value as Json};

use super::duration::show;
use super::fields::{Field, Mapping, Setting};
use super::schema::{self, Table};
use super::sources::{self, Folders};
use super::tree::{Node, Origin, Value};
use crate::issuer::{IssuerSettings, IssuerSource};
use crate::key::Algorithm;
use crate::publication::{CachePolicy, IssuerUrl, JwksUri, Profile, RESERVED_MEMBERS};
use crate::ring::Rules;

/// How often a source is read. Must not exceed the `max-age` of the JWKS.
const REFRESH: SignedDuration = SignedDuration::from_secs(10);
/// The longest that any token may live; the API server's own limit is what its flag
/// `--service-account-max-token-expiration` says.
const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_hours(24);
const TOKEN_LIFETIME_MOST: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Retention, where the sum of what it must cover is less.
const RETENTION_LEAST_DEFAULT: SignedDuration = SignedDuration::from_hours(49);
/// What retention adds for clocks that differ and reads that are late.
const RETENTION_MARGIN: SignedDuration = SignedDuration::from_mins(5);
const RETENTION_MOST: SignedDuration = SignedDuration::from_hours(2 * 366 * 24);
/// Caches may not be told to keep a document longer than a year (RFC 9111 section 1.2.2 allows 68 years).
const CACHE_MOST: SignedDuration = SignedDuration::from_hours(366 * 24);

const JWKS_CACHE: CachePolicy = CachePolicy {
    max_age: SignedDuration::from_secs(300),
    stale_while_revalidate: SignedDuration::from_secs(60),
    stale_if_error: SignedDuration::from_secs(86_400),
};
const DISCOVERY_CACHE: CachePolicy = CachePolicy {
    max_age: SignedDuration::from_secs(3600),
    stale_while_revalidate: SignedDuration::ZERO,
    stale_if_error: SignedDuration::from_secs(86_400),
};

/// Reads one issuer.
pub(super) fn read(field: &Field<'_>, folders: Folders<'_>) -> Option<IssuerSettings> {
    let issuer = field.mapping(&schema::ISSUER).given()?;
    let required = issuer.read("required", Field::flag).or(true);
    let confirmation = issuer.read("confirmation", confirmation);
    issuer.read("newKeys", new_keys);
    let sources = read_sources(&issuer, confirmation.given(), folders);
    let caches = caches(&issuer);
    let profile = profile(&issuer, &caches);
    let (refresh, token_lifetime, retention) = lifetimes(&issuer, &caches);
    Some(IssuerSettings {
        profile: profile?,
        required: required?,
        sources: sources?,
        refresh: refresh?,
        rules: Rules::new(retention?),
        token_lifetime: token_lifetime?,
    })
}

fn confirmation(field: &Field<'_>) -> Setting<u32> {
    match &field.node.value {
        Value::Text(text) if text == "manual" || super::duration::parse(text).is_some() => field.refuse(
            format!("`{text}` is not in this release: write a number of reads, such as 3"),
        ),
        _ => field.number(1..=1000),
    }
}

fn new_keys(field: &Field<'_>) -> Setting<()> {
    match &field.node.value {
        Value::Text(text) if text == "approve" => field.refuse(
            "`approve` is not in this release: new keys are published as they are listed (`publish`, the default)",
        ),
        _ => field.word(&[("publish", ())]),
    }
}

fn read_sources(
    issuer: &Mapping<'_>,
    confirmation: Option<u32>,
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
    let extra = issuer.read("discovery", extra_members).or(Map::new());
    let content_type = issuer
        .read("jwksContentType", content_type)
        .or(HeaderValue::from_static("application/jwk-set+json"));
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

fn content_type(field: &Field<'_>) -> Setting<HeaderValue> {
    field.text_map(|text| {
        HeaderValue::from_str(text)
            .ok()
            .filter(|_| text.is_ascii() && text.split(';').next().is_some_and(|kind| kind.contains('/')))
            .ok_or_else(|| {
                format!("`{text}` is no media type: write application/jwk-set+json or application/json")
            })
    })
}

/// Where a member that the service writes itself comes from.
fn comes_from(member: &str) -> &'static str {
    match member {
        "issuer" => "`issuer`",
        "jwks_uri" => "`jwksUri`",
        "id_token_signing_alg_values_supported" => "the published keys and `announcedAlgorithms`",
        _ => "what Kubernetes does",
    }
}

fn extra_members(field: &Field<'_>) -> Setting<Map<String, Json>> {
    let Value::Map(entries) = &field.node.value else {
        return field.refuse("should be a mapping of further members of the discovery document");
    };
    let mut members = Map::new();
    for (name, node) in entries {
        let place = super::problem::Place::of(format!("{}.{name}", field.place.path), node);
        if RESERVED_MEMBERS.contains(&name.as_str()) {
            let from = comes_from(name);
            field.report.add(
                &place,
                format!("is a member that the service writes itself, from {from}: leave it out here"),
            );
        } else if members.insert(name.clone(), json(&node.value)).is_some() {
            field.report.add(&place, "is given twice: keep one");
        }
    }
    Setting::Given(members)
}

fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Number::from_i128(*value).map_or(Json::Null, Json::Number),
        Value::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
        Value::Text(text) => Json::String(text.clone()),
        Value::List(items) => Json::Array(items.iter().map(|item| json(&item.value)).collect()),
        Value::Map(entries) => {
            let members = entries
                .iter()
                .map(|(name, node)| (name.clone(), json(&node.value)));
            Json::Object(members.collect())
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Caches {
    jwks: Option<CachePolicy>,
    discovery: Option<CachePolicy>,
}

fn caches(issuer: &Mapping<'_>) -> Caches {
    let cache = issuer.read("cache", |field| field.mapping(&schema::CACHE));
    let read = |name, table, default| match &cache {
        Setting::Given(cache) => cache
            .read(name, |field| policy(field, table, default))
            .or(default),
        Setting::Absent => Some(default),
        Setting::Invalid => None,
    };
    Caches {
        jwks: read("jwks", &schema::CACHE_JWKS, JWKS_CACHE),
        discovery: read("discovery", &schema::CACHE_DISCOVERY, DISCOVERY_CACHE),
    }
}

fn policy(field: &Field<'_>, table: &'static Table, default: CachePolicy) -> Setting<CachePolicy> {
    let Setting::Given(mapping) = field.mapping(table) else {
        return Setting::Invalid;
    };
    let seconds = |name, default| {
        mapping
            .read(name, |field| {
                bounded(field, SignedDuration::ZERO, CACHE_MOST, true)
            })
            .or(default)
    };
    let max_age = seconds("maxAge", default.max_age);
    let stale_while_revalidate = seconds("staleWhileRevalidate", default.stale_while_revalidate);
    let stale_if_error = seconds("staleIfError", default.stale_if_error);
    match (max_age, stale_while_revalidate, stale_if_error) {
        (Some(max_age), Some(stale_while_revalidate), Some(stale_if_error)) => Setting::Given(CachePolicy {
            max_age,
            stale_while_revalidate,
            stale_if_error,
        }),
        _ => Setting::Invalid,
    }
}

fn bounded(
    field: &Field<'_>,
    least: SignedDuration,
    most: SignedDuration,
    whole_seconds: bool,
) -> Setting<SignedDuration> {
    let Setting::Given(duration) = field.duration() else {
        return Setting::Invalid;
    };
    if whole_seconds && duration.subsec_nanos() != 0 {
        return field.refuse(format!(
            "is {}: Cache-Control counts in whole seconds",
            show(duration)
        ));
    }
    if duration < least || duration > most {
        return field.refuse(format!(
            "is {}, but should be from {} to {}",
            show(duration),
            show(least),
            show(most)
        ));
    }
    Setting::Given(duration)
}

type Lifetimes = (
    Option<SignedDuration>,
    Option<SignedDuration>,
    Option<SignedDuration>,
);

/// `refresh`, `tokenLifetime` and `retention`, held against each other and the cache of the JWKS.
fn lifetimes(issuer: &Mapping<'_>, caches: &Caches) -> Lifetimes {
    let second = SignedDuration::from_secs(1);
    let refresh = issuer.read("refresh", |field| {
        bounded(field, second, SignedDuration::from_hours(24), false)
    });
    let token_lifetime = issuer
        .read("tokenLifetime", |field| {
            bounded(field, SignedDuration::from_mins(1), TOKEN_LIFETIME_MOST, false)
        })
        .or(TOKEN_LIFETIME);
    let retention = issuer.read("retention", |field| {
        bounded(field, SignedDuration::ZERO, RETENTION_MOST, false)
    });
    let Some(jwks) = caches.jwks else {
        return (refresh.or(REFRESH), token_lifetime, retention.given());
    };
    let refresh = not_above_max_age(issuer, refresh, &jwks);
    let Some(lifetime) = token_lifetime else {
        return (refresh, None, retention.given());
    };
    let least = lifetime
        .saturating_add(jwks.lifetime())
        .saturating_add(RETENTION_MARGIN);
    if let (Setting::Given(given), Some(field)) = (retention, issuer.get("retention"))
        && given < least
    {
        field.refuse::<()>(format!(
            "is {}, but must be at least {}: tokenLifetime {} + cache lifetime of the JWKS {} (maxAge {} + the larger of \
             staleWhileRevalidate {} and staleIfError {}) + 5m; otherwise a token still valid finds no key. \
             Raise it, or leave it out for that sum",
            show(given),
            show(least),
            show(lifetime),
            show(jwks.lifetime()),
            show(jwks.max_age),
            show(jwks.stale_while_revalidate),
            show(jwks.stale_if_error),
        ));
    }
    let retention = retention.or(least.max(RETENTION_LEAST_DEFAULT));
    (refresh, Some(lifetime), retention)
}

/// `refresh` ≤ `max-age` of the JWKS: a copy may otherwise be older than one max-age when it is fetched.
fn not_above_max_age(
    issuer: &Mapping<'_>,
    refresh: Setting<SignedDuration>,
    jwks: &CachePolicy,
) -> Option<SignedDuration> {
    let holds = refresh.or(REFRESH)?;
    if holds > jwks.max_age {
        let message = format!(
            "refresh {} is longer than cache.jwks.maxAge {}: caches would ask again before we did. \
             Lower refresh or raise maxAge",
            show(holds),
            show(jwks.max_age)
        );
        match issuer.get("refresh") {
            Some(field) => field.report.add(&field.place, message),
            None => issuer.report.add(&issuer.place, message),
        }
    }
    Some(holds)
}
