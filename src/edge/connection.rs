//! One connection, from its handshake to its end.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::Limits;
use super::service::{Inline, Service, Shared};
use super::tls::{Acceptor, failure};
use super::watch::{Verdict, Watch};
use crate::listen::{Activity, Handler, Place, Watched};
use crate::metrics::{HandshakeFailure, ListenerMetrics, RefusedConnection};

/// HTTP/2 without HTTP/1.1 before it (RFC 9113 section 3.3).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What we take, at the most and at the longest, of a client that is still sending when we are done with it.
/// Closing at once would reset the connection, and the response might be lost with it.
const LINGER: (u64, Duration) = (256 * 1024, Duration::from_secs(2));

/// What all connections of one listener are served by.
#[derive(Debug)]
pub(super) struct Protocols {
    pub(super) shared: Arc<Shared>,
    limits: Limits,
    http1: http1::Builder,
    http2: http2::Builder<Inline>,
    tls: Option<Acceptor>,
    metrics: ListenerMetrics,
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
            // `Supervised` watches over all times, with one timer a connection instead of one a request.
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
            shared,
            limits,
            http1,
            http2,
            tls,
            metrics,
        }
    }

    async fn connection(&self, stream: TcpStream) {
        let Some(tls) = &self.tls else {
            return self.plain(stream).await;
        };
        let began = Instant::now();
        let handshake = tls.0.accept(stream);
        let handshake = async {
            tokio::select! {
                done = timeout(self.limits.handshake_timeout, handshake) => done.ok(),
                () = self.shared.drain.gives_up_on_silence_since(began) => None,
            }
        };
        match handshake.await {
            Some(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                let activity = Activity::begin();
                self.http2(Watched::new(stream, activity.clone()), activity).await;
            }
            Some(Ok(stream)) => {
                let activity = Activity::begin();
                let _ = self.http1(Watched::new(stream, activity.clone()), activity).await;
            }
            Some(Err(error)) => self.metrics.handshake_failed(failure::reason(&error)),
            None => self.metrics.handshake_failed(HandshakeFailure::Timeout),
        }
    }

    async fn plain(&self, stream: TcpStream) {
        let activity = Activity::begin();
        let stream = Watched::new(stream, activity.clone());
        if let Some(other) = self.http1(stream, activity.clone()).await {
            self.http2(other, activity).await;
        }
    }

    /// Serves HTTP/1. Gives the stream back if it turns out to be HTTP/2.
    async fn http1<S>(&self, stream: Watched<S>, activity: Arc<Activity>) -> Option<Watched<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = Service::new(self.shared.clone(), activity.clone());
        let mut connection = self.http1.serve_connection(TokioIo::new(stream), service);
        let failed = match self.supervise(Pin::new(&mut connection), &activity).await {
            End::TimedOut => return None,
            End::Done(result) => result.is_err(),
        };
        let parts = connection.into_parts();
        let mut stream = parts.io.into_inner();
        if failed && parts.read_buf.starts_with(H2_PREFACE) {
            return Some(stream.rewind(parts.read_buf));
        }
        let unread = !activity.ended() && (failed || activity.had_content());
        let close = async {
            let _ = stream.shutdown().await;
            if unread {
                let _ = tokio::io::copy(&mut stream.take(LINGER.0), &mut tokio::io::sink()).await;
            }
        };
        let _ = timeout(LINGER.1, close).await;
        None
    }

    async fn http2<S>(&self, stream: Watched<S>, activity: Arc<Activity>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = Service::new(self.shared.clone(), activity.clone());
        let connection = pin!(self.http2.serve_connection(TokioIo::new(stream), service));
        self.supervise(connection, &activity).await;
    }

    /// Drives a connection to its end, or until it has taken longer than allowed.
    async fn supervise<C: Connection>(&self, mut connection: Pin<&mut C>, activity: &Activity) -> End {
        let drain = &self.shared.drain;
        let mut watch = Watch {
            limits: &self.limits,
            shared: &self.shared,
            activity,
            http2: C::HTTP_2,
            goodbye: None,
        };
        let mut signal = pin!(drain.signal());
        let mut timer = pin!(sleep_until(watch.first()));
        let mut armed = false;
        let mut draining = false;
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll_http(cx) {
                    return Poll::Ready(End::Done(result));
                }
                // Both are polled only to be woken by them: at each wake-up of the connection it would take a lock.
                if !armed {
                    armed = true;
                    let _ = (signal.as_mut().poll(cx), timer.as_mut().poll(cx));
                }
                if draining || !drain.began() {
                    if !timer.is_elapsed() {
                        return Poll::Pending;
                    }
                } else {
                    draining = true;
                }
                let now = Instant::now();
                match watch.verdict(now) {
                    Verdict::Wait(until) => {
                        timer.as_mut().reset(until);
                        if timer.as_mut().poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                    }
                    Verdict::Goodbye => {
                        watch.goodbye = Some(now);
                        connection.as_mut().goodbye();
                    }
                    Verdict::Drop => return Poll::Ready(End::TimedOut),
                }
            }
        })
        .await
    }
}

impl Handler<TcpStream> for Protocols {
    fn serve(self: Arc<Self>, stream: TcpStream, place: Place) -> impl Future<Output = ()> + Send + 'static {
        let open = self.metrics.accepted();
        async move {
            self.connection(stream).await;
            drop((open, place));
        }
    }

    fn refused(&self, why: RefusedConnection) {
        self.metrics.refused(why);
    }
}

enum End {
    Done(hyper::Result<()>),
    TimedOut,
}

/// An HTTP connection of either version.
trait Connection {
    const HTTP_2: bool;
    fn poll_http(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;
    /// Answers what has been asked, then ends; at once if nothing was.
    fn goodbye(self: Pin<&mut Self>);
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Connection
    for http1::Connection<TokioIo<Watched<S>>, Service>
{
    const HTTP_2: bool = false;

    fn poll_http(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.get_mut().poll_without_shutdown(cx)
    }

    fn goodbye(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection
    for http2::Connection<TokioIo<Watched<S>>, Service, Inline>
{
    const HTTP_2: bool = true;

    fn poll_http(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.poll(cx)
    }

    fn goodbye(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
