//! HTTP/1.1 connections of operators' listeners: bounded in time.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Watched};
use super::table::Place;

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Of the head of a request, and with it of the idle time between two.
    pub(crate) header: Duration,
    /// After so long a connection ends with the answer in progress, so that none holds its place for ever.
    pub(crate) age: Duration,
    /// How long an answer in progress may still take when its connection is to end.
    pub(crate) grace: Duration,
}

/// Serves a connection to its end, in its place. After `stop` it ends with the answer in progress.
pub(crate) async fn serve_http1<S>(
    stream: S,
    router: Router,
    bounds: Bounds,
    place: &Place,
    stop: &CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let activity = place.activity();
    let stream = Watched::new(stream, Arc::clone(activity));
    let answering = Answered {
        service: TowerToHyperService::new(router),
        activity: Arc::clone(activity),
    };
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.header)
            .serve_connection(TokioIo::new(stream), answering)
    );
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = stop.cancelled() => None,
        () = sleep(bounds.age) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        timeout(bounds.grace, connection).await.unwrap_or(Ok(()))
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Notes which requests are being answered: their connection is none to close for another.
struct Answered {
    service: HyperService,
    activity: Arc<Activity>,
}

/// What answers them.
type HyperService = TowerToHyperService<Router>;

impl Service<Request<Incoming>> for Answered {
    type Response = <HyperService as Service<Request<Incoming>>>::Response;
    type Error = <HyperService as Service<Request<Incoming>>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answering = self.activity.answering();
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(answering);
            answer
        })
    }
}
