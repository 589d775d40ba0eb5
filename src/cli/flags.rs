//! The flags that `serve`, `token` and `config check` have in common: which configuration is meant.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::logging::LoggingArgs;
use super::state;
use crate::config::{self, Overlay, Problem, Problems, Said, Settings};

use crate::display;
/// Which configuration is meant. Each flag has a variable, named in brackets; the flag wins over the variable,
/// the variable over the file.
#[expect(clippy::doc_markdown, reason = "help is plain text")]
#[derive(Debug, Default, Args)]
pub(super) struct SettingsArgs {
    /// The configuration file [env: OIDC_ISSUER_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The issuer URL, exactly as in the `iss` of the cluster's tokens [env: OIDC_ISSUER_ISSUER]
    #[arg(long, value_name = "URL", help_heading = "Issuer")]
    issuer: Option<String>,

    /// Where its JWKS is, if not at {issuer}/jwks [env: OIDC_ISSUER_JWKS_URI]
    #[arg(long, value_name = "URL", help_heading = "Issuer")]
    jwks_uri: Option<String>,

    /// Source: key files or globs, PEM or JWKS [env: OIDC_ISSUER_KEYS, separated by commas]
    #[arg(long, value_name = "GLOB", num_args = 1.., help_heading = "Issuer", conflicts_with_all = ["kubeconfig", "from_jwks"])]
    keys: Vec<String>,

    /// Source: the API server that a kubeconfig names [env: OIDC_ISSUER_KUBECONFIG]
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Issuer",
        conflicts_with = "from_jwks"
    )]
    kubeconfig: Option<String>,

    /// The context in it, if not its current one [env: OIDC_ISSUER_CONTEXT]
    #[arg(long, value_name = "NAME", help_heading = "Issuer")]
    context: Option<String>,

    /// Run the credential plugin that the kubeconfig names (`exec`), with all rights of this process
    /// [env: OIDC_ISSUER_ALLOW_EXEC, true or false]
    #[arg(long, help_heading = "Issuer")]
    allow_exec: bool,

    /// Source: a JWKS at an https URL, or in a file [env: OIDC_ISSUER_FROM_JWKS]
    #[arg(long, value_name = "URL|FILE", help_heading = "Issuer")]
    from_jwks: Option<String>,

    /// The CA that must have signed the source's certificate, PEM [env: OIDC_ISSUER_SOURCE_CA]
    #[arg(long, value_name = "FILE", help_heading = "Issuer")]
    source_ca: Option<String>,

    /// Another issuer that the source may name while the cluster is not switched yet
    /// [env: OIDC_ISSUER_SOURCE_CLAIMS, separated by commas]
    #[arg(long, value_name = "ISSUER", help_heading = "Issuer")]
    source_claims: Vec<String>,

    /// Listen for HTTPS; if any listener is named, only those named are opened
    /// [default: [::]:8443] [env: OIDC_ISSUER_LISTEN, separated by commas]
    #[arg(long, value_name = "ADDR", help_heading = "Listeners")]
    listen: Vec<String>,

    /// Listen for plain HTTP, where a load balancer ends TLS
    /// [env: OIDC_ISSUER_LISTEN_HTTP, separated by commas]
    #[arg(long, value_name = "ADDR", help_heading = "Listeners")]
    listen_http: Vec<String>,

    /// The certificate, PEM, its own first; without one a self-signed is made [env: OIDC_ISSUER_TLS_CERT]
    #[arg(long, value_name = "FILE", help_heading = "Listeners")]
    tls_cert: Option<String>,

    /// The private key of the certificate, PEM [env: OIDC_ISSUER_TLS_KEY]
    #[arg(long, value_name = "FILE", help_heading = "Listeners")]
    tls_key: Option<String>,

    /// Where metrics and health are served [default: 127.0.0.1:9180] [env: OIDC_ISSUER_ADMIN]
    #[arg(long, value_name = "ADDR", help_heading = "Listeners")]
    admin: Option<String>,

    /// Where state is kept: the embedded key, a self-signed certificate
    /// [default: $STATE_DIRECTORY, $XDG_STATE_HOME/oidc-issuer or ~/.local/state/oidc-issuer]
    /// [env: OIDC_ISSUER_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
}

/// What was asked for: read once at the start, and once more at every reload.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The configuration file.
    pub(super) file: Option<PathBuf>,
    overlay: Overlay,
    state_dir: PathBuf,
}

impl SettingsArgs {
    /// What `health` needs to know.
    pub(super) fn for_admin(config: Option<PathBuf>, admin: Option<String>) -> Self {
        Self {
            config,
            admin,
            ..Self::default()
        }
    }

    /// What `keys` needs to know.
    pub(super) fn for_state(config: Option<PathBuf>, state_dir: Option<String>) -> Self {
        Self {
            config,
            state_dir,
            ..Self::default()
        }
    }

    /// The file given as an argument instead of by `--config`.
    pub(super) fn default_config(&mut self, file: Option<PathBuf>) {
        self.config = file.or(self.config.take());
    }

    /// Joins the flags with the environment.
    pub(super) fn asked(self, logging: LoggingArgs) -> Asked {
        let environment = |name: &str| std::env::var_os(name);
        self.asked_in(logging, &environment)
    }

    fn asked_in(self, logging: LoggingArgs, environment: &dyn Fn(&str) -> Option<OsString>) -> Asked {
        // One of ours that is not UTF-8 was refused before.
        let text = |name: &str| environment(name).and_then(|value| value.into_string().ok());
        let by_env = text(&format!("{}CONFIG", config::PREFIX)).filter(|file| !file.is_empty());
        let file = self.config.clone().or(by_env.map(PathBuf::from));
        let mut overlay = self.overlay(logging).over(Overlay::from_env(text));
        overlay.embedded = file.is_none() && !overlay.names_issuer();
        Asked {
            file,
            overlay,
            state_dir: state::folder(environment),
        }
    }

    fn overlay(self, logging: LoggingArgs) -> Overlay {
        Overlay {
            issuer: said("--issuer", self.issuer),
            jwks_uri: said("--jwks-uri", self.jwks_uri),
            keys: all_said("--keys", self.keys),
            kubeconfig: said("--kubeconfig", self.kubeconfig),
            context: said("--context", self.context),
            allow_exec: self.allow_exec.then(|| Said {
                by: "--allow-exec".to_owned(),
                value: "true".to_owned(),
            }),
            from_jwks: said("--from-jwks", self.from_jwks),
            source_ca: said("--source-ca", self.source_ca),
            source_claims: all_said("--source-claims", self.source_claims),
            listen: all_said("--listen", self.listen),
            listen_http: all_said("--listen-http", self.listen_http),
            tls_cert: said("--tls-cert", self.tls_cert),
            tls_key: said("--tls-key", self.tls_key),
            admin: said("--admin", self.admin),
            state_dir: said("--state-dir", self.state_dir),
            log_level: said("--log-level", logging.log_level),
            log_format: said("--log-format", logging.log_format),
            in_pod: false,
            embedded: false,
        }
    }
}

impl Asked {
    /// Reads and validates.
    pub(super) fn load(&self) -> Result<Settings, Problems> {
        config::load(self.file.as_deref(), &self.overlay, &self.state_dir)
    }

    /// The admin address; the rest of the configuration is read only where nothing else says it.
    pub(super) fn admin(&self) -> Result<SocketAddr, Problems> {
        match &self.overlay.admin {
            Some(said) => config::parse_address(said),
            None if self.file.is_some() => Ok(self.load()?.admin),
            None => Ok(config::DEFAULT_ADMIN),
        }
    }

    /// The state folder, likewise; and whether anything says which it is.
    pub(super) fn state_dir(&self) -> Result<(PathBuf, bool), Problems> {
        match &self.overlay.state_dir {
            Some(said) => Ok((PathBuf::from(&said.value), true)),
            None if self.file.is_some() => Ok((self.load()?.state_dir, true)),
            None => Ok((self.state_dir.clone(), false)),
        }
    }

    /// What an error names: the flag or variable that said the field at this place, or else the place itself.
    pub(super) fn place(&self, place: String) -> String {
        let ends = |said: Option<&Said>, list: &str, field: &str| {
            let is_it = place.starts_with(list) && place.ends_with(field);
            said.filter(|_| is_it).map(|said| said.by.clone())
        };
        let Overlay {
            tls_cert,
            tls_key,
            kubeconfig,
            source_ca,
            keys,
            ..
        } = &self.overlay;
        ends(tls_cert.as_ref(), "listeners[", ".tls.certFile")
            .or_else(|| ends(tls_key.as_ref(), "listeners[", ".tls.keyFile"))
            .or_else(|| ends(kubeconfig.as_ref(), "issuers[", ".kubeconfig"))
            .or_else(|| ends(source_ca.as_ref(), "issuers[", ".caFile"))
            .or_else(|| ends(keys.first(), "issuers[", ".paths"))
            .unwrap_or(place)
    }

    /// Whether nothing names an issuer: the embedded default.
    pub(super) fn is_embedded_default(&self) -> bool {
        self.overlay.embedded
    }

    /// The flags as they would have to be written again for another command to mean the same service.
    pub(super) fn flags_again(&self) -> String {
        let said = self.overlay.listen.iter().chain(&self.overlay.state_dir);
        let flags: Vec<_> = said
            .filter(|said| said.by.starts_with("--"))
            .map(|said| format!(" {} {}", said.by, display::shell_word(&said.value)))
            .collect();
        flags.concat()
    }
}

/// Variables of the environment that seem to be meant for this program, and mean nothing to it.
pub(super) fn odd_variables() -> Vec<String> {
    let names = std::env::vars_os().map(|(name, _)| display::path(name));
    let mut odd: Vec<_> = names.filter_map(|name| config::unknown_variable(&name)).collect();
    odd.sort();
    odd
}

/// Refuses variables of ours whose value is not UTF-8: they would count as not set.
pub(super) fn refuse_unreadable_variables() -> Result<(), Problems> {
    let unreadable = std::env::vars_os().filter(|(_, value)| value.to_str().is_none());
    let mut list: Vec<_> = unreadable
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with(config::PREFIX) && config::unknown_variable(name).is_none())
        .map(|place| Problem {
            place,
            line: None,
            message: "its value is not UTF-8: write it in UTF-8".to_owned(),
        })
        .collect();
    if list.is_empty() {
        return Ok(());
    }
    list.sort_by(|a, b| a.place.cmp(&b.place));
    Err(Problems { file: None, list })
}

fn said(by: &str, value: Option<String>) -> Option<Said> {
    value.map(|value| Said {
        by: by.to_owned(),
        value,
    })
}

fn all_said(by: &str, values: Vec<String>) -> Vec<Said> {
    values
        .into_iter()
        .filter_map(|value| said(by, Some(value)))
        .collect()
}
