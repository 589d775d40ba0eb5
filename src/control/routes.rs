//! The routes of the control endpoint.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use super::ControlState;
use super::carry::{Carried, Request, Verb};
use super::peer::Peer;
use super::wire::{Failed, Refused, Report};
use crate::issuer::AskError;

/// A JWKS of the largest size, escaped, and some words beside.
const BODY_LIMIT: usize = 2 * crate::key::MAX_BYTES + 64 * 1024;

/// Longer than the issuer's task, the shared store and the audit file may take together.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);

/// Who asks of what.
#[derive(Clone)]
struct Seen {
    state: ControlState,
    peer: Peer,
}

/// The routes, for one connection.
pub(super) fn router(state: ControlState, peer: Peer) -> Router {
    let mut router = Router::new().route("/v1/keys", get(list));
    for verb in Verb::ALL.into_iter().filter(|verb| !verb.only_looks()) {
        let handler = async move |State(seen): State<Seen>, headers: HeaderMap, body: Bytes| {
            let is_json = headers
                .get(header::CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
            if !is_json {
                let message = "commands are JSON: content-type application/json";
                return failed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "badRequest", message);
            }
            match serde_json::from_slice(&body) {
                Ok(request) => answered(seen, verb, request).await,
                Err(error) => {
                    let message = format!("not a command: {error}");
                    failed(StatusCode::BAD_REQUEST, "badRequest", message)
                }
            }
        };
        router = router.route(&format!("/v1/keys/{}", verb.as_str()), post(handler));
    }
    router
        .fallback(async || {
            let message =
                "not found; here are GET /v1/keys, and POST /v1/keys/revoke, unrevoke, approve, import";
            failed(StatusCode::NOT_FOUND, "notFound", message)
        })
        .method_not_allowed_fallback(async || {
            let message = "GET /v1/keys, and POST for commands";
            failed(StatusCode::METHOD_NOT_ALLOWED, "methodNotAllowed", message)
        })
        .with_state(Seen { state, peer })
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            HANDLER_TIMEOUT,
        ))
}

async fn list(State(seen): State<Seen>, uri: Uri) -> Response {
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut request = Request::default();
    for (name, value) in query {
        if name != "issuer" {
            let message = format!("there is no parameter {name:?}: issuer=URL");
            return failed(StatusCode::BAD_REQUEST, "badRequest", message);
        }
        request.issuer = Some(value.into_owned());
    }
    answered(seen, Verb::List, request).await
}

/// Carries a command out, and writes it down, whether or not someone still waits for the answer.
async fn answered(seen: Seen, verb: Verb, request: Request) -> Response {
    let carried = tokio::spawn(async move { carried(&seen, verb, request).await }).await;
    match carried {
        Ok(Ok(report)) => answer(StatusCode::OK, &report),
        Ok(Err(error)) => {
            let code = match error.error.as_str() {
                "unknownIssuer" | "unknownKey" => StatusCode::NOT_FOUND,
                "badRequest" | "whichIssuer" => StatusCode::BAD_REQUEST,
                "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::CONFLICT,
            };
            answer(code, &error)
        }
        Err(_) => failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "internal error; see the log",
        ),
    }
}

async fn carried(seen: &Seen, verb: Verb, request: Request) -> Result<Report, Failed> {
    let Seen { state, peer } = seen;
    let mut entry = request.entry(verb, state.clock.now(), peer.by.clone(), peer.via.clone());
    let carried = match request.command(verb) {
        Err(message) => Carried::malformed(message, entry),
        Ok((command, unusable)) => {
            let issuer = state.desk.issuer(request.issuer.as_deref());
            if let Ok(issuer) = &issuer {
                entry.issuer = Some(issuer.clone());
            }
            let asked = async {
                let issuer = issuer?;
                let answer = state.desk.ask(&issuer, command, &peer.by).await?;
                let mut report = Report::new(&issuer, answer.at, answer.outcome);
                report.refused.extend(unusable.iter().map(Refused::from));
                report.warnings = answer.warnings;
                Ok::<_, AskError>(report)
            };
            Carried::new(asked.await, entry)
        }
    };
    state.metrics.control(verb.as_str(), carried.result);
    let mut answer = carried.answer;
    if !verb.only_looks()
        && let Err(reason) = state.audit.record(&carried.entry).await
    {
        state.metrics.audit_failed();
        if let Ok(report) = &mut answer {
            report.warnings.push(reason);
        }
    }
    answer
}

fn failed(code: StatusCode, error: &str, message: impl Into<String>) -> Response {
    let failed = Failed {
        error: error.to_owned(),
        message: message.into(),
    };
    answer(code, &failed)
}

fn answer(code: StatusCode, body: &impl Serialize) -> Response {
    let Ok(body) = serde_json::to_vec(body) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (code, headers, body).into_response()
}
