//! Drives a connection, and holds it to its times.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::Protocols;
use crate::edge::service::{Inline, Service};
use crate::edge::watch::{Verdict, Watch};
use crate::listen::{Place, Watched};

/// How a connection, or a stage of it, ended.
pub(super) enum End<T> {
    Done(T),
    /// It has taken longer than allowed, or lost its place.
    TimedOut,
    /// Nothing goes on in it.
    Resting,
}

/// A stage of an HTTP connection of either version.
pub(super) trait Connection {
    type Output;
    const HTTP_2: bool;
    /// Whether it is worth while to give up its buffers when nothing goes on.
    const CAN_REST: bool;
    fn poll_http(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output>;
    /// Answers what has been asked, then ends; at once if nothing was.
    fn goodbye(self: Pin<&mut Self>);
}

/// Drives a connection to its end, until it rests, or until it has taken longer than allowed.
pub(super) async fn supervise<C: Connection>(
    mut connection: Pin<&mut C>,
    protocols: &Protocols,
    place: &Place,
) -> End<C::Output> {
    let drain = &protocols.shared.drain;
    let mut watch = Watch {
        limits: &protocols.limits,
        shared: &protocols.shared,
        activity: place.activity(),
        http2: C::HTTP_2,
        can_rest: C::CAN_REST,
        goodbye: None,
    };
    let mut signal = pin!(drain.signal());
    let mut timer = pin!(sleep_until(watch.first(Instant::now())));
    let mut armed = false;
    let mut draining = false;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll_http(cx) {
                return Poll::Ready(End::Done(result));
            }
            if place.is_lost() {
                // The client is told if that is possible at once.
                connection.as_mut().goodbye();
                return Poll::Ready(match connection.as_mut().poll_http(cx) {
                    Poll::Ready(result) => End::Done(result),
                    Poll::Pending => End::TimedOut,
                });
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
                Verdict::Rest => return Poll::Ready(End::Resting),
            }
        }
    })
    .await
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Connection
    for http1::Connection<TokioIo<Watched<S>>, Service>
{
    type Output = hyper::Result<()>;
    const HTTP_2: bool = false;
    const CAN_REST: bool = true;

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
    type Output = hyper::Result<()>;
    const HTTP_2: bool = true;
    const CAN_REST: bool = false;

    fn poll_http(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.poll(cx)
    }

    fn goodbye(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
