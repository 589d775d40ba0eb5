//! What an issuer's task leaves to the one after it, be it after a reload or a panic: nothing is told twice, and nothing
//! counted anew, because a task ended.

use std::sync::{Arc, Mutex, PoisonError};

use super::IssuerSource;
use super::chronicle::Chronicle;
use super::endpoints::Endpoints;
use super::events::{Health, Held};
use crate::key::Quarantined;
use crate::ring::Ring;

/// Where it is left. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Handover(Arc<Mutex<Option<Box<Memory>>>>);

/// What is left.
#[derive(Debug)]
pub(super) struct Memory {
    /// What was told of the keys.
    pub(super) chronicle: Chronicle,
    /// What was told of the sources.
    pub(super) sources: Vec<SourceState>,
    /// They as they were configured.
    pub(super) configured: Vec<IssuerSource>,
    /// Not after a panic: nobody knows what became of it, and there is the ledger.
    pub(super) ring: Option<Ring>,
}

/// What is known of a source.
#[derive(Debug, Default)]
pub(super) struct SourceState {
    pub(super) health: Health,
    pub(super) endpoints: Endpoints,
    pub(super) held: Held,
    /// What its last reading held back.
    pub(super) quarantined: Vec<Quarantined>,
}

impl SourceState {
    /// Whether there is nothing to remember of it.
    pub(super) fn is_usual(&self) -> bool {
        let Self {
            health,
            endpoints,
            held,
            quarantined,
        } = self;
        quarantined.is_empty() && health.failure().is_none() && endpoints.is_usual() && held.is_empty()
    }
}

impl Handover {
    /// What the task before has left, once; nothing in a new process.
    pub(super) fn take(&self) -> Option<Memory> {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        left.map(|memory| *memory)
    }

    /// For the next one.
    pub(super) fn leave(&self, memory: Memory) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(memory));
    }
}

impl Memory {
    /// What was told of a source, if it is the same one still.
    pub(super) fn source(&mut self, index: usize, source: &IssuerSource) -> Option<SourceState> {
        let before = self.configured.get(index)?;
        let is_same = before.settings == source.settings;
        is_same
            .then(|| self.sources.get_mut(index).map(std::mem::take))
            .flatten()
    }

    /// What was told of the keys, and the ring where it had these sources.
    pub(super) fn known(self, sources: &[IssuerSource]) -> (Chronicle, Option<Ring>) {
        let ring = self.ring.filter(|_| self.configured == sources);
        (self.chronicle, ring)
    }
}
