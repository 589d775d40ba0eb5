//! Which way a command takes: the socket, an address with mutual TLS, or straight to the store.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use url::Url;

use super::super::Failure;
use super::super::flags::SettingsArgs;
use super::super::logging::{self, LoggingArgs};
use super::direct::Store;
use crate::client::ApiServerSettings;
use crate::config::Settings;
use crate::control::SOCKET;
use crate::store::{
    Bucket, KubernetesSettings, LocalSettings, ObjectStorageSettings, STORE_URLS, StoreSettings,
};

/// Where the image and the systemd unit keep state.
const USUAL: &str = "/var/lib/oidc-issuer";

/// What `--store` without a value means.
const CONFIGURED: &str = "configured";

#[expect(clippy::doc_markdown, reason = "help is plain text")]
#[derive(Debug, Args)]
pub(super) struct WayArgs {
    /// The state folder of the service
    /// [default: $STATE_DIRECTORY, $XDG_STATE_HOME/oidc-issuer or ~/.local/state/oidc-issuer, else /var/lib/oidc-issuer]
    /// [env: OIDC_ISSUER_STATE_DIR]
    #[arg(long, value_name = "DIR", help_heading = "Where")]
    state_dir: Option<String>,

    /// The configuration of the service, for its state folder, its store and its audit file [env: OIDC_ISSUER_CONFIG]
    #[arg(long, value_name = "FILE", help_heading = "Where")]
    config: Option<PathBuf>,

    /// The control listener of the service, where it has one: https://HOST:PORT
    #[arg(
        long,
        value_name = "URL",
        help_heading = "Where",
        requires_all = ["ca_file", "cert_file", "key_file"],
        conflicts_with_all = ["state_dir", "config", "store"]
    )]
    control: Option<String>,

    /// The CA that must have signed its certificate, PEM
    #[arg(long, value_name = "FILE", help_heading = "Where", requires = "control")]
    ca_file: Option<PathBuf>,

    /// Your certificate, PEM
    #[arg(long, value_name = "FILE", help_heading = "Where", requires = "control")]
    cert_file: Option<PathBuf>,

    /// The key of your certificate, PEM
    #[arg(long, value_name = "FILE", help_heading = "Where", requires = "control")]
    key_file: Option<PathBuf>,

    // Help that is made: the choices are written once.
    #[arg(
        long,
        help = format!("Straight to the store, for when no service runs. Without a URL the configured one; {STORE_URLS}"),
        value_name = "URL",
        help_heading = "Where",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = CONFIGURED
    )]
    store: Option<String>,
}

/// Lets the URL of a store stand beside `--store` too. Only `=` would say that the next word belongs to it, which may as
/// well be the kid.
pub(in crate::cli) fn with_store(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for arg in args {
        let is_url = arg.to_str().is_some_and(|text| {
            text.contains("://") || text.starts_with("sqlite:/") || text.starts_with("file:/")
        });
        match joined.last_mut() {
            Some(last) if is_url && *last == "--store" => {
                last.push("=");
                last.push(arg);
            }
            _ => joined.push(arg),
        }
    }
    joined
}

/// The way.
#[derive(Debug)]
pub(super) enum Way {
    /// The socket of the running service.
    Socket(PathBuf),
    /// Its control listener.
    Address(Address),
    /// No service.
    Store(Box<Store>),
}

/// A control listener, and who we are.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) ca: PathBuf,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl WayArgs {
    pub(super) fn way(self, logging: &LoggingArgs) -> Result<Way, Failure> {
        let usage = |message: String| Failure::usage(anyhow!(message));
        if let (Some(url), Some(ca), Some(cert), Some(key)) =
            (&self.control, self.ca_file, self.cert_file, self.key_file)
        {
            let (host, port) = parse(url).map_err(usage)?;
            return Ok(Way::Address(Address {
                host,
                port,
                ca,
                cert,
                key,
            }));
        }
        let asked = SettingsArgs::for_state(self.config, self.state_dir).asked(logging.clone());
        let Some(store) = &self.store else {
            let (folder, is_said) = asked.state_dir()?;
            let socket = folder.join(SOCKET);
            let usual = PathBuf::from(USUAL).join(SOCKET);
            // One that this user may not see is there as likely as not.
            let is_there = |socket: &Path| socket.try_exists().unwrap_or(true);
            let elsewhere = !is_said && !is_there(&socket) && is_there(&usual);
            return Ok(Way::Socket(if elsewhere { usual } else { socket }));
        };
        let mut settings = asked.load()?;
        // What is written down is shown.
        logging::start(&crate::config::Logging {
            level: logging.wanted()?.level.unwrap_or_else(|| "warn".to_owned()),
            format: crate::config::LogFormat::Human,
        });
        if store != CONFIGURED {
            settings.store = named(store, &settings).map_err(usage)?;
        }
        Ok(Way::Store(Box::new(Store {
            // Nothing names issuers: whatever is in the store.
            is_configured: !asked.is_embedded_default(),
            settings,
        })))
    }
}

fn parse(url: &str) -> Result<(String, u16), String> {
    let wrong = || format!("--control: `{url}` is no control listener: write https://HOST:PORT");
    let parsed = Url::parse(url).map_err(|_| wrong())?;
    let is_plain = parsed.scheme() == "https"
        && parsed.path() == "/"
        && parsed.query().is_none()
        && parsed.fragment().is_none()
        && parsed.username().is_empty();
    match (parsed.host_str(), parsed.port_or_known_default()) {
        (Some(host), Some(port)) if is_plain => Ok((host.trim_matches(['[', ']']).to_owned(), port)),
        _ => Err(wrong()),
    }
}

/// A store by its URL.
fn named(url: &str, settings: &Settings) -> Result<StoreSettings, String> {
    let local = crate::config::local_store(&settings.state_dir);
    let path = |kind: &str| {
        let path = url.strip_prefix(kind)?;
        Some(PathBuf::from(path.strip_prefix("//").unwrap_or(path)))
    };
    if let Some(file) = path("sqlite:") {
        if !file.is_absolute() {
            return Err(format!(
                "--store: `{url}` names no file: write sqlite:/FOLDER/FILE"
            ));
        }
        let local = LocalSettings {
            file,
            folders: Vec::new(),
        };
        return Ok(StoreSettings::Sqlite { local });
    }
    if let Some(folder) = path("file:") {
        if !folder.is_absolute() {
            return Err(format!("--store: `{url}` names no folder: write file:/FOLDER"));
        }
        return Ok(StoreSettings::Folder { folder });
    }
    if let Some(namespace) = url.strip_prefix("kubernetes://") {
        if !crate::store::is_label(namespace, 63) {
            return Err(format!(
                "--store: `{url}` names no namespace: write kubernetes://NAMESPACE"
            ));
        }
        return Ok(StoreSettings::Kubernetes {
            shared: KubernetesSettings {
                access: ApiServerSettings {
                    kubeconfig: kubeconfig()?,
                    ..ApiServerSettings::default()
                },
                namespace: Some(namespace.to_owned()),
                name_prefix: "oidc-issuer".to_owned(),
            },
            local,
        });
    }
    if !Bucket::is_named_by(url) {
        return Err(format!("--store: `{url}` names no store: write {STORE_URLS}"));
    }
    let bucket = Bucket::parse(url).map_err(|message| format!("--store: {message}"))?;
    Ok(StoreSettings::ObjectStorage {
        shared: ObjectStorageSettings {
            bucket,
            endpoint: None,
            region: None,
            account: None,
            ca_file: None,
            credentials_file: None,
        },
        local,
    })
}

/// That of the user; none in a pod.
fn kubeconfig() -> Result<Option<PathBuf>, String> {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Ok(None);
    }
    if let Some(named) = std::env::var_os("KUBECONFIG").filter(|file| !file.is_empty()) {
        return Ok(Some(PathBuf::from(named)));
    }
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    match home {
        Some(file) if file.try_exists().unwrap_or(true) => Ok(Some(file)),
        _ => Err("--store: there is no ~/.kube/config: name a kubeconfig with KUBECONFIG; or, with --store alone, the \
                  configuration of the service with --config"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_store_may_stand_beside_it_and_a_kid_stays_a_kid() {
        let joined = |line: &str| {
            let words = with_store(line.split(' ').map(OsString::from));
            words.join(std::ffi::OsStr::new(" "))
        };
        for (written, meant) in [
            ("keys list --store s3://b/p", "keys list --store=s3://b/p"),
            ("keys list --store=s3://b/p", "keys list --store=s3://b/p"),
            (
                "keys revoke --store KID --issuer https://a",
                "keys revoke --store KID --issuer https://a",
            ),
        ] {
            assert_eq!(joined(written), meant);
        }
    }

    #[test]
    fn a_control_listener_is_a_host_and_a_port_over_https() {
        assert_eq!(
            parse("https://[::1]:9443"),
            Ok(("::1".to_owned(), 9443)),
            "as a TLS name"
        );
        assert_eq!(
            parse("https://control.example"),
            Ok(("control.example".to_owned(), 443))
        );
        for wrong in ["http://a:1", "a:1", "https://a/b", "https://u@a", "https://a?b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
