//! Mutual TLS of the control listener: nobody without a certificate of the configured CA gets as far as a request.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_rustls::TlsAcceptor;

use super::ControlSettings;
use crate::clock::Clock;
use crate::edge::{EdgeError, certified};

/// The TLS of one listener. Its files are read anew for each connection, of which there are few: renewed ones are taken
/// over, and a CA that is taken out is out at once.
#[derive(Debug)]
pub(super) struct Tls {
    settings: ControlSettings,
    clock: Clock,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    config: Arc<ServerConfig>,
    /// What was said about files that cannot be used: once is enough.
    told: Option<String>,
}

impl Tls {
    /// Reads and checks the files.
    pub(super) fn open(settings: ControlSettings, clock: Clock) -> Result<Self, EdgeError> {
        let config = read(&settings, &clock)?;
        Ok(Self {
            settings,
            clock,
            last: Mutex::new(Last { config, told: None }),
        })
    }

    /// By the files as they are now; by those before while they cannot be used. Blocks.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let read = read(&self.settings, &self.clock);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(config) => {
                last.config = config;
                last.told = None;
            }
            Err(error) => {
                let told = error.to_string();
                if last.told.as_ref() != Some(&told) {
                    tracing::error!(
                        "the files of the control listener are not taken over, those before stay: {told}"
                    );
                    last.told = Some(told);
                }
            }
        }
        TlsAcceptor::from(Arc::clone(&last.config))
    }
}

fn read(settings: &ControlSettings, clock: &Clock) -> Result<Arc<ServerConfig>, EdgeError> {
    let ControlSettings {
        cert, key, client_ca, ..
    } = settings;
    let certified = certified(cert, key, clock.now())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_ca)?), provider.clone())
        .build()
        .map_err(|error| EdgeError::BadCertificate {
            path: client_ca.clone(),
            problem: format!("cannot be used to check clients ({error})"),
        })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Each connection shows its certificate anew: the CA may have changed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn roots(path: &Path) -> Result<RootCertStore, EdgeError> {
    let bad = |problem: &str| EdgeError::BadCertificate {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let pem = std::fs::read(path).map_err(|error| EdgeError::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| bad("has a broken PEM block"))?;
        roots
            .add(certificate)
            .map_err(|_| bad("holds a certificate that cannot be read"))?;
    }
    if roots.is_empty() {
        return Err(bad("holds no certificate"));
    }
    Ok(roots)
}
