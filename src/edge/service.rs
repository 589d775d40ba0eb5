//! The router as hyper calls it: counted, logged, and told apart by listener.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::{Body as _, Incoming};
use tracing::debug;

use super::drain::Drain;
use super::router::{Body, Router};
use crate::listen::Activity;
use crate::metrics::EdgeMetrics;

/// What all connections of one listener share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) router: Arc<Router>,
    pub(super) metrics: EdgeMetrics,
    /// Its configured address, for the log.
    pub(super) listener: String,
    pub(super) hsts: bool,
    pub(super) drain: Drain,
}

/// Answers the requests of one connection, each at once.
#[derive(Debug)]
pub(super) struct Service {
    shared: Arc<Shared>,
    activity: Arc<Activity>,
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>, activity: Arc<Activity>) -> Self {
        Self { shared, activity }
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let shared = &*self.shared;
        let (head, content) = request.into_parts();
        let mut answer = shared.router.answer(&head, shared.hsts);
        let status = answer.response.status();
        debug!(
            method = %head.method, path = head.uri.path(), status = status.as_u16(), listener = shared.listener,
            version = ?head.version, "answered"
        );
        if head.version < Version::HTTP_2 && shared.drain.began() {
            answer
                .response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let took = self.activity.answered(!content.is_end_stream());
        shared.metrics.response(answer.endpoint, status, took);
        ready(Ok(answer.response))
    }
}

/// Runs an HTTP/2 stream where it stands, since its response is there at once and its body is in memory. Only what
/// must wait for the client (flow control) becomes a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inline;

impl<F> hyper::rt::Executor<F> for Inline
where
    F: Future<Output = ()> + Send + Unpin + 'static,
{
    fn execute(&self, mut stream: F) {
        let unwoken = &mut Context::from_waker(Waker::noop());
        if Pin::new(&mut stream).poll(unwoken).is_pending() {
            tokio::spawn(stream);
        }
    }
}
