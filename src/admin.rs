//! Metrics and health on a listener of its own, never reachable through the edge.
//!
//! | path | answers |
//! |---|---|
//! | `/metrics` | the text exposition format of Prometheus |
//! | `/livez`, `/healthz` | 200 as long as the process runs; knows nothing of sources |
//! | `/readyz` | 200 or 503 by [`Readiness`]; the body names the issuers that are awaited, and why |

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::issuer::Published;
use crate::metrics::{Metrics, TEXT_FORMAT};

mod readiness;
mod server;

pub use readiness::{Awaited, Readiness, Standing};
pub use server::{BindError, bind, serve};

/// A handler that takes longer has failed; none of them waits for anything.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(10);

/// No request here has a body; what a client sends nevertheless is bounded.
const BODY_LIMIT: usize = 4096;

/// What the admin listener tells of.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// What `/metrics` exports.
    pub metrics: Metrics,
    /// What `/readyz` answers by.
    pub readiness: Arc<Readiness>,
    /// How far the issuers are.
    pub published: watch::Receiver<Published>,
    /// When the process started.
    pub started: Instant,
}

impl AdminState {
    /// Whether this replica is ready now.
    pub fn standing(&self) -> Standing {
        self.readiness
            .standing(&self.published.borrow(), self.started.elapsed())
    }
}

/// The routes of the admin listener.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/healthz", get(livez))
        .route("/readyz", get(readyz))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            HANDLER_TIMEOUT,
        ))
        .layer(CatchPanicLayer::custom(panicked))
}

async fn metrics(State(state): State<AdminState>) -> Response {
    // Beside the threads that serve: with many issuers it takes tens of milliseconds.
    let rendered = tokio::task::spawn_blocking(move || state.metrics.render()).await;
    match rendered
        .map_err(|error| error.to_string())
        .and_then(|text| text.map_err(|error| error.to_string()))
    {
        Ok(text) => answer(StatusCode::OK, TEXT_FORMAT, text),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be rendered");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics cannot be rendered; see the log\n",
            )
        }
    }
}

async fn livez() -> Response {
    plain(StatusCode::OK, "ok\n")
}

async fn readyz(State(state): State<AdminState>) -> Response {
    let standing = state.standing();
    let code = match standing {
        Standing::Ready => StatusCode::OK,
        Standing::Awaiting(_) | Standing::Closing => StatusCode::SERVICE_UNAVAILABLE,
    };
    plain(code, format!("{standing}\n"))
}

async fn not_found() -> Response {
    plain(
        StatusCode::NOT_FOUND,
        "not found; here are /metrics, /livez, /readyz and /healthz\n",
    )
}

async fn method_not_allowed() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n")
}

/// The message of the panic is in the log, and nowhere else.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error; see the log\n")
}

fn plain(code: StatusCode, body: impl Into<String>) -> Response {
    answer(code, "text/plain; charset=utf-8", body.into())
}

fn answer(code: StatusCode, content_type: &'static str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    (code, headers, body).into_response()
}
