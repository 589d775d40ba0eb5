//! The two addresses of an issuer, checked so that each has one spelling and can be served.
//!
//! Written by hand: a URL library would normalise, and an issuer is compared byte for byte by every verifier.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
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
pub enum UrlError {
    /// Nothing there.
    #[error("is empty: give an https URL such as https://oidc.example.com/prod")]
    Empty,
    /// Longer than verifiers and proxies take.
    #[error("is {length} bytes long: at most {} are accepted", MAX_LENGTH)]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Another scheme, or none.
    #[error(
        "does not begin with https:// (in small letters): verifiers accept no other scheme; \
         where a load balancer ends TLS the public URL is still an https one"
    )]
    NotHttps,
    /// A character beyond ASCII.
    #[error(
        "contains {found:?}: only ASCII is compared alike everywhere; write a host name in its xn-- form"
    )]
    NotAscii {
        /// The first one.
        found: char,
    },
    /// A character that no URL contains (RFC 3986 section 2).
    #[error("contains {found:?}, which no URL may contain (RFC 3986): remove it")]
    Character {
        /// The first one.
        found: char,
    },
    /// A user name or a password.
    #[error("has a user name or password before an @: it would be published; remove it")]
    Userinfo,
    /// No host.
    #[error("names no host: write https://HOST or https://HOST/PATH")]
    NoHost,
    /// A host that is neither a name nor an address.
    #[error("has the host {host}, which is neither a DNS name nor an IP address (IPv6 in brackets)")]
    Host {
        /// As it was written.
        host: String,
    },
    /// A port that is none.
    #[error("has the port {port:?}: a port is a number from 1 to 65535; leave the colon out for 443")]
    Port {
        /// As it was written.
        port: String,
    },
    /// A query on an issuer.
    #[error("has a query (?): an issuer has none (OpenID Connect Discovery 1.0, section 3); remove it")]
    Query,
    /// A fragment.
    #[error("has a fragment (#): it would never be sent to a server; remove it")]
    Fragment,
    /// An encoded character.
    #[error("contains %: proxies decode it in different ways; use letters, digits, - and _ in the path")]
    Percent,
    /// An empty segment.
    #[error("has // in its path: proxies join the two; remove one")]
    EmptySegment,
    /// A segment of dots.
    #[error(
        "has a segment {segment} in its path, which clients resolve before they ask; write the path without it"
    )]
    DotSegment {
        /// `.` or `..`.
        segment: &'static str,
    },
    /// `.well-known` in an issuer.
    #[error(
        "contains /.well-known, which is appended by verifiers: give the issuer alone, \
         exactly as in the iss claim of the tokens"
    )]
    WellKnown,
    /// A JWKS without a path.
    #[error("has no path: name the document, such as https://HOST/jwks")]
    NoPath,
}

/// What is accepted at most; common proxies bound a request line at 8 KiB, and some verifiers an issuer at 2 KiB.
const MAX_LENGTH: usize = 2000;

impl IssuerUrl {
    /// Checks a URL; see [`UrlError`] for what is refused.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let address = Address::parse(text)?;
        if address.path_end < text.len() {
            return Err(UrlError::Query);
        }
        if address.path().split('/').any(|segment| segment == ".well-known") {
            return Err(UrlError::WellKnown);
        }
        Ok(Self(address))
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
        let address = Address::parse(text)?;
        if address.path().trim_end_matches('/').is_empty() {
            return Err(UrlError::NoPath);
        }
        Ok(Self(address))
    }

    /// The usual place: `{issuer}/jwks`.
    pub fn of(issuer: &IssuerUrl) -> Self {
        let text = format!("{}/jwks", issuer.base());
        Self(Address {
            path_end: text.len(),
            text: text.into(),
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
        check_characters(text)?;
        let rest = text.strip_prefix(SCHEME).ok_or(UrlError::NotHttps)?;
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (hierarchy, _query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = hierarchy.split('/').next().unwrap_or_default();
        let path = hierarchy.get(authority.len()..).unwrap_or_default();
        let (host, port) = split_authority(authority)?;
        check_host(host)?;
        check_path(path)?;
        Ok(Self {
            text: text.into(),
            host_end: SCHEME.len() + host.len(),
            path_start: SCHEME.len() + authority.len(),
            path_end: SCHEME.len() + hierarchy.len(),
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

/// Only the characters of RFC 3986 section 2.
fn check_characters(text: &str) -> Result<(), UrlError> {
    if text.is_empty() {
        return Err(UrlError::Empty);
    }
    if text.len() > MAX_LENGTH {
        return Err(UrlError::TooLong { length: text.len() });
    }
    match text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"-._~:/?#[]@!$&'()*+,;=%".contains(*c))
    {
        None => Ok(()),
        Some(found) if found.is_ascii() => Err(UrlError::Character { found }),
        Some(found) => Err(UrlError::NotAscii { found }),
    }
}

/// Host and port of an authority (RFC 3986 section 3.2).
fn split_authority(authority: &str) -> Result<(&str, u16), UrlError> {
    if authority.contains('@') {
        return Err(UrlError::Userinfo);
    }
    let host_end = match authority.find(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    if port.is_empty() {
        return Ok((host, 443));
    }
    let Some(port) = port.strip_prefix(':') else {
        return Err(UrlError::Host {
            host: authority.to_owned(),
        });
    };
    let number = port
        .parse()
        .ok()
        .filter(|number| *number > 0 && port.bytes().all(|c| c.is_ascii_digit()));
    number.map(|number| (host, number)).ok_or_else(|| UrlError::Port {
        port: port.to_owned(),
    })
}

/// A DNS name, an IPv4 address, or an IPv6 address in brackets.
fn check_host(host: &str) -> Result<(), UrlError> {
    let valid = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => is_dns_name(host.strip_suffix('.').unwrap_or(host)),
    };
    if valid {
        Ok(())
    } else {
        Err(UrlError::Host {
            host: host.to_owned(),
        })
    }
}

/// Labels as in RFC 1123 section 2.1, and `_`, which inner networks use. A name that ends in a number is an
/// address to every client, so it must be one.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|c| c.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label) && (!numeric || name.parse::<Ipv4Addr>().is_ok())
}

/// A path that no proxy rewrites on its way.
fn check_path(path: &str) -> Result<(), UrlError> {
    if path.contains('%') {
        return Err(UrlError::Percent);
    }
    if let Some(found) = path.chars().find(|c| matches!(c, '[' | ']')) {
        return Err(UrlError::Character { found });
    }
    if path.contains("//") {
        return Err(UrlError::EmptySegment);
    }
    match path.split('/').find(|segment| matches!(*segment, "." | "..")) {
        None => Ok(()),
        Some(segment) => Err(UrlError::DotSegment {
            segment: if segment == "." { "." } else { ".." },
        }),
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

#[cfg(test)]
mod tests;
