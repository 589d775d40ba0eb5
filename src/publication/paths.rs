//! Where an issuer's documents are, and whether issuers can live side by side.

use super::{IssuerUrl, JwksUri};

/// Two issuers would be served at one path of one host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "paths collide: https://{host}{path} would be a document of both {first_issuer} and {second_issuer}; \
     give one of them another path or host"
)]
pub struct PathsCollide {
    /// Place of the first in what was checked.
    pub first: usize,
    /// Place of the second in what was checked; the same as `first` where an issuer collides with itself.
    pub second: usize,
    /// URL of the first.
    pub first_issuer: IssuerUrl,
    /// URL of the second.
    pub second_issuer: IssuerUrl,
    /// The host that both have, without port.
    pub host: String,
    /// The path that both would be served at.
    pub path: String,
}

/// Every pair of issuers that cannot be served together: `Host` could not choose between them.
pub fn collisions(_issuers: &[(&IssuerUrl, &JwksUri)]) -> Vec<PathsCollide> {
    Vec::new()
}
