//! The few settings that people change per environment: flags and variables, laid over the file.
//!
//! A flag wins over a variable, a variable over the file, the file over the default. Each entry keeps the name
//! it was said by, so that an error names `--listen` or `OIDC_ISSUER_LISTEN` and not a line that nobody wrote.

mod edit;
mod issuer;
mod listening;

use self::edit::{set, set_in, text};
use super::problem::Report;
use super::schema;
use super::tree::{Node, Value};

/// A value, and the flag or variable that said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// `--listen`, `OIDC_ISSUER_LISTEN`.
    pub by: String,
    /// As it was written.
    pub value: String,
}

/// What the command line and the environment say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    /// The issuer URL.
    pub issuer: Option<Said>,
    /// Where its JWKS is.
    pub jwks_uri: Option<Said>,
    /// Key files or globs.
    pub keys: Vec<Said>,
    /// A kubeconfig file.
    pub kubeconfig: Option<Said>,
    /// A context in it.
    pub context: Option<Said>,
    /// Whether the credential plugin that it names may be run.
    pub allow_exec: Option<Said>,
    /// A JWKS: URL or file.
    pub from_jwks: Option<Said>,
    /// The CA of the source.
    pub source_ca: Option<Said>,
    /// Other issuers that the source may name.
    pub source_claims: Vec<Said>,
    /// HTTPS listeners.
    pub listen: Vec<Said>,
    /// Plain HTTP listeners.
    pub listen_http: Vec<Said>,
    /// The certificate of the HTTPS listeners.
    pub tls_cert: Option<Said>,
    /// Its key.
    pub tls_key: Option<Said>,
    /// The admin listener.
    pub admin: Option<Said>,
    /// The state folder.
    pub state_dir: Option<Said>,
    /// What is logged.
    pub log_level: Option<Said>,
    /// How it is logged.
    pub log_format: Option<Said>,
    /// Whether this process runs in a pod: there `--issuer` alone means the API server of the pod.
    pub in_pod: bool,
    /// Whether nothing names an issuer: a signing key of our own, for trying the service.
    pub embedded: bool,
}

/// The prefix of the variables.
pub const PREFIX: &str = "OIDC_ISSUER_";

/// The variables, without the prefix. `CONFIG` names the file.
const VARIABLES: [&str; 18] = [
    "CONFIG",
    "ISSUER",
    "JWKS_URI",
    "KEYS",
    "KUBECONFIG",
    "CONTEXT",
    "ALLOW_EXEC",
    "FROM_JWKS",
    "SOURCE_CA",
    "SOURCE_CLAIMS",
    "LISTEN",
    "LISTEN_HTTP",
    "TLS_CERT",
    "TLS_KEY",
    "ADMIN",
    "STATE_DIR",
    "LOG_LEVEL",
    "LOG_FORMAT",
];

/// What to say of a variable that looks like ours and is none: other case, or a slip of the fingers, also in the prefix.
/// Those that Kubernetes sets in every pod for a Service of the name `oidc-issuer…` are not meant for us.
pub fn unknown_variable(name: &str) -> Option<String> {
    let meant = |meant: &str| format!("the variable {name} means nothing; did you mean {PREFIX}{meant}?");
    let Some(ours) = name.strip_prefix(PREFIX) else {
        return nearly(name).map(meant);
    };
    let of_a_service = ours == "PORT" || ours.contains("PORT_") || ours.contains("SERVICE_");
    if of_a_service || VARIABLES.contains(&ours) {
        return None;
    }
    let nearest = schema::nearest(ours, VARIABLES).map(meant);
    Some(nearest.unwrap_or_else(|| format!("the variable {name} means nothing")))
}

/// The variable that this one is but for two slips in the prefix.
fn nearly(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase().replace('-', "_");
    VARIABLES.into_iter().find(|variable| {
        let prefix = upper.strip_suffix(variable);
        prefix.is_some_and(|prefix| strsim::damerau_levenshtein(prefix, PREFIX) <= 2)
    })
}

/// Who says what nobody said.
const EMBEDDED_DEFAULT: &str = "the embedded default";

impl Overlay {
    /// What the environment says. An empty variable counts as none; lists are separated by commas.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let one = |name: &str| {
            let by = format!("{PREFIX}{name}");
            let value = get(&by).filter(|value| !value.trim().is_empty())?;
            Some(Said { by, value })
        };
        let many = |name: &str| {
            let said = one(name);
            let entries = said.iter().flat_map(|said| {
                said.value.split(',').map(|value| Said {
                    by: said.by.clone(),
                    value: value.trim().to_owned(),
                })
            });
            entries.filter(|entry| !entry.value.is_empty()).collect()
        };
        Self {
            issuer: one("ISSUER"),
            jwks_uri: one("JWKS_URI"),
            keys: many("KEYS"),
            kubeconfig: one("KUBECONFIG"),
            context: one("CONTEXT"),
            allow_exec: one("ALLOW_EXEC"),
            from_jwks: one("FROM_JWKS"),
            source_ca: one("SOURCE_CA"),
            source_claims: many("SOURCE_CLAIMS"),
            listen: many("LISTEN"),
            listen_http: many("LISTEN_HTTP"),
            tls_cert: one("TLS_CERT"),
            tls_key: one("TLS_KEY"),
            admin: one("ADMIN"),
            state_dir: one("STATE_DIR"),
            log_level: one("LOG_LEVEL"),
            log_format: one("LOG_FORMAT"),
            in_pod: get("KUBERNETES_SERVICE_HOST").is_some(),
            embedded: false,
        }
    }

    /// Flags over variables. A flag that names a source replaces the source that variables name.
    #[must_use]
    pub fn over(self, env: Self) -> Self {
        let many = |flags: Vec<Said>, variables: Vec<Said>| if flags.is_empty() { variables } else { flags };
        let source = self.names_source();
        let source_of_env = |said: Option<Said>| said.filter(|_| !source);
        Self {
            issuer: self.issuer.or(env.issuer),
            jwks_uri: self.jwks_uri.or(env.jwks_uri),
            keys: if source { self.keys } else { env.keys },
            kubeconfig: self.kubeconfig.or(source_of_env(env.kubeconfig)),
            context: self.context.or(source_of_env(env.context)),
            allow_exec: self.allow_exec.or(source_of_env(env.allow_exec)),
            from_jwks: self.from_jwks.or(source_of_env(env.from_jwks)),
            source_ca: self.source_ca.or(source_of_env(env.source_ca)),
            source_claims: many(self.source_claims, env.source_claims),
            listen: many(self.listen, env.listen),
            listen_http: many(self.listen_http, env.listen_http),
            tls_cert: self.tls_cert.or(env.tls_cert),
            tls_key: self.tls_key.or(env.tls_key),
            admin: self.admin.or(env.admin),
            state_dir: self.state_dir.or(env.state_dir),
            log_level: self.log_level.or(env.log_level),
            log_format: self.log_format.or(env.log_format),
            in_pod: self.in_pod || env.in_pod,
            embedded: self.embedded || env.embedded,
        }
    }

    /// Whether it names a source.
    pub fn names_source(&self) -> bool {
        !self.keys.is_empty() || self.kubeconfig.is_some() || self.from_jwks.is_some()
    }

    /// Whether it names an issuer or a source: then the embedded key is not meant.
    pub fn names_issuer(&self) -> bool {
        self.issuer.is_some() || self.jwks_uri.is_some() || self.names_source()
    }

    pub(super) fn lay_over(&self, root: &mut Node, report: &Report) {
        let Value::Map(root) = &mut root.value else {
            // Reported when it is read as a mapping.
            return;
        };
        self.lay_listeners(root, report);
        if self.embedded || self.names_issuer() || !self.source_claims.is_empty() || self.source_ca.is_some()
        {
            self.lay_issuer(root, report);
        }
        if let Some(said) = &self.admin {
            set_in(root, "admin", "address", text(said));
        }
        if let Some(said) = &self.state_dir {
            set(root, "stateDir", text(said));
        }
        if let Some(said) = &self.log_level {
            set_in(root, "logging", "level", text(said));
        }
        if let Some(said) = &self.log_format {
            set_in(root, "logging", "format", text(said));
        }
    }
}
