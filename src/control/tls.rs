//! Mutual TLS of the control listener: nobody without a certificate of the configured CA gets as far as a request.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::Mutex;
use tokio_rustls::TlsAcceptor;

use super::ControlSettings;
use crate::clock::Clock;
use crate::edge::{EdgeError, certified};
use crate::fs::{self, Blocking, Ended};
use crate::pem;

/// A connection waits no longer for files that hang, and those that come meanwhile not at all.
const TIMEOUT: Duration = Duration::from_secs(2);

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
    reading: Blocking<Result<Arc<ServerConfig>, EdgeError>>,
    config: Arc<ServerConfig>,
    /// What was said about files that cannot be used: once is enough.
    told: Option<String>,
}

impl Tls {
    /// Reads and checks the files.
    pub(super) fn open(settings: ControlSettings, clock: Clock) -> Result<Self, EdgeError> {
        let (path, read_with) = (settings.cert.clone(), (settings.clone(), clock.clone()));
        let config = fs::soon(move || read(&read_with.0, &read_with.1));
        let config = config.map_err(|error| EdgeError::Unreadable { path, error })??;
        Ok(Self {
            settings,
            clock,
            last: Mutex::new(Last {
                reading: Blocking::default(),
                config,
                told: None,
            }),
        })
    }

    /// By the files as they are now; by those before while they cannot be used.
    pub(super) async fn acceptor(&self) -> TlsAcceptor {
        let (settings, clock) = (self.settings.clone(), self.clock.clone());
        let mut last = self.last.lock().await;
        let work = move || read(&settings, &clock);
        let told = match last.reading.run(TIMEOUT, work).await {
            Ok(Ok(config)) => {
                last.config = config;
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(Ended::Late) => {
                Some("reading them takes too long: does a disk or network mount hang?".to_owned())
            }
            Err(Ended::Panicked(error)) => Some(error.to_string()),
        };
        if let Some(told) = told.as_ref().filter(|told| last.told.as_ref() != Some(told)) {
            tracing::error!(
                "the files of the control listener are not taken over, those before stay: {told}"
            );
        }
        last.told = told;
        TlsAcceptor::from(Arc::clone(&last.config))
    }
}

/// Whether the CA of the clients can be used as it is now.
pub(super) fn check_client_ca(path: &Path) -> Result<(), EdgeError> {
    let of_file = path.to_owned();
    let verifier = fs::soon(move || client_verifier(&of_file));
    let verifier = verifier.map_err(|error| EdgeError::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    verifier.map(|_| ())
}

/// Lets those in who have a certificate of the CA in this file.
fn client_verifier(client_ca: &Path) -> Result<Arc<dyn ClientCertVerifier>, EdgeError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_ca)?), provider)
        .build()
        .map_err(|error| EdgeError::BadCertificate {
            path: client_ca.to_owned(),
            problem: format!("cannot be used to check clients ({error})"),
        })
}

fn read(settings: &ControlSettings, clock: &Clock) -> Result<Arc<ServerConfig>, EdgeError> {
    let ControlSettings {
        cert, key, client_ca, ..
    } = settings;
    let certified = certified(cert, key, clock.now())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = client_verifier(client_ca)?;
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
    let bad = |problem: String| EdgeError::BadCertificate {
        path: path.to_owned(),
        problem,
    };
    let text = fs::read(path, fs::MAX_PEM).map_err(|error| EdgeError::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    let roots = pem::authorities(&text)
        .map_err(|error| bad(error.to_string()))?
        .store;
    if roots.is_empty() {
        return Err(bad("holds no certificate".to_owned()));
    }
    Ok(roots)
}
