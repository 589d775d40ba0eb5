//! TLS handshakes that fail: counted, and logged now and then.

use std::io;
use std::net::SocketAddr;

use tracing::{debug, info};

use super::tls::failure;
use crate::listen::LogThrottle;
use crate::metrics::{HandshakeFailure, ListenerMetrics};

/// The failed handshakes of one listener. Anyone who reaches its port can cause them, so each reason is logged at most
/// once a minute: health checks that close at once do not hide clients that do not trust the certificate.
#[derive(Debug)]
pub(super) struct Handshakes {
    metrics: ListenerMetrics,
    listener: String,
    throttles: [LogThrottle; HandshakeFailure::ALL.len()],
}

impl Handshakes {
    pub(super) fn of(metrics: ListenerMetrics, listener: String) -> Self {
        Self {
            metrics,
            listener,
            throttles: Default::default(),
        }
    }

    pub(super) fn failed(&self, peer: Option<SocketAddr>, error: &io::Error) {
        let reason = failure::reason(error);
        self.metrics.handshake_failed(reason);
        let peer = peer.map_or_else(|| "an unknown address".to_owned(), |peer| peer.to_string());
        let (listener, label) = (&self.listener, reason.label());
        let what = match reason {
            HandshakeFailure::Timeout => "it took too long".to_owned(),
            HandshakeFailure::Closed => "the client closed the connection".to_owned(),
            HandshakeFailure::NotTls => "what the client sent is not TLS".to_owned(),
            _ => error.to_string(),
        };
        match self.throttles[reason.index()].due() {
            Some(0) => info!(
                listener,
                peer,
                reason = label,
                "a TLS handshake with {peer} failed: {what}"
            ),
            Some(suppressed) => info!(
                listener,
                peer,
                reason = label,
                suppressed,
                "a TLS handshake with {peer} failed: {what}; {suppressed} others have failed for this reason since the \
                 last such line"
            ),
            None => debug!(
                listener,
                peer,
                reason = label,
                "a TLS handshake with {peer} failed: {what}"
            ),
        }
    }
}
