//! How an API server is reached: from the settings, the pod we run in, or a kubeconfig. Read anew for every read, since
//! the kubelet replaces the token hourly, and a CA or a kubeconfig may be replaced at any time.

use std::fmt;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use kube::config::ExecConfig;
use url::Url;

use super::fetch::{Identity, Proxy, Roots, bearer};
use super::{ApiServerSettings, Cause, kubeconfig, local};

/// Where a pod finds the credentials of its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Upper bound of a file with CAs.
const MAX_CA: usize = 4 << 20;

/// All that is needed for a request, but for what a credential plugin adds.
pub(super) struct Access {
    pub(super) server: Url,
    /// `None`: the CAs of the operating system.
    pub(super) roots: Option<Roots>,
    pub(super) server_name: Option<String>,
    pub(super) identity: Option<Identity>,
    pub(super) headers: HeaderMap,
    pub(super) proxy: Proxy,
    pub(super) exec: Option<ExecConfig>,
}

impl Access {
    /// Reads what the settings name.
    pub(super) fn read(settings: &ApiServerSettings) -> Result<Self, Cause> {
        let mut access = if let Some(path) = &settings.kubeconfig {
            kubeconfig::read(path, settings)?
        } else if let Some(server) = &settings.server {
            Self::to(parse_server(server, "server")?)
        } else {
            let mut access = Self::to(in_cluster()?);
            // A pod's proxy is for what is outside of its cluster.
            access.proxy = Proxy::None;
            if settings.token_file.is_none() {
                access.bear(&pod_token()?)?;
            }
            if settings.ca_file.is_none() {
                access.roots = Some(roots("caFile", &Path::new(SERVICE_ACCOUNT).join("ca.crt"))?);
            }
            access
        };
        if let Some(path) = &settings.ca_file {
            access.roots = Some(roots("caFile", path)?);
        }
        if let Some(path) = &settings.token_file {
            access.bear(&local::read_token(path)?)?;
        }
        if let Some(name) = &settings.tls_server_name {
            access.server_name = Some(name.clone());
        }
        Ok(access)
    }

    pub(super) fn to(server: Url) -> Self {
        Self {
            server,
            roots: None,
            server_name: None,
            identity: None,
            headers: HeaderMap::new(),
            proxy: Proxy::Environment,
            exec: None,
        }
    }

    /// Sends a bearer token from now on.
    pub(super) fn bear(&mut self, token: &str) -> Result<(), Cause> {
        let (name, value) = bearer(token).ok_or_else(|| Cause::Settings {
            reason: "the bearer token holds characters that no token has".into(),
            remedy: "Get a new token.".into(),
        })?;
        self.headers.insert(name, value);
        Ok(())
    }

    /// Sends a header from now on; its value is taken for a secret.
    pub(super) fn header(&mut self, name: HeaderName, value: &str) -> Result<(), Cause> {
        let mut value = HeaderValue::from_str(value).map_err(|_| Cause::Settings {
            reason: format!("the kubeconfig's value for the header {name} cannot be in a header"),
            remedy: "Correct the user's entry in the kubeconfig.".into(),
        })?;
        value.set_sensitive(true);
        self.headers.append(name, value);
        Ok(())
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({})", self.server)
    }
}

/// CAs in a PEM file.
pub(super) fn roots(what: &'static str, path: &Path) -> Result<Roots, Cause> {
    let pem = local::read_setting(what, path, MAX_CA)?;
    Roots::pinned(&pem).map_err(|reason| local::unusable(what, path, reason))
}

pub(super) fn parse_server(server: &str, what: &str) -> Result<Url, Cause> {
    Url::parse(server)
        .ok()
        .filter(Url::has_host)
        .ok_or_else(|| Cause::Settings {
            reason: format!("{what} is not the URL of an API server"),
            remedy: "Give it as https://HOST:PORT.".into(),
        })
}

/// The API server of the cluster that this pod runs in, as every Kubernetes client finds it.
fn in_cluster() -> Result<Url, Cause> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(host), Some(port)) = (
        variable("KUBERNETES_SERVICE_HOST"),
        variable("KUBERNETES_SERVICE_PORT"),
    ) else {
        return Err(Cause::Settings {
            reason: "this is not a pod of a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set"
                .into(),
            remedy: "Run it in a pod, or name a kubeconfig, or server with caFile and tokenFile.".into(),
        });
    };
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host
    };
    parse_server(
        &format!("https://{host}:{port}"),
        "KUBERNETES_SERVICE_HOST with KUBERNETES_SERVICE_PORT",
    )
}

/// The token of the pod's service account.
fn pod_token() -> Result<String, Cause> {
    let path = Path::new(SERVICE_ACCOUNT).join("token");
    if !path.exists() {
        return Err(Cause::Settings {
            reason: format!("the pod has no service account token ({})", path.display()),
            remedy:
                "Set automountServiceAccountToken: true, or mount a projected token and name it as tokenFile."
                    .into(),
        });
    }
    local::read_token(&path)
}

/// What the settings name, for a person, where no address is known yet.
pub(super) fn described(settings: &ApiServerSettings) -> String {
    let ApiServerSettings {
        kubeconfig,
        context,
        server,
        ..
    } = settings;
    let path = kubeconfig.as_deref().map(Path::display);
    match (path, context, server) {
        (Some(path), Some(context), _) => format!("kubeconfig {path}, context {context}"),
        (Some(path), None, _) => format!("kubeconfig {path}"),
        (None, _, Some(server)) => {
            format!("API server {}", super::shown(server))
        }
        (None, _, None) => "API server of this cluster".to_owned(),
    }
}

/// A path in a kubeconfig is relative to its folder.
pub(super) fn relative_to(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}
