//! Why the edge does not start, or does not take over a new certificate.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::display;
use crate::fs::FileError;

/// What is wrong with a listener, for the person who configured it: names the file, the cause and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// The address is taken.
    #[error(
        "cannot listen on {address}: the address is in use; stop what listens there, or choose another port"
    )]
    AddressInUse {
        /// As configured.
        address: SocketAddr,
    },
    /// The address cannot be bound for another reason.
    #[error("cannot listen on {address}: {error}{}", hint(.error, .address))]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// A certificate or key file cannot be read.
    #[error("cannot read {}: {error}{}", display::path(path), unreadable(.error))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: FileError,
    },
    /// A certificate file without a certificate, or with a broken one.
    #[error(
        "{} {problem}; it must hold PEM blocks \"CERTIFICATE\", the server's own first, then the intermediates",
        display::path(path)
    )]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong, as the rest of a sentence.
        problem: String,
    },
    /// A key file without a usable private key.
    #[error(
        "{} {problem}; it must hold one unencrypted private key as PEM: PKCS#8, PKCS#1 (RSA) or SEC1 (EC)",
        display::path(path)
    )]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong, as the rest of a sentence.
        problem: String,
    },
    /// Certificate and key are of two pairs.
    #[error(
        "the key in {} does not match the certificate in {}: its public key is another one; \
         give the key that the certificate was made for, or if they are being replaced, replace both",
        display::path(key),
        display::path(cert)
    )]
    Mismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The certificate has ended.
    #[error("the certificate in {} expired at {at}: renew it", display::path(path))]
    Expired {
        /// The certificate file.
        path: PathBuf,
        /// The end of its validity.
        at: Timestamp,
    },
    /// The certificate is not valid yet.
    #[error(
        "the certificate in {} is valid only from {at}: check the clock of this machine",
        display::path(path)
    )]
    NotYetValid {
        /// The certificate file.
        path: PathBuf,
        /// The start of its validity.
        at: Timestamp,
    },
    /// The self-signed certificate cannot be made or kept.
    #[error(
        "cannot keep a self-signed certificate in {}: {problem}",
        display::path(folder)
    )]
    SelfSigned {
        /// `<state>/tls`.
        folder: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// What rustls says of settings that it refuses; not seen with any input so far.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl EdgeError {
    /// The field of a certificate's configuration that this is about, where its key is in this file.
    pub fn field(&self, key: &Path) -> &'static str {
        match self {
            Self::BadKey { .. } | Self::Mismatch { .. } => "tls.keyFile",
            Self::Unreadable { path, .. } if path == key => "tls.keyFile",
            _ => "tls.certFile",
        }
    }

    /// Whether the configuration or the files that it names are at fault (exit code 64), not the machine (1).
    pub fn is_configuration(&self) -> bool {
        !matches!(
            self,
            Self::AddressInUse { .. } | Self::Bind { .. } | Self::SelfSigned { .. }
        )
    }
}

fn unreadable(error: &FileError) -> &'static str {
    match error {
        FileError::Missing | FileError::Io(_) => {
            "; check that the file is there and that this user may read it"
        }
        _ => "; name the regular file that holds it",
    }
}

fn hint(error: &io::Error, address: &SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            format!(
                "; port {} is below 1024: choose one above, or grant CAP_NET_BIND_SERVICE",
                address.port()
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: [::] or 0.0.0.0 listens on all that it has".to_owned()
        }
        _ => String::new(),
    }
}
