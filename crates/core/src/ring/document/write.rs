//! Ledger → document.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::{CHECKSUM, FORMAT, KIND, TIMES, checksum, hex};
use crate::key::KeyId;
use crate::ring::decisions::{ChangeId, Decision, Decisions};
use crate::ring::{Entry, Ledger, Unknown};

pub(super) fn document(ledger: &Ledger, issuer: &str) -> Vec<u8> {
    let mut object = Map::new();
    object.insert("kind".into(), KIND.into());
    object.insert("format".into(), FORMAT.into());
    object.insert("issuer".into(), issuer.into());
    object.insert("entries".into(), ledger.entries().map(entry).collect());
    object.insert("revocations".into(), decisions(&ledger.revocations, about_key));
    object.insert("approvals".into(), decisions(&ledger.approvals, about_key));
    object.insert(
        "confirmations".into(),
        decisions(&ledger.confirmations, about_change),
    );
    add_unknown(&mut object, &ledger.unknown);
    let mut text = Value::Object(object).to_string();
    text.truncate(text.len() - 1);
    let sum = checksum(text.as_bytes());
    format!("{text}{CHECKSUM}{sum}\"}}\n").into_bytes()
}

fn entry(entry: &Entry) -> Value {
    let presence = entry.presence;
    let mut object = Map::new();
    object.insert("jwk".into(), parsed(entry.key.jwk()));
    object.insert("firstSeen".into(), time(entry.first_seen));
    object.insert("listed".into(), presence.listed.into());
    object.insert("stamp".into(), time(presence.stamp));
    object.insert("publishedSince".into(), time(presence.published_since));
    if presence.replaced {
        object.insert("replaced".into(), true.into());
    }
    if presence.dismissed {
        object.insert("dismissed".into(), true.into());
    }
    add_unknown(&mut object, &entry.unknown);
    object.into()
}

fn decisions<T>(decisions: &Decisions<T>, about: fn(&mut Map<String, Value>, &T)) -> Value {
    let all = decisions.0.iter().map(|(id, decision)| {
        let mut object = Map::new();
        object.insert("id".into(), (*id.0).into());
        about(&mut object, &decision.about);
        words(&mut object, decision);
        Value::Object(object)
    });
    all.collect()
}

fn words<T>(object: &mut Map<String, Value>, decision: &Decision<T>) {
    object.insert("when".into(), time(decision.when));
    object.insert("by".into(), (*decision.by).into());
    object.insert("why".into(), (*decision.why).into());
    if let Some(undone) = &decision.undone {
        let mut by = Map::new();
        by.insert("when".into(), time(undone.when));
        by.insert("by".into(), (*undone.by).into());
        add_unknown(&mut by, &undone.unknown);
        object.insert("undone".into(), by.into());
    }
    add_unknown(object, &decision.unknown);
}

fn about_key(object: &mut Map<String, Value>, id: &KeyId) {
    object.insert("kid".into(), (*id.kid).into());
    object.insert("spkiSha256".into(), hex(&id.spki_sha256).into());
}

fn about_change(object: &mut Map<String, Value>, change: &ChangeId) {
    object.insert("change".into(), change.as_str().into());
}

fn add_unknown(object: &mut Map<String, Value>, Unknown(unknown): &Unknown) {
    for (name, value) in unknown {
        object.insert(name.to_string(), parsed(value));
    }
}

/// A clock may stand anywhere; what is written must be read again.
fn time(time: Timestamp) -> Value {
    let last = TIMES.end - SignedDuration::from_secs(1);
    time.clamp(TIMES.start, last).to_string().into()
}

/// JSON that was checked when it was made.
fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}
