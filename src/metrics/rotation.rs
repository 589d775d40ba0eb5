//! How far an issuer's keys are on their way: what is not published and why, what comes next.

use std::sync::Arc;

use jiff::Timestamp;
use prometheus::proto::MetricFamily;

use super::family::{Family, count};
use super::register::seconds;
use crate::ring::{Ledger, Standing, View};

/// Keys that have a row of when they may sign, in the order of publication.
const KEY_ROWS: usize = 100;

/// How many keys of an issuer are not published, by why; and how much was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    held: u32,
    revoked: u32,
    expired: u32,
    held_changes: u32,
    revocations: u32,
}

/// What the ring knows of an issuer's keys at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RotationState {
    sums: Sums,
    next_leaves: Option<Timestamp>,
    may_sign: Vec<(Arc<str>, Timestamp)>,
    ahead: f64,
}

impl RotationState {
    /// As the ring sees it at `now`, on a machine whose clock says `wall`.
    pub fn of(view: &View, ledger: &Ledger, now: Timestamp, wall: Timestamp) -> Self {
        let in_force = ledger
            .revocations()
            .filter(|revocation| revocation.undone.is_none());
        let mut state = Self {
            sums: Sums {
                held_changes: number(view.held_changes.len()),
                revocations: number(in_force.count()),
                ..Sums::default()
            },
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
                Standing::Held(_) => state.sums.held += 1,
                Standing::Revoked(_) => state.sums.revoked += 1,
                Standing::Expired { .. } => state.sums.expired += 1,
            }
        }
        state
    }

    pub(super) fn sums(&self) -> Sums {
        self.sums
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Sums {
    pub(super) fn held_changes(&self) -> u32 {
        self.held_changes
    }

    pub(super) fn revocations(&self) -> u32 {
        self.revocations
    }

    /// The keys that are not published, by state.
    pub(super) fn unpublished(&self) -> [(&'static str, u32); 3] {
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
        self.held_changes
            .row(&labels, count(u64::from(state.sums.held_changes)));
        self.revocations
            .row(&labels, count(u64::from(state.sums.revocations)));
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
