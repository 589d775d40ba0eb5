//! Why a read gave no listing: every message names the place, the cause, and what to do next.
//!
//! Nothing that a source sent is copied into a message unless its shape was checked: an answer may echo a token.

use std::fmt;
use std::time::Duration;

use crate::key::{ParseError, Quarantined};

/// A read that gave no listing. `Display` is one line: place, cause, remedy.
#[derive(Debug)]
pub struct ReadError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    place: String,
    asked: Asked,
    cause: Cause,
    quarantined: Vec<Quarantined>,
}

/// What kind of place was asked: the remedies differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A Kubernetes API server.
    ApiServer,
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
        let cause = match quarantined.first() {
            None => Cause::NoKeys,
            Some(first) => Cause::NothingPublishable {
                count: quarantined.len(),
                first: format!("{}: {}", first.entry, first.reason),
            },
        };
        Self(Box::new(Inner {
            place: place.into(),
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
        write!(f, "{place}: {cause}. {}", cause.remedy(*asked))
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
    #[error("answered 401 Unauthorized")]
    Unauthorized {
        /// Whether any credentials were sent.
        sent: bool,
    },
    /// 403.
    #[error("answered 403 Forbidden{}", user.as_ref().map(|user| format!(" to {user}")).unwrap_or_default())]
    Forbidden {
        /// The Kubernetes user that was refused, where the answer names one of a known shape.
        user: Option<String>,
        /// Whether any credentials were sent.
        sent: bool,
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
    #[error("answered {0}")]
    Status(http::StatusCode),
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
    #[error("none of its {count} entries may be published; {first}")]
    NothingPublishable {
        /// How many entries were held back.
        count: usize,
        /// The first, with its reason.
        first: String,
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
            Self::Status(_) => "http_status",
            Self::TooLarge { .. } => "too_large",
            Self::NotHttp { .. }
            | Self::Encoded
            | Self::Empty
            | Self::Html
            | Self::NotJson { .. }
            | Self::Parse(_) => "malformed",
            Self::NoKeys | Self::NothingPublishable { .. } | Self::NoFiles => "no_keys",
            Self::OtherIssuer { .. } => "other_issuer",
            Self::File { .. } => "unreadable_file",
            Self::Settings { .. } => "settings",
            Self::Internal { .. } => "internal",
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
        "other_issuer",
        "unreadable_file",
        "settings",
        "internal",
    ];

    #[expect(clippy::too_many_lines, reason = "a table: one line of advice for each cause")]
    fn remedy(&self, asked: Asked) -> String {
        let is_api_server = asked == Asked::ApiServer;
        let advice = match self {
            Self::Resolve { .. } => "Check the host name, and the DNS of this machine",
            Self::Refused => "Check that the server is running, and the address and port",
            Self::Unreachable { .. } => {
                "Check the address, and the network between (routes, firewalls, NetworkPolicy)"
            }
            Self::Timeout {
                phase: Phase::Connect,
                ..
            } => {
                "Check the address, and that nothing between (a firewall, a NetworkPolicy) drops the connection"
            }
            Self::Timeout {
                phase: Phase::File, ..
            } => "Check the file system: a network mount that hangs?",
            Self::Timeout {
                phase: Phase::Plugin, ..
            } => "Run the plugin by hand to see what it waits for",
            Self::Timeout { .. } => "Check the server's health and load, or raise the source's timeout",
            Self::Interrupted { .. } => "Check the server's log, and any balancer or proxy between",
            Self::Proxy { .. } => {
                "Check HTTPS_PROXY or the kubeconfig's proxy-url, or name the host in NO_PROXY to go there directly"
            }
            Self::UnknownCa if is_api_server => {
                "Give the cluster's own CA (kube-root-ca.crt, or certificate-authority of a kubeconfig) as caFile: was the \
                 cluster made anew, or is this another one?"
            }
            Self::UnknownCa => "Name the CA that signed it as caFile",
            Self::WrongName { .. } if is_api_server => {
                "Use an address that the certificate names, or give a name that it has as tlsServerName"
            }
            Self::WrongName { .. } => "Use a host name that the certificate is for",
            Self::Expired => "Renew the server's certificate, or check the clock of this machine",
            Self::NotYetValid => "Check the clock of this machine and of the one that made the certificate",
            Self::Certificate { .. } | Self::Handshake { .. } => {
                "Check the server's certificate and TLS settings"
            }
            Self::NotTls => {
                "Check the port, and whether the URL should go elsewhere: https is asked for here"
            }
            Self::Alert { .. } => "Check whether the server wants a client certificate, and its log",
            Self::NotHttp { .. } => "Check the address and port: another kind of server answers there",
            Self::Unauthorized { sent: false } if is_api_server => {
                "Give credentials: tokenFile with the token of a service account, or a kubeconfig that has some"
            }
            Self::Unauthorized { sent: true } if is_api_server => {
                "Check that the token or client certificate is of this cluster and has not expired"
            }
            Self::Unauthorized { sent: false } => "Give a bearer token as tokenFile",
            Self::Unauthorized { sent: true } => "Check that the token in tokenFile is valid for this server",
            Self::Forbidden { user, sent } if is_api_server => return bind_role(user.as_deref(), *sent),
            Self::Forbidden { .. } => "Check what the token in tokenFile is allowed to read",
            Self::NotFound if is_api_server => {
                "Check that this is a Kubernetes API server (1.21 or later). One answers 404 on both of its documents while \
                 its --service-account-issuer is not an https URL, or one of its --service-account-key-file files holds a \
                 key that cannot be in a JWKS (P-224): its log names it"
            }
            Self::NotFound => "Check the path of the URL",
            Self::Redirect { .. } => {
                "Redirects are not followed, since keys from elsewhere would be published: give the final URL, or check \
                 for a login page in front of the server"
            }
            Self::Status(status) if status.as_u16() == 406 => {
                "Check what is in front of the server: it was asked for */*"
            }
            Self::Status(status) if status.as_u16() == 429 => {
                "Raise the refresh interval, or the server's limits"
            }
            Self::Status(status) if status.is_server_error() => "Check the server's health and log",
            Self::Status(_) => {
                "Only 200 is taken for an answer: check the URL, and what is in front of the server"
            }
            Self::TooLarge { .. } => "Check what it is: no set of public keys is that large",
            Self::Encoded => "Turn compression off for this document",
            Self::Empty => "Check what fills the document",
            Self::Html => "Check the URL, and for a login page or captive portal in front of the server",
            Self::NotJson { .. } => "Check the URL, and what is in front of the server",
            Self::Parse(_) if asked == Asked::Files => "Give PEM (public keys or certificates) or JWKS files",
            Self::Parse(_) => "Check the URL: a JWKS is expected there",
            Self::NoKeys if is_api_server => "Check --service-account-key-file of the API server",
            Self::NoKeys => "Put at least one public key there",
            Self::NothingPublishable { .. } => {
                "Put an RSA key of 2048 to 8192 bits there, or one on P-256, P-384 or P-521"
            }
            Self::OtherIssuer { ours, named } => return other_issuer(ours, named),
            Self::File { .. } => "Check the path, its content and its permissions",
            Self::Settings { remedy, .. } => return remedy.clone(),
            Self::NoFiles => {
                "Put key files there, or correct the paths; they are picked up as soon as they appear"
            }
            Self::Internal { .. } => "It is tried again; please report it",
        };
        format!("{advice}.")
    }
}

/// Who may read the documents of an API server is said by a ClusterRole that every cluster has, bound to all service
/// accounts by default.
fn bind_role(user: Option<&str>, sent: bool) -> String {
    const ROLE: &str = "system:service-account-issuer-discovery";
    if user == Some("system:anonymous") || !sent {
        return format!(
            "Give credentials (tokenFile, or a kubeconfig that has some): an anonymous client lacks the ClusterRole {ROLE}."
        );
    }
    let account = user.and_then(|user| user.strip_prefix("system:serviceaccount:"));
    let subject = match account {
        Some(account) => format!("--serviceaccount={account}"),
        None => "--serviceaccount=NAMESPACE:NAME (or --user=NAME)".to_owned(),
    };
    format!(
        "Bind the ClusterRole {ROLE} to it: kubectl create clusterrolebinding oidc-issuer-discovery --clusterrole={ROLE} \
         {subject}"
    )
}

fn other_issuer(ours: &str, named: &str) -> String {
    let slash = if ours.trim_end_matches('/') == named.trim_end_matches('/') {
        " They differ by the slash at the end, which verifiers do not forgive."
    } else {
        ""
    };
    format!(
        "If this is the right cluster, set its API server's flag --service-account-issuer={ours}; while it has not been \
         switched yet, list {named:?} in the source's claims to publish ahead of the switch. If it is another cluster, \
         correct the source.{slash}"
    )
}
