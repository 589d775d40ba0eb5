//! Document → ledger. Every fault is named with its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{CHECKSUM, DecodeError, EntryFault, FORMAT, KIND, MAX_DOCUMENT, TIMES, checksum};
use crate::key::{KeyId, PublicKey};
use crate::ring::decisions::{About, ChangeId, Decision, DecisionId, Decisions, Undone};
use crate::ring::{Entry, Ledger, Presence, Unknown};

pub(super) fn document(document: &[u8], issuer: &str) -> Result<Ledger, DecodeError> {
    if document.len() > MAX_DOCUMENT {
        let bytes = document.len();
        return Err(DecodeError::TooLarge { bytes });
    }
    let torn = |detail: &str| DecodeError::Torn {
        detail: detail.to_owned(),
    };
    let text = str::from_utf8(document)
        .map_err(|_| torn("it is not UTF-8"))?
        .trim_ascii_end();
    if text.is_empty() {
        return Err(torn("it is empty"));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| DecodeError::Torn {
        detail: format!(
            "it breaks off at line {}, column {}",
            error.line(),
            error.column()
        ),
    })?;
    let Value::Object(object) = value else {
        return Err(not_a_ledger("a JSON object is expected"));
    };
    if object.get("kind").and_then(Value::as_str) != Some(KIND) {
        return Err(not_a_ledger("its `kind` says so"));
    }
    // A later format may have another checksum.
    match object.get("format").and_then(Value::as_u64) {
        Some(FORMAT) => {}
        Some(found) if found > FORMAT => return Err(DecodeError::Newer { found }),
        _ => return Err(not_a_ledger("its `format` is not one that ever was")),
    }
    if !is_whole(text) {
        return Err(torn("its checksum is that of another text"));
    }
    let found = object.get("issuer").and_then(Value::as_str).unwrap_or_default();
    if found != issuer {
        return Err(DecodeError::OtherIssuer {
            found: found.to_owned(),
            expected: issuer.to_owned(),
        });
    }
    let mut faults = Vec::new();
    let ledger = ledger(object, &mut faults);
    if faults.is_empty() {
        Ok(ledger)
    } else {
        Err(DecodeError::Faults(faults))
    }
}

fn not_a_ledger(detail: &str) -> DecodeError {
    DecodeError::NotALedger {
        detail: detail.to_owned(),
    }
}

/// Whether the checksum, which is the last member, is that of all that stands before it.
fn is_whole(text: &str) -> bool {
    let split = text
        .rsplit_once(CHECKSUM)
        .and_then(|(before, after)| Some((before, after.strip_suffix("\"}")?)));
    split.is_some_and(|(before, sum)| checksum(before.as_bytes()) == sum)
}

fn ledger(object: Map<String, Value>, faults: &mut Vec<EntryFault>) -> Ledger {
    let mut members = Members {
        place: "the ledger".to_owned(),
        object,
        faults,
    };
    for known in ["kind", "format", "issuer", "sha256"] {
        members.object.remove(known);
    }
    let listed = ["entries", "revocations", "approvals", "confirmations"].map(|name| members.array(name));
    let unknown = members.unknown();
    let [entries, revocations, approvals, confirmations] = listed;
    Ledger {
        entries: read_entries(entries, faults),
        revocations: read_decisions("revocations", revocations, faults, about_key),
        approvals: read_decisions("approvals", approvals, faults, about_key),
        confirmations: read_decisions("confirmations", confirmations, faults, about_change),
        unknown,
    }
}

fn read_entries(values: Vec<Value>, faults: &mut Vec<EntryFault>) -> BTreeMap<KeyId, Entry> {
    let mut entries = BTreeMap::new();
    for (at, value) in values.into_iter().enumerate() {
        let Some(mut members) = Members::of(value, format!("entries[{at}]"), faults) else {
            continue;
        };
        let Some(entry) = read_entry(&mut members) else {
            continue;
        };
        let id = entry.key.id().clone();
        if entries.insert(id, entry).is_some() {
            members.twice();
        }
    }
    entries
}

fn read_entry(members: &mut Members<'_>) -> Option<Entry> {
    let key = members.key();
    // All of them, so that every fault is told.
    let (first_seen, listed) = (members.time("firstSeen"), members.flag("listed"));
    let (stamp, published_since) = (members.time("stamp"), members.time("publishedSince"));
    let (replaced, dismissed) = (members.mark("replaced"), members.mark("dismissed"));
    Some(Entry {
        key: key?,
        first_seen: first_seen?,
        presence: Presence {
            listed: listed?,
            stamp: stamp?,
            published_since: published_since?,
            replaced: replaced?,
            dismissed: dismissed?,
        },
        unknown: members.unknown(),
    })
}

fn read_decisions<T: About>(
    name: &str,
    values: Vec<Value>,
    faults: &mut Vec<EntryFault>,
    about: fn(&mut Members<'_>) -> Option<T>,
) -> Decisions<T> {
    let mut decisions = Decisions::default();
    for (at, value) in values.into_iter().enumerate() {
        let Some(mut members) = Members::of(value, format!("{name}[{at}]"), faults) else {
            continue;
        };
        let id = members.text("id");
        let Some((id, decision)) = id.zip(read_decision(&mut members, about)) else {
            continue;
        };
        if decisions.0.insert(DecisionId(id), decision).is_some() {
            members.twice();
        }
    }
    decisions
}

fn read_decision<T>(
    members: &mut Members<'_>,
    about: fn(&mut Members<'_>) -> Option<T>,
) -> Option<Decision<T>> {
    let about = about(members);
    let (when, by, why) = (members.time("when"), members.text("by"), members.text("why"));
    let undone = match members.object.remove("undone") {
        None => None,
        Some(undone) => {
            let place = format!("{}.undone", members.place);
            let mut undone = Members::of(undone, place, members.faults)?;
            let (when, by) = (undone.time("when"), undone.text("by"));
            Some(Undone {
                when: when?,
                by: by?,
                unknown: undone.unknown(),
            })
        }
    };
    Some(Decision {
        about: about?,
        when: when?,
        by: by?,
        why: why?,
        undone,
        unknown: members.unknown(),
    })
}

fn about_key(members: &mut Members<'_>) -> Option<KeyId> {
    let (kid, sum) = (members.text("kid"), members.text("spkiSha256"));
    let (kid, sum) = (kid?, sum?);
    let octets = from_hex(&sum);
    if octets.is_none() {
        members.shape("`spkiSha256` is not 64 hexadecimal digits");
    }
    Some(KeyId {
        kid,
        spki_sha256: octets?,
    })
}

fn about_change(members: &mut Members<'_>) -> Option<ChangeId> {
    members.text("change").map(ChangeId)
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return None;
    }
    let mut octets = [0; 32];
    for (at, octet) in octets.iter_mut().enumerate() {
        *octet = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(octets)
}

/// The members of an object that were not read yet, and where it stands.
struct Members<'f> {
    place: String,
    object: Map<String, Value>,
    faults: &'f mut Vec<EntryFault>,
}

impl<'f> Members<'f> {
    fn of(value: Value, place: String, faults: &'f mut Vec<EntryFault>) -> Option<Self> {
        let Value::Object(object) = value else {
            let detail = "an object is expected".to_owned();
            faults.push(EntryFault::Shape { place, detail });
            return None;
        };
        Some(Self {
            place,
            object,
            faults,
        })
    }

    fn key(&mut self) -> Option<PublicKey> {
        let Some(jwk) = self.object.remove("jwk") else {
            self.shape("`jwk` is missing");
            return None;
        };
        if let Some(kid) = jwk.get("kid").and_then(Value::as_str) {
            self.place = format!("{} (kid {:?})", self.place, shortened(kid));
        }
        match PublicKey::from_jwk_str(&jwk.to_string()) {
            Ok(key) => Some(key),
            Err(reason) => {
                let place = self.place.clone();
                self.faults.push(EntryFault::Key { place, reason });
                None
            }
        }
    }

    fn time(&mut self, member: &'static str) -> Option<Timestamp> {
        let text = self.object.remove(member);
        let time = text
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok());
        let time = time.filter(|time| TIMES.contains(time));
        if time.is_none() {
            let found = text.map_or("missing".to_owned(), |value| shortened(&value.to_string()));
            let place = self.place.clone();
            self.faults.push(EntryFault::Time { place, member, found });
        }
        time
    }

    fn text(&mut self, member: &str) -> Option<Arc<str>> {
        let Some(Value::String(text)) = self.object.remove(member) else {
            self.shape(&format!("`{member}` must be a string"));
            return None;
        };
        Some(text.into())
    }

    fn flag(&mut self, member: &str) -> Option<bool> {
        let Some(Value::Bool(flag)) = self.object.remove(member) else {
            self.shape(&format!("`{member}` must be true or false"));
            return None;
        };
        Some(flag)
    }

    /// A flag that is left out where it is false.
    fn mark(&mut self, member: &str) -> Option<bool> {
        if self.object.contains_key(member) {
            self.flag(member)
        } else {
            Some(false)
        }
    }

    /// A list that may be left out.
    fn array(&mut self, member: &str) -> Vec<Value> {
        match self.object.remove(member) {
            None => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(_) => {
                self.shape(&format!("`{member}` must be a list"));
                Vec::new()
            }
        }
    }

    fn unknown(&mut self) -> Unknown {
        let rest = std::mem::take(&mut self.object).into_iter();
        Unknown(
            rest.map(|(name, value)| (name.into(), value.to_string().into()))
                .collect(),
        )
    }

    fn shape(&mut self, detail: &str) {
        self.faults.push(EntryFault::Shape {
            place: self.place.clone(),
            detail: detail.to_owned(),
        });
    }

    fn twice(&mut self) {
        let place = self.place.clone();
        self.faults.push(EntryFault::Twice { place });
    }
}

/// Enough of a text to find it by.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
