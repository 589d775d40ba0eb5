//! The listeners of the control endpoint: HTTP/1.1 on the socket, and on an address with mutual TLS.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::peer::Peer;
use super::routes::router;
use super::tls::Tls;
use super::{ControlSettings, ControlState, Socket, SocketError};
use crate::certificate;
use crate::clock::Clock;
use crate::edge::EdgeError;
use crate::listen::{self, Bounds, Handler, LogThrottle, Place, Places, Table, serve_http1};
use crate::store::FolderLock;

/// Open at the same time, on the socket and on the address each: strangers at the address do not keep anybody from the
/// socket. The rest waits.
const CONNECTIONS: usize = 64;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

const TIMES: Bounds = Bounds {
    header: Duration::from_secs(10),
    // Longer than a command may take.
    age: Duration::from_mins(1),
    grace: Duration::from_secs(5),
};

/// Where commands are taken: nothing is answered before [`Control::serve`].
#[derive(Debug, Default)]
pub struct Control {
    socket: Option<Socket>,
    address: Option<(TcpListener, Arc<Tls>)>,
}

impl Control {
    /// Takes commands on an address, by certificates of the configured CA. Within a tokio runtime.
    pub fn listen(&mut self, settings: ControlSettings, clock: &Clock) -> Result<SocketAddr, EdgeError> {
        let address = settings.address;
        let tls = Tls::open(settings, clock.clone())?;
        let listener = listen::bind(address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => EdgeError::AddressInUse { address },
            _ => EdgeError::Bind { address, error },
        })?;
        let bound = listener.local_addr().unwrap_or(address);
        self.address = Some((listener, Arc::new(tls)));
        Ok(bound)
    }

    /// Takes commands on a socket in this folder, which this process alone has by that lock. Within a tokio runtime.
    pub fn open(&mut self, folder: &Path, lock: Arc<Mutex<FolderLock>>) -> Result<PathBuf, SocketError> {
        let socket = self.socket.insert(Socket::bind(folder, lock)?);
        Ok(socket.path())
    }

    /// Serves until `stop`; then answers what is in progress and returns.
    pub async fn serve(self, state: ControlState, stop: CancellationToken) {
        let places = Places::of(CONNECTIONS);
        let (by_socket, by_address) = (Table::new(places), Table::new(places));
        let socket = async {
            if let Some(socket) = &self.socket {
                let handler = Arc::new(OnSocket {
                    state: state.clone(),
                    stop: stop.clone(),
                });
                listen::accept(socket, "control.sock", &by_socket, handler, &stop).await;
            }
        };
        let address = async {
            if let Some((listener, tls)) = self.address {
                let handler = Arc::new(OverTls {
                    state: state.clone(),
                    stop: stop.clone(),
                    tls,
                    failures: LogThrottle::default(),
                });
                listen::accept(listener, "control", &by_address, handler, &stop).await;
            }
        };
        tokio::join!(socket, address);
        // Nobody comes any more.
        drop(self.socket);
        tokio::join!(by_socket.ended(), by_address.ended());
    }
}

/// Commands that come on the socket in the state folder.
struct OnSocket {
    state: ControlState,
    stop: CancellationToken,
}

impl Handler<UnixStream> for OnSocket {
    async fn serve(self: Arc<Self>, stream: UnixStream, place: Place) {
        let uid = stream.peer_cred().ok().map(|peer| peer.uid());
        let router = router(self.state.clone(), Peer::of_user(uid));
        serve_http1(stream, router, TIMES, &place, &self.stop).await;
    }
}

/// Commands that come over mutual TLS.
struct OverTls {
    state: ControlState,
    stop: CancellationToken,
    tls: Arc<Tls>,
    failures: LogThrottle,
}

impl Handler<TcpStream> for OverTls {
    async fn serve(self: Arc<Self>, stream: TcpStream, place: Place) {
        match self.secured(stream).await {
            Ok(stream) => {
                place.activity().handshake_done();
                place.trust();
                let certificates = stream.get_ref().1.peer_certificates();
                let peer = Peer::of_certificate(certificates.and_then(|chain| chain.first()), place.peer());
                let router = router(self.state.clone(), peer);
                serve_http1(stream, router, TIMES, &place, &self.stop).await;
            }
            Err(reason) => self.refused(place.peer(), &reason),
        }
    }
}

impl OverTls {
    /// The connection of someone with a certificate of the configured CA; or why it is none.
    async fn secured(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let handshake = async {
            // The files are not read for a client that says nothing.
            stream.readable().await.map_err(|error| error.to_string())?;
            let acceptor = self.tls.acceptor().await;
            acceptor.accept(stream).await.map_err(|error| told(&error))
        };
        let done = timeout(HANDSHAKE_TIMEOUT, handshake).await;
        done.unwrap_or_else(|_| Err("no TLS handshake in time".to_owned()))
    }

    /// Anyone who reaches the address can fail a handshake.
    fn refused(&self, peer: Option<SocketAddr>, reason: &str) {
        let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
        if self.failures.due().is_some() {
            tracing::warn!(peer, "a connection to the control listener was refused: {reason}");
        } else {
            tracing::debug!(
                peer,
                "another connection to the control listener was refused: {reason}"
            );
        }
    }
}

/// Why a handshake failed.
fn told(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(error)) => {
            format!(
                "the client certificate is not accepted: {}",
                certificate::refusal(error)
            )
        }
        Some(rustls::Error::NoCertificatesPresented) => "the client showed no certificate".to_owned(),
        _ => error.to_string(),
    }
}
