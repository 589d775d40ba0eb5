//! What the tests ask an API server, as its administrator.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::http::{Answer, Http};

/// Is of the group `system:masters`.
pub(crate) const ADMIN: &str = "the-administrators-token";

/// One address of an API.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    base: String,
    http: Http,
}

impl Api {
    /// At this URL, which ends without a slash; its certificate is of this CA.
    pub(crate) fn at(base: String, ca: &Path) -> Self {
        let ca = std::fs::read_to_string(ca).expect("the CA");
        Self {
            base,
            http: Http::trusting(&ca),
        }
    }

    /// Its address, with this path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Whether it says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        self.http.is_ok(&self.url("/readyz"), Some(ADMIN)).await
    }

    /// What it answers to the administrator.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// Creates an object, as the administrator.
    ///
    /// # Panics
    ///
    /// If the API server refuses it: with its reason.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Value {
        let answer = self.send(Method::POST, path, Some(object)).await;
        assert!(
            [200, 201].contains(&answer.status),
            "{path}: {}: {}",
            answer.status,
            answer.body
        );
        answer.json()
    }

    /// Any request, as the administrator.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let url = self.url(path);
        self.try_send(method, path, body)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error:?}"))
    }

    /// The same, of one that may be gone.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, reqwest::Error> {
        let body = body.map(Value::to_string);
        self.http.send(method, &self.url(path), Some(ADMIN), body).await
    }

    /// Who it says that the bearer of this token is: `kubectl auth whoami`.
    pub(crate) async fn who_is(&self, token: &str) -> Answer {
        let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
        let url = self.url("/apis/authentication.k8s.io/v1/selfsubjectreviews");
        let sent = self
            .http
            .send(Method::POST, &url, Some(token), Some(review.to_string()))
            .await;
        sent.unwrap_or_else(|error| panic!("{url}: {error:?}"))
    }

    /// Creates a namespace with one service account.
    pub(crate) async fn create_service_account(&self, namespace: &str, name: &str) {
        let found = self.get(&format!("/api/v1/namespaces/{namespace}")).await;
        if found.status == 404 {
            self.create(
                "/api/v1/namespaces",
                &json!({ "metadata": { "name": namespace } }),
            )
            .await;
        }
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        self.create(&path, &json!({ "metadata": { "name": name } })).await;
    }

    /// A token of a service account, bound to a Pod where one is given; without an audience, for the API server itself.
    pub(crate) async fn token(
        &self,
        namespace: &str,
        name: &str,
        audience: Option<&str>,
        pod: Option<&Value>,
    ) -> String {
        let mut spec = json!({ "expirationSeconds": 7200 });
        if let Some(audience) = audience {
            spec["audiences"] = json!([audience]);
        }
        if let Some(pod) = pod {
            let metadata = &pod["metadata"];
            spec["boundObjectRef"] = json!({ "kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"] });
        }
        let answer = self
            .create(&token_path(namespace, name), &json!({ "spec": spec }))
            .await;
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// A token that lives so long, if the API server answers; the least is 600 seconds.
    pub(crate) async fn mint(
        &self,
        namespace: &str,
        name: &str,
        audience: &str,
        seconds: u64,
    ) -> Option<String> {
        let spec = json!({ "spec": { "audiences": [audience], "expirationSeconds": seconds } });
        let path = token_path(namespace, name);
        let answer = self.try_send(Method::POST, &path, Some(&spec)).await.ok()?;
        if answer.status != 201 {
            return None;
        }
        Some(answer.json()["status"]["token"].as_str()?.to_owned())
    }

    /// The body of its own `/openid/v1/jwks`.
    pub(crate) async fn jwks(&self) -> String {
        let answer = self.get("/openid/v1/jwks").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

fn token_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token")
}
