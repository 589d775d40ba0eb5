//! A JWKS at a URL: another issuer's, or one that a pipeline uploads. It names no issuer, so none is checked.

use url::Url;
use zeroize::Zeroizing;

use super::{Asked, Cause, JwksSettings, ReadError, parse};
use crate::client::fetch::{self, Proxy, Roots, Session, SystemRoots, Target, bearer};
use crate::client::{self, Blocking, Phase, read_token, roots};
use crate::fs;
use crate::ring::Listing;

#[derive(Debug)]
pub(super) struct Jwks {
    settings: JwksSettings,
    system_roots: SystemRoots,
    files: Blocking<Result<Files, client::Cause>>,
}

/// What is wrong with the files that a read needs, each with its field.
pub(super) fn faults(settings: &JwksSettings) -> Vec<(&'static str, client::Cause)> {
    let ca = ca(settings).err().map(|cause| ("caFile", cause));
    let token = token(settings).err().map(|cause| ("tokenFile", cause));
    ca.into_iter().chain(token).collect()
}

fn ca(settings: &JwksSettings) -> Result<Option<Roots>, client::Cause> {
    let path = settings.ca_file.as_deref();
    path.map(|path| roots("caFile", path)).transpose()
}

fn token(settings: &JwksSettings) -> Result<Option<Zeroizing<String>>, client::Cause> {
    settings.token_file.as_deref().map(read_token).transpose()
}

/// What the files that the settings name hold.
#[derive(Debug)]
struct Files {
    roots: Option<Roots>,
    token: Option<Zeroizing<String>>,
}

impl Jwks {
    pub(super) fn new(settings: JwksSettings) -> Self {
        Self {
            settings,
            system_roots: SystemRoots,
            files: Blocking::default(),
        }
    }

    pub(super) async fn read(&mut self) -> Result<Listing, ReadError> {
        let Ok(url) = Url::parse(&self.settings.url) else {
            let cause = client::Cause::Settings {
                reason: "the url of the JWKS is not a URL".into(),
                remedy: "Give it as https://HOST[:PORT]/PATH.".into(),
            };
            return Err(ReadError::new(Asked::Jwks, "jwks", cause));
        };
        let place = fetch::shown(&url);
        let failed = |cause| ReadError::new(Asked::Jwks, place.clone(), cause);
        let unread = |cause| failed(Cause::Request(cause));
        let target = self.target(&url).await.map_err(unread)?;
        let mut session = Session::open(&target).await.map_err(unread)?;
        let answer = session.get(&url).await.map_err(unread)?;
        let parsed = parse::jwks(&answer.body).await.map_err(failed)?;
        if parsed.keys.is_empty() {
            return Err(ReadError::nothing_publishable(
                Asked::Jwks,
                place,
                parsed.quarantined,
            ));
        }
        Ok(Listing {
            keys: parsed.keys,
            quarantined: parsed.quarantined,
            issuer: None,
            max_age: answer.max_age.and_then(|age| age.try_into().ok()),
            complete: true,
            ..Listing::default()
        })
    }

    async fn target(&mut self, url: &Url) -> Result<Target, client::Cause> {
        let settings = self.settings.clone();
        let timeout = settings.timeout;
        let read = move || {
            Ok(Files {
                roots: ca(&settings)?,
                token: token(&settings)?,
            })
        };
        let files = self.files.run(Phase::File, fs::TIMEOUT, read).await??;
        Ok(Target {
            base: url.clone(),
            roots: files
                .roots
                .unwrap_or_else(|| Roots::System(self.system_roots.clone())),
            server_name: None,
            identity: None,
            headers: files
                .token
                .as_ref()
                .and_then(|token| bearer(token))
                .into_iter()
                .collect(),
            proxy: Proxy::Environment,
            timeout: client::timeout(timeout),
        })
    }
}
