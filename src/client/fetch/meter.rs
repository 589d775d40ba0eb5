//! Counts what arrives over a connection, below TLS and HTTP: a proxy's answer, certificates, session tickets, interim
//! answers (1xx), headers, chunk extensions and trailers are bounded like the body that they surround.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More than a proxy's answer and a TLS handshake have.
pub(super) const OPENING: u64 = 256 << 10;

/// More than the headers of an answer have, with all interim answers before it.
pub(super) const HEAD: u64 = 64 << 10;

/// How much may arrive for a body of at most so many bytes: small chunks and TLS records have their own overhead.
pub(super) const fn body(limit: usize) -> u64 {
    2 * limit as u64 + HEAD
}

/// How many bytes may still arrive. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<AtomicU64>);

impl Meter {
    pub(super) fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// From now on so many.
    pub(super) fn allow(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn arrived(&self, bytes: usize) {
        let bytes = bytes as u64;
        // Only the connection's own task subtracts.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.saturating_sub(bytes))
        });
    }
}

/// More arrived than was allowed.
#[derive(Debug, thiserror::Error)]
#[error("more bytes arrived than an answer may have")]
pub(super) struct Overrun;

/// Whether that is why a connection failed.
pub(super) fn is_overrun(error: &(dyn std::error::Error + 'static)) -> bool {
    within(error, <dyn std::error::Error>::is::<Overrun>)
}

/// Whether hyper has given up on the chunks of a body: their extensions and trailers are over its own limits.
pub(super) fn is_given_up(error: &hyper::Error) -> bool {
    within(error, |error| {
        error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
    })
}

/// Whether it is so of an error, or of one that caused it.
fn within(
    error: &(dyn std::error::Error + 'static),
    is: impl Fn(&(dyn std::error::Error + 'static)) -> bool,
) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if is(error) {
            return true;
        }
        next = match error.downcast_ref::<io::Error>() {
            // The source of an I/O error is that of the error within, not that error.
            Some(io) => io
                .get_ref()
                .map(|inner| inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    false
}

/// A stream whose bytes are counted.
pub(super) struct Metered<S> {
    pub(super) stream: S,
    pub(super) meter: Meter,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, meter } = self.get_mut();
        let stream = Pin::new(stream);
        let left = usize::try_from(meter.left()).unwrap_or(usize::MAX);
        if left >= buffer.remaining() {
            let before = buffer.filled().len();
            ready!(stream.poll_read(context, buffer))?;
            meter.arrived(buffer.filled().len() - before);
            return Poll::Ready(Ok(()));
        }
        if left == 0 {
            // The end of the stream is no further byte, and must be seen.
            let mut one = [0];
            let mut one = ReadBuf::new(&mut one);
            ready!(stream.poll_read(context, &mut one))?;
            let has_ended = one.filled().is_empty();
            return Poll::Ready(has_ended.then_some(()).ok_or_else(|| io::Error::other(Overrun)));
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(left));
        ready!(stream.poll_read(context, &mut part))?;
        let count = part.filled().len();
        buffer.advance(count);
        meter.arrived(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn no_more_arrives_than_is_allowed_and_the_end_is_still_seen() {
        let meter = Meter::new(5);
        let mut stream = Metered {
            stream: b"0123456789".as_slice(),
            meter: meter.clone(),
        };
        let mut read = Vec::new();
        let error = stream.read_to_end(&mut read).await.unwrap_err();
        assert!(is_overrun(&error), "{error}");
        assert_eq!(read, b"01234");
        // One byte more was looked at.
        meter.allow(4);
        read.clear();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"6789");
    }
}
