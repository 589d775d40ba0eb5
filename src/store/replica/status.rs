//! How a ledger is kept: what is logged when that changes, and what metrics tell.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::copy::LocalCopy;
use super::super::database::NotKept;
use super::super::folder::Unusable;
use super::Replica;
use crate::display;
use crate::metrics::{SharedStoreState, StoreState};

/// How an issuer's ledger is kept: what metrics tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Why the issuer waits for its ledger, and answers 503.
    pub waits: Option<String>,
    /// Why the newest change is not on this machine's disk: a crash might forget what was published.
    pub not_durable: Option<String>,
    /// A ledger was lost: revocations may be.
    pub lost: u64,
    /// Since when something is not in the shared store.
    pub behind_since: Option<Instant>,
    /// When this ledger and the one in the shared store were last known to be the same.
    pub agreed: Option<Instant>,
    /// Why the shared store cannot be used now.
    pub unreachable: Option<String>,
    /// Whether that was a write: then a read that succeeds does not mean that all is well.
    pub cannot_write: bool,
    /// When the shared store was last read or written.
    pub reached: Option<Instant>,
    /// Reads that found another ledger than was known.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Writes that another replica was faster than.
    pub conflicts: u64,
    /// Reads and writes that failed.
    pub failures: u64,
}

impl Status {
    /// How far the shared store is behind, and when it last was not.
    pub(super) fn tracked(&mut self, behind_since: Option<Instant>, agreed: Option<Instant>) {
        (self.behind_since, self.agreed) = (behind_since, agreed);
    }
}

impl Replica {
    /// How it is kept now.
    pub fn status_now(&self) -> Status {
        if self.0.local.as_ref().is_some_and(LocalCopy::is_kept) && self.status().not_durable.is_some() {
            self.durable(Ok(()));
        }
        self.status().clone()
    }

    /// Why the newest change might be forgotten, or not reach the other replicas: for a person. Waits so long for the
    /// shared store, where there is one.
    pub async fn doubts(&self, within: Duration) -> Vec<String> {
        let mut doubts = Vec::new();
        let newest = self.newest().clone().unwrap_or_default();
        if self.0.local.is_none() && self.0.shared.is_none() {
            doubts.push(
                "the store is `memory`: a restart forgets this, and other replicas do not know it".to_owned(),
            );
        }
        if self.0.shared.is_some() {
            let mut stored = self.0.stored.subscribe();
            let is_stored = stored.wait_for(|stored| !newest.adds_to(stored));
            if timeout(within, is_stored).await.is_err() {
                let why = self.status().unreachable.clone();
                let why = why.unwrap_or_else(|| "it has not answered yet".to_owned());
                doubts.push(format!(
                    "not in the shared store yet: the other replicas know it as soon as it can be written ({why})"
                ));
            }
        }
        if let Some(reason) = self.status_now().not_durable {
            doubts.push(format!(
                "not on the disk of this machine: a crash now might forget it ({reason})"
            ));
        }
        doubts
    }

    /// How it is kept now, for metrics.
    pub fn state(&self) -> StoreState {
        let status = self.status_now();
        StoreState {
            is_open: self.newest().is_some(),
            lost: status.lost,
            is_durable: self.0.local.is_some().then_some(status.not_durable.is_none()),
            shared: self.0.shared.is_some().then(|| SharedStoreState {
                is_reachable: status.unreachable.is_none() && status.reached.is_some(),
                lag: status
                    .behind_since
                    .map(|since| since.elapsed())
                    .unwrap_or_default(),
                agreed: status.agreed.map(|agreed| agreed.elapsed()),
                reads: status.reads,
                writes: status.writes,
                conflicts: status.conflicts,
                failures: status.failures,
            }),
        }
    }

    pub(super) fn report(&self, unusable: &[Unusable], has_other: bool) {
        let issuer = &self.0.issuer;
        for Unusable { path, reason, aside } in unusable {
            let path = display::path(path);
            let aside = aside
                .as_ref()
                .map(|aside| format!(", and was set aside as {}", display::path(aside)));
            let aside = aside.unwrap_or_default();
            tracing::error!(issuer, "the ledger in {path} cannot be used ({reason}){aside}");
        }
        if unusable.is_empty() {
            return;
        }
        if has_other {
            self.is_older();
        } else {
            self.is_lost();
        }
    }

    pub(super) fn is_older(&self) {
        let issuer = &self.0.issuer;
        tracing::warn!(
            issuer,
            "an older generation of the ledger is used: its last change may be lost"
        );
    }

    pub(super) fn is_lost(&self) {
        self.status().lost += 1;
        let issuer = &self.0.issuer;
        tracing::error!(
            issuer,
            "a ledger is lost: unless another replica or store still has it, revocations may be lost, and keys that \
             had left the source; check which keys are to be revoked, and revoke them again"
        );
    }

    pub(super) fn durable(&self, kept: Result<(), NotKept>) {
        let issuer = &self.0.issuer;
        let reason = kept.err().map(|not| not.to_string());
        let before = std::mem::replace(&mut self.status().not_durable, reason.clone());
        match (before, reason) {
            (None, Some(reason)) => tracing::error!(
                issuer,
                "the ledger could not be written to this machine ({reason}): it is published anyway, and a crash now \
                 might forget a key too early"
            ),
            (Some(_), None) => tracing::info!(issuer, "the ledger is written to this machine again"),
            _ => {}
        }
    }

    pub(super) fn reached(&self, by_writing: bool) {
        let before = {
            let mut status = self.status();
            status.reached = Some(Instant::now());
            if status.cannot_write && !by_writing && status.behind_since.is_some() {
                return;
            }
            status.cannot_write = false;
            status.unreachable.take()
        };
        if before.is_some() {
            let issuer = &self.0.issuer;
            tracing::info!(issuer, "the shared store can be used again");
        }
    }

    pub(super) fn unreachable(&self, reason: &str, by_writing: bool) {
        if self.is_newly_unreachable(reason, by_writing) {
            self.tell_unreachable(reason);
        }
    }

    pub(super) fn tell_unreachable(&self, reason: &str) {
        let issuer = &self.0.issuer;
        tracing::warn!(
            issuer,
            "the shared store cannot be used: what is served stays as it is, changes are kept on this machine and \
             written later: {reason}"
        );
    }

    pub(super) fn is_newly_unreachable(&self, reason: &str, by_writing: bool) -> bool {
        let before = {
            let mut status = self.status();
            status.failures += 1;
            status.cannot_write |= by_writing;
            status.unreachable.replace(reason.to_owned())
        };
        before.is_none()
    }

    /// Each field is written in one step.
    pub(super) fn status(&self) -> MutexGuard<'_, Status> {
        self.0.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
