//! What may be believed of the wall clock: a leap that the time elapsed since the start did not see is not taken for
//! time that has passed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Clocks that are set right by this much are nothing to speak of.
pub const LEAP: SignedDuration = SignedDuration::from_mins(5);

/// A clock that has stood elsewhere for this long stands right.
const ACCEPTED_AFTER: Duration = Duration::from_hours(24);

/// Follows the wall clock, and never runs ahead of (wall clock at the start + time elapsed since) before the wall clock
/// has done so for 24 h. Pure: both clocks are read by whoever asks.
#[derive(Clone, Debug)]
pub struct Steady {
    /// What the wall clock says when nothing has elapsed.
    origin: Timestamp,
    /// A wall clock that stands elsewhere: by how much, and since when.
    leap: Option<Leap>,
    /// Since when no leap was accepted.
    even_since: Duration,
    /// Whether the leap was told.
    is_told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Leap {
    by: SignedDuration,
    since: Duration,
}

/// The time, as far as it may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The lower of the wall clock and `expected`: what ends by time alone goes by it.
    pub now: Timestamp,
    /// Wall clock at the start + time elapsed since: what is written down goes by it, so that a clock that is set back for
    /// a moment makes nothing old.
    pub expected: Timestamp,
    /// How far the wall clock stands from the second of them, as long as that was not accepted: negative if it is behind.
    pub leap: SignedDuration,
    /// For how long it has run without accepting a leap.
    pub even_for: Duration,
    /// What is to be told, once.
    pub news: Option<News>,
}

/// What became of a leap of more than [`LEAP`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The wall clock stands elsewhere than the time elapsed says.
    Leapt,
    /// It no longer does.
    Over,
    /// It has done so for 24 h, by this much, and is followed now.
    Accepted(SignedDuration),
}

impl Steady {
    /// Starts at `wall`; `elapsed` is from any fixed moment on, time spent in suspend included.
    pub fn start(wall: Timestamp, elapsed: Duration) -> Self {
        Self {
            origin: moved(wall, -signed(elapsed)),
            leap: None,
            even_since: elapsed,
            is_told: false,
        }
    }

    /// Takes up what both clocks say now.
    pub fn read(&mut self, wall: Timestamp, elapsed: Duration) -> Reading {
        let by = wall.duration_since(moved(self.origin, signed(elapsed)));
        let mut accepted = None;
        let same = |leap: &Leap| (by - leap.by).abs() <= LEAP;
        match self.leap.filter(same) {
            _ if by.abs() <= SignedDuration::from_secs(1) => self.leap = None,
            None => self.leap = Some(Leap { by, since: elapsed }),
            Some(leap) if elapsed.saturating_sub(leap.since) >= ACCEPTED_AFTER => {
                self.origin = moved(self.origin, by);
                self.leap = None;
                if by.abs() > LEAP {
                    self.even_since = elapsed;
                    accepted = Some(News::Accepted(by));
                }
            }
            Some(_) => {}
        }
        let expected = moved(self.origin, signed(elapsed));
        let leap = wall.duration_since(expected);
        let is_far = leap.abs() > LEAP;
        let news = match (std::mem::replace(&mut self.is_told, is_far), is_far) {
            (false, true) => Some(News::Leapt),
            (true, false) => accepted.or(Some(News::Over)),
            _ => None,
        };
        Reading {
            now: wall.min(expected),
            expected,
            leap,
            even_for: elapsed.saturating_sub(self.even_since),
            news,
        }
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn moved(moment: Timestamp, by: SignedDuration) -> Timestamp {
    moment.saturating_add(by).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    const HOUR: i64 = 3600;
    const YEAR: i64 = 365 * 24 * HOUR;

    /// The time after so many seconds, with the wall clock this much beside it.
    fn read(steady: &mut Steady, elapsed: i64, beside: i64) -> i64 {
        let reading = steady.read(at(elapsed + beside), Duration::from_secs(elapsed.unsigned_abs()));
        reading.now.duration_since(at(0)).as_secs()
    }

    fn start() -> Steady {
        Steady::start(at(0), Duration::ZERO)
    }

    #[test]
    fn a_wall_clock_that_runs_ahead_is_not_followed_before_it_has_done_so_for_a_day() {
        let mut steady = start();
        assert_eq!(read(&mut steady, 10, 0), 10);
        assert_eq!(read(&mut steady, 20, YEAR), 20);
        assert_eq!(read(&mut steady, 24 * HOUR, YEAR), 24 * HOUR);
        assert_eq!(read(&mut steady, 24 * HOUR + 20, YEAR), 24 * HOUR + 20 + YEAR);
        // Once accepted, the way back is a leap too, and the lower one counts at once.
        assert_eq!(read(&mut steady, 25 * HOUR, 0), 25 * HOUR);
    }

    #[test]
    fn a_leap_that_ends_or_becomes_another_one_starts_its_day_anew() {
        let mut steady = start();
        for hour in 0..240 {
            let beside = if hour % 23 == 0 { 0 } else { YEAR };
            assert_eq!(read(&mut steady, hour * HOUR, beside), hour * HOUR, "an end");
        }
        let mut steady = start();
        for hour in 0..240 {
            let beside = (hour / 23 + 1) * YEAR;
            assert_eq!(read(&mut steady, hour * HOUR, beside), hour * HOUR, "other leaps");
        }
    }

    #[test]
    fn many_small_leaps_are_no_way_around_it() {
        let mut steady = start();
        for minute in 0..23 * 60 {
            assert_eq!(read(&mut steady, minute * 60, minute * 240), minute * 60);
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_back_is_followed_at_once_and_back_again_at_once() {
        let mut steady = start();
        assert_eq!(read(&mut steady, 10, -YEAR), 10 - YEAR);
        assert_eq!(read(&mut steady, 20, -YEAR), 20 - YEAR);
        assert_eq!(read(&mut steady, 30, 0), 30);
    }

    #[test]
    fn a_leap_is_told_until_it_is_accepted_and_then_the_quiet_time_starts_anew() {
        let mut steady = start();
        let mut told = |hours: u64, beside: i64| {
            let elapsed = Duration::from_hours(hours);
            let wall = at(elapsed.as_secs().cast_signed() + beside);
            let Reading { leap, even_for, .. } = steady.read(wall, elapsed);
            (leap.as_secs(), even_for.as_secs() / 3600)
        };
        assert_eq!(told(200, 0), (0, 200));
        assert_eq!(told(201, YEAR), (YEAR, 201));
        assert_eq!(told(224, YEAR), (YEAR, 224));
        assert_eq!(told(225, YEAR), (0, 0), "accepted");
        assert_eq!(told(226, 0), (-YEAR, 1));
        assert_eq!(told(250, 0), (0, 0));
    }

    #[test]
    fn a_leap_and_its_end_are_told_once() {
        let mut steady = start();
        let mut news = |hours: u64, beside: i64| {
            let elapsed = Duration::from_hours(hours);
            let wall = at(elapsed.as_secs().cast_signed() + beside);
            steady.read(wall, elapsed).news
        };
        assert_eq!(
            [news(1, 299), news(2, 301), news(3, 301)],
            [None, Some(News::Leapt), None]
        );
        assert_eq!([news(4, 0), news(5, -301)], [Some(News::Over), Some(News::Leapt)]);
        let accepted = News::Accepted(SignedDuration::from_secs(-301));
        assert_eq!(
            [news(28, -301), news(29, -301), news(30, -301)],
            [None, Some(accepted), None]
        );
    }

    #[test]
    fn times_at_the_end_of_all_times_are_no_panic() {
        let mut steady = Steady::start(Timestamp::MAX, Duration::MAX);
        steady.read(Timestamp::MIN, Duration::ZERO);
        steady.read(Timestamp::MAX, Duration::MAX);
        let mut steady = Steady::start(Timestamp::MIN, Duration::ZERO);
        steady.read(Timestamp::MAX, Duration::MAX);
    }
}
