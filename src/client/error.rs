//! Why a request gave no answer, or another than it needs: every message names the place, the cause, and what to do next.
//!
//! Nothing that a server sent is copied into a message unless its shape was checked: an answer may echo a token.

mod remedy;

use std::fmt;
use std::time::Duration;

use super::status::Refusal;

/// A request that failed. `Display` is one line: place, cause, remedy.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", cause.line(place, *asked))]
pub(crate) struct RequestError {
    asked: Asked,
    place: String,
    pub(crate) cause: Cause,
}

impl RequestError {
    /// `place` is the URL or file that was being read.
    pub(crate) fn new(asked: Asked, place: impl Into<String>, cause: Cause) -> Self {
        Self {
            asked,
            place: place.into(),
            cause,
        }
    }
}

/// What kind of place was asked: the remedies differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A Kubernetes API server, for what every service account may read.
    ApiServer,
    /// A Kubernetes API server, for the list of its endpoints.
    EndpointSlice,
    /// A Kubernetes API server, for a `ConfigMap` of ours.
    ConfigMap,
    /// Anything else.
    Other,
}

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
    /// 301, 302, 303, 307 or 308.
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
    /// One line: place, cause, remedy.
    pub(crate) fn line(&self, place: &str, asked: Asked) -> String {
        let remedy = self.remedy(asked);
        match self {
            // The place says it already.
            Self::File { what, path, reason } if place.starts_with(&format!("{what} {path}")) => {
                format!("{place}: {reason}. {remedy}")
            }
            _ if remedy.is_empty() => format!("{place}: {self}"),
            _ => format!("{place}: {self}. {remedy}"),
        }
    }

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
            Self::NotHttp { .. } | Self::Encoded | Self::Empty | Self::Html | Self::NotJson { .. } => {
                "malformed"
            }
            Self::File { .. } => "unreadable_file",
            Self::Settings { .. } => "settings",
            Self::Internal { .. } => "internal",
        }
    }

    /// How much it tells, where several endpoints failed each for its own cause: more, the further a read had come.
    pub(crate) fn telling(&self) -> u8 {
        match self {
            Self::Unauthorized { .. } | Self::Forbidden { .. } => 6,
            Self::NotFound | Self::Redirect { .. } | Self::Status { .. } => 3,
            Self::TooLarge { .. }
            | Self::NotHttp { .. }
            | Self::Encoded
            | Self::Empty
            | Self::Html
            | Self::NotJson { .. } => 4,
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
}
