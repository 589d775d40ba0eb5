//! Every response that is not a document, prepared: a small JSON document that no cache keeps.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::Body;
use crate::representation::HSTS;

/// Why a request does not get a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `Host` is missing, empty, repeated or invalid (RFC 9112 section 3.2).
    BadHost,
    /// No document has this path.
    NotFound,
    /// Not a refusal at all: the answer to `OPTIONS` (RFC 9110 section 9.3.7), and to a CORS preflight.
    Options,
    /// Neither GET nor HEAD.
    MethodNotAllowed,
    /// Nothing is published: no source could be read since the start, or the last key was revoked by force.
    NotYet,
    /// `If-Match` names another representation.
    PreconditionFailed,
}

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// Sources are read every 10 s by default, so a second try soon is worth it.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

#[derive(Debug)]
struct Prepared {
    status: StatusCode,
    plain: HeaderMap,
    hsts: HeaderMap,
    body: Bytes,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Refusals {
    bad_host: Prepared,
    not_found: Prepared,
    options: Prepared,
    method_not_allowed: Prepared,
    not_yet: Prepared,
    precondition_failed: Prepared,
}

impl Refusals {
    pub(super) fn prepare() -> Self {
        Self {
            bad_host: json(
                StatusCode::BAD_REQUEST,
                r#"{"error":"bad_request","message":"exactly one valid Host is needed"}"#,
            ),
            not_found: json(
                StatusCode::NOT_FOUND,
                r#"{"error":"not_found","message":"no document has this path"}"#,
            ),
            options: options(),
            method_not_allowed: json(
                StatusCode::METHOD_NOT_ALLOWED,
                r#"{"error":"method_not_allowed","message":"this document is read with GET or HEAD"}"#,
            )
            .on_a_document()
            .with(ALLOW, METHODS),
            not_yet: json(
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"error":"not_yet_available","message":"no key is published now, try again"}"#,
            )
            .on_a_document()
            .with(RETRY_AFTER, RETRY_SECONDS),
            precondition_failed: json(
                StatusCode::PRECONDITION_FAILED,
                r#"{"error":"precondition_failed","message":"If-Match names another version"}"#,
            )
            .on_a_document(),
        }
    }

    pub(super) fn response(&self, refusal: Refusal, hsts: bool, head_only: bool) -> Response<Body> {
        let prepared = match refusal {
            Refusal::BadHost => &self.bad_host,
            Refusal::NotFound => &self.not_found,
            Refusal::Options => &self.options,
            Refusal::MethodNotAllowed => &self.method_not_allowed,
            Refusal::NotYet => &self.not_yet,
            Refusal::PreconditionFailed => &self.precondition_failed,
        };
        let body = if head_only {
            Bytes::new()
        } else {
            prepared.body.clone()
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = prepared.status;
        *response.headers_mut() = if hsts { &prepared.hsts } else { &prepared.plain }.clone();
        response
    }
}

impl Prepared {
    fn new(status: StatusCode, body: &'static str) -> Self {
        Self {
            status,
            plain: HeaderMap::new(),
            hsts: HeaderMap::from_iter([(STRICT_TRANSPORT_SECURITY, HSTS)]),
            body: Bytes::from_static(body.as_bytes()),
        }
        .with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
    }

    fn with(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.plain.insert(name.clone(), value.clone());
        self.hsts.insert(name, value);
        self
    }

    /// A page in a browser may see why it did not get the document.
    fn on_a_document(self) -> Self {
        self.with(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))
    }
}

fn json(status: StatusCode, body: &'static str) -> Prepared {
    Prepared::new(status, body)
        .with(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .with(CONTENT_LENGTH, HeaderValue::from(body.len()))
        .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

fn options() -> Prepared {
    Prepared::new(StatusCode::NO_CONTENT, "")
        .on_a_document()
        .with(ALLOW, METHODS)
        .with(ACCESS_CONTROL_ALLOW_METHODS, METHODS)
        .with(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"))
        .with(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"))
}
