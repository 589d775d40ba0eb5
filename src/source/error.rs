//! Why a read gave no listing: every message names the place, the cause, and what to do next.
//!
//! Nothing that a source sent is copied into a message unless its shape was checked: an answer may echo a token.

mod held;
mod remedy;

use std::fmt;
use std::mem::{Discriminant, discriminant};

use crate::client;
use crate::key::{ParseError, Quarantined};

/// A read that gave no listing. `Display` is one line: place, cause, remedy.
#[derive(Clone, Debug)]
pub struct ReadError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    place: String,
    asked: Asked,
    cause: Cause,
    quarantined: Vec<Quarantined>,
}

/// What kind of place was asked: the remedies differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A Kubernetes API server, for its keys.
    ApiServer,
    /// A Kubernetes API server, for the list of its endpoints.
    EndpointSlice,
    /// A JWKS at a URL.
    Jwks,
    /// Key files.
    Files,
    /// Our own signing key.
    Embedded,
}

impl Asked {
    /// As clients know it.
    fn as_client(self) -> client::Asked {
        match self {
            Self::ApiServer => client::Asked::ApiServer,
            Self::EndpointSlice => client::Asked::EndpointSlice,
            Self::Jwks | Self::Files | Self::Embedded => client::Asked::Other,
        }
    }
}

impl ReadError {
    /// `place` is the URL or file that was being read.
    pub fn new(asked: Asked, place: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self(Box::new(Inner {
            place: place.into(),
            asked,
            cause: cause.into(),
            quarantined: Vec::new(),
        }))
    }

    /// Nothing of what was read may be published: `quarantined` says why, entry by entry.
    pub fn nothing_publishable(
        asked: Asked,
        place: impl Into<String>,
        quarantined: Vec<Quarantined>,
    ) -> Self {
        let place = place.into();
        let cause = match quarantined.first() {
            None => Cause::NoKeys,
            Some(first) => Cause::NothingPublishable {
                count: quarantined.len(),
                first: held::shown(first, &place),
                remedy: held::remedy(&quarantined),
            },
        };
        Self(Box::new(Inner {
            place,
            asked,
            cause,
            quarantined,
        }))
    }

    /// The value of the metric label `result`.
    pub fn label(&self) -> &'static str {
        self.0.cause.label()
    }

    /// What went wrong.
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// Entries that were held back, where the read came that far.
    pub fn quarantined(&self) -> &[Quarantined] {
        &self.0.quarantined
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            place, asked, cause, ..
        } = &*self.0;
        let cause = match cause {
            Cause::Request(cause) => return f.write_str(&cause.line(place, asked.as_client())),
            cause => cause,
        };
        match cause.remedy(*asked).as_str() {
            "" => write!(f, "{place}: {cause}"),
            remedy => write!(f, "{place}: {cause}. {remedy}"),
        }
    }
}

impl std::error::Error for ReadError {}

/// What went wrong. `Display` is the cause alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// It could not be read.
    #[error(transparent)]
    Request(#[from] client::Cause),
    /// Not a JWKS, or not a key file.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// An empty key set.
    #[error("it lists no key")]
    NoKeys,
    /// Keys, but none that may be published.
    #[error("{}{first}", if *count == 1 { String::new() } else { format!("none of its {count} entries may be published; ") })]
    NothingPublishable {
        /// How many entries were held back.
        count: usize,
        /// The first, with its reason.
        first: String,
        /// What to do, by the reasons; empty where they say it themselves.
        remedy: String,
    },

    /// Keys, all of which an operator revoked.
    #[error("{said}")]
    AllRevoked {
        /// How many there are.
        said: String,
    },

    /// The source is the cluster of another issuer.
    #[error("it names another issuer: {named:?} instead of {ours:?}")]
    OtherIssuer {
        /// What the source says.
        named: String,
        /// What we publish.
        ours: String,
    },

    /// No file matches.
    #[error("no file is there")]
    NoFiles,
}

impl Cause {
    /// A short, stable name.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Request(cause) => cause.label(),
            Self::Parse(_) => "malformed",
            Self::NoKeys | Self::NothingPublishable { .. } | Self::NoFiles => "no_keys",
            Self::AllRevoked { .. } => "revoked",
            Self::OtherIssuer { .. } => "other_issuer",
        }
    }

    /// Equal for two causes of the same kind, whatever else they say.
    pub(crate) fn kind(&self) -> Kind {
        let within = match self {
            Self::Request(cause) => Some(discriminant(cause)),
            _ => None,
        };
        Kind(discriminant(self), within)
    }

    /// How much it tells, where several endpoints failed each for its own cause: more, the further a read had come.
    pub(super) fn telling(&self) -> u8 {
        match self {
            Self::OtherIssuer { .. } => 7,
            Self::NoKeys | Self::NothingPublishable { .. } | Self::AllRevoked { .. } => 5,
            Self::Parse(_) => 4,
            Self::NoFiles => 0,
            Self::Request(cause) => cause.telling(),
        }
    }

    /// Every label that a failed read may have.
    pub const LABELS: &[&str] = &[
        "unreachable",
        "timeout",
        "interrupted",
        "proxy",
        "tls",
        "unauthorized",
        "forbidden",
        "not_found",
        "redirect",
        "http_status",
        "too_large",
        "malformed",
        "no_keys",
        "revoked",
        "other_issuer",
        "unreadable_file",
        "settings",
        "internal",
    ];
}

/// The kind of a cause, see [`Cause::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind(Discriminant<Cause>, Option<Discriminant<client::Cause>>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_every_kind_of_failure() {
        let page = include_str!("../../docs/metrics.md");
        for label in Cause::LABELS {
            assert!(page.contains(&format!("`{label}`")), "{label}");
        }
    }

    #[test]
    fn a_message_is_one_line_of_place_cause_and_remedy() {
        let other = Cause::OtherIssuer {
            named: format!("https://a\n{}", "x".repeat(300)),
            ours: "https://b".into(),
        };
        let error = ReadError::new(Asked::Embedded, "embedded key", other).to_string();
        assert!(
            error.starts_with("embedded key: it names another issuer: \"https://a\\nxxx"),
            "{error}"
        );
        assert!(!error.contains('\n') && error.len() < 1500, "{error}");
        let file = client::Cause::File {
            what: "kubeconfig",
            path: "/k".into(),
            reason: "it is empty".into(),
        };
        let error = ReadError::new(Asked::ApiServer, "kubeconfig /k, context a", file).to_string();
        assert!(
            error.starts_with("kubeconfig /k, context a: it is empty. Check the path"),
            "{error}"
        );
    }
}
