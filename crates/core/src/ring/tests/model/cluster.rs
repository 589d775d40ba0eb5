//! The whole: what can happen next, and what must hold.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stateright::{Model, Property};

use super::REPLICAS;
use super::node::{Deed, Deeds, LedgerNo, NodeNo, ROTATED, ROTATION};
use crate::ring::merge::PresenceRule;

/// How far the model goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The step of the rotation to start with, and the last one.
    pub(super) steps: (u8, u8),
    /// How long a key is retained, in ticks.
    pub(super) retention: u8,
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
    pub(super) deeds: Arc<Deeds>,
    pub(super) seen: Arc<Seen>,
}

/// How often something happened, on the way to whichever state.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) lost_races: AtomicU64,
    pub(super) lost_writes: AtomicU64,
    pub(super) crashes_with_a_write_in_flight: AtomicU64,
    pub(super) moves: AtomicU64,
    pub(super) partial_readings: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    step: u8,
    time: u8,
    crashes: u8,
    revocations: u8,
    replicas: [Replica; REPLICAS],
    store: LedgerNo,
    is_store_revoked: bool,
    /// Whether a server that could not be read has changed what is served.
    failure_was_seen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Replica {
    node: NodeNo,
    in_flight: Option<Write>,
    /// Whether the store has changed since this replica read it.
    is_behind: bool,
    /// When each of the keys was last listed here.
    listed_at: [Option<u8>; 2],
    /// Whether it has heard that the old key is revoked: by its operator, or from the store.
    heard_revoked: bool,
}

/// A conditional write on its way. One that lost its race does nothing any more, and is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Write {
    ledger: LedgerNo,
    is_revoked: bool,
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
    /// The store gets a write. Whatever else is on its way has lost the race.
    Arrive(usize),
    /// A write never arrives.
    Lose(usize),
    /// A replica is killed and started again with its local copy; its write may still arrive.
    Crash(usize),
    /// A replica that has read the store, which has all that it knew, is started on another machine.
    Move(usize),
    /// An operator revokes the old key.
    Revoke(usize),
}

impl Cluster {
    pub(super) fn new(bounds: Bounds, rule: PresenceRule) -> Self {
        Self {
            bounds,
            deeds: Arc::new(Deeds::new(bounds, rule)),
            seen: Arc::default(),
        }
    }

    /// What the bounds allow has happened.
    pub(super) fn assert_seen(&self) {
        let seen = |what: &AtomicU64| what.load(Ordering::Relaxed) > 0;
        let Seen {
            lost_races,
            lost_writes,
            crashes_with_a_write_in_flight,
            moves,
            partial_readings,
        } = &*self.seen;
        assert!(seen(lost_races) && seen(lost_writes) && seen(partial_readings));
        let crashed = seen(crashes_with_a_write_in_flight) && seen(moves);
        assert!(crashed || self.bounds.crashes == 0);
    }

    /// A deed of one replica; `None` where it is denied.
    fn does(&self, state: &mut State, at: usize, deed: Deed) -> Option<()> {
        let replica = &mut state.replicas[at];
        replica.node = self.deeds.after(replica.node, state.time, deed)?;
        Some(())
    }

    fn read(&self, state: &mut State, at: usize, answered: [bool; 2]) -> Option<()> {
        let before = state.replicas[at].node;
        self.does(state, at, Deed::Reads(state.step, answered))?;
        let replica = &mut state.replicas[at];
        let after = self.deeds.facts(replica.node);
        let servers = ROTATION[usize::from(state.step)];
        let says = |server: usize| if answered[server] { servers[server] } else { 0 };
        let listed = (says(0) | says(1)) & after.published;
        for (bit, listed_at) in replica.listed_at.iter_mut().enumerate() {
            if listed & (1 << bit) != 0 {
                *listed_at = Some(state.time);
            }
        }
        if answered != [true; 2] && before != replica.node {
            let before = self.deeds.facts(before);
            let kept = before.published & !after.published == 0 && before.listed & !after.listed == 0;
            state.failure_was_seen |= !kept;
            count(&self.seen.partial_readings);
        }
        Some(())
    }

    fn load(&self, state: &mut State, at: usize) -> Option<()> {
        let store = state.store;
        self.does(state, at, Deed::Adopts(store))?;
        let replica = &mut state.replicas[at];
        replica.heard_revoked |= state.is_store_revoked;
        replica.is_behind = false;
        let ledger = self.deeds.facts(replica.node).ledger;
        replica.in_flight = self.deeds.adds(ledger, store).then_some(Write {
            ledger,
            is_revoked: replica.heard_revoked,
        });
        Some(())
    }

    fn arrive(&self, state: &mut State, from: usize) -> Option<()> {
        let write = state.replicas[from].in_flight.take()?;
        state.store = write.ledger;
        state.is_store_revoked = write.is_revoked;
        for (at, replica) in state.replicas.iter_mut().enumerate() {
            replica.is_behind |= at != from;
            if replica.in_flight.take().is_some() {
                count(&self.seen.lost_races);
            }
        }
        Some(())
    }

    fn has_all_stored(&self, state: &State, replica: &Replica) -> bool {
        replica.in_flight.is_none()
            && !self
                .deeds
                .adds(self.deeds.facts(replica.node).ledger, state.store)
    }

    /// Nothing is in flight, and every replica has read the store since the last change.
    fn is_quiet(&self, state: &State) -> bool {
        let is_quiet = |replica: &Replica| !replica.is_behind && self.has_all_stored(state, replica);
        state.replicas.iter().all(is_quiet)
    }

    /// Of what a replica has found listed itself: it stays for the retention.
    fn invariant_3(&self, state: &State) -> bool {
        state.replicas.iter().all(|replica| {
            let published = self.deeds.facts(replica.node).published;
            let stays = |(bit, listed_at): (usize, &Option<u8>)| {
                let is_over = listed_at.is_none();
                let is_revoked = bit == 0 && replica.heard_revoked;
                is_over || is_revoked || published & (1 << bit) != 0
            };
            replica.listed_at.iter().enumerate().all(stays)
        })
    }

    fn invariant_4(&self, state: &State) -> bool {
        let obeys =
            |replica: &Replica| !replica.heard_revoked || self.deeds.facts(replica.node).published & 1 == 0;
        state.replicas.iter().all(obeys)
    }

    fn invariant_9(&self, state: &State) -> bool {
        let [one, other] = state.replicas.map(|replica| replica.node);
        one == other || !self.is_quiet(state) || self.deeds.facts(one).body == self.deeds.facts(other).body
    }
}

impl State {
    /// What was listed so long ago that it may have left is of no interest any more.
    fn forget(&mut self, retention: u8) {
        for listed_at in self
            .replicas
            .iter_mut()
            .flat_map(|replica| &mut replica.listed_at)
        {
            *listed_at = listed_at.filter(|listed_at| self.time < listed_at + retention);
        }
    }

    /// The replicas are alike: which is the first makes no difference.
    pub(super) fn representative(&self) -> Self {
        let mut state = *self;
        state.replicas.sort_unstable_by_key(Replica::packed);
        state
    }
}

impl Replica {
    /// Another number for each.
    fn packed(&self) -> u64 {
        let listed_at = |bit: usize| self.listed_at[bit].map_or(0, |time| u64::from(time) + 1);
        let flags = u64::from(self.is_behind) | u64::from(self.heard_revoked) << 1;
        let write = self.in_flight.map_or(0, |write| {
            1 + u64::from(write.ledger.0) * 2 + u64::from(write.is_revoked)
        });
        u64::from(self.node.0) | write << 16 | listed_at(0) << 40 | listed_at(1) << 44 | flags << 48
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let flags = u8::from(self.is_store_revoked) | u8::from(self.failure_was_seen) << 1;
        let small = [self.step, self.time, self.crashes, self.revocations, flags, 0];
        let whole = small
            .iter()
            .fold(u64::from(self.store.0), |all, one| all << 8 | u64::from(*one));
        hasher.write_u64(whole);
        for replica in &self.replicas {
            hasher.write_u64(replica.packed());
        }
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    /// A service that starts for the first time, and one that runs.
    fn init_states(&self) -> Vec<State> {
        let first = self.bounds.steps.0;
        let at_first = ROTATION[usize::from(first)];
        let listed = |bit: u8| ((at_first[0] | at_first[1]) & (1 << bit) != 0).then_some(0);
        let state = |store: LedgerNo, listed_at: [Option<u8>; 2]| State {
            step: first,
            time: 0,
            crashes: 0,
            revocations: 0,
            replicas: [Replica {
                node: self.deeds.start(store),
                in_flight: None,
                is_behind: false,
                listed_at,
                heard_revoked: false,
            }; REPLICAS],
            store,
            is_store_revoked: false,
            failure_was_seen: false,
        };
        vec![
            state(self.deeds.nothing(), [None; 2]),
            state(self.deeds.running(first), [listed(0), listed(1)]),
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
                if !replica.is_behind && self.has_all_stored(state, replica) {
                    actions.push(Action::Move(at));
                }
            }
            if state.revocations < self.bounds.revocations {
                actions.push(Action::Revoke(at));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Rotate => state.step += 1,
            Action::Tick => {
                state.time += 1;
                state.forget(self.bounds.retention);
                for at in 0..REPLICAS {
                    self.does(&mut state, at, Deed::Waits)?;
                }
            }
            Action::Read(at, answered) => self.read(&mut state, at, answered)?,
            Action::Load(at) => self.load(&mut state, at)?,
            Action::Arrive(at) => self.arrive(&mut state, at)?,
            Action::Lose(at) => {
                state.replicas[at].in_flight = None;
                count(&self.seen.lost_writes);
            }
            Action::Crash(at) => {
                let local = self.deeds.facts(state.replicas[at].node).ledger;
                self.does(&mut state, at, Deed::Starts(local))?;
                state.crashes += 1;
                if state.replicas[at].in_flight.is_some() {
                    count(&self.seen.crashes_with_a_write_in_flight);
                }
            }
            Action::Move(at) => {
                let store = state.store;
                self.does(&mut state, at, Deed::Starts(store))?;
                let replica = &mut state.replicas[at];
                replica.heard_revoked |= state.is_store_revoked;
                replica.is_behind = false;
                state.crashes += 1;
                count(&self.seen.moves);
            }
            Action::Revoke(at) => {
                self.does(&mut state, at, Deed::Revokes)?;
                state.replicas[at].heard_revoked = true;
                state.revocations += 1;
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(
                "invariant 3: published until retention after it was listed",
                |model: &Self, state: &State| model.invariant_3(state),
            ),
            Property::always("invariant 4: revocation wins", |model: &Self, state: &State| {
                model.invariant_4(state)
            }),
            Property::always(
                "invariant 6: what cannot be read changes nothing",
                |_: &Self, state: &State| !state.failure_was_seen,
            ),
            Property::always(
                "invariant 9: when all is quiet bodies are equal",
                |model: &Self, state: &State| model.invariant_9(state),
            ),
        ];
        // That the model gets somewhere.
        if self.bounds.ticks >= self.bounds.retention && self.bounds.steps.1 >= ROTATED {
            properties.push(Property::sometimes(
                "the old key has left everywhere",
                |model: &Self, state: &State| {
                    let has_left = |replica: &Replica| {
                        let facts = model.deeds.facts(replica.node);
                        !replica.heard_revoked && facts.remembered == 0b11 && facts.published == 0b10
                    };
                    state.replicas.iter().all(has_left) && model.is_quiet(state)
                },
            ));
        }
        if self.bounds.revocations > 0 {
            properties.push(Property::sometimes(
                "a revocation has arrived everywhere",
                |model: &Self, state: &State| {
                    state.replicas.iter().all(|replica| replica.heard_revoked) && model.is_quiet(state)
                },
            ));
        }
        properties
    }
}

fn count(of: &AtomicU64) {
    of.fetch_add(1, Ordering::Relaxed);
}
