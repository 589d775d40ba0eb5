//! How the service ends: without losing a request, or at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Folder, key};
use crate::real::program::free_port;
use crate::real::service::OidcIssuer;

/// A service on plain HTTP, and its port.
async fn plain() -> (Folder, OidcIssuer, u16) {
    let folder = Folder::new();
    let keys = folder.write("sa.pub", &key(0));
    let port = free_port();
    let (issuer, listen) = (format!("https://localhost:{port}"), format!("127.0.0.1:{port}"));
    let arguments = ["--issuer", &issuer, "--keys", &keys, "--listen-http", &listen];
    let service = OidcIssuer::serve(&arguments).await;
    (folder, service, port)
}

const HEAD: &str = "GET /jwks HTTP/1.1\r\nHost: localhost\r\n";

/// A connection with half a request.
pub(super) fn half_asked(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(HEAD.as_bytes()).unwrap();
    stream
}

/// Ends the request, and reads the answer to its end.
pub(super) fn answer(mut stream: TcpStream) -> String {
    stream.write_all(b"Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn is_whole(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200") && answer.ends_with("]}")
}

/// Asks again and again until nobody listens any more. Returns once it was answered.
fn load(port: u16) -> JoinHandle<()> {
    let (tell, answered) = std::sync::mpsc::channel();
    let load = std::thread::spawn(move || {
        while let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            let mut answer = String::new();
            let asked = stream.write_all(format!("{HEAD}Connection: close\r\n\r\n").as_bytes());
            // A connection that the kernel made between the last accept and the close is reset unheard.
            let _ = asked.and_then(|()| stream.read_to_string(&mut answer));
            assert!(answer.is_empty() || is_whole(&answer), "half an answer: {answer}");
            if !answer.is_empty() {
                // Fails where nobody waits for it any more.
                let _ = tell.send(());
            }
        }
    });
    answered.recv_timeout(Duration::from_secs(20)).expect("an answer");
    load
}

#[tokio::test]
async fn a_stop_under_load_loses_no_request() {
    let (_folder, mut service, port) = plain().await;
    let load: Vec<_> = (0..4).map(|_| load(port)).collect();
    let in_flight: Vec<_> = (0..20).map(|_| half_asked(port)).collect();
    // All of them are accepted once a later one is answered.
    assert!(is_whole(&answer(half_asked(port))));
    service.program().signal("TERM");
    service
        .logged("the signal is told", |line| line.to_string().contains("SIGTERM"))
        .await;
    for stream in in_flight {
        let answer = answer(stream);
        assert!(is_whole(&answer), "{answer}");
    }
    assert_eq!(service.program().ended().await.code(), Some(0));
    for load in load {
        load.join().unwrap();
    }
}

#[tokio::test]
async fn while_it_drains_it_is_alive_and_not_ready() {
    let (_folder, mut service, port) = plain().await;
    let held = half_asked(port);
    assert!(is_whole(&answer(half_asked(port))));
    service.program().signal("INT");
    let admin = service.admin("/readyz");
    super::answers(&crate::real::http::Http::plain(), &admin, 503).await;
    assert_eq!(service.ask_admin("/livez").await.status, 200);
    assert!(is_whole(&answer(held)));
    assert_eq!(service.program().ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_where_it_comes_a_second_after_the_first() {
    let (_folder, mut service, port) = plain().await;
    let _held = half_asked(port);
    assert!(is_whole(&answer(half_asked(port))));
    service.program().signal("TERM");
    service
        .logged("the first signal is told", |line| {
            line.to_string().contains("SIGTERM")
        })
        .await;
    let signalled = Instant::now();
    // One that comes within a second is the same request.
    while service.program().has_ended().is_none() {
        service.program().signal("TERM");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(service.program().ended().await.code(), Some(143));
    assert!((1..7).contains(&signalled.elapsed().as_secs()));
}

#[tokio::test]
async fn a_file_source_that_never_comes_to_an_end_does_not_keep_the_process() {
    let folder = Folder::new();
    for name in ["a", "b", "c", "d"] {
        std::os::unix::fs::symlink(".", folder.path(name)).unwrap();
    }
    // 4^30 ways lead through these links.
    let keys = folder.text(&format!("{}*.pem", "*/".repeat(30)));
    let listen = format!("127.0.0.1:{}", free_port());
    let arguments = [
        "--issuer",
        "https://a.example",
        "--keys",
        &keys,
        "--listen-http",
        &listen,
    ];
    let mut service = OidcIssuer::spawn(&arguments);
    service
        .logged("the reading is given up", |line| {
            line.to_string().contains("cannot be read")
        })
        .await;
    service.program().signal("TERM");
    assert_eq!(service.program().ended().await.code(), Some(0));
}
