//! One replica's ring at a time, and what it does next: worked out once for each, since the same replica stands in
//! many states of the whole.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::{Arc, RwLock};

use jiff::{SignedDuration, Timestamp};

use super::cluster::Bounds;
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
pub(super) const ROTATED: u8 = 4;

/// A ledger, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LedgerNo(pub(super) u16);

/// A replica, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeNo(pub(super) u16);

/// A ring, and what follows from it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Node {
    ring: Ring,
    facts: Facts,
}

/// What a replica knows and publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Facts {
    pub(super) ledger: LedgerNo,
    /// Which of the keys are in the ledger, which of them are published, and which of these are listed.
    pub(super) remembered: u8,
    pub(super) published: u8,
    pub(super) listed: u8,
    /// The number of what its documents and their headers are made of.
    pub(super) body: u16,
}

/// What a replica does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Deed {
    /// Nothing but what is due.
    Waits,
    /// Reads the servers after a step of the rotation; those that answer.
    Reads(u8, [bool; 2]),
    /// Takes up what is in the store.
    Adopts(LedgerNo),
    /// Starts with a ledger.
    Starts(LedgerNo),
    /// Revokes the old key.
    Revokes,
}

impl Deed {
    fn packed(self) -> u64 {
        match self {
            Self::Waits => 0,
            Self::Revokes => 1,
            Self::Reads(step, [one, other]) => {
                2 | u64::from(step) << 4 | u64::from(one) << 8 | u64::from(other) << 9
            }
            Self::Adopts(LedgerNo(ledger)) => 3 | u64::from(ledger) << 4,
            Self::Starts(LedgerNo(ledger)) => 4 | u64::from(ledger) << 4,
        }
    }
}

/// What is known of each replica and ledger that can be, numbered as they are first met.
pub(super) struct Deeds {
    rule: PresenceRule,
    retention: u8,
    confirmation: u32,
    nodes: RwLock<Numbered<Node>>,
    ledgers: RwLock<Numbered<Ledger>>,
    bodies: RwLock<Numbered<(Vec<String>, bool)>>,
    done: RwLock<Memo<Option<NodeNo>>>,
    adds: RwLock<Memo<bool>>,
}

/// Answers by packed questions. The usual hash is most of the time where nothing is optimised.
type Memo<T> = HashMap<u64, T, BuildHasherDefault<Spread>>;

#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, _: &[u8]) {
        unreachable!("the questions are numbers");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Things that were met, each once.
struct Numbered<T> {
    numbers: HashMap<Arc<T>, u16>,
    all: Vec<Arc<T>>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            all: Vec::new(),
        }
    }
}

impl<T: Hash + Eq> Numbered<T> {
    fn number(&mut self, thing: T) -> u16 {
        if let Some(number) = self.numbers.get(&thing) {
            return *number;
        }
        let number = u16::try_from(self.all.len()).unwrap();
        let thing = Arc::new(thing);
        self.numbers.insert(Arc::clone(&thing), number);
        self.all.push(thing);
        number
    }

    fn get(&self, number: u16) -> Arc<T> {
        Arc::clone(&self.all[usize::from(number)])
    }
}

impl Deeds {
    pub(super) fn new(bounds: Bounds, rule: PresenceRule) -> Self {
        Self {
            rule,
            retention: bounds.retention,
            confirmation: bounds.confirmation,
            nodes: RwLock::default(),
            ledgers: RwLock::default(),
            bodies: RwLock::default(),
            done: RwLock::default(),
            adds: RwLock::default(),
        }
    }

    /// What a replica knows and publishes.
    pub(super) fn facts(&self, NodeNo(number): NodeNo) -> Facts {
        self.nodes.read().unwrap().all[usize::from(number)].facts
    }

    fn ledger(&self, LedgerNo(number): LedgerNo) -> Arc<Ledger> {
        self.ledgers.read().unwrap().get(number)
    }

    fn numbered(&self, ledger: &Ledger) -> LedgerNo {
        LedgerNo(self.ledgers.write().unwrap().number(ledger.clone()))
    }

    /// No ledger yet.
    pub(super) fn nothing(&self) -> LedgerNo {
        self.numbered(&Ledger::default())
    }

    /// A ledger with what is listed at a step of the rotation.
    pub(super) fn running(&self, step: u8) -> LedgerNo {
        let mut ring = self.ring(Ledger::default());
        ring.heard(&source("s"), &reading(step, [true; 2]), at(0))
            .unwrap();
        self.numbered(ring.ledger())
    }

    /// A replica that starts with a ledger.
    pub(super) fn start(&self, ledger: LedgerNo) -> NodeNo {
        let ring = self.ring(Ledger::clone(&self.ledger(ledger)));
        self.settled(ring, 0)
    }

    fn ring(&self, ledger: Ledger) -> Ring {
        // Stamps of one tick may be a few milliseconds apart.
        let rules = Rules::new(TICK * i32::from(self.retention) - SignedDuration::from_mins(1));
        Ring::new(rules, [(source("s"), self.confirmation)], ledger)
    }

    /// A ring after all that is due was done.
    fn settled(&self, mut ring: Ring, time: u8) -> NodeNo {
        let key_set = ring.key_set(at(time));
        let has = |name: &str| key_set.keys.iter().find(|published| published.key == key(name));
        let bits = |is: fn(&KeyState) -> bool| {
            let named = (0..)
                .zip(KEYS)
                .filter(|(_, name)| has(name).is_some_and(|found| is(&found.state)));
            named.map(|(bit, _)| 1 << bit).sum()
        };
        let body = (
            key_set
                .keys
                .iter()
                .map(|published| published.key.jwk().to_owned())
                .collect(),
            key_set.revoked_until.is_some(),
        );
        let is_known = |name: &str| ring.ledger().entry(key(name).id()).is_some();
        let known = (0..).zip(KEYS).filter(|(_, name)| is_known(name));
        let facts = Facts {
            remembered: known.map(|(bit, _)| 1 << bit).sum(),
            published: bits(|_| true),
            listed: bits(|state| *state == KeyState::Listed),
            body: self.bodies.write().unwrap().number(body),
            ledger: self.numbered(ring.ledger()),
        };
        NodeNo(self.nodes.write().unwrap().number(Node { ring, facts }))
    }

    /// What a replica is after a deed; `None` where it is denied.
    pub(super) fn after(&self, node: NodeNo, time: u8, deed: Deed) -> Option<NodeNo> {
        let NodeNo(number) = node;
        let asked = u64::from(number) | u64::from(time) << 16 | deed.packed() << 24;
        if let Some(known) = self.done.read().unwrap().get(&asked) {
            return *known;
        }
        let mut ring = self.nodes.read().unwrap().get(number).ring.clone();
        let allowed = match deed {
            Deed::Waits => true,
            Deed::Reads(step, answered) => {
                // Refused where no server answered, or only with what is revoked.
                let _ = ring.heard(&source("s"), &reading(step, answered), at(time));
                true
            }
            Deed::Adopts(store) => {
                ring.adopt_by(&self.ledger(store), self.rule, at(time));
                true
            }
            Deed::Starts(ledger) => {
                ring = self.ring(Ledger::clone(&self.ledger(ledger)));
                true
            }
            Deed::Revokes => ring
                .revoke(key(KEYS[0]).kid(), "ops", "leaked", false, at(time))
                .is_ok(),
        };
        let after = allowed.then(|| self.settled(ring, time));
        self.done.write().unwrap().insert(asked, after);
        after
    }

    /// Whether a ledger has something to write to the store.
    pub(super) fn adds(&self, ledger: LedgerNo, store: LedgerNo) -> bool {
        if ledger == store {
            return false;
        }
        let asked = u64::from(ledger.0) | u64::from(store.0) << 16;
        if let Some(known) = self.adds.read().unwrap().get(&asked) {
            return *known;
        }
        let (ours, theirs) = (self.ledger(ledger), self.ledger(store));
        let adds = theirs.merge_by(&ours, self.rule) != *theirs;
        self.adds.write().unwrap().insert(asked, adds);
        adds
    }
}

fn at(time: u8) -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap() + TICK * i32::from(time)
}

fn reading(step: u8, answered: [bool; 2]) -> Listing {
    let lists = |server: usize| -> Vec<PublicKey> {
        let listed = ROTATION[usize::from(step)][server];
        let has = (0..).zip(KEYS).filter(|(bit, _)| listed & (1 << bit) != 0);
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
