//! The accept loop: takes connections until it is told to stop, then those that the kernel holds already.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::socket::{Socket, concerns_one_connection};
use super::table::{Place, Refusal, Table};
use super::throttle::LogThrottle;
use crate::metrics::RefusedConnection;

/// How long to wait after an error that will not go away by itself: out of file descriptors, out of memory.
const PAUSE: Duration = Duration::from_millis(50);

/// How long handshakes that have begun may take when no other begins: some round trips.
const HANDSHAKES: Duration = Duration::from_millis(100);

/// Serves the connections of one socket.
pub(crate) trait Handler<S>: Send + Sync + 'static {
    /// Serves a connection to its end, on a task of its own. It may be dropped when `place` is lost.
    fn serve(self: Arc<Self>, stream: S, place: Place) -> impl Future<Output = ()> + Send + 'static;

    /// A connection was not accepted, or has to wait for a place.
    fn refused(&self, why: RefusedConnection) {
        let _ = why;
    }
}

/// Accepts connections until `stop`, then those that the kernel has already; then the socket is closed.
/// Returns when all of them are being served.
pub(crate) async fn accept<S: Socket, H: Handler<S::Stream>>(
    socket: S,
    listener: &str,
    table: &Table,
    handler: Arc<H>,
    stop: &CancellationToken,
) {
    let acceptor = Acceptor {
        listener,
        table,
        handler,
        full: LogThrottle::default(),
        crowd: LogThrottle::default(),
        failing: LogThrottle::default(),
    };
    acceptor.take_until(&socket, stop.cancelled()).await;
    // Closing the socket resets those that the kernel holds for us, and a request may be among them. So first no
    // handshake begins any more, those under way end, and all that is there is taken.
    match socket.refuse_new() {
        Ok(true) => acceptor.take_until(&socket, sleep(HANDSHAKES)).await,
        Ok(false) => {}
        Err(error) => debug!("handshakes cannot be kept from beginning: {error}"),
    }
    for (stream, peer) in socket.close() {
        acceptor.take::<S>(stream, peer).await;
    }
}

struct Acceptor<'t, H> {
    /// Names the listener in the log.
    listener: &'t str,
    table: &'t Table,
    handler: Arc<H>,
    full: LogThrottle,
    crowd: LogThrottle,
    failing: LogThrottle,
}

impl<H> Acceptor<'_, H> {
    /// Serves what comes, until then.
    async fn take_until<S: Socket>(&self, socket: &S, end: impl Future<Output = ()>)
    where
        H: Handler<S::Stream>,
    {
        let mut end = pin!(end);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut end => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.take::<S>(stream, peer).await,
                // The client was faster to give up than we to accept.
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    self.handler.refused(RefusedConnection::AcceptError);
                    if self.failing.due().is_some() {
                        warn!(
                            listener = self.listener,
                            "connections cannot be accepted: {error}"
                        );
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Serves a connection as soon as there is a place; until then the others wait in the kernel.
    async fn take<S: Socket>(&self, stream: S::Stream, peer: Option<SocketAddr>)
    where
        H: Handler<S::Stream>,
    {
        debug!(
            peer = peer.map(tracing::field::display),
            listener = self.listener,
            "accepted"
        );
        let place = match self.table.try_place(peer) {
            Err(Refusal::Full) => {
                self.handler.refused(RefusedConnection::Limit);
                if self.full.due().is_some() {
                    warn!(
                        listener = self.listener,
                        "as many connections as allowed are open: others wait until one ends"
                    );
                }
                self.table.place(peer).await
            }
            place => place.ok(),
        };
        let Some(place) = place else {
            self.handler.refused(RefusedConnection::AddressLimit);
            if self.crowd.due().is_some() {
                warn!(
                    peer = peer.map(tracing::field::display),
                    listener = self.listener,
                    "a connection was closed: its address has as many as limits.connectionsPerAddress allows"
                );
            }
            return;
        };
        let serve = |place| Arc::clone(&self.handler).serve(stream, place);
        self.table.spawn(place.hold(serve));
    }
}
