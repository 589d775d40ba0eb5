//! A Kubernetes API server: `/.well-known/openid-configuration` for the issuer that the cluster claims, and
//! `/openid/v1/jwks` for its keys (kubernetes `pkg/routes/openidmetadata.go`).
//!
//! In the cluster each replica of it is asked: in the middle of a rollout they list different keys.

mod documents;
mod endpoints;
mod slice;

use std::sync::Arc;

use self::documents::Documents;
use self::endpoints::Endpoints;
use super::{Accepted, ApiServerSettings, Asked, Cause, ReadError, Survey};
use crate::client::Reach;
use crate::ring::Listing;

#[derive(Debug)]
pub(super) struct ApiServer {
    reach: Reach,
    accepted: Option<Arc<Accepted>>,
    /// `None`: the one address is asked, over a new connection each time.
    endpoints: Option<Endpoints>,
}

impl ApiServer {
    pub(super) fn new(settings: ApiServerSettings) -> Self {
        Self {
            endpoints: settings.asks_endpoints().then(Endpoints::default),
            reach: Reach::new(settings),
            accepted: None,
        }
    }

    pub(super) fn accepting(&mut self, accepted: Accepted) {
        self.accepted = Some(Arc::new(accepted));
    }

    pub(super) fn survey(&self) -> Option<&Survey> {
        self.endpoints.as_ref().and_then(Endpoints::survey)
    }

    pub(super) async fn read(&mut self) -> Result<Listing, ReadError> {
        let had_credentials = self.reach.has_credentials();
        let read = self.read_once().await;
        match &read {
            Err(error) if had_credentials && self.renews_after(error) => self.read_once().await,
            _ => read,
        }
    }

    /// Whether it is worth another try: what the plugin once gave has ended.
    fn renews_after(&mut self, error: &ReadError) -> bool {
        matches!(error.cause(), Cause::Request(cause) if self.reach.renews_after(cause))
    }

    async fn read_once(&mut self) -> Result<Listing, ReadError> {
        if let Some(endpoints) = &mut self.endpoints {
            endpoints.begin();
        }
        let target = self
            .reach
            .target()
            .await
            .map_err(|cause| ReadError::new(Asked::ApiServer, self.reach.described(), cause))?;
        match &mut self.endpoints {
            None => Ok(documents::read(&target, self.accepted.as_deref())
                .await?
                .into_listing()),
            Some(endpoints) => endpoints.read(&target, self.accepted.as_ref()).await,
        }
    }
}

impl Documents {
    /// All that one address said.
    fn into_listing(self) -> Listing {
        Listing {
            keys: self.keys,
            quarantined: self.quarantined,
            issuer: Some(self.issuer),
            max_age: self.max_age.and_then(|age| age.try_into().ok()),
            complete: true,
            ..Listing::default()
        }
    }
}
