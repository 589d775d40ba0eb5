//! A Kubernetes API server: `/.well-known/openid-configuration` for the issuer that the cluster claims, and
//! `/openid/v1/jwks` for its keys (kubernetes `pkg/routes/openidmetadata.go`).

use serde::Deserialize;
use url::Url;

use super::fetch::{self, Answer, Session};
use super::reach::Reach;
use super::{ApiServerSettings, Asked, Cause, ReadError};
use crate::key::parse_jwks;
use crate::ring::Listing;

const DISCOVERY: &str = "/.well-known/openid-configuration";
const JWKS: &str = "/openid/v1/jwks";

#[derive(Debug)]
pub(super) struct ApiServer {
    reach: Reach,
}

impl ApiServer {
    pub(super) fn new(settings: ApiServerSettings) -> Self {
        Self {
            reach: Reach::new(settings),
        }
    }

    pub(super) async fn read(&mut self) -> Result<Listing, ReadError> {
        let had_credentials = self.reach.has_credentials();
        let read = self.read_once().await;
        match &read {
            Err(error) if had_credentials && self.reach.renews_after(error) => self.read_once().await,
            _ => read,
        }
    }

    async fn read_once(&mut self) -> Result<Listing, ReadError> {
        let target = self.reach.target(Asked::ApiServer).await?;
        let server = Server(target.base.clone());
        let mut session = Session::open(&target)
            .await
            .map_err(|cause| server.error("", cause))?;
        let discovery = session
            .get(&server.url(DISCOVERY))
            .await
            .and_then(|discovery| claimed(&discovery))
            .map_err(|cause| server.error(DISCOVERY, cause))?;
        let jwks = session
            .get(&server.url(JWKS))
            .await
            .map_err(|cause| server.error(JWKS, cause))?;
        let parsed = parse_jwks(&jwks.body).map_err(|error| server.error(JWKS, error.into()))?;
        if parsed.keys.is_empty() {
            let place = fetch::shown(&server.url(JWKS));
            return Err(ReadError::nothing_publishable(
                Asked::ApiServer,
                place,
                parsed.quarantined,
            ));
        }
        Ok(Listing {
            keys: parsed.keys,
            quarantined: parsed.quarantined,
            issuer: Some(discovery),
            max_age: jwks.max_age.and_then(|age| age.try_into().ok()),
            complete: true,
            ..Listing::default()
        })
    }
}

/// What every path is appended to.
struct Server(Url);

impl Server {
    fn url(&self, path: &str) -> Url {
        fetch::below(&self.0, path)
    }

    fn error(&self, path: &str, cause: Cause) -> ReadError {
        ReadError::new(Asked::ApiServer, fetch::shown(&self.url(path)), cause)
    }
}

/// The issuer that a discovery document names (OpenID Connect Discovery 1.0 section 3).
fn claimed(discovery: &Answer) -> Result<String, Cause> {
    #[derive(Deserialize)]
    struct Document {
        issuer: String,
    }
    // Where a byte order mark is before the keys, it is before the issuer.
    let body = discovery
        .body
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(&discovery.body);
    let document: Document = serde_json::from_slice(body).map_err(|error| {
        let reason = match error.classify() {
            serde_json::error::Category::Data => {
                "a discovery document with one issuer is expected".to_owned()
            }
            _ => format!("broken at line {}, column {}", error.line(), error.column()),
        };
        Cause::NotJson { reason }
    })?;
    if document.issuer.is_empty() {
        return Err(Cause::NotJson {
            reason: "the issuer is empty".into(),
        });
    }
    Ok(document.issuer)
}
