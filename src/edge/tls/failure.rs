//! Why a handshake failed, as it is counted.

use std::io;

use rustls::{Error as TlsError, InvalidMessage};

use crate::metrics::HandshakeFailure;

/// The reason behind what the TLS stream gave.
pub(in crate::edge) fn reason(error: &io::Error) -> HandshakeFailure {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        return match tls {
            TlsError::AlertReceived(_) => HandshakeFailure::ClientAlert,
            TlsError::PeerIncompatible(_) | TlsError::NoApplicationProtocol => HandshakeFailure::Incompatible,
            TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => HandshakeFailure::NotTls,
            _ => HandshakeFailure::Other,
        };
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => HandshakeFailure::Closed,
        io::ErrorKind::TimedOut => HandshakeFailure::Timeout,
        _ => HandshakeFailure::Other,
    }
}
