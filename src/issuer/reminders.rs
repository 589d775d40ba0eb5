//! How often it is said again that a source cannot be read: each says it every few minutes, but where many cannot be
//! read, most are summed up in one line.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// A failure that lasts is told again after this.
pub(super) const EVERY: SignedDuration = SignedDuration::from_mins(5);

/// So many sources are named in this time.
const NAMED: u32 = 20;

/// What all issuers of the process have told again. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reminders(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    since: Option<Timestamp>,
    named: u32,
    others: u64,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reminder {
    /// Whether this source is named.
    is_named: bool,
    /// How many others were not, in the time that has ended.
    others: u64,
}

impl Reminders {
    /// A source cannot be read still: whether that is to be told again now. Tells how many others were not named.
    pub(super) fn is_named(&self, now: Timestamp) -> bool {
        let Reminder { is_named, others } = self.ask(now);
        if others > 0 {
            tracing::warn!(
                others,
                "{others} more failures of sources last, and were not named in the last minutes: \
                 oidc_issuer_source_consecutive_failures names the sources"
            );
        }
        is_named
    }

    fn ask(&self, now: Timestamp) -> Reminder {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = told
            .since
            .is_none_or(|since| now < since || now.duration_since(since) >= EVERY);
        let mut others = 0;
        if is_over {
            others = told.others;
            *told = Told {
                since: Some(now),
                ..Told::default()
            };
        }
        let is_named = told.named < NAMED;
        if is_named {
            told.named += 1;
        } else {
            told.others += 1;
        }
        Reminder { is_named, others }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ten_thousand_sources_that_cannot_be_read_a_few_are_named_and_the_others_counted() {
        let reminders = Reminders::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let asked: Vec<_> = (0..10_000).map(|n| reminders.ask(at(n / 100))).collect();
        assert_eq!(asked.iter().filter(|asked| asked.is_named).count(), 20);
        assert!(asked.iter().all(|asked| asked.others == 0));
        let next = reminders.ask(at(300));
        assert_eq!(
            next,
            Reminder {
                is_named: true,
                others: 9980
            }
        );
        assert_eq!(reminders.ask(at(301)).others, 0, "told once");
        assert!(reminders.ask(at(0)).is_named, "the clock was set back");
    }
}
