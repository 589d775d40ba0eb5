//! What is worth a line in the log of a source's reads: one for each event that an operator would act on, none for
//! each read.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::reminders::EVERY;
use crate::key::Quarantined;
use crate::source::{Kind, ReadError};

/// Lines about held entries at most, for each read.
const MAX_LINES: usize = 20;

/// How the last reads of a source went.
#[derive(Debug, Default)]
pub(super) struct Health {
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Timestamp,
    reads: u64,
    /// Those that were told: a balancer may refuse and time out in turn.
    causes: HashSet<Kind>,
    /// When it was told last.
    told: Timestamp,
    last: String,
}

/// What a read changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing new.
    Same,
    /// The first failure, or the first with this cause since.
    Fails,
    /// It was told a while ago, and lasts.
    Lasts {
        /// When the first failure was.
        since: Timestamp,
        /// How many there were.
        reads: u64,
    },
    /// The first good read after failures.
    Recovered {
        /// When the first of them was.
        since: Timestamp,
        /// How many there were.
        reads: u64,
    },
}

impl Health {
    pub(super) fn read(&mut self, outcome: Result<(), &ReadError>, now: Timestamp) -> Turn {
        match (outcome, &mut self.failing) {
            (Ok(()), failing) => {
                failing
                    .take()
                    .map_or(Turn::Same, |Failing { since, reads, .. }| Turn::Recovered {
                        since,
                        reads,
                    })
            }
            (Err(error), Some(failing)) => {
                failing.reads += 1;
                failing.last = error.to_string();
                let is_new = failing.causes.insert(error.cause().kind());
                let is_old = now.duration_since(failing.told) >= EVERY;
                if is_new || is_old || now < failing.told {
                    failing.told = now;
                }
                match (is_new, is_old) {
                    (true, _) => Turn::Fails,
                    (false, true) => Turn::Lasts {
                        since: failing.since,
                        reads: failing.reads,
                    },
                    _ => Turn::Same,
                }
            }
            (Err(error), failing @ None) => {
                *failing = Some(Failing {
                    since: now,
                    reads: 1,
                    causes: HashSet::from([error.cause().kind()]),
                    told: now,
                    last: error.to_string(),
                });
                Turn::Fails
            }
        }
    }

    /// Why the last read failed.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failing.as_ref().map(|failing| failing.last.as_str())
    }
}

/// What a source holds back, told when it changes.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<String, String>);

impl Held {
    /// Whether nothing is held back.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Logs what is held back from now on, and what no longer is.
    pub(super) fn now(&mut self, issuer: &str, source: &str, entries: &[Quarantined]) {
        let now: BTreeMap<String, String> = entries
            .iter()
            .map(|held| {
                let kid = held
                    .kid
                    .as_deref()
                    .map(|kid| format!(" (kid {kid:?})"))
                    .unwrap_or_default();
                (format!("{}{kid}", held.entry), held.reason.to_string())
            })
            .collect();
        let new: Vec<_> = now
            .iter()
            .filter(|(entry, reason)| self.0.get(*entry) != Some(*reason))
            .collect();
        for (entry, reason) in new.iter().take(MAX_LINES) {
            tracing::warn!(
                issuer,
                source,
                entry,
                reason,
                "an entry is held back, and not published"
            );
        }
        if let Some(more @ 1..) = new.len().checked_sub(MAX_LINES) {
            tracing::warn!(issuer, source, more, "more entries are held back");
        }
        let gone = self.0.keys().filter(|entry| !now.contains_key(*entry));
        for entry in gone.take(MAX_LINES) {
            tracing::info!(issuer, source, entry, "an entry is no longer held back");
        }
        self.0 = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Cause;
    use crate::source::Asked;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn error(cause: Cause) -> ReadError {
        ReadError::new(Asked::Jwks, "https://example.com/jwks", cause)
    }

    #[test]
    fn a_failing_source_is_told_once_for_each_cause_and_its_recovery_once() {
        let mut health = Health::default();
        assert_eq!(health.read(Ok(()), at(0)), Turn::Same);
        assert_eq!(health.read(Err(&error(Cause::Refused)), at(1)), Turn::Fails);
        assert_eq!(health.read(Err(&error(Cause::Refused)), at(2)), Turn::Same);
        assert_eq!(health.read(Err(&error(Cause::Expired)), at(3)), Turn::Fails);
        assert_eq!(
            health.read(Err(&error(Cause::Refused)), at(4)),
            Turn::Same,
            "causes that take turns"
        );
        assert_eq!(
            health.read(Ok(()), at(5)),
            Turn::Recovered {
                since: at(1),
                reads: 4
            }
        );
        assert_eq!(health.read(Ok(()), at(6)), Turn::Same);
        assert_eq!(health.read(Err(&error(Cause::Refused)), at(7)), Turn::Fails);
    }

    #[test]
    fn a_failure_that_lasts_is_told_again_every_five_minutes() {
        let mut health = Health::default();
        let refused = error(Cause::Refused);
        assert_eq!(health.read(Err(&refused), at(0)), Turn::Fails);
        for lasting in [1, 2] {
            let now = lasting * 300;
            assert_eq!(health.read(Err(&refused), at(now - 1)), Turn::Same);
            assert!(
                matches!(health.read(Err(&refused), at(now)), Turn::Lasts { since, .. } if since == at(0))
            );
        }
        assert_eq!(health.read(Err(&error(Cause::Expired)), at(700)), Turn::Fails);
        assert_eq!(
            health.read(Err(&refused), at(900)),
            Turn::Same,
            "another cause was told"
        );
        assert_eq!(
            health.read(Err(&refused), at(100)),
            Turn::Same,
            "the clock was set back"
        );
        assert!(matches!(health.read(Err(&refused), at(400)), Turn::Lasts { .. }));
        assert_eq!(health.failure(), Some(refused.to_string().as_str()));
    }
}
