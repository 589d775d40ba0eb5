//! A Kubernetes API server: `/.well-known/openid-configuration` for the issuer that the cluster claims, and
//! `/openid/v1/jwks` for its keys (kubernetes `pkg/routes/openidmetadata.go`).

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::access::{Access, described};
use super::exec::{self, Credentials};
use super::fetch::{self, Answer, Roots, Session, SystemRoots, Target};
use super::local::{self, Blocking};
use super::{ApiServerSettings, Asked, Cause, Phase, ReadError};
use crate::key::parse_jwks;
use crate::ring::Listing;

const DISCOVERY: &str = "/.well-known/openid-configuration";
const JWKS: &str = "/openid/v1/jwks";

#[derive(Debug)]
pub(super) struct ApiServer {
    settings: ApiServerSettings,
    system_roots: SystemRoots,
    files: Blocking<Result<Access, Cause>>,
    plugin: Blocking<Result<Credentials, Cause>>,
    given: Option<(Credentials, Instant)>,
}

impl ApiServer {
    pub(super) fn new(settings: ApiServerSettings) -> Self {
        Self {
            settings,
            system_roots: SystemRoots::default(),
            files: Blocking::default(),
            plugin: Blocking::default(),
            given: None,
        }
    }

    pub(super) async fn read(&mut self) -> Result<Listing, ReadError> {
        let had_credentials = self.given.is_some();
        let read = self.read_once().await;
        let was_refused = read
            .as_ref()
            .is_err_and(|error| matches!(error.cause(), Cause::Unauthorized { .. }));
        if was_refused && had_credentials {
            // What the plugin once gave has ended.
            self.given = None;
            return self.read_once().await;
        }
        read
    }

    async fn read_once(&mut self) -> Result<Listing, ReadError> {
        let target = self
            .target()
            .await
            .map_err(|cause| ReadError::new(Asked::ApiServer, described(&self.settings), cause))?;
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

    async fn target(&mut self) -> Result<Target, Cause> {
        let settings = self.settings.clone();
        let read = move || Access::read(&settings);
        let mut access = self.files.run(Phase::File, local::TIMEOUT, read).await??;
        if let Some(exec) = access.exec.take() {
            self.credentials(exec).await?.give(&mut access)?;
        }
        Ok(Target {
            base: access.server,
            roots: access
                .roots
                .unwrap_or_else(|| Roots::System(self.system_roots.clone())),
            server_name: access.server_name,
            identity: access.identity,
            headers: access.headers,
            proxy: access.proxy,
            timeout: super::timeout(self.settings.timeout),
        })
    }

    async fn credentials(&mut self, config: kube::config::ExecConfig) -> Result<Credentials, Cause> {
        if let Some((given, at)) = &self.given
            && at.elapsed() < exec::REUSE
        {
            return Ok(given.clone());
        }
        let after = exec::TIMEOUT + Duration::from_secs(5);
        let given = self
            .plugin
            .run(Phase::Plugin, after, move || exec::run(&config))
            .await??;
        self.given = Some((given.clone(), Instant::now()));
        Ok(given)
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
