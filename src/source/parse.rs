//! Parsing what a source answered: checking a thousand keys takes longer than a task may go on without a pause.

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::Cause;
use crate::client;
use crate::fs::panic_message;
use crate::key::{Parsed, parse_jwks};

/// What is parsed in well under 5 ms where it stands: a few dozen keys.
const AT_ONCE: usize = 8 << 10;

/// Larger documents are parsed on threads of their own, so many at a time in the whole process.
static THREADS: Semaphore = Semaphore::const_new(2);

/// Parses a JWKS document.
pub(super) async fn jwks(document: &Bytes) -> Result<Parsed, Cause> {
    if document.len() <= AT_ONCE {
        return Ok(parse_jwks(document)?);
    }
    // It is never closed.
    let _place = THREADS.acquire().await;
    let document = document.clone();
    match tokio::task::spawn_blocking(move || parse_jwks(&document)).await {
        Ok(parsed) => Ok(parsed?),
        Err(panic) => Err(Cause::Request(client::Cause::Internal {
            reason: panic_message(panic),
        })),
    }
}
