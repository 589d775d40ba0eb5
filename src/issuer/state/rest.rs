//! An issuer to which nothing happens: it gives up what follows from its documents, and is made again from them.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Issuer, Parts, materials, moment};
use crate::issuer::advance::{IssuerState, Moment, Woken, ids};
use crate::issuer::memory::SourceState;
use crate::issuer::owners::Owned;
use crate::metrics::Details;
use crate::representation::Served;
use crate::ring::{Ledger, Resting};

/// What is left of an issuer while nothing happens to it, and nothing is to be remembered of it but its keys.
#[derive(Debug)]
pub(in crate::issuer) struct Rested {
    ring: Resting,
    /// As of when.
    at: Timestamp,
    /// Issuers that it was said to share a key with.
    told: Box<[Arc<str>]>,
}

impl Issuer {
    /// Rests, if it may.
    pub(in crate::issuer) fn rest(mut self: Box<Self>) -> Result<Rested, Box<Self>> {
        let is_usual = self.sources.iter().all(SourceState::is_usual);
        if !is_usual || !self.is_written || !self.replica.may_rest() {
            return Err(self);
        }
        let publication = self.parts.slot.current();
        let jwks = publication.as_deref().and_then(document);
        let Some(ring) = jwks.and_then(|jwks| self.state.rest(jwks)) else {
            return Err(self);
        };
        self.has_rested = true;
        self.metrics.rests(&self.replica.state());
        self.parts.shared.stores.release(&self.name);
        Ok(Rested {
            ring,
            at: self.parts.shared.clock.steady().now,
            told: std::mem::take(&mut self.owned).told(),
        })
    }

    /// The very issuer that rested.
    pub(in crate::issuer) fn wake(parts: Parts, rested: Rested) -> Option<Self> {
        let moment = Moment {
            now: rested.at,
            ..moment(&parts.shared)
        };
        let Woken {
            state,
            rotation,
            next,
        } = rested.woken(&parts, &moment)?;
        let name = parts.settings.profile.issuer.as_str().to_owned();
        let metrics = parts.shared.metrics.issuer(&name);
        let replica = parts.shared.stores.resumed(&name, state.ledger());
        let asked = replica.clone();
        metrics.kept(move || asked.state());
        metrics.wakes(Details::new(state.key_set(), rotation));
        Some(Self {
            replica,
            ids: ids(&parts.settings),
            sources: parts
                .settings
                .sources
                .iter()
                .map(|_| SourceState::default())
                .collect(),
            owned: Owned::resumed(materials(state.key_set()), rested.told),
            parts,
            name,
            state,
            next,
            is_written: true,
            metrics,
            has_rested: false,
        })
    }
}

impl Rested {
    fn woken(&self, parts: &Parts, moment: &Moment) -> Option<Woken> {
        let publication = parts.slot.current()?;
        let jwks = document(&publication)?;
        IssuerState::wake(&parts.settings, &self.ring, jwks, moment)
    }

    /// Its ledger.
    pub(in crate::issuer) fn ledger(&self, parts: &Parts) -> Option<Ledger> {
        let woken = self.woken(parts, &moment(&parts.shared))?;
        Some(woken.state.ledger().clone())
    }

    /// What it has rows of.
    pub(in crate::issuer) fn details(&self, parts: &Parts) -> Option<Details> {
        let woken = self.woken(parts, &moment(&parts.shared))?;
        Some(Details::new(woken.state.key_set(), woken.rotation))
    }
}

fn document(served: &Served) -> Option<&str> {
    std::str::from_utf8(&served.jwks.identity.body).ok()
}
