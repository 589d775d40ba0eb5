//! A client that is slow, or many, takes nothing from the others.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::vocabulary::{Served, Setting, read_to_end, within};

const GET: &str = "GET /jwks HTTP/1.1\r\nHost: a\r\n\r\n";

async fn is_healthy(served: &Served) -> bool {
    let read = served
        .exchange(b"GET /jwks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    read.starts_with("HTTP/1.1 200 OK\r\n")
}

/// Reads one response to its end, by its length.
async fn read_response(stream: &mut TcpStream) {
    let mut read = Vec::new();
    within(async {
        loop {
            stream.read_buf(&mut read).await.unwrap();
            let text = String::from_utf8_lossy(&read);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .unwrap();
                if body.len() == length.parse::<usize>().unwrap() {
                    return;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_head_that_does_not_end_in_time_is_dropped_however_it_is_spread() {
    let served = Served::start(Setting::plain().limits(|limits| {
        limits.header_timeout = Duration::from_millis(300);
        limits.idle_timeout = Duration::from_mins(5);
    }));
    let mut stream = served.connect().await;
    // The second request of a connection is held to it as well.
    stream.write_all(GET.as_bytes()).await.unwrap();
    read_response(&mut stream).await;
    let began = Instant::now();
    let (mut read, mut write) = stream.into_split();
    let drip = tokio::spawn(async move {
        for octet in GET.bytes().cycle().filter(|octet| *octet != b'\n') {
            if write.write_all(&[octet]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(read_to_end(&mut read).await, "");
    assert!(
        (300..5000).contains(&began.elapsed().as_millis()),
        "{:?}",
        began.elapsed()
    );
    drip.abort();
    assert!(is_healthy(&served).await);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_after_the_header_timeout() {
    let served = Served::start(Setting::plain().limits(|limits| {
        limits.header_timeout = Duration::from_millis(300);
        limits.idle_timeout = Duration::from_mins(5);
    }));
    let began = Instant::now();
    assert_eq!(served.exchange(b"").await, "");
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_connection_rests_between_requests_for_the_idle_timeout() {
    let served = Served::start(Setting::plain().limits(|limits| {
        limits.header_timeout = Duration::from_millis(100);
        // So much longer than the pause that a busy machine does not matter.
        limits.idle_timeout = Duration::from_millis(2500);
    }));
    let mut stream = served.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    read_response(&mut stream).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    read_response(&mut stream).await;
    let began = Instant::now();
    assert_eq!(read_to_end(&mut stream).await, "");
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let served = Served::start(Setting::plain().limits(|limits| {
        limits.header_timeout = Duration::from_millis(200);
        limits.write_timeout = Duration::from_millis(300);
        limits.idle_timeout = Duration::from_mins(5);
    }));
    let mut stream = served.connect().await;
    let many = GET.repeat(1000);
    // Until the buffers between us are full, and then until it gives up on us.
    within(async { while stream.write_all(many.as_bytes()).await.is_ok() {} }).await;
    assert!(is_healthy(&served).await);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_and_are_not_refused() {
    let served = Served::start(Setting::plain().limits(|limits| {
        limits.max_connections = 2;
        limits.header_timeout = Duration::from_mins(5);
    }));
    let mut first = served.connect().await;
    let mut second = served.connect().await;
    for stream in [&mut first, &mut second] {
        stream.write_all(GET.as_bytes()).await.unwrap();
        read_response(stream).await;
    }
    let mut third = served.connect().await;
    third.write_all(GET.as_bytes()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), third.read_u8()).await;
    assert!(early.is_err(), "{early:?}");
    drop(first);
    read_response(&mut third).await;
    assert_eq!(
        served.metric("oidc_issuer_connections_refused_total{listener=\"127.0.0.1:0\",reason=\"limit\"}"),
        Some(1.0)
    );
}

#[tokio::test]
async fn while_others_wait_a_connection_that_asks_nothing_gives_way() {
    let served = Served::start(Setting::plain().limits(|limits| {
        limits.max_connections = 2;
        limits.header_timeout = Duration::from_mins(5);
        limits.idle_timeout = Duration::from_mins(5);
    }));
    let silent = served.connect().await;
    let mut slow = served.connect().await;
    slow.write_all(b"GET /jwks HTTP/1.1\r\nX: ").await.unwrap();
    assert!(is_healthy(&served).await);
    drop((silent, slow));
}

#[tokio::test]
async fn hundreds_of_slow_clients_do_not_hold_the_service() {
    let served = Served::start(Setting::plain());
    let mut slow = Vec::new();
    for n in 0..600 {
        let mut stream = served.connect().await;
        // Slow heads, slow bodies, and responses that are not read.
        let octets = match n % 3 {
            0 => "GET /jwks HTTP/1.1\r\nHost: a\r\nX".to_owned(),
            1 => "POST /jwks HTTP/1.1\r\nHost: a\r\nContent-Length: 8192\r\n\r\nx".to_owned(),
            _ => GET.repeat(20),
        };
        stream.write_all(octets.as_bytes()).await.unwrap();
        slow.push(stream);
        if n % 100 == 0 {
            assert!(is_healthy(&served).await);
        }
    }
    assert!(is_healthy(&served).await);
}
