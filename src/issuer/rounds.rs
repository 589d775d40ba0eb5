//! How long a reading round takes: how long a source that can be read waits, when it is due, until it is its turn.
//!
//! While there are few sources that is nothing. Where all of them together need more reads than [`super::ReadLimits`] allow,
//! each waits for the others, and that is how long it takes until all of them were read once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use tokio::time::{Duration, Instant};

/// The longest wait of this time counts, and of the one before.
const WINDOW: Duration = Duration::from_mins(5);

/// The rounds of the process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Those that wait, by since when.
    waiting: BTreeSet<(Instant, u64)>,
    next: u64,
    window: Option<Instant>,
    longest: Duration,
    before: Duration,
}

/// A source waits for its turn, until this is dropped.
#[derive(Debug)]
pub(super) struct Waits {
    rounds: Rounds,
    since: Instant,
    number: u64,
}

impl Rounds {
    /// A source that can be read is due, and waits.
    pub(super) fn waits(&self, since: Instant) -> Waits {
        let mut state = self.state();
        let number = state.next;
        state.next = number.wrapping_add(1);
        state.waiting.insert((since, number));
        drop(state);
        Waits {
            rounds: self.clone(),
            since,
            number,
        }
    }

    /// The longest that a source waited in the last minutes, or waits now.
    pub fn longest(&self) -> SignedDuration {
        let now = Instant::now();
        let mut state = self.state();
        state.turn_over(now);
        let first = state.waiting.first();
        let waits = first.map(|(since, _)| now.saturating_duration_since(*since));
        let longest = state.longest.max(state.before).max(waits.unwrap_or_default());
        SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX)
    }

    /// Written in single steps, so a panic elsewhere leaves it whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn turn_over(&mut self, now: Instant) {
        let window = *self.window.get_or_insert(now);
        let windows = now.saturating_duration_since(window).as_secs() / WINDOW.as_secs();
        if windows >= 1 {
            self.before = if windows == 1 {
                self.longest
            } else {
                Duration::ZERO
            };
            self.longest = Duration::ZERO;
            self.window = Some(now);
        }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.rounds.state();
        state.waiting.remove(&(self.since, self.number));
        state.turn_over(now);
        state.longest = state.longest.max(now.saturating_duration_since(self.since));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_long_round_is_forgotten_after_some_minutes() {
        let rounds = Rounds::default();
        assert_eq!(rounds.longest(), SignedDuration::ZERO);
        let waits = rounds.waits(Instant::now());
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert_eq!(rounds.longest().as_secs(), 7);
        drop(waits);
        tokio::time::sleep(WINDOW).await;
        assert_eq!(rounds.longest().as_secs(), 7);
        tokio::time::sleep(WINDOW).await;
        assert_eq!(rounds.longest(), SignedDuration::ZERO);
    }
}
