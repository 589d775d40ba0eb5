//! Stopping without losing a request.
//!
//! HTTP/2 says GOAWAY, after which the client knows which of its requests count. HTTP/1.1 has nothing of the kind: a
//! request may be on its way into a connection that we are just closing. So a quiet connection is kept for a moment,
//! and every response says `Connection: close`, which is the one safe place to end it.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// How long a connection that had a request stays open for another one.
const RESTING: Duration = Duration::from_secs(1);
/// How long a connection stays open for its first request, since that is probably on its way.
const FRESH: Duration = Duration::from_secs(3);

/// Shared by all connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Drain(Arc<State>);

#[derive(Debug)]
struct State {
    /// When it began, once it did. Asked at each request, so it is no lock.
    since: OnceLock<Instant>,
    signal: CancellationToken,
    timeout: Duration,
}

impl Drain {
    pub(super) fn new(timeout: Duration) -> Self {
        Self(Arc::new(State {
            since: OnceLock::new(),
            signal: CancellationToken::new(),
            timeout,
        }))
    }

    /// From now on connections end.
    pub(super) fn begin(&self) {
        self.0.since.get_or_init(Instant::now);
        self.0.signal.cancel();
    }

    pub(super) fn began(&self) -> bool {
        self.0.since.get().is_some()
    }

    /// Resolves when it begins.
    pub(super) fn signal(&self) -> WaitForCancellationFuture<'_> {
        self.0.signal.cancelled()
    }

    /// When a connection must have ended, whatever it is doing.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.0.since.get().map(|since| *since + self.0.timeout)
    }

    /// Resolves once draining and a connection that began then would have had its first request by now: a TCP
    /// health check that never says a word must not hold up the end.
    pub(super) async fn gives_up_on_silence_since(&self, began: Instant) {
        self.signal().await;
        if let Some(until) = self.quiet_until(began, None) {
            sleep_until(until).await;
        }
    }

    /// Until when a connection in which nothing is under way is kept.
    pub(super) fn quiet_until(&self, began: Instant, last_request: Option<Instant>) -> Option<Instant> {
        let since = *self.0.since.get()?;
        Some(match last_request {
            Some(last) => last.max(since) + RESTING,
            None => began.max(since) + FRESH,
        })
    }
}
