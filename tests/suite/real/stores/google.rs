//! fake-gcs-server keeps preconditions in the JSON interface only, and the service writes by the XML interface, as
//! every S3-like client does; and of an object that does not exist it says `Not Found`, as any web server does. This stands
//! between and translates a write: the generation that it must have becomes a
//! parameter instead of a header. Everything else is passed on.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode};

use super::super::http::Http;

/// Serves at `address` what the server at `behind` keeps.
pub(super) async fn translate(address: String, behind: String) -> tokio::task::JoinHandle<()> {
    let listener = tokio::net::TcpListener::bind(&address).await.expect("a port");
    let router = Router::new().fallback(pass).with_state(behind);
    tokio::spawn(async move {
        axum::serve(listener, router).await.ok();
    })
}

async fn pass(State(behind): State<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let path = head.uri.path().to_owned();
    let http = Http::plain();
    let client = http.client();
    let request = if head.method == Method::PUT && !head.headers.contains_key("x-goog-copy-source") {
        let (bucket, object) = path[1..].split_once('/').expect("a bucket and an object");
        let mut url = format!("{behind}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={object}");
        if let Some(generation) = head.headers.get("x-goog-if-generation-match") {
            url = format!(
                "{url}&ifGenerationMatch={}",
                generation.to_str().expect("a number")
            );
        }
        client.post(url).body(body)
    } else {
        client
            .request(head.method.clone(), format!("{behind}{path}"))
            .body(body)
    };
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return plain(StatusCode::BAD_GATEWAY, error.to_string()),
    };
    let status = answer.status();
    let mut response = Response::builder().status(status);
    let from_headers = ["etag", "x-goog-generation", "last-modified", "content-type"];
    for name in from_headers {
        if let Some(value) = answer.headers().get(name) {
            response = response.header(name, value);
        }
    }
    let body = answer.bytes().await.expect("a body");
    if head.method == Method::GET && status == StatusCode::NOT_FOUND && body.trim_ascii() == b"Not Found" {
        // What the XML interface says of an object that does not exist, and anyone's web server never.
        let (bucket, object) = path[1..].split_once('/').expect("a bucket and an object");
        let object = object.replace("%2F", "/").replace("%2D", "-").replace("%2E", ".");
        return response
            .body(Body::from(format!(
                "<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchKey</Code><Message>The specified key does not \
                 exist.</Message><Details>No such object: {bucket}/{object}</Details></Error>"
            )))
            .expect("a response");
    }
    if head.method == Method::PUT && status.is_success() {
        // What the XML interface says in headers the JSON interface says in its body.
        let object: serde_json::Value = serde_json::from_slice(&body).expect("an object");
        response = response
            .header(
                "etag",
                format!(
                    "{:?}",
                    object["etag"].as_str().expect("an ETag").trim_matches('"')
                ),
            )
            .header(
                "x-goog-generation",
                object["generation"].as_str().expect("a generation"),
            );
        return response.body(Body::empty()).expect("a response");
    }
    response.body(Body::from(body)).expect("a response")
}

fn plain(status: StatusCode, text: String) -> Response {
    Response::builder()
        .status(status)
        .body(Body::from(text))
        .expect("a response")
}
