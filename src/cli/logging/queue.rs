//! The lines that wait to be written: a queue that is bounded in bytes, so that a reader of the log that stalls costs
//! lines, and never the service. Nothing waits for room: what matters less gives way.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// All lines that wait, with what each costs beside its text.
const MOST: usize = 4 << 20;

/// Of these, so many bytes are for errors and audit lines alone.
const RESERVE: usize = 1 << 20;

/// What a line costs beside its text.
const OVERHEAD: usize = 64;

/// Written at once.
const BATCH: usize = 64 << 10;

/// How much a line matters: the first is dropped first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Audit,
}

const RANKS: [Rank; 6] = [
    Rank::Trace,
    Rank::Debug,
    Rank::Info,
    Rank::Warn,
    Rank::Error,
    Rank::Audit,
];

impl Rank {
    /// As the metric names it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Audit => "audit",
        }
    }
}

/// One line, with its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) rank: Rank,
    pub(super) text: Box<[u8]>,
    /// Its place among all lines.
    number: u64,
}

impl Line {
    fn cost(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}

/// What was dropped and not told yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) lines: u64,
    /// Whether an error or an audit line is among them.
    pub(super) matters: bool,
}

/// The queue. Locks are held for a few instructions.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    count: Box<dyn Fn(Rank) + Send + Sync>,
}

#[derive(Debug, Default)]
struct State {
    lines: [VecDeque<Line>; RANKS.len()],
    costs: [usize; RANKS.len()],
    next: u64,
    is_writing: bool,
    untold: Dropped,
}

impl State {
    fn cost(&self) -> usize {
        self.costs.iter().sum()
    }

    fn is_empty(&self) -> bool {
        self.lines.iter().all(VecDeque::is_empty)
    }

    /// The oldest line of a rank.
    fn take(&mut self, rank: Rank) -> Option<Line> {
        let line = self.lines[rank as usize].pop_front()?;
        self.costs[rank as usize] -= line.cost();
        Some(line)
    }

    /// The oldest line of all.
    fn oldest(&mut self) -> Option<Line> {
        let fronts = RANKS.into_iter().filter_map(|rank| {
            let front = self.lines[rank as usize].front()?;
            Some((front.number, rank))
        });
        let (_, rank) = fronts.min_by_key(|(number, _)| *number)?;
        self.take(rank)
    }
}

impl Queue {
    /// `count` is told the rank of each line that is dropped.
    pub(super) fn new(count: impl Fn(Rank) + Send + Sync + 'static) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            count: Box::new(count),
        }
    }

    /// Never waits for the writer. Where there is no room, older lines that matter less are dropped, or this one.
    pub(super) fn push(&self, rank: Rank, text: &[u8]) {
        let mut state = self.locked();
        let line = Line {
            rank,
            text: text.into(),
            number: state.next,
        };
        state.next += 1;
        let most = if rank >= Rank::Error { MOST } else { MOST - RESERVE };
        let stays: usize = state.costs[rank as usize..].iter().sum();
        if stays + line.cost() > most {
            self.dropped(&mut state, rank);
            return;
        }
        for lower in RANKS.into_iter().filter(|lower| *lower < rank) {
            while state.cost() + line.cost() > most && state.take(lower).is_some() {
                self.dropped(&mut state, lower);
            }
        }
        state.costs[rank as usize] += line.cost();
        state.lines[rank as usize].push_back(line);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for lines, and takes some, oldest first. [`Self::written`] is to be called next.
    pub(super) fn take(&self) -> Vec<Line> {
        let state = self.locked();
        let waited = self.changed.wait_while(state, |state| state.is_empty());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH
            && let Some(line) = state.oldest()
        {
            bytes += line.text.len();
            batch.push(line);
        }
        state.is_writing = true;
        batch
    }

    /// What was taken was written, but for these lines.
    pub(super) fn written(&self, lost: &[Line]) {
        let mut state = self.locked();
        state.is_writing = false;
        for line in lost {
            self.dropped(&mut state, line.rank);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// What was dropped, once the writer keeps up again.
    pub(super) fn untold(&self) -> Option<Dropped> {
        let mut state = self.locked();
        let keeps_up = state.cost() < MOST / 4;
        (keeps_up && state.untold.lines > 0).then(|| std::mem::take(&mut state.untold))
    }

    /// Waits until all is written, so long at most.
    pub(super) fn flush(&self, within: Duration) {
        let state = self.locked();
        let is_busy = |state: &mut State| state.is_writing || !state.is_empty();
        // Whether all was written changes nothing any more.
        let _ = self.changed.wait_timeout_while(state, within, is_busy);
    }

    fn dropped(&self, state: &mut State, rank: Rank) {
        state.untold.lines += 1;
        state.untold.matters |= rank >= Rank::Error;
        (self.count)(rank);
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    type Counts = Arc<Mutex<BTreeMap<&'static str, u64>>>;

    fn queue() -> (Queue, Counts) {
        let counts = Counts::default();
        let counted = Arc::clone(&counts);
        let queue = Queue::new(move |rank| *counted.lock().unwrap().entry(rank.label()).or_default() += 1);
        (queue, counts)
    }

    fn count(counts: &Counts, rank: Rank) -> u64 {
        counts.lock().unwrap().get(rank.label()).copied().unwrap_or(0)
    }

    fn all(queue: &Queue) -> Vec<Line> {
        let mut all = Vec::new();
        while !queue.locked().is_empty() {
            all.extend(queue.take());
        }
        all
    }

    #[test]
    fn lines_leave_in_the_order_in_which_they_came() {
        let (queue, _) = queue();
        for (rank, text) in [(Rank::Info, "a"), (Rank::Error, "b"), (Rank::Debug, "c")] {
            queue.push(rank, text.as_bytes());
        }
        let texts: Vec<_> = all(&queue).into_iter().map(|line| line.text).collect();
        assert_eq!(texts, [Box::from(*b"a"), Box::from(*b"b"), Box::from(*b"c")]);
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_whatever_comes() {
        let (queue, counts) = queue();
        for number in 0..50_000_u32 {
            let rank = RANKS[number as usize % RANKS.len()];
            queue.push(rank, &vec![b'x'; number as usize % 700]);
            assert!(queue.locked().cost() <= MOST);
        }
        assert!(count(&counts, Rank::Trace) > 0);
        assert_eq!(count(&counts, Rank::Audit), 0);
        queue.push(Rank::Audit, &vec![b'x'; MOST]);
        assert_eq!(count(&counts, Rank::Audit), 1, "one that never fits");
        assert!(queue.locked().cost() > MOST / 2, "and drops nothing else");
    }

    #[test]
    fn errors_and_audit_lines_are_dropped_last() {
        let (queue, counts) = queue();
        let line = [b'x'; 1000];
        for _ in 0..5000 {
            queue.push(Rank::Info, &line);
        }
        assert!(count(&counts, Rank::Info) > 0, "it is full");
        for _ in 0..1000 {
            queue.push(Rank::Error, &line);
            queue.push(Rank::Audit, &line);
        }
        assert_eq!(count(&counts, Rank::Error) + count(&counts, Rank::Audit), 0);
        for _ in 0..5000 {
            queue.push(Rank::Error, &line);
        }
        assert_eq!(count(&counts, Rank::Audit), 0);
        let kept = all(&queue);
        let audits = kept.iter().filter(|line| line.rank == Rank::Audit).count();
        assert_eq!(audits, 1000);
        assert!(kept.iter().all(|line| line.rank >= Rank::Error));
    }

    #[test]
    fn what_was_dropped_is_told_once_and_only_when_the_writer_keeps_up() {
        let (queue, counts) = queue();
        for _ in 0..5000 {
            queue.push(Rank::Info, &[b'x'; 1000]);
        }
        assert_eq!(queue.untold(), None, "it is full");
        all(&queue);
        let lines = count(&counts, Rank::Info);
        assert_eq!(
            queue.untold(),
            Some(Dropped {
                lines,
                matters: false
            })
        );
        assert_eq!(queue.untold(), None);
    }

    #[test]
    fn a_flush_ends_in_time_where_nothing_is_written_and_at_once_where_all_is() {
        let (queue, _) = queue();
        queue.flush(Duration::from_hours(1));
        queue.push(Rank::Info, b"a");
        queue.flush(Duration::from_millis(10));
        queue.take();
        queue.flush(Duration::from_millis(10));
        queue.written(&[]);
        queue.flush(Duration::from_hours(1));
    }
}
