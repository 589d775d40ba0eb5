//! What is answered to an operator: the same over the socket, over mutual TLS, and by `--output json`.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::key::{KeyId, Quarantined};
use crate::ring::{ANY_MATERIAL, Confirmation, Done, KeyView, Outcome, Standing, View};

/// How the keys of an issuer stand, and what a command did to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The issuer.
    pub issuer: String,
    /// As of when, by the clock of whoever answers.
    pub at: Timestamp,
    /// The keys that the command hit: revoked, no longer revoked, approved, taken over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<Name>,
    /// Keys that were to be taken over, and are published already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<Name>,
    /// Keys that were to be taken over, and cannot be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// What else the operator should know: the command was carried out, and something is amiss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Whether the last published key was revoked: both documents answer 503.
    pub withdrawn: bool,
    /// Published ones in the order of publication; then the others by kid.
    pub keys: Vec<Key>,
    /// Listings that wait for their confirmation.
    pub held_changes: Vec<HeldChange>,
}

/// What tells one key from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Name {
    /// Its kid. Empty where a fingerprint was approved, under whichever kid.
    pub kid: String,
    /// SHA-256 of its `SubjectPublicKeyInfo` in hexadecimal: commands take `sha256:` and this, or its beginning. Empty
    /// where a kid was approved, whichever key is listed under it first.
    pub sha256: String,
}

/// A key that was not taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Which entry of the file.
    pub entry: String,
    /// Its kid, where it has one.
    pub kid: Option<String>,
    /// Why, for a person.
    pub reason: String,
    /// Why, for a script: the label `reason` of the metrics.
    pub label: String,
}

/// One key. Of the times those are there that its state has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// Its name.
    #[serde(flatten)]
    pub name: Name,
    /// The algorithm of its signatures.
    pub alg: String,
    /// Type and size: `RSA 2048`.
    pub kind: String,
    /// How it stands.
    pub state: State,
    /// Whether it is in the JWKS.
    pub published: bool,
    /// When this issuer first saw it.
    pub first_seen: Timestamp,
    /// Listed: since when it has been published without a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_since: Option<Timestamp>,
    /// Listed: from when it may sign, since every cache has it by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_sign_from: Option<Timestamp>,
    /// Retained, expired: when it was found absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_since: Option<Timestamp>,
    /// Retained: when it leaves the set. In the past for the last key, which stays until there is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves_at: Option<Timestamp>,
    /// Expired: when it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Timestamp>,
    /// Revoked: by whom, when, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
    /// Held: what stands in its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Published, and a source lists it.
    Listed,
    /// Published, and no source lists it any more.
    Retained,
    /// It has had its retention.
    Expired,
    /// An operator took it back.
    Revoked,
    /// Listed, but something stands in its way.
    Held,
}

impl State {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Retained => "retained",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Held => "held",
        }
    }
}

/// A revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What stands in the way of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// For a person.
    pub reason: String,
    /// For a script: the label `reason` of the metrics.
    pub label: String,
}

/// A listing that shares no key with what is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldChange {
    /// Its name: `keys approve` takes it.
    pub change: String,
    /// The source, and its endpoint where it has several.
    pub source: String,
    /// When it was first heard.
    pub first_heard: Timestamp,
    /// When it was last heard.
    pub last_heard: Timestamp,
    /// How many readings had it.
    pub reads: u32,
    /// What it waits for.
    pub waits_for: String,
    /// The kids in it.
    pub kids: Vec<String>,
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// For a script: `unknownKey`, `lastKey` …
    pub error: String,
    /// For a person.
    pub message: String,
}

impl Report {
    /// What an issuer's ring said.
    pub fn new(issuer: &str, at: Timestamp, outcome: Outcome) -> Self {
        let Outcome { done, view } = outcome;
        let names = |ids: Vec<KeyId>| ids.iter().map(Name::from).collect();
        let (changed, known, refused) = match done {
            Done::Nothing => (Vec::new(), Vec::new(), Vec::new()),
            Done::Hit(ids) => (names(ids), Vec::new(), Vec::new()),
            Done::Imported(imported) => {
                let refused = imported.refused.iter().map(Refused::from).collect();
                (names(imported.taken), names(imported.known), refused)
            }
        };
        let View {
            keys,
            held_changes,
            withdrawn,
        } = view;
        Self {
            issuer: issuer.to_owned(),
            at,
            changed,
            known,
            refused,
            warnings: Vec::new(),
            withdrawn,
            keys: keys.into_iter().map(Key::from).collect(),
            held_changes: held_changes.into_iter().map(HeldChange::from).collect(),
        }
    }
}

impl From<&KeyId> for Name {
    fn from(id: &KeyId) -> Self {
        if id.spki_sha256 == ANY_MATERIAL {
            return Self {
                kid: id.kid.to_string(),
                sha256: String::new(),
            };
        }
        let sha256 = id.spki_sha256.iter().fold(String::new(), |mut hex, octet| {
            let _ = write!(hex, "{octet:02x}");
            hex
        });
        Self {
            kid: id.kid.to_string(),
            sha256,
        }
    }
}

impl From<&Quarantined> for Refused {
    fn from(held: &Quarantined) -> Self {
        Self {
            entry: held.entry.clone(),
            kid: held.kid.clone(),
            reason: held.reason.to_string(),
            label: held.reason.label().to_owned(),
        }
    }
}

impl From<KeyView> for Key {
    fn from(view: KeyView) -> Self {
        let KeyView {
            key,
            first_seen,
            standing,
        } = view;
        let plain = Self {
            name: Name::from(key.id()),
            alg: key.algorithm().as_str().to_owned(),
            kind: key.describe(),
            state: State::Held,
            published: false,
            first_seen,
            published_since: None,
            may_sign_from: None,
            absent_since: None,
            leaves_at: None,
            left_at: None,
            revoked: None,
            held: None,
        };
        match standing {
            Standing::Listed {
                published_since,
                may_sign_from,
            } => Self {
                state: State::Listed,
                published: true,
                published_since: Some(published_since),
                may_sign_from: Some(may_sign_from),
                ..plain
            },
            Standing::Retained {
                absent_since,
                leaves_at,
            } => Self {
                state: State::Retained,
                published: true,
                absent_since: Some(absent_since),
                leaves_at: Some(leaves_at),
                ..plain
            },
            Standing::Expired {
                absent_since,
                left_at,
            } => Self {
                state: State::Expired,
                absent_since: Some(absent_since),
                left_at: Some(left_at),
                ..plain
            },
            Standing::Revoked(revocation) => Self {
                state: State::Revoked,
                revoked: Some(Revoked {
                    at: revocation.when,
                    by: revocation.by.to_string(),
                    reason: revocation.why.to_string(),
                }),
                ..plain
            },
            Standing::Held(reason) => Self {
                held: Some(Held {
                    reason: reason.to_string(),
                    label: reason.label().to_owned(),
                }),
                ..plain
            },
        }
    }
}

impl From<crate::ring::HeldChange> for HeldChange {
    fn from(held: crate::ring::HeldChange) -> Self {
        Self {
            change: held.change.as_str().to_owned(),
            source: held.place(),
            first_heard: held.first_heard,
            last_heard: held.last_heard,
            reads: held.reads,
            waits_for: match held.confirmation {
                Confirmation::Reads(reads) => format!("{reads} reads that agree"),
                Confirmation::Duration(duration) => format!("reads that agree for {duration:#}"),
                Confirmation::Manual => "an operator".to_owned(),
            },
            kids: held.keys.iter().map(|key| key.kid().to_owned()).collect(),
        }
    }
}
