//! What an operator writes → validated settings; every error names the field.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::edge::ListenerSettings;
use crate::issuer::IssuerSettings;

/// Everything `serve` runs by, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// At least one.
    pub issuers: Vec<IssuerSettings>,
    /// At least one.
    pub listeners: Vec<ListenerSettings>,
    /// The admin listener.
    pub admin: SocketAddr,
    /// The state folder.
    pub state_dir: PathBuf,
}
