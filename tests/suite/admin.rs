//! The admin listener over its real router: what Prometheus, the kubelet and a person with curl see.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use jiff::Timestamp;
use oidc_issuer::admin::{AdminState, Readiness, router};
use oidc_issuer::issuer::Published;
use oidc_issuer::metrics::Metrics;
use oidc_issuer::publication::IssuerUrl;
use tokio::sync::watch;
use tower::ServiceExt;

struct Admin {
    state: AdminState,
    published: watch::Sender<Published>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Admin {
    /// A service whose required issuers are not published yet.
    fn awaiting(issuers: &[&str]) -> Self {
        let waiting = issuers.iter().map(|url| IssuerUrl::parse(url).unwrap()).collect();
        let (published, receiver) = watch::channel(Published {
            waiting,
            ..Published::default()
        });
        let state = AdminState {
            metrics: Metrics::new(Timestamp::UNIX_EPOCH),
            readiness: Arc::new(Readiness::new()),
            published: receiver,
            started: Instant::now(),
        };
        Self { state, published }
    }

    fn started_ago(mut self, ago: Duration) -> Self {
        self.state.started = Instant::now().checked_sub(ago).unwrap();
        self
    }

    fn all_published(&self) {
        self.published.send_replace(Published {
            any: true,
            ..Published::default()
        });
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let (head, body) = router(self.state.clone())
            .oneshot(request)
            .await
            .unwrap()
            .into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).await
    }
}

#[tokio::test]
async fn the_process_is_alive_whatever_the_sources_do() {
    let admin = Admin::awaiting(&["https://a.example"]);
    for path in ["/livez", "/healthz"] {
        let answer = admin.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "ok\n"));
    }
    admin.state.readiness.close();
    assert_eq!(admin.get("/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn readyz_names_the_issuers_that_are_awaited_and_latches() {
    let admin = Admin::awaiting(&["https://a.example/one", "https://a.example/two"]);
    let answer = admin.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        answer.body.contains("\nhttps://a.example/one\n"),
        "{}",
        answer.body
    );
    assert!(
        answer.body.ends_with("\nhttps://a.example/two\n"),
        "{}",
        answer.body
    );

    admin.all_published();
    let answer = admin.get("/readyz?verbose").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "ready\n"));

    let before = Published {
        waiting: BTreeSet::from([IssuerUrl::parse("https://a.example").unwrap()]),
        ..Published::default()
    };
    admin.published.send_replace(before);
    assert_eq!(admin.get("/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn readyz_contents_itself_with_one_issuer_after_a_minute() {
    let one_of_two = |admin: &Admin| {
        admin.published.send_modify(|published| published.any = true);
    };
    let young = Admin::awaiting(&["https://a.example"]);
    one_of_two(&young);
    assert_eq!(young.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);

    let old = Admin::awaiting(&["https://a.example"]).started_ago(Duration::from_mins(1));
    assert_eq!(old.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    one_of_two(&old);
    assert_eq!(old.get("/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn readyz_falls_at_shutdown() {
    let admin = Admin::awaiting(&[]);
    assert_eq!(admin.get("/readyz").await.status, StatusCode::OK);
    admin.state.readiness.close();
    let answer = admin.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("shutting down"));
}

#[tokio::test]
async fn only_get_and_head_are_answered() {
    let admin = Admin::awaiting(&[]);
    for path in ["/livez", "/readyz", "/healthz", "/metrics"] {
        let head = admin.ask("HEAD", path).await;
        assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let answer = admin.ask(method, path).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.headers[header::ALLOW], "GET,HEAD");
        }
    }
}

#[tokio::test]
async fn nothing_of_the_edge_is_here() {
    let admin = Admin::awaiting(&[]);
    for path in [
        "/",
        "/jwks",
        "/.well-known/openid-configuration",
        "/livez/",
        "/LIVEZ",
        "//livez",
    ] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    }
}

#[tokio::test]
async fn answers_are_never_cached_nor_sniffed() {
    let admin = Admin::awaiting(&[]);
    for path in ["/livez", "/readyz", "/metrics", "/nothing"] {
        let headers = admin.get(path).await.headers;
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}

#[tokio::test]
async fn metrics_are_in_the_text_format_of_prometheus() {
    let answer = Admin::awaiting(&[]).get("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/plain; version=0.0.4");
    assert!(answer.body.starts_with("# HELP oidc_issuer_"), "{}", answer.body);
}
