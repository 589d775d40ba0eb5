//! Listening sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockFilter, SockRef, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that the kernel may hold for us before we accept them; it lowers this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A filter (see socket(7), `SO_ATTACH_FILTER`) that takes everything but SYN: the flags are octet 13 of a TCP header.
/// Who sends one meanwhile tries again after a second, and is refused by a port that is closed.
const NO_SYN: [SockFilter; 4] = [
    SockFilter::new(0x30, 0, 0, 13),       // load octet 13
    SockFilter::new(0x45, 0, 1, 0x02),     // is SYN set?
    SockFilter::new(0x06, 0, 0, 0),        // then nothing of the packet
    SockFilter::new(0x06, 0, 0, u32::MAX), // else all of it
];

/// What connections are accepted from.
pub(crate) trait Socket: Send + Sync {
    /// A connection.
    type Stream: Send + 'static;

    /// The next connection; the address of its peer, which a Unix socket does not have.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;

    /// From now on no new connection is begun; those under way are still completed. False where there is no need:
    /// connections to a Unix socket are complete at once.
    fn refuse_new(&self) -> io::Result<bool>;

    /// Closes the socket. Returns the connections that the kernel held for it.
    fn close(self) -> Vec<(Self::Stream, Option<SocketAddr>)>;
}

impl Socket for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        Ok((stream, Some(peer)))
    }

    fn refuse_new(&self) -> io::Result<bool> {
        SockRef::from(self).attach_filter(&NO_SYN)?;
        Ok(true)
    }

    fn close(self) -> Vec<(TcpStream, Option<SocketAddr>)> {
        let mut held = Vec::new();
        let Ok(socket) = self.into_std() else {
            return held;
        };
        loop {
            match socket.accept() {
                Ok((stream, peer)) => {
                    let stream = stream
                        .set_nonblocking(true)
                        .and_then(|()| TcpStream::from_std(stream));
                    held.extend(stream.map(|stream| (stream, Some(peer))));
                }
                Err(error) if concerns_one_connection(&error) => {}
                // None is left, or no more can be opened.
                Err(_) => return held,
            }
        }
    }
}

/// Whether `accept` failed because of the connection that it would have returned: its client gave up.
pub(super) fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Binds and listens, within a tokio runtime. `[::]` is every address of the machine, of both families; where the
/// machine has no IPv6 at all, the IPv4 ones.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let any_v6 = address.ip() == Ipv6Addr::UNSPECIFIED;
    match open(address) {
        Err(error) if any_v6 && has_no_ipv6(&error) => open((Ipv4Addr::UNSPECIFIED, address.port()).into()),
        bound => bound,
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restart must not wait for the TIME_WAIT of connections that the process before it closed.
    socket.set_reuse_address(true)?;
    // Inherited by every connection: without it each new TLS 1.3 connection waits 44 ms.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn has_no_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|none| code == Some(none.raw_os_error()))
}
