//! From a kubeconfig to what a request needs. kube parses the file; the files it names are read here, bounded.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::header::AUTHORIZATION;
use kube::config::{AuthInfo, Cluster, ExecConfig, Kubeconfig, KubeconfigError};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::access::{Access, parse_server, relative_to, roots};
use super::fetch::{Identity, IdentityFault, Proxy, Roots};
use super::{ApiServerSettings, Cause, exec, local};
use crate::display;

const WHAT: &str = "kubeconfig";

/// Upper bound in bytes: far more than the kubeconfig of a person with a hundred clusters.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// Reads the context that the settings choose.
pub(super) fn read(path: &Path, settings: &ApiServerSettings) -> Result<Access, Cause> {
    let config = parsed(path)?;
    let (cluster, user) = chosen(path, &config, settings)?;
    let mut access = cluster_of(path, cluster, settings)?;
    if let Some(user) = user {
        user_of(&mut access, path, cluster, user, settings)?;
    }
    Ok(access)
}

/// All that keeps [`read`] from succeeding: it ends at the first fault.
pub(super) fn faults(path: &Path, settings: &ApiServerSettings) -> Vec<Cause> {
    let config = match parsed(path) {
        Ok(config) => config,
        Err(cause) => return vec![cause],
    };
    let (cluster, user) = match chosen(path, &config, settings) {
        Ok(chosen) => chosen,
        Err(cause) => return vec![cause],
    };
    let mut faults = Vec::new();
    let mut access = match cluster_of(path, cluster, settings) {
        Ok(access) => access,
        Err(cause) => {
            faults.push(cause);
            // The user is judged all the same, whatever the server is.
            let Ok(nowhere) = parse_server("https://localhost", "server") else {
                return faults;
            };
            Access::to(nowhere)
        }
    };
    if let Some(user) = user {
        let of_user = [
            client_certificate(path, user).err(),
            client_key(path, user).err(),
            identity(path, user).err(),
            bearer(&mut access, path, user, settings).err(),
            impersonate(&mut access, user).err(),
        ];
        for cause in of_user.into_iter().flatten() {
            // The identity needs both of the two before it.
            if !faults.contains(&cause) {
                faults.push(cause);
            }
        }
    }
    faults
}

fn parsed(path: &Path) -> Result<Kubeconfig, Cause> {
    let bytes = local::read_setting(WHAT, path, MAX_BYTES)?;
    let unusable = |reason: String| local::unusable(WHAT, path, reason);
    let text = std::str::from_utf8(&bytes).map_err(|_| unusable("it is not UTF-8 text".into()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Kubeconfig::from_yaml(text).map_err(|error| unusable(told(&error)))
}

fn chosen<'a>(
    path: &Path,
    config: &'a Kubeconfig,
    settings: &ApiServerSettings,
) -> Result<(&'a Cluster, Option<&'a AuthInfo>), Cause> {
    selected(config, settings.context.as_deref()).map_err(|reason| local::unusable(WHAT, path, reason))
}

/// kube's own message shows the lines around an error, and with them secrets.
fn told(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!(
                "it is not a kubeconfig (line {}, column {})",
                at.line(),
                at.column()
            ),
            None => "it is not a kubeconfig".into(),
        },
        KubeconfigError::KindMismatch | KubeconfigError::ApiVersionMismatch => error.to_string(),
        _ => "it is not a kubeconfig".into(),
    }
}

/// The cluster and the user of a context (client-go `clientcmd` is as strict).
fn selected<'a>(
    config: &'a Kubeconfig,
    context: Option<&str>,
) -> Result<(&'a Cluster, Option<&'a AuthInfo>), String> {
    let chosen = context
        .or(config.current_context.as_deref())
        .filter(|name| !name.is_empty());
    let Some(name) = chosen else {
        return Err("it names no current-context: name the context".into());
    };
    let context = config
        .contexts
        .iter()
        .find(|named| named.name == name)
        .and_then(|named| named.context.as_ref())
        .ok_or_else(|| {
            let names: Vec<_> = config.contexts.iter().map(|named| named.name.as_str()).collect();
            format!("it has no context {name:?} (it has: {})", names.join(", "))
        })?;
    let cluster = config
        .clusters
        .iter()
        .find(|named| named.name == context.cluster)
        .and_then(|named| named.cluster.as_ref())
        .ok_or_else(|| {
            format!(
                "it has no cluster {:?}, which context {name:?} names",
                context.cluster
            )
        })?;
    let user = match context.user.as_deref().filter(|user| !user.is_empty()) {
        None => None,
        Some(user) => Some(
            config
                .auth_infos
                .iter()
                .find(|named| named.name == user)
                .and_then(|named| named.auth_info.as_ref())
                .ok_or_else(|| format!("it has no user {user:?}, which context {name:?} names"))?,
        ),
    };
    Ok((cluster, user))
}

/// What the cluster's entry says.
fn cluster_of(path: &Path, cluster: &Cluster, settings: &ApiServerSettings) -> Result<Access, Cause> {
    let server = cluster.server.as_deref().unwrap_or_default();
    let mut access = Access::to(parse_server(server, "the kubeconfig's server")?);
    if cluster.insecure_skip_tls_verify == Some(true) && settings.ca_file.is_none() {
        return Err(Cause::Settings {
            reason:
                "insecure-skip-tls-verify is refused: whoever is on the way could put in keys of their own"
                    .into(),
            remedy: "Give the kubeconfig the cluster's certificate-authority, or name it as caFile.".into(),
        });
    }
    if settings.ca_file.is_none() {
        access.roots = certificate_authority(path, cluster)?;
    }
    access.server_name = cluster.tls_server_name.clone().filter(|name| !name.is_empty());
    if let Some(proxy) = cluster.proxy_url.clone().filter(|proxy| !proxy.is_empty()) {
        access.proxy = Proxy::Url(proxy);
    }
    Ok(access)
}

/// What the user's entry says.
fn user_of(
    access: &mut Access,
    path: &Path,
    cluster: &Cluster,
    user: &AuthInfo,
    settings: &ApiServerSettings,
) -> Result<(), Cause> {
    access.identity = identity(path, user)?;
    bearer(access, path, user, settings)?;
    access.exec = access
        .exec
        .take()
        .map(|exec| Ok(exec::with_cluster(exec, &absolute(path, cluster)?)))
        .transpose()?;
    impersonate(access, user)
}

fn certificate_authority(path: &Path, cluster: &Cluster) -> Result<Option<Roots>, Cause> {
    if let Some(data) = filled(cluster.certificate_authority_data.as_deref()) {
        let pem = decoded(path, "certificate-authority-data", data)?;
        let roots = Roots::pinned(&pem)
            .map_err(|reason| local::unusable(WHAT, path, format!("certificate-authority-data: {reason}")))?;
        return Ok(Some(roots));
    }
    filled(cluster.certificate_authority.as_deref())
        .map(|file| roots("certificate-authority", &relative_to(path, file)))
        .transpose()
}

fn absolute(path: &Path, cluster: &Cluster) -> Result<Cluster, Cause> {
    let file = cluster.certificate_authority.as_deref();
    Ok(Cluster {
        certificate_authority: file.map(|file| text_relative_to(path, file)).transpose()?,
        ..cluster.clone()
    })
}

/// A path that a plugin is told, or that is run as one: these are texts.
fn text_relative_to(path: &Path, file: &str) -> Result<String, Cause> {
    let joined = relative_to(path, file).into_os_string();
    joined.into_string().map_err(|joined| Cause::Settings {
        reason: format!(
            "the path {} is not UTF-8, and is needed for a plugin",
            display::path(joined)
        ),
        remedy: "Move the kubeconfig to a folder whose name is UTF-8.".into(),
    })
}

/// What is sent in headers, or who gives it.
fn bearer(
    access: &mut Access,
    path: &Path,
    user: &AuthInfo,
    settings: &ApiServerSettings,
) -> Result<(), Cause> {
    if settings.token_file.is_some() {
        return Ok(());
    }
    if let Some(provider) = &user.auth_provider {
        return Err(Cause::Settings {
            reason: format!(
                "the kubeconfig's user has the auth-provider {:?}, which Kubernetes removed in 1.26",
                provider.name
            ),
            remedy: "Use a kubeconfig with a token or a client certificate, or name a tokenFile.".into(),
        });
    }
    let token = user
        .token
        .as_ref()
        .map(ExposeSecret::expose_secret)
        .filter(|token| !token.is_empty());
    if let Some(file) = filled(user.token_file.as_deref()) {
        match (local::read_token(&relative_to(path, file)), token) {
            (Ok(token), _) => access.bear(&token)?,
            // As client-go does: the token beside it stands in until the file can be read.
            (Err(_), Some(token)) => access.bear(token)?,
            (Err(cause), None) => return Err(cause),
        }
    } else if let Some(token) = token {
        access.bear(token.trim())?;
    } else if let Some(name) = filled(user.username.as_deref()) {
        let password = user
            .password
            .as_ref()
            .map(ExposeSecret::expose_secret)
            .unwrap_or_default();
        access.header(
            AUTHORIZATION,
            &format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))),
        )?;
    } else if let Some(exec) = &user.exec {
        if !settings.allow_exec {
            return Err(refused(exec));
        }
        access.exec = Some(resolved(path, exec)?);
    }
    Ok(())
}

fn refused(exec: &ExecConfig) -> Cause {
    let command = exec.command.as_deref().unwrap_or_default();
    Cause::Settings {
        reason: format!(
            "the kubeconfig's user gets its credentials from a program (exec: {command:?}), which would run with the \
             rights of this service"
        ),
        remedy: "Set allowExec: true if you trust that kubeconfig, or use one with a token or a client certificate."
            .into(),
    }
}

/// Only a command with a slash in it is a path; others are looked up in `PATH` (client-go
/// `GetAuthInfoFileReferences`).
fn resolved(path: &Path, exec: &ExecConfig) -> Result<ExecConfig, Cause> {
    let mut exec = exec.clone();
    if let Some(command) = exec.command.as_mut().filter(|command| command.contains('/')) {
        *command = text_relative_to(path, command)?;
    }
    Ok(exec)
}

fn client_certificate(path: &Path, user: &AuthInfo) -> Result<Option<Zeroizing<Vec<u8>>>, Cause> {
    pem(
        path,
        ("client-certificate-data", user.client_certificate_data.as_deref()),
        ("client-certificate", user.client_certificate.as_deref()),
    )
}

fn client_key(path: &Path, user: &AuthInfo) -> Result<Option<Zeroizing<Vec<u8>>>, Cause> {
    let data = user.client_key_data.as_ref().map(ExposeSecret::expose_secret);
    pem(
        path,
        ("client-key-data", data),
        ("client-key", user.client_key.as_deref()),
    )
}

fn identity(path: &Path, user: &AuthInfo) -> Result<Option<Identity>, Cause> {
    match (client_certificate(path, user)?, client_key(path, user)?) {
        (None, None) => Ok(None),
        (Some(chain), Some(key)) => Identity::new(&chain, &key)
            .map(Some)
            .map_err(|fault| match fault {
                IdentityFault::Unusable(reason) => {
                    local::unusable(WHAT, path, format!("client-certificate: {reason}"))
                }
                IdentityFault::Mismatch => Cause::Settings {
                    reason: "the client certificate and its key do not belong together".into(),
                    remedy: "Get a new kubeconfig, or name the key that belongs to the certificate.".into(),
                },
            }),
        (Some(_), None) => Err(local::unusable(
            WHAT,
            path,
            "it has a client-certificate without its client-key".into(),
        )),
        (None, Some(_)) => Err(local::unusable(
            WHAT,
            path,
            "it has a client-key without its client-certificate".into(),
        )),
    }
}

/// The data given in place, or else the file named.
fn pem(
    path: &Path,
    (data_name, data): (&'static str, Option<&str>),
    (file_name, file): (&'static str, Option<&str>),
) -> Result<Option<Zeroizing<Vec<u8>>>, Cause> {
    if let Some(data) = filled(data) {
        return decoded(path, data_name, data).map(Some);
    }
    filled(file)
        .map(|file| local::read_setting(file_name, &relative_to(path, file), MAX_BYTES))
        .transpose()
}

fn decoded(path: &Path, name: &str, data: &str) -> Result<Zeroizing<Vec<u8>>, Cause> {
    // Both buffers are allocated at once: one that grows leaves copies behind.
    let mut compact = Zeroizing::new(Vec::with_capacity(data.len()));
    compact.extend(data.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut decoded = Zeroizing::new(vec![0; base64::decoded_len_estimate(compact.len())]);
    let length = STANDARD
        .decode_slice(compact.as_slice(), &mut decoded)
        .map_err(|_| local::unusable(WHAT, path, format!("{name} is not base64")))?;
    decoded.truncate(length);
    Ok(decoded)
}

fn filled(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

/// `as`, `as-uid`, `as-groups` (client-go `rest.ImpersonationConfig`).
fn impersonate(access: &mut Access, user: &AuthInfo) -> Result<(), Cause> {
    let Some(name) = filled(user.impersonate.as_deref()) else {
        return Ok(());
    };
    access.header(HeaderName::from_static("impersonate-user"), name)?;
    if let Some(uid) = filled(user.impersonate_uid.as_deref()) {
        access.header(HeaderName::from_static("impersonate-uid"), uid)?;
    }
    for group in user.impersonate_groups.iter().flatten() {
        access.header(HeaderName::from_static("impersonate-group"), group)?;
    }
    Ok(())
}
