//! The places that connections take, and which connection gives way when they run short.
//!
//! When 90 % of the places are taken, a new connection closes an idle one: the longest idle connection of the address
//! that has most. It must have been idle for [`IDLE`]; after connections had to wait for [`WAITED`], for [`BRIEFLY`].
//! Where all connections of that address are active, idle ones of other addresses give way.
//! A connection whose request is being answered is never closed, and one that has shown a certificate only when no
//! other can be. The same holds where the memory that connections may take runs short.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::activity::Activity;

mod entry;
mod network;
mod open;

pub(crate) use entry::Cost;
use entry::Entry;
pub(crate) use network::Network;
use open::Open;

/// A connection that has been idle for this long gives way as soon as another needs its place.
const IDLE: Duration = Duration::from_secs(2);

/// When connections have waited for this long, those that are idle for a shorter time give way too.
const WAITED: Duration = Duration::from_secs(1);

/// What a connection is given in any case: some round trips.
const BRIEFLY: Duration = Duration::from_millis(250);

/// How often a waiting connection looks for one that has become idle.
const LOOK: Duration = Duration::from_millis(50);

/// What all connections together, and those of one address, may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// Connections open at once.
    pub(crate) total: usize,
    /// Of one address (IPv6: of one /64 network).
    pub(crate) per_address: Option<usize>,
    /// Bytes that connections may take; `None` is no limit.
    pub(crate) memory: Option<usize>,
}

impl Places {
    /// Places without other limits.
    pub(crate) fn of(total: usize) -> Self {
        Self {
            total,
            per_address: None,
            memory: None,
        }
    }
}

/// The places of one listener, or of several that share a limit. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Table(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    places: Places,
    state: Mutex<State>,
    /// Bytes that the open connections are reckoned with.
    memory: AtomicUsize,
    freed: Notify,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct State {
    open: Open,
    /// Since when connections have had to wait, without a pause.
    crowded_since: Option<Instant>,
}

/// Why a connection does not get a place at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// All places are taken by connections that are not idle.
    Full,
    /// Its address has as many as it may.
    Address,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    table: Arc<Shared>,
    entry: Arc<Entry>,
}

impl Table {
    pub(crate) fn new(places: Places) -> Self {
        Self(Arc::new(Shared {
            places,
            state: Mutex::default(),
            memory: AtomicUsize::new(0),
            freed: Notify::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// A place, if one is free or can be made free at once.
    pub(super) fn try_place(&self, peer: Option<SocketAddr>) -> Result<Place, Refusal> {
        let now = Instant::now();
        let network = peer.map(|peer| Network::of(peer.ip()));
        let total = self.0.places.total;
        let mut state = self.0.locked();
        let state = &mut *state;
        if let (Some(most), Some(network)) = (self.0.places.per_address, network)
            && state.open.connections_of(network) >= most
        {
            return Err(Refusal::Address);
        }
        let nearly_full = |open: &Open| (open.len() + 1) * 10 >= total * 9;
        if nearly_full(&state.open) {
            if let Some(idle) = state.open.longest_idle(now, state.grace(now)) {
                self.0.close(&mut state.open, &idle);
            }
        } else {
            state.crowded_since = None;
        }
        if state.open.len() >= total {
            state.crowded_since.get_or_insert(now);
            return Err(Refusal::Full);
        }
        let entry = Arc::new(Entry::new(peer, network, Activity::begin()));
        state.open.insert(&entry);
        self.0.memory.fetch_add(entry.cost().bytes(), Relaxed);
        self.0.fit(state, now, &entry);
        Ok(Place {
            table: Arc::clone(&self.0),
            entry,
        })
    }

    /// A place, once there is one. `None` if its address has as many connections as it may.
    pub(super) async fn place(&self, peer: Option<SocketAddr>) -> Option<Place> {
        loop {
            match self.try_place(peer) {
                Ok(place) => return Some(place),
                Err(Refusal::Address) => return None,
                Err(Refusal::Full) => {
                    // Whichever comes first.
                    let _ = timeout(LOOK, self.0.freed.notified()).await;
                }
            }
        }
    }

    /// Runs the task of a connection until it ends, or loses its place.
    pub(super) fn spawn(&self, held: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(held);
    }

    /// Waits until no connection is served any more. No more are to come.
    pub(crate) async fn ended(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl State {
    /// How long a connection must have been idle to give way.
    fn grace(&self, now: Instant) -> Duration {
        let waited = self.crowded_since.map(|since| now.duration_since(since));
        if waited.is_some_and(|waited| waited >= WAITED) {
            BRIEFLY
        } else {
            IDLE
        }
    }
}

impl Shared {
    /// What is behind the lock is written in single steps, so a panic elsewhere leaves it whole.
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place away. Its task ends as soon as it runs.
    fn close(&self, open: &mut Open, entry: &Arc<Entry>) {
        if open.remove(entry) {
            self.memory.fetch_sub(entry.leave(), Relaxed);
        }
        entry.evict();
    }

    /// Closes idle connections until the others fit into memory, the longest idle first; `newest` only if nothing
    /// else is left.
    fn fit(&self, state: &mut State, now: Instant, newest: &Arc<Entry>) {
        let Some(most) = self.places.memory else {
            return;
        };
        while self.memory.load(Relaxed) > most {
            match state.open.longest_idle(now, Duration::ZERO) {
                Some(idle) if !Arc::ptr_eq(&idle, newest) => self.close(&mut state.open, &idle),
                _ => return,
            }
        }
    }
}

impl Place {
    /// Who is connected; unknown for a Unix socket.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.entry.peer()
    }

    /// What the connection is doing.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        self.entry.activity()
    }

    /// The connection is one that closes after those that are not: its client has shown a certificate.
    pub(crate) fn trust(&self) {
        self.entry.trust();
    }

    /// Whether the connection lost its place: it is dropped when its task pauses next.
    pub(crate) fn is_lost(&self) -> bool {
        self.entry.is_evicted()
    }

    /// What the connection takes from now on. Others may lose their places by it.
    pub(crate) fn costs(&self, cost: Cost) {
        let before = self.entry.set_cost(cost);
        let Some(before) = before.filter(|before| *before != cost) else {
            return;
        };
        self.table.memory.fetch_add(cost.bytes(), Relaxed);
        let now_taken = self.table.memory.fetch_sub(before.bytes(), Relaxed) - before.bytes();
        if self.table.places.memory.is_some_and(|most| now_taken > most) {
            self.table
                .fit(&mut self.table.locked(), Instant::now(), &self.entry);
        }
    }

    /// The future that `serve` makes of this place. It ends early if the place is lost.
    pub(super) fn hold<F>(self, serve: impl FnOnce(Self) -> F) -> impl Future<Output = ()> + Send + 'static
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let entry = Arc::clone(&self.entry);
        // On the heap, so that the task is not twice as large as the connection.
        let mut connection = Box::pin(serve(self));
        poll_fn(move |cx| {
            entry.woken_by(cx.waker());
            let poll = connection.as_mut().poll(cx);
            if entry.is_evicted() { Poll::Ready(()) } else { poll }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.table.locked();
        if state.open.remove(&self.entry) {
            self.table.memory.fetch_sub(self.entry.leave(), Relaxed);
        }
        drop(state);
        self.table.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
