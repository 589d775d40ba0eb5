//! What is to be done when: one queue for all issuers, and one task that waits for the first of it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep_until};

/// Which issuer of the table. Never used twice in a process.
pub(super) type IssuerId = u64;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// A source is to be read: its place among those of the issuer.
    Read(u32),
    /// The key set may change by time alone.
    Settle,
    /// The issuer is made again after a panic.
    Restart,
}

/// One entry of the queue. What it was made for may be gone, or be due later by now: then it does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) issuer: IssuerId,
    pub(super) what: What,
    /// Of the appointments for this, which one it is.
    pub(super) number: u32,
}

/// So much later than due something may be: what is due within this is done in one go.
const TICK: Duration = Duration::from_millis(5);

/// The queue.
#[derive(Debug, Default)]
pub(super) struct DueQueue {
    heap: Mutex<BinaryHeap<Reverse<Due>>>,
    is_earlier: Notify,
}

impl DueQueue {
    /// Adds an entry.
    pub(super) fn add(&self, due: Due) {
        // Pushes are single steps, so a panic elsewhere leaves the heap whole.
        let mut heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = heap.peek().is_none_or(|Reverse(first)| due.at < first.at);
        heap.push(Reverse(due));
        drop(heap);
        if is_first {
            self.is_earlier.notify_one();
        }
    }

    /// Waits until something is due; all that is due then, first things first.
    pub(super) async fn next(&self) -> Vec<Due> {
        loop {
            let now = Instant::now();
            let first = {
                let mut heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
                let mut due = Vec::new();
                while let Some(Reverse(first)) = heap.peek()
                    && first.at <= now
                {
                    due.push(*first);
                    heap.pop();
                }
                if !due.is_empty() {
                    // After a burst of changes (100,000 issuers leave) its memory is given back.
                    if heap.capacity() > 1024 && heap.len() < heap.capacity() / 4 {
                        heap.shrink_to_fit();
                    }
                    return due;
                }
                heap.peek().map(|Reverse(first)| first.at)
            };
            match first {
                None => self.is_earlier.notified().await,
                Some(at) => tokio::select! {
                    () = sleep_until(at + TICK) => {}
                    () = self.is_earlier.notified() => {}
                },
            }
        }
    }

    /// Forgets what is of no use any more.
    pub(super) fn retain(&self, is_used: impl Fn(&Due) -> bool) {
        let mut heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        heap.retain(|Reverse(due)| is_used(due));
        heap.shrink_to_fit();
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(at: Instant, issuer: IssuerId) -> Due {
        Due {
            at,
            issuer,
            what: What::Settle,
            number: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_first_comes_first_whenever_it_was_added() {
        let queue = DueQueue::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        queue.add(due(at(30), 3));
        let wait = queue.next();
        let add = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            queue.add(due(at(20), 2));
            queue.add(due(at(10), 1));
            std::future::pending::<()>().await;
        };
        let first = tokio::select! { first = wait => first, () = add => unreachable!() };
        assert_eq!(first, [due(at(10), 1)]);
        assert!(Instant::now() >= at(10) && Instant::now() <= at(11));
        assert_eq!(queue.next().await, [due(at(20), 2)]);
        queue.add(due(at(25), 4));
        queue.retain(|due| due.issuer != 3);
        assert_eq!(queue.next().await, [due(at(25), 4)]);
        assert_eq!(queue.len(), 0);
    }
}
