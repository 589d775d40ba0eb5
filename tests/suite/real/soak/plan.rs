//! How long everything lasts: short in `tests/run`, as long as wished by `OIDC_ISSUER_SOAK`.

use std::time::Duration;

use serde_json::{Value, json};

/// Says how long the soak is to last: `OIDC_ISSUER_SOAK=30m`.
const LENGTH: &str = "OIDC_ISSUER_SOAK";

/// The durations of the configuration, and those that follow from them.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// How long a token counts as valid after it was minted: `tokenLifetime`.
    pub(super) token_lifetime: Duration,
    /// `cache.jwks.maxAge`, which is the whole cache lifetime.
    pub(super) max_age: Duration,
    /// How often a source is read.
    pub(super) refresh: Duration,
    /// The least that the other two allow.
    pub(super) retention: Duration,
    /// From one rotation to the next.
    pub(super) every: Duration,
    /// How long the soak lasts at least.
    pub(super) total: Duration,
}

impl Plan {
    /// The one that the environment asks for.
    pub(super) fn of_environment() -> Self {
        match std::env::var(LENGTH) {
            Err(_) => Self::new(Duration::ZERO, Duration::from_mins(1), Duration::from_secs(2)),
            Ok(text) => {
                let minutes = text.strip_suffix('m').and_then(|number| number.parse().ok());
                let minutes =
                    minutes.unwrap_or_else(|| panic!("{LENGTH}={text}: write minutes, such as 30m"));
                // The API server gives no token that lives shorter.
                Self::new(
                    Duration::from_mins(minutes),
                    Duration::from_mins(10),
                    Duration::from_secs(30),
                )
            }
        }
    }

    fn new(total: Duration, token_lifetime: Duration, max_age: Duration) -> Self {
        let retention = token_lifetime + max_age + Duration::from_mins(5);
        Self {
            token_lifetime,
            max_age,
            refresh: Duration::from_secs(if max_age.as_secs() < 10 { 1 } else { 5 }),
            retention,
            // The last of three old keys leaves a retention after the third rotation.
            every: total.saturating_sub(retention + Duration::from_mins(1)) / 3,
            total,
        }
    }

    /// By the book a key that every replica publishes may sign when no cache holds an older set: after its lifetime,
    /// and what a request may take.
    pub(super) fn propagation(&self) -> Duration {
        self.max_age + Duration::from_secs(2)
    }

    /// The configuration of the service, but for its listeners.
    pub(super) fn config(&self, issuer: &str, source: &Value, store: &Value) -> Value {
        let seconds = |duration: Duration| format!("{}s", duration.as_secs());
        json!({
            "issuers": [{
                "issuer": issuer,
                "sources": [{ "apiServer": source }],
                "refresh": seconds(self.refresh),
                "confirmation": 3,
                "tokenLifetime": seconds(self.token_lifetime),
                "retention": seconds(self.retention),
                "cache": { "jwks": {
                    "maxAge": seconds(self.max_age),
                    "staleWhileRevalidate": "0s",
                    "staleIfError": "0s",
                } },
            }],
            "store": { "kubernetes": store },
        })
    }
}
