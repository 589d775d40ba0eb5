//! The rotation soak: whatever an operator does by the book, and whatever fails beside it, not one valid token is
//! refused anywhere; and a key that has left is refused everywhere.
//!
//! Seven and a half minutes, most of them waiting for a retention to end, which is never below five. Longer, with the
//! tokens and caches of real life: `OIDC_ISSUER_SOAK=30m tests/run real::soak -- --nocapture`.

mod plan;
mod pool;
mod story;
mod tally;

use super::cluster::CLUSTER;
use super::control_plane::ADDRESSES;
use super::namespace;
use super::running_verifiers;

#[test]
fn not_one_valid_token_is_refused_during_three_rotations() {
    let needs = [CLUSTER, running_verifiers::PROGRAMS, &["haproxy"]].concat();
    namespace::alone(&needs, &ADDRESSES, |programs| async move {
        story::tell(&programs, plan::Plan::of_environment()).await;
    });
}
