//! What a read of an API server saw of its endpoints.

use std::sync::Arc;

use super::ReadError;

/// How the last read of an API server found its endpoints, and what became of each.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Why they could not be listed, or not all of them.
    pub unlisted: Option<ReadError>,
    /// Those that were asked; if none, the one address was.
    pub endpoints: Vec<Surveyed>,
}

/// One endpoint of an API server.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// Which one: `10.0.0.1:6443`.
    pub endpoint: Arc<str>,
    /// The issuer that it names, where it was read.
    pub issuer: Option<String>,
    /// Why it is silent, if it is.
    pub failure: Option<ReadError>,
}
