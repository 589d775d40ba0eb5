//! What a connection is doing, seen from its octets: enough to tell a slow client from one that rests.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// After so long a connection in which nothing goes on rests.
const REST: Duration = Duration::from_millis(500);

/// Times in nanoseconds since the connection began; 0 is never. The connection's own task reads and writes them,
/// so no ordering is needed; they are atomic only because a connection may move between threads.
#[derive(Debug)]
pub(crate) struct Activity {
    accepted: Instant,
    /// When the client could begin to ask: after the TLS handshake.
    began: AtomicU64,
    last_read: AtomicU64,
    /// When the first octet after the last request came: a head that is not whole yet.
    head_began: AtomicU64,
    /// The last request head that was whole.
    last_request: AtomicU64,
    /// Since when octets of ours have been waiting for the client to read.
    stalled: AtomicU64,
    /// Whether the client said that it sends no more.
    ended: AtomicBool,
    /// Whether a request came with content, which we never read.
    content: AtomicBool,
    /// Frames are no beginning of a request.
    http2: AtomicBool,
    /// Requests that are being answered, where that takes time.
    answering: AtomicUsize,
}

impl Activity {
    pub(crate) fn begin() -> Arc<Self> {
        Arc::new(Self {
            accepted: Instant::now(),
            began: AtomicU64::new(0),
            last_read: AtomicU64::new(0),
            head_began: AtomicU64::new(0),
            last_request: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            content: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            answering: AtomicUsize::new(0),
        })
    }

    /// The TLS handshake is done: the times of a connection begin to count.
    pub(crate) fn handshake_done(&self) {
        self.began.store(self.now(), Relaxed);
    }

    /// What comes are frames of HTTP/2.
    pub(crate) fn speaks_http2(&self) {
        self.http2.store(true, Relaxed);
    }

    /// The head of a request is there, and it is being answered until what is returned is dropped.
    pub(crate) fn answering(self: &Arc<Self>) -> Answering {
        self.answering.fetch_add(1, Relaxed);
        self.head_began.store(0, Relaxed);
        Answering(Arc::clone(self))
    }

    /// Since when the connection makes no progress that counts: bytes of a handshake, of a head or of HTTP/2 frames
    /// alone are none. `None` while a request is being answered and its client reads.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        if let Some(stalled) = self.stalled() {
            return Some(stalled);
        }
        if self.answering.load(Relaxed) > 0 {
            return None;
        }
        let head = self.head_began().filter(|_| !self.http2.load(Relaxed));
        Some(
            head.or_else(|| self.last_request())
                .unwrap_or_else(|| self.began()),
        )
    }

    fn now(&self) -> u64 {
        // u64 holds 584 years of nanoseconds.
        u64::try_from(self.accepted.elapsed().as_nanos())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    fn at(&self, nanos: u64) -> Option<Instant> {
        (nanos > 0).then(|| self.accepted + Duration::from_nanos(nanos))
    }

    /// Whether nothing has come or gone for a while, and nothing is under way but perhaps the head of a request.
    pub(crate) fn rests(&self, now: Instant) -> bool {
        let quiet = [&self.last_read, &self.last_request].into_iter().all(|last| {
            let last = self.at(last.load(Relaxed));
            last.is_none_or(|last| now.saturating_duration_since(last) >= REST)
        });
        quiet && self.stalled().is_none() && !self.ended() && !self.had_content()
    }

    /// A request was answered. Returns how long that took since its last octet was read.
    pub(crate) fn answered(&self, with_content: bool) -> Duration {
        let now = self.now();
        self.head_began.store(0, Relaxed);
        self.last_request.store(now, Relaxed);
        if with_content {
            self.content.store(true, Relaxed);
        }
        Duration::from_nanos(now.saturating_sub(self.last_read.load(Relaxed)))
    }

    pub(crate) fn began(&self) -> Instant {
        self.accepted + Duration::from_nanos(self.began.load(Relaxed))
    }

    pub(crate) fn last_request(&self) -> Option<Instant> {
        self.at(self.last_request.load(Relaxed))
    }

    pub(crate) fn head_began(&self) -> Option<Instant> {
        self.at(self.head_began.load(Relaxed))
    }

    pub(crate) fn stalled(&self) -> Option<Instant> {
        self.at(self.stalled.load(Relaxed))
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Whether octets may still come that nobody will read.
    pub(crate) fn had_content(&self) -> bool {
        self.content.load(Relaxed)
    }

    fn read(&self, octets: usize) {
        if octets == 0 {
            self.ended.store(true, Relaxed);
            return;
        }
        let now = self.now();
        self.last_read.store(now, Relaxed);
        if self.head_began.load(Relaxed) == 0 {
            self.head_began.store(now, Relaxed);
        }
    }

    fn wrote<T>(&self, result: Poll<T>) -> Poll<T> {
        if result.is_pending() && self.stalled.load(Relaxed) == 0 {
            self.stalled.store(self.now(), Relaxed);
        }
        result
    }

    fn flushed(&self) {
        if self.stalled.load(Relaxed) != 0 {
            self.stalled.store(0, Relaxed);
        }
    }
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.last_request.store(self.0.now(), Relaxed);
        self.0.answering.fetch_sub(1, Relaxed);
    }
}

/// A stream that notes its activity, and may begin with octets that were read before.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    before: Bytes,
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            activity,
            before: Bytes::new(),
        }
    }

    /// Gives octets back, to be read again.
    pub(crate) fn rewind(mut self, before: Bytes) -> Self {
        self.before = before;
        self
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let count = self.before.len().min(buf.remaining());
            buf.put_slice(&self.before[..count]);
            self.before.advance(count);
            if self.before.is_empty() {
                // Its buffer is not needed any more.
                self.before = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let filled = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.activity.read(buf.filled().len() - filled);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.activity.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.activity.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if result.is_ready() {
            self.activity.flushed();
        }
        self.activity.wrote(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.activity.wrote(result)
    }
}
