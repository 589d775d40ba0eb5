//! Request head → response, from the catalog. Synchronous: everything that a response needs was prepared when its
//! document was published, or (br) takes microseconds.
//!
//! Order of the checks: `Host` (400), path (404), method (405, `OPTIONS`), publication (503), then preconditions
//! (412, 304; RFC 9110 section 13.2.2). `Accept`, ranges, dates, queries and user agents change nothing.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use http_body_util::Full;

use crate::catalog::{self, Catalog, Found};
use crate::metrics::Endpoint;
use crate::representation::{Document, Encoding, Representation};

mod brotli;
mod conditions;
mod encoding;
mod host;
mod refusal;

use brotli::BrotliCache;
use refusal::{Refusal, Refusals};

/// The body of every response: nothing, or one buffer shared with all other responses.
pub type Body = Full<Bytes>;

/// Answers requests from the catalog.
#[derive(Debug)]
pub struct Router {
    catalog: Arc<Catalog>,
    refusals: Refusals,
    brotli: BrotliCache,
}

/// A response, and what it is counted as.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) endpoint: Endpoint,
}

impl Router {
    /// A router over a catalog.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self {
            catalog,
            refusals: Refusals::prepare(),
            brotli: BrotliCache::new(),
        }
    }

    /// The response to a request head. `hsts`: whether it came over TLS, or over a plain listener that is configured
    /// to send `Strict-Transport-Security`.
    pub fn respond(&self, request: &Parts, hsts: bool) -> Response<Body> {
        self.answer(request, hsts).response
    }

    pub(super) fn answer(&self, request: &Parts, hsts: bool) -> Answer {
        let head_only = request.method == Method::HEAD;
        let refuse = |refusal, endpoint| Answer {
            response: self.refusals.response(refusal, hsts, head_only),
            endpoint,
        };
        let Ok(host) = host::of(request) else {
            let mut answer = refuse(Refusal::BadHost, Endpoint::Other);
            if request.version < Version::HTTP_2 {
                // Whoever sent this may disagree with us about where the next request begins.
                answer
                    .response
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return answer;
        };
        let Some(found) = self.find(request, host) else {
            return refuse(Refusal::NotFound, Endpoint::Other);
        };
        found.route.slot.requested();
        let endpoint = match found.endpoint {
            catalog::Endpoint::Discovery => Endpoint::Discovery,
            catalog::Endpoint::OauthAuthorizationServer => Endpoint::OauthAuthorizationServer,
            catalog::Endpoint::Jwks => Endpoint::Jwks,
        };
        match request.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return refuse(Refusal::Options, endpoint),
            _ => return refuse(Refusal::MethodNotAllowed, endpoint),
        }
        let Some(publication) = found.route.slot.current() else {
            return refuse(Refusal::NotYet, endpoint);
        };
        let document = publication.document(found.endpoint);
        let representation = &*self.select(document, request);
        if !conditions::if_match(&request.headers, &representation.etag) {
            return refuse(Refusal::PreconditionFailed, endpoint);
        }
        let response = if conditions::if_none_match(&request.headers, &representation.etag) {
            ok(document, representation, hsts, head_only)
        } else {
            not_modified(document, representation, hsts)
        };
        Answer { response, endpoint }
    }

    fn find(&self, request: &Parts, host: Option<&str>) -> Option<Found> {
        // Behind a balancer a request may come to a plain listener with an https target, or the other way round.
        let http = match request.uri.scheme_str() {
            None | Some("http" | "https") => true,
            Some(_) => request.version >= Version::HTTP_2,
        };
        http.then(|| self.catalog.lookup(request.uri.path(), host))
            .flatten()
    }

    /// The representation that `Accept-Encoding` selects: the first of its order that there is.
    fn select<'d>(&self, document: &'d Document, request: &Parts) -> Cow<'d, Representation> {
        let chosen = encoding::order(&request.headers).find_map(|encoding| match encoding {
            Encoding::Br => self.brotli.get(document).map(Cow::Owned),
            Encoding::Gzip => document.gzip.as_ref().map(Cow::Borrowed),
            Encoding::Identity => Some(Cow::Borrowed(&document.identity)),
        });
        chosen.unwrap_or(Cow::Borrowed(&document.identity))
    }
}

fn ok(document: &Document, representation: &Representation, hsts: bool, head_only: bool) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.headers_mut() = document.ok(representation, hsts);
    if !head_only {
        *response.body_mut() = Full::new(representation.body.clone());
    }
    response
}

fn not_modified(document: &Document, representation: &Representation, hsts: bool) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = document.not_modified(representation, hsts);
    response
}
