//! How many reads run at once, and how many begin in a second: bounded, and fair.
//!
//! Half of the places are for sources whose last read succeeded, a quarter for those that fail, a quarter for first reads. So
//! a thousand sources that hang take no place from the others, and an issuer that is new does not wait behind a round.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant, sleep_until};

/// The bounds of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Reads at once, at least 4.
    pub at_once: usize,
    /// Reads that begin in a second, at least 1.
    pub per_second: u32,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            at_once: 256,
            per_second: 2000,
        }
    }
}

/// How the last read of a source went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Last {
    /// There was none.
    #[default]
    None,
    Succeeded,
    Failed,
}

/// A read that takes longer than this has no place among the healthy ones, if there is one elsewhere.
const SLOW: Duration = Duration::from_secs(1);

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    healthy: Arc<Semaphore>,
    failing: Arc<Semaphore>,
    first: Arc<Semaphore>,
    pause: Duration,
    /// When the next read may begin.
    next: Mutex<Option<Instant>>,
}

impl Places {
    pub(super) fn new(limits: ReadLimits) -> Self {
        let quarter = (limits.at_once / 4).max(1);
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Self {
            healthy: semaphore(limits.at_once.saturating_sub(2 * quarter).max(1)),
            failing: semaphore(quarter),
            first: semaphore(quarter),
            pause: Duration::from_secs(1) / limits.per_second.max(1),
            next: Mutex::default(),
        }
    }

    /// Waits for a place and for its turn, and reads.
    pub(super) async fn read<T>(&self, last: Last, read: impl Future<Output = T>) -> T {
        let kind = match last {
            Last::None => &self.first,
            Last::Succeeded => &self.healthy,
            Last::Failed => &self.failing,
        };
        let place = acquire(kind).await;
        let turn = self.turn();
        if turn > Instant::now() {
            sleep_until(turn).await;
        }
        let mut read = std::pin::pin!(read);
        if last != Last::Succeeded {
            let done = read.await;
            drop(place);
            return done;
        }
        let begun = Instant::now();
        tokio::select! {
            done = &mut read => return done,
            () = sleep_until(begun + SLOW) => {}
        }
        // It may hang: others are not to wait for it.
        let slow = Arc::clone(&self.failing).try_acquire_owned();
        let place = match slow {
            Ok(slow) => {
                drop(place);
                Some(slow)
            }
            Err(_) => place,
        };
        let done = read.await;
        drop(place);
        done
    }

    /// When the next read may begin. Turns that nobody took are lost: after a pause there is no burst.
    fn turn(&self) -> Instant {
        let now = Instant::now();
        // Written in one step, so a panic elsewhere leaves it whole.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + self.pause);
        turn
    }
}

/// A semaphore that is never closed.
async fn acquire(semaphore: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).acquire_owned().await.ok()
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const LIMITS: ReadLimits = ReadLimits {
        at_once: 8,
        per_second: 1000,
    };

    #[tokio::test(start_paused = true)]
    async fn sources_that_hang_take_no_place_from_the_others() {
        let places = Arc::new(Places::new(LIMITS));
        for last in [Last::Failed, Last::None] {
            for _ in 0..1000 {
                let places = Arc::clone(&places);
                tokio::spawn(async move { places.read(last, pending::<()>()).await });
            }
        }
        let start = Instant::now();
        for number in 0..100 {
            assert_eq!(places.read(Last::Succeeded, async { number }).await, number);
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_begins_to_hang_makes_room() {
        let places = Arc::new(Places::new(LIMITS));
        for _ in 0..2 {
            for _ in 0..2 {
                let places = Arc::clone(&places);
                tokio::spawn(async move { places.read(Last::Succeeded, pending::<()>()).await });
            }
            tokio::time::sleep(SLOW * 2).await;
        }
        assert_eq!(
            places.healthy.available_permits(),
            2,
            "the others found a place elsewhere"
        );
        assert_eq!(places.failing.available_permits(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn reads_begin_no_faster_than_is_configured() {
        let places = Places::new(ReadLimits {
            at_once: 256,
            per_second: 100,
        });
        let start = Instant::now();
        for _ in 0..200 {
            places.read(Last::Succeeded, async {}).await;
        }
        assert!(
            start.elapsed() >= Duration::from_millis(1900),
            "{:?}",
            start.elapsed()
        );
    }
}
