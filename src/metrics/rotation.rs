//! How far an issuer's keys are on their way: what is not published and why, what comes next.

use std::sync::Arc;

use jiff::Timestamp;
use prometheus::proto::MetricFamily;

use super::family::{Family, count};
use super::register::seconds;
use crate::ring::{Ledger, Standing, View};

/// Keys that have a row of when they may sign, in the order of publication.
const KEY_ROWS: usize = 100;

/// What the ring knows of an issuer's keys at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RotationState {
    held: usize,
    revoked: usize,
    expired: usize,
    held_changes: usize,
    revocations: usize,
    next_leaves: Option<Timestamp>,
    may_sign: Vec<(Arc<str>, Timestamp)>,
    ahead: f64,
}

impl RotationState {
    /// As the ring sees it at `now`, on a machine whose clock says `wall`.
    pub fn of(view: &View, ledger: &Ledger, now: Timestamp, wall: Timestamp) -> Self {
        let mut state = Self {
            held_changes: view.held_changes.len(),
            revocations: ledger
                .revocations()
                .filter(|revocation| revocation.undone.is_none())
                .count(),
            ahead: ahead(ledger, wall),
            ..Self::default()
        };
        for key in &view.keys {
            match key.standing {
                Standing::Listed { may_sign_from, .. } => {
                    if state.may_sign.len() < KEY_ROWS {
                        state
                            .may_sign
                            .push((Arc::clone(&key.key.id().kid), may_sign_from));
                    }
                }
                // The last key stays beyond its end.
                Standing::Retained { leaves_at, .. } if leaves_at > now => {
                    let earlier = state.next_leaves.map_or(leaves_at, |next| next.min(leaves_at));
                    state.next_leaves = Some(earlier);
                }
                Standing::Retained { .. } => {}
                Standing::Held(_) => state.held += 1,
                Standing::Revoked(_) => state.revoked += 1,
                Standing::Expired { .. } => state.expired += 1,
            }
        }
        state
    }

    pub(super) fn held_changes(&self) -> usize {
        self.held_changes
    }

    pub(super) fn revocations(&self) -> usize {
        self.revocations
    }

    /// The keys that are not published, by state.
    pub(super) fn unpublished(&self) -> [(&'static str, usize); 3] {
        [
            ("held", self.held),
            ("revoked", self.revoked),
            ("expired", self.expired),
        ]
    }
}

/// How many seconds the newest stamp of a ledger is ahead of this machine's clock: clocks of replicas that differ.
fn ahead(ledger: &Ledger, now: Timestamp) -> f64 {
    let presences = ledger.entries().map(|entry| entry.presence.stamp);
    let revocations = ledger.revocations().map(|revocation| revocation.when);
    let newest = presences.chain(revocations).max().unwrap_or(now);
    now.duration_until(newest).as_secs_f64().max(0.0)
}

pub(super) struct RotationRows {
    next_leaves: Family,
    may_sign: Family,
    held_changes: Family,
    revocations: Family,
    ahead: Family,
}

impl RotationRows {
    pub(super) fn new() -> Self {
        Self {
            next_leaves: Family::gauge(
                "oidc_issuer_next_key_leaves_timestamp_seconds",
                "When the next retained key leaves the published set.",
            ),
            may_sign: Family::gauge(
                "oidc_issuer_key_may_sign_timestamp_seconds",
                "From when a listed key may sign: every cache has it by then.",
            ),
            held_changes: Family::gauge(
                "oidc_issuer_held_changes",
                "Listings without any published key that wait for their confirmation.",
            ),
            revocations: Family::gauge("oidc_issuer_revocations", "Revocations in force."),
            ahead: Family::gauge(
                "oidc_issuer_ledger_ahead_seconds",
                "How far the newest entry of the ledger is ahead of the clock of this replica.",
            ),
        }
    }

    pub(super) fn issuer(&mut self, issuer: &str, state: &RotationState) {
        let labels = [("issuer", issuer)];
        if let Some(at) = state.next_leaves {
            self.next_leaves.row(&labels, seconds(at));
        }
        for (kid, at) in &state.may_sign {
            self.may_sign.row(&[labels[0], ("kid", kid)], seconds(*at));
        }
        self.held_changes.row(&labels, count(state.held_changes as u64));
        self.revocations.row(&labels, count(state.revocations as u64));
        self.ahead.row(&labels, state.ahead);
    }

    pub(super) fn into_families(self) -> impl Iterator<Item = MetricFamily> {
        [
            self.next_leaves,
            self.may_sign,
            self.held_changes,
            self.revocations,
            self.ahead,
        ]
        .into_iter()
        .filter_map(Family::finish)
    }
}
