//! The events, and the line in the log that each of them is.

use std::collections::HashMap;
use std::mem::discriminant;

use jiff::Timestamp;

use crate::key::KeyId;
use crate::ring::{Confirmation, Confirmed, HeldChange, KeyView, Revocation, Standing};

/// Lines of one kind at a time.
const MAX_LINES: usize = 20;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Event {
    /// A key entered the set.
    Published(KeyView),
    /// No source lists a key any more. Until when it stays.
    Retained(KeyView, Timestamp),
    /// A source lists a retained key again.
    ListedAgain(KeyView),
    /// The retention of a key is over.
    Left(KeyView),
    /// A published key is left out, so that the document does not get too large.
    GaveWay(KeyView),
    /// There is room for it again.
    RoomAgain(KeyView),
    /// A published key is withdrawn: under its kid another replica published another key first.
    LostKid(KeyView),
    /// A key is held back.
    Held(KeyView),
    /// A new key waits for an operator.
    AwaitsApproval(KeyView),
    /// A key that was held back is not listed any more.
    NotListedAnyMore(KeyId),
    /// The material of these keys is revoked.
    Revoked { kids: String, revocation: Revocation },
    /// A revocation was taken back.
    Unrevoked { kids: String, by: String },
    /// A listing that shares no key with what is published waits to be confirmed.
    ChangeHeld(HeldChange),
    /// So many wait at once that further ones are not told.
    ManyChanges(usize),
    /// It is confirmed.
    ChangeConfirmed(HeldChange, Confirmed),
    /// It is no longer listed, or was not for long.
    ChangeGone(HeldChange),
    /// More keys are published than some verifiers read.
    ManyKeys(usize),
    /// No more than that.
    FewKeys(usize),
    /// There are as many keys as there may be; new ones are held.
    TooManyKeys(usize),
    /// All of them have their place.
    NotTooManyKeys,
    /// The last published key was revoked.
    Withdrawn,
}

/// Writes them into the log; of a kind that comes in masses, the first ones and their number.
pub(in super::super) fn log(issuer: &str, events: &[Event]) {
    let mut lines = HashMap::new();
    for event in events {
        let line: &mut usize = lines.entry(discriminant(event)).or_default();
        *line += 1;
        if *line <= MAX_LINES {
            event.log(issuer);
        }
    }
    let more = lines.values().map(|lines| lines.saturating_sub(MAX_LINES)).sum();
    if let more @ 1.. = more {
        tracing::warn!(
            issuer,
            more,
            "more of the same happened: `oidc-issuer keys list` shows every key"
        );
    }
}

impl Event {
    fn log(&self, issuer: &str) {
        match self {
            Self::Published(key)
            | Self::Retained(key, _)
            | Self::ListedAgain(key)
            | Self::Left(key)
            | Self::GaveWay(key)
            | Self::RoomAgain(key)
            | Self::LostKid(key)
            | Self::Held(key)
            | Self::AwaitsApproval(key) => self.log_key(issuer, key),
            Self::ChangeHeld(change) | Self::ChangeConfirmed(change, _) | Self::ChangeGone(change) => {
                self.log_change(issuer, change);
            }
            Self::ManyChanges(held) => tracing::error!(
                issuer,
                held,
                "the source lists other keys at every read: they are held, and those that follow are not told one by one \
                 (`oidc-issuer keys list` has the last ones)"
            ),
            Self::NotListedAnyMore(KeyId { kid, .. }) => {
                tracing::info!(
                    issuer,
                    kid = &**kid,
                    "a key that was held back is not listed any more"
                );
            }
            Self::Revoked { kids, revocation } => {
                let Revocation { when, by, why, .. } = revocation;
                tracing::warn!(
                    issuer, kids, %when, by = &**by, why = &**why,
                    "a key is revoked: it is not published any more, whatever a source lists, and caches are told to \
                     ask every minute for a day"
                );
            }
            Self::Unrevoked { kids, by } => tracing::warn!(
                issuer,
                kids,
                by,
                "a revocation was taken back: the key is published again if a source lists it, or its retention lasts"
            ),
            Self::ManyKeys(published) => tracing::warn!(
                issuer,
                published,
                "more than 10 keys are published: some verifiers (AWS ALB, OCI API Gateway) read no more; remove old \
                 keys from the cluster"
            ),
            Self::FewKeys(published) => {
                tracing::info!(issuer, published, "no more than 10 keys are published any more");
            }
            Self::TooManyKeys(held) => tracing::error!(
                issuer,
                held,
                "as many keys are listed or retained as there may be: new ones are held back. Does the source list a \
                 new key at every read?"
            ),
            Self::NotTooManyKeys => {
                tracing::info!(issuer, "no key is held back any more because there are too many");
            }
            Self::Withdrawn => tracing::error!(
                issuer,
                "the last published key was revoked: both documents answer 503 until a source lists another key"
            ),
        }
    }

    fn log_key(&self, issuer: &str, key: &KeyView) {
        let (kid, alg) = (key.key.kid(), key.key.algorithm().as_str());
        match (self, &key.standing) {
            (Self::Published(_), Standing::Retained { leaves_at, .. }) => {
                tracing::info!(issuer, kid, alg, until = %leaves_at, "a key is published that no source lists");
            }
            (Self::Published(_), _) => tracing::info!(issuer, kid, alg, "a key is published"),
            (Self::Retained(_, until), _) => {
                tracing::info!(issuer, kid, alg, %until, "a key is no longer listed; it stays published for the retention");
            }
            (Self::ListedAgain(_), _) => tracing::info!(issuer, kid, alg, "a key is listed again"),
            (Self::Left(_), _) => tracing::info!(
                issuer,
                kid,
                alg,
                "a key is no longer published: its retention is over"
            ),
            (Self::GaveWay(_), _) => tracing::error!(
                issuer,
                kid,
                alg,
                "a key is left out before its retention is over, because the JWKS would become too large for \
                 verifiers; it comes back when there is room: remove keys from the cluster"
            ),
            (Self::RoomAgain(_), _) => tracing::info!(issuer, kid, alg, "there is room for a key again"),
            (Self::LostKid(_), _) => tracing::error!(
                issuer,
                kid,
                alg,
                "a key is withdrawn: another replica published another key under the same kid first. Two sources with \
                 one kid for two keys: give one of them another kid"
            ),
            (Self::AwaitsApproval(_), _) => tracing::warn!(
                issuer,
                kid,
                alg,
                "a new key waits for an operator, and tokens signed with it are refused until then: \
                 oidc-issuer keys approve {} --issuer {issuer}",
                word(kid)
            ),
            (_, Standing::Held(reason)) => {
                tracing::warn!(issuer, kid, alg, %reason, "a key is held back, and not published");
            }
            _ => {}
        }
    }

    fn log_change(&self, issuer: &str, held: &HeldChange) {
        let (place, change) = (held.place(), held.change.as_str());
        let kids: Vec<_> = held.keys.iter().map(crate::key::PublicKey::kid).collect();
        let kids = kids.join(", ");
        match self {
            Self::ChangeConfirmed(_, confirmed) => tracing::warn!(
                issuer,
                place,
                change,
                kids,
                by = &*confirmed.by,
                why = &*confirmed.why,
                "keys that replace every published one are confirmed: they are published (what an operator approved, at the \
                 next reading that lists it), and the old ones are retained"
            ),
            Self::ChangeGone(_) => tracing::info!(
                issuer,
                place,
                change,
                "keys that would have replaced every published one are not held any more: they are not listed now, or \
                 published already"
            ),
            _ => tracing::warn!(
                issuer,
                place,
                change,
                kids,
                "the source lists none of the published keys any more: another cluster? What it lists is held, {}. If \
                 it is right: oidc-issuer keys approve {change} --issuer {issuer}",
                waits_for(held)
            ),
        }
    }
}

/// What a change waits for.
fn waits_for(held: &HeldChange) -> String {
    match held.confirmation {
        Confirmation::Reads(reads) => match reads.saturating_sub(held.reads) {
            1 => "until one more read says so".to_owned(),
            more => format!("until {more} more reads say so"),
        },
        Confirmation::Duration(duration) => {
            format!("until that was so for {duration:#}, since {}", held.first_heard)
        }
        Confirmation::Manual => "until an operator approves it".to_owned(),
    }
}

/// As a shell takes it for one word.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/=+@".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kid_looks_like_it_is_one_word_of_a_command() {
        assert_eq!(word("s3-kH_x.9"), "s3-kH_x.9");
        assert_eq!(word("$(reboot) it's"), r"'$(reboot) it'\''s'");
        assert_eq!(word("--force"), "'--force'");
        assert_eq!(word(""), "''");
    }
}
