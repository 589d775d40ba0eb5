//! A listening socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::EdgeError;

/// Connections that the kernel may hold for us before we accept them; it lowers this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A listener of the edge.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, EdgeError> {
    listen(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => EdgeError::AddressInUse { address },
        _ => EdgeError::Bind { address, error },
    })
}

/// Binds and listens. `[::]` is every address of the machine, of both families; where the machine has no IPv6
/// at all, the IPv4 ones.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let any_v6 = address.ip() == Ipv6Addr::UNSPECIFIED;
    match open(address) {
        Err(error) if any_v6 && has_no_ipv6(&error) => open((Ipv4Addr::UNSPECIFIED, address.port()).into()),
        bound => bound,
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
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
