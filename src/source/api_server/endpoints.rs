//! Every replica of an API server, each asked on its own.
//!
//! Which ones there are is read each time, at the one address that leads to some of them, or where that fails from one
//! of those that were known. A replica that cannot be read is silent: what the others list is published, and nothing is
//! taken for absent.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::documents::{self, Documents};
use super::slice::Slice;
use crate::client;
use crate::client::fetch::{self, Session, Target};
use crate::fs::panic_message;
use crate::key::{MAX_BYTES, Quarantined};
use crate::ring::{EndpointReading, Listing};
use crate::source::survey::{Survey, Surveyed};
use crate::source::{Accepted, Asked, Cause, ReadError};

/// The slice of the service `kubernetes`, which bears its name: that name alone needs to be granted.
const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";

/// The name that the certificate of every API server has, since it is the one that pods are told.
const SERVER_NAME: &str = "kubernetes.default.svc";

/// Connections at a time.
const AT_ONCE: usize = 16;

/// So many refusals in a row are believed where endpoints are known: an API server that is only just starting refuses
/// what it will allow a moment later, and a slice may be made anew.
const REFUSALS: u32 = 3;

/// After so many reads it is tried again whether the endpoints may be listed by now: a minute, as a rule.
const PAUSE: u32 = 6;

/// What is known of the endpoints between two reads.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    known: Vec<SocketAddr>,
    /// How often in a row we were not allowed to list them, or they were not there.
    refusals: u32,
    /// Reads without trying to.
    pause: u32,
    /// Why they could not be listed, when it was last tried.
    unlisted: Option<ReadError>,
    survey: Option<Survey>,
}

/// Who is to be asked.
enum Whom {
    /// Those known; they are all there are.
    Known { partial: bool },
    /// Those last known; each is asked who else there is.
    LastKnown,
    /// The one address.
    Address { complete: bool },
}

/// What one endpoint said.
struct Answered {
    endpoint: Arc<str>,
    documents: Result<Documents, ReadError>,
    /// Who there is, where that was asked and answered.
    slice: Option<Slice>,
}

impl Endpoints {
    pub(super) fn survey(&self) -> Option<&Survey> {
        self.survey.as_ref()
    }

    /// A new read begins, of which nothing is known yet.
    pub(super) fn begin(&mut self) {
        self.survey = None;
    }

    pub(super) async fn read(
        &mut self,
        target: &Target,
        accepted: Option<&Arc<Accepted>>,
    ) -> Result<Listing, ReadError> {
        let (mut answers, mut complete) = match self.whom(target).await {
            Whom::Address { complete } => {
                self.survey_of(&[]);
                let documents = documents::read(target, accepted.map(AsRef::as_ref)).await?;
                return Ok(Listing {
                    complete,
                    ..documents.into_listing()
                });
            }
            Whom::Known { partial } => (ask(target, &self.known, accepted, false).await, !partial),
            Whom::LastKnown => (ask(target, &self.known, accepted, true).await, false),
        };
        if let Some(slice) = answers.iter_mut().find_map(|answer| answer.slice.take()) {
            let there: HashSet<_> = slice.addresses.iter().map(ToString::to_string).collect();
            answers.retain(|answer| there.contains(&*answer.endpoint));
            let is_new = |address: &SocketAddr| !self.known.contains(address);
            let new: Vec<_> = slice.addresses.iter().copied().filter(is_new).collect();
            answers.extend(ask(target, &new, accepted, false).await);
            complete = slice.partial.is_none();
            self.learn(slice, target);
        }
        self.survey_of(&answers);
        if answers.iter().any(|answer| answer.documents.is_ok()) {
            return Ok(listing(answers, complete));
        }
        self.last_resort(target, accepted, answers).await
    }

    fn survey_of(&mut self, answers: &[Answered]) {
        self.survey = Some(Survey {
            unlisted: self.unlisted.clone(),
            endpoints: answers.iter().map(Surveyed::of).collect(),
        });
    }

    /// Reads the slice at the one address.
    async fn whom(&mut self, target: &Target) -> Whom {
        if self.pause > 0 {
            self.pause -= 1;
            return Whom::Address { complete: true };
        }
        let error = match slice(target).await {
            Ok(slice) => {
                let partial = slice.partial.is_some();
                self.learn(slice, target);
                return if self.known.is_empty() {
                    Whom::Address { complete: !partial }
                } else {
                    Whom::Known { partial }
                };
            }
            Err(error) => error,
        };
        let is_refused = matches!(
            error.cause(),
            Cause::Request(client::Cause::Forbidden { .. } | client::Cause::NotFound)
        );
        self.unlisted = Some(error);
        if is_refused {
            self.refusals += 1;
            if self.known.is_empty() || self.refusals >= REFUSALS {
                self.known.clear();
                self.pause = PAUSE - 1;
                return Whom::Address { complete: true };
            }
        }
        if self.known.is_empty() {
            Whom::Address { complete: false }
        } else {
            Whom::LastKnown
        }
    }

    fn learn(&mut self, slice: Slice, target: &Target) {
        self.refusals = 0;
        self.known = slice.addresses;
        self.unlisted = slice.partial.map(|cause| slice_error(target, cause));
    }

    /// None could be read: the one address may still lead to one, past a firewall, or with a certificate that lacks the
    /// usual name. If it does not, the most telling error is that of the read.
    async fn last_resort(
        &self,
        target: &Target,
        accepted: Option<&Arc<Accepted>>,
        mut answers: Vec<Answered>,
    ) -> Result<Listing, ReadError> {
        // Where it did not even give the slice, it is not asked for more.
        if self.unlisted.is_none() {
            answers.push(Answered {
                endpoint: fetch::authority(&target.base).into(),
                documents: documents::read(target, accepted.map(AsRef::as_ref)).await,
                slice: None,
            });
        }
        let is_read = |answer: &Answered| answer.documents.is_ok();
        if answers.last().is_some_and(is_read) {
            return Ok(listing(answers, false));
        }
        let errors = answers.into_iter().filter_map(|answer| answer.documents.err());
        let mut told: Option<ReadError> = None;
        for error in errors.chain(self.unlisted.clone()) {
            let tells_more = |known: &ReadError| error.cause().telling() > known.cause().telling();
            if told.as_ref().is_none_or(tells_more) {
                told = Some(error);
            }
        }
        Err(told.unwrap_or_else(|| slice_error(target, Cause::NoKeys)))
    }
}

impl Surveyed {
    fn of(answer: &Answered) -> Self {
        Self {
            endpoint: Arc::clone(&answer.endpoint),
            issuer: answer.documents.as_ref().ok().map(|said| said.issuer.clone()),
            failure: answer.documents.as_ref().err().cloned(),
        }
    }
}

/// The endpoints that there are, as the server at this address says.
async fn slice(target: &Target) -> Result<Slice, ReadError> {
    let read = async { slice_over(&mut Session::open(target).await?, target).await };
    read.await.map_err(|cause| slice_error(target, cause))
}

async fn slice_over(session: &mut Session<'_>, target: &Target) -> Result<Slice, client::Cause> {
    let answer = session.get(&fetch::below(&target.base, SLICE)).await?;
    Slice::parse(&answer.body)
}

fn slice_error(target: &Target, cause: impl Into<Cause>) -> ReadError {
    let place = fetch::shown(&fetch::below(&target.base, SLICE));
    ReadError::new(Asked::EndpointSlice, place, cause)
}

/// Asks all of them at once, each over a connection of its own and within the time of one read.
async fn ask(
    target: &Target,
    endpoints: &[SocketAddr],
    accepted: Option<&Arc<Accepted>>,
    wants_slice: bool,
) -> Vec<Answered> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    // What they list together has the bound of one document; each has its share, which no other can take.
    let limit = MAX_BYTES / endpoints.len().max(1);
    let asked: Vec<_> = endpoints
        .iter()
        .map(|address| {
            let (target, accepted) = (at(target, *address), accepted.cloned());
            let places = Arc::clone(&places);
            AbortOnDropHandle::new(tokio::spawn(async move {
                // It is never closed.
                let _place = places.acquire().await;
                documents_and_slice(&target, accepted.as_deref(), limit, wants_slice).await
            }))
        })
        .collect();
    let mut answers = Vec::with_capacity(asked.len());
    for (address, asked) in endpoints.iter().zip(asked) {
        let endpoint: Arc<str> = address.to_string().into();
        let (documents, slice) = asked.await.unwrap_or_else(|panic| {
            let reason = panic_message(panic);
            let error = ReadError::new(Asked::ApiServer, &*endpoint, client::Cause::Internal { reason });
            (Err(error), None)
        });
        answers.push(Answered {
            endpoint,
            documents,
            slice,
        });
    }
    answers
}

/// The same credentials and CAs for one endpoint.
fn at(target: &Target, address: SocketAddr) -> Target {
    let mut endpoint = target.clone();
    // None of these fails: an address is a host, and https has ports.
    let _ = endpoint.base.set_scheme("https");
    let _ = endpoint.base.set_ip_host(address.ip());
    let _ = endpoint.base.set_port(Some(address.port()));
    endpoint.base.set_path("/");
    endpoint.server_name = Some(SERVER_NAME.to_owned());
    endpoint
}

async fn documents_and_slice(
    target: &Target,
    accepted: Option<&Accepted>,
    limit: usize,
    wants_slice: bool,
) -> (Result<Documents, ReadError>, Option<Slice>) {
    let mut session = match documents::open(target).await {
        Ok(session) => session,
        Err(error) => return (Err(error), None),
    };
    let documents = documents::read_over(&mut session, target, accepted, limit).await;
    if !wants_slice || documents.is_err() {
        return (documents, None);
    }
    // An empty one cannot be true: who answers is an endpoint.
    let slice = slice_over(&mut session, target).await.ok();
    (documents, slice.filter(|slice| !slice.addresses.is_empty()))
}

/// What they say together, and each alone.
fn listing(answers: Vec<Answered>, complete: bool) -> Listing {
    let mut listing = Listing {
        complete,
        ..Listing::default()
    };
    // A key that several list is one object.
    let mut known = HashMap::new();
    let mut max_age = None;
    for Answered {
        endpoint, documents, ..
    } in answers
    {
        let (keys, quarantined) = match documents {
            Err(error) => (None, error.quarantined().to_vec()),
            Ok(documents) => {
                let mut keys = Vec::with_capacity(documents.keys.len());
                for key in documents.keys {
                    let one = known.entry(key.id().clone()).or_insert_with(|| {
                        listing.keys.push(key.clone());
                        key
                    });
                    keys.push(one.clone());
                }
                listing.issuer.get_or_insert(documents.issuer);
                max_age = max_age.into_iter().chain(documents.max_age).min();
                (Some(keys), documents.quarantined)
            }
        };
        listing
            .quarantined
            .extend(quarantined.into_iter().map(|held| Quarantined {
                entry: format!("{endpoint}: {}", held.entry),
                ..held
            }));
        listing.endpoints.push(EndpointReading { endpoint, keys });
    }
    listing.max_age = max_age.and_then(|age| age.try_into().ok());
    listing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fetch::{Proxy, Roots, SystemRoots};
    use http::HeaderMap;

    #[test]
    fn an_endpoint_is_reached_at_its_own_address_over_https_by_the_usual_name() {
        for base in ["https://10.96.0.1", "http://127.0.0.1:8001/k8s/clusters/c-1?x=y"] {
            let target = Target {
                base: base.parse().unwrap(),
                roots: Roots::System(SystemRoots),
                server_name: Some("balancer.example".into()),
                identity: None,
                headers: HeaderMap::new(),
                proxy: Proxy::None,
                timeout: std::time::Duration::from_secs(1),
            };
            for (address, expected) in [
                ("10.0.0.1:6443", "https://10.0.0.1:6443/openid"),
                ("[fd00::1]:443", "https://[fd00::1]/openid"),
            ] {
                let endpoint = at(&target, address.parse().unwrap());
                assert_eq!(fetch::below(&endpoint.base, "/openid").as_str(), expected);
                assert_eq!(endpoint.server_name.as_deref(), Some(SERVER_NAME));
            }
        }
    }
}
