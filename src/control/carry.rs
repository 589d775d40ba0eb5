//! From a request to a command, and from what came of it to an answer and a line for the audit.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::audit::Entry;
use super::wire::{Failed, Report};
use crate::issuer::AskError;
use crate::key::{self, Quarantined};
use crate::ring::{Command, Denied};

/// The longest reason or name, in bytes; a `kid` has at most 1024.
const MAX_WORDS: usize = 1100;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Show the keys.
    List,
    /// Take a key back.
    Revoke,
    /// Take that back.
    Unrevoke,
    /// Let in what waits.
    Approve,
    /// Take over keys that were published elsewhere.
    Import,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::List,
        Self::Revoke,
        Self::Unrevoke,
        Self::Approve,
        Self::Import,
    ];

    /// The word of the command line, the path, the metric label `command`, and the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Revoke => "revoke",
            Self::Unrevoke => "unrevoke",
            Self::Approve => "approve",
            Self::Import => "import",
        }
    }

    /// Whether it leaves everything as it is: then there is no line in the audit.
    pub fn only_looks(self) -> bool {
        self == Self::List
    }
}

/// What an operator says beside the verb.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Request {
    /// The issuer's URL; may be left out where there is only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The kid of the key, `sha256:` and the beginning of its fingerprint, or, to be approved, the name of a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why; a revocation must have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Revoke even the last published key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// The JWKS document whose keys are to be taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
}

impl Request {
    /// The line for the audit, before anything came of it.
    pub fn entry(&self, verb: Verb, time: Timestamp, by: String, via: String) -> Entry {
        Entry {
            time,
            by,
            via,
            issuer: self.issuer.clone(),
            command: verb.as_str().to_owned(),
            key: self.key.clone(),
            kids: Vec::new(),
            reason: self.reason.clone(),
            force: self.force,
            outcome: String::new(),
            message: None,
        }
    }

    /// The command, and the entries of the JWKS that cannot be taken over at all; or what is wrong with the request.
    pub fn command(&self, verb: Verb) -> Result<(Command, Vec<Quarantined>), String> {
        for (name, words) in [
            ("issuer", &self.issuer),
            ("key", &self.key),
            ("reason", &self.reason),
        ] {
            let Some(words) = words else { continue };
            if words.len() > MAX_WORDS {
                return Err(format!("`{name}` is longer than {MAX_WORDS} bytes"));
            }
            if words.contains(char::is_control) {
                return Err(format!("`{name}` has control characters in it"));
            }
        }
        let reason = || self.reason.as_deref().unwrap_or_default().trim().to_owned();
        let name = || match &self.key {
            Some(key) if !key.is_empty() => Ok(key.clone()),
            _ => Err("`key` is missing: the kid of the key".to_owned()),
        };
        let command = match verb {
            Verb::List => Command::List,
            Verb::Revoke if reason().is_empty() => {
                return Err("`reason` is missing: whoever reads it in a year should know why".to_owned());
            }
            Verb::Revoke => Command::Revoke {
                name: name()?,
                why: reason(),
                force: self.force,
            },
            Verb::Unrevoke => Command::Unrevoke { name: name()? },
            Verb::Approve => Command::Approve {
                name: name()?,
                why: reason(),
            },
            Verb::Import => {
                let jwks = self.jwks.as_deref().ok_or("`jwks` is missing: a JWKS document")?;
                let parsed = key::parse_jwks(jwks.as_bytes()).map_err(|error| format!("`jwks`: {error}"))?;
                if parsed.keys.len() > key::MAX_ENTRIES {
                    return Err(format!(
                        "`jwks` has more than {} keys: import those that are needed",
                        key::MAX_ENTRIES
                    ));
                }
                return Ok((Command::Import { keys: parsed.keys }, parsed.quarantined));
            }
        };
        Ok((command, Vec::new()))
    }
}

/// What came of a command, however it was carried.
#[derive(Debug)]
pub struct Carried {
    /// The answer.
    pub answer: Result<Report, Failed>,
    /// The line for the audit.
    pub entry: Entry,
    /// The metric label `result`: `done`, `denied` or `failed`.
    pub result: &'static str,
}

impl Carried {
    /// `entry` says who asked for what; the rest of it is filled in here.
    pub fn new(outcome: Result<Report, AskError>, mut entry: Entry) -> Self {
        let answer = outcome.map_err(|error| {
            entry.message = Some(error.to_string());
            (
                Failed::from(&error),
                matches!(
                    error,
                    AskError::Unavailable { .. } | AskError::Ledger { .. } | AskError::Store(_)
                ),
            )
        });
        let result = match &answer {
            Ok(_) => "done",
            Err((_, true)) => "failed",
            Err((_, false)) => "denied",
        };
        result.clone_into(&mut entry.outcome);
        if let Ok(report) = &answer {
            entry.issuer = Some(report.issuer.clone());
            entry.kids = report.changed.iter().map(|name| name.kid.clone()).collect();
        }
        Self {
            answer: answer.map_err(|(failed, _)| failed),
            entry,
            result,
        }
    }

    /// The request itself is wrong.
    pub fn malformed(message: String, mut entry: Entry) -> Self {
        let error = "badRequest".to_owned();
        "denied".clone_into(&mut entry.outcome);
        entry.message = Some(message.clone());
        Self {
            answer: Err(Failed { error, message }),
            entry,
            result: "denied",
        }
    }
}

impl From<&AskError> for Failed {
    fn from(error: &AskError) -> Self {
        let name = match error {
            AskError::UnknownIssuer { .. } => "unknownIssuer",
            AskError::WhichIssuer { .. } => "whichIssuer",
            AskError::Unavailable { .. } | AskError::Ledger { .. } | AskError::Store(_) => "unavailable",
            AskError::Denied(Denied::UnknownKey { .. }) => "unknownKey",
            AskError::Denied(Denied::Ambiguous { .. }) => "ambiguous",
            AskError::Denied(Denied::LastKey { .. }) => "lastKey",
            AskError::Denied(Denied::NotRevoked { .. }) => "notRevoked",
            AskError::Denied(Denied::NothingHeld { .. }) => "nothingHeld",
            AskError::Denied(Denied::NoFingerprint { .. }) => "noFingerprint",
            AskError::Denied(Denied::PartOfChange { .. }) => "partOfChange",
        };
        Self {
            error: name.to_owned(),
            message: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: &str, reason: &str) -> Request {
        Request {
            key: Some(key.to_owned()),
            reason: Some(reason.to_owned()),
            ..Request::default()
        }
    }

    #[test]
    fn a_revocation_has_a_key_and_a_reason() {
        let (command, _) = request("k", " leaked ").command(Verb::Revoke).unwrap();
        let expected = Command::Revoke {
            name: "k".to_owned(),
            why: "leaked".to_owned(),
            force: false,
        };
        assert_eq!(command, expected);
        for (request, told) in [
            (request("k", " "), "`reason` is missing"),
            (request("", "leaked"), "`key` is missing"),
            (Request::default(), "`reason` is missing"),
        ] {
            let error = request.command(Verb::Revoke).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        // The others need no reason.
        for verb in [Verb::Unrevoke, Verb::Approve] {
            request("k", "").command(verb).unwrap();
        }
    }

    #[test]
    fn what_goes_into_logs_and_ledgers_is_short_and_on_one_line() {
        for words in ["two\nlines", "\u{1b}[31mred", &"x".repeat(MAX_WORDS + 1)] {
            for request in [request(words, "leaked"), request("k", words)] {
                request.command(Verb::Revoke).unwrap_err();
            }
        }
    }

    #[test]
    fn of_a_jwks_the_entries_that_cannot_be_used_are_told() {
        let with = |jwks: &str| Request {
            jwks: Some(jwks.to_owned()),
            ..Request::default()
        };
        let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
        let key = key::parse_file(pem.as_bytes()).unwrap().keys.remove(0);
        let jwks = format!(r#"{{"keys":[{},{{"kty":"oct","k":"AAAA"}}]}}"#, key.jwk());
        let (command, unusable) = with(&jwks).command(Verb::Import).unwrap();
        assert_eq!(command, Command::Import { keys: vec![key] });
        assert_eq!(unusable.len(), 1);
        with("{").command(Verb::Import).unwrap_err();
        Request::default().command(Verb::Import).unwrap_err();
    }

    #[test]
    fn a_member_that_nobody_knows_is_refused() {
        serde_json::from_str::<Request>(r#"{"kid":"k"}"#).unwrap_err();
        let sent = serde_json::to_string(&request("k", "r")).unwrap();
        assert_eq!(sent, r#"{"key":"k","reason":"r"}"#);
    }
}
