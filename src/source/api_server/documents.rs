//! The two documents of one API server, read over one connection.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::client;
use crate::client::fetch::{self, Answer, Session, Target};
use crate::key::{MAX_BYTES, PublicKey, Quarantined};
use crate::source::{Accepted, Asked, Cause, ReadError, parse};

const DISCOVERY: &str = "/.well-known/openid-configuration";
const JWKS: &str = "/openid/v1/jwks";

/// What both documents say.
#[derive(Debug)]
pub(super) struct Documents {
    /// At least one.
    pub(super) keys: Vec<PublicKey>,
    pub(super) quarantined: Vec<Quarantined>,
    /// The issuer that the cluster names, which is accepted.
    pub(super) issuer: String,
    /// How long the JWKS may be cached.
    pub(super) max_age: Option<Duration>,
}

/// Connects, and reads both.
pub(super) async fn read(target: &Target, accepted: Option<&Accepted>) -> Result<Documents, ReadError> {
    read_over(&mut open(target).await?, target, accepted, MAX_BYTES).await
}

pub(super) async fn open(target: &Target) -> Result<Session<'_>, ReadError> {
    Session::open(target)
        .await
        .map_err(|cause| Server(&target.base).error("", cause))
}

/// Reads both over a connection that is open; the keys may take so many bytes.
pub(super) async fn read_over(
    session: &mut Session<'_>,
    target: &Target,
    accepted: Option<&Accepted>,
    limit: usize,
) -> Result<Documents, ReadError> {
    let server = Server(&target.base);
    let issuer = session
        .get(&server.url(DISCOVERY))
        .await
        .map_err(Cause::from)
        .and_then(|discovery| Ok(claimed(&discovery)?))
        .and_then(|issuer| match accepted {
            Some(accepted) => accepted.check(&issuer).map(|()| issuer),
            None => Ok(issuer),
        })
        .map_err(|cause| server.error(DISCOVERY, cause))?;
    let jwks = session
        .get(&server.url(JWKS))
        .await
        .map_err(|cause| server.error(JWKS, cause))?;
    if jwks.body.len() > limit {
        return Err(server.error(JWKS, client::Cause::TooLarge { limit }));
    }
    let parsed = parse::jwks(&jwks.body)
        .await
        .map_err(|cause| server.error(JWKS, cause))?;
    if parsed.keys.is_empty() {
        let place = fetch::shown(&server.url(JWKS));
        return Err(ReadError::nothing_publishable(
            Asked::ApiServer,
            place,
            parsed.quarantined,
        ));
    }
    Ok(Documents {
        keys: parsed.keys,
        quarantined: parsed.quarantined,
        issuer,
        max_age: jwks.max_age,
    })
}

/// What every path is appended to.
struct Server<'a>(&'a Url);

impl Server<'_> {
    fn url(&self, path: &str) -> Url {
        fetch::below(self.0, path)
    }

    fn error(&self, path: &str, cause: impl Into<Cause>) -> ReadError {
        ReadError::new(Asked::ApiServer, fetch::shown(&self.url(path)), cause)
    }
}

/// The issuer that a discovery document names (OpenID Connect Discovery 1.0 section 3).
fn claimed(discovery: &Answer) -> Result<String, client::Cause> {
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
        client::Cause::NotJson { reason }
    })?;
    if document.issuer.is_empty() {
        return Err(client::Cause::NotJson {
            reason: "the issuer is empty".into(),
        });
    }
    Ok(document.issuer)
}
