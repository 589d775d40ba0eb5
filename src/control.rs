//! Operators' commands: on a Unix socket in the state folder, and where configured on an address with mutual TLS.
//! Never on the edge, and never on the admin listener.
//!
//! | request | does |
//! |---|---|
//! | `GET /v1/keys?issuer=URL` | shows the keys |
//! | `POST /v1/keys/revoke`, `unrevoke`, `approve`, `import` | with a [`Request`] as JSON |
//!
//! Answers are a [`Report`] with 200, or a [`Failed`] with 400 (the request), 404 (no such issuer or key), 409 (refused),
//! 503 (the issuer takes no commands now). `oidc-issuer keys` is the client; it does the same to a store while no
//! service runs.

mod audit;
mod carry;
mod host;
mod peer;
mod routes;
mod server;
mod socket;
mod tls;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::clock::Clock;
use crate::edge::{EdgeError, check_certificate};
use crate::issuer::Desk;
use crate::metrics::Metrics;

pub use audit::{Audit, Entry};
pub use carry::{Carried, Request, Verb};
pub use host::{me, name as host_name};
pub use server::Control;
pub use socket::{LOCK, SOCKET, Socket, SocketError, reachable};
pub use wire::{Failed, Held, HeldChange, Key, Name, Refused, Report, Revoked, State};

/// The control listener with mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSettings {
    /// Where it listens: never an address of the edge, nor that of admin.
    pub address: SocketAddr,
    /// Its certificate, leaf first (PEM).
    pub cert: PathBuf,
    /// The key of that (PEM).
    pub key: PathBuf,
    /// Whoever has a certificate of this CA may give commands (PEM).
    pub client_ca: PathBuf,
}

impl ControlSettings {
    /// What a start would refuse of the files, each with its field; or else what clients may stumble over all the same.
    pub fn check(&self, now: Timestamp) -> Result<Option<String>, Vec<(&'static str, EdgeError)>> {
        let pair = check_certificate(&self.cert, &self.key, now);
        let client_ca = tls::check_client_ca(&self.client_ca).err();
        let client_ca = client_ca.map(|error| ("clientCaFile", error));
        match (pair, client_ca) {
            (Ok(doubt), None) => Ok(doubt),
            (pair, client_ca) => {
                let pair = pair.err().into_iter().flatten();
                let named = pair.map(|error| (error.field(&self.key), error));
                Err(named.chain(client_ca).collect())
            }
        }
    }
}

/// What commands work on.
#[derive(Clone, Debug)]
pub struct ControlState {
    /// Where the issuers are.
    pub desk: Desk,
    /// Where commands are written down.
    pub audit: Arc<Audit>,
    /// Where they are counted.
    pub metrics: Metrics,
    /// The time of day.
    pub clock: Clock,
}
