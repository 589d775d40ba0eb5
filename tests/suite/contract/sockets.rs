//! What comes over a socket, well-formed or not: an answer, an error or a close; never another document.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::vocabulary::{Served, Setting, read_to_end, reqwest_builder, within};

const GET: &str = "GET /jwks HTTP/1.1\r\nHost: oidc.example.com\r\n\r\n";
const LAST: &str = "GET /jwks HTTP/1.1\r\nHost: oidc.example.com\r\nConnection: close\r\n\r\n";

/// The statuses of the responses in what was read.
fn statuses(read: &str) -> Vec<&str> {
    let lines = read.split("HTTP/1.").skip(1);
    lines.map(|rest| rest.get(2..5).unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_response_has_a_date_and_a_length_and_no_chunks() {
    let served = Served::start(Setting::plain());
    let read = served.exchange(LAST.as_bytes()).await;
    let (head, body) = read.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\ndate: "), "{head}");
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    assert!(
        head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())),
        "{head}"
    );
    assert_eq!(body.as_bytes(), served.issuers.publication().jwks.identity.body);
}

#[tokio::test]
async fn requests_may_follow_one_another_without_waiting() {
    let served = Served::start(Setting::plain());
    let head = "HEAD /.well-known/openid-configuration HTTP/1.1\r\nHost: a\r\n\r\n";
    let missing = "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
    let read = served
        .exchange([GET, head, missing, LAST].concat().as_bytes())
        .await;
    assert_eq!(statuses(&read), ["200", "200", "404", "200"]);
    let jwks = String::from_utf8(served.issuers.publication().jwks.identity.body.to_vec()).unwrap();
    assert_eq!(read.matches(&jwks).count(), 2);
}

#[tokio::test]
async fn a_client_may_end_its_side_once_it_has_asked() {
    let served = Served::start(Setting::plain());
    let mut stream = served.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(statuses(&read_to_end(&mut stream).await), ["200"]);
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed_unless_it_asks_otherwise() {
    let served = Served::start(Setting::plain());
    let read = served.exchange(b"GET /jwks HTTP/1.0\r\n\r\n").await;
    assert_eq!(statuses(&read), ["200"]);
    let keep = "GET /jwks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let read = served
        .exchange([keep, "GET /jwks HTTP/1.0\r\n\r\n"].concat().as_bytes())
        .await;
    assert_eq!(statuses(&read), ["200", "200"]);
}

#[tokio::test]
async fn an_absolute_target_is_served() {
    let served = Served::start(Setting::plain());
    let read = served
        .exchange(b"GET http://oidc.example.com/jwks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(statuses(&read), ["200"]);
}

#[tokio::test]
async fn a_bad_host_is_answered_400_and_the_connection_closed() {
    let served = Served::start(Setting::plain());
    for hosts in [
        "",
        "Host:\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host: a b\r\n",
        "Host: a/\r\n",
    ] {
        let read = served
            .exchange(format!("GET /jwks HTTP/1.1\r\n{hosts}\r\n{GET}").as_bytes())
            .await;
        assert_eq!(statuses(&read), ["400"], "{hosts:?}: {read}");
        assert!(
            read.ends_with(r#"{"error":"bad_request","message":"exactly one valid Host is needed"}"#),
            "{read}"
        );
    }
}

#[tokio::test]
async fn what_is_no_http_gets_400_or_a_close() {
    let served = Served::start(Setting::plain());
    for octets in [
        &b"GET /jwks\r\n\r\n"[..],
        b"GET /jwks\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on, a ClientHello\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"GET /jwks HTTP/3.0\r\nHost: a\r\n\r\n",
        b"GET /jwks HTTP/1.1 x\r\nHost: a\r\n\r\n",
        b"GET  /jwks HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G\xc3\x89T /jwks HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /jw\0ks HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /jwks HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET /jwks HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /jwks HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
        b"GET /jwks HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        b"GET http:///jwks HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET jwks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand then no frames at all, only text",
    ] {
        let read = served.exchange(octets).await;
        let statuses = statuses(&read);
        assert!(
            statuses.is_empty() || statuses == ["400"] || statuses == ["404"],
            "{}: {read}",
            octets.escape_ascii()
        );
        assert!(!read.contains("\"keys\""), "{}: {read}", octets.escape_ascii());
    }
    assert_eq!(statuses(&served.exchange(LAST.as_bytes()).await), ["200"]);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_the_refusal_arrives() {
    let served = Served::start(Setting::plain());
    let field = |length| {
        format!(
            "GET /jwks HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(length)
        )
    };
    assert_eq!(
        statuses(&served.exchange(field(17_000).as_bytes()).await),
        ["431"]
    );
    // Still being sent when it is refused: a reset would lose the response.
    assert_eq!(
        statuses(&served.exchange(field(200_000).as_bytes()).await),
        ["431"]
    );
    let many = "X: y\r\n".repeat(200);
    let read = served
        .exchange(format!("GET /jwks HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes())
        .await;
    assert_eq!(statuses(&read), ["431"]);
    let target = "x".repeat(100_000);
    let read = served
        .exchange(format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
        .await;
    assert!(["414", "431"].contains(&statuses(&read)[0]), "{read}");
    let fits = field(8000).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    assert_eq!(statuses(&served.exchange(fits.as_bytes()).await), ["200"]);
}

#[tokio::test]
async fn content_is_never_read_further_than_it_came_along() {
    let served = Served::start(Setting::plain());
    let short = "GET /jwks HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(
        statuses(&served.exchange([short, LAST].concat().as_bytes()).await),
        ["200", "200"]
    );
    let chunked =
        "GET /jwks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(statuses(&served.exchange(chunked.as_bytes()).await)[0], "200");
    let endless = "POST /jwks HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
    let read = served
        .exchange([endless, &"x".repeat(100_000)].concat().as_bytes())
        .await;
    assert_eq!(statuses(&read), ["405"]);
    let expecting = "PUT /jwks HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(statuses(&served.exchange(expecting.as_bytes()).await), ["405"]);
}

#[tokio::test]
async fn content_is_never_taken_for_a_request() {
    let served = Served::start(Setting::plain());
    let inner = "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
    for framing in [
        format!("Content-Length: {}\r\n", inner.len()),
        format!(
            "Content-Length: {}\r\nConnection: keep-alive\r\n",
            inner.len() + 1
        ),
        format!("Content-Length: {0}\r\nContent-Length: {0}\r\n", inner.len()),
    ] {
        let read = served
            .exchange(format!("GET /jwks HTTP/1.1\r\nHost: a\r\n{framing}\r\n{inner}{LAST}").as_bytes())
            .await;
        assert!(!statuses(&read).contains(&"404"), "{framing}: {read}");
    }
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ] {
        let read = served
            .exchange(format!("GET /jwks HTTP/1.1\r\nHost: a\r\n{framing}\r\n{inner}").as_bytes())
            .await;
        assert_eq!(statuses(&read), ["400"], "{framing}: {read}");
    }
}

#[tokio::test]
async fn connect_and_upgrades_lead_nowhere() {
    let served = Served::start(Setting::plain());
    let read = served
        .exchange(b"CONNECT oidc.example.com:443 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(statuses(&read), ["404"]);
    let upgrade = "GET /jwks HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n";
    let read = served.exchange([upgrade, LAST].concat().as_bytes()).await;
    assert_eq!(statuses(&read), ["200", "200"]);
    let websocket = "GET /jwks HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let read = served.exchange([websocket, LAST].concat().as_bytes()).await;
    assert_eq!(statuses(&read), ["200", "200"]);
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_harms_nobody() {
    let served = Served::start(Setting::plain());
    for octets in [
        "",
        "G",
        "GET /jwks HTTP/1.1\r\nHo",
        "POST /jwks HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
    ] {
        let mut stream = served.connect().await;
        stream.write_all(octets.as_bytes()).await.unwrap();
        stream.set_zero_linger().unwrap();
        drop(stream);
    }
    assert_eq!(statuses(&served.exchange(LAST.as_bytes()).await), ["200"]);
    let open = || served.metric("oidc_issuer_connections_open{listener=\"127.0.0.1:0\"}");
    within(async {
        while open() != Some(0.0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn http_2_is_served_without_tls_to_those_who_know() {
    let served = Served::start(Setting::plain());
    let client = reqwest_builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let url = format!("http://{}/jwks", served.address);
    for _ in 0..3 {
        let response = client.get(&url).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.version()),
            (200, http::Version::HTTP_2)
        );
        assert_eq!(
            response.bytes().await.unwrap(),
            served.issuers.publication().jwks.identity.body
        );
    }
    let head = client.head(&url).send().await.unwrap();
    assert_eq!(
        head.headers()["content-length"],
        served.issuers.publication().jwks.identity.body.len().to_string()
    );
    assert_eq!(
        client
            .post(&url)
            .body("x".repeat(50_000))
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
    assert_eq!(client.head(format!("{url}/")).send().await.unwrap().status(), 404);
}

/// Whether anything panicked on a thread of the service under test.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// One service for all cases, on threads with a name.
static UNDER_TEST: LazyLock<(tokio::runtime::Runtime, Arc<Served>)> = LazyLock::new(|| {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some("under-test") {
            PANICKED.store(true, Ordering::SeqCst);
        }
        before(panic);
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("under-test")
        .enable_all()
        .build()
        .unwrap();
    let served = runtime.block_on(async {
        Arc::new(Served::start(Setting::plain().limits(|limits| {
            limits.header_timeout = std::time::Duration::from_millis(200);
        })))
    });
    (runtime, served)
});

/// Sends it in pieces, and reads what comes back.
async fn send(served: &Served, pieces: &[Vec<u8>]) -> Vec<u8> {
    let (mut read, mut write) = TcpStream::connect(served.address).await.unwrap().into_split();
    let pieces = pieces.to_vec();
    let sender = tokio::spawn(async move {
        for piece in pieces {
            if write.write_all(&piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = write.shutdown().await;
    });
    let mut answer = Vec::new();
    let _ = within(read.read_to_end(&mut answer)).await;
    sender.await.unwrap();
    answer
}

/// Octets, with pieces of real requests among them so that some get far.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::sample::select(vec![
            "GET /jwks HTTP/1.1\r\n",
            "HEAD /jwks HTTP/1.0\r\n",
            "OPTIONS * HTTP/1.1\r\n",
            "Host: a\r\n",
            "Host: ",
            "\r\n",
            "\r\n\r\n",
            "\n",
            ": ",
            " ",
            "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Connection: close\r\n",
            "Expect: 100-continue\r\n",
            "If-None-Match: *\r\n",
            "Accept-Encoding: br\r\n",
            "http://",
            "/jwks",
            "0\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\0\0\0\x04\0\0\0\0\0",
            "\0\0\x01\x01\x05\0\0\0\x01\u{82}",
            "Upgrade: h2c\r\nConnection: Upgrade\r\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_octets_panic_the_service_or_get_another_document(pieces in prop::collection::vec(octets(), 1..3)) {
        let (runtime, served) = &*UNDER_TEST;
        let answer = runtime.block_on(send(served, &pieces));
        prop_assert!(!PANICKED.load(Ordering::SeqCst));
        let publication = served.issuers.publication();
        let mut rest = &answer[..];
        // Each 200 with content has exactly one of the documents after its head.
        while let Some(at) = rest.windows(15).position(|w| w == b"HTTP/1.1 200 OK" || w == b"HTTP/1.0 200 OK") {
            rest = &rest[at + 15..];
            let head_end = rest.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
            let body = &rest[head_end + 4..];
            let jwks = &publication.jwks;
            let br = jwks.br();
            let known = [Some(&jwks.identity), br.as_ref(), jwks.gzip.as_ref()];
            prop_assert!(
                known.into_iter().flatten().any(|representation| body.starts_with(&representation.body))
                    || body.is_empty() || body.starts_with(b"HTTP/1."),
                "{}", answer.escape_ascii()
            );
        }
    }
}
