//! What happens with each connection, and is not worth a line each time.

use std::time::Duration;

use tokio::time::Instant;

/// A warning that would be repeated for each connection is logged this often.
const EVERY: Duration = Duration::from_mins(1);

/// Says when something that happens often is worth a line again.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Option<Instant>);

impl Seldom {
    /// Whether it is now.
    pub(crate) fn now(&mut self) -> bool {
        let now = Instant::now();
        let due = self.0.is_none_or(|last| now.duration_since(last) >= EVERY);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_and_on_is_told_once_a_minute() {
        let mut seldom = Seldom::default();
        let mut told = 0;
        for _ in 0..1200 {
            told += u32::from(seldom.now());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(told, 2);
    }
}
