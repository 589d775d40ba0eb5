//! When a source is read next.

use std::time::Duration;

use rand::Rng as _;

/// The longest wait between two reads of a source that fails.
const MAX_BACKOFF: Duration = Duration::from_mins(1);

/// The first wait while nothing was ever read: most likely the source is only just starting, as we are.
const COLD_BACKOFF: Duration = Duration::from_secs(1);

/// The shortest wait that a source's own `max-age` leads to.
const MIN_REFRESH: Duration = Duration::from_secs(5);

/// The rhythm of reading one source.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    refresh: Duration,
    /// Whether it was read successfully since the start.
    warm: bool,
    /// Failures in a row.
    failures: u32,
}

impl Pace {
    pub(super) fn new(refresh: Duration) -> Self {
        Self {
            refresh,
            warm: false,
            failures: 0,
        }
    }

    /// The wait after a good read: the refresh, or the rest of what the source says its answer may be cached if that
    /// is shorter, but never so short that `max-age=0` would make us ask without a pause.
    pub(super) fn after_success(&mut self, max_age: Option<Duration>) -> Duration {
        self.warm = true;
        self.failures = 0;
        match max_age {
            Some(max_age) => self.refresh.min(max_age.max(MIN_REFRESH)),
            None => self.refresh,
        }
    }

    /// The wait after a failed read: doubles each time, up to a minute. It starts from the refresh, so that a source in
    /// trouble is never asked more often than a healthy one; before the first good read, from a second.
    pub(super) fn after_failure(&mut self) -> Duration {
        let first = if self.warm {
            self.refresh
        } else {
            self.refresh.min(COLD_BACKOFF)
        };
        let doubled = first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(MAX_BACKOFF)
    }
}

/// Shortens a wait by up to a fifth, so that replicas do not ask in step.
pub(super) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.8..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn waits(pace: &mut Pace, count: usize) -> Vec<u64> {
        (0..count).map(|_| pace.after_failure().as_secs()).collect()
    }

    #[test]
    fn failures_back_off_to_a_minute() {
        let mut pace = Pace::new(secs(10));
        assert_eq!(
            waits(&mut pace, 8),
            [1, 2, 4, 8, 16, 32, 60, 60],
            "nothing was read yet"
        );
        assert_eq!(pace.after_success(None), secs(10));
        assert_eq!(
            waits(&mut pace, 5),
            [10, 20, 40, 60, 60],
            "never more often than when all is well"
        );
        pace.after_success(None);
        assert_eq!(waits(&mut pace, 1), [10], "a good read ends it");
        assert_eq!(waits(&mut Pace::new(secs(1)), 3), [1, 2, 4]);
        for _ in 0..100 {
            pace.after_failure();
        }
        assert_eq!(pace.after_failure(), secs(60));
    }

    #[test]
    fn a_max_age_shortens_the_refresh_and_never_lengthens_it() {
        let mut pace = Pace::new(secs(60));
        assert_eq!(pace.after_success(Some(secs(3600))), secs(60));
        assert_eq!(pace.after_success(Some(secs(30))), secs(30));
    }

    #[test]
    fn a_max_age_of_zero_is_no_hot_loop() {
        assert_eq!(Pace::new(secs(60)).after_success(Some(Duration::ZERO)), secs(5));
        assert_eq!(Pace::new(secs(2)).after_success(Some(Duration::ZERO)), secs(2));
    }

    #[test]
    fn jitter_only_shortens_and_never_by_much() {
        for _ in 0..1000 {
            let wait = jittered(secs(10));
            assert!(wait >= secs(8) && wait <= secs(10), "{wait:?}");
        }
    }
}
