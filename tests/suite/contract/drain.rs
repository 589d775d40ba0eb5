//! The signal to stop loses no request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use oidc_issuer::edge::TlsSettings;

use super::tls::trusting;
use super::vocabulary::{Served, Setting, read_to_end, reqwest_builder, within};

const GET: &str = "GET /jwks HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn without_connections_it_ends_at_once() {
    let served = Served::start(Setting::plain());
    let began = Instant::now();
    served.stopped().await;
    // Not the seconds that a connection would be kept for.
    assert!(began.elapsed() < Duration::from_millis(900));
}

#[tokio::test]
async fn a_request_on_a_connection_that_rested_is_still_answered_and_told_to_close() {
    let served = Served::start(Setting::plain());
    let mut stream = served.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut first = vec![0; 4096];
    let count = stream.read(&mut first).await.unwrap();
    assert!(!String::from_utf8_lossy(&first[..count]).contains("connection: close"));
    served.stop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    let read = read_to_end(&mut stream).await;
    assert!(
        read.starts_with("HTTP/1.1 200 OK\r\n") && read.contains("\r\nconnection: close\r\n"),
        "{read}"
    );
    served.stopped().await;
}

#[tokio::test]
async fn a_request_whose_head_is_on_its_way_is_still_answered() {
    let served = Served::start(Setting::plain());
    let mut stream = served.connect().await;
    let (begin, rest) = GET.split_at(20);
    stream.write_all(begin.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.stop();
    // Longer than a connection that rests is kept.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    stream.write_all(rest.as_bytes()).await.unwrap();
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    served.stopped().await;
}

#[tokio::test]
async fn connections_that_the_kernel_holds_are_still_taken() {
    // With one connection allowed, the others wait to be accepted.
    let served = Served::start(Setting::plain().limits(|limits| limits.max_connections = 1));
    let mut busy = served.connect().await;
    busy.write_all(GET.as_bytes()).await.unwrap();
    let mut octet = [0];
    busy.read_exact(&mut octet).await.unwrap();
    let mut waiting = served.connect().await;
    waiting.write_all(GET.as_bytes()).await.unwrap();
    drop(busy);
    served.stop();
    assert!(read_to_end(&mut waiting).await.starts_with("HTTP/1.1 200 OK\r\n"));
    served.stopped().await;
}

#[tokio::test]
async fn after_the_signal_no_new_connection_is_taken() {
    let served = Served::start(Setting::plain());
    let address = served.address;
    served.stopped().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_client_that_hangs_does_not_keep_it_from_ending() {
    let served =
        Served::start(Setting::plain().limits(|limits| limits.drain_timeout = Duration::from_millis(500)));
    let mut hanging = Vec::new();
    for octets in ["", "GET /jw", &GET.repeat(50_000)] {
        let mut stream = served.connect().await;
        let octets = octets.as_bytes().to_vec();
        hanging.push(tokio::spawn(async move {
            let _ = stream.write_all(&octets).await;
            std::future::pending::<()>().await;
        }));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    served.stopped().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_that_never_begins_its_handshake_is_not_waited_for_longer_than_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let self_signed = TlsSettings::SelfSigned {
        folder: folder.path().to_owned(),
        names: Vec::new(),
    };
    // A balancer's TCP health check, say: without a rule of its own it would have the whole handshake timeout.
    let served = Served::start(
        Setting::plain()
            .tls(self_signed)
            .limits(|limits| limits.handshake_timeout = Duration::from_mins(1)),
    );
    let silent = served.connect().await;
    // It ends within the twenty seconds that `stopped` allows.
    served.stopped().await;
    drop(silent);
}

/// Asks over and over: on connections that stay open, or on a new one each time. Ends when it is refused.
async fn keep_asking<S, F>(connect: impl Fn() -> F, anew: bool, answered: &AtomicUsize)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Option<S>>,
{
    'connections: while let Some(mut stream) = connect().await {
        loop {
            stream
                .write_all(GET.as_bytes())
                .await
                .expect("the connection was reset");
            stream.flush().await.expect("the connection was reset");
            let mut read = Vec::new();
            let last = loop {
                let count = stream
                    .read_buf(&mut read)
                    .await
                    .expect("the connection was reset");
                assert!(count > 0, "a request was not answered");
                let text = String::from_utf8_lossy(&read);
                if text.ends_with("}]}") {
                    break text.contains("\r\nconnection: close\r\n");
                }
            };
            answered.fetch_add(1, Ordering::SeqCst);
            if last || anew {
                continue 'connections;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn under_load_no_request_that_was_sent_is_lost() {
    for _ in 0..3 {
        let served = Served::start(Setting::plain());
        let (address, answered) = (served.address, Arc::new(AtomicUsize::new(0)));
        let mut clients = tokio::task::JoinSet::new();
        for n in 0..16 {
            let answered = answered.clone();
            clients.spawn(async move {
                // A connection that is refused has sent nothing.
                let connect = || async move { TcpStream::connect(address).await.ok() };
                keep_asking(connect, n % 2 == 0, &answered).await;
            });
        }
        stop_at(served, &answered, 2000, clients).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn over_tls_no_request_is_lost_either() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(Setting::plain().tls(TlsSettings::SelfSigned {
        folder: folder.path().to_owned(),
        names: Vec::new(),
    }));
    let ca = std::fs::read(folder.path().join("ca.crt")).unwrap();
    let connector = TlsConnector::from(Arc::new(trusting(&ca, &[&TLS13])));
    let (address, answered) = (served.address, Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (connector, answered) = (connector.clone(), answered.clone());
        clients.spawn(async move {
            let connect = || {
                let connector = connector.clone();
                async move {
                    let stream = TcpStream::connect(address).await.ok()?;
                    let name = ServerName::try_from("localhost").unwrap();
                    Some(
                        connector
                            .connect(name, stream)
                            .await
                            .expect("a handshake was cut off"),
                    )
                }
            };
            keep_asking(connect, n % 2 == 0, &answered).await;
        });
    }
    stop_at(served, &answered, 200, clients).await;
}

/// Stops in the middle of the load, and hears what became of the clients.
async fn stop_at(
    served: Served,
    answered: &AtomicUsize,
    count: usize,
    mut clients: tokio::task::JoinSet<()>,
) {
    within(async {
        while answered.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
    served.stopped().await;
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn http_2_is_told_to_go_away_and_loses_no_request_either() {
    let served = Served::start(Setting::plain());
    let url = format!("http://{}/jwks", served.address);
    let client = reqwest_builder().http2_prior_knowledge().build().unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (client, url, answered) = (client.clone(), url.clone(), answered.clone());
        clients.spawn(async move {
            loop {
                match client.get(&url).send().await {
                    Ok(response) => {
                        assert!(response.bytes().await.unwrap().ends_with(b"}]}"));
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    // Only a new connection may fail: nothing was sent.
                    Err(error) => {
                        assert!(error.is_connect(), "{error:?}");
                        return;
                    }
                }
            }
        });
    }
    stop_at(served, &answered, 1000, clients).await;
}
