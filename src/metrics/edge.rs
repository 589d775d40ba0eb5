//! What the edge counts: requests, connections, handshakes, certificates.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::register::{counter_vec, gauge_vec, histogram_vec, seconds, timestamp_vec};
use crate::display;

/// From 10 µs, where a prepared response is expected, to 1 s, where verifiers begin to give up (Nimbus: 0.5 s).
const BUCKETS: [f64; 14] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5,
    1.0,
];

/// The codes that the edge answers; their counters are found by index. Any other is looked up.
const CODES: [StatusCode; 12] = [
    StatusCode::OK,
    StatusCode::NO_CONTENT,
    StatusCode::NOT_MODIFIED,
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PRECONDITION_FAILED,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// Which document a request asked for: the label `endpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The discovery document, at either of its paths.
    Discovery,
    /// The JWKS.
    Jwks,
    /// The discovery document as RFC 8414 authorization server metadata.
    OauthAuthorizationServer,
    /// None: an unknown path, or a request that was refused before routing.
    Other,
}

impl Endpoint {
    const ALL: [Self; 4] = [
        Self::Discovery,
        Self::Jwks,
        Self::OauthAuthorizationServer,
        Self::Other,
    ];

    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
            Self::OauthAuthorizationServer => "oauth_authorization_server",
            Self::Other => "other",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Discovery => 0,
            Self::Jwks => 1,
            Self::OauthAuthorizationServer => 2,
            Self::Other => 3,
        }
    }
}

/// Why a TLS handshake did not succeed: the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// It took longer than allowed.
    Timeout,
    /// The client closed or reset the connection: port scans, TCP health checks of a balancer.
    Closed,
    /// What came was not TLS: plain HTTP, say.
    NotTls,
    /// No protocol version, cipher suite or group in common.
    Incompatible,
    /// The client refused with an alert: it does not trust the certificate, say.
    ClientAlert,
    /// Anything else.
    Other,
}

impl HandshakeFailure {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Timeout,
        Self::Closed,
        Self::NotTls,
        Self::Incompatible,
        Self::ClientAlert,
        Self::Other,
    ];

    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NotTls => "not_tls",
            Self::Incompatible => "incompatible",
            Self::ClientAlert => "client_alert",
            Self::Other => "other",
        }
    }

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        match self {
            Self::Timeout => 0,
            Self::Closed => 1,
            Self::NotTls => 2,
            Self::Incompatible => 3,
            Self::ClientAlert => 4,
            Self::Other => 5,
        }
    }
}

/// Why a connection was not taken: the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedConnection {
    /// As many connections as allowed are open.
    Limit,
    /// Its address has as many connections as it may.
    AddressLimit,
    /// `accept` failed: out of file descriptors, say.
    AcceptError,
}

/// What the router counts into. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EdgeMetrics {
    families: Families,
    endpoints: [EndpointMetrics; 4],
}

#[derive(Clone, Debug)]
struct Families {
    requests: IntCounterVec,
    accepted: IntCounterVec,
    refused: IntCounterVec,
    open: IntGaugeVec,
    handshake_failures: IntCounterVec,
    certificate_expiry: GaugeVec,
    certificate_reloads: IntCounterVec,
}

#[derive(Clone, Debug)]
struct EndpointMetrics {
    codes: [OnceLock<IntCounter>; CODES.len()],
    duration: Histogram,
}

impl EdgeMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let durations = histogram_vec(
            registry,
            HistogramOpts::new(
                "oidc_issuer_http_request_duration_seconds",
                "Time from the last octet of a request to its finished response, by endpoint.",
            )
            .buckets(BUCKETS.to_vec()),
            &["endpoint"],
        );
        let edge = Self {
            families: Families::register(registry),
            endpoints: Endpoint::ALL.map(|endpoint| EndpointMetrics {
                codes: Default::default(),
                duration: durations.with_label_values(&[endpoint.label()]),
            }),
        };
        // What is alerted on exists from the start, so that its first increment is seen as one.
        for endpoint in [Endpoint::Discovery, Endpoint::Jwks] {
            for code in [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
                edge.request_counter(endpoint, code, |_| ());
            }
        }
        edge
    }

    /// A request was answered.
    pub fn response(&self, endpoint: Endpoint, status: StatusCode, duration: Duration) {
        self.request_counter(endpoint, status, IntCounter::inc);
        self.endpoints[endpoint.index()]
            .duration
            .observe(duration.as_secs_f64());
    }

    fn request_counter(&self, endpoint: Endpoint, status: StatusCode, then: impl FnOnce(&IntCounter)) {
        let resolve = || {
            self.families
                .requests
                .with_label_values(&[endpoint.label(), status.as_str()])
        };
        match CODES.iter().position(|code| *code == status) {
            Some(code) => then(self.endpoints[endpoint.index()].codes[code].get_or_init(resolve)),
            None => then(&resolve()),
        }
    }

    /// What one listener counts into, named by its configured address.
    pub fn listener(&self, address: &str) -> ListenerMetrics {
        let families = &self.families;
        let address = &*display::label(address);
        ListenerMetrics {
            accepted: families.accepted.with_label_values(&[address]),
            open: families.open.with_label_values(&[address]),
            limit: families.refused.with_label_values(&[address, "limit"]),
            address_limit: families.refused.with_label_values(&[address, "address_limit"]),
            accept_error: families.refused.with_label_values(&[address, "accept_error"]),
            tls: OnceLock::new(),
            address: address.to_owned(),
            families: self.families.clone(),
        }
    }
}

impl Families {
    fn register(registry: &Registry) -> Self {
        Self {
            requests: counter_vec(
                registry,
                Opts::new(
                    "oidc_issuer_http_requests_total",
                    "Requests answered by the edge, by endpoint and status code.",
                ),
                &["endpoint", "code"],
            ),
            accepted: counter_vec(
                registry,
                Opts::new(
                    "oidc_issuer_connections_accepted_total",
                    "Connections accepted, by listener.",
                ),
                &["listener"],
            ),
            refused: counter_vec(
                registry,
                Opts::new(
                    "oidc_issuer_connections_refused_total",
                    "Connections that were not taken, by listener and reason.",
                ),
                &["listener", "reason"],
            ),
            open: gauge_vec(
                registry,
                Opts::new(
                    "oidc_issuer_connections_open",
                    "Connections open now, by listener.",
                ),
                &["listener"],
            ),
            handshake_failures: counter_vec(
                registry,
                Opts::new(
                    "oidc_issuer_tls_handshake_failures_total",
                    "TLS handshakes that did not succeed, by listener and reason.",
                ),
                &["listener", "reason"],
            ),
            certificate_expiry: timestamp_vec(
                registry,
                Opts::new(
                    "oidc_issuer_certificate_expiry_timestamp_seconds",
                    "When the certificate that a listener presents ends.",
                ),
                &["listener"],
            ),
            certificate_reloads: counter_vec(
                registry,
                Opts::new(
                    "oidc_issuer_certificate_reloads_total",
                    "Changed certificate files by listener and result; a refused one changes nothing.",
                ),
                &["listener", "result"],
            ),
        }
    }
}

/// What one listener counts into. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    address: String,
    families: Families,
    accepted: IntCounter,
    open: IntGauge,
    limit: IntCounter,
    address_limit: IntCounter,
    accept_error: IntCounter,
    tls: OnceLock<TlsMetrics>,
}

/// Only listeners with TLS have these rows: from their first certificate on, all of them.
#[derive(Clone, Debug)]
struct TlsMetrics {
    failures: [IntCounter; 6],
    reloaded: IntCounter,
    refused: IntCounter,
}

impl ListenerMetrics {
    /// A connection was accepted; it counts as open until what is returned is dropped.
    #[must_use = "the connection counts as open until this is dropped"]
    pub fn accepted(&self) -> OpenConnection {
        self.accepted.inc();
        self.open.inc();
        OpenConnection(self.open.clone())
    }

    /// A connection was not taken.
    pub fn refused(&self, why: RefusedConnection) {
        match why {
            RefusedConnection::Limit => self.limit.inc(),
            RefusedConnection::AddressLimit => self.address_limit.inc(),
            RefusedConnection::AcceptError => self.accept_error.inc(),
        }
    }

    /// A TLS handshake did not succeed.
    pub fn handshake_failed(&self, why: HandshakeFailure) {
        self.tls().failures[why.index()].inc();
    }

    /// The certificate that is presented from now on ends then.
    pub fn certificate_expires(&self, at: Timestamp) {
        self.tls();
        self.families
            .certificate_expiry
            .with_label_values(&[&self.address])
            .set(seconds(at));
    }

    /// Changed certificate files were read: taken over, or refused so that the old certificate stays.
    pub fn certificate_reload(&self, taken: bool) {
        let tls = self.tls();
        if taken { &tls.reloaded } else { &tls.refused }.inc();
    }

    fn tls(&self) -> &TlsMetrics {
        self.tls.get_or_init(|| {
            let listener = self.address.as_str();
            let families = &self.families;
            TlsMetrics {
                failures: HandshakeFailure::ALL.map(|why| {
                    families
                        .handshake_failures
                        .with_label_values(&[listener, why.label()])
                }),
                reloaded: families
                    .certificate_reloads
                    .with_label_values(&[listener, "success"]),
                refused: families
                    .certificate_reloads
                    .with_label_values(&[listener, "failure"]),
            }
        })
    }
}

/// An open connection: counted until dropped.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
