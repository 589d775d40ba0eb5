//! TLS of a listener: 1.2 and 1.3, HTTP/2 and HTTP/1.1, a certificate that can be replaced while it is served.
//!
//! Only the certificate is replaced, behind a resolver: the rest of the configuration stays, so tickets survive.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::{EdgeError, TlsSettings};
use crate::clock::Clock;
use crate::fs;
use crate::metrics::ListenerMetrics;

pub(super) mod failure;
mod hosts;
mod keeper;
mod pair;
mod self_signed;

pub use hosts::Hosts;
use keeper::Keeper;
use pair::Files;

/// Sessions of TLS 1.2 clients that know no tickets; all others are kept by the client.
const SESSIONS: usize = 4096;

/// Reads a certificate and its key and judges them as a start would: all that is wrong with them, or else what clients may
/// stumble over all the same.
pub fn check_certificate(cert: &Path, key: &Path, now: Timestamp) -> Result<Option<String>, Vec<EdgeError>> {
    let (path, of_key) = (cert.to_owned(), key.to_owned());
    let judged = fs::soon(move || Files::judged(&path, &of_key, now));
    let pair = judged.map_err(|error| {
        vec![EdgeError::Unreadable {
            path: cert.to_owned(),
            error,
        }]
    })??;
    Ok(pair.doubt.or_else(|| keeper::ends_soon(pair.not_after, now)))
}

/// A certificate and its key, judged likewise: for a listener that is not of the edge. Blocks.
pub(crate) fn certified(cert: &Path, key: &Path, now: Timestamp) -> Result<CertifiedKey, EdgeError> {
    let pair = Files::read(cert, key)?.pair(cert, key, now)?;
    Ok(CertifiedKey::clone(&pair.certified))
}

/// One certificate, and the listeners that present it.
#[derive(Debug)]
pub(super) struct Tls {
    shown: Arc<Shown>,
    keeper: Keeper,
}

impl Tls {
    /// Reads the files, or makes what is self-signed.
    pub(super) fn open(settings: TlsSettings, clock: &Clock) -> Result<Self, EdgeError> {
        let (keeper, pair) = Keeper::open(settings, clock.clone())?;
        let shown = Arc::new(Shown {
            current: ArcSwap::from(pair.certified),
            provider: provider(),
        });
        Ok(Self { shown, keeper })
    }

    /// For a listener that presents this certificate, which is told about expiry and reloads.
    /// Each listener has ticket keys of its own.
    pub(super) fn shown_by(&mut self, listener: &ListenerMetrics) -> Result<Acceptor, EdgeError> {
        let mut config = ServerConfig::builder_with_provider(self.shown.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.shown.clone());
        // A client that offers only HTTP/1.0 by name (`curl --http1.0`) is served as one that names nothing.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        // All of them are good; but scanners hold the client's choice against a server.
        config.ignore_client_order = true;
        config.ticketer = Ticketer::new()?;
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        self.keeper.tell(listener.clone());
        Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
    }

    /// Tells these of the certificate now and of each that takes its place, where it is from files.
    pub(super) fn tell(&mut self, hosts: &Hosts) {
        self.keeper.compare(hosts.clone(), &self.shown.current.load());
    }

    /// Looks after the certificate for ever.
    pub(super) async fn keep(self) {
        let Self { shown, mut keeper } = self;
        loop {
            let pair = keeper.next().await;
            shown.current.store(pair.certified);
        }
    }
}

/// Does handshakes.
#[derive(Clone)]
pub(super) struct Acceptor(pub(super) TlsAcceptor);

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

/// aws-lc-rs, whatever the process default is.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The certificate of the moment.
struct Shown {
    current: ArcSwap<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}
