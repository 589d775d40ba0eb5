//! The admin listener: HTTP/1.1 without TLS, bounded in connections and in time.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{AdminState, router};
use crate::listen::{self, Bounds, Handler, Place, Places, Table, serve_http1};

/// Bounds of the admin listener.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Open at the same time; the rest waits in the backlog of the listener.
    connections: usize,
    times: Bounds,
}

/// Probes and a few Prometheus servers need a handful of connections.
const LIMITS: Limits = Limits {
    connections: 256,
    times: Bounds {
        header: Duration::from_secs(30),
        age: Duration::from_mins(10),
        grace: Duration::from_secs(5),
    },
};

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

/// Opens the admin listener, within a tokio runtime. `[::]` is every address, also where the machine has no IPv6.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    listen::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address },
        _ => BindError::Failed { address, error },
    })
}

/// Serves until `shutdown`; then answers what is in progress and returns. To be ended after the edge, so that
/// `/readyz` says 503 and the last metrics can be read while connections drain.
pub async fn serve(listener: TcpListener, state: AdminState, shutdown: impl Future<Output = ()> + Send) {
    serve_within(LIMITS, listener, state, shutdown).await;
}

async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    state: AdminState,
    shutdown: impl Future<Output = ()> + Send,
) {
    let stop = CancellationToken::new();
    let table = Table::new(Places::of(limits.connections));
    let handler = Arc::new(Admin {
        times: limits.times,
        app: router(state),
        stop: stop.clone(),
    });
    let accepting = listen::accept(listener, "admin", &table, handler, &stop);
    let stopping = async {
        shutdown.await;
        stop.cancel();
    };
    tokio::join!(accepting, stopping);
    table.ended().await;
}

struct Admin {
    times: Bounds,
    app: Router,
    stop: CancellationToken,
}

impl Handler<TcpStream> for Admin {
    async fn serve(self: Arc<Self>, stream: TcpStream, place: Place) {
        serve_http1(stream, self.app.clone(), self.times, &place, &self.stop).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{oneshot, watch};
    use tokio::time::timeout;

    use super::*;
    use crate::admin::Readiness;
    use crate::metrics::Metrics;

    const DEADLINE: Duration = Duration::from_secs(20);

    fn state() -> AdminState {
        AdminState {
            metrics: Metrics::new(jiff::Timestamp::UNIX_EPOCH),
            readiness: Arc::new(Readiness::new()),
            published: watch::channel(crate::issuer::Published::default()).1,
            started: Instant::now(),
        }
    }

    fn loopback() -> (TcpListener, SocketAddr) {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    async fn read_to_end(stream: &mut TcpStream) -> String {
        let mut answer = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        answer
    }

    #[tokio::test]
    async fn an_address_in_use_is_told_with_what_to_do() {
        let (_held, address) = loopback();
        let error = bind(address).unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }));
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_closed() {
        let limits = Limits {
            times: Bounds {
                header: Duration::from_millis(50),
                ..LIMITS.times
            },
            ..LIMITS
        };
        let (listener, address) = loopback();
        tokio::spawn(serve_within(limits, listener, state(), pending()));
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET /livez HTTP/1.1\r\nHost: a").await.unwrap();
        read_to_end(&mut slow).await;
    }

    #[tokio::test]
    async fn a_connection_beyond_the_limit_is_answered_once_another_ends() {
        let limits = Limits {
            connections: 1,
            ..LIMITS
        };
        let (listener, address) = loopback();
        tokio::spawn(serve_within(limits, listener, state(), pending()));
        let mut first = TcpStream::connect(address).await.unwrap();
        first
            .write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let mut some = [0; 15];
        first.read_exact(&mut some).await.unwrap();
        assert_eq!(&some, b"HTTP/1.1 200 OK");

        let mut second = TcpStream::connect(address).await.unwrap();
        second
            .write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        timeout(Duration::from_millis(50), second.readable())
            .await
            .unwrap_err();
        drop(first);
        assert!(read_to_end(&mut second).await.starts_with("HTTP/1.1 200 OK"));
    }

    #[tokio::test]
    async fn hundreds_of_silent_connections_do_not_keep_a_probe_waiting() {
        let limits = Limits {
            connections: 16,
            times: Bounds {
                header: Duration::from_mins(5),
                ..LIMITS.times
            },
        };
        let (listener, address) = loopback();
        tokio::spawn(serve_within(limits, listener, state(), pending()));
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut probe = TcpStream::connect(address).await.unwrap();
        probe
            .write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        assert!(read_to_end(&mut probe).await.starts_with("HTTP/1.1 200 OK"));
        drop(silent);
    }

    #[tokio::test]
    async fn an_old_connection_is_closed_between_two_answers() {
        let limits = Limits {
            times: Bounds {
                age: Duration::from_millis(50),
                ..LIMITS.times
            },
            ..LIMITS
        };
        let (listener, address) = loopback();
        tokio::spawn(serve_within(limits, listener, state(), pending()));
        let mut idle = TcpStream::connect(address).await.unwrap();
        assert_eq!(read_to_end(&mut idle).await, "");
    }

    #[tokio::test]
    async fn shutdown_closes_idle_connections_and_returns() {
        let (listener, address) = loopback();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, state(), async {
            let _ = stopped.await;
        }));
        let mut kept = TcpStream::connect(address).await.unwrap();
        kept.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        kept.readable().await.unwrap();
        stop.send(()).unwrap();
        assert!(read_to_end(&mut kept).await.ends_with("ok\n"));
        timeout(DEADLINE, serving).await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_shutdown_before_the_first_connection_returns_at_once() {
        let (listener, _) = loopback();
        timeout(DEADLINE, serve(listener, state(), ready(())))
            .await
            .unwrap();
    }
}
