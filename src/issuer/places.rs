//! How many reads run at once, and how many begin in a second: bounded, and fair.
//!
//! Half of the places are for sources whose last read succeeded, a quarter for those that fail, a quarter for first reads. So
//! a thousand sources that hang take no place from the others, and an issuer that is new does not wait behind a round.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant, sleep_until};

use super::rounds::Rounds;

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

/// A read that takes longer than this has no place among the healthy or the first ones, if there is one elsewhere.
const SLOW: Duration = Duration::from_secs(1);

/// What a read is: it decides which places it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of something on this machine: mostly a look at files that did not change. It costs next to nothing, so it takes no
    /// turn, and waits for no read over the network.
    Local,
    /// Over the network, of a source whose last read went so.
    Remote(Last),
}

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    local: Arc<Semaphore>,
    healthy: Arc<Semaphore>,
    failing: Arc<Semaphore>,
    first: Arc<Semaphore>,
    pause: Duration,
    /// When the next read may begin.
    next: Mutex<Option<Instant>>,
    rounds: Rounds,
}

impl Places {
    pub(super) fn new(limits: ReadLimits, rounds: Rounds) -> Self {
        let quarter = (limits.at_once / 4).max(1);
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Self {
            local: semaphore(limits.at_once.max(1)),
            healthy: semaphore(limits.at_once.saturating_sub(2 * quarter).max(1)),
            failing: semaphore(quarter),
            first: semaphore(quarter),
            pause: Duration::from_secs(1) / limits.per_second.max(1),
            next: Mutex::default(),
            rounds,
        }
    }

    /// Waits for a place and for its turn, and reads. `read` is made when it has them: what waits is small. How long it
    /// waited, and what it read.
    pub(super) async fn read<T, R: Future<Output = T>>(
        &self,
        kind: Kind,
        read: impl FnOnce() -> R,
    ) -> (Duration, T) {
        let since = Instant::now();
        // A source that can be read tells how long a round takes: others wait for reasons of their own.
        let waits = (kind == Kind::Remote(Last::Succeeded)).then(|| self.rounds.waits(since));
        let places = match kind {
            Kind::Local => &self.local,
            Kind::Remote(Last::None) => &self.first,
            Kind::Remote(Last::Succeeded) => &self.healthy,
            Kind::Remote(Last::Failed) => &self.failing,
        };
        let place = acquire(places).await;
        if kind != Kind::Local {
            let turn = self.turn();
            if turn > Instant::now() {
                sleep_until(turn).await;
            }
        }
        drop(waits);
        let begun = Instant::now();
        let waited = begun.duration_since(since);
        // Boxed, because what it needs is not needed for the rest of the task's life.
        let mut read = Box::pin(read());
        if kind == Kind::Remote(Last::Failed) {
            let done = read.await;
            drop(place);
            return (waited, done);
        }
        tokio::select! {
            done = &mut read => return (waited, done),
            () = sleep_until(begun + SLOW) => {}
        }
        // It may hang: others are not to wait for it. What is read on this machine is bounded by its threads as well.
        let place = match (kind, Arc::clone(&self.failing).try_acquire_owned()) {
            (Kind::Local, _) => {
                drop(place);
                None
            }
            (_, Ok(slow)) => {
                drop(place);
                Some(slow)
            }
            (_, Err(_)) => place,
        };
        let done = read.await;
        drop(place);
        (waited, done)
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

    const GOOD: Kind = Kind::Remote(Last::Succeeded);

    const LIMITS: ReadLimits = ReadLimits {
        at_once: 8,
        per_second: 1000,
    };

    #[tokio::test(start_paused = true)]
    async fn sources_that_hang_take_no_place_from_the_others() {
        let places = Arc::new(Places::new(LIMITS, Rounds::default()));
        for last in [Last::Failed, Last::None] {
            for _ in 0..1000 {
                let places = Arc::clone(&places);
                tokio::spawn(async move { places.read(Kind::Remote(last), pending::<()>).await });
            }
        }
        let start = Instant::now();
        for number in 0..100 {
            assert_eq!(places.read(GOOD, || async { number }).await.1, number);
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_begins_to_hang_makes_room() {
        let places = Arc::new(Places::new(LIMITS, Rounds::default()));
        for _ in 0..2 {
            for _ in 0..2 {
                let places = Arc::clone(&places);
                tokio::spawn(async move { places.read(GOOD, pending::<()>).await });
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
        let places = Places::new(
            ReadLimits {
                at_once: 256,
                per_second: 100,
            },
            Rounds::default(),
        );
        let start = Instant::now();
        for _ in 0..200 {
            places.read(GOOD, || async {}).await;
        }
        assert!(
            start.elapsed() >= Duration::from_millis(1900),
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_on_this_machine_waits_for_no_read_over_the_network() {
        let places = Arc::new(Places::new(LIMITS, Rounds::default()));
        for last in [Last::Failed, Last::None, Last::Succeeded] {
            for _ in 0..100 {
                let places = Arc::clone(&places);
                tokio::spawn(async move { places.read(Kind::Remote(last), pending::<()>).await });
            }
        }
        tokio::task::yield_now().await;
        let start = Instant::now();
        for _ in 0..10_000 {
            places.read(Kind::Local, || async {}).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        // Nor for more than a moment for others that hang.
        for _ in 0..100 {
            let places = Arc::clone(&places);
            tokio::spawn(async move { places.read(Kind::Local, pending::<()>).await });
        }
        tokio::task::yield_now().await;
        places.read(Kind::Local, || async {}).await;
        let most = SLOW * 100_u32.div_ceil(8);
        assert!(start.elapsed() <= most, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn how_long_a_round_takes_is_what_a_healthy_source_waits() {
        let rounds = Rounds::default();
        let limits = ReadLimits {
            at_once: 256,
            per_second: 10,
        };
        let places = Arc::new(Places::new(limits, rounds.clone()));
        let reads: Vec<_> = (0..100)
            .map(|_| {
                let places = Arc::clone(&places);
                tokio::spawn(async move { places.read(GOOD, || async {}).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(rounds.longest().as_secs(), 5, "those that wait still count");
        for read in reads {
            read.await.unwrap();
        }
        assert_eq!(rounds.longest().as_secs(), 9);
        // Those that fail have places and reasons of their own.
        places.read(Kind::Remote(Last::Failed), || async {}).await;
        assert_eq!(rounds.longest().as_secs(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_read_that_hangs_makes_room_for_another() {
        let places = Arc::new(Places::new(LIMITS, Rounds::default()));
        for _ in 0..2 {
            let places = Arc::clone(&places);
            tokio::spawn(async move { places.read(Kind::Remote(Last::None), pending::<()>).await });
        }
        let start = Instant::now();
        tokio::time::sleep(Duration::from_millis(100)).await;
        places.read(Kind::Remote(Last::None), || async {}).await;
        assert!(start.elapsed() <= SLOW * 2, "{:?}", start.elapsed());
    }
}
