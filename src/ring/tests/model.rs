//! The ring under every interleaving: two API servers in the middle of a rotation, two replicas, one store.
//!
//! The very ring and merge that are shipped, driven by `stateright`. Within `Bounds` every order is visited of: steps
//! of the rotation, readings with either endpoint or both unreadable, conditional writes that land, are lost or lose
//! a race, crashes with a write in flight, a new machine without a local copy, a revocation, and time.

mod cluster;
mod node;

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model as _};

use self::cluster::{Bounds, Cluster, State};
use crate::ring::Presence;
use crate::ring::merge::PresenceRule;

const REPLICAS: usize = 2;

/// How long a key is retained, in ticks of an hour.
const RETENTION: u8 = 2;

const LIMIT: Duration = Duration::from_mins(5);

fn check(bounds: Bounds, rule: PresenceRule, until: HasDiscoveries) -> impl Checker<Cluster> {
    Cluster::new(bounds, rule)
        .checker()
        .threads(2)
        .finish_when(until)
        .timeout(LIMIT)
        .symmetry_fn(State::representative)
        .spawn_dfs()
        .join()
}

#[test]
fn in_every_reachable_state_invariants_3_4_6_and_9_hold() {
    let env = |name: &str, usual: u8| std::env::var(name).map_or(usual, |v| v.parse().unwrap());
    let bounds = Bounds {
        steps: (env("MODEL_FROM", 0).into(), env("MODEL_TO", 4).into()),
        ticks: env("MODEL_TICKS", 1),
        crashes: env("MODEL_CRASHES", 0),
        revocations: env("MODEL_REVS", 0),
        confirmation: env("MODEL_CONF", 1).into(),
    };
    let start = Instant::now();
    let checker = check(bounds, Presence::merge, HasDiscoveries::AnyFailures);
    let took = start.elapsed();
    println!(
        "{} states ({} transitions, depth {}) within {bounds:?}, in {took:.0?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
    );
    checker.assert_properties();
    assert!(took < LIMIT, "not all states were visited in time");
}

/// A wrong way to merge presence, and the name of the property that notices it.
fn is_noticed(rule: PresenceRule, by: &str) {
    let bounds = Bounds {
        steps: (3, 5),
        ticks: RETENTION,
        crashes: 0,
        revocations: 0,
        confirmation: 1,
    };
    let checker = check(bounds, rule, HasDiscoveries::AnyFailures);
    let failures: Vec<_> = checker
        .discoveries()
        .into_keys()
        .filter(|name| name.starts_with(by))
        .collect();
    assert_eq!(failures.len(), 1, "{:?}", checker.discoveries().keys());
}

#[test]
fn a_merge_in_which_absence_wins_is_noticed() {
    let absence_wins: PresenceRule = |ours, theirs| {
        if (theirs.listed, std::cmp::Reverse(theirs.stamp)) < (ours.listed, std::cmp::Reverse(ours.stamp)) {
            *theirs
        } else {
            *ours
        }
    };
    is_noticed(absence_wins, "invariant");
}

#[test]
fn a_merge_in_which_the_older_stamp_wins_is_noticed() {
    is_noticed(
        |ours, theirs| if theirs.stamp < ours.stamp { *theirs } else { *ours },
        "invariant",
    );
}
