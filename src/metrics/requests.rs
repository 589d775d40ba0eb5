//! Requests by issuer: whether anybody still asks for a former one.

use prometheus::proto::MetricFamily;

use super::family::{Family, count};
use super::issuer::State;
use super::rows::ISSUERS_WITH_ROWS;

/// The label of all issuers beyond those that have rows of their own.
const OTHERS: &str = "other";

/// The requests of each issuer, of the first [`ISSUERS_WITH_ROWS`] by their URL; of the others the sum. They are shown
/// whatever the rows of the issuers are: an issuer without trouble may well be the one that nobody needs any more.
#[derive(Debug, Default)]
pub(super) struct Requests {
    rows: Vec<(String, u64)>,
    others: Option<u64>,
}

impl Requests {
    /// Issuers come sorted by their URL.
    pub(super) fn add(&mut self, issuer: &str, state: &State) {
        let Some(requests) = &state.requests else {
            return;
        };
        let requests = requests.requests();
        if self.rows.len() < ISSUERS_WITH_ROWS {
            self.rows.push((issuer.to_owned(), requests));
        } else {
            *self.others.get_or_insert(0) += requests;
        }
    }

    pub(super) fn into_family(self) -> Option<MetricFamily> {
        let mut family = Family::counter(
            "oidc_issuer_issuer_requests_total",
            "Requests for the documents of an issuer, whatever they were answered with.",
        );
        for (issuer, requests) in &self.rows {
            family.row(&[("issuer", issuer)], count(*requests));
        }
        if let Some(requests) = self.others {
            family.row(&[("issuer", OTHERS)], count(requests));
        }
        family.finish()
    }
}
