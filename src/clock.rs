//! The one place that reads the clocks; everywhere else time is an argument.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

pub use oidc_issuer_core::steady::{LEAP, News, Reading, Steady};

/// Tells the time of day. Handed down from `main`; tests hand down their own.
#[derive(Clone)]
pub struct Clock {
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    elapsed: Arc<dyn Fn() -> Duration + Send + Sync>,
    steady: Arc<Mutex<Option<Steady>>>,
}

impl Clock {
    /// The clocks of this machine.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        let clock = Self::of(Timestamp::now, since_boot);
        // The time that is elapsed counts from the start of the process on.
        clock.steady();
        clock
    }

    /// A clock that tells what `now` tells, without any leap: for tests.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let now = Arc::new(now);
        let wall = Arc::clone(&now);
        let elapsed = move || now().duration_since(Timestamp::UNIX_EPOCH).unsigned_abs();
        Self::of(move || wall(), elapsed)
    }

    /// A clock of both: what the wall clock says, and the time elapsed from any fixed moment on, suspend included.
    pub fn of(
        wall: impl Fn() -> Timestamp + Send + Sync + 'static,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self {
            wall: Arc::new(wall),
            elapsed: Arc::new(elapsed),
            steady: Arc::default(),
        }
    }

    /// What the wall clock says: for people, certificates and tokens.
    pub fn now(&self) -> Timestamp {
        (self.wall)()
    }

    /// The time for whatever ends by time alone: a leap of the wall clock is not taken for time that has passed.
    pub fn steady(&self) -> Reading {
        let (wall, elapsed) = ((self.wall)(), (self.elapsed)());
        // Written in one step, so a panic elsewhere leaves it whole.
        let mut steady = self.steady.lock().unwrap_or_else(PoisonError::into_inner);
        steady
            .get_or_insert_with(|| Steady::start(wall, elapsed))
            .read(wall, elapsed)
    }
}

/// `CLOCK_BOOTTIME` goes on in suspend; where there is none, that time is missing and keys stay for longer.
fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    rustix::time::clock_gettime(CLOCK).try_into().unwrap_or_default()
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
