//! What was found: the keys that would be published, what would be held back, what could not be read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::found::Found;
use super::replica::Replica;
use super::subject::Subject;
use super::token::Token;
use crate::key::{KeyId, Quarantined, Reason};
use crate::publication::IssuerUrl;
use crate::ring::{Ledger, Listing, Ring, Rules, SourceId};
use crate::source::{self, Accepted, Cause, ReadError, Source};

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The issuer that an API server names.
    pub(super) issuer: Option<String>,
    /// Whether a source names an issuer that `serve` would refuse.
    pub(super) other_issuer: bool,
    /// What `serve` would say besides.
    pub(super) notes: Vec<String>,
    /// In the order of publication.
    pub(super) keys: Vec<Found>,
    pub(super) quarantined: Vec<Quarantined>,
    pub(super) failed: Vec<Failed>,
    /// Globs that match no file.
    pub(super) unmatched: Vec<String>,
    /// The replicas of an API server, where each was asked.
    pub(super) replicas: Vec<Replica>,
    pub(super) token: Option<Token>,
}

/// A source that could not be read.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) from: String,
    pub(super) reason: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, reason } = self;
        // Most reasons begin with the place already.
        if !reason.starts_with(from.as_str()) {
            write!(f, "{from}: ")?;
        }
        f.write_str(reason)
    }
}

impl Findings {
    /// Reads every subject once, and asks the rules of rotation what would be published.
    pub(super) async fn gather(subjects: Vec<Subject>, accepted: Option<&Accepted>, now: Timestamp) -> Self {
        let mut findings = Self::default();
        let mut origins: BTreeMap<KeyId, Vec<String>> = BTreeMap::new();
        let ids = subjects.iter().map(|subject| (id(subject), 1));
        // Nothing has been published before, so nothing is retained.
        let rules = Rules::new(SignedDuration::ZERO);
        let mut ring = Ring::new(rules, ids, Ledger::default());
        for subject in &subjects {
            findings.notes.extend(source::doubts(&subject.settings));
            findings.unmatched.extend(subject.unmatched.iter().cloned());
            let mut source = Source::new(&subject.settings);
            if let Some(accepted) = accepted {
                source = source.accepting(accepted.clone());
            }
            let read = source.read().await;
            if let Some(survey) = source.survey() {
                findings.replicas.extend(Replica::all(survey, read.as_ref().ok()));
                if let Some(error) = &survey.unlisted {
                    findings.fail(&subject.name, error);
                }
            }
            let listing = match read {
                Ok(listing) => listing,
                Err(error) => {
                    findings.fail(&subject.name, &error);
                    continue;
                }
            };
            // As much of it as `serve` looks at.
            let listing = ring.bounded(listing, now);
            if subject.parts.is_empty() {
                add_origin(&mut origins, &listing, &subject.name);
            }
            for (file, settings) in &subject.parts {
                if let Ok(part) = Source::new(settings).read().await {
                    add_origin(&mut origins, &part, file);
                }
            }
            findings.quarantined.extend(listing.quarantined.iter().cloned());
            if let Some(named) = &listing.issuer {
                findings.name(named, accepted.is_some());
            }
            // A listing without a usable key is told by what is quarantined in it.
            let _ = ring.heard(&id(subject), &listing, now);
        }
        let set = ring.key_set(now);
        findings.quarantined.extend(set.quarantined);
        findings.keys = set
            .keys
            .into_iter()
            .map(|published| Found {
                from: origins.remove(published.key.id()).unwrap_or_default(),
                key: published.key,
            })
            .collect();
        findings
    }

    /// An issuer that an API server names: `serve` publishes one alone, and only what it can write.
    fn name(&mut self, named: &str, is_given: bool) {
        match &self.issuer {
            None => {
                self.issuer = Some(named.to_owned());
                if let (false, Err(error)) = (is_given, IssuerUrl::parse(named)) {
                    self.other_issuer = true;
                    self.notes.push(format!(
                        "the issuer {named:?} that the source names cannot be served: {error}"
                    ));
                }
            }
            Some(first) if first != named && !is_given => {
                self.other_issuer = true;
                self.notes.push(format!(
                    "the sources name different issuers, {first:?} and {named:?}: serve refuses one of them under the name \
                     of the other"
                ));
            }
            Some(_) => {}
        }
    }

    fn fail(&mut self, name: &str, error: &ReadError) {
        self.other_issuer |= matches!(error.cause(), Cause::OtherIssuer { .. });
        self.quarantined.extend(error.quarantined().iter().cloned());
        self.failed.push(Failed {
            from: name.to_owned(),
            reason: error.to_string(),
        });
    }

    /// What was named and not read, whatever the others gave: for whoever does not look at what is printed.
    pub(super) fn not_read(&self) -> impl Iterator<Item = String> {
        let files = self
            .quarantined
            .iter()
            .filter(|held| matches!(held.reason, Reason::Unreadable { .. }))
            .map(|held| format!("{}: {}", held.entry, held.reason));
        let failed = self.failed.iter().map(Failed::to_string);
        let unmatched = self.unmatched.iter();
        let unmatched = unmatched.map(|glob| format!("{glob}: no file matches"));
        let mut all: Vec<_> = files.chain(failed).chain(unmatched).collect();
        all.dedup();
        all.into_iter()
    }

    /// For scripts; docs/configuration.md tells the shape.
    pub(super) fn to_json(&self) -> Value {
        let keys: Vec<_> = self.keys.iter().map(Found::to_json).collect();
        let quarantined: Vec<_> = self
            .quarantined
            .iter()
            .map(|held| {
                json!({
                    "entry": held.entry,
                    "kid": held.kid,
                    "reason": held.reason.to_string(),
                    "label": held.reason.label(),
                })
            })
            .collect();
        let failed: Vec<_> = self
            .failed
            .iter()
            .map(|failed| json!({ "from": failed.from, "reason": failed.reason }))
            .collect();
        let mut all = json!({
            "issuer": self.issuer,
            "keys": keys,
            "quarantined": quarantined,
            "failed": failed,
            "otherIssuer": self.other_issuer,
            "notes": self.notes,
        });
        let replicas = || self.replicas.iter().map(Replica::to_json).collect();
        let further = [
            ("endpoints", (!self.replicas.is_empty()).then(replicas)),
            ("token", self.token.as_ref().map(Token::to_json)),
        ];
        for (name, value) in further {
            if let (Some(value), Some(all)) = (value, all.as_object_mut()) {
                all.insert(name.to_owned(), value);
            }
        }
        all
    }
}

fn id(subject: &Subject) -> SourceId {
    SourceId(Arc::from(subject.name.as_str()))
}

fn add_origin(origins: &mut BTreeMap<KeyId, Vec<String>>, listing: &Listing, name: &str) {
    for key in &listing.keys {
        let names = origins.entry(key.id().clone()).or_default();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
}
