//! The way to an API server, and the one place that its credentials come from.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::time::Instant;

use super::access::Access;
use super::exec::{self, Credentials};
use super::fetch::{self, Connections, Reply, Roots, Target};
use super::local::Blocking;
use super::place::{self, described};
use super::{ApiServerSettings, Asked, Cause, Phase, RequestError};
use crate::fs;

/// How an API server is reached: found anew each time.
#[derive(Debug)]
pub(crate) struct Reach {
    settings: ApiServerSettings,
    connections: Connections,
    files: Blocking<Result<Access, Cause>>,
    plugin: Blocking<Result<Credentials, Cause>>,
    given: Option<(Credentials, Instant)>,
}

impl Reach {
    /// Nothing is read yet.
    pub(crate) fn new(settings: ApiServerSettings) -> Self {
        Self::sharing(settings, Connections::default())
    }

    /// The same, sending its requests over connections that others use too.
    pub(crate) fn sharing(settings: ApiServerSettings, connections: Connections) -> Self {
        Self {
            settings,
            connections,
            files: Blocking::default(),
            plugin: Blocking::default(),
            given: None,
        }
    }

    /// Sends one request to the API server's REST interface, over a connection that is shared. A write must name what it
    /// replaces: it may be sent twice.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        json: Option<Bytes>,
    ) -> Result<Reply, RequestError> {
        let had_credentials = self.has_credentials();
        let sent = self.send_once(method.clone(), path, json.clone()).await;
        match &sent {
            // Refused before anything was done.
            Err(error) if had_credentials && self.renews_after(&error.cause) => {
                self.send_once(method, path, json).await
            }
            _ => sent,
        }
    }

    async fn send_once(
        &mut self,
        method: Method,
        path: &str,
        json: Option<Bytes>,
    ) -> Result<Reply, RequestError> {
        let target = self
            .target()
            .await
            .map_err(|cause| RequestError::new(Asked::ConfigMap, self.described(), cause))?;
        let url = fetch::below(&target.base, path);
        let sent = self.connections.send(&target, method, &url, json).await;
        sent.map_err(|cause| RequestError::new(Asked::ConfigMap, fetch::shown(&url), cause))
    }

    /// Where to connect, as what: read anew from files, variables and plugins.
    pub(crate) async fn target(&mut self) -> Result<Target, Cause> {
        let settings = self.settings.clone();
        let read = move || place::read(&settings);
        let mut access = self.files.run(Phase::File, fs::TIMEOUT, read).await??;
        if let Some(exec) = access.exec.take() {
            self.credentials(exec).await?.give(&mut access)?;
        }
        Ok(Target {
            base: access.server,
            roots: access
                .roots
                .unwrap_or_else(|| Roots::System(self.connections.system_roots())),
            server_name: access.server_name,
            identity: access.identity.map(Arc::new),
            headers: access.headers,
            proxy: access.proxy,
            timeout: super::timeout(self.settings.timeout),
        })
    }

    /// What the settings name, for a person: while no address is known yet.
    pub(crate) fn described(&self) -> String {
        described(&self.settings)
    }

    /// Whether a plugin gave credentials before.
    pub(crate) fn has_credentials(&self) -> bool {
        self.given.is_some()
    }

    /// Whether it is worth another try: what the plugin once gave has ended.
    pub(crate) fn renews_after(&mut self, cause: &Cause) -> bool {
        matches!(cause, Cause::Unauthorized { .. }) && self.given.take().is_some()
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
