//! Lines of libraries: each at most once a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::listen::LogThrottle;

/// Drops warnings and errors of libraries that repeat: clients can cause them at will, such as the HTTP/2 library's for
/// each connection with rapid resets. What this service logs itself is throttled where it is logged; lines of the
/// levels below are there only if an operator has asked for them.
#[derive(Debug, Default)]
pub(super) struct LibraryThrottle {
    /// By the place in the code, of which there are few.
    lines: Mutex<HashMap<Identifier, LogThrottle>>,
}

impl<S: Subscriber> Layer<S> for LibraryThrottle {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let own = ["oidc_issuer", "audit"]
            .iter()
            .any(|own| metadata.target() == *own || metadata.target().starts_with(&format!("{own}::")));
        if own || *metadata.level() > Level::WARN {
            return true;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.entry(metadata.callsite()).or_default().due().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Count(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn lines(log: impl Fn()) -> usize {
        let count = Count::default();
        let subscriber = tracing_subscriber::registry()
            .with(LibraryThrottle::default())
            .with(count.clone());
        tracing::subscriber::with_default(subscriber, || (0..100).for_each(|_| log()));
        count.0.load(Ordering::SeqCst)
    }

    #[test]
    fn a_warning_of_a_library_that_repeats_is_logged_once_a_minute_and_ours_each_time() {
        assert_eq!(
            lines(|| tracing::warn!(target: "h2::proto::streams::recv", "reset")),
            1
        );
        assert_eq!(
            lines(|| {
                tracing::warn!(target: "h2::proto", "one");
                tracing::error!(target: "rustls", "another");
            }),
            2
        );
        assert_eq!(lines(|| tracing::warn!(target: "oidc_issuer::edge", "ours")), 100);
        assert_eq!(lines(|| tracing::info!(target: "audit", "a command")), 100);
        assert_eq!(lines(|| tracing::debug!(target: "h2::codec", "asked for")), 100);
    }
}
