//! What must hold of any ledger, also of one that no history leads to: damage, other releases, clocks that stood anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use jiff::{SignedDuration, Timestamp};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::story::{RETENTION, source};
use crate::key::{KeyId, PublicKey};
use crate::ring::decisions::Decisions;
use crate::ring::*;

const ISSUER: &str = "https://oidc.example.com";
const KIDS: [&str; 3] = ["a", "b", "c"];
const MATERIALS: usize = 4;
const REPLICAS: usize = 3;

/// Real material under any kid, so that it can be written and read.
pub(super) fn real(kid: &str, material: usize) -> PublicKey {
    static JWKS: LazyLock<Vec<serde_json::Value>> = LazyLock::new(|| {
        let vectors = include_str!("../../../../../tests/vectors/key-files.json");
        let mut vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let jwks = vectors["keys"].as_array_mut().unwrap();
        jwks.retain(|jwk| PublicKey::from_jwk_str(&jwk.to_string()).is_ok());
        jwks.clone()
    });
    let mut jwk = JWKS[material].clone();
    jwk["kid"] = kid.into();
    PublicKey::from_jwk_str(&jwk.to_string()).unwrap()
}

/// Every key of these tests, made once.
fn keys() -> &'static [PublicKey] {
    static KEYS: LazyLock<Vec<PublicKey>> = LazyLock::new(|| {
        let named = KIDS
            .iter()
            .flat_map(|kid| (0..MATERIALS).map(|material| real(kid, material)));
        named.collect()
    });
    &KEYS
}

fn now() -> Timestamp {
    "2026-01-10T00:00:00Z".parse().unwrap()
}

/// Around now and alike often, or anywhere.
fn time() -> impl Strategy<Value = Timestamp> {
    let near = select(vec![-200, -49, -48, -1, 0, 1_i64])
        .prop_map(|hours| now() + SignedDuration::from_hours(hours));
    let (first, end) = (0, 7_258_118_400_i64);
    let any =
        (first..end, 0..1_000_000_000_i32).prop_map(|(second, nano)| Timestamp::new(second, nano).unwrap());
    prop_oneof![6 => near, 1 => any]
}

fn unknown() -> impl Strategy<Value = Unknown> {
    let (name, text) = (
        select(vec!["later", "note"]),
        select(vec!["7", "null", r#"{"a":[1,"x"]}"#]),
    );
    let members = btree_map(name.prop_map(Arc::from), text.prop_map(Arc::from), 0..2);
    prop_oneof![4 => Just(Unknown::default()), 1 => members.prop_map(Unknown)]
}

fn entry() -> impl Strategy<Value = Entry> {
    let marks = prop_oneof![3 => Just((false, false)), 1 => Just((true, false)), 1 => Just((false, true))];
    let presence = (any::<bool>(), time(), time(), marks).prop_map(
        |(listed, stamp, published_since, (replaced, dismissed))| Presence {
            listed,
            stamp,
            published_since,
            replaced,
            dismissed: dismissed && !listed,
        },
    );
    (select(keys()), time(), presence, unknown()).prop_map(|(key, first_seen, presence, unknown)| Entry {
        key,
        first_seen,
        presence,
        unknown,
    })
}

fn words() -> impl Strategy<Value = Arc<str>> {
    select(vec!["", "ops", "\"leaked\",\"sha256\":\"0\"", "zwölf"]).prop_map(Arc::from)
}

fn decisions<T: Clone + std::fmt::Debug>(
    about: impl Strategy<Value = T>,
) -> impl Strategy<Value = Decisions<T>> {
    let undone = (time(), words(), unknown()).prop_map(|(when, by, unknown)| Undone { when, by, unknown });
    let decision = (about, time(), words(), words(), option::of(undone), unknown()).prop_map(
        |(about, when, by, why, undone, unknown)| Decision {
            about,
            when,
            by,
            why,
            undone,
            unknown,
        },
    );
    let id = select(vec!["0", "1", "2"]).prop_map(|id| DecisionId(id.into()));
    btree_map(id, decision, 0..3).prop_map(Decisions)
}

fn about_key() -> impl Strategy<Value = KeyId> {
    select(keys()).prop_map(|key| key.id().clone())
}

fn about_change() -> impl Strategy<Value = ChangeId> {
    select(vec!["00", "ff"]).prop_map(|change| ChangeId(change.into()))
}

fn ledger() -> impl Strategy<Value = Ledger> {
    let decided = (
        decisions(about_key()),
        decisions(about_key()),
        decisions(about_change()),
    );
    (vec(entry(), 0..8), decided, unknown()).prop_map(|(entries, decided, unknown)| Ledger {
        entries: entries
            .into_iter()
            .map(|entry| (entry.key.id().clone(), entry))
            .collect(),
        revocations: decided.0,
        approvals: decided.1,
        confirmations: decided.2,
        unknown,
    })
}

fn ring(ledger: &Ledger) -> Ring {
    Ring::new(Rules::new(RETENTION), [(source("s"), 1)], ledger.clone())
}

fn written(ledger: &Ledger) -> Ledger {
    Ledger::decode(&ledger.encode(ISSUER), ISSUER).unwrap()
}

/// What a later release wrote, wherever it stands.
fn added(ledger: &Ledger) -> BTreeSet<(String, Arc<str>)> {
    let mut all = BTreeSet::new();
    let mut add = |place: String, unknown: &Unknown| {
        all.extend(unknown.0.keys().map(|name| (place.clone(), Arc::clone(name))));
    };
    add(String::new(), &ledger.unknown);
    for (id, entry) in &ledger.entries {
        add(format!("{id:?}"), &entry.unknown);
    }
    for (id, revocation) in &ledger.revocations.0 {
        add(format!("{id:?}"), &revocation.unknown);
        if let Some(undone) = &revocation.undone {
            add(format!("{id:?} undone"), &undone.unknown);
        }
    }
    all
}

fn kids(key_set: &KeySet) -> Vec<&str> {
    key_set.keys.iter().map(|published| published.key.kid()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn merging_any_ledgers_is_commutative_associative_and_idempotent(
        a in ledger(),
        b in ledger(),
        c in ledger(),
    ) {
        prop_assert_eq!(a.merge(&b), b.merge(&a));
        prop_assert_eq!(a.merge(&b).merge(&c), a.merge(&b.merge(&c)));
        prop_assert_eq!(&a.merge(&a), &a);
        prop_assert_eq!(a.merge(&b).merge(&b), a.merge(&b));
        prop_assert!(!a.adds_to(&a.merge(&b)) && !b.adds_to(&a.merge(&b)));
    }

    #[test]
    fn a_merge_of_any_ledgers_errs_towards_keeping(a in ledger(), b in ledger()) {
        let merged = a.merge(&b);
        for entry in a.entries().chain(b.entries()) {
            let (id, presence) = (entry.key.id(), entry.presence);
            let both = merged.entry(id).unwrap();
            prop_assert!(both.first_seen <= entry.first_seen);
            prop_assert!(both.presence.stamp >= presence.stamp);
            prop_assert!(both.presence.listed || !presence.listed || both.presence.stamp > presence.stamp);
            let lives = |ledger: &Ledger| !ledger.entry(id).unwrap_or(entry).is_expired(RETENTION, now());
            prop_assert!(lives(&merged) || !lives(&a) || !lives(&b), "{}", id.kid);
        }
    }

    #[test]
    fn invariant_4_revocation_wins_in_a_merge_of_any_ledgers(a in ledger(), b in ledger()) {
        let merged = a.merge(&b);
        let mut revoked = BTreeSet::new();
        for (one, other) in [(&a, &b), (&b, &a)] {
            for (id, revocation) in &one.revocations.0 {
                // Of two with one name, which is damage, one stays; and an undone one is undone for good.
                let same = other.revocations.0.get(id);
                let stands = same.is_none_or(|same| same.about == revocation.about && same.undone.is_none());
                if revocation.undone.is_none() && stands {
                    revoked.insert(revocation.about.spki_sha256);
                }
                let undone = same.is_some_and(|same| same.undone.is_some()) || revocation.undone.is_some();
                prop_assert_eq!(undone, merged.revocations.0[id].undone.is_some());
            }
        }
        let mut replica = ring(&a);
        replica.adopt(&b, now());
        for key_set in [ring(&merged).key_set(now()), replica.key_set(now())] {
            for published in &key_set.keys {
                prop_assert!(!revoked.contains(&published.key.id().spki_sha256), "{}", published.key.kid());
            }
        }
    }

    #[test]
    fn any_ledger_is_read_as_it_was_written_octet_for_octet(ledger in ledger()) {
        let document = ledger.encode(ISSUER);
        let read = Ledger::decode(&document, ISSUER);
        prop_assert_eq!(read.as_ref(), Ok(&ledger));
        prop_assert_eq!(read.unwrap().encode(ISSUER), document);
    }

    #[test]
    fn what_a_later_release_wrote_survives_every_merge(a in ledger(), b in ledger()) {
        let kept = added(&written(&written(&a).merge(&written(&b))));
        for (place, name) in added(&a).union(&added(&b)) {
            prop_assert!(kept.contains(&(place.clone(), Arc::clone(name))), "{name} of {place}");
        }
    }

    #[test]
    fn invariant_2_time_alone_never_empties_the_set_of_any_ledger(
        ledger in ledger(),
        hours in vec(0..200_i64, 1..6),
    ) {
        let (mut ring, mut time) = (ring(&ledger), now());
        let mut was_empty = ring.key_set(time).keys.is_empty();
        for hours in hours {
            time += SignedDuration::from_hours(hours);
            let is_empty = ring.key_set(time).keys.is_empty();
            prop_assert!(was_empty || !is_empty);
            was_empty = is_empty;
        }
    }

    #[test]
    fn invariant_2_another_retention_never_empties_the_set_of_any_ledger(
        ledger in ledger(),
        hours in vec(0..200_i64, 1..6),
    ) {
        let is_empty = |retention| {
            let mut ring = Ring::new(Rules::new(retention), [(source("s"), 1)], ledger.clone());
            ring.key_set(now()).keys.is_empty()
        };
        for hours in hours {
            prop_assert_eq!(is_empty(SignedDuration::from_hours(hours)), is_empty(RETENTION));
        }
    }

    #[test]
    fn invariant_10_within_the_set_of_any_ledger_every_kid_is_unique(a in ledger(), b in ledger()) {
        let mut replica = ring(&a);
        for key_set in [replica.key_set(now()), { replica.adopt(&b, now()); replica.key_set(now()) }] {
            let unique: BTreeSet<_> = kids(&key_set).into_iter().collect();
            prop_assert_eq!(unique.len(), key_set.keys.len());
        }
    }

    #[test]
    fn invariant_9_replicas_with_any_ledgers_converge(
        ledgers in vec(ledger(), REPLICAS),
        order in vec(0..REPLICAS, 0..6),
    ) {
        let mut rings: Vec<_> = ledgers.iter().map(ring).collect();
        let mut store = Ledger::default();
        let mut sync = |at: usize| {
            let ring: &mut Ring = &mut rings[at];
            ring.adopt(&written(&store), now());
            ring.key_set(now());
            let news = ring.ledger().adds_to(&store);
            if news {
                store = written(ring.ledger());
            }
            news
        };
        for at in order {
            sync(at);
        }
        let mut rounds = 0;
        while (0..REPLICAS).map(&mut sync).collect::<Vec<_>>().contains(&true) {
            rounds += 1;
            prop_assert!(rounds < 8, "there is no end of writes");
        }
        let sets: BTreeMap<_, _> = rings.iter_mut().map(|ring| {
            let key_set = ring.key_set(now());
            (kids(&key_set).join(" "), key_set.keys.iter().map(|key| key.key.clone()).collect::<Vec<_>>())
        }).collect();
        prop_assert_eq!(sets.len(), 1, "{:?}", sets);
    }
}
