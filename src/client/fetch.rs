//! The one HTTP client: every read of a source is a new connection, and everything about it is bounded.
//!
//! A read of an API server asks for two documents over one connection, so that both come from the same replica behind
//! a balancer, and the next read from another. That, the cap on the body while it streams, the pinned CA and the name
//! to check instead of the host are why this stands directly on hyper's connection. Only the requests of a store share
//! connections ([`pool`]).

mod answer;
mod connect;
mod exchange;
mod meter;
mod no_proxy;
mod pool;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use super::{Cause, Phase};
pub(crate) use answer::Reply;
pub(crate) use answer::{Answer, is_redirect};
use answer::{Sent, collect};
pub(crate) use connect::Proxy;
pub(crate) use exchange::Exchange;
use meter::Meter;
pub(crate) use pool::Connections;
pub(crate) use tls::{Identity, IdentityFault, Roots, SystemRoots};

/// More than any key set: the API server's own document has a few hundred bytes a key.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// More than an object of an API server: etcd takes 1.5 MiB of it.
pub(crate) const MAX_OBJECT: usize = 4 << 20;

/// Bound of one whole read, where the settings name none.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// Who asks.
const PROGRAM: HeaderValue = HeaderValue::from_static(concat!("oidc-issuer/", env!("CARGO_PKG_VERSION")));

/// A connection, whatever it runs over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Wire = Box<dyn Stream>;

/// A server, and how it is to be reached.
#[derive(Clone)]
pub(crate) struct Target {
    /// Scheme, host, port and the path that every path asked for is appended to.
    pub(crate) base: Url,
    /// Which CAs may have signed its certificate.
    pub(crate) roots: Roots,
    /// The name to check in its certificate, where it is not the host of `base`.
    pub(crate) server_name: Option<String>,
    /// Our own certificate.
    pub(crate) identity: Option<Arc<Identity>>,
    /// Credentials, sent with every request. Only ever sent over the connection that was checked.
    pub(crate) headers: HeaderMap,
    /// The way there.
    pub(crate) proxy: Proxy,
    /// Bound of everything done over one session.
    pub(crate) timeout: Duration,
}

impl Target {
    /// The credentials that are sent: a refusal that repeats them must not be shown.
    fn sent(&self) -> Sent<'_> {
        Sent {
            any: self.identity.is_some() || !self.headers.is_empty(),
            headers: &self.headers,
        }
    }
}

/// One read: its connection, and its time.
pub(crate) struct Session<'a> {
    target: &'a Target,
    headers: HeaderMap,
    deadline: Deadline,
    connection: Connection,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// What may still arrive over it.
    meter: Meter,
    /// Closes it when it is dropped.
    task: AbortOnDropHandle<Result<(), hyper::Error>>,
    opened: Instant,
    /// Whether it was used before: only then its end is no fault.
    has_answered: bool,
}

impl<'a> Session<'a> {
    /// Connects, and over TLS checks who is there.
    pub(crate) async fn open(target: &'a Target) -> Result<Self, Cause> {
        check(&target.base)?;
        let deadline = Deadline::new(target.timeout);
        let headers = headers(target)?;
        let connection = Connection::open(target, deadline).await?;
        Ok(Self {
            target,
            headers,
            deadline,
            connection,
        })
    }

    /// Gets a document, `url` being below the session's target. Anything but a plain 200 is an error.
    pub(crate) async fn get(&mut self, url: &Url) -> Result<Answer, Cause> {
        let response = match self.ask(Method::GET, url).await {
            // A server may close a connection after each answer, announced or not.
            Err(Cause::Interrupted { .. }) if self.connection.has_answered => {
                self.connection = Connection::open(self.target, self.deadline).await?;
                self.ask(Method::GET, url).await
            }
            answered => answered,
        }?;
        self.connection.has_answered = true;
        self.connection.meter.allow(meter::body(MAX_BODY));
        self.deadline
            .bound(Phase::Body, Answer::read(response, &self.target.sent()))
            .await?
    }

    /// Sends a request once, and reads the answer whatever its status is. Only the body of a success has to be whole.
    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<Response<Bytes>, Cause> {
        let response = self.request(request).await?;
        self.connection.meter.allow(meter::body(limit));
        let (head, body) = response.into_parts();
        let body = match self.deadline.bound(Phase::Body, collect(body, limit)).await? {
            Err(cause) if head.status.is_success() => return Err(cause),
            body => body.unwrap_or_default(),
        };
        Ok(Response::from_parts(head, body))
    }

    async fn ask(&mut self, method: Method, url: &Url) -> Result<Response<Incoming>, Cause> {
        let request = request(method, url, self.headers.clone(), None)?;
        self.request(request).await
    }

    async fn request(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Cause> {
        self.connection.meter.allow(meter::HEAD);
        let sender = &mut self.connection.sender;
        let asked = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        let error = match self.deadline.bound(Phase::Headers, asked).await? {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        // Why a connection ended before the request was sent, only the connection knows.
        let ended = (error.is_closed() || error.is_canceled()).then_some(&mut self.connection.task);
        match ended {
            Some(ended) => match self.deadline.bound(Phase::Headers, ended).await? {
                Ok(Err(why)) => Err(broken(&why, Phase::Headers)),
                _ => Err(broken(&error, Phase::Headers)),
            },
            None => Err(broken(&error, Phase::Headers)),
        }
    }
}

impl Connection {
    async fn open(target: &Target, deadline: Deadline) -> Result<Self, Cause> {
        let meter = Meter::new(meter::OPENING);
        let wire = deadline
            .bound(Phase::Connect, connect::connect(target, &meter))
            .await??;
        let wire = if target.base.scheme() == "https" {
            deadline
                .bound(Phase::Handshake, tls::handshake(target, wire))
                .await??
        } else {
            wire
        };
        let (sender, connection) = http1::handshake(TokioIo::new(wire))
            .await
            .map_err(|error| broken(&error, Phase::Headers))?;
        let task = AbortOnDropHandle::new(tokio::spawn(connection));
        Ok(Self {
            sender,
            meter,
            task,
            opened: Instant::now(),
            has_answered: false,
        })
    }
}

/// A request, with a JSON document where one is given.
fn request(
    method: Method,
    url: &Url,
    headers: HeaderMap,
    json: Option<Bytes>,
) -> Result<Request<Full<Bytes>>, Cause> {
    let has_document = json.is_some();
    let mut request = Request::new(Full::new(json.unwrap_or_default()));
    *request.method_mut() = method;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    *request.uri_mut() = path.parse().map_err(|_| Cause::Settings {
        reason: "the URL is not valid in an HTTP request".into(),
        remedy: "Remove or escape what is not plain ASCII in it.".into(),
    })?;
    *request.headers_mut() = headers;
    if has_document {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
    }
    Ok(request)
}

/// `url` with a path appended, whatever slash is between them; the query goes.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// A URL as it may be shown: without userinfo, query and fragment, where credentials may be.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let had_query = url.query().is_some();
    // Fails only where there can be none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    if had_query {
        format!("{url}?…")
    } else {
        url.into()
    }
}

/// Host, and port where it is not that of the scheme.
pub(crate) fn authority(url: &Url) -> &str {
    &url[url::Position::BeforeHost..url::Position::AfterPort]
}

/// Refuses addresses that keys must not be read from.
pub(crate) fn check(url: &Url) -> Result<(), Cause> {
    let settings = |reason: String, remedy: &str| {
        Err(Cause::Settings {
            reason,
            remedy: remedy.to_owned(),
        })
    };
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(url) => {}
        "http" => {
            return settings(
                "plain HTTP is refused: whoever is on the way could put in keys of their own".into(),
                "Use https (http is accepted on loopback only, for kubectl proxy and the like).",
            );
        }
        scheme => {
            return settings(
                format!("{scheme}: is not a scheme that can be read"),
                "Give an https URL.",
            );
        }
    }
    if url.host_str().is_none_or(str::is_empty) {
        return settings(
            "the URL has no host".into(),
            "Give it as https://HOST[:PORT][/PATH].",
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return settings(
            "the URL holds a user name or password".into(),
            "Remove it, and name a file with a bearer token as tokenFile.",
        );
    }
    Ok(())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn headers(target: &Target) -> Result<HeaderMap, Cause> {
    let mut headers = target.headers.clone();
    let host = HeaderValue::from_str(authority(&target.base)).map_err(|_| Cause::NotHttp {
        reason: "the host is not valid in a header".into(),
    })?;
    headers.insert(HOST, host);
    // The API server answers 406 to `application/json` on its JWKS.
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, PROGRAM);
    Ok(headers)
}

/// `Authorization: Bearer`, never shown by `Debug`. `None` where the token cannot be in a header.
pub(crate) fn bearer(token: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some((http::header::AUTHORIZATION, value))
}

/// When everything must be done.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    fn new(after: Duration) -> Self {
        Self {
            at: Instant::now() + after,
            after,
        }
    }

    async fn bound<T>(self, phase: Phase, step: impl Future<Output = T>) -> Result<T, Cause> {
        tokio::time::timeout_at(self.at, step)
            .await
            .map_err(|_| Cause::Timeout {
                phase,
                after: self.after,
            })
    }
}

/// What a failure of the connection means.
fn broken(error: &hyper::Error, phase: Phase) -> Cause {
    if let Some(cause) = tls::cause_within(error) {
        return cause;
    }
    if meter::is_overrun(error) || (phase == Phase::Body && meter::is_given_up(error)) {
        return Cause::NotHttp {
            reason: match phase {
                Phase::Body => "its body has more chunks, extensions or trailers than any document",
                _ => "its headers have no end, or the interim answers (1xx) before them",
            }
            .into(),
        };
    }
    if error.is_parse() {
        return Cause::NotHttp {
            reason: error.to_string(),
        };
    }
    Cause::Interrupted { phase }
}
