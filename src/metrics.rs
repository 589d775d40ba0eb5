//! Every metric the service exports, with typed handles for the rooms that count.
//!
//! The handles are made once and kept: counting is a few atomic additions, and no label is looked up per request.
//! `docs/metrics.md` lists every metric; a test holds that list against what [`Metrics::render`] gives.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use prometheus::{Registry, TextEncoder};

mod build;
mod clock;
mod config;
mod control;
mod edge;
mod family;
mod issuer;
mod log;
mod process;
mod reads;
mod register;
mod requests;
mod rotation;
mod rows;
mod store;
mod totals;

pub use build::{COMMIT, RUSTC, VERSION};
pub use edge::{EdgeMetrics, Endpoint, HandshakeFailure, ListenerMetrics, OpenConnection, RefusedConnection};
pub use issuer::{CountsRequests, Details, EndpointState, IssuerMetrics};
pub use log::LogMetrics;
pub use prometheus::{Error, TEXT_FORMAT};
pub use rotation::RotationState;
pub use rows::IssuerRows;
pub use store::{SharedStoreState, StoreState};

/// All metrics of one process. Cheap to clone: every clone counts into the same metrics.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    edge: EdgeMetrics,
    clock: prometheus::Gauge,
    config: config::ConfigMetrics,
    control: control::ControlMetrics,
    log: LogMetrics,
    reads: reads::ReadMetrics,
    issuers: issuer::Issuers,
    rows: RwLock<IssuerRows>,
    started: Timestamp,
}

impl Metrics {
    /// Registers everything. `started` is the start of the process.
    pub fn new(started: Timestamp) -> Self {
        let registry = Registry::new();
        build::register(&registry);
        Self(Arc::new(Inner {
            edge: EdgeMetrics::register(&registry),
            clock: clock::register(&registry),
            config: config::ConfigMetrics::register(&registry),
            control: control::ControlMetrics::register(&registry),
            log: LogMetrics::register(&registry),
            reads: reads::ReadMetrics::register(&registry),
            issuers: issuer::Issuers::default(),
            rows: RwLock::default(),
            started,
            registry,
        }))
    }

    /// What the router counts into.
    pub fn edge(&self) -> &EdgeMetrics {
        &self.0.edge
    }

    /// What one listener of the edge counts into, named by its configured address.
    pub fn listener(&self, address: &str) -> ListenerMetrics {
        self.0.edge.listener(address)
    }

    /// What one issuer counts into: the same rows for the same issuer, until [`IssuerMetrics::removed`].
    pub fn issuer(&self, issuer: &str) -> IssuerMetrics {
        self.0.issuers.issuer(issuer)
    }

    /// Where the rows of issuers at rest are asked for.
    pub fn details_from(&self, ask: impl Fn(&str) -> Option<Details> + Send + Sync + 'static) {
        self.0.issuers.details_from(Arc::new(ask));
    }

    /// How far the wall clock stands from what the time elapsed says.
    pub fn clock_leaps(&self, leap: jiff::SignedDuration) {
        self.0.clock.set(leap.as_secs_f64());
    }

    /// How long a round over all sources takes.
    pub fn reading_round(&self, round: jiff::SignedDuration) {
        self.0.reads.round(round);
    }

    /// The smallest max-age of a JWKS: what a round is held against.
    pub fn smallest_max_age(&self, max_age: jiff::SignedDuration) {
        self.0.reads.smallest_max_age(max_age);
    }

    /// The configuration was read and is in force: at the start, and after each reload that was taken.
    pub fn config_loaded(&self, now: Timestamp) {
        self.0.config.loaded(now);
    }

    /// A reload was taken over. Counts it, and does what [`Self::config_loaded`] does.
    pub fn config_reloaded(&self, now: Timestamp) {
        self.0.config.reloaded(now);
    }

    /// A reload was refused; the configuration before it stays in force.
    pub fn config_refused(&self) {
        self.0.config.refused();
    }

    /// An operator gave a command; `result` is `done`, `denied` or `failed`.
    pub fn control(&self, command: &str, result: &str) {
        self.0.control.command(command, result);
    }

    /// A command could not be written to the audit file.
    pub fn audit_failed(&self) {
        self.0.control.audit_failed();
    }

    /// What counts lines of the log that were dropped.
    pub fn log(&self) -> LogMetrics {
        self.0.log.clone()
    }

    /// Which issuers have rows of their own from now on. Totals count all of them whatever this says.
    pub fn show_issuers(&self, rows: IssuerRows) {
        *self.0.rows.write().unwrap_or_else(PoisonError::into_inner) = rows;
    }

    /// The text exposition format 0.0.4, whose media type is [`TEXT_FORMAT`]. Takes time that grows with the
    /// issuers: not to be called on a thread that serves.
    pub fn render(&self) -> Result<String, Error> {
        let mut families = self.0.registry.gather();
        let shown = *self.0.rows.read().unwrap_or_else(PoisonError::into_inner);
        families.extend(rows::families(&self.0.issuers, shown));
        families.extend(process::families(self.0.started));
        TextEncoder::new().encode_to_string(&families)
    }
}

#[cfg(test)]
mod tests;
