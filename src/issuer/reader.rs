//! What one read of a source came to.

use crate::client;
use crate::ring::Listing;
use crate::source::{Asked, ReadError, Survey};

/// What one read came to.
#[derive(Debug)]
pub(super) struct Reading {
    /// The place of the source among those of its issuer.
    pub(super) source: usize,
    pub(super) outcome: Result<Listing, ReadError>,
    /// What it saw of each endpoint, where there are several.
    pub(super) survey: Option<Survey>,
}

/// A read that panicked counts as a failed one.
pub(super) fn panicked(source: usize) -> Reading {
    let cause = client::Cause::Internal {
        reason: "a panic, see the log".into(),
    };
    Reading {
        source,
        outcome: Err(ReadError::new(Asked::Files, "source", cause)),
        survey: None,
    }
}
