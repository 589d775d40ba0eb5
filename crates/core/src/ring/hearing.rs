//! What a reading counts for: each endpoint's listing is judged alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::decisions::ChangeId;
use super::held::shared_kids;
use super::pending::{self, Pending};
use super::selection::Selection;
use super::{Confirmation, Ledger, Listing, NewKeys, Rules, SourceId};
use crate::key::PublicKey;

/// Who confirms a change where no operator does.
const BY_READS: &str = "confirmation";

/// A listing that changes nothing of what is published: to be treated as a failed read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No key in it may be published. An empty set is never published, so what was last read stays.
    #[error(
        "nothing publishable: no usable key, {quarantined} quarantined; what was last read stays published"
    )]
    NothingPublishable {
        /// How many entries of the listing cannot be used.
        quarantined: usize,
    },
    /// Every key in it that could be published is revoked.
    #[error("{}", all_revoked(*.revoked))]
    AllRevoked {
        /// How many.
        revoked: usize,
    },
    /// None of several endpoints could be read.
    #[error("none of its endpoints could be read; what was last read stays published")]
    Silent,
    /// The reading of a source that this ring does not have (any more).
    #[error("{} is not a source of this issuer", .0.0)]
    UnknownSource(SourceId),
}

fn all_revoked(revoked: usize) -> String {
    match revoked {
        1 => "the only key that it lists is revoked".to_owned(),
        many => format!("all {many} keys that it lists are revoked"),
    }
}

/// What a source is taken to have said.
#[derive(Debug)]
pub(super) struct Heard<'l> {
    /// The keys that it lists.
    pub(super) keys: Vec<&'l PublicKey>,
    /// Those of listings with nothing to publish. They are told, and that is all: should the cause go (a rival is
    /// revoked, a revocation undone), their listing is still to be judged.
    pub(super) useless: Vec<&'l PublicKey>,
    /// Whether every other key is missing from it.
    pub(super) complete: bool,
    /// Why it counts as a failed read, if it does.
    pub(super) refused: Option<Refused>,
}

/// Where a reading is judged, and what is counted.
#[derive(Debug)]
pub(super) struct Hearing<'r> {
    pub(super) ledger: &'r mut Ledger,
    pub(super) pending: &'r mut Pending,
    pub(super) rules: &'r Rules,
    pub(super) now: Timestamp,
}

/// One endpoint's listing.
struct Part<'l> {
    endpoint: Option<&'l Arc<str>>,
    keys: Vec<&'l PublicKey>,
}

/// What to think of one endpoint's listing.
enum Verdict {
    /// It shares a key with what is published, or nothing is published yet.
    Known,
    /// No key of it may ever enter by this listing alone.
    Nothing,
    /// It shares no key with what is published.
    Stranger(ChangeId),
}

impl Hearing<'_> {
    /// Judges a reading, and counts those that wait for a confirmation.
    pub(super) fn of<'l>(
        mut self,
        source: &SourceId,
        confirmation: Confirmation,
        listing: &'l Listing,
    ) -> Heard<'l> {
        let parts = parts(listing);
        let listed: BTreeSet<_> = parts
            .iter()
            .flat_map(|part| &part.keys)
            .map(|key| key.id())
            .collect();
        let (answered, silent) = (parts.len(), listing.endpoints.len().saturating_sub(parts.len()));
        let selection = Selection::of(self.ledger, self.rules, self.now);
        let is_first = selection.is_empty();
        let all_revoked = listed.iter().all(|id| selection.revocation(id).is_some());
        let judged: Vec<_> = parts
            .into_iter()
            .map(|part| (judge(&part.keys, &selection), part))
            .collect();
        let mut heard = Heard {
            keys: Vec::new(),
            useless: Vec::new(),
            complete: listing.complete && silent == 0,
            refused: None,
        };
        let (mut strangers, mut nothing) = (BTreeMap::new(), 0);
        for (verdict, part) in judged {
            match verdict {
                Verdict::Known => {
                    if !self.pending.is_empty() {
                        let change = ChangeId::of(part.keys.iter().copied());
                        self.pending.forget(source, &change);
                    }
                    heard.keys.extend(part.keys);
                }
                // It says nothing about the absence of others.
                Verdict::Nothing => {
                    nothing += 1;
                    heard.complete = false;
                    let told = if is_first {
                        &mut heard.keys
                    } else {
                        &mut heard.useless
                    };
                    told.extend(part.keys);
                }
                Verdict::Stranger(change) => drop(strangers.insert(change, part)),
            }
        }
        for (change, part) in strangers {
            if self.is_confirmed(source, confirmation, &change, &part) {
                heard.keys.extend(part.keys);
            } else {
                heard.complete = false;
            }
        }
        heard.refused = match answered {
            0 => Some(Refused::Silent),
            _ if nothing == answered && all_revoked && !listed.is_empty() => Some(Refused::AllRevoked {
                revoked: listed.len(),
            }),
            _ if nothing == answered => Some(Refused::NothingPublishable {
                quarantined: heard.keys.len() + heard.useless.len() + listing.quarantined.len(),
            }),
            _ => None,
        };
        heard
    }

    /// Counts a listing of strangers, and says whether it may be believed by now: here, or because another replica or an
    /// operator confirmed it.
    fn is_confirmed(
        &mut self,
        source: &SourceId,
        confirmation: Confirmation,
        change: &ChangeId,
        part: &Part<'_>,
    ) -> bool {
        let heard = self
            .pending
            .hear(source, part.endpoint, &part.keys, confirmation, self.now);
        let retention = self.rules.retention;
        if self.ledger.is_confirmed(change, retention, self.now) {
            self.pending.confirm(|id| id == change);
            self.approve_with(change, part);
            return true;
        }
        if heard == pending::Heard::ConfirmedNow {
            let why = match confirmation {
                Confirmation::Duration(duration) => format!("{} listed it for {duration:#}", source.0),
                _ => format!("{} listed it several times", source.0),
            };
            self.ledger
                .confirmations
                .add(change.clone(), self.now, BY_READS, &why);
        }
        heard != pending::Heard::Held
    }

    /// Who approved a change where it is not heard, straight in the store, approved its keys, whichever they are.
    fn approve_with(&mut self, change: &ChangeId, part: &Part<'_>) {
        if self.rules.new_keys != NewKeys::Approve {
            return;
        }
        let by_operator = self
            .ledger
            .confirmed(change, self.rules.retention, self.now)
            .find(|confirmed| *confirmed.by != *BY_READS)
            .cloned();
        let Some(by_operator) = by_operator else {
            return;
        };
        self.ledger
            .approve_by(part.keys.iter().map(|key| key.id()), &by_operator);
    }
}

/// The listings of the endpoints that answered; of a source without endpoints its only one.
fn parts(listing: &Listing) -> Vec<Part<'_>> {
    if listing.endpoints.is_empty() {
        return vec![Part {
            endpoint: None,
            keys: listing.keys.iter().collect(),
        }];
    }
    let answered = listing.endpoints.iter().filter_map(|reading| {
        Some(Part {
            endpoint: Some(&reading.endpoint),
            keys: reading.keys.as_ref()?.iter().collect(),
        })
    });
    answered.collect()
}

fn judge(keys: &[&PublicKey], selection: &Selection<'_>) -> Verdict {
    let usable: Vec<_> = keys
        .iter()
        .copied()
        .filter(|key| selection.revocation(key.id()).is_none())
        .collect();
    if usable.iter().any(|key| selection.keeps(key.id())) {
        return Verdict::Known;
    }
    let rivals = shared_kids(usable.iter().copied());
    if usable.iter().all(|key| rivals.contains(key.kid())) {
        return Verdict::Nothing;
    }
    if selection.is_empty() {
        return Verdict::Known;
    }
    Verdict::Stranger(ChangeId::of(keys.iter().copied()))
}
