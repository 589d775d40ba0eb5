//! HTTP/1 between two requests. The HTTP library is not involved: its buffers take more than all the rest of an idle
//! connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::supervise::Connection;
use crate::listen::Watched;

/// What HTTP/2 with prior knowledge begins with (RFC 9113 section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that are read at once.
const READ: usize = 1024;

/// A connection whose next request has not begun, or does not go on.
#[derive(Debug)]
pub(super) struct Waiting<S> {
    stream: Watched<S>,
    /// What was read of the next request.
    begun: Vec<u8>,
    /// Whether it may be HTTP/2.
    may_be_http2: bool,
    closing: bool,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    Http1,
    Http2,
    Closed,
}

impl<S> Waiting<S> {
    /// A new connection.
    pub(super) fn begin(stream: Watched<S>, may_be_http2: bool) -> Self {
        Self {
            stream,
            begun: Vec::new(),
            may_be_http2,
            closing: false,
        }
    }

    /// One that had requests, and this part of the next one.
    pub(super) fn resume(stream: Watched<S>, begun: &[u8]) -> Self {
        Self {
            begun: begun.to_vec(),
            ..Self::begin(stream, false)
        }
    }

    /// The stream, with all that was sent.
    pub(super) fn into_stream(self) -> Watched<S> {
        self.stream.rewind(Bytes::from(self.begun))
    }

    /// What the bytes so far are; `None` if that is not known yet.
    fn kind(&self) -> Option<Begun> {
        if !self.may_be_http2 {
            return Some(Begun::Http1);
        }
        if self.begun.starts_with(H2_PREFACE) {
            Some(Begun::Http2)
        } else if H2_PREFACE.starts_with(&self.begun) {
            None
        } else {
            Some(Begun::Http1)
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection for &mut Waiting<S> {
    type Output = Begun;
    const HTTP_2: bool = false;
    const CAN_REST: bool = false;

    fn poll_http(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Begun> {
        let waiting = &mut **self.get_mut();
        loop {
            if waiting.closing {
                return Poll::Ready(Begun::Closed);
            }
            let mut buffer = [0; READ];
            let mut read = ReadBuf::new(&mut buffer);
            if ready!(Pin::new(&mut waiting.stream).poll_read(cx, &mut read)).is_err() {
                return Poll::Ready(Begun::Closed);
            }
            match read.filled() {
                [] if waiting.begun.is_empty() => return Poll::Ready(Begun::Closed),
                // Whether the request is whole is not judged here.
                [] => return Poll::Ready(Begun::Http1),
                bytes => waiting.begun.extend_from_slice(bytes),
            }
            if let Some(kind) = waiting.kind() {
                return Poll::Ready(kind);
            }
        }
    }

    fn goodbye(self: Pin<&mut Self>) {
        self.get_mut().closing = true;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::listen::Activity;

    /// What the pieces are taken for, each read on its own.
    async fn kind(pieces: &[&[u8]]) -> Poll<Begun> {
        let (mut client, stream) = tokio::io::duplex(4096);
        let mut waiting = Waiting::begin(Watched::new(stream, Activity::begin()), true);
        let mut poll = Poll::Pending;
        for piece in pieces {
            assert!(poll.is_pending(), "judged too early");
            client.write_all(piece).await.unwrap();
            poll = Pin::new(&mut &mut waiting).poll_http(&mut Context::from_waker(Waker::noop()));
        }
        poll
    }

    #[tokio::test]
    async fn the_preface_of_http_2_may_come_in_any_two_pieces_or_octet_by_octet() {
        for cut in 1..H2_PREFACE.len() {
            let (first, rest) = H2_PREFACE.split_at(cut);
            assert_eq!(kind(&[first, rest]).await, Poll::Ready(Begun::Http2), "{cut}");
            assert_eq!(
                kind(&[first, &[rest, b"more"].concat()]).await,
                Poll::Ready(Begun::Http2)
            );
        }
        let octets: Vec<_> = H2_PREFACE.chunks(1).collect();
        assert_eq!(kind(&octets).await, Poll::Ready(Begun::Http2));
    }

    #[tokio::test]
    async fn what_only_begins_like_the_preface_is_http_1() {
        for (first, rest) in [("P", "OST / HTTP/1.1"), ("PR", "OPFIND"), ("PRI * HTTP/", "1.1")] {
            let kind = kind(&[first.as_bytes(), rest.as_bytes()]).await;
            assert_eq!(kind, Poll::Ready(Begun::Http1), "{first}{rest}");
        }
    }
}
