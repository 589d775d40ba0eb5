//! Why a read gave no listing: every message names the place, the cause, and what to do next.
//!
//! Nothing that a source sent is copied into a message unless its shape was checked: an answer may echo a token.

mod held;
mod remedy;

use std::fmt;
use std::time::Duration;

use super::status::Refusal;
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
    /// A Kubernetes API server, for a `ConfigMap` that a ledger is kept in.
    ConfigMap,
    /// A JWKS at a URL.
    Jwks,
    /// Key files.
    Files,
    /// Our own signing key.
    Embedded,
}

impl ReadError {
    /// `place` is the URL or file that was being read.
    pub fn new(asked: Asked, place: impl Into<String>, cause: Cause) -> Self {
        Self(Box::new(Inner {
            place: place.into(),
            asked,
            cause,
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
        let remedy = cause.remedy(*asked);
        match cause {
            // The place says it already.
            Cause::File { what, path, reason } if place.starts_with(&format!("{what} {path}")) => {
                write!(f, "{place}: {reason}. {remedy}")
            }
            _ if remedy.is_empty() => write!(f, "{place}: {cause}"),
            _ => write!(f, "{place}: {cause}. {remedy}"),
        }
    }
}

impl std::error::Error for ReadError {}

/// How far a request had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Resolving the name, and the TCP handshake.
    Connect,
    /// The TLS handshake.
    Handshake,
    /// Waiting for the response headers.
    Headers,
    /// Reading the response body.
    Body,
    /// Reading a file.
    File,
    /// Running a credential plugin.
    Plugin,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "while connecting",
            Self::Handshake => "in the TLS handshake",
            Self::Headers => "while waiting for the response",
            Self::Body => "in the middle of the response body",
            Self::File => "while reading files",
            Self::Plugin => "while the credential plugin ran",
        })
    }
}

/// What went wrong. `Display` is the cause alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// DNS.
    #[error("the name {host} cannot be resolved ({reason})")]
    Resolve {
        /// The host asked for.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// No way there, or the way broke.
    #[error("cannot be reached ({reason})")]
    Unreachable {
        /// What the operating system said.
        reason: String,
    },
    /// Too slow.
    #[error("no answer within {after:?} ({phase})")]
    Timeout {
        /// How far it had come.
        phase: Phase,
        /// The bound.
        after: Duration,
    },
    /// The connection ended too early.
    #[error("the connection was closed {phase}")]
    Interrupted {
        /// How far it had come.
        phase: Phase,
    },
    /// The proxy between us and the source.
    #[error("the proxy {proxy} failed: {reason}")]
    Proxy {
        /// Host and port, without credentials.
        proxy: String,
        /// Why.
        reason: String,
    },

    /// The certificate is not signed by the CA that we hold.
    #[error("its certificate is signed by an unknown CA")]
    UnknownCa,
    /// The certificate is for another name.
    #[error("its certificate is not valid for the name {name}")]
    WrongName {
        /// The name that was asked for.
        name: String,
    },
    /// The certificate's time is over.
    #[error("its certificate has expired")]
    Expired,
    /// The certificate's time has not begun.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// Another fault of the certificate.
    #[error("its certificate is refused ({reason})")]
    Certificate {
        /// What rustls said.
        reason: String,
    },
    /// The server does not speak TLS.
    #[error("the server does not speak TLS on this port")]
    NotTls,
    /// The server ended the handshake.
    #[error("the server refused the TLS handshake ({alert})")]
    Alert {
        /// The alert.
        alert: String,
    },
    /// Another fault of the handshake.
    #[error("the TLS handshake failed ({reason})")]
    Handshake {
        /// What rustls said.
        reason: String,
    },

    /// The answer is not HTTP.
    #[error("the answer is not HTTP ({reason})")]
    NotHttp {
        /// What the parser said.
        reason: String,
    },
    /// 401.
    #[error("answered 401 Unauthorized{}", Said(said))]
    Unauthorized {
        /// Whether any credentials were sent.
        sent: bool,
        /// What the API server said.
        said: Option<Refusal>,
    },
    /// 403.
    #[error("answered 403 Forbidden{}{}", user.as_ref().map(|user| format!(" to {user}")).unwrap_or_default(), Said(said))]
    Forbidden {
        /// The Kubernetes user that was refused, where the answer names one of a known shape.
        user: Option<String>,
        /// Whether any credentials were sent.
        sent: bool,
        /// What the API server said.
        said: Option<Refusal>,
    },
    /// 404.
    #[error("answered 404 Not Found")]
    NotFound,
    /// 3xx.
    #[error("answered {status}, a redirect{}", to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default())]
    Redirect {
        /// The status code.
        status: u16,
        /// Where to, without query and userinfo.
        to: Option<String>,
    },
    /// Any other status but 200.
    #[error("answered {status}{}", Said(said))]
    Status {
        /// The status.
        status: http::StatusCode,
        /// What the API server said.
        said: Option<Refusal>,
    },
    /// More than we are willing to read.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// Compressed, though nobody asked.
    #[error("the answer is compressed, which was not asked for")]
    Encoded,
    /// No body at all.
    #[error("the answer is empty")]
    Empty,
    /// A web page: a login form, a captive portal, an error page.
    #[error("the answer is an HTML page, not JSON")]
    Html,
    /// Not a JSON document of the right shape.
    #[error("the answer is not the JSON expected ({reason})")]
    NotJson {
        /// Where and how, without content.
        reason: String,
    },
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

    /// A file that is needed for reading: a token, a CA, a kubeconfig.
    #[error("{what} {path} cannot be used: {reason}")]
    File {
        /// The name of the setting.
        what: &'static str,
        /// The path.
        path: String,
        /// Why.
        reason: String,
    },
    /// The settings do not lead to a source.
    #[error("{reason}")]
    Settings {
        /// What is wrong with them.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// No file matches.
    #[error("no file is there")]
    NoFiles,
    /// A defect of this program.
    #[error("the read failed by a defect of this program ({reason})")]
    Internal {
        /// What is known of it.
        reason: String,
    },
}

/// What an API server said, where it said anything.
struct Said<'a>(&'a Option<Refusal>);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |said| said.fmt(f))
    }
}

impl Cause {
    /// A short, stable name.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Resolve { .. } | Self::Refused | Self::Unreachable { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::Interrupted { .. } => "interrupted",
            Self::Proxy { .. } => "proxy",
            Self::UnknownCa
            | Self::WrongName { .. }
            | Self::Expired
            | Self::NotYetValid
            | Self::Certificate { .. }
            | Self::NotTls
            | Self::Alert { .. }
            | Self::Handshake { .. } => "tls",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Forbidden { .. } => "forbidden",
            Self::NotFound => "not_found",
            Self::Redirect { .. } => "redirect",
            Self::Status { .. } => "http_status",
            Self::TooLarge { .. } => "too_large",
            Self::NotHttp { .. }
            | Self::Encoded
            | Self::Empty
            | Self::Html
            | Self::NotJson { .. }
            | Self::Parse(_) => "malformed",
            Self::NoKeys | Self::NothingPublishable { .. } | Self::NoFiles => "no_keys",
            Self::AllRevoked { .. } => "revoked",
            Self::OtherIssuer { .. } => "other_issuer",
            Self::File { .. } => "unreadable_file",
            Self::Settings { .. } => "settings",
            Self::Internal { .. } => "internal",
        }
    }

    /// How much it tells, where several endpoints failed each for its own cause: more, the further a read had come.
    pub(super) fn telling(&self) -> u8 {
        match self {
            Self::OtherIssuer { .. } => 7,
            Self::Unauthorized { .. } | Self::Forbidden { .. } => 6,
            Self::NoKeys | Self::NothingPublishable { .. } | Self::AllRevoked { .. } => 5,
            Self::NotFound | Self::Redirect { .. } | Self::Status { .. } => 3,
            Self::TooLarge { .. }
            | Self::NotHttp { .. }
            | Self::Encoded
            | Self::Empty
            | Self::Html
            | Self::NotJson { .. }
            | Self::Parse(_) => 4,
            Self::UnknownCa
            | Self::WrongName { .. }
            | Self::Expired
            | Self::NotYetValid
            | Self::Certificate { .. }
            | Self::NotTls
            | Self::Alert { .. }
            | Self::Handshake { .. } => 2,
            Self::Interrupted { .. } | Self::Timeout { .. } => 1,
            _ => 0,
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
        let file = Cause::File {
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
