//! The accept loop of the admin listener: HTTP/1.1 without TLS, bounded in connections and in time.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{AdminState, router};

/// Probes and a few Prometheus servers need a handful; the rest waits in the backlog of the listener.
const MAX_CONNECTIONS: usize = 256;

/// Bounds the head of a request, and with it the idle time between two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// After so long a connection ends with the answer in progress, so that none holds its place for ever.
const MAX_CONNECTION_AGE: Duration = Duration::from_mins(10);

/// How long an answer in progress may still take when its connection is to end.
/// Must stay below what the shutdown of the process allows for.
const GRACE: Duration = Duration::from_secs(5);

/// How long to wait after `accept` failed (out of file descriptors, say), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The admin listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program, or another instance, has the address.
    #[error(
        "admin.address {address} is in use: choose another one with --admin, or stop the program that has it"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else: an address this machine does not have, a port that needs a privilege.
    #[error("cannot listen on admin.address {address}: {error}")]
    Failed {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Opens the admin listener.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address },
            _ => BindError::Failed { address, error },
        })
}

/// Serves until `shutdown`; then answers what is in progress and returns. To be ended after the edge, so that
/// `/readyz` says 503 and the last metrics can be read while connections drain.
pub async fn serve(listener: TcpListener, state: AdminState, shutdown: impl Future<Output = ()> + Send) {
    let app = router(state);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let ending = CancellationToken::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            () = &mut shutdown => break,
            (place, accepted) = accepted => match accepted {
                Ok((stream, _)) => (place, stream),
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let connection = connection(stream, app.clone(), ending.clone());
        connections.spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    ending.cancel();
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, app: Router, ending: CancellationToken) {
    // Only a matter of latency.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(app);
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = ending.cancelled() => None,
        () = sleep(MAX_CONNECTION_AGE) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        timeout(GRACE, connection).await.unwrap_or(Ok(()))
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection ended early");
    }
}
