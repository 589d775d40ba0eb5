//! One issuer in the table of the engine: its state while nothing happens, its mailbox, and the task that works for it while
//! something does.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::due::IssuerId;
use super::pace::Pace;
use super::places::Last;
use super::state::{Event, Issuer, Parts, Rested};
use crate::metrics::Details;
use crate::ring::Ledger;
use crate::source::Source;

/// An issuer as the engine knows it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: IssuerId,
    pub(super) parts: Parts,
    mailbox: Mutex<Mailbox>,
    readers: Mutex<Box<[Reader]>>,
    /// Told when the task that works for it has ended.
    rested: Notify,
}

#[derive(Debug)]
struct Mailbox {
    events: VecDeque<Event>,
    state: State,
    /// Panics in a row.
    panics: u32,
    /// Of the appointments to settle, the one that counts.
    appointment: u32,
    /// They end with the issuer.
    companions: Vec<(Companion, AbortOnDropHandle<()>)>,
}

/// A task that watches something for an issuer, for as long as that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Companion {
    /// The store that replicas share.
    Store,
    /// The files of a source.
    Files(u32),
}

/// Who has the issuer's state.
#[derive(Debug)]
enum State {
    /// Nobody yet, or no more after a panic: it is made when it is due.
    None,
    /// Nobody needs it now.
    Idle(Box<Issuer>),
    /// Nobody needs it now, and little has to be remembered.
    Resting(Box<Rested>),
    /// A task.
    Busy(Option<JoinHandle<()>>),
    /// The issuer is no longer here.
    Ended,
}

/// One source of an issuer.
#[derive(Debug)]
pub(super) struct Reader {
    /// `None` while it is being read.
    pub(super) source: Option<Box<Source>>,
    pub(super) pace: Pace,
    pub(super) last: Last,
    /// Whether it changed while it was being read.
    pub(super) again: bool,
    /// Of the appointments to read it, the one that counts.
    pub(super) appointment: u32,
}

impl Entry {
    pub(super) fn new(id: IssuerId, parts: Parts, readers: Vec<Reader>) -> Self {
        Self {
            id,
            parts,
            mailbox: Mutex::new(Mailbox {
                events: VecDeque::new(),
                state: State::None,
                panics: 0,
                appointment: 0,
                companions: Vec::new(),
            }),
            readers: Mutex::new(readers.into()),
            rested: Notify::new(),
        }
    }

    /// The sources. Each of its changes is one step, so a panic elsewhere leaves it whole.
    pub(super) fn readers(&self) -> MutexGuard<'_, Box<[Reader]>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event. `work` is called where nobody works for this issuer yet: it begins a task with its state, or one that
    /// makes it from the ledger.
    pub(super) fn push(&self, event: Event, work: impl FnOnce(Option<Box<Issuer>>) -> JoinHandle<()>) {
        let mut mailbox = self.mailbox();
        if matches!(mailbox.state, State::Ended) {
            return;
        }
        mailbox.events.push_back(event);
        mailbox.state = match mem::replace(&mut mailbox.state, State::None) {
            // The task waits for this lock before it looks for the next event.
            State::Idle(issuer) => State::Busy(Some(work(Some(issuer)))),
            // What it has rows of is to be there again before anybody sees that it is awake.
            State::Resting(rested) => {
                let issuer = Issuer::wake(self.parts.clone(), *rested);
                State::Busy(Some(work(issuer.map(Box::new))))
            }
            state => state,
        };
    }

    /// What an issuer at rest has rows of.
    pub(super) fn details(&self) -> Option<Details> {
        match &self.mailbox().state {
            State::Resting(rested) => rested.details(&self.parts),
            _ => None,
        }
    }

    /// The ledger of an issuer at rest.
    pub(super) fn ledger_at_rest(&self) -> Option<Ledger> {
        match &self.mailbox().state {
            State::Resting(rested) => rested.ledger(&self.parts),
            _ => None,
        }
    }

    /// Begins the task that makes the issuer's state, if there is none.
    pub(super) fn open(&self, work: impl FnOnce() -> JoinHandle<()>) {
        let mut mailbox = self.mailbox();
        if matches!(mailbox.state, State::None) {
            mailbox.state = State::Busy(Some(work()));
        }
    }

    /// The next event; where there is none the state is left here and the task ends.
    pub(super) fn next(&self, issuer: Box<Issuer>) -> Option<(Event, Box<Issuer>)> {
        let mut mailbox = self.mailbox();
        if let Some(event) = mailbox.events.pop_front() {
            return Some((event, issuer));
        }
        mailbox.events.shrink_to_fit();
        mailbox.panics = 0;
        if !matches!(mailbox.state, State::Ended) {
            mailbox.state = match issuer.rest() {
                Ok(rested) => State::Resting(Box::new(rested)),
                Err(issuer) => State::Idle(issuer),
            };
        }
        drop(mailbox);
        self.rested.notify_waiters();
        None
    }

    /// The task has panicked: the state is lost. How many times in a row that was before.
    pub(super) fn panicked(&self) -> Option<u32> {
        let mut mailbox = self.mailbox();
        if matches!(mailbox.state, State::Ended) {
            return None;
        }
        mailbox.state = State::None;
        mailbox.panics += 1;
        Some(mailbox.panics - 1)
    }

    /// A new appointment to settle; those before count no more.
    pub(super) fn appoint(&self) -> u32 {
        let mut mailbox = self.mailbox();
        mailbox.appointment = mailbox.appointment.wrapping_add(1);
        mailbox.appointment
    }

    /// Whether an appointment to settle still counts.
    pub(super) fn is_appointed(&self, number: u32) -> bool {
        let mailbox = self.mailbox();
        !matches!(mailbox.state, State::Ended) && mailbox.appointment == number
    }

    /// A task accompanies the issuer from now on, in the place of one of the same kind. It ends with the issuer.
    pub(super) fn accompany(&self, kind: Companion, task: JoinHandle<()>) {
        let task = AbortOnDropHandle::new(task);
        let mut mailbox = self.mailbox();
        mailbox.companions.retain(|(other, _)| *other != kind);
        if !matches!(mailbox.state, State::Ended) {
            mailbox.companions.push((kind, task));
        }
    }

    /// Whether the issuer is no longer here.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.mailbox().state, State::Ended)
    }

    /// Ends it. What its sources and commands still say is dropped.
    pub(super) fn end(&self) -> Ending {
        let mut mailbox = self.mailbox();
        mailbox.events = VecDeque::new();
        mailbox.companions = Vec::new();
        let state = mem::replace(&mut mailbox.state, State::Ended);
        drop(mailbox);
        match state {
            // Dropped outside of the lock: what it knows goes to its successor.
            State::Idle(issuer) => drop(issuer),
            State::Resting(rested) => drop(Issuer::wake(self.parts.clone(), *rested)),
            State::Busy(Some(task)) => {
                task.abort();
                return Ending(Some(task));
            }
            State::Busy(None) | State::None | State::Ended => {}
        }
        Ending(None)
    }
}

/// An issuer that is about to end.
pub(super) struct Ending(Option<JoinHandle<()>>);

impl Ending {
    /// Waits for its end: nothing is published after it.
    pub(super) async fn ended(self) {
        if let Some(task) = self.0 {
            let _ = task.await;
        }
    }
}
