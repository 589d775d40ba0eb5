//! All that faces the internet: listeners, TLS, limits, router.
//!
//! [`Edge::bind`] opens every listener and reads every certificate, so that what is wrong with them is known before
//! anything is served. [`Edge::serve`] then answers from the catalog until it is told to stop, and drains.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::listen::{self, Places, Table};
use crate::metrics::{EdgeMetrics, ListenerMetrics, Metrics};
use connection::Protocols;
use drain::Drain;
use service::Shared;
use tls::{Acceptor, Tls};
use tracing::warn;

mod connection;
mod drain;
mod error;
mod handshakes;
mod limits;
mod router;
mod service;
mod tls;
mod watch;

pub use error::EdgeError;
pub use limits::Limits;
pub use router::{Body, Router};
pub(crate) use tls::certified;
pub use tls::{Hosts, check_certificate};

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
    certificates: Vec<Tls>,
    limits: Limits,
    metrics: EdgeMetrics,
}

#[derive(Debug)]
struct Listener {
    settings: ListenerSettings,
    socket: TcpListener,
    metrics: ListenerMetrics,
    acceptor: Option<Acceptor>,
}

impl Edge {
    /// Opens every listener and reads every certificate; connections wait in the kernel until [`Edge::serve`].
    pub fn bind(
        settings: &[ListenerSettings],
        limits: Limits,
        metrics: &Metrics,
        clock: &Clock,
    ) -> Result<Self, EdgeError> {
        let mut certificates: Vec<(TlsSettings, Tls)> = Vec::new();
        let mut listeners = Vec::with_capacity(settings.len());
        for listener in settings {
            let metrics = metrics.listener(&listener.address.to_string());
            let acceptor = match &listener.tls {
                None => None,
                Some(tls) => Some(certificate(&mut certificates, tls, settings, clock)?.shown_by(&metrics)?),
            };
            let socket = bind(listener.address)?;
            listeners.push(Listener {
                settings: listener.clone(),
                socket,
                metrics,
                acceptor,
            });
        }
        Ok(Self {
            listeners,
            certificates: certificates.into_iter().map(|(_, tls)| tls).collect(),
            limits,
            metrics: metrics.edge().clone(),
        })
    }

    /// Tells which certificates are shown, now and after each renewal.
    pub fn tell(&mut self, hosts: &Hosts) {
        for certificate in &mut self.certificates {
            certificate.tell(hosts);
        }
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
    pub async fn serve(self, catalog: Arc<Catalog>, shutdown: CancellationToken) {
        let limits = Limits {
            max_connections: listen::connections_allowed(self.limits.max_connections),
            ..self.limits
        };
        let table = Table::new(Places {
            total: limits.max_connections,
            per_address: limits.connections_per_address,
            memory: limits.connection_memory,
        });
        let router = Arc::new(Router::new(catalog));
        let drain = Drain::new(limits.drain_timeout);
        let mut keepers = JoinSet::new();
        for certificate in self.certificates {
            keepers.spawn(certificate.keep());
        }
        let mut acceptors = JoinSet::new();
        for listener in self.listeners {
            let shared = Shared {
                router: router.clone(),
                metrics: self.metrics.clone(),
                listener: listener.settings.address.to_string(),
                hsts: listener.settings.hsts || listener.acceptor.is_some(),
                drain: drain.clone(),
            };
            let protocols = Protocols::new(
                Arc::new(shared),
                limits.clone(),
                listener.acceptor,
                listener.metrics,
            );
            let (table, shutdown) = (table.clone(), shutdown.clone());
            acceptors.spawn(async move {
                let name = listener.settings.address.to_string();
                listen::accept(listener.socket, &name, &table, Arc::new(protocols), &shutdown).await;
            });
        }
        shutdown.cancelled().await;
        drain.begin();
        let drained = async {
            while acceptors.join_next().await.is_some() {}
            table.ended().await;
        };
        if timeout(limits.drain_timeout + Duration::from_secs(1), drained)
            .await
            .is_err()
        {
            warn!(
                "some connections had not ended {} s after the signal to stop",
                limits.drain_timeout.as_secs()
            );
        }
    }
}

/// A listener of the edge.
fn bind(address: SocketAddr) -> Result<TcpListener, EdgeError> {
    listen::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => EdgeError::AddressInUse { address },
        _ => EdgeError::Bind { address, error },
    })
}

/// The certificate of a listener, shared with those before it that present the same.
fn certificate<'c>(
    opened: &'c mut Vec<(TlsSettings, Tls)>,
    wanted: &TlsSettings,
    all: &[ListenerSettings],
    clock: &Clock,
) -> Result<&'c mut Tls, EdgeError> {
    let wanted = match wanted {
        // One folder, one certificate: for the names of all listeners that present it.
        TlsSettings::SelfSigned { folder, .. } => {
            let names = all.iter().filter_map(|listener| match &listener.tls {
                Some(TlsSettings::SelfSigned { folder: same, names }) if same == folder => Some(names),
                _ => None,
            });
            TlsSettings::SelfSigned {
                folder: folder.clone(),
                names: names.flatten().cloned().collect(),
            }
        }
        files @ TlsSettings::Files { .. } => files.clone(),
    };
    let known = opened.iter().position(|(settings, _)| *settings == wanted);
    let at = known.unwrap_or(opened.len());
    if known.is_none() {
        let tls = Tls::open(wanted.clone(), clock)?;
        opened.push((wanted, tls));
    }
    Ok(&mut opened[at].1)
}
