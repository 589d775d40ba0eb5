//! Clocks that differ: a ledger that was written by a clock ahead of ours, and our own that leaps.

use jiff::{SignedDuration, Timestamp};

use crate::clock::{LEAP, News, Reading};
use crate::ring::{ClockTrust, Ledger};

/// The latest time in the ledger, and whose it is, where no clock that is right wrote it yet.
pub(super) fn latest(ledger: &Ledger, now: Timestamp) -> Option<(Timestamp, &str)> {
    let presences = ledger
        .entries()
        .map(|entry| (entry.presence.stamp.max(entry.first_seen), entry.key.kid()));
    let revocations = ledger
        .revocations()
        .map(|revocation| (revocation.when, &*revocation.about.kid));
    let latest = presences.chain(revocations).max()?;
    (latest.0.duration_since(now) > LEAP).then_some(latest)
}

/// Says so: nothing of it is wrong enough to be refused, and what follows from it surprises.
pub(super) fn log(issuer: &str, ledger: &Ledger, now: Timestamp) {
    let Some((time, kid)) = latest(ledger, now) else {
        return;
    };
    tracing::warn!(
        issuer,
        kid,
        %time,
        %now,
        "the ledger has times of the future, which are taken as now; a key that was found absent then stays for its \
         retention after that time. Is the clock of this machine behind, or was that of another replica ahead?"
    );
}

/// What a ring is to know of the clock.
pub(super) fn trust(clock: &Reading) -> ClockTrust {
    // A clock that is set right by a little is right.
    let is_even = clock.leap.abs() <= LEAP;
    ClockTrust {
        behind: if is_even {
            SignedDuration::ZERO
        } else {
            clock.expected.duration_since(clock.now)
        },
        even_for: SignedDuration::try_from(clock.even_for).unwrap_or(SignedDuration::MAX),
    }
}

/// Tells of a leap of the wall clock, once in the process.
pub(super) fn log_leap(clock: &Reading) {
    let (leap, expected) = (clock.leap, clock.expected);
    match clock.news {
        Some(News::Leapt) => tracing::warn!(
            seconds = leap.as_secs(),
            %expected,
            "the clock of this machine has leapt: no key leaves the published set for it, and none is forgotten. Check its \
             time service. If the clock stays so for 24 h, it is believed"
        ),
        Some(News::Over) => tracing::info!("the clock of this machine is right again"),
        Some(News::Accepted(by)) => tracing::warn!(
            seconds = by.as_secs(),
            "the clock of this machine has stood elsewhere for 24 h: it is believed now"
        ),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::parse_file;
    use crate::ring::{Listing, Ring, Rules, SourceId};

    #[test]
    fn times_of_the_future_are_told_with_the_key_and_small_differences_are_not() {
        let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
        let keys = parse_file(pem.as_bytes()).unwrap().keys;
        let kid = keys[0].kid().to_owned();
        let (then, source) = (
            Timestamp::from_second(2_000_000_000).unwrap(),
            SourceId("s".into()),
        );
        let mut ring = Ring::new(
            Rules::new(SignedDuration::from_hours(49)),
            [(source.clone(), 1)],
            Ledger::default(),
        );
        let listing = Listing {
            keys,
            endpoints: Vec::new(),
            quarantined: Vec::new(),
            issuer: None,
            max_age: None,
            complete: true,
        };
        ring.heard(&source, &listing, then).unwrap();
        let ledger = ring.ledger();
        assert_eq!(latest(ledger, then), None);
        assert_eq!(latest(ledger, then - SignedDuration::from_mins(1)), None);
        let told = latest(ledger, then - SignedDuration::from_hours(1));
        assert_eq!(told, Some((then, kid.as_str())));
        assert_eq!(latest(&Ledger::default(), then), None);
    }
}
