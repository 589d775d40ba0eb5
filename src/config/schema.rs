//! Every field there is. Unknown ones are refused with the nearest of these, and docs/configuration.md
//! is held against this list.

/// One kind of mapping and its fields.
#[derive(Debug)]
pub(super) struct Table {
    /// Where it stands: `issuers[].cache.jwks`.
    pub(super) path: &'static str,
    /// Its fields, in the order of the documentation.
    pub(super) fields: &'static [&'static str],
}

impl Table {
    /// Of a mapping that has one of its fields.
    pub(super) fn choices(&self) -> String {
        choices(self.fields)
    }
}

/// What to write where one of these is meant.
pub(super) fn choices(names: &[&str]) -> String {
    format!("write one of {}", names.join(", "))
}

const fn table(path: &'static str, fields: &'static [&'static str]) -> Table {
    Table { path, fields }
}

pub(super) static ROOT: Table = table(
    "",
    &[
        "issuers",
        "store",
        "listeners",
        "admin",
        "control",
        "audit",
        "stateDir",
        "logging",
        "metrics",
        "limits",
    ],
);
pub(super) static ISSUER: Table = table(
    "issuers[]",
    &[
        "issuer",
        "jwksUri",
        "required",
        "sources",
        "refresh",
        "confirmation",
        "newKeys",
        "retention",
        "tokenLifetime",
        "cache",
        "jwksContentType",
        "announcedAlgorithms",
        "discovery",
    ],
);
/// A source has one of these.
pub(super) const SOURCES: [&str; 4] = ["apiServer", "files", "jwks", "embedded"];
pub(super) static SOURCE: Table = table(
    "issuers[].sources[]",
    &[SOURCES[0], SOURCES[1], SOURCES[2], SOURCES[3], "claims"],
);
pub(super) static API_SERVER: Table = table(
    "issuers[].sources[].apiServer",
    &[
        "kubeconfig",
        "context",
        "allowExec",
        "server",
        "caFile",
        "tokenFile",
        "tlsServerName",
        "endpoints",
        "timeout",
    ],
);
pub(super) static FILES: Table = table("issuers[].sources[].files", &["paths"]);
pub(super) static JWKS: Table = table(
    "issuers[].sources[].jwks",
    &["url", "caFile", "tokenFile", "timeout"],
);
pub(super) static EMBEDDED: Table = table("issuers[].sources[].embedded", &[]);
pub(super) static CACHE: Table = table("issuers[].cache", &["jwks", "discovery"]);
pub(super) static CACHE_JWKS: Table = table(
    "issuers[].cache.jwks",
    &["maxAge", "staleWhileRevalidate", "staleIfError"],
);
pub(super) static CACHE_DISCOVERY: Table = table(
    "issuers[].cache.discovery",
    &["maxAge", "staleWhileRevalidate", "staleIfError"],
);
pub(super) static STORE: Table = table(
    "store",
    &["memory", "sqlite", "file", "kubernetes", "objectStorage"],
);
pub(super) static MEMORY: Table = table("store.memory", &[]);
pub(super) static SQLITE: Table = table("store.sqlite", &["file"]);
pub(super) static FILE: Table = table("store.file", &["folder"]);
pub(super) static KUBERNETES: Table = table(
    "store.kubernetes",
    &[
        "namespace",
        "namePrefix",
        "kubeconfig",
        "context",
        "allowExec",
        "server",
        "caFile",
        "tokenFile",
        "tlsServerName",
        "timeout",
    ],
);
pub(super) static OBJECT_STORAGE: Table = table(
    "store.objectStorage",
    &[
        "url",
        "endpoint",
        "region",
        "account",
        "caFile",
        "credentialsFile",
    ],
);
pub(super) static LISTENER: Table = table("listeners[]", &["address", "tls", "hsts"]);
pub(super) static TLS: Table = table("listeners[].tls", &["certFile", "keyFile", "selfSigned"]);
pub(super) static SELF_SIGNED: Table = table("listeners[].tls.selfSigned", &["names"]);
pub(super) static ADMIN: Table = table("admin", &["address"]);
pub(super) static CONTROL: Table = table("control", &["address", "tls", "clientCaFile"]);
pub(super) static CONTROL_TLS: Table = table("control.tls", &["certFile", "keyFile"]);
pub(super) static AUDIT: Table = table("audit", &["file"]);
pub(super) static LOGGING: Table = table("logging", &["level", "format"]);
pub(super) static METRICS: Table = table("metrics", &["issuers"]);
pub(super) static LIMITS: Table = table(
    "limits",
    &[
        "maxConnections",
        "connectionsPerAddress",
        "handshakeTimeout",
        "headerTimeout",
        "idleTimeout",
        "writeTimeout",
        "drainTimeout",
        "maxHeaderBytes",
        "maxStreams",
        "reads",
    ],
);
pub(super) static LIMITS_READS: Table = table("limits.reads", &["atOnce", "perSecond"]);

/// All of them.
pub(super) static TABLES: &[&Table] = &[
    &ROOT,
    &ISSUER,
    &SOURCE,
    &API_SERVER,
    &FILES,
    &JWKS,
    &EMBEDDED,
    &CACHE,
    &CACHE_JWKS,
    &CACHE_DISCOVERY,
    &STORE,
    &MEMORY,
    &SQLITE,
    &FILE,
    &KUBERNETES,
    &OBJECT_STORAGE,
    &LISTENER,
    &TLS,
    &SELF_SIGNED,
    &ADMIN,
    &CONTROL,
    &CONTROL_TLS,
    &AUDIT,
    &LOGGING,
    &METRICS,
    &LIMITS,
    &LIMITS_READS,
];

/// What one of several words stands for.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    Err(match nearest(text, known.iter().copied()) {
        Some(word) => format!("`{text}` is unknown; did you mean `{word}`?"),
        None => format!("`{text}` is unknown: {}", choices(&known)),
    })
}

/// The nearest of `known` to what was written: other case or separators, or a slip of the fingers.
pub(super) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| -> String {
        name.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    let written = plain(written);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &plain(name)), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// What to say of a field that `here` does not have.
pub(super) fn unknown_field(written: &str, here: &Table) -> String {
    if let Some(name) = nearest(written, here.fields.iter().copied()) {
        return format!("is no field here; did you mean `{name}`?");
    }
    let elsewhere: Vec<_> = TABLES
        .iter()
        .filter(|table| table.fields.contains(&written))
        .map(|table| match table.path {
            "" => "the top level".to_owned(),
            path => format!("`{path}`"),
        })
        .collect();
    if !elsewhere.is_empty() {
        return format!("is no field here: it belongs to {}", elsewhere.join(" or "));
    }
    match here.fields {
        [] => "is no field here: nothing can be set here".to_owned(),
        fields => format!("is no field here; there are: {}", fields.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_gets_the_nearest_name() {
        for (written, meant) in [
            ("jwks_uri", "jwksUri"),
            ("jwksURI", "jwksUri"),
            ("token-lifetime", "tokenLifetime"),
            ("retenton", "retention"),
            ("source", "sources"),
        ] {
            let told = unknown_field(written, &ISSUER);
            assert!(told.contains(&format!("did you mean `{meant}`")), "{told}");
        }
    }

    #[test]
    fn a_field_at_the_wrong_level_is_told_where_it_belongs() {
        let told = unknown_field("certFile", &LISTENER);
        assert_eq!(
            told,
            "is no field here: it belongs to `listeners[].tls` or `control.tls`"
        );
        let told = unknown_field("stateDir", &ISSUER);
        assert_eq!(told, "is no field here: it belongs to the top level");
    }

    #[test]
    fn a_name_like_no_other_gets_the_whole_list() {
        let told = unknown_field("zzz", &ADMIN);
        assert_eq!(told, "is no field here; there are: address");
    }
}
