//! The whole: what can happen next, and what must hold.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use stateright::{Model, Property};

use super::node::{Deed, Deeds, Known, Node, ROTATED, ROTATION};
use super::{REPLICAS, RETENTION};
use crate::ring::Ledger;
use crate::ring::merge::PresenceRule;

/// How far the model goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The step of the rotation to start with, and the last one.
    pub(super) steps: (usize, usize),
    /// Ticks of time.
    pub(super) ticks: u8,
    /// Crashes, and starts on a new machine.
    pub(super) crashes: u8,
    /// Revocations of the old key.
    pub(super) revocations: u8,
    /// Complete readings without a key before it is absent.
    pub(super) confirmation: u32,
}

pub(super) struct Cluster {
    bounds: Bounds,
    deeds: Arc<Deeds>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    step: usize,
    time: u8,
    replicas: [Replica; REPLICAS],
    store: Known<Ledger>,
    is_store_revoked: bool,
    crashes: u8,
    revocations: u8,
    is_quiet: bool,
    /// Whether a server that could not be read has changed what is served.
    failure_was_seen: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Replica {
    node: Known<Node>,
    in_flight: Option<Write>,
    /// Whether the store has changed since this replica read it.
    is_behind: bool,
    /// When each of the keys was last listed here.
    listed_at: [Option<u8>; 2],
    /// Whether it has heard that the old key is revoked: by its operator, or from the store.
    heard_revoked: bool,
}

/// A conditional write on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Write {
    ledger: Known<Ledger>,
    is_revoked: bool,
    /// Whether the store has changed since it was read.
    is_stale: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The rotation goes on by a step.
    Rotate,
    Tick,
    /// A replica asks both servers; those that answer.
    Read(usize, [bool; 2]),
    /// A replica reads the store, takes up what it has, and sends what it has not.
    Load(usize),
    /// The store gets a write: it is done, or refused if the store has changed.
    Arrive(usize),
    /// A write never arrives.
    Lose(usize),
    /// A replica is killed and started again with its local copy; its write may still arrive.
    Crash(usize),
    /// A replica is started on another machine, after all that it knew was in the store.
    Move(usize),
    /// An operator revokes the old key.
    Revoke(usize),
}

impl Cluster {
    pub(super) fn new(bounds: Bounds, rule: PresenceRule) -> Self {
        Self {
            bounds,
            deeds: Arc::new(Deeds::new(rule, bounds.confirmation)),
        }
    }

    /// A deed of one replica; `None` where it is denied.
    fn does(&self, state: &mut State, at: usize, deed: Deed) -> Option<()> {
        let replica = &mut state.replicas[at];
        replica.node = self.deeds.after(&replica.node, state.time, deed)?;
        Some(())
    }

    fn read(&self, state: &mut State, at: usize, answered: [bool; 2]) -> Option<()> {
        let before = Arc::clone(&state.replicas[at].node.is);
        self.does(state, at, Deed::Reads(state.step, answered))?;
        let replica = &mut state.replicas[at];
        let after = &replica.node.is;
        let says = |server: usize| {
            if answered[server] {
                ROTATION[state.step][server]
            } else {
                0
            }
        };
        let listed = (says(0) | says(1)) & after.published;
        for (bit, listed_at) in replica.listed_at.iter_mut().enumerate() {
            if listed & (1 << bit) != 0 {
                *listed_at = Some(state.time);
            }
        }
        let kept = before.published & !after.published == 0 && before.listed & !after.listed == 0;
        state.failure_was_seen |= answered != [true; 2] && !kept;
        Some(())
    }

    fn load(&self, state: &mut State, at: usize) -> Option<()> {
        let store = state.store.clone();
        self.does(state, at, Deed::Adopts(store))?;
        let replica = &mut state.replicas[at];
        replica.heard_revoked |= state.is_store_revoked;
        replica.is_behind = false;
        let ledger = &replica.node.is.ledger;
        replica.in_flight = self.deeds.adds(ledger, &state.store).then(|| Write {
            ledger: ledger.clone(),
            is_revoked: replica.heard_revoked,
            is_stale: false,
        });
        Some(())
    }

    /// Nothing is in flight, and every replica has read the store since the last change.
    fn is_quiet(&self, state: &State) -> bool {
        state.replicas.iter().all(|replica| {
            let adds = || self.deeds.adds(&replica.node.is.ledger, &state.store);
            replica.in_flight.is_none() && !replica.is_behind && !adds()
        })
    }
}

impl State {
    fn arrive(&mut self, from: usize) -> Option<()> {
        let write = self.replicas[from].in_flight.take()?;
        if write.is_stale || self.store == write.ledger {
            return Some(());
        }
        self.store = write.ledger;
        self.is_store_revoked = write.is_revoked;
        for (at, replica) in self.replicas.iter_mut().enumerate() {
            replica.is_behind |= at != from;
            if let Some(write) = &mut replica.in_flight {
                write.is_stale = true;
            }
        }
        Some(())
    }

    /// What was listed so long ago that it may have left is of no interest any more.
    fn forget(&mut self) {
        for listed_at in self
            .replicas
            .iter_mut()
            .flat_map(|replica| &mut replica.listed_at)
        {
            *listed_at = listed_at.filter(|listed_at| self.time < listed_at + RETENTION);
        }
    }

    /// The replicas are alike: which is the first makes no difference.
    pub(super) fn representative(&self) -> Self {
        let mut state = self.clone();
        state.replicas.sort_by_cached_key(|replica| {
            let mut hasher = DefaultHasher::new();
            replica.hash(&mut hasher);
            hasher.finish()
        });
        state
    }

    /// Of what a replica has found listed itself: it stays for the retention.
    fn invariant_3(&self) -> bool {
        self.replicas.iter().all(|replica| {
            let stays = |(bit, listed_at): (usize, &Option<u8>)| {
                let is_over = listed_at.is_none();
                let is_revoked = bit == 0 && replica.heard_revoked;
                is_over || is_revoked || replica.node.is.published & (1 << bit) != 0
            };
            replica.listed_at.iter().enumerate().all(stays)
        })
    }

    fn invariant_4(&self) -> bool {
        let obeys = |replica: &Replica| !replica.heard_revoked || replica.node.is.published & 1 == 0;
        self.replicas.iter().all(obeys)
    }

    fn invariant_9(&self) -> bool {
        let [one, other] = &self.replicas;
        !self.is_quiet || one.node.is.body == other.node.is.body
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    /// A service that starts for the first time, and one that runs.
    fn init_states(&self) -> Vec<State> {
        let at_first = ROTATION[self.bounds.steps.0];
        let listed = |bit: u8| ((at_first[0] | at_first[1]) & (1 << bit) != 0).then_some(0);
        let state = |store: Known<Ledger>, listed_at: [Option<u8>; 2]| State {
            step: self.bounds.steps.0,
            time: 0,
            replicas: std::array::from_fn(|_| Replica {
                node: self.deeds.start(Ledger::clone(&store.is)),
                in_flight: None,
                is_behind: false,
                listed_at,
                heard_revoked: false,
            }),
            store,
            is_store_revoked: false,
            crashes: 0,
            revocations: 0,
            is_quiet: true,
            failure_was_seen: false,
        };
        vec![
            state(Known::new(Ledger::default()), [None; 2]),
            state(self.deeds.running(self.bounds.steps.0), [listed(0), listed(1)]),
        ]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.step < self.bounds.steps.1 {
            actions.push(Action::Rotate);
        }
        if state.time < self.bounds.ticks {
            actions.push(Action::Tick);
        }
        for (at, replica) in state.replicas.iter().enumerate() {
            let answers = [[true, true], [true, false], [false, true], [false, false]];
            actions.extend(answers.map(|answered| Action::Read(at, answered)));
            match &replica.in_flight {
                None => actions.push(Action::Load(at)),
                Some(_) => actions.extend([Action::Arrive(at), Action::Lose(at)]),
            }
            if state.crashes < self.bounds.crashes {
                actions.push(Action::Crash(at));
                if replica.in_flight.is_none() && !self.deeds.adds(&replica.node.is.ledger, &state.store) {
                    actions.push(Action::Move(at));
                }
            }
            if state.revocations < self.bounds.revocations {
                actions.push(Action::Revoke(at));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Rotate => state.step += 1,
            Action::Tick => {
                state.time += 1;
                state.forget();
                for at in 0..REPLICAS {
                    self.does(&mut state, at, Deed::Waits)?;
                }
            }
            Action::Read(at, answered) => self.read(&mut state, at, answered)?,
            Action::Load(at) => self.load(&mut state, at)?,
            Action::Arrive(at) => state.arrive(at)?,
            Action::Lose(at) => state.replicas[at].in_flight = None,
            Action::Crash(at) => {
                let local = state.replicas[at].node.is.ledger.clone();
                self.does(&mut state, at, Deed::Starts(local))?;
                state.crashes += 1;
            }
            Action::Move(at) => {
                let store = state.store.clone();
                self.does(&mut state, at, Deed::Starts(store))?;
                let replica = &mut state.replicas[at];
                replica.heard_revoked |= state.is_store_revoked;
                replica.is_behind = false;
                state.crashes += 1;
            }
            Action::Revoke(at) => {
                self.does(&mut state, at, Deed::Revokes)?;
                state.replicas[at].heard_revoked = true;
                state.revocations += 1;
            }
        }
        state.is_quiet = self.is_quiet(&state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(
                "invariant 3: published until retention after it was listed",
                |_, state: &State| state.invariant_3(),
            ),
            Property::always("invariant 4: revocation wins", |_, state: &State| {
                state.invariant_4()
            }),
            Property::always(
                "invariant 6: what cannot be read changes nothing",
                |_, state: &State| !state.failure_was_seen,
            ),
            Property::always(
                "invariant 9: when all is quiet bodies are equal",
                |_, state: &State| state.invariant_9(),
            ),
            // That the model gets somewhere.
            Property::sometimes("a write loses its race", |_, state: &State| {
                let is_stale =
                    |replica: &Replica| replica.in_flight.as_ref().is_some_and(|write| write.is_stale);
                state.replicas.iter().any(is_stale)
            }),
        ];
        if self.bounds.ticks >= RETENTION && self.bounds.steps.1 >= ROTATED {
            properties.push(Property::sometimes(
                "the old key has left everywhere",
                |_, state: &State| {
                    let has_left =
                        |replica: &Replica| !replica.heard_revoked && replica.node.is.published == 0b10;
                    state.is_quiet && state.replicas.iter().all(has_left)
                },
            ));
        }
        if self.bounds.revocations > 0 {
            properties.push(Property::sometimes(
                "a revocation has arrived everywhere",
                |_, state: &State| {
                    state.is_quiet && state.replicas.iter().all(|replica| replica.heard_revoked)
                },
            ));
        }
        properties
    }
}
