//! The ring under every interleaving: two API servers in the middle of a rotation, two replicas, one store.
//!
//! The very ring and merge that are shipped, driven by `stateright`. Within `Bounds` every order is visited of: steps
//! of the rotation, readings with either endpoint or both unreadable, conditional writes that land, are lost or lose
//! a race, crashes with a write in flight, a new machine without a local copy, a revocation, and time.
//!
//! What is one step here though it is several in the service, and why no order is missed by that:
//! - A replica reads the store, takes up what is there, and sends what the store lacks. The service may send later,
//!   without reading again; if the store has changed by then the write is refused, and if not this is the same.
//! - One write of a replica is in flight. Of two only the first could land, and both say no less than it.
//! - A write that has lost its race is refused, whenever it arrives, so it is gone at once.
//! - Time passes for both replicas together. Clocks that differ are for the property tests.
//!
//! Replicas that are exchanged with all they have make the same state (`State::representative`): nothing in the
//! model, nor in what must hold, tells one from the other.
//!
//! A replica is started again with its local copy, as if the store did not answer in time, or with what is in the store;
//! not with both at once. What a source lists is written down only when that changes: of a key that was found absent
//! elsewhere, a replica that starts with both believes the store until its source was read.

mod cluster;
mod node;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model as _};

use self::cluster::{Bounds, Cluster, State};
use crate::ring::Presence;
use crate::ring::merge::PresenceRule;

const REPLICAS: usize = 2;

const LIMIT: Duration = Duration::from_mins(5);

fn check(bounds: Bounds, rule: PresenceRule) -> impl Checker<Cluster> {
    Cluster::new(bounds, rule)
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(LIMIT)
        .symmetry_fn(State::representative)
        .spawn_dfs()
        .join()
}

/// Visits every state within bounds, and tells how many there are.
fn invariants_3_4_6_and_9_hold(bounds: Bounds) {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long the check took is told, and bounded"
    )]
    let start = Instant::now();
    let checker = check(bounds, Presence::merge);
    let took = start.elapsed();
    // Past the capture of the test's output, so that every run tells.
    let told = writeln!(
        io::stderr(),
        "model: {} states ({} transitions, depth {}) within {bounds:?}, in {took:.0?}, with {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        checker.model().seen,
    );
    told.unwrap();
    checker.assert_properties();
    checker.model().assert_seen();
    assert!(took < LIMIT, "not all states were visited in time");
}

#[test]
fn in_every_state_of_a_rotation_with_a_crash_and_a_revocation_invariants_3_4_6_and_9_hold() {
    invariants_3_4_6_and_9_hold(Bounds {
        steps: (0, 4),
        retention: 1,
        ticks: 1,
        crashes: 1,
        revocations: 1,
        confirmation: 1,
    });
}

#[test]
fn in_every_state_around_the_end_of_retention_invariants_3_4_6_and_9_hold() {
    invariants_3_4_6_and_9_hold(Bounds {
        steps: (3, 5),
        retention: 2,
        ticks: 2,
        crashes: 0,
        revocations: 0,
        confirmation: 1,
    });
}

#[test]
fn in_every_state_where_absence_takes_two_readings_invariants_3_4_6_and_9_hold() {
    invariants_3_4_6_and_9_hold(Bounds {
        steps: (3, 5),
        retention: 1,
        ticks: 1,
        crashes: 1,
        revocations: 0,
        confirmation: 2,
    });
}

/// A wrong way to merge presence.
#[track_caller]
fn is_noticed(rule: PresenceRule) {
    let bounds = Bounds {
        steps: (3, 5),
        retention: 2,
        ticks: 2,
        crashes: 0,
        revocations: 0,
        confirmation: 1,
    };
    let discoveries = check(bounds, rule).discoveries();
    let failure = discoveries.keys().find(|name| name.starts_with("invariant"));
    assert!(failure.is_some(), "{:?}", discoveries.keys());
}

#[test]
fn a_merge_in_which_absence_wins_is_noticed() {
    is_noticed(|ours, theirs| {
        if (theirs.listed, std::cmp::Reverse(theirs.stamp)) < (ours.listed, std::cmp::Reverse(ours.stamp)) {
            *theirs
        } else {
            *ours
        }
    });
}

#[test]
fn a_merge_in_which_the_older_stamp_wins_is_noticed() {
    is_noticed(|ours, theirs| if theirs.stamp < ours.stamp { *theirs } else { *ours });
}

#[test]
fn a_merge_in_which_ours_wins_is_noticed() {
    is_noticed(|ours, _| *ours);
}
