//! What is worth a line in the log: one for each event that an operator would act on, none for each read.

use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};

use jiff::Timestamp;

use crate::key::{KeyId, Quarantined};
use crate::ring::{KeySet, KeyState, PublishedKey};
use crate::source::{Cause, ReadError};

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
    cause: Discriminant<Cause>,
}

/// What a read changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing new.
    Same,
    /// The first failure, or the first with this cause.
    Fails,
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
                let cause = discriminant(error.cause());
                if std::mem::replace(&mut failing.cause, cause) == cause {
                    Turn::Same
                } else {
                    Turn::Fails
                }
            }
            (Err(error), failing @ None) => {
                *failing = Some(Failing {
                    since: now,
                    reads: 1,
                    cause: discriminant(error.cause()),
                });
                Turn::Fails
            }
        }
    }
}

/// What a source or the ring holds back, told when it changes.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<String, String>);

impl Held {
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

/// What became of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyEvent<'a> {
    /// It entered the set.
    Published(&'a PublishedKey),
    /// No source lists it any more.
    Retained(&'a PublishedKey, Timestamp),
    /// A source lists it again.
    ListedAgain(&'a PublishedKey),
    /// It left the set.
    Left(&'a PublishedKey),
}

/// What differs between two key sets.
pub(super) fn changes<'a>(before: &'a KeySet, after: &'a KeySet) -> Vec<KeyEvent<'a>> {
    let by_id = |set: &'a KeySet| -> BTreeMap<&'a KeyId, &'a PublishedKey> {
        set.keys
            .iter()
            .map(|published| (published.key.id(), published))
            .collect()
    };
    let (old, new) = (by_id(before), by_id(after));
    let mut events = Vec::new();
    for published in &after.keys {
        let was = old.get(published.key.id()).map(|was| was.state);
        events.extend(match (was, published.state) {
            (None, _) => Some(KeyEvent::Published(published)),
            (Some(KeyState::Listed), KeyState::Retained { leaves_at, .. }) => {
                Some(KeyEvent::Retained(published, leaves_at))
            }
            (Some(KeyState::Retained { .. }), KeyState::Listed) => Some(KeyEvent::ListedAgain(published)),
            _ => None,
        });
    }
    events.extend(
        before
            .keys
            .iter()
            .filter(|was| !new.contains_key(was.key.id()))
            .map(KeyEvent::Left),
    );
    events
}

impl KeyEvent<'_> {
    pub(super) fn log(&self, issuer: &str) {
        let (Self::Published(published)
        | Self::Retained(published, _)
        | Self::ListedAgain(published)
        | Self::Left(published)) = self;
        let (kid, alg) = (published.key.kid(), published.key.algorithm().as_str());
        match self {
            Self::Published(_) => tracing::info!(issuer, kid, alg, "a key is published"),
            Self::Retained(_, until) => {
                tracing::info!(issuer, kid, alg, %until, "a key is no longer listed; it stays published for the retention");
            }
            Self::ListedAgain(_) => tracing::info!(issuer, kid, alg, "a key is listed again"),
            Self::Left(_) => tracing::info!(
                issuer,
                kid,
                alg,
                "a key is no longer published: its retention is over"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::fake;
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
            health.read(Ok(()), at(4)),
            Turn::Recovered {
                since: at(1),
                reads: 3
            }
        );
        assert_eq!(health.read(Ok(()), at(5)), Turn::Same);
    }

    #[test]
    fn the_way_of_a_key_is_told() {
        let published = |state| PublishedKey {
            key: fake::key("a", 1),
            state,
            first_seen: at(0),
        };
        let set = |keys: Vec<PublishedKey>| KeySet {
            keys,
            ..KeySet::default()
        };
        let listed = published(KeyState::Listed);
        let retained = published(KeyState::Retained {
            absent_since: at(1),
            leaves_at: at(9),
        });
        let (none, with, without) = (
            set(vec![]),
            set(vec![listed.clone()]),
            set(vec![retained.clone()]),
        );
        assert_eq!(changes(&none, &with), [KeyEvent::Published(&listed)]);
        assert_eq!(changes(&with, &with), []);
        assert_eq!(changes(&with, &without), [KeyEvent::Retained(&retained, at(9))]);
        assert_eq!(changes(&without, &with), [KeyEvent::ListedAgain(&listed)]);
        assert_eq!(changes(&without, &none), [KeyEvent::Left(&retained)]);
    }
}
