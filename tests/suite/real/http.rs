//! A client for whatever a test asks over HTTP.

use std::sync::Once;
use std::time::Duration;

use reqwest::{Certificate, Client, Method};
use serde_json::Value;

/// Knows one CA, and goes through no proxy.
#[derive(Clone, Debug)]
pub(crate) struct Http(Client);

/// A whole response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: http::HeaderMap,
    /// The body.
    pub(crate) body: String,
}

impl Http {
    /// For `http` only.
    pub(crate) fn plain() -> Self {
        Self::trusting("")
    }

    /// Trusts the certificates of this PEM, and no others.
    pub(crate) fn trusting(pem: &str) -> Self {
        // A test has its own runtime, so connections must not outlive a request.
        Self::new(pem, 0)
    }

    /// The same for many requests in one test.
    pub(crate) fn keeping_connections(pem: &str) -> Self {
        Self::new(pem, 1)
    }

    fn new(pem: &str, idle_connections: usize) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::aws_lc_rs::default_provider()
                .install_default()
                .ok();
        });
        let roots = Certificate::from_pem_bundle(pem.as_bytes()).expect("PEM certificates");
        let client = Client::builder()
            .tls_certs_only(roots)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(idle_connections)
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client");
        Self(client)
    }

    /// The client itself, for requests of another kind.
    pub(crate) fn client(&self) -> &Client {
        &self.0
    }

    /// Sends one request; a bearer token and a body where given.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        bearer: Option<&str>,
        body: Option<String>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.0.request(method, url);
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer {
            status,
            headers,
            body: response.text().await?,
        })
    }

    /// Whether this URL answers 200 now.
    pub(crate) async fn is_ok(&self, url: &str, bearer: Option<&str>) -> bool {
        self.send(Method::GET, url, bearer, None)
            .await
            .is_ok_and(|answer| answer.status == 200)
    }

    /// The answer to a `GET`, whatever its status.
    pub(crate) async fn get(&self, url: &str) -> Answer {
        self.send(Method::GET, url, None, None)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error:?}"))
    }
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON: {error}: {}", self.body))
    }
}
