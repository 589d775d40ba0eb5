//! What is counted of all issuers, whether or not they have rows of their own.

use std::time::Duration;

use prometheus::proto::MetricFamily;

use super::family::{Family, count};
use super::issuer::State;
use super::rows::KEYS_THAT_ALL_VERIFIERS_READ;
use super::store::StoreState;

/// A set larger than this may soon reach the limit of 50,000 bytes.
const NEARLY_FULL: usize = 40_000;

/// A change that was not written to the shared store for longer than this is late.
const LATE: Duration = Duration::from_mins(1);

/// What can be wrong with an issuer, in the order of the rows: everything that an alert looks at.
const TROUBLES: [&str; 11] = [
    "not_published",
    "source_fails",
    "endpoint_silent",
    "change_held",
    "entries_quarantined",
    "no_listed_key",
    "set_nearly_full",
    "ledger_lost",
    "not_durable",
    "store_unreachable",
    "store_lags",
];

/// The sums over all issuers.
#[derive(Debug, Default)]
pub(super) struct Totals {
    published: u64,
    not_published: u64,
    troubles: [u64; TROUBLES.len()],
    listed: u64,
    retained: u64,
    /// Held, revoked, expired.
    unpublished_keys: [u64; 3],
    revocations: u64,
    pub(super) without_rows: u64,
}

impl Totals {
    /// Counts an issuer. Says whether it is in trouble.
    pub(super) fn count(&mut self, state: &State, store: Option<&StoreState>) -> bool {
        let mut listed = 0;
        let mut published = 0;
        let mut size = 0;
        match &state.published {
            Some(documents) => {
                self.published += 1;
                published = documents.listed + documents.retained;
                listed = documents.listed;
                size = documents.jwks.bytes;
            }
            None => self.not_published += 1,
        }
        self.listed += listed as u64;
        self.retained += (published - listed) as u64;
        let mut held_changes = 0;
        if let Some(sums) = &state.sums {
            held_changes = sums.held_changes();
            self.revocations += u64::from(sums.revocations());
            for (sum, (_, keys)) in self.unpublished_keys.iter_mut().zip(sums.unpublished()) {
                *sum += u64::from(keys);
            }
        }
        let sources = || state.sources.iter().map(|(_, source)| source);
        let shared = store.and_then(|store| store.shared.as_ref());
        let troubles = [
            state.published.is_none(),
            sources().any(|source| source.consecutive_failures > 0),
            sources().any(|source| {
                let endpoints = source.endpoints.as_ref();
                endpoints.is_some_and(|endpoints| endpoints.silent > 0 || !endpoints.is_listed)
            }),
            held_changes > 0,
            !state.quarantined.is_empty(),
            state.published.is_some() && listed == 0,
            size > NEARLY_FULL || published > KEYS_THAT_ALL_VERIFIERS_READ,
            store.is_some_and(|store| store.lost > 0 || !store.is_open),
            store.is_some_and(|store| store.is_durable == Some(false)),
            shared.is_some_and(|shared| !shared.is_reachable),
            shared.is_some_and(|shared| shared.lag > LATE),
        ];
        for (sum, trouble) in self.troubles.iter_mut().zip(troubles) {
            *sum += u64::from(trouble);
        }
        troubles.contains(&true)
    }

    pub(super) fn into_families(self) -> impl Iterator<Item = MetricFamily> {
        let mut issuers = Family::gauge(
            "oidc_issuer_issuers",
            "Issuers, by whether their documents are published.",
        );
        issuers.row(&[("state", "published")], count(self.published));
        issuers.row(&[("state", "not_published")], count(self.not_published));
        let mut troubles = Family::gauge(
            "oidc_issuer_issuers_in_trouble",
            "Issuers that something is wrong with, by what it is; one may be in several rows.",
        );
        for (trouble, sum) in TROUBLES.iter().zip(self.troubles) {
            troubles.row(&[("trouble", trouble)], count(sum));
        }
        let mut without_rows = Family::gauge(
            "oidc_issuer_issuers_without_rows",
            "Issuers that are counted in the totals and have no rows of their own.",
        );
        without_rows.row(&[], count(self.without_rows));
        let mut keys = Family::gauge("oidc_issuer_all_keys", "Known keys of all issuers by state.");
        keys.row(&[("state", "listed")], count(self.listed));
        keys.row(&[("state", "retained")], count(self.retained));
        for (state, sum) in ["held", "revoked", "expired"].iter().zip(self.unpublished_keys) {
            keys.row(&[("state", state)], count(sum));
        }
        let mut revocations = Family::gauge(
            "oidc_issuer_all_revocations",
            "Revocations in force of all issuers.",
        );
        revocations.row(&[], count(self.revocations));
        [issuers, troubles, without_rows, keys, revocations]
            .into_iter()
            .filter_map(Family::finish)
    }
}
