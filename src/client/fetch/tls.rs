//! TLS towards a source: which CAs are trusted, and what a failed handshake means.

mod configs;

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage, RootCertStore, SignatureScheme,
};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsConnector;

use self::configs::{CONFIGS, Key, key_of};
use super::meter::is_overrun;
use super::{Cause, Target, Wire};
use crate::{certificate, pem};

/// Which CAs may have signed a server's certificate.
#[derive(Clone, Debug)]
pub(crate) enum Roots {
    /// These alone.
    Pinned(Arc<Pinned>),
    /// These, beside those of the operating system.
    Beside(Arc<Pinned>, SystemRoots),
    /// Those of the operating system.
    System(SystemRoots),
}

/// The CAs of a file, or of a kubeconfig.
#[derive(Debug)]
pub(crate) struct Pinned {
    certificates: Vec<CertificateDer<'static>>,
    store: Arc<RootCertStore>,
}

/// The CAs of the operating system: one store for the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct SystemRoots;

/// How old the store of the system's CAs may be: they change with an update of the system.
const SYSTEM_ROOTS_MAX_AGE: Duration = Duration::from_hours(1);

static SYSTEM_ROOTS: Mutex<Option<LoadedRoots>> = Mutex::new(None);

#[derive(Clone)]
struct LoadedRoots {
    store: Arc<RootCertStore>,
    key: Key,
    at: Instant,
}

/// Our own certificate and its key, which stays where it is wiped in the end: in the TLS library.
pub(crate) struct Identity(Arc<CertifiedKey>);

/// Why a certificate and its key are no identity.
#[derive(Debug)]
pub(crate) enum IdentityFault {
    /// One of them cannot be used: what is wrong with it.
    Unusable(String),
    /// The key is that of another certificate.
    Mismatch,
}

impl From<String> for IdentityFault {
    fn from(reason: String) -> Self {
        Self::Unusable(reason)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        // A certificate has one key.
        self.0.cert == other.0.cert
    }
}

/// Whether whom one trusts the other trusts too: by what is in a file, since it is read anew each time.
impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pinned(ours), Self::Pinned(theirs)) | (Self::Beside(ours, _), Self::Beside(theirs, _)) => {
                ours.certificates == theirs.certificates
            }
            (Self::System(_), Self::System(_)) => true,
            _ => false,
        }
    }
}

impl Roots {
    /// The CAs in a PEM file. `Err` says what is wrong with it.
    pub(crate) fn pinned(pem: &[u8]) -> Result<Self, String> {
        Pinned::new(pem).map(Self::Pinned)
    }

    /// The CAs in a PEM file, and those of the operating system. `Err` says what is wrong with the file.
    pub(super) fn beside(pem: &[u8], system: SystemRoots) -> Result<Self, String> {
        Pinned::new(pem).map(|pinned| Self::Beside(pinned, system))
    }

    /// The CAs of the operating system, whichever these are: a proxy is not signed by the cluster's CA.
    pub(super) fn system(&self) -> SystemRoots {
        match self {
            Self::System(roots) | Self::Beside(_, roots) => roots.clone(),
            Self::Pinned(_) => SystemRoots,
        }
    }

    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, Cause> {
        match self {
            Self::Pinned(pinned) => Ok(Arc::new(PinnedVerifier {
                pinned: Arc::clone(pinned),
                webpki: webpki(Arc::clone(&pinned.store))?,
            })),
            Self::Beside(pinned, _) => {
                // A machine without CAs of its own still has these.
                let mut store = SystemRoots::load().map_or_else(
                    |_| RootCertStore::empty(),
                    |system| RootCertStore::clone(&system.store),
                );
                store.add_parsable_certificates(pinned.certificates.iter().cloned());
                Ok(Arc::new(PinnedVerifier {
                    pinned: Arc::clone(pinned),
                    webpki: webpki(Arc::new(store))?,
                }))
            }
            Self::System(_) => Ok(webpki(SystemRoots::load()?.store)?),
        }
    }

    /// Equal where the CAs are.
    fn key(&self) -> Result<Key, Cause> {
        match self {
            Self::Pinned(pinned) => Ok(key_of("pinned", &pinned.certificates)),
            Self::Beside(pinned, _) => {
                let mut key = Sha256::new();
                key.update(key_of("beside", &pinned.certificates));
                key.update(SystemRoots::load().map(|system| system.key).unwrap_or_default());
                Ok(key.finalize().into())
            }
            Self::System(_) => Ok(SystemRoots::load()?.key),
        }
    }
}

impl Pinned {
    fn new(text: &[u8]) -> Result<Arc<Self>, String> {
        let found = pem::authorities(text).map_err(|error| format!("it {error}"))?;
        if found.store.is_empty() {
            return Err("it holds no CERTIFICATE block".into());
        }
        Ok(Arc::new(Self {
            certificates: found.certificates,
            store: Arc::new(found.store),
        }))
    }
}

impl SystemRoots {
    /// Reads them where that was not done for an hour; what was read before holds where there are none any more.
    fn load() -> Result<LoadedRoots, Cause> {
        // Replaced as a whole, so a panic elsewhere leaves it so.
        let mut loaded = SYSTEM_ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now();
        if let Some(known) = &*loaded
            && at.duration_since(known.at) < SYSTEM_ROOTS_MAX_AGE
        {
            return Ok(known.clone());
        }
        let found = rustls_native_certs::load_native_certs().certs;
        let key = key_of("system", &found);
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(found);
        let new = match &*loaded {
            Some(known) if added == 0 || known.key == key => LoadedRoots { at, ..known.clone() },
            None if added == 0 => {
                return Err(Cause::Settings {
                    reason: "this machine has no CA certificates to check a server by".into(),
                    remedy:
                        "Name the server's CA as caFile, or install the CA bundle of the operating system."
                            .into(),
                });
            }
            _ => LoadedRoots {
                store: Arc::new(store),
                key,
                at,
            },
        };
        Ok(loaded.insert(new).clone())
    }
}

impl Identity {
    /// A certificate chain and its key, in PEM. `Err` says what is wrong with them, never what is in them.
    pub(crate) fn new(chain: &[u8], key: &[u8]) -> Result<Self, IdentityFault> {
        let chain = pem::certificates(chain).map_err(|error| format!("it {error}"))?;
        if chain.is_empty() {
            return Err("it holds no CERTIFICATE block".to_owned().into());
        }
        let key = pem::private_key(key).map_err(|error| format!("its key {error}"))?;
        let key = key.ok_or_else(|| {
            "its key is not a PRIVATE KEY block (PKCS#8, PKCS#1 or SEC1, not encrypted)".to_owned()
        })?;
        let certified = pem::certified(chain, &key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => IdentityFault::Mismatch,
            error => format!("it cannot be used ({error})").into(),
        })?;
        Ok(Self(Arc::new(certified)))
    }

    /// Equal where the certificate is, and it has one key.
    fn key(&self) -> Key {
        key_of("identity", &self.0.cert)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn webpki(store: Arc<RootCertStore>) -> Result<Arc<WebPkiServerVerifier>, Cause> {
    WebPkiServerVerifier::builder_with_provider(store, provider())
        .build()
        .map_err(|error| Cause::Handshake {
            reason: error.to_string(),
        })
}

/// Checks who is there, and encrypts.
pub(super) async fn handshake(target: &Target, wire: Wire) -> Result<Wire, Cause> {
    let host = target.base.host_str().unwrap_or_default();
    let name = target.server_name.as_deref().unwrap_or(host);
    with(config(&target.roots, target.identity.as_deref())?, name, wire).await
}

/// The same towards a proxy.
pub(super) async fn handshake_with_proxy(roots: SystemRoots, host: &str, wire: Wire) -> Result<Wire, Cause> {
    with(config(&Roots::System(roots), None)?, host, wire).await
}

/// The configuration that trusts these and presents this: the one of the last connection, where there was one.
fn config(roots: &Roots, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, Cause> {
    let mut key = Sha256::new();
    key.update(roots.key()?);
    key.update(identity.map(Identity::key).unwrap_or_default());
    CONFIGS.get(key.finalize().into(), || new_config(roots, identity))
}

fn new_config(roots: &Roots, identity: Option<&Identity>) -> Result<ClientConfig, Cause> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Cause::Handshake {
            reason: error.to_string(),
        })?
        .dangerous()
        .with_custom_certificate_verifier(roots.verifier()?);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some(Identity(certified)) => {
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(certified))))
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn with(config: Arc<ClientConfig>, name: &str, wire: Wire) -> Result<Wire, Cause> {
    let server = ServerName::try_from(name.trim_start_matches('[').trim_end_matches(']').to_owned())
        .map_err(|_| Cause::WrongName {
            name: name.to_owned(),
        })?;
    match TlsConnector::from(config).connect(server, wire).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(match cause_within(&error) {
            Some(Cause::WrongName { .. }) => Cause::WrongName {
                name: name.to_owned(),
            },
            Some(cause) => cause,
            None if is_overrun(&error) => Cause::Handshake {
                reason: "the server sends more than any handshake has".into(),
            },
            None => Cause::Interrupted {
                phase: super::Phase::Handshake,
            },
        }),
    }
}

/// What rustls said, if it said anything; it stands somewhere in the chain of an I/O error.
pub(super) fn cause_within(error: &(dyn Error + 'static)) -> Option<Cause> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(cause(error));
        }
        next = match error.downcast_ref::<std::io::Error>() {
            // The source of an I/O error is that of the error within, not that error.
            Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

fn cause(error: &rustls::Error) -> Cause {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            // A bad signature: by a key of another CA of the same name, as after a cluster was made anew.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Cause::UnknownCa,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Cause::WrongName { name: String::new() }
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Cause::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Cause::NotYetValid,
            other => Cause::Certificate {
                reason: certificate::refusal(other),
            },
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Cause::NotTls,
        rustls::Error::AlertReceived(alert) => Cause::Alert {
            alert: format!("{alert:?}"),
        },
        other => Cause::Handshake {
            reason: other.to_string(),
        },
    }
}

/// Accepts what webpki accepts, and a server certificate that is itself, octet for octet, one of those pinned: a
/// self-signed certificate that says it is a CA, as `openssl req -x509` makes them, and as Go and OpenSSL accept.
#[derive(Debug)]
struct PinnedVerifier {
    pinned: Arc<Pinned>,
    webpki: Arc<WebPkiServerVerifier>,
}

impl PinnedVerifier {
    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        self.pinned
            .certificates
            .iter()
            .any(|pinned| pinned == certificate)
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let error =
            match self
                .webpki
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            {
                Ok(verified) => return Ok(verified),
                Err(error) if !self.is_pinned(end_entity) => return Err(error),
                Err(error) => error,
            };
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(end_entity) else {
            return Err(error);
        };
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = certificate.validity();
        if seconds > validity.not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        if seconds < validity.not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
