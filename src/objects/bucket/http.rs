//! How the storage's client makes its requests: over our own connections, and with every answer about an object judged before
//! that client maps it by its status.

use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpService,
};

use super::answers::About;
use super::failure::Failure;
use crate::client::{Cause, Exchange};

/// Makes clients that share connections.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) exchange: Exchange,
    /// What an answer may have, in bytes.
    pub(super) limit: usize,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allow_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        Ok(HttpClient::new(Client {
            exchange: self.exchange.clone(),
            limit: self.limit,
            allow_http: allow_http.as_deref() == Some("true"),
        }))
    }
}

#[derive(Debug)]
struct Client {
    exchange: Exchange,
    limit: usize,
    allow_http: bool,
}

impl HttpService for Client {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let about = head.extensions.get::<About>().cloned();
            let (method, asked) = (head.method.clone(), head.headers.clone());
            let request = Request::from_parts(head, body);
            let answer = self.exchange.send(request, self.limit, self.allow_http).await;
            let answer = answer.map_err(|cause| failed(Failure::Unreached(cause)))?;
            // Those that ask for credentials know their servers' answers best.
            let answer = match about {
                Some(about) => about.judge(&method, &asked, answer).map_err(failed)?,
                None => answer,
            };
            Ok(response(answer))
        })
    }
}

fn response(answer: Response<Bytes>) -> HttpResponse {
    let (head, body) = answer.into_parts();
    HttpResponse::from_parts(head, body.into())
}

/// By the kind it is decided whether a request is sent once more.
fn failed(failure: Failure) -> HttpError {
    let kind = match &failure {
        Failure::Unreached(Cause::Refused | Cause::Resolve { .. } | Cause::Unreachable { .. }) => {
            HttpErrorKind::Connect
        }
        Failure::Unreached(Cause::Interrupted { .. }) => HttpErrorKind::Interrupted,
        Failure::Refused(refused) if refused.status.is_server_error() => HttpErrorKind::Timeout,
        _ => HttpErrorKind::Decode,
    };
    HttpError::new(kind, failure)
}
