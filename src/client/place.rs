//! Where an API server is, as the settings say: in the cluster of the pod we run in, at a URL, or where a kubeconfig names
//! it. Read anew for every read, since the kubelet replaces the token hourly, and a CA or a kubeconfig may be replaced at
//! any time.

use std::path::Path;

use url::Url;
use zeroize::Zeroizing;

use super::access::{Access, parse_server, roots};
use super::fetch::{Proxy, Roots};
use super::{ApiServerSettings, Cause, kubeconfig, local};
use crate::display;

/// Where a pod finds the credentials of its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Reads what the settings name.
pub(super) fn read(settings: &ApiServerSettings) -> Result<Access, Cause> {
    let mut access = server(settings)?;
    if let Some(roots) = ca(settings)? {
        access.roots = Some(roots);
    }
    if let Some(token) = token(settings)? {
        access.bear(&token)?;
    }
    if let Some(name) = &settings.tls_server_name {
        access.server_name = Some(name.clone());
    }
    Ok(access)
}

/// All that keeps [`read`] from succeeding, each with the field that it is about (empty: the settings as a whole). It
/// reads by the same functions, but does not end at the first fault.
pub(crate) fn faults(settings: &ApiServerSettings) -> Vec<(&'static str, Cause)> {
    let place: Vec<_> = match &settings.kubeconfig {
        Some(path) => {
            let faults = kubeconfig::faults(path, settings).into_iter();
            faults.map(|cause| ("kubeconfig", cause)).collect()
        }
        None => server(settings)
            .err()
            .map(|cause| ("", cause))
            .into_iter()
            .collect(),
    };
    let ca = ca(settings).err().map(|cause| ("caFile", cause));
    let token = token(settings).err().map(|cause| ("tokenFile", cause));
    place.into_iter().chain(ca).chain(token).collect()
}

/// Where it is, with what a kubeconfig or the pod says of it.
fn server(settings: &ApiServerSettings) -> Result<Access, Cause> {
    if let Some(path) = &settings.kubeconfig {
        return kubeconfig::read(path, settings);
    }
    if let Some(server) = &settings.server {
        return Ok(Access::to(parse_server(server, "server")?));
    }
    let mut access = Access::to(in_cluster()?);
    // A pod's proxy is for what is outside of its cluster.
    access.proxy = Proxy::None;
    if settings.token_file.is_none() {
        access.bear(&pod_token()?)?;
    }
    if settings.ca_file.is_none() {
        access.roots = Some(roots("caFile", &Path::new(SERVICE_ACCOUNT).join("ca.crt"))?);
    }
    Ok(access)
}

fn ca(settings: &ApiServerSettings) -> Result<Option<Roots>, Cause> {
    let path = settings.ca_file.as_deref();
    path.map(|path| roots("caFile", path)).transpose()
}

fn token(settings: &ApiServerSettings) -> Result<Option<Zeroizing<String>>, Cause> {
    settings.token_file.as_deref().map(local::read_token).transpose()
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
fn pod_token() -> Result<Zeroizing<String>, Cause> {
    let path = Path::new(SERVICE_ACCOUNT).join("token");
    if !path.exists() {
        return Err(Cause::Settings {
            reason: format!("the pod has no service account token ({})", display::path(path)),
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
    let path = kubeconfig.as_deref().map(display::path);
    match (path, context, server) {
        (Some(path), Some(context), _) => format!("kubeconfig {path}, context {context}"),
        (Some(path), None, _) => format!("kubeconfig {path}"),
        (None, _, Some(server)) => {
            format!("API server {}", super::shown(server))
        }
        (None, _, None) => "API server of this cluster".to_owned(),
    }
}
