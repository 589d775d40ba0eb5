//! The two addresses of an issuer, checked so that each has one spelling and can be served.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// An issuer URL, byte for byte as in `iss` (OpenID Connect Discovery 1.0 section 3): https, ASCII, without
/// userinfo, query, fragment, `%`, `//`, dot segments and `.well-known`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerUrl(Address);

/// Where the JWKS is. May be on another host than the issuer, and may have a query. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JwksUri(Address);

/// What is wrong with a URL, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Nothing there.
    #[error("is empty: give an https URL such as https://oidc.example.com/prod")]
    Empty,
}

impl IssuerUrl {
    /// Checks a URL; see [`UrlError`] for what is refused.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        Address::parse(text).map(Self)
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The URL without a slash at its end: what paths are appended to.
    pub fn base(&self) -> &str {
        self.as_str().trim_end_matches('/')
    }

    /// The host as written, without port; an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        self.0.host()
    }

    /// The port; 443 where none is written.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The path without a slash at its end: empty, or `/a/b`.
    pub fn path(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }
}

impl JwksUri {
    /// Checks a URL; see [`UrlError`] for what is refused.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        Address::parse(text).map(Self)
    }

    /// The usual place: `{issuer}/jwks`.
    pub fn of(issuer: &IssuerUrl) -> Self {
        let text = format!("{}/jwks", issuer.base());
        let end = text.len();
        Self(Address {
            text: Arc::from(text),
            path_end: end,
            ..issuer.0.clone()
        })
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The host as written, without port; an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        self.0.host()
    }

    /// The port; 443 where none is written.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.0.path()
    }
}

/// A URL with the places of its parts.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Address {
    text: Arc<str>,
    host_end: usize,
    path_start: usize,
    path_end: usize,
    port: u16,
}

const SCHEME: &str = "https://";

impl Address {
    fn parse(text: &str) -> Result<Self, UrlError> {
        let rest = text.strip_prefix(SCHEME).ok_or(UrlError::Empty)?;
        let path_start = SCHEME.len() + rest.find('/').unwrap_or(rest.len());
        let authority = text.get(SCHEME.len()..path_start).unwrap_or_default();
        let host_end = SCHEME.len() + authority.rfind(':').unwrap_or(authority.len());
        let port = authority
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or(443);
        Ok(Self {
            text: text.into(),
            host_end,
            path_start,
            path_end: text.len(),
            port,
        })
    }

    fn host(&self) -> &str {
        self.text.get(SCHEME.len()..self.host_end).unwrap_or_default()
    }

    fn path(&self) -> &str {
        self.text.get(self.path_start..self.path_end).unwrap_or_default()
    }
}

impl FromStr for IssuerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl FromStr for JwksUri {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for JwksUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for JwksUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
