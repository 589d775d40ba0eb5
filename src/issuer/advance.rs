//! One issuer as a value, and what an event makes of it: (state, event, moment) → (state, effects).
//!
//! Pure: no I/O, no clock, no task, no metrics. The same state, event and moment give the same effects, so the rules of the
//! engine can be driven by a test with any history.

use jiff::{SignedDuration, Timestamp};

use super::IssuerSettings;
use super::chronicle::{self, Chronicle};
use super::reader::Reading;
use crate::key::Quarantined;
use crate::metrics::RotationState;
use crate::ring::{
    ClockTrust, Command, Denied, KeySet, Ledger, Listing, Outcome, Refused, Resting, Ring, SourceId,
};
use crate::source::{Asked, Cause, ReadError, Survey};

/// When an event happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The time that the rules go by.
    pub(super) now: Timestamp,
    /// What the wall clock says: compared with other clocks.
    pub(super) wall: Timestamp,
    /// What is known of the clock.
    pub(super) trust: ClockTrust,
    /// How long a round over all sources takes now.
    pub(super) round: SignedDuration,
}

/// What happens to an issuer.
#[derive(Debug)]
pub(super) enum Input<'a> {
    /// Its ledger was read: what it says is to be published.
    Opened,
    /// A source was read.
    Reading(Reading),
    /// Another replica knows something.
    Found(&'a Ledger),
    /// An operator decides.
    Command { command: &'a Command, by: &'a str },
    /// Something may change by time alone.
    Due,
}

/// What follows from an event. The ledger is to be kept before the key set is shown, and both are those of the issuer.
#[derive(Debug)]
pub(super) struct Effects {
    /// What is to be told and counted of a read.
    pub(super) read: Option<SourceRead>,
    /// What became of a command.
    pub(super) outcome: Option<Result<Outcome, Denied>>,
    /// What is to be told of the keys.
    pub(super) events: Vec<chronicle::Event>,
    /// What is to be counted of the keys.
    pub(super) rotation: RotationState,
    /// When the key set may change by time alone.
    pub(super) next: Option<Timestamp>,
}

/// What a read came to.
#[derive(Debug)]
pub(super) struct SourceRead {
    /// The place of the source among those of its issuer.
    pub(super) source: usize,
    pub(super) outcome: Result<(), ReadError>,
    pub(super) survey: Option<Survey>,
    /// What it held back; `None` where it said nothing of that.
    pub(super) quarantined: Option<Vec<Quarantined>>,
}

/// The state of one issuer.
#[derive(Clone, Debug)]
pub(super) struct IssuerState {
    ids: Box<[SourceId]>,
    refresh: SignedDuration,
    ring: Ring,
    key_set: KeySet,
    chronicle: Chronicle,
    /// Whether the chronicle is older than the ring, which may not have heard all yet.
    recalls: bool,
}

/// An issuer that has rested.
#[derive(Debug)]
pub(super) struct Woken {
    pub(super) state: IssuerState,
    /// What is counted of its keys.
    pub(super) rotation: RotationState,
    /// When the key set may change by time alone.
    pub(super) next: Option<Timestamp>,
}

/// How the sources of an issuer are named.
pub(super) fn ids(settings: &IssuerSettings) -> Vec<SourceId> {
    let sources = settings.sources.iter().enumerate();
    sources.map(|(index, source)| source.id(index)).collect()
}

impl IssuerState {
    /// As its ledger says; `before` is what was told of it, and its ring where that counts on.
    pub(super) fn new(
        settings: &IssuerSettings,
        before: Option<(Chronicle, Option<Ring>)>,
        ledger: Ledger,
        now: Timestamp,
    ) -> Self {
        let ids = ids(settings);
        let sources = settings.sources.iter().map(|source| source.confirmation);
        let confirmations = ids.iter().cloned().zip(sources);
        let recalls = before.is_some();
        let (chronicle, ring) = before.unwrap_or_else(|| (Chronicle::since(&ledger), None));
        let ring = match ring {
            // What was counted of confirmations and absences counts on.
            Some(ring) => ring.under(settings.rules.clone(), &ledger, now),
            None => Ring::new(settings.rules.clone(), confirmations, ledger),
        };
        Self {
            ids: ids.into(),
            refresh: settings.refresh,
            ring,
            key_set: KeySet::default(),
            chronicle,
            recalls,
        }
    }

    /// Lets an event happen.
    pub(super) fn advance(&mut self, input: Input<'_>, moment: &Moment) -> Effects {
        let Moment {
            now,
            wall,
            trust,
            round,
        } = *moment;
        self.ring.clocked(trust);
        // The refresh is in what the ring tells already; a round that takes longer stands in its place.
        self.ring.reads_late_by(round.saturating_sub(self.refresh));
        let (mut read, mut outcome) = (None, None);
        match input {
            Input::Opened | Input::Due => {}
            Input::Reading(reading) => read = self.heard(reading, now),
            Input::Found(ledger) => self.ring.adopt(ledger, now),
            Input::Command { command, by } => outcome = Some(self.ring.obey(command, by, now)),
        }
        let (key_set, view) = self.ring.look(now);
        let ledger = self.ring.ledger();
        self.recalls &= !self.ring.all_heard();
        let events = self.chronicle.next(&view, ledger, !self.recalls);
        let rotation = RotationState::of(&view, ledger, now, wall);
        self.key_set = key_set;
        Effects {
            read,
            outcome,
            events,
            rotation,
            next: self.ring.next_change(now),
        }
    }

    /// What is to be remembered of it while nothing happens, where that is little. `jwks` is what is published of it.
    pub(super) fn rest(&self, jwks: &str) -> Option<Resting> {
        let KeySet {
            quarantined,
            held_changes,
            revoked_until,
            ..
        } = &self.key_set;
        let is_usual = quarantined.is_empty() && held_changes.is_empty() && revoked_until.is_none();
        (is_usual && !self.recalls).then(|| self.ring.rest(jwks))?
    }

    /// The very state that rested, as it is at a moment. `jwks` is what is published of it.
    pub(super) fn wake(
        settings: &IssuerSettings,
        resting: &Resting,
        jwks: &str,
        moment: &Moment,
    ) -> Option<Woken> {
        let ids = ids(settings);
        let confirmations = settings.sources.iter().map(|source| source.confirmation);
        let sources = ids.iter().cloned().zip(confirmations);
        let mut ring = resting.wake(settings.rules.clone(), sources, jwks)?;
        ring.clocked(moment.trust);
        ring.reads_late_by(moment.round.saturating_sub(settings.refresh));
        let (key_set, view) = ring.look(moment.now);
        Some(Woken {
            rotation: RotationState::of(&view, ring.ledger(), moment.now, moment.wall),
            next: ring.next_change(moment.now),
            state: Self {
                ids: ids.into(),
                refresh: settings.refresh,
                chronicle: Chronicle::at(&view, ring.ledger()),
                ring,
                key_set,
                recalls: false,
            },
        })
    }

    /// What is to be published.
    pub(super) fn key_set(&self) -> &KeySet {
        &self.key_set
    }

    /// What must outlive the process.
    pub(super) fn ledger(&self) -> &Ledger {
        self.ring.ledger()
    }

    /// Whether every source was heard.
    pub(super) fn all_heard(&self) -> bool {
        self.ring.all_heard()
    }

    /// What goes on after it: what was told, and its ring.
    pub(super) fn leaves(&mut self) -> (Chronicle, &Ring) {
        (std::mem::take(&mut self.chronicle), &self.ring)
    }

    fn heard(&mut self, reading: Reading, now: Timestamp) -> Option<SourceRead> {
        let Reading {
            source,
            outcome,
            survey,
        } = reading;
        let id = self.ids.get(source)?;
        let (outcome, quarantined) = match outcome {
            Ok(listing) => {
                let listing = self.ring.bounded(listing, now);
                let heard = self.ring.heard(id, &listing, now);
                let outcome = heard.map_err(|refused| refused_reading(id, &refused));
                (outcome, Some(listing.quarantined))
            }
            Err(error) => {
                let quarantined = (!error.quarantined().is_empty()).then(|| {
                    let held = Listing {
                        quarantined: error.quarantined().to_vec(),
                        ..Listing::default()
                    };
                    self.ring.bounded(held, now).quarantined
                });
                self.ring.silent(id);
                (Err(error), quarantined)
            }
        };
        Some(SourceRead {
            source,
            outcome,
            survey,
            quarantined,
        })
    }
}

fn refused_reading(SourceId(id): &SourceId, refused: &Refused) -> ReadError {
    let said = refused.to_string();
    let cause = match refused {
        Refused::AllRevoked { .. } => Cause::AllRevoked { said },
        Refused::NothingPublishable { quarantined } => Cause::NothingPublishable {
            count: *quarantined,
            first: said,
            remedy: String::new(),
        },
        _ => Cause::NothingPublishable {
            count: 0,
            first: said,
            remedy: String::new(),
        },
    };
    ReadError::new(Asked::Jwks, &**id, cause)
}

#[cfg(test)]
mod tests;
