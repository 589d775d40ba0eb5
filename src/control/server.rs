//! The accept loops of the control endpoint: HTTP/1.1 on the socket, and on an address with mutual TLS. Bounded in
//! connections and in time.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::peer::Peer;
use super::routes::router;
use super::tls::Tls;
use super::{ControlSettings, ControlState, Socket, SocketError};
use crate::clock::Clock;
use crate::edge::{EdgeError, Seldom, listen};

/// Open at the same time, on the socket and on the address each: strangers at the address do not keep anybody from the
/// socket. The rest waits.
const CONNECTIONS: usize = 16;

/// Of a TLS handshake, and of the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// After so long a connection ends with the answer in progress: longer than a command may take.
const AGE: Duration = Duration::from_mins(1);

/// How long an answer in progress may still take when the service ends.
const GRACE: Duration = Duration::from_secs(5);

/// How long to wait after `accept` failed (out of file descriptors, say), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
        let listener = listen(address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => EdgeError::AddressInUse { address },
            _ => EdgeError::Bind { address, error },
        })?;
        let bound = listener.local_addr().unwrap_or(address);
        self.address = Some((listener, Arc::new(tls)));
        Ok(bound)
    }

    /// Takes commands on a socket in this folder, which this process alone must have. Within a tokio runtime.
    pub fn open(&mut self, folder: &Path) -> Result<PathBuf, SocketError> {
        let socket = self.socket.insert(Socket::bind(folder)?);
        Ok(socket.path().to_owned())
    }

    /// Serves until `stop`; then answers what is in progress and returns.
    pub async fn serve(self, state: ControlState, stop: CancellationToken) {
        let crowd = Crowd {
            state,
            stop,
            connections: TaskTracker::new(),
        };
        let socket = async {
            if let Some(socket) = &self.socket {
                crowd.of_socket(socket).await;
            }
        };
        let address = async {
            if let Some((listener, tls)) = &self.address {
                crowd.of_address(listener, tls).await;
            }
        };
        tokio::join!(socket, address);
        // Nobody comes any more.
        drop((self.socket, self.address));
        crowd.connections.close();
        crowd.connections.wait().await;
    }
}

/// Everybody who is connected.
struct Crowd {
    state: ControlState,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Crowd {
    async fn of_socket(&self, socket: &Socket) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut failing = Seldom::default();
        while let Some(next) = self.next(&places, &mut failing, socket.listener.accept()).await {
            let Some((place, (stream, _))) = next else {
                continue;
            };
            let (state, stop) = (self.state.clone(), self.stop.clone());
            self.connections.spawn(async move {
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                connection(stream, state, Peer::of_user(uid), stop).await;
                drop(place);
            });
        }
    }

    async fn of_address(&self, listener: &TcpListener, tls: &Arc<Tls>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut failing = Seldom::default();
        let strangers = Arc::new(Mutex::new(Seldom::default()));
        while let Some(next) = self.next(&places, &mut failing, listener.accept()).await {
            let Some((place, (stream, from))) = next else {
                continue;
            };
            let (state, stop, tls) = (self.state.clone(), self.stop.clone(), Arc::clone(tls));
            let strangers = Arc::clone(&strangers);
            self.connections.spawn(async move {
                match secured(stream, tls).await {
                    Ok(stream) => over_tls(stream, from, state, stop).await,
                    Err(reason) => refused(from, &reason, &strangers),
                }
                drop(place);
            });
        }
    }

    /// The next connection, once there is a place for it. `None` when all is to end, `Some(None)` where there was none.
    async fn next<S>(
        &self,
        places: &Arc<Semaphore>,
        failing: &mut Seldom,
        accept: impl Future<Output = io::Result<S>>,
    ) -> Option<Option<(OwnedSemaphorePermit, S)>> {
        let accepted = async {
            let place = Arc::clone(places).acquire_owned().await.ok();
            (place, accept.await)
        };
        let (place, stream) = tokio::select! {
            () = self.stop.cancelled() => return None,
            accepted = accepted => accepted,
        };
        match stream {
            Ok(stream) => Some(place.map(|place| (place, stream))),
            Err(error) => {
                if failing.now() {
                    tracing::warn!(%error, "the control endpoint cannot accept connections");
                }
                sleep(ACCEPT_PAUSE).await;
                Some(None)
            }
        }
    }
}

/// The connection of someone with a certificate of the configured CA; or why it is none.
async fn secured(stream: TcpStream, tls: Arc<Tls>) -> Result<TlsStream<TcpStream>, String> {
    let acceptor = tokio::task::spawn_blocking(move || tls.acceptor()).await;
    let acceptor = acceptor.map_err(|error| error.to_string())?;
    match timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(accepted) => accepted.map_err(|error| error.to_string()),
        Err(_) => Err("no TLS handshake in time".to_owned()),
    }
}

/// Whoever can reach the address can knock as often as he likes.
fn refused(from: SocketAddr, reason: &str, strangers: &Mutex<Seldom>) {
    let is_told = strangers.lock().unwrap_or_else(PoisonError::into_inner).now();
    if is_told {
        tracing::warn!(%from, "a connection to the control listener was refused: {reason}");
    } else {
        tracing::debug!(%from, "another connection to the control listener was refused: {reason}");
    }
}

async fn over_tls(
    stream: TlsStream<TcpStream>,
    from: SocketAddr,
    state: ControlState,
    stop: CancellationToken,
) {
    let certificates = stream.get_ref().1.peer_certificates();
    let peer = Peer::of_certificate(certificates.and_then(|chain| chain.first()), from);
    connection(stream, state, peer, stop).await;
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    state: ControlState,
    peer: Peer,
    stop: CancellationToken,
) {
    let service = TowerToHyperService::new(router(state, peer));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = stop.cancelled() => None,
        () = sleep(AGE) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        timeout(GRACE, connection).await.unwrap_or(Ok(()))
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the control endpoint ended early");
    }
}
