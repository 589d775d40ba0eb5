//! What a reading counts for: each endpoint's listing is judged alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::decisions::ChangeId;
use super::pending;
use super::selection::{Selection, shared_kids};
use super::{Confirmation, Listing, Refused, Ring, SourceId};
use crate::key::PublicKey;

/// What a source is taken to have said.
#[derive(Debug)]
pub(super) struct Heard<'l> {
    /// The keys that it lists.
    pub(super) keys: Vec<&'l PublicKey>,
    /// Whether every other key is missing from it.
    pub(super) complete: bool,
    /// Why it counts as a failed read, if it does.
    pub(super) refused: Option<Refused>,
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

/// Judges a reading, and counts those that wait for a confirmation.
pub(super) fn hear<'l>(
    ring: &mut Ring,
    source: &SourceId,
    confirmation: Confirmation,
    listing: &'l Listing,
    now: Timestamp,
) -> Heard<'l> {
    let parts = parts(listing);
    let (answered, silent) = (parts.len(), listing.endpoints.len().saturating_sub(parts.len()));
    let selection = Selection::of(&ring.ledger, &ring.rules, now);
    let judged: Vec<_> = parts
        .into_iter()
        .map(|part| (judge(&part.keys, &selection), part))
        .collect();
    let mut heard = Heard {
        keys: Vec::new(),
        complete: listing.complete && silent == 0,
        refused: None,
    };
    let (mut strangers, mut nothing) = (BTreeMap::new(), 0);
    for (verdict, part) in judged {
        match verdict {
            Verdict::Known => {
                if !ring.pending.is_empty() {
                    let change = ChangeId::of(part.keys.iter().copied());
                    ring.pending.forget(source, &change);
                }
                heard.keys.extend(part.keys);
            }
            // Its keys are reported as held, but it says nothing about the absence of others.
            Verdict::Nothing => {
                nothing += 1;
                heard.complete = false;
                heard.keys.extend(part.keys);
            }
            Verdict::Stranger(change) => drop(strangers.insert(change, part)),
        }
    }
    for (change, part) in strangers {
        if is_confirmed(ring, source, confirmation, &change, &part, now) {
            heard.keys.extend(part.keys);
        } else {
            heard.complete = false;
        }
    }
    heard.refused = match answered {
        0 => Some(Refused::Silent),
        _ if nothing == answered => Some(Refused::NothingPublishable {
            quarantined: heard.keys.len() + listing.quarantined.len(),
        }),
        _ => None,
    };
    heard
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

/// Counts a listing of strangers, and says whether it may be believed by now: here, or because another replica or an
/// operator confirmed it.
fn is_confirmed(
    ring: &mut Ring,
    source: &SourceId,
    confirmation: Confirmation,
    change: &ChangeId,
    part: &Part<'_>,
    now: Timestamp,
) -> bool {
    let heard = ring
        .pending
        .hear(source, part.endpoint, &part.keys, confirmation, now);
    let retention = ring.rules.retention;
    if ring.ledger.is_confirmed(change, retention, now) {
        ring.pending.confirm(|id| id == change);
        return true;
    }
    if heard == pending::Heard::ConfirmedNow {
        let why = match confirmation {
            Confirmation::Duration(duration) => format!("{} listed it for {duration:#}", source.0),
            _ => format!("{} listed it several times", source.0),
        };
        ring.ledger
            .confirmations
            .add(change.clone(), now, "confirmation", &why);
    }
    heard != pending::Heard::Held
}
