//! Clients of other services: HTTP over our own connections, and the API server of a cluster with all that its credentials
//! come from (files, a pod, a kubeconfig, a plugin). What is asked there, and what follows from it, is the caller's.

mod access;
mod error;
mod exec;
pub(crate) mod fetch;
mod kubeconfig;
mod local;
mod place;
mod quote;
mod reach;
mod status;

use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use url::Url;

pub(crate) use access::roots;
pub(crate) use error::{Asked, RequestError};
pub use error::{Cause, Phase};
pub(crate) use fetch::{Connections, Exchange, Reply, is_redirect};
pub(crate) use kubeconfig::MAX_BYTES as MAX_KUBECONFIG;
pub(crate) use local::{Blocking, read_token};
pub(crate) use place::faults;
pub(crate) use quote::quote;
pub(crate) use reach::Reach;
pub use status::Refusal;
pub(crate) use status::Status;

/// How an API server is reached. With all fields empty: the in-cluster API server of this pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiServerSettings {
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// A context in it; otherwise its current one.
    pub context: Option<String>,
    /// Whether an `exec` credential plugin in the kubeconfig may be run.
    pub allow_exec: bool,
    /// The URL of the API server, instead of a kubeconfig.
    pub server: Option<String>,
    /// The CA that must have signed its certificate (PEM).
    pub ca_file: Option<PathBuf>,
    /// The bearer token, read again before each read.
    pub token_file: Option<PathBuf>,
    /// Name to check in its certificate, where it is not the host of `server`.
    pub tls_server_name: Option<String>,
    /// Whether each endpoint of the service `kubernetes` is asked on its own; if not said, in the cluster only.
    pub endpoints: Option<bool>,
    /// Bound of one whole read (both documents).
    pub timeout: Option<SignedDuration>,
}

impl ApiServerSettings {
    /// Whether each endpoint is asked, rather than the one address.
    pub fn asks_endpoints(&self) -> bool {
        let in_cluster = self.kubeconfig.is_none() && self.server.is_none();
        self.endpoints.unwrap_or(in_cluster)
    }
}

/// A URL as it may be shown: without userinfo, query and fragment, where credentials may be.
pub(crate) fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(parsed) if *parsed.path() == *"/" && !url.ends_with('/') => {
            fetch::shown(&parsed).trim_end_matches('/').to_owned()
        }
        Ok(parsed) => fetch::shown(&parsed),
        Err(_) => url.split(['?', '#']).next().unwrap_or_default().to_owned(),
    }
}

/// The bound of one request, as configured.
pub(crate) fn timeout(configured: Option<SignedDuration>) -> Duration {
    configured
        .and_then(|timeout| timeout.try_into().ok())
        .unwrap_or(fetch::TIMEOUT)
}
