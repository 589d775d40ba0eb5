//! What one client may take of the service.

use std::path::Path;
use std::time::Duration;

use crate::listen::Capacity;

/// Bounds of connections and requests. Overload is met by these: the documents are never answered 429,
/// since a verifier that is throttled fails a user's login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once, over all listeners. When 90 % are, a new one closes the longest idle connection of
    /// the address that has most; where none is idle, further ones wait in the kernel's queue.
    /// At the start it is lowered to what the limit of open files allows.
    pub max_connections: usize,
    /// Whether that number was configured. The default gives way to the memory limit.
    pub is_max_given: bool,
    /// Connections of one address (IPv6: of one /64 network) open at once; further ones are closed. `None` is no limit:
    /// behind a balancer all clients may have one address.
    pub connections_per_address: Option<usize>,
    /// Bytes of memory that all connections may take; idle ones are closed before they take more. `None` is no limit.
    pub connection_memory: Option<usize>,
    /// From the start of a TLS handshake to its end.
    pub handshake_timeout: Duration,
    /// From the first octet of a request to the end of its head; also how long a new connection may say nothing.
    pub header_timeout: Duration,
    /// How long a connection may rest between two requests. Longer than a load balancer keeps its idle connections,
    /// or it will now and then send a request into a connection that is just being closed.
    pub idle_timeout: Duration,
    /// How long the octets of responses may wait for a client that does not read.
    pub write_timeout: Duration,
    /// How long requests in flight may take after the signal to stop. Less than Kubernetes'
    /// `terminationGracePeriodSeconds` (30 s).
    pub drain_timeout: Duration,
    /// The head of an HTTP/1 request, and the header list of an HTTP/2 request, in octets.
    pub max_header_bytes: usize,
    /// Concurrent streams of one HTTP/2 connection.
    pub max_streams: u32,
}

impl Limits {
    /// For a machine (its root folder is `/`, except in tests) and so many issuers: by its memory and open files.
    /// Tells what was decided, and what may be wrong with it.
    pub fn fitted(self, root: &Path, issuers: usize) -> (Self, String, Option<String>) {
        let given = self.is_max_given.then_some(self.max_connections);
        let capacity = Capacity::decide(root, given, issuers);
        let limits = Self {
            max_connections: capacity.connections,
            connection_memory: capacity.memory,
            ..self
        };
        (limits, capacity.to_string(), capacity.warning())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            is_max_given: false,
            connections_per_address: None,
            connection_memory: None,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(25),
            max_header_bytes: 16 * 1024,
            max_streams: 100,
        }
    }
}
