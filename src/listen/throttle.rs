//! Log lines about events that anyone who reaches a port can cause: at most one a minute.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a line that could be repeated for each connection is logged.
const INTERVAL: Duration = Duration::from_mins(1);

/// Decides which of many equal events is logged. Shared by all connections of a listener.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    /// Events since the last line.
    suppressed: u64,
}

impl LogThrottle {
    /// If a line is due: the number of events since the last line that were not logged.
    pub(crate) fn due(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_event_that_repeats_is_logged_once_a_minute_with_the_number_not_logged() {
        let throttle = LogThrottle::default();
        let mut logged = Vec::new();
        for _ in 0..1200 {
            logged.extend(throttle.due());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(logged, [0, 599]);
    }
}
