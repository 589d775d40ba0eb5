//! The durations of an issuer, and the arithmetic that they must satisfy.

use jiff::SignedDuration;

use crate::config::duration::show;
use crate::config::fields::{Field, Mapping, Setting};
use crate::config::schema::{self, Table};
use crate::publication::CachePolicy;

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
const RETENTION_MOST: SignedDuration = SignedDuration::from_hours(4 * 366 * 24);
/// What is added to the longest that caches keep a document, for clocks that differ and reads that are late.
const PROPAGATION_MARGIN: SignedDuration = SignedDuration::from_hours(1);
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

/// What caches are told of both documents; `None` where what was written is wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caches {
    pub(super) jwks: Option<CachePolicy>,
    pub(super) discovery: Option<CachePolicy>,
}

impl Caches {
    pub(super) fn read(issuer: &Mapping<'_>) -> Self {
        let cache = issuer.read("cache", |field| field.mapping(&schema::CACHE));
        let read = |name, table, default| match &cache {
            Setting::Given(cache) => cache
                .read(name, |field| policy(field, table, default))
                .or(default),
            Setting::Absent => Some(default),
            Setting::Invalid => None,
        };
        Self {
            jwks: read("jwks", &schema::CACHE_JWKS, JWKS_CACHE),
            discovery: read("discovery", &schema::CACHE_DISCOVERY, DISCOVERY_CACHE),
        }
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

pub(super) fn bounded(
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

/// Durations that are held against each other; `None` where one of those that it follows from is wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetimes {
    pub(super) refresh: Option<SignedDuration>,
    pub(super) token_lifetime: Option<SignedDuration>,
    pub(super) retention: Option<SignedDuration>,
    pub(super) propagation: Option<SignedDuration>,
}

impl Lifetimes {
    pub(super) fn read(issuer: &Mapping<'_>, caches: &Caches) -> Self {
        let second = SignedDuration::from_secs(1);
        let refresh = issuer.read("refresh", |field| {
            bounded(field, second, SignedDuration::from_hours(24), false)
        });
        let refresh = not_above_max_age(issuer, refresh, caches.jwks.as_ref());
        let token_lifetime = issuer
            .read("tokenLifetime", |field| {
                bounded(field, SignedDuration::from_mins(1), TOKEN_LIFETIME_MOST, false)
            })
            .or(TOKEN_LIFETIME);
        Self {
            refresh,
            token_lifetime,
            retention: retention(issuer, token_lifetime, caches.jwks.as_ref()),
            propagation: propagation(caches, refresh),
        }
    }
}

/// When every cache has a new key. It follows from the settings and is none itself: what is longer would only make
/// whoever rotates wait for nothing, what is shorter would be wrong.
fn propagation(caches: &Caches, refresh: Option<SignedDuration>) -> Option<SignedDuration> {
    let longer = caches.jwks?.lifetime().max(caches.discovery?.lifetime());
    Some(longer.saturating_add(refresh?).saturating_add(PROPAGATION_MARGIN))
}

/// `retention` ≥ `tokenLifetime` + cache lifetime of the JWKS + 5 min.
fn retention(
    issuer: &Mapping<'_>,
    token_lifetime: Option<SignedDuration>,
    jwks: Option<&CachePolicy>,
) -> Option<SignedDuration> {
    let retention = issuer.read("retention", |field| {
        bounded(field, SignedDuration::ZERO, RETENTION_MOST, false)
    });
    let (lifetime, jwks) = (token_lifetime?, jwks?);
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
    retention.or(least.max(RETENTION_LEAST_DEFAULT))
}

/// `refresh` ≤ `max-age` of the JWKS: a copy may otherwise be older than one max-age when it is fetched.
fn not_above_max_age(
    issuer: &Mapping<'_>,
    refresh: Setting<SignedDuration>,
    jwks: Option<&CachePolicy>,
) -> Option<SignedDuration> {
    let (holds, jwks) = (refresh.or(REFRESH)?, jwks?);
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
