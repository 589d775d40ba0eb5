//! Adapters that read listings. What a source says only ever reaches the edge through ring and publication.

pub mod embedded;
mod error;

use std::path::PathBuf;

use jiff::SignedDuration;

pub use error::{Asked, Cause, Phase, ReadError};

use crate::ring::Listing;

/// A place that lists a cluster's public keys, ready to be read.
#[derive(Debug)]
pub struct Source {
    settings: SourceSettings,
}

impl Source {
    /// Nothing is read yet, and nothing can fail yet: files and addresses may come into being later.
    pub fn new(settings: &SourceSettings) -> Self {
        Self {
            settings: settings.clone(),
        }
    }

    /// Reads the listing once. Bounded in time and size; safe to drop half-way.
    pub async fn read(&mut self) -> Result<Listing, ReadError> {
        Err(ReadError::new(
            Asked::Files,
            format!("{:?}", self.settings),
            Cause::NoFiles,
        ))
    }

    /// Waits until there is reason to read before the next turn: a watched file changed. Forever where there is none.
    pub async fn changed(&mut self) {
        std::future::pending::<()>().await;
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
    /// Bound of one whole read (both documents).
    pub timeout: Option<SignedDuration>,
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
