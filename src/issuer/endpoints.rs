//! What is told of the endpoints of a source: which there are, which are silent and why, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::Reminders;
use super::events::{Health, Turn};
use crate::metrics::EndpointState;
use crate::source::{ReadError, Survey};

/// How the endpoints of one source are.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    list: Health,
    is_by_address: bool,
    each: BTreeMap<Arc<str>, Health>,
}

impl Endpoints {
    /// Whether there is nothing to remember.
    pub(super) fn is_usual(&self) -> bool {
        self.list.failure().is_none() && !self.is_by_address && self.each.is_empty()
    }

    /// Logs what changed.
    pub(super) fn surveyed(
        &mut self,
        issuer: &str,
        source: &str,
        survey: &Survey,
        reminders: &Reminders,
        now: Timestamp,
    ) {
        self.listed(issuer, source, survey, reminders, now);
        let mut before = std::mem::take(&mut self.each);
        let names: BTreeSet<_> = survey.endpoints.iter().map(|asked| &asked.endpoint).collect();
        if !names.is_empty() && !names.iter().copied().eq(before.keys()) {
            let endpoints = survey.endpoints.iter().map(|asked| &*asked.endpoint);
            let endpoints = endpoints.collect::<Vec<_>>().join(", ");
            tracing::info!(
                issuer,
                source,
                endpoints,
                "the endpoints of the API server are these now"
            );
        }
        for asked in &survey.endpoints {
            let endpoint = &*asked.endpoint;
            let mut health = before.remove(endpoint).unwrap_or_default();
            let outcome = asked.failure.as_ref().map_or(Ok(()), Err);
            match (health.read(outcome, now), outcome) {
                (turn, Err(error)) if is_told(turn, reminders, now) => tracing::warn!(
                    issuer, source, endpoint, %error,
                    "an endpoint of the API server cannot be read: it counts as silent, and no key as absent"
                ),
                (Turn::Recovered { since, reads }, _) => tracing::info!(
                    issuer, source, endpoint, %since, failed_reads = reads,
                    "an endpoint of the API server can be read again"
                ),
                _ => {}
            }
            self.each.insert(Arc::clone(&asked.endpoint), health);
        }
    }

    fn listed(&mut self, issuer: &str, source: &str, survey: &Survey, reminders: &Reminders, now: Timestamp) {
        let is_by_address = survey.endpoints.is_empty();
        let has_changed = std::mem::replace(&mut self.is_by_address, is_by_address) != is_by_address;
        let outcome = survey.unlisted.as_ref().map_or(Ok(()), Err);
        match (self.list.read(outcome, now), outcome) {
            (turn, Err(error)) if has_changed || is_told(turn, reminders, now) => {
                told(issuer, source, error, is_by_address);
            }
            (Turn::Recovered { .. }, _) => {
                tracing::info!(
                    issuer,
                    source,
                    "the endpoints of the API server can be listed now"
                );
            }
            _ => {}
        }
    }
}

fn is_told(turn: Turn, reminders: &Reminders, now: Timestamp) -> bool {
    match turn {
        Turn::Fails => true,
        Turn::Lasts { .. } => reminders.is_named(now),
        Turn::Same | Turn::Recovered { .. } => false,
    }
}

fn told(issuer: &str, source: &str, error: &ReadError, is_by_address: bool) {
    if is_by_address {
        tracing::warn!(
            issuer, source, %error,
            "the endpoints of the API server cannot be listed: its one address is read instead"
        );
    } else {
        tracing::warn!(
            issuer, source, %error,
            "the endpoints of the API server cannot be listed: those last known are asked"
        );
    }
}

/// What a survey counts.
pub(super) fn counted(survey: &Survey) -> EndpointState {
    let silent = survey.endpoints.iter().filter(|asked| asked.failure.is_some());
    let silent = silent.count();
    EndpointState {
        read: survey.endpoints.len() - silent,
        silent,
        is_listed: survey.unlisted.is_none(),
    }
}
