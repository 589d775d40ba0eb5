//! Where operators' commands are taken to the issuers: each is an event in the mailbox of its issuer.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::engine::Engine;
use super::state::Event;
use crate::ring::{Command, Denied, Done, Outcome};

/// How long a command waits for the task of its issuer: it may wait for a disk, a second for each change before it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an answer waits for the shared store, so that it can tell whether the other replicas will know.
const STORED_WITHIN: Duration = Duration::from_secs(3);

/// So many issuers are named where another one was asked for.
const MAX_NAMED: usize = 20;

/// Takes commands to the issuers of this process, and knows them over reloads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk(pub(super) Engine);

/// A command under way.
#[derive(Debug)]
pub(super) struct Order {
    command: Command,
    by: String,
    answer: oneshot::Sender<Result<(Outcome, Timestamp), Denied>>,
}

/// A command was carried out: kept, published, and on its way to the other replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What came of it.
    pub outcome: Outcome,
    /// By the clock of the issuer.
    pub at: Timestamp,
    /// What stands in the way of its being kept: for a person.
    pub warnings: Vec<String>,
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No such issuer.
    #[error("no issuer {asked:?} is configured here; {}", there_is(known))]
    UnknownIssuer {
        /// What was asked for.
        asked: String,
        /// Those that are.
        known: Vec<String>,
    },
    /// None was named, and there are several, or none is known.
    #[error("{}", which(known))]
    WhichIssuer {
        /// They.
        known: Vec<String>,
    },
    /// The ring of the issuer refuses.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The issuer's task is not there for it.
    #[error("the issuer {issuer} takes no commands now: {reason}")]
    Unavailable {
        /// The issuer.
        issuer: String,
        /// Why.
        reason: String,
    },
    /// Its ledger cannot be had where it is kept: asked for where no service runs.
    #[error("the ledger of {issuer} cannot be used: {reason}")]
    Ledger {
        /// The issuer.
        issuer: String,
        /// Place, cause, remedy.
        reason: String,
    },
    /// Nor can it be seen whose ledgers there are. Place, cause, remedy.
    #[error("{0}")]
    Store(String),
}

fn there_is(known: &[String]) -> String {
    if known.is_empty() {
        return "there is none: name its configuration with --config, or the store that has its ledger with --store"
            .to_owned();
    }
    format!("there is: {}", known.join(", "))
}

fn which(known: &[String]) -> String {
    if known.is_empty() {
        return "no issuer is known here: name the one that is meant with --issuer, or its configuration with --config"
            .to_owned();
    }
    let known = known.join(", ");
    format!("several issuers are configured here, name one with --issuer: {known}")
}

impl Desk {
    /// The issuer that is meant: the only one where none is named.
    pub fn issuer(&self, named: Option<&str>) -> Result<String, AskError> {
        let found = match named {
            None => self.0.only(),
            Some(url) => self.0.find(url),
        };
        match (found, named) {
            (Some(entry), _) => Ok(entry.parts.settings.profile.issuer.as_str().to_owned()),
            (None, None) => Err(AskError::WhichIssuer { known: self.known() }),
            (None, Some(asked)) => Err(self.unknown(asked)),
        }
    }

    /// Has a command carried out, and waits until its effect is kept on this machine and published.
    pub async fn ask(&self, issuer: &str, command: Command, by: &str) -> Result<Answer, AskError> {
        let entry = self.0.find(issuer).ok_or_else(|| self.unknown(issuer))?;
        let unavailable = |reason: String| AskError::Unavailable {
            issuer: issuer.to_owned(),
            reason,
        };
        let replica = self.0.shared().stores.replica(issuer);
        if let Some(reason) = replica.status_now().waits {
            return Err(unavailable(format!("its ledger is not read yet ({reason})")));
        }
        let (answer, answered) = oneshot::channel();
        let by = by.to_owned();
        let order = Box::new(Order { command, by, answer });
        self.0.push(&entry, Event::Order(order));
        match timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => {
                let (outcome, at) = answer?;
                let warnings = match outcome.done {
                    Done::Nothing => Vec::new(),
                    _ => replica.doubts(STORED_WITHIN).await,
                };
                Ok(Answer {
                    outcome,
                    at,
                    warnings,
                })
            }
            Ok(Err(_)) => Err(unavailable(
                "its task has just ended, by a reload or a defect; look with `keys list`, and ask again"
                    .into(),
            )),
            Err(_) => Err(unavailable(format!(
                "it has not answered within {} s, see the log; look with `keys list` before asking again",
                PATIENCE.as_secs()
            ))),
        }
    }

    fn unknown(&self, asked: &str) -> AskError {
        AskError::UnknownIssuer {
            asked: asked.to_owned(),
            known: self.known(),
        }
    }

    /// The issuers that there are, for a person.
    fn known(&self) -> Vec<String> {
        let (all, mut known) = self.0.known(MAX_NAMED);
        if let Some(more @ 1..) = all.checked_sub(known.len()) {
            known.push(format!("and {more} more"));
        }
        known
    }
}

impl Order {
    /// Nobody waits for it any more, and whoever did was told that it might not be carried out.
    pub(super) fn is_given_up(&self) -> bool {
        self.answer.is_closed()
    }

    /// What is to be done, and by whom.
    pub(super) fn command(&self) -> (&Command, &str) {
        (&self.command, &self.by)
    }

    /// Tells what came of it.
    pub(super) fn answer(self, outcome: Result<Outcome, Denied>, at: Timestamp) {
        // Fails where nobody waits any more.
        let _ = self.answer.send(outcome.map(|outcome| (outcome, at)));
    }
}
