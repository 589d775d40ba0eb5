//! The vocabulary of the ring's tests: what sources say, what time does, and what is then published.

use jiff::{SignedDuration, Timestamp};

use crate::key::{Algorithm, PublicKey, fake};
use crate::ring::*;

pub(super) const RETENTION: SignedDuration = SignedDuration::from_hours(49);

/// What passes before each reading.
pub(super) const REFRESH: SignedDuration = SignedDuration::from_secs(10);

/// A key by a short name: `a` is material 1 under the kid `a`, `a2` material 2 under the same kid, and a name
/// in capitals is an EC key.
pub(super) fn key(name: &str) -> PublicKey {
    let kid = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let material = name
        .get(kid.len()..)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(1);
    let ec = kid.starts_with(|c: char| c.is_ascii_uppercase());
    fake::key_with(
        kid,
        material,
        if ec { Algorithm::Es256 } else { Algorithm::Rs256 },
    )
}

/// A complete listing of keys by their names.
pub(super) fn listing(names: &str) -> Listing {
    Listing {
        keys: names.split_whitespace().map(key).collect(),
        complete: true,
        ..Listing::default()
    }
}

pub(super) fn source(name: &str) -> SourceId {
    SourceId(name.into())
}

/// How a key set reads: `a B ~c` are two listed keys and a retained one; a second material of a kid says which.
pub(super) fn told(key_set: &KeySet) -> String {
    let name = |published: &PublishedKey| {
        let tilde = if published.state == KeyState::Listed {
            ""
        } else {
            "~"
        };
        match published.key.id().spki_sha256 {
            [1, ..] => format!("{tilde}{}", published.key.kid()),
            [material, ..] => format!("{tilde}{}{material}", published.key.kid()),
        }
    };
    key_set.keys.iter().map(name).collect::<Vec<_>>().join(" ")
}

/// An issuer and its history so far.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) ring: Ring,
    pub(super) now: Timestamp,
    rules: Rules,
    sources: Vec<(SourceId, Confirmation)>,
}

/// An issuer with one source, `s`, that is believed at once.
pub(super) fn issuer() -> Story {
    issuer_with(&[("s", 1)])
}

/// An issuer with sources, each with its confirmation.
pub(super) fn issuer_with(sources: &[(&str, u32)]) -> Story {
    let sources: Vec<_> = sources
        .iter()
        .map(|(name, reads)| (source(name), Confirmation::Reads(*reads)))
        .collect();
    let rules = Rules::new(RETENTION);
    let ring = ring(&rules, &sources, Ledger::default());
    Story {
        ring,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        rules,
        sources,
    }
}

/// In a process that runs for long.
fn ring(rules: &Rules, sources: &[(SourceId, Confirmation)], ledger: Ledger) -> Ring {
    let mut ring = Ring::new(rules.clone(), sources.to_vec(), ledger);
    ring.clocked(ClockTrust {
        even_for: hours(24 * 365),
        ..ClockTrust::default()
    });
    ring
}

impl Story {
    /// Another trust in the clock.
    pub(super) fn clocked(mut self, behind: SignedDuration, even_for: SignedDuration) -> Self {
        self.ring.clocked(ClockTrust { behind, even_for });
        self
    }

    /// Other bounds of size and number.
    pub(super) fn bounded(mut self, max_bytes: usize, max_keys: usize) -> Self {
        self.rules = Rules {
            max_bytes,
            max_keys,
            ..self.rules
        };
        self.restarted()
    }

    /// One more source, or another confirmation.
    pub(super) fn confirmed_by(mut self, name: &str, confirmation: Confirmation) -> Self {
        self.sources.retain(|(known, _)| *known != source(name));
        self.sources.push((source(name), confirmation));
        self.restarted()
    }

    /// New keys wait for an operator.
    pub(super) fn approving(mut self) -> Self {
        self.rules.new_keys = NewKeys::Approve;
        self.restarted()
    }

    /// Another retention.
    pub(super) fn retaining(mut self, retention: SignedDuration) -> Self {
        self.rules.retention = retention;
        self.restarted()
    }

    /// A new process with the same ledger.
    pub(super) fn restarted(mut self) -> Self {
        self.ring = ring(&self.rules, &self.sources, self.ring.into_ledger());
        self
    }

    /// Other rules in the same process.
    pub(super) fn ruled_anew(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(&mut self.rules);
        let ledger = self.ring.ledger().clone();
        self.ring = self.ring.under(self.rules.clone(), &ledger, self.now);
        self
    }

    /// The source `s` lists these keys and no others.
    pub(super) fn lists(self, names: &str) -> Self {
        self.says("s", &listing(names))
    }

    /// A source lists these keys and no others.
    pub(super) fn source_lists(self, name: &str, names: &str) -> Self {
        self.says(name, &listing(names))
    }

    /// A source gives any listing.
    pub(super) fn says(mut self, name: &str, listing: &Listing) -> Self {
        self.now += REFRESH;
        self.ring.heard(&source(name), listing, self.now).unwrap();
        self
    }

    /// A source gives a listing that counts as a failed read.
    pub(super) fn counts_as_failed(mut self, name: &str, listing: &Listing) -> Self {
        self.now += REFRESH;
        let refused = self.ring.heard(&source(name), listing, self.now);
        assert!(
            matches!(
                refused,
                Err(Refused::NothingPublishable { .. } | Refused::AllRevoked { .. })
            ),
            "{refused:?}"
        );
        self
    }

    /// A source cannot be read.
    pub(super) fn fails(mut self, name: &str) -> Self {
        self.ring.silent(&source(name));
        self
    }

    /// An operator approves.
    pub(super) fn approves(mut self, name: &str) -> Self {
        self.ring.approve(name, "ops", "looked at", self.now).unwrap();
        self
    }

    /// An operator revokes.
    pub(super) fn revokes(mut self, name: &str) -> Self {
        self.ring.revoke(name, "ops", "leaked", false, self.now).unwrap();
        self
    }

    /// An operator revokes, come what may.
    pub(super) fn revokes_by_force(mut self, name: &str) -> Self {
        self.ring.revoke(name, "ops", "leaked", true, self.now).unwrap();
        self
    }

    /// An operator takes a revocation back.
    pub(super) fn unrevokes(mut self, name: &str) -> Self {
        self.ring.unrevoke(name, "ops", self.now).unwrap();
        self
    }

    /// Keys of another issuer are taken over.
    pub(super) fn imports(mut self, names: &str) -> Self {
        self.ring.import(&listing(names).keys, self.now);
        self
    }

    /// Reads what another replica wrote.
    pub(super) fn adopts(mut self, other: &Self) -> Self {
        self.now = self.now.max(other.now);
        self.ring.adopt(other.ring.ledger(), self.now);
        self
    }

    /// Time goes on, or the clock is set.
    pub(super) fn after(mut self, duration: SignedDuration) -> Self {
        self.now += duration;
        self
    }

    /// The published keys, as `told`.
    #[track_caller]
    pub(super) fn publishes(mut self, expected: &str) -> Self {
        assert_eq!(told(&self.ring.key_set(self.now)), expected, "at {}", self.now);
        self
    }

    /// Whether these keys are published and listed, others or not.
    #[track_caller]
    pub(super) fn publishes_listed(mut self, expected: &str) -> Self {
        let set = told(&self.ring.key_set(self.now));
        let published: Vec<_> = set.split(' ').collect();
        assert!(expected.split(' ').all(|name| published.contains(&name)), "{set}");
        self
    }

    /// The keys that are held back, as `kid:reason`.
    #[track_caller]
    pub(super) fn holds(mut self, expected: &str) -> Self {
        let held: Vec<_> = self
            .ring
            .key_set(self.now)
            .quarantined
            .iter()
            .map(|held| format!("{}:{}", held.kid.as_deref().unwrap_or("-"), held.reason.label()))
            .collect();
        assert_eq!(held.join(" "), expected);
        self
    }
}

pub(super) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub(super) fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}
