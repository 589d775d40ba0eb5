//! One open connection, as the table knows it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::network::Network;
use crate::listen::activity::Activity;

/// What a connection takes of memory, at the most that was measured (see docs/performance.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// A TLS handshake, or HTTP/1.1 between two requests.
    Idle,
    /// HTTP/1.1 with a request under way, or with responses that wait for their reader.
    Active,
    /// HTTP/2.
    Http2,
    /// The connection has no place any more.
    Gone,
}

impl Cost {
    const ALL: [Self; 4] = [Self::Idle, Self::Active, Self::Http2, Self::Gone];

    pub(crate) fn bytes(self) -> usize {
        1024 * match self {
            Self::Idle => 12,
            Self::Active => 40,
            Self::Http2 => 48,
            Self::Gone => 0,
        }
    }

    fn index(self) -> u8 {
        self as u8
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    peer: Option<SocketAddr>,
    network: Option<Network>,
    activity: Arc<Activity>,
    cost: AtomicU8,
    trusted: AtomicBool,
    evicted: AtomicBool,
    /// Of the task of the connection.
    waker: OnceLock<Waker>,
}

impl Entry {
    pub(super) fn new(peer: Option<SocketAddr>, network: Option<Network>, activity: Arc<Activity>) -> Self {
        Self {
            peer,
            network,
            activity,
            cost: AtomicU8::new(Cost::Idle.index()),
            trusted: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
            waker: OnceLock::new(),
        }
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    pub(super) fn network(&self) -> Option<Network> {
        self.network
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    pub(super) fn trust(&self) {
        self.trusted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Relaxed)
    }

    pub(super) fn cost(&self) -> Cost {
        Cost::ALL[usize::from(self.cost.load(Ordering::Relaxed)) % Cost::ALL.len()]
    }

    /// Returns the cost before; `None` if the connection has lost its place.
    pub(super) fn set_cost(&self, cost: Cost) -> Option<Cost> {
        let set = self
            .cost
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
                (before != Cost::Gone.index()).then_some(cost.index())
            });
        set.ok()
            .map(|before| Cost::ALL[usize::from(before) % Cost::ALL.len()])
    }

    /// The connection has no place any more. Returns the bytes that it took.
    pub(super) fn leave(&self) -> usize {
        self.set_cost(Cost::Gone).map_or(0, Cost::bytes)
    }

    /// Since when the connection has been idle, if for so long.
    pub(super) fn idle_since(&self, now: Instant, grace: Duration) -> Option<Instant> {
        let since = self.activity.idle_since()?;
        (now.saturating_duration_since(since) >= grace).then_some(since)
    }

    /// Tells the task of the connection to end.
    pub(super) fn evict(&self) {
        self.evicted.store(true, Ordering::SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::SeqCst)
    }

    /// A task keeps its waker for its life.
    pub(super) fn woken_by(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }
}
