//! All that faces the internet: listeners, TLS, limits, router.

use std::net::SocketAddr;
use std::path::PathBuf;

/// One listener of the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// TLS, or plain HTTP where a load balancer ends TLS.
    pub tls: Option<TlsSettings>,
    /// Whether responses carry `Strict-Transport-Security`: always on TLS; on a plain listener if configured.
    pub hsts: bool,
}

/// The certificate of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSettings {
    /// PEM files, read again when they change.
    Files {
        /// Leaf first, then intermediates.
        cert: PathBuf,
        /// PKCS#8, PKCS#1 or SEC1.
        key: PathBuf,
    },
    /// A CA and a leaf made with rcgen, kept in a folder: `ca.crt`, `tls.crt`, `tls.key`.
    SelfSigned {
        /// `<state>/tls`.
        folder: PathBuf,
        /// DNS names and IP addresses of the leaf, beside `localhost`, `127.0.0.1` and `::1`.
        names: Vec<String>,
    },
}
