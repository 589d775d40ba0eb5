//! The places that connections take, and who has them.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

/// The places of one listener, or of several that share a limit. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    places: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    peer: Option<SocketAddr>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Table {
    /// So many connections may be open at once.
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            tasks: TaskTracker::new(),
        }
    }

    /// A place, if one is free.
    pub(super) fn try_place(&self, peer: Option<SocketAddr>) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place {
            peer,
            _permit: Some(permit),
        })
    }

    /// A place, once one is free.
    pub(super) async fn place(&self, peer: Option<SocketAddr>) -> Place {
        Place {
            peer,
            // It is never closed.
            _permit: Arc::clone(&self.places).acquire_owned().await.ok(),
        }
    }

    /// Whether no place is free.
    pub(crate) fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Runs the task of a connection.
    pub(super) fn spawn(&self, serving: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(serving);
    }

    /// Waits until no connection is served any more. No more are to come.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Place {
    /// Who is connected; unknown for a Unix socket.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}
