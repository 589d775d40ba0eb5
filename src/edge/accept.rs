//! Takes connections in, within the limits.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::connection::Protocols;
use super::seldom::Seldom;
use crate::metrics::{ListenerMetrics, RefusedConnection};

/// Open files beside the connections: listeners, key files, sources, the admin listener, the runtime's own.
const OTHER_FILES: u64 = 256;

/// How long to wait after an error that will not go away by itself: out of file descriptors, out of memory.
const PAUSE: Duration = Duration::from_millis(50);

/// How long handshakes that have begun may take when no other begins: some round trips.
const HANDSHAKES: Duration = Duration::from_millis(100);

/// A filter (see socket(7), `SO_ATTACH_FILTER`) that takes everything but SYN: the flags are octet 13 of a TCP header.
/// Who sends one meanwhile tries again after a second, and is refused by a port that is closed.
const NO_SYN: [SockFilter; 4] = [
    SockFilter::new(0x30, 0, 0, 13),       // load octet 13
    SockFilter::new(0x45, 0, 1, 0x02),     // is SYN set?
    SockFilter::new(0x06, 0, 0, 0),        // then nothing of the packet
    SockFilter::new(0x06, 0, 0, u32::MAX), // else all of it
];

/// Raises the limit of open files as far as this process may, and tells how many connections it then allows.
pub(super) fn connections_allowed(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = (wanted as u64).saturating_add(OTHER_FILES);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let mut current = limit.current.unwrap_or(u64::MAX);
    if current < needed && current < most {
        let raised = needed.min(most);
        if setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(raised),
                maximum: limit.maximum,
            },
        )
        .is_ok()
        {
            current = raised;
        }
    }
    let allowed = usize::try_from(current.saturating_sub(OTHER_FILES).max(current / 2))
        .unwrap_or(usize::MAX)
        .max(1);
    if allowed < wanted {
        warn!(
            "at most {allowed} connections, not {wanted}, since this process may open {current} files: \
             raise its limit (ulimit -n, LimitNOFILE)"
        );
    }
    wanted.min(allowed)
}

/// Accepts connections until `shutdown`, then those that the kernel has already; then the socket is closed.
/// Returns when all of them are being served.
pub(super) async fn accept(
    socket: TcpListener,
    protocols: Arc<Protocols>,
    metrics: ListenerMetrics,
    shutdown: CancellationToken,
) {
    let mut door = Door {
        protocols,
        metrics,
        full: Seldom::default(),
        failing: Seldom::default(),
    };
    door.take_until(&socket, shutdown.cancelled()).await;
    // Closing the socket resets those that the kernel holds for us, and a request may be among them. So first no
    // handshake begins any more, those under way end, and all that is there is taken.
    match SockRef::from(&socket).attach_filter(&NO_SYN) {
        Ok(()) => door.take_until(&socket, sleep(HANDSHAKES)).await,
        Err(error) => debug!("handshakes cannot be kept from beginning: {error}"),
    }
    for stream in waiting(socket) {
        door.take(stream).await;
    }
}

/// Where connections of one listener come in.
struct Door {
    protocols: Arc<Protocols>,
    metrics: ListenerMetrics,
    full: Seldom,
    failing: Seldom,
}

impl Door {
    /// Serves what comes, until then.
    async fn take_until(&mut self, socket: &TcpListener, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut end => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    debug!(%peer, listener = self.protocols.shared.listener, "accepted");
                    self.take(stream).await;
                }
                // The client was faster to give up than we to accept.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.metrics.refused(RefusedConnection::AcceptError);
                    if self.failing.now() {
                        warn!(
                            listener = self.protocols.shared.listener,
                            "connections cannot be accepted: {error}"
                        );
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Serves a connection as soon as the limit allows; until then the others wait in the kernel.
    async fn take(&mut self, stream: TcpStream) {
        let permit = match self.protocols.shared.connections.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => match self.wait().await {
                Some(permit) => permit,
                None => return,
            },
        };
        let open = self.metrics.accepted();
        let protocols = self.protocols.clone();
        tokio::spawn(async move {
            protocols.serve(stream).await;
            drop((open, permit));
        });
    }

    async fn wait(&mut self) -> Option<OwnedSemaphorePermit> {
        self.metrics.refused(RefusedConnection::Limit);
        if self.full.now() {
            warn!(
                listener = self.protocols.shared.listener,
                "as many connections as allowed are open: others wait until one ends"
            );
        }
        self.protocols
            .shared
            .connections
            .clone()
            .acquire_owned()
            .await
            .ok()
    }
}

/// What the kernel holds for a socket; the socket is closed.
fn waiting(socket: TcpListener) -> Vec<TcpStream> {
    let mut waiting = Vec::new();
    let Ok(socket) = socket.into_std() else {
        return waiting;
    };
    loop {
        match socket.accept() {
            Ok((stream, _)) => {
                let stream = stream
                    .set_nonblocking(true)
                    .and_then(|()| TcpStream::from_std(stream));
                waiting.extend(stream);
            }
            Err(error) if is_of_one_connection(&error) => {}
            // None is left, or no more can be opened.
            Err(_) => return waiting,
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
