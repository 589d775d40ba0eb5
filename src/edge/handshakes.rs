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

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt as _};

    use super::*;
    use crate::metrics::Metrics;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    struct Text(String);

    impl Visit for Text {
        fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
            let _ = write!(self.0, "{value:?} ");
        }
    }

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            if *event.metadata().level() <= tracing::Level::INFO {
                let mut text = Text(String::new());
                event.record(&mut text);
                self.0.lock().unwrap().push(text.0);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failed_handshakes_are_logged_with_peer_and_reason_once_a_minute_for_each_reason() {
        let metrics = Metrics::new(jiff::Timestamp::UNIX_EPOCH).listener("[::]:8443");
        let handshakes = Handshakes::of(metrics, "[::]:8443".to_owned());
        let lines = Lines::default();
        let logging = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
        let peer = Some(([192, 0, 2, 7], 40_000).into());
        let untrusted = io::Error::other(rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA));
        for _ in 0..100 {
            handshakes.failed(peer, &io::ErrorKind::ConnectionReset.into());
            handshakes.failed(peer, &untrusted);
        }
        tokio::time::advance(std::time::Duration::from_mins(1)).await;
        handshakes.failed(peer, &untrusted);
        drop(logging);
        let lines = lines.0.lock().unwrap();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(
            lines.iter().all(|line| line.contains("192.0.2.7:40000")),
            "{lines:?}"
        );
        assert!(
            lines[0].contains("closed") && lines[1].contains("UnknownCA"),
            "{lines:?}"
        );
        assert!(lines[2].contains("99 others"), "{lines:?}");
    }
}
