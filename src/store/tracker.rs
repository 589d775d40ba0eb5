//! What to do next about a shared store: read, write, or rest. Nothing here waits, or knows what a store is.

use std::time::Duration;

use bytes::Bytes;
use rand::Rng as _;
use tokio::time::Instant;

use super::shared::Version;
use crate::ring::Ledger;

/// The longest time between two reads. However seldom a source is read: what an operator decides at one replica, a
/// revocation above all, is for all of them.
const LONGEST: Duration = Duration::from_secs(10);

/// The first pause after a failure; doubled each time, until it is as long as between two reads.
const FAILED: Duration = Duration::from_secs(1);

/// Pauses after a lost race: the others need a moment too.
const RACED: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What one replica knows of the shared store.
#[derive(Debug)]
pub(super) struct Tracker {
    refresh: Duration,
    /// What is stored as far as is known; `None` where that is to be read first.
    seen: Option<Seen>,
    next_read: Instant,
    /// Nothing is asked of the store before.
    not_before: Instant,
    failures: u32,
    races: u32,
    behind_since: Option<Instant>,
    /// When it was last known what is stored.
    checked: Option<Instant>,
    /// When that was last the same as ours.
    agreed: Option<Instant>,
}

/// What is stored, and how a write names it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) ledger: Ledger,
    pub(super) document: Option<Bytes>,
    pub(super) version: Version,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// Read.
    Read,
    /// Write our ledger in the place of this.
    Write(Seen),
    /// Wait this long; a change of our ledger ends it.
    Rest(Duration),
}

impl Tracker {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            refresh: LONGEST,
            seen: None,
            next_read: now,
            not_before: now,
            failures: 0,
            races: 0,
            behind_since: None,
            checked: None,
            agreed: None,
        }
    }

    /// How often the store is read from now on: as often as the sources, and at least every ten seconds.
    pub(super) fn every(&mut self, refresh: Duration) {
        self.refresh = refresh.min(LONGEST);
        // What was read before this was known must not wait for the longest time.
        if let Some(checked) = self.checked {
            self.next_read = self.next_read.min(checked + self.refresh);
        }
    }

    /// What to do now. `mine` has all that was read in it.
    pub(super) fn next(&mut self, mine: &Ledger, now: Instant) -> Step {
        let is_behind = match &self.seen {
            Some(seen) => mine.adds_to(&seen.ledger),
            // As long as the store was not read, nobody knows.
            None => !mine.is_empty(),
        };
        self.behind_since = is_behind.then(|| self.behind_since.unwrap_or(now));
        if !is_behind && self.seen.is_some() {
            self.agreed = self.checked;
        }
        if now < self.not_before {
            return Step::Rest(self.not_before - now);
        }
        match &self.seen {
            None => Step::Read,
            // What others wrote must be learned also where nothing can be written.
            Some(_) if self.next_read <= now => Step::Read,
            Some(seen) if is_behind => Step::Write(seen.clone()),
            Some(_) => Step::Rest(self.next_read - now),
        }
    }

    /// The version that a read need not give again.
    pub(super) fn known(&self) -> Option<&Version> {
        self.seen.as_ref().map(|seen| &seen.version)
    }

    /// What is stored, as far as is known.
    pub(super) fn seen(&self) -> Option<Ledger> {
        self.seen.as_ref().map(|seen| seen.ledger.clone())
    }

    /// It is still what was known.
    pub(super) fn unchanged(&mut self, now: Instant) {
        if self.seen.is_none() {
            // Since what? It would be asked again at once.
            return self.failed(now);
        }
        if self.behind_since.is_none() {
            self.failures = 0;
        }
        self.checked = Some(now);
        self.next_read = now + jittered(self.refresh);
    }

    /// Another ledger was read, or ours was written.
    pub(super) fn is_stored(&mut self, seen: Seen, now: Instant) {
        self.seen = Some(seen);
        self.unchanged(now);
    }

    /// Ours was written.
    pub(super) fn written(&mut self, seen: Seen, now: Instant) {
        (self.races, self.failures) = (0, 0);
        self.is_stored(seen, now);
    }

    /// Another replica wrote first.
    pub(super) fn lost_race(&mut self, now: Instant) {
        self.failures = 0;
        self.seen = None;
        self.not_before = now + jittered(doubled(RACED, self.races));
        self.races = self.races.saturating_add(1);
    }

    /// The store does not answer, or not as it should.
    pub(super) fn failed(&mut self, now: Instant) {
        self.not_before = now + jittered(doubled((FAILED, self.refresh.max(FAILED)), self.failures));
        self.failures = self.failures.saturating_add(1);
    }

    /// A write gave no proof that it was one. What is stored is read before it is written again.
    pub(super) fn not_written(&mut self, now: Instant) {
        self.failed(now);
        self.next_read = now;
    }

    /// Since when something of ours is not stored.
    pub(super) fn behind_since(&self) -> Option<Instant> {
        self.behind_since
    }

    /// When ours and what is stored were last known to be the same.
    pub(super) fn agreed(&self) -> Option<Instant> {
        self.agreed
    }
}

fn doubled((first, most): (Duration, Duration), times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(most)
}

/// Shorter by up to a fifth, so that replicas do not ask in step; after lost races they must not.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.8..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fake::ledger;

    fn seen(names: &[&str], number: u64) -> Seen {
        Seen {
            ledger: ledger(names),
            document: None,
            version: Version::Number(number),
        }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// How long it rests.
    fn rests(step: &Step) -> Duration {
        match step {
            Step::Rest(wait) => *wait,
            step => panic!("{step:?}"),
        }
    }

    #[tokio::test]
    async fn the_store_is_read_before_anything_is_written() {
        let now = Instant::now();
        let mut tracker = Tracker::new(now);
        assert!(matches!(tracker.next(&ledger(&["a"]), now), Step::Read));
        assert_eq!(tracker.behind_since(), Some(now));
    }

    #[tokio::test]
    async fn only_what_the_store_lacks_is_written() {
        let now = Instant::now();
        let mut tracker = Tracker::new(now);
        tracker.is_stored(seen(&["a", "b"], 1), now);
        let wait = rests(&tracker.next(&ledger(&["a", "b"]), now));
        assert!(wait >= secs(8) && wait <= secs(10), "{wait:?}");
        rests(&tracker.next(&ledger(&["a"]), now));
        assert_eq!(tracker.behind_since(), None, "what is forgotten is no news");

        let step = tracker.next(&ledger(&["a", "b", "c"]), now);
        assert!(
            matches!(
                step,
                Step::Write(Seen {
                    version: Version::Number(1),
                    ..
                })
            ),
            "{step:?}"
        );
        assert_eq!(tracker.behind_since(), Some(now));
        tracker.written(seen(&["a", "b", "c"], 2), now);
        rests(&tracker.next(&ledger(&["a", "b", "c"]), now));
        assert_eq!(tracker.behind_since(), None);
    }

    #[tokio::test]
    async fn the_store_is_read_again_at_every_refresh() {
        let now = Instant::now();
        let mut tracker = Tracker::new(now);
        tracker.every(secs(5));
        tracker.is_stored(seen(&["a"], 1), now);
        assert!(matches!(tracker.next(&ledger(&["a"]), now + secs(5)), Step::Read));
        tracker.unchanged(now + secs(5));
        assert!(rests(&tracker.next(&ledger(&["a"]), now + secs(5))) >= secs(4));
    }

    #[tokio::test]
    async fn a_read_before_the_refresh_was_known_does_not_put_off_the_next_one() {
        let now = Instant::now();
        let mut tracker = Tracker::new(now);
        tracker.is_stored(seen(&["a"], 1), now);
        tracker.every(secs(2));
        assert!(rests(&tracker.next(&ledger(&["a"]), now)) <= secs(2));
    }

    #[tokio::test]
    async fn the_store_is_read_every_ten_seconds_however_seldom_the_sources_are() {
        let now = Instant::now();
        let mut tracker = Tracker::new(now);
        tracker.every(secs(3600));
        tracker.is_stored(seen(&["a"], 1), now);
        assert!(rests(&tracker.next(&ledger(&["a"]), now)) <= LONGEST);
    }

    #[tokio::test]
    async fn it_agrees_with_the_store_as_of_the_last_read_or_write_that_said_so() {
        let start = Instant::now();
        let mut tracker = Tracker::new(start);
        tracker.next(&ledger(&["a"]), start);
        assert_eq!(tracker.agreed(), None);
        tracker.is_stored(seen(&[], 1), start + secs(1));
        tracker.next(&ledger(&["a"]), start + secs(1));
        assert_eq!(tracker.agreed(), None, "ours is not stored");
        tracker.written(seen(&["a"], 2), start + secs(2));
        tracker.next(&ledger(&["a"]), start + secs(3));
        assert_eq!(tracker.agreed(), Some(start + secs(2)));
        tracker.unchanged(start + secs(12));
        tracker.next(&ledger(&["a", "b"]), start + secs(12));
        assert_eq!(
            tracker.agreed(),
            Some(start + secs(2)),
            "something new is not stored yet"
        );
        tracker.failed(start + secs(13));
        tracker.next(&ledger(&["a"]), start + secs(60));
        assert_eq!(
            tracker.agreed(),
            Some(start + secs(12)),
            "a store that is away says nothing"
        );
    }

    #[tokio::test]
    async fn a_lost_race_is_read_and_tried_again_soon() {
        let now = Instant::now();
        let mut tracker = Tracker::new(now);
        tracker.is_stored(seen(&[], 1), now);
        tracker.lost_race(now);
        let wait = rests(&tracker.next(&ledger(&["a"]), now));
        assert!(wait <= RACED.0, "{wait:?}");
        assert!(matches!(tracker.next(&ledger(&["a"]), now + wait), Step::Read));
        for _ in 0..20 {
            tracker.lost_race(now);
        }
        assert!(rests(&tracker.next(&ledger(&["a"]), now)) <= RACED.1);
    }

    #[tokio::test]
    async fn a_store_that_fails_is_asked_less_and_less_often_but_never_less_than_one_that_answers() {
        let now = Instant::now();
        let mut tracker = Tracker::new(now);
        tracker.failed(now);
        assert!(rests(&tracker.next(&ledger(&["a"]), now)) <= FAILED);
        for _ in 0..20 {
            tracker.failed(now);
        }
        let wait = rests(&tracker.next(&ledger(&["a"]), now));
        assert!(wait >= secs(8) && wait <= LONGEST, "{wait:?}");
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_written_is_still_read() {
        let mut now = Instant::now();
        let mut tracker = Tracker::new(now);
        tracker.is_stored(seen(&["a"], 1), now);
        let (mut reads, mut writes) = (0, 0);
        let end = now + Duration::from_mins(5);
        while now < end {
            match tracker.next(&ledger(&["a", "b"]), now) {
                Step::Read => {
                    reads += 1;
                    tracker.unchanged(now);
                }
                Step::Write(_) => {
                    writes += 1;
                    tracker.not_written(now);
                }
                Step::Rest(wait) => now += wait,
            }
        }
        assert!(reads >= 9, "{reads}");
        assert!((20..=50).contains(&writes), "{writes}");
    }

    #[tokio::test]
    async fn after_a_write_without_proof_what_is_stored_is_read_before_it_is_written_again() {
        let now = Instant::now();
        let mut tracker = Tracker::new(now);
        tracker.is_stored(seen(&[], 1), now);
        assert!(matches!(tracker.next(&ledger(&["a"]), now), Step::Write(_)));
        tracker.not_written(now);
        assert_eq!(tracker.agreed(), None);
        let wait = rests(&tracker.next(&ledger(&["a"]), now));
        let later = now + wait;
        assert!(matches!(tracker.next(&ledger(&["a"]), later), Step::Read));
        tracker.is_stored(seen(&["a"], 2), later);
        rests(&tracker.next(&ledger(&["a"]), later));
        assert_eq!(tracker.agreed(), Some(later), "it was written after all");
    }

    #[tokio::test]
    async fn whatever_a_store_answers_it_is_asked_a_few_times_a_second_at_most() {
        use rand::{Rng as _, SeedableRng as _};
        for seed in 0..200 {
            let mut random = rand::rngs::StdRng::seed_from_u64(seed);
            // Some answers come again and again, as those of a proxy do.
            let kinds = random.random_range(1..=5);
            let answers: Vec<u8> = (0..kinds).map(|_| random.random_range(0..6)).collect();
            let start = Instant::now();
            let (mut now, mut asked) = (start, 0);
            let mut tracker = Tracker::new(now);
            tracker.every(secs(1));
            while now < start + Duration::from_mins(2) {
                let step = tracker.next(&ledger(&["a"]), now);
                let answer = answers[random.random_range(0..answers.len())];
                asked += u32::from(!matches!(step, Step::Rest(_)));
                match (step, answer) {
                    (Step::Rest(wait), _) => now += wait.max(Duration::from_nanos(1)),
                    (Step::Read, 0) => tracker.unchanged(now),
                    (Step::Read, 1 | 2) => tracker.failed(now),
                    (Step::Write(_), 0 | 1) => tracker.not_written(now),
                    (Step::Read, _) => tracker.is_stored(seen(&[], random.random()), now),
                    (Step::Write(_), 2..=4) => tracker.lost_race(now),
                    (Step::Write(_), _) => tracker.written(seen(&["a"], random.random()), now),
                }
            }
            // Twice at every refresh of a second, and some more after lost races.
            assert!(asked <= 120 * 4 + 20, "{asked} with {answers:?}");
        }
    }

    #[tokio::test]
    async fn the_lag_counts_from_the_oldest_change() {
        let now = Instant::now();
        let mut tracker = Tracker::new(now);
        tracker.is_stored(seen(&[], 1), now);
        tracker.next(&ledger(&["a"]), now);
        tracker.failed(now);
        tracker.next(&ledger(&["a", "b"]), now + secs(100));
        assert_eq!(tracker.behind_since(), Some(now));
        tracker.lost_race(now + secs(101));
        tracker.next(&ledger(&["a", "b"]), now + secs(102));
        assert_eq!(tracker.behind_since(), Some(now));
    }
}
