//! Takes connections in, within the limits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::connection::Protocols;
use crate::metrics::{ListenerMetrics, RefusedConnection};

/// Open files beside the connections: listeners, key files, sources, the admin listener, the runtime's own.
const OTHER_FILES: u64 = 256;

/// How long to wait after an error that will not go away by itself: out of file descriptors, out of memory.
const PAUSE: Duration = Duration::from_millis(50);

/// A warning that would be repeated for each connection is logged this often.
const WARN_EVERY: Duration = Duration::from_mins(1);

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
pub(super) async fn accept(
    socket: TcpListener,
    protocols: Arc<Protocols>,
    metrics: ListenerMetrics,
    connections: Arc<Semaphore>,
    shutdown: CancellationToken,
) {
    let door = Door { protocols, metrics };
    let mut full = Seldom::default();
    let mut failing = Seldom::default();
    loop {
        let permit = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            permit = door.permit(&connections, &mut full) => permit,
        };
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = socket.accept() => accepted,
        };
        match (accepted, permit) {
            (Ok((stream, peer)), Some(permit)) => {
                debug!(%peer, listener = door.protocols.shared.listener, "accepted");
                door.take(stream, permit);
            }
            (Ok(_), None) => return,
            // The client was faster to give up than we to accept.
            (Err(error), _) if is_of_one_connection(&error) => {}
            (Err(error), _) => {
                door.metrics.refused(RefusedConnection::AcceptError);
                if failing.now() {
                    warn!(
                        listener = door.protocols.shared.listener,
                        "connections cannot be accepted: {error}"
                    );
                }
                sleep(PAUSE).await;
            }
        }
    }
    if let Err(error) = door.take_waiting(socket, &connections) {
        debug!(listener = door.protocols.shared.listener, "closing: {error}");
    }
}

/// Where connections of one listener come in.
struct Door {
    protocols: Arc<Protocols>,
    metrics: ListenerMetrics,
}

impl Door {
    async fn permit(&self, connections: &Arc<Semaphore>, full: &mut Seldom) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = connections.clone().try_acquire_owned() {
            return Some(permit);
        }
        self.metrics.refused(RefusedConnection::Limit);
        if full.now() {
            warn!(
                listener = self.protocols.shared.listener,
                "as many connections as allowed are open: others wait until one ends"
            );
        }
        connections.clone().acquire_owned().await.ok()
    }

    fn take(&self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        let open = self.metrics.accepted();
        let protocols = self.protocols.clone();
        tokio::spawn(async move {
            protocols.serve(stream).await;
            drop((open, permit));
        });
    }

    /// Connections whose handshake the kernel has done are answered too; closing the socket would reset them.
    fn take_waiting(&self, socket: TcpListener, connections: &Arc<Semaphore>) -> io::Result<()> {
        let socket = socket.into_std()?;
        while let Ok(permit) = connections.clone().try_acquire_owned() {
            match socket.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    self.take(TcpStream::from_std(stream)?, permit);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Says when something that happens often is worth a line again.
#[derive(Default)]
struct Seldom(Option<Instant>);

impl Seldom {
    fn now(&mut self) -> bool {
        let now = Instant::now();
        let due = self.0.is_none_or(|last| now.duration_since(last) >= WARN_EVERY);
        if due {
            self.0 = Some(now);
        }
        due
    }
}
