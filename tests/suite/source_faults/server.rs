//! A source that can be broken in every way: what it does is exchanged while it runs.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// What the server does with a connection.
#[derive(Clone)]
pub(super) enum Transport {
    /// Nobody listens.
    Down,
    /// Closes what it accepts.
    Close,
    /// Accepts, reads, and says nothing.
    Silent,
    /// Reads a little, and closes.
    CloseAfterHello,
    /// Says this at once, to whomever.
    Say(Vec<u8>),
    /// HTTPS.
    Tls(Arc<ServerConfig>),
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// These octets; then further requests are answered.
    Whole(Vec<u8>),
    /// These octets, then the end of the connection: orderly, or not.
    Then(Vec<u8>, End),
    /// These octets one by one, far too slowly.
    Drip(Vec<u8>),
    /// These octets again and again.
    Endless(Vec<u8>),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// With `close_notify` and FIN.
    Orderly,
    /// Without.
    Abrupt,
    /// Not at all.
    Never,
}

/// All that can be exchanged.
#[derive(Clone)]
pub(super) struct Behaviour {
    pub(super) transport: Transport,
    pub(super) discovery: Reply,
    pub(super) jwks: Reply,
    /// The `EndpointSlice`.
    pub(super) slice: Reply,
}

/// A response of this status with these header lines and this body.
pub(super) fn response(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut all = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    all.extend_from_slice(body);
    all
}

/// A good response.
pub(super) fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    response("200 OK", "content-type: application/json\r\n", body)
}

/// A request that came: over which connection, counted from 0, and its head.
pub(super) type Seen = Arc<Mutex<Vec<(usize, String)>>>;

pub(super) struct Server {
    pub(super) port: u16,
    /// All requests so far.
    pub(super) seen: Seen,
    behaviour: watch::Sender<Behaviour>,
}

impl Server {
    pub(super) async fn start(behaviour: Behaviour) -> Self {
        Self::start_at("127.0.0.1:0", behaviour).await.expect("a port")
    }

    pub(super) async fn start_at(address: &str, behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (behaviour, changes) = watch::channel(behaviour);
        let seen = Seen::default();
        tokio::spawn(listen(listener, address, changes, Arc::clone(&seen)));
        Ok(Self {
            port: address.port(),
            seen,
            behaviour,
        })
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(behaviour);
    }
}

async fn listen(
    listener: TcpListener,
    address: SocketAddr,
    mut changes: watch::Receiver<Behaviour>,
    seen: Seen,
) {
    let mut connections = 0;
    let mut listener = Some(listener);
    loop {
        let is_down = matches!(changes.borrow_and_update().transport, Transport::Down);
        match (&listener, is_down) {
            (Some(_), true) => listener = None,
            (None, false) => {
                while listener.is_none() {
                    // The port may be in use by an outgoing connection for a moment.
                    listener = TcpListener::bind(address).await.ok();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            _ => {}
        }
        let accept = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accept => {
                if let Ok((stream, _)) = accepted {
                    let behaviour = changes.borrow().clone();
                    let see = See { connection: connections, seen: Arc::clone(&seen) };
                    connections += 1;
                    tokio::spawn(async move { drop(serve(stream, behaviour, see).await) });
                }
            }
            exchanged = changes.changed() => if exchanged.is_err() { return },
        }
    }
}

/// Who sees the requests of one connection.
struct See {
    connection: usize,
    seen: Seen,
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour, see: See) -> io::Result<()> {
    let mut scratch = [0; 16];
    match behaviour.transport.clone() {
        Transport::Down | Transport::Close => Ok(()),
        Transport::Silent => {
            while stream.read(&mut scratch).await? > 0 {}
            Ok(())
        }
        Transport::CloseAfterHello => stream.read(&mut scratch).await.map(drop),
        Transport::Say(octets) => {
            stream.write_all(&octets).await?;
            while stream.read(&mut scratch).await? > 0 {}
            Ok(())
        }
        Transport::Tls(config) => match TlsAcceptor::from(config).accept(stream).into_fallible().await {
            Ok(stream) => answer(stream, &behaviour, &see).await,
            Err((error, mut stream)) => {
                // Closed at once, the alert could be lost with what the client still sends.
                stream.shutdown().await?;
                while stream.read(&mut scratch).await? > 0 {}
                Err(error)
            }
        },
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    behaviour: &Behaviour,
    see: &See,
) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        see.seen
            .lock()
            .expect("no panic")
            .push((see.connection, head.clone()));
        let path = head.split(' ').nth(1).unwrap_or_default();
        let reply = if path.contains("openid-configuration") {
            &behaviour.discovery
        } else if path.contains("/endpointslices/") {
            &behaviour.slice
        } else {
            &behaviour.jwks
        };
        match reply {
            Reply::Whole(octets) => {
                stream.write_all(octets).await?;
                stream.flush().await?;
            }
            Reply::Then(octets, end) => {
                stream.write_all(octets).await?;
                stream.flush().await?;
                return match end {
                    End::Orderly => stream.shutdown().await,
                    End::Abrupt => Ok(()),
                    End::Never => stream.read_u8().await.map(drop),
                };
            }
            Reply::Drip(octets) => {
                for octet in octets {
                    stream.write_u8(*octet).await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            Reply::Endless(octets) => loop {
                stream.write_all(octets).await?;
                stream.flush().await?;
            },
        }
    }
}
