//! The open connections, and which of them has been idle for longest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::IDLE;
use super::entry::Entry;
use super::network::Network;

/// A look at all connections finds at most so many that may be closed one after the other.
const CANDIDATES: usize = 256;

/// For so long what a look has found may be used.
const FRESH: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Open {
    /// By address of the entry.
    entries: HashMap<usize, Arc<Entry>>,
    /// Connections by network.
    networks: HashMap<Option<Network>, usize>,
    /// What the last look found, the longest idle last.
    candidates: Vec<Candidate>,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Candidate {
    entry: Weak<Entry>,
    since: Instant,
    trusted: bool,
}

/// In which order connections give way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    trusted: bool,
    most: Reverse<usize>,
}

impl Rank {
    const LAST: Self = Self {
        trusted: true,
        most: Reverse(0),
    };

    fn connections(self) -> usize {
        self.most.0
    }
}

impl Open {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn connections_of(&self, network: Network) -> usize {
        self.networks.get(&Some(network)).copied().unwrap_or(0)
    }

    pub(super) fn insert(&mut self, entry: &Arc<Entry>) {
        self.entries.insert(key(entry), Arc::clone(entry));
        *self.networks.entry(entry.network()).or_default() += 1;
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, entry: &Arc<Entry>) -> bool {
        if self.entries.remove(&key(entry)).is_none() {
            return false;
        }
        if let Some(count) = self.networks.get_mut(&entry.network()) {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&entry.network());
            }
        }
        true
    }

    /// The connection to close next: of those that have been idle for `grace` one that is not trusted if there is any,
    /// of the address that has most connections, the longest idle.
    pub(super) fn longest_idle(&mut self, now: Instant, grace: Duration) -> Option<Arc<Entry>> {
        if self.looked.is_some_and(|at| now.duration_since(at) < FRESH)
            && let Some(found) = self.next(now, grace)
        {
            return Some(found);
        }
        self.look(now, grace);
        self.next(now, grace)
    }

    /// The next of those that were found, if it is still as it was found.
    fn next(&mut self, now: Instant, grace: Duration) -> Option<Arc<Entry>> {
        while let Some(candidate) = self.candidates.pop() {
            let Some(entry) = candidate.entry.upgrade() else {
                continue;
            };
            let unchanged = self.entries.contains_key(&key(&entry))
                && entry.is_trusted() == candidate.trusted
                && entry.idle_since(now, grace) == Some(candidate.since);
            if unchanged {
                return Some(entry);
            }
        }
        None
    }

    fn look(&mut self, now: Instant, grace: Duration) {
        self.looked = Some(now);
        let (mut rank, mut idle) = self.of_most(now, Duration::ZERO);
        // One that has asked nothing yet is waited for: otherwise new connections without end would drive out those
        // of all other addresses.
        let is_new = |entry: &Arc<Entry>| entry.activity().last_request().is_none();
        let awaits_new = idle.iter().any(|(_, entry)| is_new(entry));
        idle.retain(|(since, _)| now.saturating_duration_since(*since) >= grace);
        if idle.is_empty() && !awaits_new {
            (rank, idle) = self.of_most(now, grace.max(IDLE));
        }
        idle.sort_unstable_by_key(|(since, _)| *since);
        idle.truncate(self.until_another_has_most(rank.connections()));
        self.candidates = idle
            .into_iter()
            .rev()
            .map(|(since, entry)| Candidate {
                entry: Arc::downgrade(entry),
                since,
                trusted: rank.trusted,
            })
            .collect();
    }

    /// The connections that have been idle for `grace`, of the address that has most; trusted ones only where there
    /// are no others.
    fn of_most(&self, now: Instant, grace: Duration) -> (Rank, Vec<(Instant, &Arc<Entry>)>) {
        let mut first = Rank::LAST;
        let mut idle = Vec::new();
        for entry in self.entries.values() {
            let Some(since) = entry.idle_since(now, grace) else {
                continue;
            };
            let connections = self.networks.get(&entry.network()).copied().unwrap_or(0);
            let rank = Rank {
                trusted: entry.is_trusted(),
                most: Reverse(connections),
            };
            if rank < first {
                first = rank;
                idle.clear();
            }
            if rank == first {
                idle.push((since, entry));
            }
        }
        (first, idle)
    }

    /// How many connections the addresses that have `most` can lose until another has as many.
    fn until_another_has_most(&self, most: usize) -> usize {
        let mut counts = BTreeMap::<usize, usize>::new();
        for count in self.networks.values() {
            *counts.entry(*count).or_default() += 1;
        }
        let addresses = counts.get(&most).copied().unwrap_or(1);
        let next = counts.range(..most).next_back().map_or(0, |(count, _)| *count);
        if addresses == 1 {
            (most - next).clamp(1, CANDIDATES)
        } else if most == 1 {
            CANDIDATES
        } else {
            1
        }
    }
}

fn key(entry: &Arc<Entry>) -> usize {
    Arc::as_ptr(entry).addr()
}
