//! Revoke, unrevoke, import, and what an operator sees.

use super::*;

#[test]
fn invariant_4_revocation_wins_over_every_listing_and_lasts() {
    issuer()
        .lists("a b3")
        .revokes("a")
        .publishes("b3")
        .lists("a b3")
        .publishes("b3")
        .holds("a:revoked")
        .restarted()
        .lists("a b3")
        .publishes("b3")
        .after(hours(24 * 365))
        .lists("b3")
        .lists("a b3")
        .publishes("b3")
        .holds("a:revoked");
}

#[test]
fn a_revocation_takes_the_material_under_every_kid_also_those_that_come_later() {
    issuer()
        .lists("a1 b1 c3")
        .revokes("a")
        .publishes("c3")
        .lists("d1 c3")
        .publishes("c3")
        .holds("d:revoked");
}

#[test]
fn a_revoked_key_holds_no_kid() {
    let story = issuer()
        .lists("a b3")
        .revokes("a")
        .lists("a2 b3")
        .publishes("a2 b3");
    // Taken back, it does not get it back either, as long as the other is published.
    story
        .unrevokes("sha256:01010101")
        .publishes("a2 b3")
        .lists("a a2 b3")
        .publishes("a2 b3")
        .holds("a:kid_conflict");
}

#[test]
fn the_last_published_key_is_revoked_only_by_force_and_then_nothing_is_published() {
    let mut story = issuer()
        .lists("a b3")
        .lists("b3")
        .after(hours(60))
        .publishes("b3");
    let denied = story
        .ring
        .revoke("b", "ops", "leaked", false, story.now)
        .unwrap_err();
    assert_eq!(denied, Denied::LastKey { kid: "b".into() });
    let story = story.publishes("b3").revokes_by_force("b").publishes("");
    let mut story = story.restarted().fails("s").publishes("");
    assert!(story.ring.key_set(story.now).withdrawn);
    // An expired key is not brought back, and the first that is listed is published at once.
    let story = story.counts_as_failed("s", &listing("b3")).publishes("");
    let mut story = story.lists("b3 c").publishes("c");
    assert!(!story.ring.key_set(story.now).withdrawn);
}

#[test]
fn a_key_that_stayed_as_the_last_one_left_for_good_when_another_came() {
    issuer()
        .lists("a")
        .lists("a2 b3 b4")
        .after(hours(60))
        .publishes("a2")
        .revokes_by_force("sha256:02020202")
        .publishes("")
        .unrevokes("sha256:02020202")
        .publishes("a2");
}

#[test]
fn another_retention_after_a_revocation_does_not_empty_the_set() {
    issuer()
        .imports("a b3")
        .after(hours(10))
        .revokes("b")
        .after(hours(10))
        .publishes("~a")
        .retaining(hours(5))
        .publishes("~a");
}

#[test]
fn what_had_left_before_the_last_key_was_revoked_by_force_stays_away_until_it_is_listed() {
    issuer()
        .lists("a b3")
        .lists("b3")
        .after(hours(60))
        .revokes_by_force("b")
        .publishes("")
        .retaining(hours(100))
        .publishes("")
        .after(hours(-20))
        .publishes("")
        .lists("a b3")
        .publishes("a");
}

#[test]
fn a_revoked_key_does_not_take_the_last_one_with_it() {
    issuer()
        .imports("a b3")
        .revokes("a")
        .after(RETENTION * 2)
        .publishes("~b3");
}

#[test]
fn where_another_key_waits_the_last_one_can_be_revoked() {
    issuer()
        .lists("a")
        .lists("a2")
        .publishes("~a")
        .revokes("sha256:01010101")
        .publishes("a2");
}

#[test]
fn where_a_retained_key_waits_for_its_kid_the_last_one_can_be_revoked() {
    let start = issuer().lists("a");
    let other = issuer()
        .after(seconds(1))
        .lists("a2 b3")
        .lists("b3")
        .revokes_by_force("b");
    let merged = start
        .adopts(&other)
        .publishes("a")
        .holds("a:kid_conflict b:revoked");
    merged.revokes("sha256:01010101").publishes("~a2");
}

#[test]
fn an_unknown_key_is_denied_and_what_exists_is_told() {
    let mut story = issuer_with(&[("s", 3)]).lists("a b3").lists("a b2").lists("x");
    let now = story.now;
    let told = "no key \"c\" is known here; there is: a, b, x";
    let revoked = story.ring.revoke("c", "ops", "", false, now).unwrap_err();
    let unrevoked = story.ring.unrevoke("c", "ops", now).unwrap_err();
    assert_eq!(
        (revoked.to_string(), unrevoked.to_string()),
        (told.into(), told.into())
    );
    let denied = story.ring.unrevoke("a", "ops", now).unwrap_err();
    assert_eq!(denied, Denied::NotRevoked { kid: "a".into() });
    let nothing = issuer().ring.revoke("c", "ops", "", false, now).unwrap_err();
    assert_eq!(nothing.to_string(), "no key \"c\" is known here, nor any other");
    for short in ["sha256:", "sha256:0101", "sha256:01010101zz"] {
        let denied = issuer()
            .lists("a")
            .ring
            .revoke(short, "ops", "", false, now)
            .unwrap_err();
        let told = denied.to_string();
        assert!(told.contains("at least 8 hexadecimal digits"), "{told}");
    }
    let nothing = issuer().lists("a").ring.approve("c", "ops", "", now).unwrap_err();
    let told = "nothing called \"c\" waits for an approval here; nothing waits";
    assert_eq!(nothing.to_string(), told);
}

#[test]
fn an_unrevoked_key_returns_at_once_and_is_published_anew() {
    let story = issuer()
        .lists("a b3")
        .revokes("a")
        .after(hours(1))
        .lists("a b3")
        .unrevokes("a");
    let story = story.publishes("a b3");
    let presence = story.ring.ledger().entry(key("a").id()).unwrap().presence;
    assert_eq!(presence.published_since, story.now);
    story
        .revokes("a")
        .publishes("b3")
        .unrevokes("a")
        .publishes("a b3");
}

#[test]
fn an_unrevoked_key_is_listed_if_it_came_back_meanwhile() {
    let story = issuer().lists("a b3").revokes("a").lists("b3").publishes("b3");
    let story = story.after(hours(1)).lists("a b3").publishes("b3");
    story
        .unrevokes("a")
        .publishes("a b3")
        .fails("s")
        .after(RETENTION)
        .publishes("a b3");
}

#[test]
fn a_revocation_that_another_replica_has_not_seen_outlives_an_unrevoke() {
    let start = issuer().lists("a b3");
    let one = start.clone().revokes("a");
    let other = start.after(seconds(1)).revokes("a");
    let one = one.unrevokes("a").publishes("a b3");
    let both = one.adopts(&other).publishes("b3");
    both.unrevokes("a")
        .publishes("a b3")
        .adopts(&other)
        .publishes("a b3");
}

#[test]
fn a_key_revoked_once_more_in_the_same_moment_is_revoked() {
    issuer()
        .lists("a b3")
        .revokes("a")
        .unrevokes("a")
        .revokes("a")
        .publishes("b3");
}

#[test]
fn caches_ask_often_for_a_day_after_a_revocation_unless_it_is_undone() {
    let mut story = issuer().lists("a b3");
    assert_eq!(story.ring.key_set(story.now).revoked_until, None);
    let mut story = story.revokes("a");
    let until = story.now + hours(24);
    assert_eq!(story.ring.key_set(story.now).revoked_until, Some(until));
    assert_eq!(story.ring.next_change(story.now), Some(until));
    let mut over = story.clone().after(hours(24));
    assert_eq!(over.ring.key_set(over.now).revoked_until, None);
    let mut undone = story.unrevokes("a");
    assert_eq!(undone.ring.key_set(undone.now).revoked_until, None);
}

#[test]
fn raising_the_retention_gives_no_kid_back_that_was_handed_on() {
    issuer()
        .lists("a b3")
        .lists("a2 b3")
        .after(RETENTION)
        .publishes("a2 b3")
        .retaining(hours(200))
        .publishes("a2 b3")
        .lists("a2 b3")
        .publishes("a2 b3")
        .holds("a:kid_conflict");
}

#[test]
fn raising_the_retention_brings_back_what_left_and_was_not_replaced() {
    issuer()
        .lists("a b3")
        .lists("b3")
        .after(RETENTION)
        .publishes("b3")
        .retaining(hours(200))
        .publishes("b3 ~a");
}

#[test]
fn imported_keys_are_retained_until_a_source_lists_them() {
    issuer()
        .imports("a b3")
        .publishes("~a ~b3")
        .lists("b3 c")
        .publishes("b3 c ~a")
        .after(RETENTION)
        .publishes("b3 c");
}

#[test]
fn an_imported_key_that_a_source_lists_already_is_listed() {
    issuer()
        .approving()
        .lists("a")
        .lists("a b3")
        .publishes("a")
        .imports("b3")
        .publishes("a b3")
        .after(RETENTION)
        .fails("s")
        .publishes("a b3");
}

#[test]
fn an_import_tells_what_it_took_and_what_not() {
    let mut story = issuer().lists("a b3").lists("a b3 c4").revokes("c");
    let keys = listing("a a2 c4 d e1 e2 f").keys;
    let imported = story.ring.import(&keys, story.now);
    let names = |ids: &[crate::key::KeyId]| ids.iter().map(|id| id.kid.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&imported.taken), ["d", "f"]);
    assert_eq!(names(&imported.known), ["a"]);
    let refused: Vec<_> = imported.refused.iter().map(|held| held.reason.label()).collect();
    assert_eq!(
        refused,
        ["kid_conflict", "revoked", "kid_conflict", "kid_conflict"]
    );
    story.publishes("a b3 ~d ~f");
}

#[test]
fn the_view_tells_every_key_and_what_is_safe() {
    let story = issuer_with(&[("s", 2)]).lists("a");
    let start = story.now;
    let story = story
        .lists("a b3 c4")
        .lists("a d")
        .lists("a d")
        .revokes("c")
        .after(hours(60));
    let story = story.lists("a d e").lists("a d e d2").lists("x");
    let (now, mut ring) = (story.now, story.ring);
    let view = ring.view(now);
    let told: Vec<_> = view
        .keys
        .iter()
        .map(|key| {
            let standing = match &key.standing {
                Standing::Listed {
                    published_since,
                    may_sign_from,
                } => format!(
                    "listed, signs after {:#}",
                    may_sign_from.duration_since(*published_since)
                ),
                Standing::Retained { .. } => "retained".to_owned(),
                Standing::Expired {
                    absent_since,
                    left_at,
                } => {
                    format!("expired after {:#}", left_at.duration_since(*absent_since))
                }
                Standing::Revoked(revocation) => format!("revoked by {}", revocation.by),
                Standing::Held(reason) => format!("held: {}", reason.label()),
            };
            format!("{} {standing}", key.key.kid())
        })
        .collect();
    assert_eq!(
        told,
        [
            "a listed, signs after 0s",
            "d listed, signs after 72h",
            "e listed, signs after 72h",
            "b expired after 49h",
            "c revoked by ops",
            "d held: kid_conflict",
            "x held: unconfirmed",
        ]
    );
    assert_eq!(view.keys[0].first_seen, start);
    assert_eq!((view.held_changes.len(), view.withdrawn), (1, false));
}
