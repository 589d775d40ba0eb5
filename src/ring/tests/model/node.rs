//! One replica's ring at a time, and what it does next: worked out once for each, since the same replica stands in
//! many states of the whole.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

use super::RETENTION;
use crate::key::PublicKey;
use crate::ring::merge::PresenceRule;
use crate::ring::tests::story::{key, source};
use crate::ring::*;

const TICK: SignedDuration = SignedDuration::from_hours(1);

/// The keys of the model: the old one and the new one.
pub(super) const KEYS: [&str; 2] = ["a1", "b2"];

/// What each server lists after each step of a rotation by the book, which in the end is rolled back on the first
/// server; by the bits of `KEYS`.
pub(super) const ROTATION: [[u8; 2]; 6] = [
    [0b01, 0b01],
    [0b11, 0b01],
    [0b11, 0b11],
    [0b10, 0b11],
    [0b10, 0b10],
    [0b11, 0b10],
];

/// The step after which no server lists the old key.
pub(super) const ROTATED: usize = 4;

/// A ledger, known by its hash.
#[derive(Debug)]
pub(super) struct Known<T> {
    pub(super) is: Arc<T>,
    hash: u64,
}

impl<T: Hash> Known<T> {
    pub(super) fn new(is: T) -> Self {
        let mut hasher = DefaultHasher::new();
        is.hash(&mut hasher);
        Self {
            is: Arc::new(is),
            hash: hasher.finish(),
        }
    }
}

impl<T> Clone for Known<T> {
    fn clone(&self) -> Self {
        Self {
            is: Arc::clone(&self.is),
            hash: self.hash,
        }
    }
}

impl<T> PartialEq for Known<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T> Eq for Known<T> {}

impl<T> Hash for Known<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A ring, and what it publishes.
#[derive(Debug)]
pub(super) struct Node {
    ring: Ring,
    pub(super) ledger: Known<Ledger>,
    /// Which of the keys are published, and which of these are listed.
    pub(super) published: u8,
    pub(super) listed: u8,
    /// What the documents are made of, in their order.
    pub(super) body: (Vec<String>, bool),
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ring.hash(state);
    }
}

impl Node {
    fn new(mut ring: Ring, time: u8) -> Self {
        let key_set = ring.key_set(at(time));
        let bits = |listed: bool| {
            let is_in = |name: &&str| {
                let named =
                    |is: &&PublishedKey| is.key == key(name) && (!listed || is.state == KeyState::Listed);
                key_set.keys.iter().find(named).is_some()
            };
            (0..)
                .zip(KEYS)
                .filter(|(_, name)| is_in(name))
                .map(|(bit, _)| 1 << bit)
                .sum()
        };
        Self {
            published: bits(false),
            listed: bits(true),
            body: (
                key_set
                    .keys
                    .iter()
                    .map(|published| published.key.jwk().to_owned())
                    .collect(),
                key_set.revoked_until.is_some(),
            ),
            ledger: Known::new(ring.ledger().clone()),
            ring,
        }
    }
}

/// What a replica does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Deed {
    /// Nothing but what is due.
    Waits,
    /// Reads the servers after a step of the rotation; those that answer.
    Reads(usize, [bool; 2]),
    /// Takes up what is in the store.
    Adopts(Known<Ledger>),
    /// Starts with a ledger.
    Starts(Known<Ledger>),
    /// Revokes the old key.
    Revokes,
}

type Done = HashMap<(Known<Node>, u8, Deed), Option<Known<Node>>>;

/// Every deed of every replica that was worked out before.
pub(super) struct Deeds {
    rule: PresenceRule,
    confirmation: u32,
    done: Mutex<Done>,
    adds: Mutex<HashMap<[Known<Ledger>; 2], bool>>,
}

impl Deeds {
    pub(super) fn new(rule: PresenceRule, confirmation: u32) -> Self {
        Self {
            rule,
            confirmation,
            done: Mutex::default(),
            adds: Mutex::default(),
        }
    }

    /// A replica at the very start.
    pub(super) fn start(&self, ledger: Ledger) -> Known<Node> {
        Known::new(Node::new(self.ring(ledger), 0))
    }

    /// A ledger with what is listed at a step of the rotation.
    pub(super) fn running(&self, step: usize) -> Known<Ledger> {
        let mut ring = self.ring(Ledger::default());
        ring.heard(&source("s"), &reading(step, [true; 2]), at(0))
            .unwrap();
        Known::new(ring.into_ledger())
    }

    fn ring(&self, ledger: Ledger) -> Ring {
        let rules = Rules::new(TICK * i32::from(RETENTION));
        Ring::new(rules, [(source("s"), self.confirmation)], ledger)
    }

    /// What a replica is after a deed; `None` where it is denied.
    pub(super) fn after(&self, node: &Known<Node>, time: u8, deed: Deed) -> Option<Known<Node>> {
        let asked = (node.clone(), time, deed);
        if let Some(known) = self.done.lock().unwrap().get(&asked) {
            return known.clone();
        }
        let mut ring = node.is.ring.clone();
        let allowed = match &asked.2 {
            Deed::Waits => true,
            Deed::Reads(step, answered) => {
                // Refused where no server answered, or only with what is revoked.
                let _ = ring.heard(&source("s"), &reading(*step, *answered), at(time));
                true
            }
            Deed::Adopts(store) => {
                ring.adopt_by(&store.is, self.rule, at(time));
                true
            }
            Deed::Starts(ledger) => {
                ring = self.ring(Ledger::clone(&ledger.is));
                true
            }
            Deed::Revokes => ring
                .revoke(key(KEYS[0]).kid(), "ops", "leaked", false, at(time))
                .is_ok(),
        };
        let after = allowed.then(|| Known::new(Node::new(ring, time)));
        self.done.lock().unwrap().insert(asked, after.clone());
        after
    }

    /// Whether a ledger has something to write to the store.
    pub(super) fn adds(&self, ledger: &Known<Ledger>, store: &Known<Ledger>) -> bool {
        let asked = [ledger.clone(), store.clone()];
        let merged = || store.is.merge_by(&ledger.is, self.rule) != *store.is;
        *self.adds.lock().unwrap().entry(asked).or_insert_with(merged)
    }
}

fn at(time: u8) -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap() + TICK * i32::from(time)
}

fn reading(step: usize, answered: [bool; 2]) -> Listing {
    let lists = |server: usize| -> Vec<PublicKey> {
        let has = (0..)
            .zip(KEYS)
            .filter(|(bit, _)| ROTATION[step][server] & (1 << bit) != 0);
        has.map(|(_, name)| key(name)).collect()
    };
    let endpoint = |server: usize| EndpointReading {
        endpoint: ["10.0.0.1:6443", "10.0.0.2:6443"][server].into(),
        keys: answered[server].then(|| lists(server)),
    };
    Listing {
        endpoints: vec![endpoint(0), endpoint(1)],
        complete: true,
        ..Listing::default()
    }
}
