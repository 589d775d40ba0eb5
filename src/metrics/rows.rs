//! The rows of the issuers, made anew each time Prometheus asks.

use prometheus::proto::MetricFamily;

use super::family::{Family, count, flag};
use super::issuer::{Details, DocumentRow, Issuers, KeyRow, Published, SourceState, State};
use super::register::seconds;
use super::requests::Requests;
use super::rotation::RotationRows;
use super::store::{Ask, StoreRows, StoreState};
use super::totals::Totals;
use crate::ring::KeyState;

/// Some verifiers read no more keys than this of a set (AWS ALB, OCI API Gateway).
pub(super) const KEYS_THAT_ALL_VERIFIERS_READ: usize = 10;

/// Keys that get rows of their own, in the order of publication; `oidc_issuer_keys` counts all.
const KEY_ROWS: usize = 100;

/// Up to so many issuers all have rows where nothing else is configured; of more those in trouble, at most this many.
pub(super) const ISSUERS_WITH_ROWS: usize = 500;

/// Which issuers have rows of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IssuerRows {
    /// All of up to 500 issuers; of more those in trouble.
    #[default]
    Auto,
    /// All, however many: about 30 series each.
    All,
    /// Those in trouble: see `oidc_issuer_issuers_in_trouble`. At most 500 of them.
    Troubled,
    /// None.
    None,
}

/// All families of the issuers that have rows, and the totals of all.
pub(super) fn families(issuers: &Issuers, shown: IssuerRows) -> impl Iterator<Item = MetricFamily> + use<> {
    let shown = match shown {
        IssuerRows::Auto if issuers.len() <= ISSUERS_WITH_ROWS => IssuerRows::All,
        IssuerRows::Auto => IssuerRows::Troubled,
        shown => shown,
    };
    let (mut rows, mut totals) = (Rows::new(), Totals::default());
    let mut troubled_shown = 0;
    let mut requests = Requests::default();
    let mut at_rest = Vec::new();
    issuers.for_each(|issuer, state| {
        let store = state.store.as_ref().map(Ask::now);
        let is_troubled = totals.count(state, store.as_ref());
        requests.add(issuer, state);
        let has_rows = match shown {
            IssuerRows::All | IssuerRows::Auto => true,
            IssuerRows::None => false,
            IssuerRows::Troubled => is_troubled && troubled_shown < ISSUERS_WITH_ROWS,
        };
        if has_rows {
            troubled_shown += usize::from(is_troubled);
            rows.issuer(issuer, state, store.as_ref());
            match state.details.as_deref() {
                Some(details) => rows.details(issuer, details),
                None => at_rest.push(issuer.to_owned()),
            }
        } else {
            totals.without_rows += 1;
        }
    });
    for issuer in at_rest {
        issuers.with_details(&issuer, |details| rows.details(&issuer, details));
    }
    rows.into_families()
        .chain(totals.into_families())
        .chain(requests.into_family())
}

struct Rows {
    reads: Family,
    last_success: Family,
    consecutive_failures: Family,
    endpoints: Family,
    endpoints_listed: Family,
    quarantined: Family,
    published: Family,
    changed: Family,
    etag: Family,
    size: Family,
    keys: Family,
    too_many: Family,
    key_info: Family,
    first_seen: Family,
    leaves: Family,
    rotation: RotationRows,
    store: StoreRows,
}

impl Rows {
    fn new() -> Self {
        Self {
            reads: Family::counter("oidc_issuer_source_reads_total", "Reads of a source by result."),
            last_success: Family::gauge(
                "oidc_issuer_source_last_success_timestamp_seconds",
                "When a source was last read successfully.",
            ),
            consecutive_failures: Family::gauge(
                "oidc_issuer_source_consecutive_failures",
                "Failed reads of a source since its last successful one.",
            ),
            endpoints: Family::gauge(
                "oidc_issuer_source_endpoints",
                "Endpoints of a source by what became of them in its last read.",
            ),
            endpoints_listed: Family::gauge(
                "oidc_issuer_source_endpoints_listed",
                "Whether it is known which endpoints a source has.",
            ),
            quarantined: Family::gauge(
                "oidc_issuer_quarantined_entries",
                "Entries of the sources that are held back now, by reason.",
            ),
            published: Family::gauge(
                "oidc_issuer_published",
                "Whether the documents of the issuer are published; if not they answer 503.",
            ),
            changed: Family::gauge(
                "oidc_issuer_documents_changed_timestamp_seconds",
                "When the published documents last changed in this process.",
            ),
            etag: Family::gauge(
                "oidc_issuer_document_info",
                "The published documents with the entity tag of their uncompressed form; always 1.",
            ),
            size: Family::gauge(
                "oidc_issuer_document_size_bytes",
                "Size of a published document, uncompressed.",
            ),
            keys: Family::gauge("oidc_issuer_keys", "Known keys by state."),
            too_many: Family::gauge(
                "oidc_issuer_too_many_keys",
                "Whether more than 10 keys are published, which not all verifiers read.",
            ),
            key_info: Family::gauge("oidc_issuer_key_info", "The published keys; always 1."),
            first_seen: Family::gauge(
                "oidc_issuer_key_first_seen_timestamp_seconds",
                "When a published key was first seen.",
            ),
            leaves: Family::gauge(
                "oidc_issuer_key_leaves_timestamp_seconds",
                "When a retained key leaves the published set.",
            ),
            rotation: RotationRows::new(),
            store: StoreRows::new(),
        }
    }

    fn issuer(&mut self, issuer: &str, state: &State, store: Option<&StoreState>) {
        for (source, read) in &*state.sources {
            self.source(issuer, source, read);
        }
        for (reason, entries) in &state.quarantined {
            self.quarantined
                .row(&[("issuer", issuer), ("reason", reason)], count(*entries));
        }
        self.published
            .row(&[("issuer", issuer)], flag(state.published.is_some()));
        if let Some(published) = &state.published {
            self.publication(issuer, published);
        }
        if let Some(sums) = &state.sums {
            for (state, keys) in sums.unpublished() {
                self.keys
                    .row(&[("issuer", issuer), ("state", state)], count(u64::from(keys)));
            }
        }
        if let Some(store) = store {
            self.store.issuer(issuer, store);
        }
    }

    fn details(&mut self, issuer: &str, details: &Details) {
        self.keys(issuer, details.keys());
        if let Some(rotation) = &details.rotation {
            self.rotation.issuer(issuer, rotation);
        }
    }

    fn source(&mut self, issuer: &str, source: &str, read: &SourceState) {
        let labels = [("issuer", issuer), ("source", source)];
        let mut reads = |result: &str, reads: u64| {
            let labels = [("issuer", issuer), ("source", source), ("result", result)];
            self.reads.row(&labels, count(reads));
        };
        reads("success", read.successes);
        for (result, failures) in read.failures.iter().flat_map(|failures| &**failures) {
            reads(result, *failures);
        }
        self.consecutive_failures
            .row(&labels, count(read.consecutive_failures));
        if let Some(at) = read.last_success {
            self.last_success.row(&labels, seconds(at));
        }
        if let Some(endpoints) = &read.endpoints {
            for (state, number) in [("read", endpoints.read), ("silent", endpoints.silent)] {
                let labels = [labels[0], labels[1], ("state", state)];
                self.endpoints.row(&labels, count(number as u64));
            }
            self.endpoints_listed.row(&labels, flag(endpoints.is_listed));
        }
    }

    fn publication(&mut self, issuer: &str, published: &Published) {
        self.changed
            .row(&[("issuer", issuer)], seconds(published.changed));
        self.document(issuer, "discovery", &published.discovery);
        self.document(issuer, "jwks", &published.jwks);
        let Published { listed, retained, .. } = *published;
        for (state, keys) in [("listed", listed), ("retained", retained)] {
            self.keys
                .row(&[("issuer", issuer), ("state", state)], count(keys as u64));
        }
        self.too_many.row(
            &[("issuer", issuer)],
            flag(listed + retained > KEYS_THAT_ALL_VERIFIERS_READ),
        );
    }

    fn document(&mut self, issuer: &str, document: &str, row: &DocumentRow) {
        let labels = [("issuer", issuer), ("document", document)];
        let etag = row.etag.as_str().trim_matches('"');
        self.etag.row(&[labels[0], labels[1], ("etag", etag)], 1.0);
        self.size.row(&labels, count(row.bytes as u64));
    }

    fn keys(&mut self, issuer: &str, keys: &[KeyRow]) {
        for key in keys.iter().take(KEY_ROWS) {
            let (state, leaves) = match key.state {
                KeyState::Listed => ("listed", None),
                KeyState::Retained { leaves_at, .. } => ("retained", Some(leaves_at)),
            };
            let labels = [("issuer", issuer), ("kid", &key.kid)];
            self.key_info.row(
                &[
                    labels[0],
                    labels[1],
                    ("alg", key.algorithm.as_str()),
                    ("state", state),
                ],
                1.0,
            );
            self.first_seen.row(&labels, seconds(key.first_seen));
            if let Some(at) = leaves {
                self.leaves.row(&labels, seconds(at));
            }
        }
    }

    fn into_families(self) -> impl Iterator<Item = MetricFamily> {
        [
            self.reads,
            self.last_success,
            self.consecutive_failures,
            self.endpoints,
            self.endpoints_listed,
            self.quarantined,
            self.published,
            self.changed,
            self.etag,
            self.size,
            self.keys,
            self.too_many,
            self.key_info,
            self.first_seen,
            self.leaves,
        ]
        .into_iter()
        .filter_map(Family::finish)
        .chain(self.rotation.into_families())
        .chain(self.store.into_families())
    }
}
