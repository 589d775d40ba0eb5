//! Where places run short an idle connection gives way, whatever its state. All time limits are long here: only the
//! rule can make a place.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use oidc_issuer::edge::TlsSettings;

use super::tls::trusting;
use super::vocabulary::{Served, Setting, read_to_end, within};

const GET: &[u8] = b"GET /jwks HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST: &[u8] = b"GET /jwks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const H2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const PLACES: usize = 20;

fn patient(setting: Setting) -> Setting {
    setting.limits(|limits| {
        limits.max_connections = PLACES;
        limits.handshake_timeout = Duration::from_mins(5);
        limits.header_timeout = Duration::from_mins(5);
        limits.idle_timeout = Duration::from_mins(5);
        limits.write_timeout = Duration::from_mins(5);
    })
}

/// A service with TLS, and what its clients trust.
struct OverTls {
    served: Served,
    ca: Vec<u8>,
    _folder: tempfile::TempDir,
}

impl OverTls {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = Served::start(patient(Setting::plain().tls(TlsSettings::SelfSigned {
            folder: folder.path().to_owned(),
            names: Vec::new(),
        })));
        let ca = std::fs::read(folder.path().join("ca.crt")).unwrap();
        Self {
            served,
            ca,
            _folder: folder,
        }
    }

    fn client(&self, protocol: &[u8]) -> Arc<ClientConfig> {
        let mut config = trusting(&self.ca, &[&TLS13]);
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }

    async fn connect(&self, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = self.served.connect().await;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(self.client(protocol))
            .connect(name, stream)
            .await
    }

    /// A connection with this much of a `ClientHello`.
    async fn begun(&self, bytes: usize) -> TcpStream {
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(self.client(b"http/1.1"), name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        let mut stream = self.served.connect().await;
        stream.write_all(&hello[..bytes.min(hello.len())]).await.unwrap();
        stream
    }

    async fn assert_healthy(&self) {
        let answer = within(Box::pin(async {
            let mut stream = self.connect(b"http/1.1").await.unwrap();
            stream.write_all(LAST).await.unwrap();
            read_to_end(&mut stream).await
        }));
        let answer = answer.await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn handshakes_that_never_begin_or_never_end_give_way() {
    let service = OverTls::start();
    for bytes in [0, 1, 5, 60, usize::MAX] {
        let mut strangers = Vec::new();
        for _ in 0..2 * PLACES {
            strangers.push(service.begun(bytes).await);
        }
        service.assert_healthy().await;
    }
}

#[tokio::test]
async fn tls_connections_that_ask_nothing_give_way_in_either_version_of_http() {
    let service = OverTls::start();
    for (protocol, bytes) in [
        (&b"http/1.1"[..], &b""[..]),
        (b"http/1.1", b"GET /jwks HTTP/1.1\r\nX: "),
        (b"http/1.1", GET),
        (b"h2", b""),
        (b"h2", H2),
    ] {
        let mut strangers = Vec::new();
        for _ in 0..PLACES + 5 {
            let mut stream = within(service.connect(protocol)).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            strangers.push(stream);
        }
        service.assert_healthy().await;
    }
}

#[tokio::test]
async fn connections_without_tls_give_way_in_whatever_state() {
    let served = Served::start(patient(Setting::plain()));
    let mut half = b"GET /jwks HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    half.extend([b'a'; 12_000]);
    for bytes in [
        &b""[..],
        b"P",
        b"PRI * HTTP/2.0\r\n",
        H2,
        b"GET /jw",
        &half,
        GET,
        b"POST /jwks HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
    ] {
        let mut strangers = Vec::new();
        for _ in 0..2 * PLACES {
            let mut stream = served.connect().await;
            // It may have been closed for one of the next.
            let _ = stream.write_all(bytes).await;
            strangers.push(stream);
        }
        let answer = served.exchange(LAST).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n"),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[tokio::test]
async fn clients_that_do_not_read_give_way() {
    let served = Served::start(patient(Setting::plain()));
    let mut strangers = Vec::new();
    for _ in 0..2 * PLACES {
        let mut stream = served.connect().await;
        strangers.push(tokio::spawn(async move {
            // Until the buffers between us are full.
            while stream.write_all(&GET.repeat(100)).await.is_ok() {}
            // Its place was taken.
            drop(stream);
        }));
    }
    let answer = served.exchange(LAST).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    strangers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn one_address_cannot_take_the_places_of_another() {
    let served = Served::start(patient(Setting::plain()));
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let mut other = socket.connect(served.address).await.unwrap();
    let mut strangers = Vec::new();
    for _ in 0..5 * PLACES {
        strangers.push(served.connect().await);
    }
    // The last one was served, so those before it were accepted.
    let answer = served.exchange(LAST).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    other.write_all(LAST).await.unwrap();
    let answer = read_to_end(&mut other).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_limit_for_each_address_closes_what_is_beyond_it_and_no_other() {
    let served = Served::start(Setting::plain().limits(|limits| limits.connections_per_address = Some(2)));
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = served.connect().await;
        stream.write_all(GET).await.unwrap();
        let mut byte = [0];
        within(stream.read_exact(&mut byte)).await.unwrap();
        kept.push(stream);
    }
    assert_eq!(served.exchange(LAST).await, "");
    assert_eq!(
        served.metric(
            "oidc_issuer_connections_refused_total{listener=\"127.0.0.1:0\",reason=\"address_limit\"}"
        ),
        Some(1.0)
    );
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let mut other = socket.connect(served.address).await.unwrap();
    other.write_all(LAST).await.unwrap();
    assert!(read_to_end(&mut other).await.starts_with("HTTP/1.1 200 OK\r\n"));
    // Those within the limit are served as before.
    for mut stream in kept {
        stream.write_all(LAST).await.unwrap();
        assert!(read_to_end(&mut stream).await.contains("connection: close"));
    }
}
