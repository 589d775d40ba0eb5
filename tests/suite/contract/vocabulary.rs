//! The vocabulary of these tests: issuers that are published, a router, a service on a loopback port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use oidc_issuer::catalog::{Catalog, Route, Slot};
use oidc_issuer::clock::Clock;
use oidc_issuer::edge::{Body, Edge, EdgeError, Limits, ListenerSettings, Router, TlsSettings};
use oidc_issuer::key;
use oidc_issuer::metrics::Metrics;
use oidc_issuer::publication::{self, CachePolicy, IssuerUrl, JwksUri, MediaType, Profile};
use oidc_issuer::representation;
use oidc_issuer::ring::{KeySet, KeyState, PublishedKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// One RSA key and one on P-256.
const KEYS: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxB7D+i6I2tFXxRWk5zGf
W7ptBCxbuz7xSXVOcu6fv8wtvaJa/3z7L4Ftx+TiGnwjAaDgjT/06erz7qBL8Yxt
4fBvnJ9fk08vJgmuMfttGon9S/mYKWYUmjPJby7MDa9Mxzjj1T/0fNQsiNTJZDAG
8CWw4xS50s6Lg6zMSzrpI8AkQJqcwvCTA5boweJip+0D12jyMGAcyh7myJB7h0VG
qeXKOol+EDTY5b1sAzU/h3p3epc/EPyI5CCQUD7K488FbIGsI4XCDNXgFCQQxgNo
p7nym2zQ5K4Ys8zO1JAcV2t4B12x3BWi0Tt+kFnr3XgjWWn4dNf27CBcpMcuqiJ7
IQIDAQAB
-----END PUBLIC KEY-----
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETQZtTtImqkjo9+oEcftC5+Oe4GR6
dDo6YeU+RBH0o9b/SafnEV60PhdP1xBfPS3KJSLavS0PkvpUaMDlrhi2NQ==
-----END PUBLIC KEY-----
";

/// What one issuer says, with every default.
fn profile(issuer: &str) -> Profile {
    let issuer = IssuerUrl::parse(issuer).unwrap();
    let cache = |max_age, stale_while_revalidate| CachePolicy {
        max_age: SignedDuration::from_secs(max_age),
        stale_while_revalidate: SignedDuration::from_secs(stale_while_revalidate),
        stale_if_error: SignedDuration::from_hours(24),
    };
    Profile {
        jwks_uri: JwksUri::of(&issuer),
        issuer,
        announced: vec![],
        extra: serde_json::Map::new(),
        jwks_content_type: MediaType::JWKS,
        jwks_cache: cache(300, 60),
        discovery_cache: cache(3600, 0),
    }
}

fn keys() -> KeySet {
    let listed = |key| PublishedKey {
        key,
        state: KeyState::Listed,
        first_seen: Timestamp::UNIX_EPOCH,
    };
    let mut keys = key::parse_file(KEYS.as_bytes()).unwrap().keys;
    keys.sort_by_key(|key| key.algorithm().as_str() != "RS256");
    KeySet {
        keys: keys.into_iter().map(listed).collect(),
        ..KeySet::default()
    }
}

/// Issuers, the catalog that they are in, and a router over it.
pub(crate) struct Issuers {
    pub(crate) catalog: Arc<Catalog>,
    router: Router,
    all: Vec<(Profile, Arc<Slot>)>,
}

impl Issuers {
    /// These issuers; none is published yet.
    pub(crate) fn awaiting(issuers: &[&str]) -> Self {
        Self::of(issuers.iter().map(|issuer| profile(issuer)).collect())
    }

    fn of(profiles: Vec<Profile>) -> Self {
        let all: Vec<_> = profiles
            .into_iter()
            .map(|profile| (profile, Arc::new(Slot::new())))
            .collect();
        let route = |(profile, slot): &(Profile, Arc<Slot>)| Route {
            issuer: profile.issuer.clone(),
            jwks_uri: profile.jwks_uri.clone(),
            slot: slot.clone(),
        };
        let catalog = Arc::new(Catalog::new(all.iter().map(route)));
        Self {
            router: Router::new(catalog.clone()),
            catalog,
            all,
        }
    }

    /// These issuers, published.
    pub(crate) fn publishing(issuers: &[&str]) -> Self {
        let issuers = Self::awaiting(issuers);
        issuers.publish();
        issuers
    }

    /// The same with a `jwks_uri` of its own.
    pub(crate) fn publishing_with_jwks_uri(issuer: &str, jwks_uri: &str) -> Self {
        let mut profile = profile(issuer);
        profile.jwks_uri = JwksUri::parse(jwks_uri).unwrap();
        let issuers = Self::of(vec![profile]);
        issuers.publish();
        issuers
    }

    /// `https://oidc.example.com`, published.
    pub(crate) fn ordinary() -> Self {
        Self::publishing(&["https://oidc.example.com"])
    }

    pub(crate) fn publish(&self) {
        for (profile, slot) in &self.all {
            slot.publish(Arc::new(publication::build(profile, &keys()).unwrap().into()));
        }
    }

    /// What the first issuer publishes.
    pub(crate) fn publication(&self) -> Arc<representation::Served> {
        self.all[0].1.current().unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Ask<'_> {
        self.ask(Method::GET, path)
    }

    pub(crate) fn ask(&self, method: Method, target: &str) -> Ask<'_> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().unwrap();
        Ask {
            router: &self.router,
            request,
            host: Some("oidc.example.com"),
            hsts: false,
        }
    }
}

/// A request that is being made up.
pub(crate) struct Ask<'h> {
    router: &'h Router,
    request: Request<()>,
    host: Option<&'static str>,
    hsts: bool,
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.request
            .headers_mut()
            .append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub(crate) fn version(mut self, version: Version) -> Self {
        *self.request.version_mut() = version;
        self
    }

    pub(crate) fn host(mut self, host: &'static str) -> Self {
        self.host = Some(host);
        self
    }

    pub(crate) fn no_host(mut self) -> Self {
        self.host = None;
        self
    }

    pub(crate) fn with_hsts(mut self) -> Self {
        self.hsts = true;
        self
    }

    pub(crate) fn answer(mut self) -> Answer {
        if let Some(host) = self.host {
            self.request
                .headers_mut()
                .append(header::HOST, HeaderValue::from_static(host));
        }
        let (head, ()) = self.request.into_parts();
        Answer::from(self.router.respond(&head, self.hsts))
    }
}

/// A response in memory.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let body = futures_now(body.collect()).unwrap().to_bytes().to_vec();
        Self {
            status: head.status,
            headers: head.headers,
            body,
        }
    }
}

/// A body in memory is there at once.
fn futures_now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(cx) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("a body was not ready"),
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn assert_status(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "the names are constants")]
    #[track_caller]
    pub(crate) fn assert_header(self, name: HeaderName, value: &str) -> Self {
        let values: Vec<_> = self.headers.get_all(&name).iter().collect();
        assert_eq!(values, [value], "{name}: {self:?}");
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "the names are constants")]
    #[track_caller]
    pub(crate) fn assert_no_header(self, name: HeaderName) -> Self {
        assert!(!self.headers.contains_key(&name), "{name}: {self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn assert_no_body(self) -> Self {
        assert!(self.body.is_empty(), "{self:?}");
        self
    }

    /// A small JSON document that names the error, and is kept by no cache.
    #[track_caller]
    pub(crate) fn assert_error(self, status: u16, error: &str) -> Self {
        let answer = self
            .assert_status(status)
            .assert_header(header::CONTENT_TYPE, "application/json")
            .assert_header(header::CACHE_CONTROL, "no-store")
            .assert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .assert_no_header(header::ETAG);
        let length = answer.body.len().to_string();
        let answer = answer.assert_header(header::CONTENT_LENGTH, &length);
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(json["error"], error);
        answer
    }

    pub(crate) fn header(&self, name: &HeaderName) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
            .to_str()
            .unwrap()
    }

    /// The header names, sorted.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }
}

/// How a service is listened to.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
}

impl Setting {
    pub(crate) fn plain() -> Self {
        let noon: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        Self {
            tls: None,
            limits: Limits::default(),
            clock: Clock::from_fn(move || noon),
        }
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub(crate) fn tls(mut self, tls: TlsSettings) -> Self {
        self.tls = Some(tls);
        self.clock = Clock::system();
        self
    }
}

/// A service on a loopback port, over real sockets.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) issuers: Issuers,
    pub(crate) metrics: Metrics,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    pub(crate) fn start(setting: Setting) -> Self {
        Self::try_start(setting).unwrap()
    }

    pub(crate) fn try_start(setting: Setting) -> Result<Self, EdgeError> {
        let issuers = Issuers::ordinary();
        let metrics = Metrics::new(Timestamp::UNIX_EPOCH);
        let listener = ListenerSettings {
            address: ([127, 0, 0, 1], 0).into(),
            tls: setting.tls,
            hsts: false,
        };
        let edge = Edge::bind(&[listener], setting.limits, &metrics, &setting.clock)?;
        let address = edge.addresses().unwrap()[0];
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(edge.serve(issuers.catalog.clone(), shutdown.clone()));
        Ok(Self {
            address,
            issuers,
            metrics,
            shutdown,
            task,
        })
    }

    /// A metric's value: the line that begins with this.
    pub(crate) fn metric(&self, line: &str) -> Option<f64> {
        let text = self.metrics.render().unwrap();
        let value = text.lines().find_map(|l| l.strip_prefix(line))?;
        value.trim().parse().ok()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends octets on a new connection, and reads until the service closes it.
    pub(crate) async fn exchange(&self, octets: &[u8]) -> String {
        let mut stream = self.connect().await;
        // It may close before all is sent; what it said counts.
        let _ = stream.write_all(octets).await;
        read_to_end(&mut stream).await
    }

    /// The signal to stop.
    pub(crate) fn stop(&self) {
        self.shutdown.cancel();
    }

    /// Waits for its end.
    pub(crate) async fn stopped(self) {
        self.stop();
        within(self.task).await.unwrap();
    }
}

/// Reads until the other side closes, or resets.
pub(crate) async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut read = Vec::new();
    within(async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            read.extend_from_slice(&buffer[..count]);
        }
    })
    .await;
    String::from_utf8_lossy(&read).into_owned()
}

/// Nothing in these tests takes this long.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it took too long")
}

/// A client that goes through no proxy.
pub(crate) fn reqwest_builder() -> reqwest::ClientBuilder {
    // The first one wins; they are all the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}
