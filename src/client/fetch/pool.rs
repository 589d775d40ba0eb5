//! Connections that are kept for the next request, for the requests of a store: each of many issuers asks the same API
//! server every few seconds, and to whom a balancer leads it matters to none of them.
//!
//! Sources never use them: their next read is to meet another replica.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::Url;

use super::{Connection, Deadline, Identity, MAX_OBJECT, Proxy, Reply, Roots, Session, SystemRoots, Target};
use super::{check, headers, request};
use crate::client::Cause;

/// How long a connection is used: after that, a balancer may lead to a replica that came meanwhile.
const LIFETIME: Duration = Duration::from_mins(1);

/// How many are used at a time, as a rule, and kept while nobody uses them.
const FEW: usize = 16;

/// How long a request waits for one of those few. When all issuers ask at once, as at the start, one that another is done
/// with comes sooner than one of its own; where the server is slow or hangs, nobody waits for the others.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long is waited, after an answer, for its connection to be ready for the next request.
const SETTLES: Duration = Duration::from_millis(100);

/// Connections that requests share. Cheap to clone: every clone has the same ones.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Inner>);

struct Inner {
    /// The one that was used last is at the end.
    idle: Mutex<Vec<Idle>>,
    turns: Semaphore,
    patience: Duration,
    system_roots: SystemRoots,
}

/// A connection whose last answer was read to its end.
struct Idle {
    way: Way,
    connection: Connection,
}

/// All that decides who is at the other end, and as whom it knows us: a connection is used again only where all of it is
/// the same, so that a CA, a certificate or a kubeconfig that was replaced never meets an old one. A bearer token is not
/// part of it, for it is sent with each request.
#[derive(Clone, PartialEq)]
struct Way {
    base: Url,
    roots: Roots,
    server_name: Option<String>,
    identity: Option<Arc<Identity>>,
    proxy: Proxy,
}

impl Connections {
    /// Of which a request waits so long for one of the few.
    pub(crate) fn new(patience: Duration) -> Self {
        Self(Arc::new(Inner {
            idle: Mutex::default(),
            turns: Semaphore::new(FEW),
            patience,
            system_roots: SystemRoots,
        }))
    }

    /// Sends a request, `url` being below the target. Where a connection that was used before turns out to have ended,
    /// it is sent once more, over a new one and within the same time.
    ///
    /// Nobody knows whether a request that was interrupted was done. So a write must be conditional, as those of a store
    /// are: a POST creates a name, a PUT names the `resourceVersion` that it replaces. If the first one was done, the
    /// second is answered 409, like a race that another replica has won: its sender reads, finds its own ledger, and has
    /// nothing left to write.
    pub(crate) async fn send(
        &self,
        target: &Target,
        method: Method,
        url: &Url,
        json: Option<Bytes>,
    ) -> Result<Reply, Cause> {
        check(&target.base)?;
        let headers = headers(target)?;
        let request = request(method, url, headers, json)?;
        let response = self.exchange(target, &request, MAX_OBJECT).await?;
        Reply::of(response, &target.sent())
    }

    /// Sends a request as it is, with its own headers, and gives back the answer whatever its status is. The body has at
    /// most `limit` bytes. Sent twice like the others.
    pub(crate) async fn exchange(
        &self,
        target: &Target,
        request: &Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<Response<Bytes>, Cause> {
        let deadline = Deadline::new(target.timeout);
        let way = Way::of(target);
        // Given back at the end of the request. It is never closed.
        let _turn = timeout(self.0.patience, self.0.turns.acquire()).await;
        let connection = match self.idle(&way) {
            Some(connection) => connection,
            None => Connection::open(target, deadline).await?,
        };
        let is_reused = connection.has_answered;
        let mut doubt = Doubt {
            of: is_reused.then_some(&way),
            connections: self,
        };
        let mut session = Session {
            target,
            headers: HeaderMap::new(),
            deadline,
            connection,
        };
        let mut answered = session.exchange(request.clone(), limit).await;
        if !matches!(answered, Err(Cause::Interrupted { .. } | Cause::Timeout { .. })) {
            doubt.of = None;
        }
        drop(doubt);
        if is_reused && matches!(answered, Err(Cause::Interrupted { .. })) {
            session.connection = Connection::open(target, deadline).await?;
            answered = session.exchange(request.clone(), limit).await;
        }
        // Any other is closed, also where this future is dropped half-way: who knows what would come over it next?
        if answered.as_ref().is_ok_and(|answer| is_usual(answer.status())) {
            self.keep(way, session.connection).await;
        }
        answered
    }

    /// The CAs of the operating system, for all who share the connections.
    pub(crate) fn system_roots(&self) -> SystemRoots {
        self.0.system_roots.clone()
    }

    /// Takes one that leads this way. It may have ended all the same: nobody knows before it is used.
    fn idle(&self, way: &Way) -> Option<Connection> {
        let mut idle = self.alive();
        let last = idle.iter().rposition(|idle| idle.way == *way)?;
        Some(idle.remove(last).connection)
    }

    /// Keeps one for the next request, if it becomes ready: not where the server ends it, or answered before it had read the
    /// whole request, or sent more than its answer, which the next request would take for its own.
    async fn keep(&self, way: Way, mut connection: Connection) {
        let ready = timeout(SETTLES, connection.sender.ready()).await;
        if !matches!(ready, Ok(Ok(()))) {
            return;
        }
        connection.has_answered = true;
        let mut idle = self.alive();
        if idle.len() == FEW {
            idle.remove(0);
        }
        idle.push(Idle { way, connection });
    }

    /// Those that may still be used; the others are closed.
    fn alive(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Entries come and go as a whole, so a panic elsewhere leaves them so.
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|Idle { connection, .. }| {
            connection.opened.elapsed() < LIFETIME && !connection.sender.is_closed()
        });
        idle
    }
}

/// Of a server that does its work: after any other answer the next request begins anew.
fn is_usual(status: StatusCode) -> bool {
    status.is_success()
        || [
            StatusCode::NOT_MODIFIED,
            StatusCode::NOT_FOUND,
            StatusCode::CONFLICT,
            StatusCode::PRECONDITION_FAILED,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ]
        .contains(&status)
}

impl Default for Connections {
    fn default() -> Self {
        Self::new(PATIENCE)
    }
}

/// Where they lead is nobody's business, and as whom even less.
impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connections({} idle)", self.alive().len())
    }
}

/// Closes the idle ones when a used one gave no answer, or was not waited for any longer. What befell one befalls the
/// others: a server that hangs costs one request its time, and not one for each of them.
struct Doubt<'a> {
    of: Option<&'a Way>,
    connections: &'a Connections,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if let Some(way) = self.of {
            self.connections.alive().retain(|idle| idle.way != *way);
        }
    }
}

impl Way {
    fn of(target: &Target) -> Self {
        Self {
            base: target.base.clone(),
            roots: target.roots.clone(),
            server_name: target.server_name.clone(),
            identity: target.identity.clone(),
            proxy: target.proxy.clone(),
        }
    }
}
