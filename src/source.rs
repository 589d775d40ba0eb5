//! Adapters that read listings. What a source says only ever reaches the edge through ring and publication.

mod accepted;
mod api_server;
pub mod embedded;
mod error;
mod files;
mod jwks;
mod parse;
mod survey;

use std::path::PathBuf;

use jiff::SignedDuration;

pub use accepted::Accepted;
use api_server::ApiServer;
use embedded::{Embedded, EmbeddedError, Signer};
pub(crate) use error::Kind;
pub use error::{Asked, Cause, ReadError};
use files::Files;
pub use files::{Changes, FolderWatch};
pub(crate) use files::{glob, matched};
use jwks::Jwks;
pub use survey::{Survey, Surveyed};

use crate::client::{self, ApiServerSettings};
use crate::key::PublicKey;
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

    /// Whether it is on this machine: most reads are a look at files that did not change.
    pub fn is_local(&self) -> bool {
        matches!(self.0, Adapter::Files(_) | Adapter::Embedded(_))
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

    /// What tells of reasons to read before the next turn. `None` where there are none.
    pub fn changes(&self) -> Option<Changes> {
        match &self.0 {
            Adapter::Files(source) => Some(source.changes()),
            Adapter::ApiServer(_) | Adapter::Jwks(_) | Adapter::Embedded(_) => None,
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

/// What a source gives without asking anyone: what is wrong with the files that it needs, each with its field (empty: the
/// source as a whole), and the keys that are in files of this machine.
#[derive(Debug, Default)]
pub struct Examined {
    /// A read would fail by them, or leave something out.
    pub faults: Vec<(&'static str, String)>,
    /// What would be published of it.
    pub keys: Vec<PublicKey>,
}

/// Reads the files of a source as its reads do. Blocks.
pub fn examine(settings: &SourceSettings) -> Examined {
    let of_client = |(field, cause): (&'static str, client::Cause)| (field, cause.to_string());
    match settings {
        SourceSettings::ApiServer(settings) => Examined {
            faults: client::faults(settings).into_iter().map(of_client).collect(),
            keys: Vec::new(),
        },
        SourceSettings::Jwks(settings) => Examined {
            faults: jwks::faults(settings).into_iter().map(of_client).collect(),
            keys: Vec::new(),
        },
        SourceSettings::Files(settings) => {
            let (listing, doubts) = files::examine(settings);
            let mut faults = doubts;
            let mut keys = Vec::new();
            match listing {
                Ok(listing) => {
                    let held = listing.quarantined.iter();
                    faults.extend(held.map(|held| format!("{}: {}", held.entry, held.reason)));
                    keys = listing.keys;
                }
                Err(error) => faults.push(error.to_string()),
            }
            let faults = faults.into_iter().map(|fault| ("paths", fault)).collect();
            Examined { faults, keys }
        }
        SourceSettings::Embedded(settings) => match Signer::open(&settings.folder) {
            Ok(signer) => Examined {
                keys: vec![signer.public().clone()],
                ..Examined::default()
            },
            // It is made at the start.
            Err(EmbeddedError::Missing { .. }) => Examined::default(),
            Err(error) => Examined {
                faults: vec![("", error.to_string())],
                ..Examined::default()
            },
        },
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
