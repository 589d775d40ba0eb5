//! One connection, from its handshake to its end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::server::TlsStream;

use super::Limits;
use super::handshakes::Handshakes;
use super::service::{Inline, Service, Shared};
use super::tls::Acceptor;
use crate::listen::{Cost, Handler, Place, Watched};
use crate::metrics::{ListenerMetrics, RefusedConnection};
use supervise::{End, supervise};
use waiting::{Begun, Waiting};

mod supervise;
mod waiting;

/// What we take, at the most and at the longest, of a client that is still sending when we are done with it.
/// Closing at once would reset the connection, and the response might be lost with it.
const LINGER: (usize, Duration) = (256 * 1024, Duration::from_secs(2));

/// Bytes of the head of a request that are reckoned with in an idle connection.
const SMALL: usize = 1024;

/// Bytes of TLS records that may wait for a client that does not read, beside what the kernel takes.
const TLS_BUFFER: usize = 16 * 1024;

/// What all connections of one listener are served by.
#[derive(Debug)]
pub(super) struct Protocols {
    pub(super) shared: Arc<Shared>,
    limits: Limits,
    http1: http1::Builder,
    http2: http2::Builder<Inline>,
    tls: Option<Acceptor>,
    metrics: ListenerMetrics,
    handshakes: Handshakes,
}

/// HTTP/2 without TLS begins without any negotiation (RFC 9113 section 3.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum PriorKnowledge {
    Possible,
    No,
}

impl Protocols {
    pub(super) fn new(
        shared: Arc<Shared>,
        limits: Limits,
        tls: Option<Acceptor>,
        metrics: ListenerMetrics,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            // A client may end its side once it has asked.
            .half_close(true)
            // `supervise` watches over all times, with one timer a connection instead of one a request.
            .header_read_timeout(None)
            .max_buf_size(limits.max_header_bytes.max(8192))
            .max_header_size(limits.max_header_bytes);
        let mut http2 = http2::Builder::new(Inline);
        http2
            .max_concurrent_streams(limits.max_streams)
            .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
            // We never read content: a client may send this much in vain.
            .initial_stream_window_size(16 * 1024)
            .initial_connection_window_size(64 * 1024)
            .max_send_buf_size(64 * 1024);
        Self {
            handshakes: Handshakes::of(metrics.clone(), shared.listener.clone()),
            shared,
            limits,
            http1,
            http2,
            tls,
            metrics,
        }
    }

    async fn connection(&self, stream: TcpStream, place: &Place) {
        let Some(tls) = &self.tls else {
            let stream = Watched::new(stream, place.activity().clone());
            return self.http1(stream, PriorKnowledge::Possible, place).await;
        };
        // Each stage is on the heap while it lasts: the handshake is large, and over soon.
        let Some(stream) = Box::pin(self.handshake(tls, stream, place.peer())).await else {
            return;
        };
        place.activity().handshake_done();
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Watched::new(stream, place.activity().clone());
        if http2 {
            Box::pin(self.http2(stream, place)).await;
        } else {
            self.http1(stream, PriorKnowledge::No, place).await;
        }
    }

    /// The stream after its TLS handshake, if that succeeds.
    async fn handshake(
        &self,
        tls: &Acceptor,
        stream: TcpStream,
        peer: Option<SocketAddr>,
    ) -> Option<Box<TlsStream<TcpStream>>> {
        let began = Instant::now();
        let handshake = async {
            // Nothing is prepared for a client that says nothing.
            stream.readable().await?;
            tls.0.accept(stream).await
        };
        let done = tokio::select! {
            done = timeout(self.limits.handshake_timeout, handshake) => {
                done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
            () = self.shared.drain.gives_up_on_silence_since(began) => Err(io::ErrorKind::TimedOut.into()),
        };
        match done {
            Ok(mut stream) => {
                stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
                Some(Box::new(stream))
            }
            Err(error) => {
                self.handshakes.failed(peer, &error);
                None
            }
        }
    }

    /// Serves HTTP/1, and HTTP/2 where it begins with prior knowledge.
    async fn http1<S>(&self, stream: Watched<S>, prior_knowledge: PriorKnowledge, place: &Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut waiting = Waiting::begin(stream, prior_knowledge == PriorKnowledge::Possible);
        loop {
            match supervise(pin!(&mut waiting), self, place).await {
                End::Done(Begun::Http1) => {}
                End::Done(Begun::Http2) => {
                    return Box::pin(self.http2(waiting.into_stream(), place)).await;
                }
                End::Done(Begun::Closed) => return close(waiting.into_stream(), false).await,
                End::TimedOut | End::Resting => return,
            }
            match Box::pin(self.requests(waiting.into_stream(), place)).await {
                Some(resting) => waiting = resting,
                None => return,
            }
        }
    }

    /// Answers requests until the connection ends or rests.
    async fn requests<S>(&self, stream: Watched<S>, place: &Place) -> Option<Waiting<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        place.costs(Cost::Active);
        let activity = place.activity();
        let service = Service::new(self.shared.clone(), activity.clone());
        let mut connection = self.http1.serve_connection(TokioIo::new(stream), service);
        let end = supervise(std::pin::Pin::new(&mut connection), self, place).await;
        let failed = match &end {
            End::TimedOut => return None,
            End::Resting => false,
            End::Done(result) => result.is_err(),
        };
        let parts = connection.into_parts();
        let stream = parts.io.into_inner();
        if let End::Resting = end {
            // Half a head is kept as it is.
            if parts.read_buf.len() < SMALL {
                place.costs(Cost::Idle);
            }
            return Some(Waiting::resume(stream, &parts.read_buf));
        }
        let unread = !activity.ended() && (failed || activity.had_content());
        close(stream, unread).await;
        None
    }

    async fn http2<S>(&self, stream: Watched<S>, place: &Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        place.costs(Cost::Http2);
        let activity = place.activity();
        activity.speaks_http2();
        let service = Service::new(self.shared.clone(), activity.clone());
        let connection = pin!(self.http2.serve_connection(TokioIo::new(stream), service));
        supervise(connection, self, place).await;
    }
}

/// Says that no more comes; `unread`: takes what the client is still sending.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut stream: Watched<S>, unread: bool) {
    let close = async {
        let _ = stream.shutdown().await;
        if unread {
            let mut buffer = vec![0; 1024];
            let mut left = LINGER.0;
            while let Ok(count @ 1..) = stream.read(&mut buffer).await
                && left > 0
            {
                left = left.saturating_sub(count);
            }
        }
    };
    let _ = timeout(LINGER.1, close).await;
}

impl Handler<TcpStream> for Protocols {
    fn serve(self: Arc<Self>, stream: TcpStream, place: Place) -> impl Future<Output = ()> + Send + 'static {
        let open = self.metrics.accepted();
        async move {
            self.connection(stream, &place).await;
            drop((open, place));
        }
    }

    fn refused(&self, why: RefusedConnection) {
        self.metrics.refused(why);
    }
}
