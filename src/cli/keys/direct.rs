//! `--store`: the same commands on the ledger in its store, while no service runs.

use anyhow::{Context as _, anyhow};
use jiff::SignedDuration;

use crate::clock::Clock;
use crate::config::Settings;
use crate::control::{Audit, Carried, Failed, Report, Request, Verb, me};
use crate::issuer::AskError;
use crate::ring::{Command, Done, Ledger, Ring, Rules, SourceId};
use crate::store::{AmendError, Change, LockError, amend, issuers_in};

/// The default: where no configuration says another.
const RETENTION: SignedDuration = SignedDuration::from_hours(49);

/// A store, and what is known of its issuers.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) settings: Settings,
    /// Whether the issuers of the settings are those of the store.
    pub(super) is_configured: bool,
}

/// Carries a command out, and writes it down.
pub(super) fn carry(store: &Store, verb: Verb, request: &Request) -> anyhow::Result<Result<Report, Failed>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .context("the runtime cannot be started")?
        .block_on(carried(store, verb, request))
}

async fn carried(store: &Store, verb: Verb, request: &Request) -> anyhow::Result<Result<Report, Failed>> {
    let (command, _) = request.command(verb).map_err(|message| anyhow!(message))?;
    let command = match command {
        // What waits is known to a running service alone.
        Command::Approve { name, why } => Command::ApproveUnheard { name, why },
        command => command,
    };
    let now = Clock::system().now();
    let place = super::super::config::describe_store(&store.settings.store);
    let mut entry = request.entry(verb, now, me(), format!("store: {place}"));
    let outcome = match store.issuer(request.issuer.as_deref()) {
        Ok(issuer) => {
            entry.issuer = Some(issuer.clone());
            store.change(&issuer, &command, &entry.by, now).await
        }
        Err(error) => Err(error),
    };
    let Carried {
        mut answer, entry, ..
    } = Carried::new(outcome, entry);
    if !verb.only_looks() {
        let audit = Audit::new(store.settings.audit.clone());
        if let (Err(reason), Ok(report)) = (audit.record(&entry).await, &mut answer) {
            report.warnings.push(reason);
        }
    }
    Ok(answer)
}

impl Store {
    /// The issuers that the configuration names, and those that have ledgers on this machine.
    fn known(&self) -> Result<Vec<String>, AskError> {
        let mut known = Vec::new();
        if self.is_configured {
            let configured = self.settings.issuers.iter();
            known.extend(configured.map(|issuer| issuer.profile.issuer.as_str().to_owned()));
        }
        let kept = issuers_in(&self.settings.store);
        known.extend(kept.map_err(|error| AskError::Store(cannot_be_used(&error)))?);
        known.sort();
        known.dedup();
        Ok(known)
    }

    fn issuer(&self, named: Option<&str>) -> Result<String, AskError> {
        if let Some(named) = named {
            return Ok(named.to_owned());
        }
        let known = self.known()?;
        match known.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(AskError::WhichIssuer { known }),
        }
    }

    fn rules(&self, issuer: &str) -> Option<Rules> {
        let mut configured = self.settings.issuers.iter();
        let found = configured.find(|settings| settings.profile.issuer.as_str() == issuer)?;
        Some(found.rules.clone())
    }

    async fn change(
        &self,
        issuer: &str,
        command: &Command,
        by: &str,
        now: jiff::Timestamp,
    ) -> Result<Report, AskError> {
        let unusable = |reason: String| AskError::Ledger {
            issuer: issuer.to_owned(),
            reason,
        };
        let rules = self.rules(issuer);
        let mut warnings = Vec::new();
        if rules.is_none() {
            warnings.push(format!(
                "no configuration says how long {issuer} keeps its keys, name it with --config: times are those of the \
                 default retention"
            ));
        }
        let rules = rules.unwrap_or_else(|| Rules::new(RETENTION));
        let is_known = self.is_configured && self.rules(issuer).is_some();
        let change = |found: Option<Ledger>| -> Result<Change<_>, AskError> {
            let before = match (found, command) {
                (Some(found), _) => found,
                (None, Command::Import { .. }) if is_known => Ledger::default(),
                (None, _) if is_known => {
                    return Err(unusable(format!(
                        "there is none in {}. Was it ever served, and is that where the service keeps it?",
                        super::super::config::describe_store(&self.settings.store)
                    )));
                }
                (None, _) => {
                    return Err(AskError::UnknownIssuer {
                        asked: issuer.to_owned(),
                        known: self.known().unwrap_or_default(),
                    });
                }
            };
            // Whoever lists what is listed is taken to do so still.
            let sources = [(SourceId("the store".into()), 1)];
            let mut ring = Ring::new(rules.clone(), sources, before.clone());
            let outcome = ring.obey(command, by, now)?;
            // What has had its time is for the service to forget: its retention may not be known here.
            let after = before.merge(&ring.into_ledger());
            let is_written = *command != Command::List && after != before;
            Ok((is_written.then_some(after), outcome))
        };
        let outcome = amend(&self.settings.store, issuer, change).await;
        let outcome = outcome.map_err(|error| match error {
            AmendError::Refused(error) => error,
            error => unusable(cannot_be_used(&error)),
        })?;
        if let (Command::ApproveUnheard { name, .. }, Done::Hit(keys)) = (command, &outcome.done)
            && keys.is_empty()
        {
            warnings.push(format!(
                "{name} is taken for the name of a change; if it is the kid of a key, that key still waits: approve it by \
                 its fingerprint (sha256: and 64 digits)"
            ));
        }
        let mut report = Report::new(issuer, now, outcome);
        report.warnings = warnings;
        Ok(report)
    }
}

fn cannot_be_used<E: std::fmt::Display>(error: &AmendError<E>) -> String {
    match error {
        AmendError::Lock(LockError::Locked { .. }) => {
            format!("{error}: give the command to that service, without --store")
        }
        AmendError::Lock(_) => format!("{error}: run this as the user that the service runs as, or as root"),
        AmendError::Refused(_) | AmendError::Store(_) => error.to_string(),
    }
}
