//! Adapters that read listings. What a source says only ever reaches the edge through ring and publication.

mod accepted;
mod access;
mod api_server;
pub mod embedded;
mod error;
mod exec;
mod fetch;
mod files;
mod jwks;
mod kubeconfig;
mod local;
mod parse;
mod place;
mod quote;
mod reach;
mod status;
mod survey;

use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::task::JoinError;
use url::Url;

pub use accepted::Accepted;
use api_server::ApiServer;
use embedded::Embedded;
pub use error::{Asked, Cause, Phase, ReadError};
pub(crate) use fetch::{Connections, Exchange, Reply};
use files::Files;
pub use files::FolderWatch;
pub(crate) use files::{glob, matched};
use jwks::Jwks;
pub(crate) use kubeconfig::MAX_BYTES as MAX_KUBECONFIG;
pub(crate) use quote::quote;
pub(crate) use reach::Reach;
pub use status::Refusal;
pub(crate) use status::Status;
pub use survey::{Survey, Surveyed};

use crate::ring::Listing;

/// A place that lists a cluster's public keys, ready to be read.
#[derive(Debug)]
pub struct Source(Adapter);

#[derive(Debug)]
enum Adapter {
    ApiServer(Box<ApiServer>),
    Files(Box<Files>),
    Jwks(Box<Jwks>),
    Embedded(Box<Embedded>),
}

impl Source {
    /// Nothing is read yet, and nothing can fail yet: files and addresses may come into being later.
    pub fn new(settings: &SourceSettings) -> Self {
        Self(match settings.clone() {
            SourceSettings::ApiServer(settings) => Adapter::ApiServer(Box::new(ApiServer::new(settings))),
            SourceSettings::Jwks(settings) => Adapter::Jwks(Box::new(Jwks::new(settings))),
            SourceSettings::Embedded(settings) => Adapter::Embedded(Box::new(Embedded::new(settings))),
            SourceSettings::Files(settings) => Adapter::Files(Box::new(Files::new(&settings))),
        })
    }

    /// From now on it may name these issuers only; without that any.
    #[must_use]
    pub fn accepting(mut self, accepted: Accepted) -> Self {
        match &mut self.0 {
            Adapter::ApiServer(source) => source.accepting(accepted),
            // They name none.
            Adapter::Files(_) | Adapter::Jwks(_) | Adapter::Embedded(_) => {}
        }
        self
    }

    /// From now on changes of its files are seen by this watch, which other sources have too; without that by one of its
    /// own, of which the system has few to give.
    #[must_use]
    pub fn watched_by(mut self, folders: &FolderWatch) -> Self {
        match &mut self.0 {
            Adapter::Files(source) => source.watched_by(folders),
            // They tell of no changes.
            Adapter::ApiServer(_) | Adapter::Jwks(_) | Adapter::Embedded(_) => {}
        }
        self
    }

    /// What the last read saw of each endpoint, where they are asked one by one.
    pub fn survey(&self) -> Option<&Survey> {
        match &self.0 {
            Adapter::ApiServer(source) => source.survey(),
            Adapter::Files(_) | Adapter::Jwks(_) | Adapter::Embedded(_) => None,
        }
    }

    /// Reads the listing once. Bounded in time and size; safe to drop half-way.
    pub async fn read(&mut self) -> Result<Listing, ReadError> {
        match &mut self.0 {
            Adapter::ApiServer(source) => source.read().await,
            Adapter::Files(source) => source.read().await,
            Adapter::Jwks(source) => source.read().await,
            Adapter::Embedded(source) => source.read().await,
        }
    }

    /// Waits until there is reason to read before the next turn: a watched file changed. Forever where there is none.
    pub async fn changed(&mut self) {
        match &mut self.0 {
            Adapter::Files(source) => source.changed().await,
            Adapter::ApiServer(_) | Adapter::Jwks(_) | Adapter::Embedded(_) => std::future::pending().await,
        }
    }
}

/// What is doubtful of the key files that a source names, for a command that publishes nothing.
pub fn doubts(settings: &SourceSettings) -> Vec<String> {
    match settings {
        SourceSettings::Files(settings) => files::doubts(settings),
        _ => Vec::new(),
    }
}

/// A URL as it may be shown: without userinfo, query and fragment, where credentials may be.
pub fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(parsed) if *parsed.path() == *"/" && !url.ends_with('/') => {
            fetch::shown(&parsed).trim_end_matches('/').to_owned()
        }
        Ok(parsed) => fetch::shown(&parsed),
        Err(_) => url.split(['?', '#']).next().unwrap_or_default().to_owned(),
    }
}

/// The bound of one read, as configured.
fn timeout(configured: Option<SignedDuration>) -> Duration {
    configured
        .and_then(|timeout| timeout.try_into().ok())
        .unwrap_or(fetch::TIMEOUT)
}

/// What a task said when it panicked.
pub(crate) fn panic_message(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "it was cancelled".to_owned();
    };
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => (*message).to_owned(),
        (None, Some(message)) => message.clone(),
        (None, None) => "a panic".to_owned(),
    }
}

/// A source as configured and validated.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSettings {
    /// A Kubernetes API server.
    ApiServer(ApiServerSettings),
    /// Key files.
    Files(FilesSettings),
    /// A JWKS at an HTTPS URL.
    Jwks(JwksSettings),
    /// A signing key of our own in the state folder.
    Embedded(EmbeddedSettings),
}

impl SourceSettings {
    /// Its name in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ApiServer(_) => "apiServer",
            Self::Files(_) => "files",
            Self::Jwks(_) => "jwks",
            Self::Embedded(_) => "embedded",
        }
    }
}

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

/// Key files by globs.
#[derive(Clone, Debug, PartialEq)]
pub struct FilesSettings {
    /// Paths or globs (PEM or JWKS files).
    pub paths: Vec<String>,
}

/// A JWKS elsewhere: an HTTPS URL (`http` on loopback only), or a file.
#[derive(Clone, Debug, PartialEq)]
pub struct JwksSettings {
    /// The URL of the JWKS.
    pub url: String,
    /// The CA that must have signed its certificate (PEM); otherwise those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// A bearer token, read again before each read.
    pub token_file: Option<PathBuf>,
    /// Bound of one read.
    pub timeout: Option<SignedDuration>,
}

/// The embedded signing key.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddedSettings {
    /// The folder of the key: `<state>/embedded`.
    pub folder: PathBuf,
}
