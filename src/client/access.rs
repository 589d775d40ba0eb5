//! All that is needed to reach an API server: filled by the settings, the pod we run in, a kubeconfig, a plugin.

use std::fmt;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use kube::config::ExecConfig;
use url::Url;

use super::fetch::{Identity, Proxy, Roots, bearer};
use super::{Cause, local};
use crate::fs;

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
pub(crate) fn roots(what: &'static str, path: &Path) -> Result<Roots, Cause> {
    let pem = local::read_setting(what, path, fs::MAX_PEM)?;
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

/// A path in a kubeconfig is relative to its folder.
pub(super) fn relative_to(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}
